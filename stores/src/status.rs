//! Job status wherever it is kept, and who listens to it: what the admin API is given.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use config::Status;
use kernel::lost::StoreLost;
use kernel::status::Cursor;
use kernel::status::NotTaken;
use kernel::status::Page;
use kernel::status::Plan;
use kernel::status::Record;
use kernel::status::Report;
use kernel::status::ResourceId;
use kernel::status::Since;
use kernel::status::StatusStore;
use kernel::status::Taken;
use kernel::time::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::listeners::Listeners;
use crate::memory::status::MemoryStatus;
use crate::redis::connection::Connection;
use crate::redis::quotas::Clock;
use crate::redis::status::RedisStatus;
use crate::redis::status::hints;
use crate::redis::status::outbox::Outbox;

/// Of how many resources it is remembered what was known last, for while the store is away.
pub const LAST_KNOWN_MAX: usize = 10_000;

/// How often it is looked whether something waits, whatever is told.
const SEND_EVERY: Duration = Duration::from_secs(1);

/// Job status, wherever it is kept.
#[derive(Debug)]
pub struct Statuses {
    plan: Arc<Plan>,
    listeners: Arc<Listeners>,
    store: Store,
}

#[derive(Debug)]
enum Store {
    Here(MemoryStatus),
    Shared(Box<Shared>),
}

/// A store that may be away.
#[derive(Debug)]
struct Shared {
    store: RedisStatus,
    outbox: Outbox,
    last_known: LastKnown,
    /// Whenever there may be something to send.
    sends: Notify,
}

/// What became of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reported {
    /// It was taken in.
    Taken(Taken),
    /// The store is away: it waits, and is taken in once that is back.
    Waits,
}

/// A record, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What is known.
    pub record: Record,
    /// Whether the store is away, and this is what was known last, with what waits.
    pub is_degraded: bool,
}

/// How it goes, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusFigures {
    /// Resources in memory; 0 where they are in Redis.
    pub resources: u64,
    /// Of these, those that had to make room too early.
    pub displaced: u64,
    /// Who listens in this process.
    pub listeners: u64,
    /// Reports that wait for a store that is away.
    pub waiting: u64,
    /// Reports that found no room to wait.
    pub dropped: u64,
    /// Whether the store answers.
    pub is_up: bool,
}

impl Statuses {
    /// In this process's memory, as `config` says.
    pub fn here(config: &Status) -> Self {
        let (plan, listeners) = (Arc::clone(&config.plan), Arc::<Listeners>::default());
        let told = Arc::clone(&listeners);
        let store = MemoryStatus::new(Arc::clone(&plan), config.ttl, config.resources_max, told);
        Self { plan, listeners, store: Store::Here(store) }
    }

    /// In the Redis behind `connection`, as `config` says; keys of our own begin with `namespace`. Needs
    /// somebody to [keep](Self::keep) it.
    pub fn in_redis(connection: &Connection, namespace: &str, config: &Status) -> Self {
        let shared = Shared {
            store: RedisStatus::new(connection, namespace, Clock::OfTheServer, config),
            outbox: Outbox::new(config.buffer_max),
            last_known: LastKnown::default(),
            sends: Notify::new(),
        };
        Self {
            plan: Arc::clone(&config.plan),
            listeners: Arc::default(),
            store: Store::Shared(Box::new(shared)),
        }
    }

    /// Sends what waits once the store is back, and hears of what others report, for as long as this
    /// runs. `now` tells the time.
    pub async fn keep(&self, now: impl Fn() -> Timestamp + Send + Sync) {
        match &self.store {
            Store::Here(_) => std::future::pending().await,
            Store::Shared(shared) => {
                tokio::join!(
                    shared.store.keep(|| shared.sends.notify_one()),
                    shared.send_for_ever(&now),
                    hints::hear(&shared.store, &self.listeners, &now),
                );
            }
        }
    }

    /// Sends what waits; how many wait still, since the store gives no answer.
    pub async fn send(&self, now: Timestamp) -> usize {
        match &self.store {
            Store::Here(_) => 0,
            Store::Shared(shared) => {
                shared.send(now).await;
                shared.outbox.len()
            }
        }
    }

    /// The stages that are expected, and the statuses that there are.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Who listens in this process.
    pub fn listeners(&self) -> &Arc<Listeners> {
        &self.listeners
    }

    /// How it goes.
    pub fn figures(&self) -> StatusFigures {
        let listeners = self.listeners.listening() as u64;
        match &self.store {
            Store::Here(store) => StatusFigures {
                resources: store.resources() as u64,
                displaced: store.displaced(),
                listeners,
                waiting: 0,
                dropped: 0,
                is_up: true,
            },
            Store::Shared(shared) => StatusFigures {
                resources: 0,
                displaced: 0,
                listeners,
                waiting: shared.outbox.len() as u64,
                dropped: shared.outbox.dropped(),
                is_up: !shared.store.rests(),
            },
        }
    }

