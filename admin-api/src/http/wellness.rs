//! How well something is, as answers say it.

use serde::Serialize;
use utoipa::ToSchema;

/// How well it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = HealthStatus)]
pub(crate) enum Status {
    Healthy,
    /// It does its work, but not all of it, or not as it should.
    Degraded,
    Unhealthy,
    /// Not there, and not missed.
    NotConfigured,
}
