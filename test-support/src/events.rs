//! Server-sent events, as a client reads them.

use serde_json::Value;

/// The most comments in a row: whoever says nothing else for as long will say nothing.
const COMMENTS_MAX: usize = 8;

/// An event.
#[derive(Debug, PartialEq)]
pub struct Event {
    /// Its number.
    pub id: u64,
    /// What it is.
    pub kind: String,
    /// What it says.
    pub data: Value,
}

/// What of a stream was read, and is still to be looked at.
#[derive(Debug, Default)]
pub struct Events {
    unread: Vec<u8>,
    comments: usize,
}

impl Events {
    /// Reads on.
    pub fn read(&mut self, part: &[u8]) {
        self.unread.extend_from_slice(part);
    }

    /// What comes before the next empty line, once that was read.
    ///
    /// # Panics
    /// When it is no UTF-8.
    #[track_caller]
    pub fn block(&mut self) -> Option<String> {
        let end = self.unread.windows(2).position(|two| two == b"\n\n")?;
        let block: Vec<u8> = self.unread.drain(..end + 2).take(end).collect();
        Some(String::from_utf8(block).expect("events are UTF-8"))
    }

    /// The next event, once it was read; comments are passed over.
    ///
    /// # Panics
    /// When it is no event of a number, a kind and JSON; and when there is no end of comments.
    #[track_caller]
    pub fn event(&mut self) -> Option<Event> {
        loop {
            let block = self.block()?;
            if block.lines().all(|line| line.starts_with(':')) {
                self.comments += 1;
                assert!(self.comments < COMMENTS_MAX, "{COMMENTS_MAX} comments and no event");
                continue;
            }
            self.comments = 0;
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_else(|| panic!("no `{name}` in {block}"))
            };
            return Some(Event {
                id: field("id: ").parse().expect("a number"),
                kind: field("event: ").to_owned(),
                data: serde_json::from_str(field("data: ")).expect("JSON"),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut_into_parts() {
        let text =
            ":\n\nid: 7\nevent: record\ndata: {\"ä\":1}\n\n:\n\nid: 8\nevent: change\ndata: 2\n\n";
        for size in 1..text.len() {
            let (mut events, mut read) = (Events::default(), Vec::new());
            for part in text.as_bytes().chunks(size) {
                events.read(part);
                read.extend(std::iter::from_fn(|| events.event()));
            }
            let event = |id, kind: &str, data| Event { id, kind: kind.to_owned(), data };
            assert_eq!(read, [event(7, "record", json!({ "ä": 1 })), event(8, "change", json!(2))]);
        }
    }
}
