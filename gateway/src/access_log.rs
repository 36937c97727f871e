//! The access log: one line a request, JSON, on standard error.
//!
//! A line is put together in memory and written by a thread of its own, many at a time, so that a
//! request pays for no system call. At most [`BUFFER_BYTES_MAX`] wait; what finds no room is
//! dropped and counted. A line is written within [`FLUSH_EVERY`], the last ones at the end of the
//! process; killed outright, that much is lost.

use std::io::Write;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use kernel::time::Timestamp;

/// The most bytes of lines that wait to be written.
pub const BUFFER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long a line may wait.
pub const FLUSH_EVERY: Duration = Duration::from_millis(100);

/// The longest path that a line repeats, in bytes; the rest is cut.
pub const PATH_BYTES_MAX: usize = 1024;

/// What a line says. Never a query: it may hold what nobody should read.
#[derive(Debug)]
pub struct Line<'a> {
    /// When the request came.
    pub at: Timestamp,
    /// `info`; `warn` for a failure to authenticate, and for a quota that was just found spent.
    pub level: &'static str,
    /// Its id.
    pub request_id: &'a str,
    /// `GET`, …
    pub method: &'a str,
    /// The path, without the query.
    pub path: &'a str,
    /// The status of the answer; 0 for none.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
    /// The route's name.
    pub route: &'a str,
    /// The caller's id; empty for nobody.
    pub user_id: &'a str,
    /// The client's address.
    pub client: &'a str,
    /// Bytes of the answer's body.
    pub bytes_sent: usize,
    /// What went wrong; empty for nothing.
    pub refusal: &'a str,
}

/// Where the lines go.
#[derive(Clone)]
pub struct AccessLog {
    shared: Arc<Shared>,
}

struct Shared {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    closed: bool,
    written: bool,
}

impl AccessLog {
    /// Starts the writing thread; lines go to `out`.
    pub fn start(out: impl Write + Send + 'static) -> Self {
        let shared = Arc::new(Shared { waiting: Mutex::default(), wake: Condvar::new() });
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || theirs.write_all_to(out))
            .expect("a thread can be started before anything is served");
        Self { shared }
    }

    /// Takes a line; `false` when there was no room.
    pub fn write(&self, line: &Line<'_>) -> bool {
        let mut waiting = self.shared.lock();
        if waiting.lines.len() >= BUFFER_BYTES_MAX || waiting.closed {
            return false;
        }
        line.append_to(&mut waiting.lines);
        true
    }

    /// Writes what waits and ends the thread.
    pub fn close(&self) {
        let mut waiting = self.shared.lock();
        waiting.closed = true;
        self.shared.wake.notify_all();
        while !waiting.written {
            let woken = self.shared.wake.wait_timeout(waiting, Duration::from_secs(1));
            let (guard, timeout) = woken.unwrap_or_else(PoisonError::into_inner);
            waiting = guard;
            // A reader that takes nothing must not keep the process from ending.
            if timeout.timed_out() {
                return;
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all_to(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        loop {
            let closed = {
                let waiting = self.lock();
                let woken = self.wake.wait_timeout_while(waiting, FLUSH_EVERY, |w| !w.closed);
                let (mut waiting, _) = woken.unwrap_or_else(PoisonError::into_inner);
                std::mem::swap(&mut waiting.lines, &mut lines);
                waiting.closed
            };
            // Nobody to tell: where these lines go is where a complaint would go.
            let _ = out.write_all(&lines).and_then(|()| out.flush());
            lines.clear();
            if closed {
                self.lock().written = true;
                self.wake.notify_all();
                return;
            }
        }
    }
}

impl Line<'_> {
    fn append_to(&self, out: &mut Vec<u8>) {
        let mut number = itoa::Buffer::new();
        out.extend_from_slice(b"{\"ts_ms\":");
        out.extend_from_slice(number.format(self.at.as_millis()).as_bytes());
        out.extend_from_slice(b",\"level\":\"");
        out.extend_from_slice(self.level.as_bytes());
        out.extend_from_slice(b"\",\"request_id\":\"");
        append_escaped(out, self.request_id);
        out.extend_from_slice(b"\",\"method\":\"");
        append_escaped(out, self.method);
        out.extend_from_slice(b"\",\"path\":\"");
        append_escaped(out, cut(self.path));
        out.extend_from_slice(b"\",\"status\":");
        out.extend_from_slice(number.format(self.status).as_bytes());
        out.extend_from_slice(b",\"duration_us\":");
        out.extend_from_slice(number.format(self.took.as_micros() as u64).as_bytes());
        out.extend_from_slice(b",\"route\":\"");
        // Names of the configuration and addresses need no escape.
        out.extend_from_slice(self.route.as_bytes());
        out.extend_from_slice(b"\",\"user_id\":\"");
        append_escaped(out, self.user_id);
        out.extend_from_slice(b"\",\"client\":\"");
        out.extend_from_slice(self.client.as_bytes());
        out.extend_from_slice(b"\",\"bytes_sent\":");
        out.extend_from_slice(number.format(self.bytes_sent).as_bytes());
        if !self.refusal.is_empty() {
            out.extend_from_slice(b",\"refusal\":\"");
            append_escaped(out, self.refusal);
            out.push(b'"');
        }
        out.extend_from_slice(b"}\n");
    }
}

fn cut(path: &str) -> &str {
    let mut end = path.len().min(PATH_BYTES_MAX);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    &path[..end]
}

/// Appends `text` as the inside of a JSON string (RFC 8259 §7).
fn append_escaped(out: &mut Vec<u8>, text: &str) {
    let special = |b: u8| (b < 0x20) | (b == b'"') | (b == b'\\');
    if !text.bytes().fold(false, |found, b| found | special(b)) {
        return out.extend_from_slice(text.as_bytes());
    }
    for &byte in text.as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..=0x1f => {
                let _ = write!(out, "\\u{byte:04x}");
            }
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line<'a>(path: &'a str, user_id: &'a str) -> Line<'a> {
        Line {
            at: Timestamp::from_secs(1),
            level: "info",
            request_id: "r",
            method: "GET",
            path,
            status: 200,
            took: Duration::from_millis(2),
            route: "orders",
            user_id,
            client: "0.0.0.0",
            bytes_sent: 3,
            refusal: "",
        }
    }

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("sink").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_taken_is_written_by_the_time_the_log_is_closed() {
        let sink = Sink::default();
        let log = AccessLog::start(sink.clone());
        for _ in 0..1000 {
            assert!(log.write(&line("/x", "7")));
        }
        log.close();
        let written = sink.0.lock().expect("sink");
        assert_eq!(written.iter().filter(|b| **b == b'\n').count(), 1000);
        assert!(!log.write(&line("/x", "7")));
    }

    #[test]
    fn a_path_of_1024_bytes_is_the_longest_that_is_repeated() {
        let path = format!("/{}", "a".repeat(PATH_BYTES_MAX));
        assert_eq!(cut(&path).len(), PATH_BYTES_MAX);
        assert_eq!(cut(&path[..PATH_BYTES_MAX]), &path[..PATH_BYTES_MAX]);
    }

    proptest! {
        #[test]
        fn a_line_is_one_line_of_json_whatever_it_repeats(path in "\\PC*", user in any::<String>()) {
            let mut out = Vec::new();
            line(&path, &user).append_to(&mut out);
            prop_assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
            let read: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
            prop_assert_eq!(read["user_id"].as_str(), Some(user.as_str()));
        }
    }
}
