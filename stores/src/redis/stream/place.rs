//! Where things are in the stream: its key, and the ids of its entries.

use std::fmt;
use std::str::FromStr;

use kernel::revocation::frame::Frame;
use kernel::revocation::frame::Heartbeat;

/// The one field of an entry: a message as the kernel writes it.
pub(super) const FIELD: &str = "m";

/// The id of an entry: two numbers, compared one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId {
    /// The last number of the log that the entry knows of.
    pub seq: u64,
    /// 0 for a frame; for a heartbeat about the time, in milliseconds since the epoch.
    pub ms: u64,
}

impl EntryId {
    /// Before every heartbeat about its last number, and after all that is about lower ones.
    pub fn of_frame(frame: &Frame) -> Self {
        Self { seq: frame.last, ms: 0 }
    }

    /// After the frame that ends there, and before every one that ends later.
    pub fn of_heartbeat(heartbeat: &Heartbeat) -> Self {
        // 0 is the frame's, and `0-0` is no id.
        Self { seq: heartbeat.last, ms: heartbeat.at.as_millis().max(1) }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.seq, self.ms)
    }
}

/// A text that is no id of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `<number>-<number>`")]
pub struct NoEntryId;

impl FromStr for EntryId {
    type Err = NoEntryId;

    fn from_str(text: &str) -> Result<Self, NoEntryId> {
        let (seq, ms) = text.split_once('-').ok_or(NoEntryId)?;
        let number = |text: &str| text.parse().map_err(|_| NoEntryId);
        Ok(Self { seq: number(seq)?, ms: number(ms)? })
    }
}

/// The key of the stream of log `log_id`, which is one hash tag: `{namespace:revocations:<log id>}`.
pub(super) fn key(namespace: &str, log_id: &str) -> String {
    format!("{{{namespace}:revocations:{log_id}}}")
}

#[cfg(test)]
mod tests {
    use kernel::time::Timestamp;

    use super::*;

    #[test]
    fn an_id_is_written_as_redis_writes_it_and_reads_back() {
        let id = EntryId { seq: 7, ms: 1_700_000_000_123 };
        assert_eq!(id.to_string(), "7-1700000000123");
        assert_eq!("7-1700000000123".parse(), Ok(id));
        let last = EntryId { seq: u64::MAX, ms: u64::MAX };
        assert_eq!(last.to_string().parse(), Ok(last));
        for text in ["", "7", "-", "7-", "a-1", "7-1-1", "18446744073709551616-0"] {
            assert_eq!(text.parse::<EntryId>(), Err(NoEntryId), "{text}");
        }
    }

    #[test]
    fn heartbeats_lie_between_the_frame_that_ends_there_and_the_next() {
        let frame = |last| Frame { log_id: "l1".to_owned(), first: last, last, rows: Vec::new() };
        for at in [0, 1, 1_700_000_000_123, u64::MAX].map(Timestamp::from_millis) {
            let heartbeat = Heartbeat { log_id: "l1".to_owned(), last: 7, at };
            let id = EntryId::of_heartbeat(&heartbeat);
            assert!(EntryId::of_frame(&frame(7)) < id && id < EntryId::of_frame(&frame(8)));
        }
        let nothing_yet = Heartbeat { log_id: "l1".to_owned(), last: 0, at: Timestamp::default() };
        assert!(EntryId::of_heartbeat(&nothing_yet) > EntryId::default(), "`0-0` is no id");
    }

    #[test]
    fn the_key_is_one_hash_tag() {
        assert_eq!(key("doorward", "a1b2"), "{doorward:revocations:a1b2}");
    }
}
