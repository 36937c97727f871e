//! Leaves a provider alone for a while that has failed several times in a row, so that people are
//! told at once instead of after every time limit.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use kernel::time::Timestamp;

/// How many failures in a row open the breaker.
pub(crate) const FAILURES_MAX: u32 = 3;

/// For how long it then stays open. Afterwards one call is let through to try.
pub(crate) const OPEN_FOR: Duration = Duration::from_secs(120);

/// Whether a provider is called at all.
#[derive(Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    open_until: Option<Timestamp>,
}

impl Breaker {
    /// Lets a call pass.
    ///
    /// # Errors
    /// How long the breaker stays open yet.
    pub(crate) fn pass(&self, now: Timestamp) -> Result<(), Duration> {
        let mut state = self.state();
        let Some(until) = state.open_until else { return Ok(()) };
        let left = until.since(now);
        // A clock that was put back by more than the whole time must not keep it open for longer.
        if !left.is_zero() && left <= OPEN_FOR {
            return Err(left);
        }
        // The one that tries; the others wait for how it fares.
        state.open_until = Some(now.plus(OPEN_FOR));
        Ok(())
    }

    /// Notes that the provider answered.
    pub(crate) fn succeeded(&self) {
        *self.state() = State::default();
    }

    /// Notes that it did not, or said that it cannot.
    pub(crate) fn failed(&self, now: Timestamp) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES_MAX {
            state.open_until = Some(now.plus(OPEN_FOR));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn opened() -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..FAILURES_MAX {
            assert_eq!(breaker.pass(NOW), Ok(()));
            breaker.failed(NOW);
        }
        breaker
    }

    #[test]
    fn two_failures_do_not_open_it_and_three_do_for_120_seconds() {
        let breaker = Breaker::default();
        for _ in 1..FAILURES_MAX {
            breaker.failed(NOW);
        }
        assert_eq!(breaker.pass(NOW), Ok(()));
        breaker.failed(NOW);
        assert_eq!(breaker.pass(NOW), Err(OPEN_FOR));
        let last = NOW.plus(OPEN_FOR - Duration::from_millis(1));
        assert_eq!(breaker.pass(last), Err(Duration::from_millis(1)));
        assert_eq!(breaker.pass(NOW.plus(OPEN_FOR)), Ok(()));
    }

    #[test]
    fn an_answer_in_between_begins_the_count_anew() {
        let breaker = Breaker::default();
        for _ in 0..10 {
            breaker.failed(NOW);
            breaker.failed(NOW);
            breaker.succeeded();
        }
        assert_eq!(breaker.pass(NOW), Ok(()));
    }

    #[test]
    fn one_call_tries_and_the_others_wait_for_how_it_fares() {
        let breaker = opened();
        let later = NOW.plus(OPEN_FOR);
        assert_eq!(breaker.pass(later), Ok(()));
        assert_eq!(breaker.pass(later), Err(OPEN_FOR));
        breaker.failed(later);
        assert_eq!(breaker.pass(later), Err(OPEN_FOR), "it is open again at once");
        let much_later = later.plus(OPEN_FOR);
        assert_eq!(breaker.pass(much_later), Ok(()));
        breaker.succeeded();
        assert_eq!(breaker.pass(much_later), Ok(()));
        breaker.failed(much_later);
        assert_eq!(breaker.pass(much_later), Ok(()), "the count begins anew");
    }

    #[test]
    fn a_clock_that_was_put_back_does_not_keep_it_open() {
        assert_eq!(opened().pass(NOW.minus(Duration::from_secs(1))), Ok(()));
    }
}
