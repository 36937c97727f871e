//! Follows a log through a feed: a snapshot first, then the tail. When to look is its caller's.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::revocation::RevocationSet;
use crate::revocation::Row;
use crate::revocation::feed::FeedLost;
use crate::revocation::feed::Position;
use crate::revocation::feed::RevocationFeed;
use crate::time::Timestamp;

/// Is told how long after the commit of its act a row was applied.
pub type LagWitness = Arc<dyn Fn(Duration) + Send + Sync>;

/// Keeps a [`RevocationSet`] as a log says, and remembers how far it has come.
///
/// One set may have several, each with a feed of its own.
pub struct Follower {
    set: Arc<RevocationSet>,
    at: Option<Position>,
    /// By this time rows were left out and forgotten as expired.
    expired_by: Timestamp,
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

    /// How far it has come: what stands up to there is in the set. `None` before the first look.
    pub fn position(&self) -> Option<&Position> {
        self.at.as_ref()
    }

    /// Takes in whatever is new; from the first time that this succeeds, the set answers.
    ///
    /// Where the log is another one, or shorter than it was, after [`Self::tidy_up`] said so, and
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
        let mut from = self.start(&target, now);
        let witness = self.witness.as_ref().filter(|_| self.is_at_the_tail);
        while from < target.seq {
            let rows = feed.rows_after(from, now).await?;
            let reached = in_order(&rows, from)?;
            self.set.apply(&rows, now);
            if let Some(witness) = witness {
                rows.iter().for_each(|row| witness(now.since(row.at)));
            }
            if reached == from {
                // What is left up to the target can refuse nothing.
                break;
            }
            from = reached;
        }
        self.set.apply_snapshot(target.seq, &[], now);
        self.at = Some(target);
        self.is_at_the_tail = true;
        Ok(())
    }

    /// Forgets what has expired. Run it now and then.
    ///
    /// Says whether entries had been lost for want of room and there is room again: then the set
    /// answers nothing until everything was read anew.
    pub fn tidy_up(&mut self, now: Timestamp) -> bool {
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
