//! What an answer says of limits: how a caller stands, and what it asked too much of.

use http::HeaderValue;
use kernel::limit::Allowance;
use kernel::limit::Quota;
use kernel::limit::WindowState;
use kernel::time::Timestamp;
use serde::Serialize;

use super::Grant;
use super::OverQuota;
use super::Taken;
use crate::auth::header_text;

/// How a caller stands with the policy that has least left: what the headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// `X-RateLimit-Limit`; 0 for unlimited.
    pub limit: u32,
    /// `X-RateLimit-Remaining`; 0 for unlimited.
    pub remaining: u32,
    /// `X-RateLimit-Reset`: the unix second at which more remains; 0 for unlimited.
    pub reset_s: u64,
    /// `RateLimit-Policy` and `RateLimit`; none for unlimited.
    pub fields: Option<(HeaderValue, HeaderValue)>,
}

impl Standing {
    const UNLIMITED: Self = Self { limit: 0, remaining: 0, reset_s: 0, fields: None };
}

/// The answer of `/auth/rate-limit`: the policy with least left, then each of them.
#[derive(Debug, Serialize)]
pub struct QuotaReport {
    limit: u32,
    remaining: u32,
    reset: u64,
    tier: String,
    policies: Vec<WindowReport>,
}

/// How one window stands.
#[derive(Debug, Serialize)]
struct WindowReport {
    name: String,
    limit: u32,
    remaining: u32,
    reset: u64,
    window_seconds: u64,
}

impl Grant {
    /// What the answer's headers say; none where no policy applies.
    pub fn standing(&self, now: Timestamp) -> Option<Standing> {
        if let Some(over) = &self.shadowed {
            return Some(over.standing.clone());
        }
        let taken = self.taken.iter().flatten();
        let left = |taken: &&Taken| {
            let window = taken.outcome.windows().get(taken.outcome.tightest());
            window.map_or(u32::MAX, |window| window.remaining)
        };
        let Some(tightest) = taken.min_by_key(left) else {
            return self.unlimited.then_some(Standing::UNLIMITED);
        };
        tightest.standing(now)
    }

    /// Whether a route in shadow would have refused this.
    pub fn is_shadowed(&self) -> bool {
        self.shadowed.is_some()
    }

    /// How a caller of `tier` stands, for whoever asks without spending.
    pub fn report(&self, tier: &str, now: Timestamp) -> QuotaReport {
        let standing = self.standing(now).unwrap_or(Standing::UNLIMITED);
        QuotaReport {
            limit: standing.limit,
            remaining: standing.remaining,
            reset: standing.reset_s,
            tier: tier.to_owned(),
            policies: self.taken.iter().flatten().flat_map(|taken| taken.windows(now)).collect(),
        }
    }

    pub(super) fn over_quota(self, subject: &str, now: Timestamp) -> OverQuota {
        let refused = self.taken.iter().flatten().find(|taken| !taken.outcome.admitted);
        let retry_ms = refused.and_then(|taken| taken.outcome.retry_ms());
        let violated = refused.map(Taken::violated).unwrap_or_default();
        let standing = refused.and_then(|taken| taken.standing(now));
        OverQuota {
            subject: subject.to_owned(),
            standing: standing.unwrap_or(Standing::UNLIMITED),
            violated,
            retry_after_s: retry_ms.map(|ms| ms.div_ceil(1000).max(1)),
        }
    }
}

impl Taken {
    fn standing(&self, now: Timestamp) -> Option<Standing> {
        let Allowance::Limited(quotas) = &self.policy.allowance else {
            return None;
        };
        let at = self.outcome.tightest();
        let (window, quota) = (self.outcome.windows().get(at)?, quotas.get(at)?);
        let reset_after_s = window.reset_ms.div_ceil(1000);
        let field = rate_limit_field(quota.name(), window.remaining, reset_after_s);
        Some(Standing {
            limit: window.limit,
            remaining: window.remaining,
            reset_s: reset_s(window, now),
            fields: self.policy.advertised.clone().zip(field),
        })
    }

    fn windows(&self, now: Timestamp) -> Vec<WindowReport> {
        let Allowance::Limited(quotas) = &self.policy.allowance else {
            return Vec::new();
        };
        let windows = self.outcome.windows().iter().zip(quotas.iter());
        let report = |(window, quota): (&WindowState, &Quota)| WindowReport {
            name: quota.name().to_owned(),
            limit: window.limit,
            remaining: window.remaining,
            reset: reset_s(window, now),
            window_seconds: quota.per().as_secs(),
        };
        windows.map(report).collect()
    }

    fn violated(&self) -> Vec<String> {
        let Allowance::Limited(quotas) = &self.policy.allowance else {
            return Vec::new();
        };
        let windows = self.outcome.windows().iter().zip(quotas.iter());
        let spent = windows.filter(|(window, _)| window.retry_ms != Some(0));
        spent.map(|(_, quota)| quota.name().to_owned()).collect()
    }
}

/// The unix second at which more remains.
fn reset_s(window: &WindowState, now: Timestamp) -> u64 {
    now.as_millis().saturating_add(window.reset_ms).div_ceil(1000)
}

/// `"minute";q=100;w=60, "day";q=5000;w=86400` (draft-ietf-httpapi-ratelimit-headers-11 §3).
pub(super) fn advertise(quotas: &[Quota]) -> HeaderValue {
    let one = |q: &Quota| format!("\"{}\";q={};w={}", q.name(), q.requests(), q.per().as_secs());
    let list: Vec<String> = quotas.iter().map(one).collect();
    header_text(&list.join(", "))
}

/// `"minute";r=57;t=12` (§4).
fn rate_limit_field(name: &str, remaining: u32, reset_s: u64) -> Option<HeaderValue> {
    // A quota's name has at most 32 bytes and the numbers 30 digits: put together on the stack.
    let mut field = [0; 80];
    let mut length = 0;
    let (mut left, mut after) = (itoa::Buffer::new(), itoa::Buffer::new());
    for part in ["\"", name, "\";r=", left.format(remaining), ";t=", after.format(reset_s)] {
        let end = length + part.len();
        field.get_mut(length..end)?.copy_from_slice(part.as_bytes());
        length = end;
    }
    HeaderValue::from_bytes(&field[..length]).ok()
}
