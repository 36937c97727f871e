//! What passes a link now, and what has passed it.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

/// How a link behaves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Conduct {
    pub(super) flow: Flow,
    pub(super) delay: Duration,
}

/// What a link carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Flow {
    #[default]
    Both,
    RequestsOnly,
    Neither,
}

/// A direction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    ToServer,
    ToClient,
}

/// What becomes of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Carried,
    Dropped,
    Held,
}

impl Flow {
    /// What becomes of a chunk that is to go this way.
    pub(super) fn fate(self, way: Way) -> Fate {
        match (self, way) {
            (Self::Both, _) | (Self::RequestsOnly, Way::ToServer) => Fate::Carried,
            (Self::RequestsOnly, Way::ToClient) => Fate::Dropped,
            (Self::Neither, _) => Fate::Held,
        }
    }
}

/// What a link has carried.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Carried {
    pub(super) connections: u64,
    pub(super) request_bytes: u64,
    pub(super) reply_bytes: u64,
}

impl Carried {
    pub(super) fn add(&mut self, way: Way, bytes: usize) {
        let count = match way {
            Way::ToServer => &mut self.request_bytes,
            Way::ToClient => &mut self.reply_bytes,
        };
        *count += bytes as u64;
    }
}

/// The one count of a link, which all its connections add to.
#[derive(Clone, Debug, Default)]
pub(super) struct Count(Arc<Mutex<Carried>>);

impl Count {
    /// What was carried so far. Whoever adds to it holds it while he carries: what a client has
    /// received is in it.
    pub(super) fn carried(&self) -> MutexGuard<'_, Carried> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
