//! The log of revocations, as an admin API elsewhere tells it.

use std::time::Duration;

use kernel::fleet::POSITION_PATH;
use kernel::fleet::ROWS_PATH;
use kernel::fleet::read_rows;
use kernel::revocation::Row;
use kernel::revocation::feed::FeedLost;
use kernel::revocation::feed::Position;
use kernel::revocation::feed::RevocationFeed;
use kernel::time::Timestamp;

use super::line::Line;
use super::line::LineError;

/// The feed of one edge.
#[derive(Debug)]
pub struct HttpFeed {
    line: Line,
}

impl HttpFeed {
    /// The feed of whoever is at the other end of `line`.
    pub fn new(line: Line) -> Self {
        Self { line }
    }

    /// Waits until the log is elsewhere than at `known`, but no longer than `wait`; says where it is
    /// then.
    ///
    /// # Errors
    /// [`FeedLost`].
    pub async fn wait_for_news(
        &self,
        known: &Position,
        wait: Duration,
    ) -> Result<Position, FeedLost> {
        let query = [("after", known.to_string()), ("wait_ms", wait.as_millis().to_string())];
        self.ask_where(&query, wait).await
    }

    async fn ask_where(
        &self,
        query: &[(&str, String)],
        wait: Duration,
    ) -> Result<Position, FeedLost> {
        let answer = self.line.ask(POSITION_PATH, query, None, wait).await.map_err(lost)?;
        serde_json::from_slice(&answer.body).map_err(unread)
    }
}

impl RevocationFeed for HttpFeed {
    async fn position(&mut self) -> Result<Position, FeedLost> {
        self.ask_where(&[], Duration::ZERO).await
    }

    async fn rows_after(&mut self, after: u64, now: Timestamp) -> Result<Vec<Row>, FeedLost> {
        let query = [("after", after.to_string()), ("now_ms", now.as_millis().to_string())];
        let answer = self.line.ask(ROWS_PATH, &query, None, Duration::ZERO).await;
        read_rows(&answer.map_err(lost)?.body).map_err(unread)
    }
}

fn lost(error: LineError) -> FeedLost {
    match error.is_away() {
        true => FeedLost::Unreachable(error.into()),
        false => FeedLost::Answer(error.into()),
    }
}

fn unread(error: serde_json::Error) -> FeedLost {
    FeedLost::Answer(LineError::Body(error.to_string()).into())
}
