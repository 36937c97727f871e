//! Job status wherever it is kept, and who listens to it: what the admin API is given.

use std::sync::Arc;

use config::Status;
use kernel::status::Cursor;
use kernel::status::NotTaken;
use kernel::status::Page;
use kernel::status::Plan;
use kernel::status::Record;
use kernel::status::Report;
use kernel::status::ResourceId;
use kernel::status::Since;
use kernel::status::StatusLost;
use kernel::status::StatusStore;
use kernel::status::Taken;
use kernel::time::Timestamp;

use crate::listeners::Listeners;
use crate::memory::status::MemoryStatus;

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
}

impl Statuses {
    /// In this process's memory, as `config` says.
    pub fn here(config: &Status) -> Self {
        let (plan, listeners) = (Arc::clone(&config.plan), Arc::<Listeners>::default());
        let told = Arc::clone(&listeners);
        let store = MemoryStatus::new(Arc::clone(&plan), config.ttl, config.resources_max, told);
        Self { plan, listeners, store: Store::Here(store) }
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
        }
    }

    /// What is known of a resource; `None`: nothing.
    ///
    /// # Errors
    /// [`StatusLost`]: the store is away, and nothing is known here either.
    pub async fn get(&self, id: &ResourceId, now: Timestamp) -> Result<Option<Seen>, StatusLost> {
        let seen = |record| Seen { record, is_degraded: false };
        match &self.store {
            Store::Here(store) => Ok(store.get_now(id, now).map(seen)),
        }
    }

    /// As [`StatusStore::list`].
    ///
    /// # Errors
    /// [`StatusLost`].
    pub async fn list(
        &self,
        owner: &str,
        after: Option<&Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, StatusLost> {
        match &self.store {
            Store::Here(store) => store.list(owner, after, limit, now).await,
        }
    }

    /// As [`StatusStore::since`].
    ///
    /// # Errors
    /// [`StatusLost`].
    pub async fn since(
        &self,
        id: &ResourceId,
        version: u64,
        now: Timestamp,
    ) -> Result<Since, StatusLost> {
        match &self.store {
            Store::Here(store) => store.since(id, version, now).await,
        }
    }
}
