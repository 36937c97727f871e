//! Job status wherever it is kept, and who listens to it: what the admin API is given.

mod last_known;

mod shared;

#[cfg(test)]
mod tests;

use std::sync::Arc;

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

use crate::listeners::Listeners;
use crate::memory::status::MemoryStatus;
use crate::redis::connection::Connection;
use crate::redis::quotas::Clock;
use crate::redis::status::RedisStatus;
use crate::redis::status::hints;
use crate::status::shared::Shared;

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
    /// How well.
    pub certainty: Certainty,
}

/// How well something is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// As the store says.
    Stored,
    /// As the store says, with reports that wait for it still.
    WithWaiting,
    /// The store is away: this is what was known here last, with what waits. Others may know more.
    LastKnown,
}

impl Seen {
    /// Whether the store does not say so, or not yet.
    pub fn is_degraded(&self) -> bool {
        self.certainty != Certainty::Stored
    }
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
    /// Reports that had waited, and were not taken in once the store was back.
    pub refused: u64,
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
        let store = RedisStatus::new(connection, namespace, Clock::OfTheServer, config);
        Self {
            plan: Arc::clone(&config.plan),
            listeners: Arc::default(),
            store: Store::Shared(Box::new(Shared::new(store, config))),
        }
    }

    /// Sends what waits once the store is back, for as long as this runs. `now` tells the time.
    pub async fn keep(&self, now: impl Fn() -> Timestamp + Send + Sync) {
        match &self.store {
            Store::Here(_) => std::future::pending().await,
            Store::Shared(shared) => shared.keep(now).await,
        }
    }

    /// Hears of what others report, for as long as this runs, and tells whoever listens in this process.
    /// Where nobody ever does it need not run. `now` tells the time.
    pub async fn hear(&self, now: impl Fn() -> Timestamp + Send + Sync) {
        match &self.store {
            // What is reported is told as it comes.
            Store::Here(_) => std::future::pending().await,
            Store::Shared(shared) => hints::hear(&shared.store, &self.listeners, now).await,
        }
    }

    /// Sends what waits, each once; how many wait still, since the store gives no answer.
    pub async fn send(&self, now: Timestamp) -> usize {
        match &self.store {
            Store::Here(_) => 0,
            Store::Shared(shared) => {
                shared.send(usize::MAX, now).await;
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
                refused: 0,
                is_up: true,
            },
            Store::Shared(shared) => StatusFigures {
                resources: 0,
                displaced: 0,
                listeners,
                waiting: shared.outbox.len() as u64,
                dropped: shared.outbox.dropped(),
                refused: shared.outbox.refused(),
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
        let seen = |record| Seen { record, certainty: Certainty::Stored };
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
