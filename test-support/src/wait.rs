//! Waiting for a condition, instead of sleeping for a guess.

use std::thread;
use std::time::Duration;
use std::time::Instant;

/// How long a server that was just started may take to answer.
pub const START_MAX: Duration = Duration::from_secs(30);

/// How long a line of the log may take to be there, once what it tells of is answered.
pub const LOG_MAX: Duration = Duration::from_secs(5);

/// Pause between two looks at a condition.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Waits until `condition` holds, at most for `deadline`.
///
/// # Panics
/// When it still does not hold then; the panic is located at the caller.
#[track_caller]
pub fn wait_until(deadline: Duration, condition: impl FnMut() -> bool) {
    assert!(holds_within(deadline, condition), "not so within {deadline:?}");
}

/// Says whether `condition` comes to hold before `deadline` has passed. It is looked at at least
/// once, and once more at the very end.
pub fn holds_within(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    loop {
        let last_look = began.elapsed() >= deadline;
        if condition() {
            return true;
        }
        if last_look {
            return false;
        }
        thread::sleep(LOOK_AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_holds_at_once_is_looked_at_even_with_no_time() {
        assert!(holds_within(Duration::ZERO, || true));
    }

    #[test]
    fn a_condition_that_comes_to_hold_is_waited_for() {
        let mut looks = 0;
        wait_until(START_MAX, || {
            looks += 1;
            looks == 3
        });
        assert_eq!(looks, 3);
    }

    #[test]
    fn a_condition_that_never_holds_ends_with_the_deadline() {
        assert!(!holds_within(Duration::from_millis(20), || false));
    }
}
