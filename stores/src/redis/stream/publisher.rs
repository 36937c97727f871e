//! The side that writes. Who may is not decided here; Redis sees to it that ids only grow.

use std::time::Duration;

use fred::types::Value;
use kernel::revocation::frame::Frame;
use kernel::revocation::frame::Heartbeat;
use kernel::revocation::frame::Message;

use super::place::EntryId;
use super::place::FIELD;
use super::place::key;
use crate::redis::connection::Connection;
use crate::redis::lost::Lost;

/// About how many entries a stream keeps; who is further behind asks a feed.
pub const ENTRIES_MAX: u64 = 4096;

/// How long a stream is kept after its last heartbeat, so that those of logs that have ended go.
pub const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How long one entry may take to be written.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often an entry is tried under an id that just became free.
const TRIES_MAX: u32 = 4;

/// Writes the stream.
#[derive(Clone, Debug)]
pub struct StreamPublisher {
    connection: Connection,
    namespace: String,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It is in the stream.
    Added,
    /// The stream is past it and ends there: somebody published it already, knows more, or the log
    /// is behind what it once was.
    Past(EntryId),
}

impl StreamPublisher {
    /// Writes by `connection`, under keys that begin with `namespace`.
    pub fn new(connection: &Connection, namespace: &str) -> Self {
        Self { connection: connection.within(WRITE_TIMEOUT), namespace: namespace.to_owned() }
    }

    /// Adds `frame`.
    ///
    /// # Errors
    /// [`Lost`]: it may have been added all the same.
    pub async fn frame(&self, frame: Frame) -> Result<Placed, Lost> {
        let (id, log_id) = (EntryId::of_frame(&frame), frame.log_id.clone());
        self.place(&log_id, id, &Message::Frame(frame), |_| None).await
    }

    /// Adds `heartbeat`. All frames up to its last number should be in the stream: readers ask a feed
    /// for what is missing.
    ///
    /// # Errors
    /// [`Lost`]: it may have been added all the same.
    pub async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<Placed, Lost> {
        let (id, log_id) = (EntryId::of_heartbeat(&heartbeat), heartbeat.log_id.clone());
        // A clock that was ahead, or was put back, must not silence who comes after it.
        let after = |end: EntryId| match end.seq == id.seq {
            true => end.ms.checked_add(1).map(|ms| EntryId { ms, ..id }),
            false => None,
        };
        let placed = self.place(&log_id, id, &Message::Heartbeat(heartbeat), after).await?;
        if placed == Placed::Added {
            let key = key(&self.namespace, &log_id);
            let words = vec![Value::from(key.as_str()), Value::from(KEPT_FOR.as_secs() as i64)];
            self.connection.ask::<i64>("EXPIRE", &key, words).await?;
        }
        Ok(placed)
    }

    /// The id of the last entry of the stream of `log_id`; `None` where it has none.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn end(&self, log_id: &str) -> Result<Option<EntryId>, Lost> {
        super::reader::end(&self.connection, &key(&self.namespace, log_id)).await
    }

    /// Gives the present connection up for a new one: behind the same name another server may be the
    /// one that takes writes.
    pub async fn begin_anew(&self) {
        self.connection.begin_anew().await;
    }

    /// Adds `message` under `id`, or under what `after` makes of the end of the stream.
    async fn place(
        &self,
        log_id: &str,
        mut id: EntryId,
        message: &Message,
        after: impl Fn(EntryId) -> Option<EntryId>,
    ) -> Result<Placed, Lost> {
        let key = key(&self.namespace, log_id);
        let text = message.write();
        let mut end = EntryId::default();
        for _ in 0..TRIES_MAX {
            let words = vec![
                Value::from(key.as_str()),
                Value::from("MAXLEN"),
                Value::from("~"),
                Value::from(ENTRIES_MAX as i64),
                Value::from(id.to_string()),
                Value::from(FIELD),
                Value::from(text.as_str()),
            ];
            match self.connection.ask::<String>("XADD", &key, words).await {
                Ok(_) => return Ok(Placed::Added),
                Err(lost) if !is_past(&lost) => return Err(lost),
                Err(_) => {}
            }
            // Emptied in between, the stream is past nothing any more.
            if let Some(found) = self.end(log_id).await?.filter(|end| *end >= id) {
                end = found;
                match after(found) {
                    Some(later) => id = later,
                    None => return Ok(Placed::Past(found)),
                }
            }
        }
        Ok(Placed::Past(end))
    }
}

/// Whether Redis refused an id because the stream is past it.
fn is_past(lost: &Lost) -> bool {
    match lost {
        Lost::Answer(error) => error.details().contains("equal or smaller"),
        Lost::Late(_) | Lost::Unreachable(_) | Lost::Refused(_) => false,
    }
}
