//! The tail of a log as a stream carries it, and what may be done with what comes.
//!
//! A frame says which stretch of the log it is; a heartbeat says how far the log has come. Neither is
//! the truth: whoever sees that something is missing reads it from a
//! [feed](crate::revocation::feed::RevocationFeed).

use serde::Deserialize;
use serde::Serialize;

use crate::revocation::Row;
use crate::revocation::entry::millis;
use crate::revocation::feed::Position;
use crate::time::Timestamp;

/// The way of writing that is understood here.
pub const VERSION: u32 = 1;

/// The most rows in one frame.
pub const FRAME_ROWS_MAX: usize = 500;

/// The most bytes of a message as it is written.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// What a frame's own words may take of [`MESSAGE_BYTES_MAX`], beside its rows and the log's id.
const FRAME_WORDS_BYTES_MAX: usize = 128;

/// A stretch of a log: what is left of all rows with numbers from `first` to `last`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Which log.
    pub log_id: String,
    /// The first number of the stretch; at least 1.
    pub first: u64,
    /// The last number of the stretch; at least `first`.
    pub last: u64,
    /// Rows of these numbers, in order. Only those are missing that the log itself has forgotten,
    /// since they can refuse nothing.
    pub rows: Vec<Row>,
}

/// How far a log has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Which log.
    pub log_id: String,
    /// The number of its last row; 0 for a log without rows.
    pub last: u64,
    /// When that was read off the log, by the publisher's clock before it asked.
    #[serde(rename = "at_ms", with = "millis")]
    pub at: Timestamp,
}

/// What a stream carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// A stretch of the log.
    Frame(Frame),
    /// How far it has come.
    Heartbeat(Heartbeat),
}

/// A message that cannot be read. What it would have said has to be asked for elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It is longer than [`MESSAGE_BYTES_MAX`].
    #[error("a message of {0} bytes; at most {MESSAGE_BYTES_MAX} are read")]
    Long(usize),
    /// It is written in another way.
    #[error("a message of version {0}; this one reads {VERSION}")]
    Version(u32),
    /// It is no JSON of the shape.
    #[error("no message at all")]
    Shape,
    /// Its stretch of the log is empty, or its rows lie outside, are out of order or too many.
    #[error("a frame whose rows are not those of its stretch of the log")]
    Rows,
}

/// What is to be done about a frame or a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It follows on what is known: its rows are all that was missing up to its end.
    Apply,
    /// All that it says is known.
    NothingNew,
    /// Something is missing, or it is of another log: a feed has to be asked.
    Repair,
}

#[derive(Serialize)]
struct Writing<'a> {
    v: u32,
    #[serde(flatten)]
    message: &'a Message,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

impl Frame {
    /// What is to be done about it where everything up to `at` is known.
    pub fn verdict(&self, at: &Position) -> Verdict {
        if self.log_id != at.log_id || self.first > at.seq.saturating_add(1) {
            return Verdict::Repair;
        }
        match self.last > at.seq {
            true => Verdict::Apply,
            false => Verdict::NothingNew,
        }
    }

    /// Frames for the rows of log `log_id` after number `after` up to `last`, which are `rows`, in
    /// order: as few as the bounds allow.
    ///
    /// A row that is too long for any frame is in none, and neither is its number: readers see a gap.
    pub fn of(log_id: &str, after: u64, last: u64, rows: Vec<Row>) -> Vec<Self> {
        let room = MESSAGE_BYTES_MAX.saturating_sub(FRAME_WORDS_BYTES_MAX + written_len(log_id));
        let mut frames = Vec::new();
        let begin =
            |first: u64| Self { log_id: log_id.to_owned(), first, last: first, rows: Vec::new() };
        let mut frame = begin(after.saturating_add(1));
        let mut bytes = 0;
        for row in rows {
            // And the comma before it.
            let more = written_len(&row) + 1;
            if frame.rows.len() == FRAME_ROWS_MAX || bytes + more > room {
                // Numbers without a row before this one go with those that are there.
                frame.end_at(row.seq - 1, &mut frames);
                frame = begin(row.seq);
                bytes = 0;
            }
            if more > room {
                frame = begin(row.seq + 1);
                continue;
            }
            bytes += more;
            frame.rows.push(row);
        }
        frame.end_at(last, &mut frames);
        frames
    }

    fn end_at(&mut self, last: u64, frames: &mut Vec<Self>) {
        if last >= self.first {
            let log_id = self.log_id.clone();
            let rows = std::mem::take(&mut self.rows);
            frames.push(Self { log_id, first: self.first, last, rows });
        }
    }

    fn is_sound(&self) -> bool {
        let inside = |seq| (self.first..=self.last).contains(&seq);
        1 <= self.first
            && self.first <= self.last
            && self.rows.len() <= FRAME_ROWS_MAX
            && self.rows.iter().all(|row| inside(row.seq))
            && self.rows.windows(2).all(|pair| pair[0].seq < pair[1].seq)
    }
}

impl Heartbeat {
    /// What is to be done about it where everything up to `at` is known; never [`Verdict::Apply`].
    pub fn verdict(&self, at: &Position) -> Verdict {
        // One that knows of less is no witness: the log may have lost rows that are known here.
        match self.log_id == at.log_id && self.last == at.seq {
            true => Verdict::NothingNew,
            false => Verdict::Repair,
        }
    }
}

impl Message {
    /// It, as one line of JSON.
    pub fn write(&self) -> String {
        let writing = Writing { v: VERSION, message: self };
        serde_json::to_string(&writing).expect("numbers and texts can always be written as JSON")
    }

    /// Reads what [`Message::write`] wrote.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn read(bytes: &[u8]) -> Result<Self, MessageError> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(MessageError::Long(bytes.len()));
        }
        // The version by itself: another one may say something of another shape.
        let version: Version = serde_json::from_slice(bytes).map_err(|_| MessageError::Shape)?;
        if version.v != VERSION {
            return Err(MessageError::Version(version.v));
        }
        match serde_json::from_slice(bytes).map_err(|_| MessageError::Shape)? {
            Self::Frame(frame) if !frame.is_sound() => Err(MessageError::Rows),
            message => Ok(message),
        }
    }
}

fn written_len(of: &(impl Serialize + ?Sized)) -> usize {
    serde_json::to_vec(of).expect("numbers and texts can always be written as JSON").len()
}

#[cfg(test)]
mod tests;
