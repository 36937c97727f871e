//! Carries the tail of the table of revocations to the gateways, by a Redis Stream.
//!
//! One process at a time does it, by a lease in the database. That keeps the work from being done twice
//! and no more: what makes it safe is that entries have the log's own numbers for ids, that all
//! publishers read them from the same table, and that Redis refuses an id that is not past all others.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use kernel::revocation::feed::Position;
use kernel::revocation::feed::ROWS_READ_MAX;
use kernel::revocation::frame::Frame;
use kernel::revocation::frame::Heartbeat;
use kernel::time::Timestamp;
use stores::redis::connection::Lost;
use stores::redis::stream::publisher::Placed;
use stores::redis::stream::publisher::StreamPublisher;
use tokio::time::Instant;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio::time::sleep;

use super::database::Database;
use super::fault::DbError;
use super::publisher_lease::LEASE_FOR;
use super::publisher_lease::hold;
use super::publisher_lease::holds;
use super::publisher_lease::let_go;
use super::revocations::begin_another_log;
use super::revocations::position;
use super::revocations::rows_after;
use super::watched::Watched;
use crate::clock::Clock;

/// How often what is new is sent.
const FLUSH_EVERY: Duration = Duration::from_millis(10);

/// How often it is said how far the log has come, and the lease is renewed.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);

/// So much before the lease ends nothing is sent any more.
const LEASE_MARGIN: Duration = Duration::from_millis(500);

/// How often whoever stands by looks whether the lease is free.
const STAND_BY_EVERY: Duration = Duration::from_millis(500);

/// How long to wait after Redis or the database gave no answer.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// How long Redis may be out of reach before another process shall try.
const UNREACHED_MAX: Duration = Duration::from_secs(3);

/// The most rows that are sent although the stream has missed them; where it missed more, readers ask
/// a feed.
const BACKLOG_ROWS_MAX: u64 = ROWS_READ_MAX as u64;

/// Publishes until `shutdown`, whenever nobody else does. `holder` is a name that no other process has.
pub(crate) async fn publish(
    database: &Database,
    clock: &Clock,
    stream: &StreamPublisher,
    holder: &str,
    shutdown: impl Future<Output = ()>,
) {
    let mut publisher = Publisher {
        database,
        clock,
        stream,
        holder: holder.into(),
        log: Watched::of(database, position),
        published: None,
        is_sure: false,
        held_until: Instant::now(),
        unreached_since: None,
        fails: false,
    };
    tokio::select! {
        biased;
        () = shutdown => {}
        () = publisher.work() => {}
    }
    // Otherwise whoever stands by waits for its end.
    let _ = publisher.let_go().await;
}

struct Publisher<'a> {
    database: &'a Database,
    clock: &'a Clock,
    stream: &'a StreamPublisher,
    holder: String,
    log: Watched<Position>,
    /// Up to where the stream was told.
    published: Option<Position>,
    /// Whether the stream still is there, for all that is known.
    is_sure: bool,
    /// Until when it may send, by the clock of this process.
    held_until: Instant,
    /// Since when Redis does not answer.
    unreached_since: Option<Instant>,
    fails: bool,
}

/// What stands in the way.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the database gave no answer")]
    Database(#[from] DbError),
    #[error("Redis gave no answer")]
    Redis(#[from] Lost),
}

/// How far a flush came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flushed {
    /// All that was in the table is in the stream, and the heartbeat that was owed.
    All,
    /// What was read of the table is in the stream.
    Rows,
    /// The same, and there is more to read.
    More,
    /// Something is not as it was thought to be: it has to be looked at anew.
    Again,
}

