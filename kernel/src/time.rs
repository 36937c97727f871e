//! The one place that reads the clock. Everything else takes a [`Timestamp`] as an argument.

use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// A moment: whole milliseconds since 1970-01-01T00:00:00Z, never before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The moment `secs` seconds after the epoch (`NumericDate`, RFC 7519 §2); saturates.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// The moment `by` later; saturates.
    pub const fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by.as_millis() as u64))
    }

    /// The moment `by` earlier; stops at the epoch.
    pub const fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by.as_millis() as u64))
    }

    /// How long after `earlier` this is; zero when it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The wall clock, now.
///
/// A clock set before 1970 reads as the epoch itself, at which every token has yet to begin.
#[allow(clippy::disallowed_methods, reason = "this is the one reader of the clock")]
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(since_epoch.as_millis() as u64)
}

/// How long this machine has been up, the time included in which it slept (`CLOCK_BOOTTIME`).
///
/// Nobody sets it: it only goes forward, so that it measures how long something has lasted.
pub fn uptime() -> Duration {
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    // Neither is ever negative.
    Duration::new(up.tv_sec.unsigned_abs(), up.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_down_and_arithmetic_saturates() {
        assert_eq!(Timestamp::from_millis(1_999).as_secs(), 1);
        assert_eq!(Timestamp::from_secs(u64::MAX).as_millis(), u64::MAX);
        let epoch = Timestamp::default();
        assert_eq!(epoch.minus(Duration::from_secs(1)), epoch);
        assert_eq!(epoch.since(Timestamp::from_secs(9)), Duration::ZERO);
    }
}
