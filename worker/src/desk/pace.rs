//! When messages are taken next.

use std::time::Duration;

use stores::redis::connection::Lost;
use tokio::time::Instant;

/// The shortest pause after a queue was found empty; each further one is twice as long.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(2);

/// The longest.
pub(super) const PAUSE_MAX: Duration = Duration::from_millis(100);

/// The pause after a broker gave no answer.
const PAUSE_LOST: Duration = Duration::from_millis(250);

/// Doubles the pause while there is nothing to do.
#[derive(Debug)]
pub(super) struct Pace {
    next: Instant,
    pause: Duration,
    is_lost: bool,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { next: now, pause: PAUSE_MIN, is_lost: false }
    }

    pub(super) fn next(&self) -> Instant {
        self.next
    }

    pub(super) fn is_due(&self) -> bool {
        self.next <= Instant::now()
    }

    /// So many messages were taken, and as many as were asked for where it was `full`.
    pub(super) fn took(&mut self, count: usize, full: bool) {
        self.works();
        self.pause = match count {
            0 => (self.pause * 2).min(PAUSE_MAX),
            _ => PAUSE_MIN,
        };
        let pause = if full { Duration::ZERO } else { self.pause };
        self.next = Instant::now() + pause;
    }

    /// The broker answers.
    pub(super) fn works(&mut self) {
        if std::mem::take(&mut self.is_lost) {
            tracing::info!("the Celery broker answers again");
        }
    }

    /// It did not.
    pub(super) fn lost(&mut self, lost: &Lost) {
        if !self.is_lost {
            tracing::warn!(
                error = lost.in_short(),
                "the Celery broker gives no answer: no task is taken until it does"
            );
        }
        self.is_lost = true;
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
        pace.took(1, false);
        for _ in 0..8 {
            pauses.push((pace.next() - Instant::now()).as_millis());
            pace.took(0, false);
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 100, 100]);
        pace.took(3, true);
        assert!(pace.is_due(), "there may be more");
    }
}
