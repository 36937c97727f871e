//! What a feed of revocations promises: the trait, where a log is, and why there is no answer.

use std::error::Error;
use std::fmt;
use std::future::Future;

use serde::Deserialize;
use serde::Serialize;

use crate::revocation::Row;
use crate::time::Timestamp;

/// The most rows that a feed gives in one read.
pub const ROWS_READ_MAX: usize = 1000;

/// Where a log is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Which log: random, and another after a restored backup or a failover.
    pub log_id: String,
    /// The number of its last row; 0 for a log without rows.
    pub seq: u64,
}

impl Position {
    /// Reads `<log id>:<number>`, as [`Display`](fmt::Display) writes it; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (log_id, seq) = text.rsplit_once(':')?;
        let is_number = !seq.is_empty() && seq.bytes().all(|b| b.is_ascii_digit());
        let seq = is_number.then(|| seq.parse().ok()).flatten()?;
        (!log_id.is_empty()).then(|| Self { log_id: log_id.to_owned(), seq })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.log_id, self.seq)
    }
}

/// The feed gave no answer; what is known stays in force.
#[derive(Debug, thiserror::Error)]
pub enum FeedLost {
    /// It cannot be reached, or did not answer in time.
    #[error("the revocation feed cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// It answered, but not what was asked.
    #[error("the revocation feed gave an answer that makes no sense")]
    Answer(#[source] Box<dyn Error + Send + Sync>),
    /// It gave rows in another order than that of their numbers.
    #[error("the revocation feed gave row {seq} where one after {after} was due")]
    Order {
        /// The number that stood before.
        after: u64,
        /// The number that followed.
        seq: u64,
    },
}

/// Carries the rows of one log of revocations to an edge.
///
/// Contract, proved by [`conformance`](crate::revocation::conformance):
///
/// - A log is a snapshot and its tail: all rows up to the number s, then those after s. Numbers
///   begin at 1, have no gaps, and are in the order of the commits.
/// - What a position counts can be read: a row with a number up to [`Position::seq`] is given by
///   each read that begins after that position was told.
/// - Rows that can no longer refuse anything may be left out, and no others. Only the reader's
///   `now` says which these are, whatever clock the feed has. A feed that has lost a row which
///   could still refuse something fails, rather than leave it out.
/// - Another log id, or a log shorter than it was, means: start from the beginning. A log that may
///   have lost rows is given another id, since once it has grown past where it was, nothing else
///   tells.
/// - Reading again does no harm, and changes nothing.
///
/// How an edge learns that it is time to look is no part of it.
pub trait RevocationFeed: Send {
    /// Says where the log is now.
    ///
    /// # Errors
    /// [`FeedLost`] when the feed gave no answer.
    fn position(&mut self) -> impl Future<Output = Result<Position, FeedLost>> + Send;

    /// Reads the first rows after number `after` that can still refuse something at `now`, in
    /// order; at most [`ROWS_READ_MAX`], and none only where there is none.
    ///
    /// # Errors
    /// [`FeedLost`] when the feed gave no answer.
    fn rows_after(
        &mut self,
        after: u64,
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<Row>, FeedLost>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_written_as_its_log_and_its_number_and_reads_back() {
        let at = |log_id: &str, seq| Position { log_id: log_id.to_owned(), seq };
        for (position, text) in
            [(at("l1", 0), "l1:0"), (at("a:b", u64::MAX), "a:b:18446744073709551615")]
        {
            assert_eq!(position.to_string(), text);
            assert_eq!(Position::parse(text), Some(position));
        }
        for text in
            ["", ":", "l1", "l1:", ":7", "l1:-1", "l1:+1", "l1:1.0", "l1:99999999999999999999"]
        {
            assert_eq!(Position::parse(text), None, "{text}");
        }
    }
}
