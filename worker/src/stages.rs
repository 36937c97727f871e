//! Where a task says how far it is with a resource.

use std::sync::Arc;

use kernel::status::ResourceId;

/// How a stage of a resource stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Under way: so many of so many items are done.
    Processing {
        /// How many are done.
        done: u64,
        /// Of how many.
        of: u64,
    },
    /// Done.
    Completed {
        /// How many items there were.
        of: u64,
    },
    /// It came to nothing.
    Failed,
}

/// What is said of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which resource.
    pub resource: ResourceId,
    /// To whom it belongs, where the call says so: a user's id, of at most
    /// [`OWNER_BYTES_MAX`](kernel::status::OWNER_BYTES_MAX).
    pub owner: Option<Arc<str>>,
    /// Which time it is tried, from 1: what an earlier one says later is of no account.
    pub attempt: u32,
    /// How it stands.
    pub standing: Standing,
}

/// Takes in how far resources are.
///
/// Contract: it never waits and never fails, for no task depends on it. What cannot be passed on is dropped.
pub trait Stages: Send + Sync {
    /// Takes a report in.
    fn report(&self, report: Report);
}

/// Nobody wants to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Untold;

impl Stages for Untold {
    fn report(&self, _: Report) {}
}
