//! Follows a log through a feed: a snapshot first, then the tail. When to look is its caller's.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::revocation::RevocationSet;
use crate::revocation::Row;
use crate::revocation::feed::FeedLost;
use crate::revocation::feed::Position;
use crate::revocation::feed::RevocationFeed;
use crate::revocation::frame::Frame;
use crate::revocation::frame::Heartbeat;
use crate::revocation::frame::Verdict;
use crate::time::Timestamp;

/// How often a set forgets what has expired.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Is told how long after the time in it, which its act wrote down a moment before its commit, a row was
/// applied.
pub type LagWitness = Arc<dyn Fn(Duration) + Send + Sync>;

/// Keeps a [`RevocationSet`] as a log says, and remembers how far it has come.
///
/// One set may have several, each with a feed of its own.
pub struct Follower {
    set: Arc<RevocationSet>,
    at: Option<Position>,
    /// By this time rows were left out and forgotten as expired.
    expired_by: Timestamp,
    tidied_at: Timestamp,
    /// Whether everything up to `at` was taken in, so that what follows is new.
    is_at_the_tail: bool,
    witness: Option<LagWitness>,
}

impl Follower {
    /// A follower that has read nothing yet and fills `set`.
    pub fn new(set: Arc<RevocationSet>) -> Self {
        Self {
            set,
            at: None,
            expired_by: Timestamp::default(),
            tidied_at: Timestamp::default(),
            is_at_the_tail: false,
            witness: None,
        }
    }

    /// The same, and `witness` is told of every row of the tail how long it took to get here; what
    /// is read from the beginning is old, and nobody is told of it. Where the clock of whoever did
    /// the act is ahead of this one, it took no time.
    pub fn witnessed_by(self, witness: LagWitness) -> Self {
        Self { witness: Some(witness), ..self }
    }

    /// The set that it fills. Rows may be applied to it beside: their order does not matter, and none
    /// does harm twice.
    pub fn set(&self) -> &Arc<RevocationSet> {
        &self.set
    }

    /// How far it has come: what stands up to there is in the set. `None` before the first look.
    pub fn position(&self) -> Option<&Position> {
        self.at.as_ref()
    }

    /// Takes in whatever is new; from the first time that this succeeds, the set answers.
    ///
    /// Where the log is another one, or shorter than it was, after [`Self::tidy_up_if_due`] said so, and
    /// where the clock was put back, everything is read from the beginning.
    ///
    /// # Errors
    /// [`FeedLost`]: what was taken in stays in force, and the next call reads on from where the
    /// last one that succeeded ended.
    pub async fn catch_up(
        &mut self,
        feed: &mut impl RevocationFeed,
        now: Timestamp,
    ) -> Result<(), FeedLost> {
        // Fixed before the first read: whatever is written meanwhile, the snapshot has an end.
        let target = feed.position().await?;
        self.catch_up_to(target, now, feed, now).await
    }

    /// The same, up to where the log was by `target`, which `feed` told: the set was complete at
    /// `asked_at`, when it was asked for that, however long the answer took.
    ///
    /// # Errors
    /// As [`Self::catch_up`].
    pub async fn catch_up_to(
        &mut self,
        target: Position,
        asked_at: Timestamp,
        feed: &mut impl RevocationFeed,
        now: Timestamp,
    ) -> Result<(), FeedLost> {
        let mut from = self.start(&target, now);
        let witness = self.witness.as_ref().filter(|_| self.is_at_the_tail);
        while from < target.seq {
            let rows = feed.rows_after(from, now).await?;
            let reached = in_order(&rows, from)?;
            self.set.apply(&rows, now);
            if let Some(witness) = witness {
                // What lies beyond comes again, by a frame or with the next reading.
                let awaited = rows.iter().filter(|row| row.seq <= target.seq);
                awaited.for_each(|row| witness(now.since(row.at)));
            }
            if reached == from {
                // What is left up to the target can refuse nothing.
                break;
            }
            from = reached;
        }
        self.set.apply_snapshot(target.seq, &[], asked_at.min(now));
        self.at = Some(target);
        self.is_at_the_tail = true;
        Ok(())
    }

