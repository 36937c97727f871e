//! Job status: what is kept of it, and in which words it is told.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use kernel::status::Plan;

/// Job status: what is kept of it, and in which words it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The stages that are expected, in order, and the statuses that there are.
    pub plan: Arc<Plan>,
    /// How long a record is kept after the last report.
    pub ttl: Duration,
    /// The most resources in memory, where there is no Redis.
    pub resources_max: NonZeroUsize,
    /// The most reports that wait for a Redis that is away.
    pub buffer_max: NonZeroUsize,
}
