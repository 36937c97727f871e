//! `GET /auth/rate-limit`, for the published document alone: the gateway answers it, which alone
//! knows the counters.

use utoipa::OpenApi;
use utoipa::ToSchema;

use super::openapi::ACCOUNT;

/// What the gateway answers among our endpoints.
#[derive(OpenApi)]
#[openapi(paths(rate_limit))]
pub(crate) struct AtTheEdge;

/// How a caller's quota stands: the policy with least left, then each of them.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the published document: the gateway writes it")]
struct RateLimit {
    /// 0: unlimited.
    limit: u32,
    remaining: u32,
    /// The second since 1970 at which more remains.
    reset: u64,
    tier: String,
    policies: Vec<RateLimitPolicy>,
}

/// How one window stands.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the published document: the gateway writes it")]
struct RateLimitPolicy {
    name: String,
    limit: u32,
    remaining: u32,
    reset: u64,
    window_seconds: u64,
}

/// Shows one's own quota, without spending it.
#[utoipa::path(
    get,
    path = "/auth/rate-limit",
    operation_id = "rateLimit",
    tag = ACCOUNT,
    responses(
        (status = 200, body = RateLimit, description = "How it stands"),
    ),
    security(("bearer" = [])),
)]
#[expect(dead_code, reason = "for the published document: the gateway answers")]
fn rate_limit() {}