impl Publisher<'_> {
    async fn work(&mut self) {
        loop {
            let asked = Instant::now();
            match self.hold().await {
                Ok(true) => {
                    self.held_until = asked + LEASE_FOR - LEASE_MARGIN;
                    if !self.fails {
                        tracing::info!("this process carries revocations to Redis");
                    }
                    self.carry().await;
                    if self.unreached_since.is_some() {
                        // Somebody else may reach it.
                        let _ = self.let_go().await;
                        sleep(LEASE_FOR).await;
                    }
                }
                Ok(false) => {}
                Err(error) => self.failed(&error.into()),
            }
            sleep(STAND_BY_EVERY).await;
        }
    }

    /// Carries what comes for as long as the lease is held and Redis can be reached.
    async fn carry(&mut self) {
        (self.published, self.is_sure, self.unreached_since) = (None, false, None);
        let mut tick = interval(FLUSH_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renew_at = Instant::now() + HEARTBEAT_EVERY;
        // The first heartbeat at once: readers learn what was missed meanwhile.
        let mut owes_heartbeat = true;
        let mut flushed = Flushed::All;
        loop {
            match flushed {
                Flushed::All | Flushed::Rows => drop(tick.tick().await),
                Flushed::More => {}
                // Not at once: whatever is in the way, it is asked for patiently.
                Flushed::Again => sleep(RETRY_AFTER).await,
            }
            if Instant::now() >= renew_at.min(self.held_until) {
                let asked = Instant::now();
                match self.hold().await {
                    Ok(true) => {
                        self.held_until = asked + LEASE_FOR - LEASE_MARGIN;
                        renew_at = asked + HEARTBEAT_EVERY;
                        owes_heartbeat = true;
                    }
                    Ok(false) => {
                        tracing::info!("another process carries revocations to Redis");
                        return;
                    }
                    Err(error) => {
                        self.failed(&error.into());
                        if Instant::now() >= self.held_until {
                            return;
                        }
                        renew_at = asked + RETRY_AFTER;
                    }
                }
            }
            match self.flush(owes_heartbeat).await {
                Ok(far) => {
                    flushed = far;
                    owes_heartbeat &= far != Flushed::All;
                    self.succeeded();
                }
                Err(fault) => {
                    self.failed(&fault);
                    flushed = Flushed::All;
                    if let Fault::Redis(lost) = fault {
                        // Whatever was sent last may have come there or not.
                        self.is_sure = false;
                        let since = *self.unreached_since.get_or_insert_with(Instant::now);
                        if since.elapsed() >= UNREACHED_MAX {
                            return;
                        }
                        if matches!(lost, Lost::Refused(_)) {
                            self.stream.begin_anew().await;
                        }
                    }
                    sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// Sends what is new, at most one read of the table, and then the heartbeat if one is owed.
    async fn flush(&mut self, owes_heartbeat: bool) -> Result<Flushed, Fault> {
        // Before the table is asked: the heartbeat must not be newer than what it says.
        let at = self.clock.now();
        let here = self.log.look().await?;
        let Some(from) = self.start(&here).await? else { return Ok(Flushed::Again) };
        if from < here.seq {
            return self.send_rows(&here.log_id, from).await;
        }
        if owes_heartbeat {
            return self.send_heartbeat(here, at).await;
        }
        Ok(Flushed::All)
    }

    /// Sends the rows after number `from`, as many as one read gives.
    async fn send_rows(&mut self, log_id: &str, from: u64) -> Result<Flushed, Fault> {
        let read = self.database.watch(move |sql| {
            let before = position(sql)?;
            // All that are there: only a reader's clock says what has expired.
            let rows = rows_after(sql, from, Timestamp::default())?;
            Ok((before, rows, position(sql)?.log_id))
        });
        let (before, rows, log_id_after) = read.await?;
        if before.log_id != log_id || log_id_after != log_id {
            return Ok(Flushed::Again);
        }
        let last_read = rows.last().map_or(from, |row| row.seq);
        let (last, flushed) = match rows.len() < ROWS_READ_MAX {
            true => (last_read.max(before.seq), Flushed::Rows),
            false => (last_read, Flushed::More),
        };
        for frame in Frame::of(log_id, from, last, rows) {
            let reached = frame.last;
            if !self.may_send() || self.stream.frame(frame).await? != Placed::Added {
                self.is_sure = false;
                return Ok(Flushed::Again);
            }
            self.reached(reached);
        }
        self.reached(last);
        Ok(flushed)
    }

    async fn send_heartbeat(&mut self, here: Position, at: Timestamp) -> Result<Flushed, Fault> {
        let beat = Heartbeat { log_id: here.log_id, last: here.seq, at };
        if !self.may_send() || self.stream.heartbeat(beat).await? != Placed::Added {
            self.is_sure = false;
            return Ok(Flushed::Again);
        }
        Ok(Flushed::All)
    }

    /// After which number to send, where the log is `here`; `None` where it has to be looked at anew.
    async fn start(&mut self, here: &Position) -> Result<Option<u64>, Fault> {
        let own = self.published.as_ref().filter(|own| own.log_id == here.log_id);
        let own = own.map(|own| own.seq);
        if let Some(own) = own.filter(|own| self.is_sure && *own <= here.seq) {
            return Ok(Some(own));
        }
        let end = self.stream.end(&here.log_id).await?.map(|end| end.seq);
        if let Some(carried) = end.max(own).filter(|carried| *carried > here.seq) {
            self.check_history(here, carried).await?;
            return Ok(None);
        }
        let known = end.or(own).unwrap_or(here.seq);
        let from = if here.seq - known > BACKLOG_ROWS_MAX { here.seq } else { known };
        self.published = Some(Position { log_id: here.log_id.clone(), seq: from });
        self.is_sure = true;
        Ok(Some(from))
    }

    /// The log was carried further than it goes: another process wrote meanwhile, or the table is one
    /// that was restored, or lost its last rows. Then it has to be called another, since numbers that
    /// are given twice would be taken for known.
    async fn check_history(&self, here: &Position, carried: u64) -> Result<(), Fault> {
        let (log_id, holder) = (here.log_id.clone(), self.holder.clone());
        let renamed = self.database.write(move |tx| {
            Ok::<_, DbError>(holds(tx, &holder)? && begin_another_log(tx, &log_id, carried)?)
        });
        if renamed.await? {
            tracing::warn!(
                "revocations were carried up to number {carried}, and the database has fewer: was it \
                 restored? All gateways read them anew"
            );
        }
        Ok(())
    }

    fn reached(&mut self, seq: u64) {
        if let Some(published) = &mut self.published {
            published.seq = seq;
        }
    }

    fn may_send(&self) -> bool {
        Instant::now() < self.held_until
    }

    async fn hold(&self) -> Result<bool, DbError> {
        let holder = self.holder.clone();
        self.database.write_at_once(move |tx| hold(tx, &holder)).await
    }

    async fn let_go(&self) -> Result<(), DbError> {
        let holder = self.holder.clone();
        self.database.write_at_once(move |tx| let_go(tx, &holder)).await
    }

    fn failed(&mut self, fault: &Fault) {
        // Once per outage.
        if !self.fails {
            let cause = fault.source().and_then(|cause| cause.source().or(Some(cause)));
            tracing::error!(
                error = cause.unwrap_or(fault),
                "revocations cannot be carried to Redis; gateways ask for them instead"
            );
        }
        self.fails = true;
    }

    fn succeeded(&mut self) {
        self.unreached_since = None;
        if std::mem::take(&mut self.fails) {
            tracing::info!("revocations are carried to Redis again");
        }
    }
}

#[cfg(test)]
mod tests;
