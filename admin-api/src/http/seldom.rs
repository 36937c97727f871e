//! Log lines that strangers, or a machine that is short of something, could fill a disk with: one is
//! written, and no other for a while.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

/// When a line of a kind was written last.
pub(crate) struct Seldom {
    quiet: Duration,
    written_at: Mutex<Option<Instant>>,
}

impl Seldom {
    /// At most one in each `quiet`.
    pub(crate) fn once_in(quiet: Duration) -> Self {
        Self { quiet, written_at: Mutex::default() }
    }

    /// Whether to write one at `now`; if so, it counts as written.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let mut written_at = self.written_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = written_at.is_none_or(|at| now.duration_since(at) >= self.quiet);
        if is_due {
            *written_at = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_lines_one_is_written_until_the_quiet_is_over() {
        let quiet = Duration::from_secs(1);
        let (seldom, now) = (Seldom::once_in(quiet), Instant::now());
        assert!(seldom.is_due(now));
        assert!(!seldom.is_due(now));
        assert!(!seldom.is_due(now + quiet - Duration::from_nanos(1)));
        assert!(seldom.is_due(now + quiet));
        assert!(!seldom.is_due(now + quiet));
    }
}
