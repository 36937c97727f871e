//! The table of revocations as a feed, and the loop that follows it.
//!
//! Writes of this process wake the loop at once; those of another process (the command line,
//! another Doorward) are looked for often enough that an act is seen within a tenth of a second:
//! at SQLite in `PRAGMA data_version`, at Postgres in the counter itself.

use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use kernel::revocation::Row;
use kernel::revocation::feed::FeedLost;
use kernel::revocation::feed::Position;
use kernel::revocation::feed::RevocationFeed;
use kernel::revocation::follower::Follower;
use kernel::time::Timestamp;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;

use super::database::Database;
use super::fault::DbError;
use super::revocations::position;
use super::revocations::rows_after;
use super::watched::Watched;
use crate::clock::Clock;

/// How often another process' writes are looked for.
pub(super) const POLL_EVERY: Duration = Duration::from_millis(40);

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
    /// out" is refused from then on. Waits not at all where nothing was written or nobody
    /// follows, and never for long.
    pub(crate) async fn reaches(&self, seq: Option<u64>) {
        let Some(seq) = seq else { return };
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
    mut follower: Follower,
    progress: &Progress,
    shutdown: impl Future<Output = ()>,
) {
    let mut feed = SqlFeed::of(database);
    let mut shutdown = pin!(shutdown);
    let mut written = database.written();
    let mut poll = interval(POLL_EVERY);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            _ = written.changed() => {}
            _ = poll.tick() => {}
        }
        let now = clock.now();
        if follower.tidy_up_if_due(now) {
            tracing::warn!("the revocation set was over its bound, and is filled anew");
        }
        match follower.catch_up(&mut feed, now).await {
            Ok(()) => {
                progress.0.send_replace(follower.position().map(|at| at.seq));
                if failing {
                    tracing::info!("revocations are followed again");
                }
                failing = false;
            }
            Err(error) => {
                // Once per outage: at this pace a line each time would fill the disk.
                if !failing {
                    tracing::error!(
                        // The database's own words, where it has any: they say more.
                        error = error.source().unwrap_or(&error),
                        "revocations cannot be read; those in force stay in force"
                    );
                }
                failing = true;
            }
        }
    }
    progress.0.send_replace(None);
}

/// The table as one edge reads it.
pub(crate) struct SqlFeed {
    database: Database,
    position: Watched<Position>,
}

impl SqlFeed {
    pub(crate) fn of(database: &Database) -> Self {
        Self { database: database.clone(), position: Watched::of(database, position) }
    }
}

impl RevocationFeed for SqlFeed {
    async fn position(&mut self) -> Result<Position, FeedLost> {
        self.position.look().await.map_err(lost)
    }

    async fn rows_after(&mut self, after: u64, now: Timestamp) -> Result<Vec<Row>, FeedLost> {
        self.database.watch(move |sql| rows_after(sql, after, now)).await.map_err(lost)
    }
}

fn lost(error: DbError) -> FeedLost {
    match error {
        DbError::Busy
        | DbError::Lost
        | DbError::Unreachable(_)
        | DbError::Sqlite(_)
        | DbError::Postgres(_)
        | DbError::NoRandomness(_) => FeedLost::Unreachable(error.into()),
        DbError::Row(_) => FeedLost::Answer(error.into()),
    }
}

#[cfg(test)]
mod tests;
