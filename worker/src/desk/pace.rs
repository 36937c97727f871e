//! When messages are taken next.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest pause after a queue was found empty; each further one is twice as long.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(2);

/// The longest.
pub(super) const PAUSE_MAX: Duration = Duration::from_millis(100);

/// The pause after a Redis gave no answer.
pub(super) const PAUSE_LOST: Duration = Duration::from_millis(250);

/// Doubles the pause while there is nothing to do.
#[derive(Debug)]
pub(super) struct Pace {
    next: Instant,
    pause: Duration,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { next: now, pause: PAUSE_MIN }
    }

    pub(super) fn next(&self) -> Instant {
        self.next
    }

    pub(super) fn is_due(&self) -> bool {
        self.next <= Instant::now()
    }

    /// So many messages were taken, and no more were there.
    pub(super) fn took(&mut self, count: usize) {
        self.pause = match count {
            0 => (self.pause * 2).min(PAUSE_MAX),
            _ => PAUSE_MIN,
        };
        self.next = Instant::now() + self.pause;
    }

    /// As many messages were taken as were asked for: there may be more.
    pub(super) fn took_all(&mut self) {
        self.pause = PAUSE_MIN;
        self.next = Instant::now();
    }

    /// There was no answer.
    pub(super) fn lost(&mut self) {
        self.next = Instant::now() + PAUSE_LOST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_empty_queue_is_looked_at_after_2_ms_and_ever_more_seldom_up_to_100() {
        let mut pace = Pace::new(Instant::now());
        let mut pauses = Vec::new();
        pace.took(1);
        for _ in 0..8 {
            pauses.push((pace.next() - Instant::now()).as_millis());
            pace.took(0);
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 100, 100]);
        pace.took_all();
        assert!(pace.is_due(), "there may be more");
    }
}
