//! How long to wait before the next attempt: after a failure longer each time, up to a bound, and
//! never as long as everybody else; after a success only where it came at once.

use std::time::Duration;

/// After the first failure, at most.
pub const AGAIN_AFTER_MIN: Duration = Duration::from_millis(100);

/// After many failures, at most.
pub const AGAIN_AFTER_MAX: Duration = Duration::from_secs(5);

/// The shortest time between two questions, however soon they are answered.
pub const ASKED_EVERY_MIN: Duration = Duration::from_millis(50);

/// How many attempts in a row failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    failures: u32,
}

impl Pace {
    /// How long to wait for the next attempt after one that `took` so long. `jitter` is any number,
    /// and chooses a moment in the second half of the time that is waited after a failure.
    ///
    /// Of each outage `tell` hears twice: why it began, and without a cause that it is over.
    pub fn after<E>(
        &mut self,
        outcome: Result<(), E>,
        took: Duration,
        jitter: u32,
        tell: impl FnOnce(Option<&E>),
    ) -> Duration {
        match outcome {
            Ok(()) => {
                if std::mem::take(&mut self.failures) > 0 {
                    tell(None);
                }
                // Whoever does not wait for news, though asked to, is not asked all the time.
                ASKED_EVERY_MIN.saturating_sub(took)
            }
            Err(error) => {
                if self.failures == 0 {
                    tell(Some(&error));
                }
                self.failed(jitter)
            }
        }
    }

    fn failed(&mut self, jitter: u32) -> Duration {
        let longest =
            AGAIN_AFTER_MIN.saturating_mul(1 << self.failures.min(16)).min(AGAIN_AFTER_MAX);
        self.failures = self.failures.saturating_add(1);
        let half = longest / 2;
        half + half.mul_f64(f64::from(jitter) / f64::from(u32::MAX))
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
    fn who_answers_at_once_is_asked_again_50_ms_after_the_question_and_who_took_longer_at_once() {
        for (took, rest) in [(0, 50), (49, 1), (50, 0), (51, 0), (10_000, 0)] {
            let took = Duration::from_millis(took);
            let waited = Pace::default().after(Ok::<_, ()>(()), took, 0, |_| {});
            assert_eq!(waited.as_millis(), rest, "{took:?}");
        }
    }

    #[test]
    fn an_outage_is_told_of_when_it_begins_and_when_it_is_over_and_the_next_one_begins_anew() {
        let mut pace = Pace::default();
        let mut told = Vec::new();
        let answers = [Ok(()), Err('a'), Err('b'), Ok(()), Ok(()), Err('c')];
        let waits = answers.map(|answer| {
            let tell = |why: Option<&char>| told.push(why.copied());
            pace.after(answer, Duration::ZERO, u32::MAX, tell).as_millis()
        });
        assert_eq!(waits, [50, 100, 200, 50, 50, 100]);
        assert_eq!(told, [Some('a'), None, Some('c')]);
    }
}
