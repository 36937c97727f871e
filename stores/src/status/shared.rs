//! Job status in a store that may be away: what is said then waits, and what is asked is answered by what
//! was known last.

use std::time::Duration;
use std::time::Instant;

use config::Status;
use kernel::lost::StoreLost;
use kernel::status::NotTaken;
use kernel::status::Plan;
use kernel::status::Record;
use kernel::status::Report;
use kernel::status::ResourceId;
use kernel::status::StatusStore;
use kernel::time::Timestamp;
use kernel::time::uptime;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Certainty;
use super::Reported;
use super::Seen;
use super::last_known::LastKnown;
use crate::redis::status::Asking;
use crate::redis::status::RedisStatus;
use crate::redis::status::outbox::FAILURES_MAX;
use crate::redis::status::outbox::Next;
use crate::redis::status::outbox::Outbox;

/// How often it is looked whether something waits, whatever is told.
const SEND_EVERY: Duration = Duration::from_secs(1);

/// A store that may be away.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: RedisStatus,
    pub(super) outbox: Outbox,
    pub(super) last_known: LastKnown,
    /// Whenever there may be something to send.
    sends: Notify,
}

impl Shared {
    /// In `store`, with room for what waits as `config` says.
    pub(super) fn new(store: RedisStatus, config: &Status) -> Self {
        let outbox = Outbox::new(config.buffer_max);
        Self { store, outbox, last_known: LastKnown::new(config.ttl), sends: Notify::new() }
    }

    /// Sends what waits once the store is back, for as long as this runs.
    pub(super) async fn keep(&self, now: impl Fn() -> Timestamp + Send + Sync) {
        tokio::join!(self.store.keep(|| self.sends.notify_one()), self.send_for_ever(&now));
    }

    /// As [`Statuses::put`](super::Statuses::put).
    pub(super) async fn put(&self, report: &Report, now: Timestamp) -> Result<Reported, NotTaken> {
        let (number, said) = (self.outbox.number(), uptime());
        // What waits was said before: nothing overtakes it.
        if self.outbox.has(&report.id, &report.update.stage) {
            return Ok(self.have_wait(report, number, said));
        }
        match self.store.put_by(Asking::Once, report, Some(number), now).await {
            Ok(taken) => {
                self.last_known.remember(&taken.record, said);
                Ok(Reported::Taken(taken))
            }
            Err(NotTaken::Lost(lost)) if lost.concerns_all() => {
                Ok(self.have_wait(report, number, said))
            }
            Err(error) => Err(error),
        }
    }

    fn have_wait(&self, report: &Report, number: u64, said: Duration) -> Reported {
        self.outbox.add(report, number, said);
        self.sends.notify_one();
        Reported::Waits
    }

    /// As [`Statuses::get`](super::Statuses::get).
    pub(super) async fn get(
        &self,
        id: &ResourceId,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<Option<Seen>, StoreLost> {
        // As early as `now`: the store may take its time. And what waited then may be sent meanwhile, too
        // late for this answer.
        let asked_at = uptime();
        let waiting = self.outbox.of(id, asked_at);
        let (known, is_lost) = match self.store.get(id, now).await {
            Ok(known) => (known, None),
            Err(lost) if lost.concerns_all() => (self.last_known.of(id, now), Some(lost)),
            Err(lost) => return Err(lost),
        };
        if known.is_none() && is_lost.is_none() {
            self.last_known.forget(id, asked_at);
        }
        match (known, is_lost) {
            // Others may have reported what we do not know: it is not said that there is nothing.
            (None, Some(lost)) => Err(lost),
            (None, None) if waiting.is_empty() => Ok(None),
            (Some(record), None) if waiting.is_empty() => {
                self.last_known.remember(&record, asked_at);
                Ok(Some(Seen { record, certainty: Certainty::Stored }))
            }
            (known, is_lost) => {
                let mut record = known.unwrap_or_else(|| Record::new(id.clone()));
                let (version, mut updated_at) = (record.version, record.updated_at);
                for report in &waiting {
                    // Of another owner: it will be refused once it is sent.
                    if record.take(report, plan, now).is_ok() {
                        updated_at = updated_at.max(report.said(now));
                    }
                }
                // What version it comes to is for the store to say, and nobody reports by asking.
                (record.version, record.updated_at) = (version, updated_at);
                let certainty = is_lost.map_or(Certainty::WithWaiting, |_| Certainty::LastKnown);
                Ok(Some(Seen { record, certainty }))
            }
        }
    }

    async fn send_for_ever(&self, now: &(impl Fn() -> Timestamp + Send + Sync)) {
        loop {
            // A report may begin to wait though the store does not rest: it was late once.
            let _ = timeout(SEND_EVERY, self.sends.notified()).await;
            self.send(FAILURES_MAX, now()).await;
        }
    }

    /// Sends what waits, each once, unless so many fail in a row.
    pub(super) async fn send(&self, failures_max: usize, now: Timestamp) {
        let began = Instant::now();
        let send = |next| self.send_one(next, now.plus(began.elapsed()));
        let passed = self.outbox.pass(failures_max, send).await;
        if passed.taken > 0 {
            tracing::info!("{} reports of job status that waited were sent", passed.taken);
        }
        if let Some((first, why)) = passed.first_refused {
            tracing::error!(
                resource = first.to_string(),
                refused = passed.refused,
                "reports of job status that waited are not taken in, this one first: {why}"
            );
        }
    }

    async fn send_one(&self, next: Next, now: Timestamp) -> Result<(), NotTaken> {
        let asked_at = uptime();
        let report = next.report_at(asked_at);
        let taken = self.store.put_by(Asking::Aside, &report, Some(next.number()), now).await?;
        self.last_known.remember(&taken.record, asked_at);
        Ok(())
    }
}