    /// Takes in a frame of the tail. After [`Verdict::Repair`] it has to [catch up](Self::catch_up).
    ///
    /// The rows of a frame are in force at once wherever it stands, since their order does not matter
    /// and none does harm twice; but the position stays before a gap, so that what is missing is not
    /// forgotten. The witness is told how long they took until `heard_at`: whoever kept the frame since
    /// has applied them then.
    pub fn take(&mut self, frame: &Frame, heard_at: Timestamp, now: Timestamp) -> Verdict {
        let Some(at) = self.at.as_mut().filter(|at| at.log_id == frame.log_id) else {
            return Verdict::Repair;
        };
        // Before anything else: whatever numbers it bears, what it takes back is taken back.
        self.set.apply(&frame.rows, now);
        let verdict = frame.verdict(at);
        if verdict == Verdict::NothingNew {
            return verdict;
        }
        if !self.set.has_snapshot() || now < self.expired_by {
            return Verdict::Repair;
        }
        self.expired_by = now;
        if verdict == Verdict::Apply {
            if let Some(witness) = self.witness.as_ref().filter(|_| self.is_at_the_tail) {
                let news = frame.rows.iter().filter(|row| row.seq > at.seq);
                news.for_each(|row| witness(heard_at.since(row.at)));
            }
            at.seq = frame.last;
        }
        verdict
    }

    /// Hears how far the log has come: what is complete up to there was so when that was read off
    /// the log. After [`Verdict::Repair`] it has to [catch up](Self::catch_up).
    ///
    /// A publisher whose clock is ahead makes nothing newer than `now`.
    pub fn hear(&mut self, heartbeat: &Heartbeat, now: Timestamp) -> Verdict {
        let Some(at) = self.at.as_ref().filter(|_| self.set.has_snapshot()) else {
            return Verdict::Repair;
        };
        let verdict = heartbeat.verdict(at);
        // A set over its bound is not complete, and no reading helps.
        if verdict == Verdict::NothingNew && self.set.is_ready() {
            self.set.was_complete(heartbeat.at.min(now));
        }
        verdict
    }

    /// Whether a feed that was asked where the log is, and said `told`, has nothing that is not in the
    /// set at `now`. `before` was the [position](Self::position) when it was asked, at `asked_at`:
    /// what came since may be more than the feed knew.
    ///
    /// Where it has nothing, the set was complete at `asked_at`.
    pub fn has_all_of(
        &self,
        told: &Position,
        before: &Position,
        asked_at: Timestamp,
        now: Timestamp,
    ) -> bool {
        let has_all = self.at.as_ref().is_some_and(|at| {
            at.log_id == told.log_id
                && before.log_id == told.log_id
                // A log that is shorter than it was has to be read from the beginning.
                && (before.seq..=at.seq).contains(&told.seq)
        });
        let has_all = has_all && self.set.has_snapshot() && now >= self.expired_by;
        if has_all && self.set.is_ready() {
            self.set.was_complete(asked_at.min(now));
        }
        has_all
    }

    /// Forgets what has expired, where that was not done within the last minute; call it at every
    /// turn.
    ///
    /// Says whether entries had been lost for want of room and there is room again: then the set
    /// answers nothing until everything was read anew.
    pub fn tidy_up_if_due(&mut self, now: Timestamp) -> bool {
        let was_put_back = now < self.tidied_at;
        (was_put_back || now.since(self.tidied_at) >= FORGET_EVERY) && self.tidy_up(now)
    }

    pub(super) fn tidy_up(&mut self, now: Timestamp) -> bool {
        self.tidied_at = now;
        self.expired_by = self.expired_by.max(now);
        self.set.forget_expired(now);
        self.set.start_over(now)
    }

    /// After which number to read.
    fn start(&mut self, target: &Position, now: Timestamp) -> u64 {
        let mut at = match self.at.take() {
            Some(at) if at.log_id == target.log_id && at.seq <= target.seq => at,
            other => {
                if other.is_some() {
                    self.set.begin_another_log();
                }
                self.is_at_the_tail = false;
                // Remembered at once: if the read breaks off, some of its rows are in the set.
                Position { log_id: target.log_id.clone(), seq: 0 }
            }
        };
        // What had expired by a clock that was ahead is in force again.
        if now < self.expired_by {
            at.seq = 0;
            self.expired_by = Timestamp::default();
            self.is_at_the_tail = false;
        }
        self.expired_by = self.expired_by.max(now);
        let seq = at.seq;
        self.at = Some(at);
        // The set itself says that entries were lost, whoever noticed it.
        if self.set.has_snapshot() {
            return seq;
        }
        self.is_at_the_tail = false;
        0
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Follower({:?})", self.at)
    }
}

/// The number of the last of `rows`, which must ascend from `after`; `after` where there is none.
///
/// Otherwise a feed that repeats itself would be asked for ever.
fn in_order(rows: &[Row], after: u64) -> Result<u64, FeedLost> {
    rows.iter().try_fold(after, |after, row| match row.seq {
        seq if seq > after => Ok(seq),
        seq => Err(FeedLost::Order { after, seq }),
    })
}
