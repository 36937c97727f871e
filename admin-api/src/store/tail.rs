//! Carries the table of revocations into a [`RevocationSet`]: a snapshot first, then the tail.
//!
//! Writes of this process wake it at once; those of another process (the command line) show in
//! `PRAGMA data_version`, asked often enough that an act is seen within a tenth of a second.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use kernel::revocation::RevocationSet;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;

use super::database::Database;
use super::fault::DbError;
use super::revocations::Position;
use super::revocations::ROWS_READ_MAX;
use super::revocations::position;
use super::revocations::rows_after;
use crate::clock::Clock;

/// How often another process' writes are looked for.
const POLL_EVERY: Duration = Duration::from_millis(40);

/// How often the set is told to forget what has expired.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// How long an act waits to be seen at the edge before it is answered all the same.
const SEEN_WITHIN: Duration = Duration::from_millis(250);

/// How far the set has come: the last number taken in, `None` while nobody follows.
#[derive(Clone)]
pub(crate) struct Progress(watch::Sender<Option<u64>>);

impl Progress {
    /// Nobody follows yet.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Waits until the row `seq` is in force in this process, so that whoever is told "logged
    /// out" is refused from then on. Waits not at all where nobody follows, and never for long.
    pub(crate) async fn reaches(&self, seq: u64) {
        let mut applied = self.0.subscribe();
        let there = applied.wait_for(|applied| applied.is_none_or(|applied| applied >= seq));
        // Late is no fault of the act: it is committed, and the tail will come to it.
        let _ = tokio::time::timeout(SEEN_WITHIN, there).await;
    }
}

/// Follows the table until `shutdown`.
pub(crate) async fn follow(
    database: &Database,
    clock: &Clock,
    set: Arc<RevocationSet>,
    progress: &Progress,
    shutdown: impl Future<Output = ()>,
) {
    let mut tail = Tail { database, clock, set, at: None, version: None };
    let mut shutdown = pin!(shutdown);
    let mut written = database.written();
    let mut poll = interval(POLL_EVERY);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut forget = interval(FORGET_EVERY);
    let mut failing = false;
    loop {
        let cause = tokio::select! {
            biased;
            () = &mut shutdown => break,
            _ = written.changed() => Cause::Written,
            _ = forget.tick() => {
                tail.tidy_up();
                continue;
            }
            _ = poll.tick() => Cause::Poll,
        };
        match tail.catch_up(cause).await {
            Ok(()) => {
                progress.0.send_replace(tail.at.as_ref().map(|at| at.seq));
                if failing {
                    tracing::info!("revocations are followed again");
                }
                failing = false;
            }
            Err(error) => {
                // Once per outage: at this pace a line each time would fill the disk.
                if !failing {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "revocations cannot be read; those in force stay in force"
                    );
                }
                failing = true;
            }
        }
    }
    progress.0.send_replace(None);
}

/// Why the tail looks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// This process wrote.
    Written,
    /// It is time.
    Poll,
}

struct Tail<'a> {
    database: &'a Database,
    clock: &'a Clock,
    set: Arc<RevocationSet>,
    at: Option<Position>,
    version: Option<i64>,
}

impl Tail<'_> {
    /// Forgets what has expired; where entries were lost for want of room and there is room
    /// again, everything is read anew.
    fn tidy_up(&mut self) {
        let now = self.clock.now();
        self.set.forget_expired(now);
        if self.set.start_over(now) {
            tracing::warn!("the revocation set was over its bound, and is filled anew");
            (self.at, self.version) = (None, None);
        }
    }

    /// Takes in whatever is new.
    async fn catch_up(&mut self, cause: Cause) -> Result<(), DbError> {
        let seen = self.version.filter(|_| cause == Cause::Poll);
        let look = self.database.watch(move |connection| {
            let version = connection.query_row("PRAGMA data_version", [], |row| row.get(0))?;
            if seen == Some(version) {
                return Ok(None);
            }
            Ok(Some((version, position(connection)?)))
        });
        let Some((version, target)) = look.await? else {
            return Ok(());
        };
        self.take_in(self.start(&target), &target).await?;
        self.version = Some(version);
        self.at = Some(target);
        Ok(())
    }

    /// Where to read from: after what was taken in, or from the beginning where the log is
    /// another one or shorter than it was, as after a restored backup.
    fn start(&self, target: &Position) -> u64 {
        match &self.at {
            Some(at) if at.log_id == target.log_id && at.seq <= target.seq => at.seq,
            _ => 0,
        }
    }

    async fn take_in(&self, mut from: u64, target: &Position) -> Result<(), DbError> {
        let now = self.clock.now();
        while from < target.seq {
            let read = move |connection: &_| rows_after(connection, from, now);
            let rows = self.database.watch(read).await?;
            self.set.apply(&rows, now);
            match rows.last() {
                Some(last) if rows.len() == ROWS_READ_MAX => from = last.seq,
                _ => break,
            }
        }
        self.set.apply_snapshot(target.seq, &[], now);
        Ok(())
    }
}