    /// Takes a report in, or has it wait.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub async fn put(&self, report: &Report, now: Timestamp) -> Result<Reported, NotTaken> {
        match &self.store {
            Store::Here(store) => store.put_now(report, now).map(Reported::Taken),
            Store::Shared(shared) => shared.put(report, now).await,
        }
    }

    /// What is known of a resource; `None`: nothing.
    ///
    /// # Errors
    /// [`StoreLost`]: the store is away, and nothing is known here either.
    pub async fn get(&self, id: &ResourceId, now: Timestamp) -> Result<Option<Seen>, StoreLost> {
        let seen = |record| Seen { record, is_degraded: false };
        match &self.store {
            Store::Here(store) => Ok(store.get_now(id, now).map(seen)),
            Store::Shared(shared) => shared.get(id, &self.plan, now).await,
        }
    }

    /// As [`StatusStore::list`].
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn list(
        &self,
        owner: &str,
        after: Option<&Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, StoreLost> {
        match &self.store {
            Store::Here(store) => store.list(owner, after, limit, now).await,
            Store::Shared(shared) => shared.store.list(owner, after, limit, now).await,
        }
    }

    /// As [`StatusStore::since`].
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn since(
        &self,
        id: &ResourceId,
        version: u64,
        now: Timestamp,
    ) -> Result<Since, StoreLost> {
        match &self.store {
            Store::Here(store) => store.since(id, version, now).await,
            Store::Shared(shared) => shared.store.since(id, version, now).await,
        }
    }
}

impl Shared {
    async fn put(&self, report: &Report, now: Timestamp) -> Result<Reported, NotTaken> {
        // What waits was said before: nothing overtakes it.
        if self.outbox.has(&report.id, &report.update.stage) {
            return self.have_wait(report);
        }
        match self.store.put(report, now).await {
            Ok(taken) => {
                self.last_known.remember(&taken.record);
                Ok(Reported::Taken(taken))
            }
            Err(NotTaken::Lost(lost)) if lost.concerns_all() => self.have_wait(report),
            Err(error) => Err(error),
        }
    }

    fn have_wait(&self, report: &Report) -> Result<Reported, NotTaken> {
        self.outbox.add(report)?;
        self.sends.notify_one();
        Ok(Reported::Waits)
    }

    async fn get(
        &self,
        id: &ResourceId,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<Option<Seen>, StoreLost> {
        let (known, is_lost) = match self.store.get(id, now).await {
            Ok(known) => (known, None),
            Err(lost) if lost.concerns_all() => (self.last_known.of(id), Some(lost)),
            Err(lost) => return Err(lost),
        };
        let waiting = self.outbox.of(id);
        match (known, is_lost) {
            // Others may have reported what we do not know: it is not said that there is nothing.
            (None, Some(lost)) => Err(lost),
            (None, None) if waiting.is_empty() => Ok(None),
            (Some(record), None) if waiting.is_empty() => {
                self.last_known.remember(&record);
                Ok(Some(Seen { record, is_degraded: false }))
            }
            (known, _) => {
                let mut record = known.unwrap_or_else(|| Record::new(id.clone()));
                for report in &waiting {
                    // Of another owner: it will be refused once it is sent.
                    let _ = record.take(&report.update, &report.owner, plan, now);
                }
                Ok(Some(Seen { record, is_degraded: true }))
            }
        }
    }

    async fn send_for_ever(&self, now: &(impl Fn() -> Timestamp + Send + Sync)) {
        loop {
            // A report may begin to wait though the store does not rest: it was late once.
            let _ = timeout(SEND_EVERY, self.sends.notified()).await;
            self.send(now()).await;
        }
    }

    /// Sends what waits, in order, until there is no answer.
    async fn send(&self, now: Timestamp) {
        let mut sent = 0_u64;
        while let Some(next) = self.outbox.next() {
            match self.store.put(&next.report, now).await {
                Ok(taken) => self.last_known.remember(&taken.record),
                Err(NotTaken::Lost(lost)) if lost.concerns_all() => break,
                Err(error) => tracing::error!(
                    resource = next.report.id.to_string(),
                    "a report of job status that waited is not taken: {error}"
                ),
            }
            self.outbox.sent(&next);
            sent += 1;
        }
        if sent > 0 {
            tracing::info!("{sent} reports of job status that waited were sent");
        }
    }
}

/// What was known of resources when they were seen here last, of some thousands of them.
#[derive(Debug, Default)]
struct LastKnown(Mutex<[HashMap<ResourceId, Record>; 2]>);

impl LastKnown {
    fn remember(&self, record: &Record) {
        let mut known = self.0.lock();
        let [young, old] = &mut *known;
        if young.len() >= LAST_KNOWN_MAX / 2 && !young.contains_key(&record.id) {
            // Those that were not seen since the last time go.
            *old = std::mem::take(young);
        }
        young.insert(record.id.clone(), record.clone());
    }

    fn of(&self, id: &ResourceId) -> Option<Record> {
        let known = self.0.lock();
        known.iter().find_map(|some| some.get(id)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use kernel::status::Owner;

    use super::*;

    fn record(id: u64) -> Record {
        let owner = Owner { id: "ada".into(), is_named: true };
        Record { owner: Some(owner), ..Record::new(ResourceId::Number(id)) }
    }

    #[test]
    fn what_was_seen_last_is_remembered_of_a_bounded_number() {
        let known = LastKnown::default();
        let half = LAST_KNOWN_MAX as u64 / 2;
        for id in 0..2 * half {
            known.remember(&record(id));
        }
        assert!(known.of(&ResourceId::Number(0)).is_some(), "at the bound");
        known.remember(&record(2 * half));
        assert!(known.of(&ResourceId::Number(0)).is_none(), "one past it");
        assert!(known.of(&ResourceId::Number(half)).is_some());
        assert!(known.0.lock().iter().map(HashMap::len).sum::<usize>() <= LAST_KNOWN_MAX);
    }
}
