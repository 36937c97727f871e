//! When messages are taken next.

use std::time::Duration;

use stores::redis::connection::Lost;
use tokio::time::Instant;

/// The shortest pause after a queue was found empty; each further one is twice as long.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(2);

/// The longest.
pub(super) const PAUSE_MAX: Duration = Duration::from_millis(100);

/// The pause after a Redis gave no answer.
const PAUSE_LOST: Duration = Duration::from_millis(250);

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

/// Whether a Redis gives no answer: said once, when it begins and when it is over.
#[derive(Debug)]
pub(super) struct Outage {
    of: &'static str,
    what: &'static str,
    is_lost: bool,
    again_at: Instant,
}

impl Outage {
    pub(super) fn of_broker(now: Instant) -> Self {
        let what = "no task is taken until it does";
        Self { of: "the Celery broker", what, is_lost: false, again_at: now }
    }

    pub(super) fn of_results(now: Instant) -> Self {
        let what = "what came to an end is written down once it does";
        Self { of: "the Celery result back end", what, is_lost: false, again_at: now }
    }

    /// Whether it gave no answer when it was asked last.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Whether it makes sense to ask it.
    pub(super) fn is_due(&self) -> bool {
        self.again_at <= Instant::now()
    }

    /// It answers.
    pub(super) fn works(&mut self) {
        if std::mem::take(&mut self.is_lost) {
            tracing::info!("{} answers again", self.of);
        }
    }

    /// It did not.
    pub(super) fn lost(&mut self, lost: &Lost) {
        if !self.is_lost {
            let error = lost.in_short();
            tracing::warn!(error, "{} gives no answer: {}", self.of, self.what);
        }
        self.is_lost = true;
        self.again_at = Instant::now() + PAUSE_LOST;
    }
}

/// Whether a broker answers that it cannot do what it is asked, such as that a queue is no list: said once,
/// until something is taken as it should be.
#[derive(Debug, Default)]
pub(super) struct Fault {
    is_there: bool,
}

impl Fault {
    /// Whether it said so last.
    pub(super) fn is_there(&self) -> bool {
        self.is_there
    }

    /// It answered so.
    pub(super) fn found(&mut self, lost: &Lost) {
        if !std::mem::replace(&mut self.is_there, true) {
            tracing::error!(
                error = lost.in_short(),
                "the Celery broker cannot do what it is asked: a queue is no list, or the books of what is \
                 taken are none; it is tried on"
            );
        }
    }

    /// Messages are taken.
    pub(super) fn is_over(&mut self) {
        if std::mem::take(&mut self.is_there) {
            tracing::info!("the Celery broker does what it is asked again");
        }
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
