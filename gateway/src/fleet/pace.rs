//! How long to wait after a failure before the next attempt: longer each time, up to a bound, and
//! never as long as everybody else.

use std::time::Duration;

/// After the first failure, at most.
pub const AGAIN_AFTER_MIN: Duration = Duration::from_millis(100);

/// After many failures, at most.
pub const AGAIN_AFTER_MAX: Duration = Duration::from_secs(5);

/// How many attempts in a row failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    failures: u32,
}

impl Pace {
    /// One more attempt failed: how long to wait for the next. `jitter` is any number, and chooses a
    /// moment in the second half of the time.
    pub fn failed(&mut self, jitter: u32) -> Duration {
        let longest =
            AGAIN_AFTER_MIN.saturating_mul(1 << self.failures.min(16)).min(AGAIN_AFTER_MAX);
        self.failures = self.failures.saturating_add(1);
        let half = longest / 2;
        half + half.mul_f64(f64::from(jitter) / f64::from(u32::MAX))
    }

    /// An attempt succeeded; says whether those before it had failed.
    pub fn succeeded(&mut self) -> bool {
        std::mem::take(&mut self.failures) > 0
    }

    /// Whether the last attempt failed, and the one before did not.
    pub fn has_just_begun_to_fail(&self) -> bool {
        self.failures == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_five_seconds_and_stays_there() {
        let mut pace = Pace::default();
        let waits: Vec<u128> = (0..8).map(|_| pace.failed(u32::MAX).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        let mut last = Pace { failures: u32::MAX };
        assert_eq!(last.failed(u32::MAX), AGAIN_AFTER_MAX);
        assert_eq!(last.failed(0), AGAIN_AFTER_MAX / 2);
    }

    #[test]
    fn jitter_takes_at_most_half_of_the_wait() {
        for (jitter, wait) in [(0, 50), (u32::MAX / 2, 75), (u32::MAX, 100)] {
            assert_eq!(Pace::default().failed(jitter).as_millis(), wait);
        }
    }

    #[test]
    fn a_success_begins_anew_and_says_whether_there_had_been_an_outage() {
        let mut pace = Pace::default();
        assert!(!pace.succeeded());
        pace.failed(0);
        assert!(pace.has_just_begun_to_fail());
        pace.failed(0);
        assert!(!pace.has_just_begun_to_fail());
        assert!(pace.succeeded());
        assert_eq!(pace.failed(u32::MAX), AGAIN_AFTER_MIN);
    }
}
