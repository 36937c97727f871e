//! An edge that follows a log under test; the only place where the suite touches the follower.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::witnesses::Answer;
use super::witnesses::answer_to;
use super::witnesses::answers;
use crate::revocation::RevocationError;
use crate::revocation::RevocationSet;
use crate::revocation::Row;
use crate::revocation::feed::FeedLost;
use crate::revocation::feed::Position;
use crate::revocation::feed::RevocationFeed;
use crate::revocation::follower::Follower;
use crate::time::Timestamp;

pub(super) struct Edge<F> {
    pub(super) set: Arc<RevocationSet>,
    pub(super) feed: Faltering<F>,
    follower: Follower,
}

impl<F: RevocationFeed> Edge<F> {
    pub(super) fn new(feed: F) -> Self {
        Self::filling(Arc::default(), feed)
    }

    /// A second feed into the same set.
    pub(super) fn beside(&self, feed: F) -> Self {
        Self::filling(Arc::clone(&self.set), feed)
    }

    fn filling(set: Arc<RevocationSet>, feed: F) -> Self {
        let follower = Follower::new(Arc::clone(&set));
        Self { set, feed: Faltering { feed, answers_left: usize::MAX }, follower }
    }

    pub(super) async fn catch_up(&mut self, now: Timestamp) {
        self.try_to_catch_up(now).await.expect("a feed under test can be reached");
    }

    /// Looks while the feed gives so many answers before it fails; then it is well again.
    pub(super) async fn break_off_after(&mut self, answers: usize, now: Timestamp) {
        self.feed.answers_left = answers;
        let outcome = self.try_to_catch_up(now).await;
        assert!(outcome.is_err(), "{answers} answers are not the whole log");
        self.feed.answers_left = usize::MAX;
    }

    pub(super) async fn try_to_catch_up(&mut self, now: Timestamp) -> Result<(), FeedLost> {
        self.follower.catch_up(&mut self.feed, now).await
    }

    pub(super) fn tidy_up(&mut self, now: Timestamp) {
        self.follower.tidy_up(now);
    }

    pub(super) fn position(&self) -> Option<Position> {
        self.follower.position().cloned()
    }

    pub(super) fn answers(&self) -> Vec<Answer> {
        answers(&self.set)
    }

    pub(super) fn answer_to(&self, user: &str, sid: &str) -> Answer {
        answer_to(&self.set, user, sid)
    }

    /// Whether the session is refused; an edge that does not answer fails.
    pub(super) fn refuses(&self, sid: &str) -> bool {
        assert!(self.set.is_ready(), "the edge answers");
        self.answer_to("u1", sid) == Err(RevocationError::Revoked)
    }

    /// All rows after number `after`, however many reads that takes, and the largest read.
    pub(super) async fn all_rows_after(
        &mut self,
        mut after: u64,
        now: Timestamp,
    ) -> (Vec<Row>, usize) {
        let (mut all, mut largest) = (Vec::new(), 0);
        loop {
            let rows = self.feed.rows_after(after, now).await.expect("a feed that can be reached");
            let Some(last) = rows.last() else { return (all, largest) };
            assert!(last.seq > after, "each read gets further");
            after = last.seq;
            largest = largest.max(rows.len());
            all.extend(rows);
        }
    }
}

/// A feed that fails when the suite wants it to, and lets others go first.
pub(super) struct Faltering<F> {
    feed: F,
    pub(super) answers_left: usize,
}

impl<F> Faltering<F> {
    async fn falter(&mut self) -> Result<(), FeedLost> {
        pause().await;
        match self.answers_left.checked_sub(1) {
            Some(left) => self.answers_left = left,
            None => return Err(FeedLost::Unreachable("the suite wants it to fail".into())),
        }
        Ok(())
    }
}

impl<F: RevocationFeed> RevocationFeed for Faltering<F> {
    async fn position(&mut self) -> Result<Position, FeedLost> {
        self.falter().await?;
        self.feed.position().await
    }

    async fn rows_after(&mut self, after: u64, now: Timestamp) -> Result<Vec<Row>, FeedLost> {
        self.falter().await?;
        self.feed.rows_after(after, now).await
    }
}

/// Lets whoever else is in the same task go on.
pub(super) async fn pause() {
    let mut paused = false;
    poll_fn(|context| {
        if paused {
            return Poll::Ready(());
        }
        paused = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
