//! What is known of workers at one moment.

use std::sync::Arc;
use std::time::Duration;

use kernel::time::Timestamp;

use crate::redis::connection::Lost;

/// The most workers that are known by name.
pub const WORKERS_MAX: usize = 1_024;

/// How a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// It answers, or says of itself that it is there.
    Alive,
    /// It is connected and says nothing: it is busy (`-P solo`), stopped, or stuck.
    Unresponsive,
    /// It has said that it goes, or its connection is gone.
    Gone,
    /// The broker is away, and nothing can be known.
    Unknown,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Alive, Self::Unresponsive, Self::Gone, Self::Unknown];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Unresponsive => "unresponsive",
            Self::Gone => "gone",
            Self::Unknown => "unknown",
        }
    }
}

/// A worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Worker {
    /// Its name, such as `celery@host`.
    pub name: String,
    /// How it does.
    pub verdict: Verdict,
    /// How long ago it last answered.
    pub since_pong: Option<Duration>,
    /// How long ago it last said of itself that it is there.
    pub since_heartbeat: Option<Duration>,
    /// What it said then.
    pub said: Option<Said>,
}

/// What a worker says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Its process.
    pub pid: u32,
    /// How often it says so.
    pub freq: Duration,
    /// How many tasks it is at.
    pub active: u64,
    /// How many it has done since it came.
    pub processed: u64,
    /// How much its machine has to do, over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// What it is, such as `py-celery`.
    pub software: String,
    /// And in which version.
    pub version: String,
}

/// A queue whose depth is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// How many tasks wait there, of all priorities; none where the broker does not say.
    pub depth: Option<u64>,
    /// How long the one that is next has waited, at the least: since it was first seen there.
    pub waiting: Option<Duration>,
}

impl Queue {
    /// Nothing is known of it.
    pub(super) fn unknown(name: &str) -> Self {
        Self { name: name.to_owned(), depth: None, waiting: None }
    }
}

/// What is known of all.
#[derive(Clone, Debug)]
pub struct Workers {
    /// When the broker was last asked, whether it answered or not.
    pub looked_at: Timestamp,
    /// Why nothing is known, where the broker gives no answer.
    pub lost: Option<Arc<Lost>>,
    /// How many workers were connected to be asked, known by name or not; 0 where the broker gave no
    /// answer.
    pub connected: u64,
    /// All that are known by name, by name; at most [`WORKERS_MAX`].
    pub workers: Vec<Worker>,
    /// How often a worker was left out because there were too many.
    pub left_out: u64,
    /// The queues that are watched.
    pub queues: Vec<Queue>,
    /// How many tasks workers have taken and not yet acknowledged: with Celery's defaults, not yet begun.
    /// None where the broker does not say.
    pub in_flight: Option<u64>,
    /// How long ago the first of these was taken.
    pub oldest_in_flight: Option<Duration>,
}

impl Workers {
    /// How many do so.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.workers.iter().filter(|worker| worker.verdict == verdict).count()
    }

    /// How many tasks they are at, all that are alive together, as each last said.
    pub fn active(&self) -> u64 {
        let alive = self.workers.iter().filter(|worker| worker.verdict == Verdict::Alive);
        let said = alive.filter_map(|worker| worker.said.as_ref());
        said.fold(0, |sum, said| sum.saturating_add(said.active))
    }
}
