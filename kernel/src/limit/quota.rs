//! Quotas, as an operator writes them: so many requests per so much time.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// The most quotas (windows) that one allowance may hold.
pub const QUOTAS_MAX: usize = 4;

/// The longest period: a rolling week would cost more memory than it is worth.
pub const PERIOD_MAX: Duration = Duration::from_secs(31 * 86_400);

/// How many requests one caller may make in any stretch of time of a given length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    name: Arc<str>,
    requests: NonZeroU32,
    per: Duration,
}

/// A quota that cannot be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum QuotaError {
    /// Zero requests: there is a word for unlimited, and a route for closed.
    #[error("`{0}` is not a whole number from 1 to 4294967295")]
    Requests(i64),
    /// A period shorter than a second, longer than [`PERIOD_MAX`], or no whole number of seconds.
    #[error(
        "`{0}` is not a period: use a whole number of `s`, `m`, `h` or `d`, from `1s` to `31d`"
    )]
    Period(String),
    /// A name that could not stand in a `RateLimit-Policy` field.
    #[error("`{0}` is no quota name: use 1 to 32 of a-z, 0-9, `_` and `-`")]
    Name(String),
}

impl Quota {
    /// Makes a quota of `requests` per `per`.
    ///
    /// # Errors
    /// [`QuotaError`] for zero requests, a period outside 1 s to 31 d, or a name that is not
    /// 1 to 32 of `a-z0-9_-`.
    pub fn new(name: &str, requests: i64, per: Duration) -> Result<Self, QuotaError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        if name.is_empty() || name.len() > 32 || !name.bytes().all(plain) {
            return Err(QuotaError::Name(name.chars().take(64).collect()));
        }
        if per < Duration::from_secs(1) || per > PERIOD_MAX || per.subsec_nanos() != 0 {
            return Err(QuotaError::Period(format!("{per:?}")));
        }
        let count = u32::try_from(requests).ok().and_then(NonZeroU32::new);
        Ok(Self { name: name.into(), requests: count.ok_or(QuotaError::Requests(requests))?, per })
    }

    /// The same window, for another number of requests.
    pub fn with_requests(&self, requests: NonZeroU32) -> Self {
        Self { requests, ..self.clone() }
    }

    /// The name, as it stands in `RateLimit-Policy`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many requests.
    pub fn requests(&self) -> u32 {
        self.requests.get()
    }

    /// In how long a window; whole seconds.
    pub fn per(&self) -> Duration {
        self.per
    }
}

/// What a tier allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// As many requests as one likes; written `"unlimited"`, never 0.
    Unlimited,
    /// No more than each of 1 to [`QUOTAS_MAX`] quotas.
    Limited(Arc<[Quota]>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_of_zero_is_an_error_not_unlimited() {
        let minute = Duration::from_secs(60);
        assert_eq!(
            Quota::new("minute", 0, minute).unwrap_err().to_string(),
            "`0` is not a whole number from 1 to 4294967295"
        );
        assert!(Quota::new("minute", 1, minute).is_ok());
        assert!(Quota::new("minute", i64::from(u32::MAX), minute).is_ok());
        assert!(Quota::new("minute", i64::from(u32::MAX) + 1, minute).is_err());
    }

    #[test]
    fn a_period_runs_from_one_second_to_31_days() {
        for (per, fits) in [
            (Duration::from_millis(999), false),
            (Duration::from_secs(1), true),
            (Duration::from_millis(1_500), false),
            (PERIOD_MAX, true),
            (PERIOD_MAX + Duration::from_secs(1), false),
        ] {
            assert_eq!(Quota::new("w", 1, per).is_ok(), fits, "{per:?}");
        }
    }
}
