//! Gives a store that has failed a rest: nobody asks it, until a probe finds that it works again.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio::time::timeout;

/// So many failures in a row, with no success between, and nobody asks any more.
pub(crate) const FAILURES_MAX: u32 = 3;

/// How often a store that rests is looked at.
pub(crate) const PROBE_EVERY: Duration = Duration::from_millis(100);

/// How long it rests at the longest before it is looked at, where it has failed again and again soon
/// after it worked.
pub(crate) const PROBE_EVERY_MAX: Duration = Duration::from_secs(5);

/// A store that has worked for so long works; one that fails sooner was never well.
pub(crate) const STEADY_AFTER: Duration = Duration::from_secs(10);

/// Closed while a store works; open while it rests.
///
/// Requests never probe: while it is open they are told so at once, by one load from memory.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    open: AtomicBool,
    failures: AtomicU32,
    past: AtomicU8,
    opened: Notify,
}

/// What a store has been through while it was closed: nothing lately, an outage, or several.
const STEADY: u8 = 0;
const RECOVERED: u8 = 1;
const FLAPS: u8 = 2;

/// How a store was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It had worked.
    Anew,
    /// It has worked for a moment only, for the first time in this outage.
    Again,
}

/// How a store that was lost does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It works again.
    Works,
    /// It works once more, having failed soon the last time.
    WorksForNow,
    /// It has failed soon at least once, and has now worked for [`STEADY_AFTER`].
    Steady,
}

impl Breaker {
    /// Whether the store rests.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// The store gave an answer.
    pub(crate) fn succeeded(&self) {
        // Written seldom, so that it stays in every processor's cache.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// The store gave no answer. Says so where that was what opened it, but not of each time in one
    /// outage.
    pub(crate) fn failed(&self) -> Option<Loss> {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures < FAILURES_MAX || self.open.swap(true, Ordering::AcqRel) {
            return None;
        }
        let past = self.past.load(Ordering::Acquire);
        if past == RECOVERED {
            self.past.store(FLAPS, Ordering::Release);
        }
        self.opened.notify_one();
        match past {
            STEADY => Some(Loss::Anew),
            RECOVERED => Some(Loss::Again),
            _ => None,
        }
    }

    /// Probes the store whenever it rests, for as long as this runs; `probe` says whether it works,
    /// and `tell` is told once it does.
    ///
    /// Where it fails soon after it worked, it rests twice as long each time.
    pub(crate) async fn keep<P>(&self, mut probe: impl FnMut() -> P, mut tell: impl FnMut(Turn))
    where
        P: Future<Output = bool>,
    {
        let mut rest = PROBE_EVERY;
        loop {
            while !self.is_open() {
                self.opened.notified().await;
            }
            while self.is_open() {
                sleep(rest).await;
                if !probe().await {
                    continue;
                }
                tell(self.close());
                if self.is_steady().await {
                    rest = PROBE_EVERY;
                    if self.past.swap(STEADY, Ordering::AcqRel) == FLAPS {
                        tell(Turn::Steady);
                    }
                } else {
                    rest = (2 * rest).min(PROBE_EVERY_MAX);
                }
            }
        }
    }

    fn close(&self) -> Turn {
        self.failures.store(0, Ordering::Relaxed);
        let turn = match self.past.load(Ordering::Acquire) {
            FLAPS => Turn::WorksForNow,
            _ => Turn::Works,
        };
        if turn == Turn::Works {
            self.past.store(RECOVERED, Ordering::Release);
        }
        self.open.store(false, Ordering::Release);
        turn
    }

    /// Waits until it is open, for [`STEADY_AFTER`] at the longest; says whether it stayed closed.
    async fn is_steady(&self) -> bool {
        let opened = async {
            while !self.is_open() {
                self.opened.notified().await;
            }
        };
        timeout(STEADY_AFTER, opened).await.is_err()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::cell::RefCell;

    use tokio::time::Instant;

    use super::*;

    fn fail(breaker: &Breaker) -> Option<Loss> {
        (0..FAILURES_MAX).filter_map(|_| breaker.failed()).next()
    }

    #[test]
    fn it_opens_at_the_third_failure_in_a_row_and_not_before() {
        let breaker = Breaker::default();
        for _ in 0..FAILURES_MAX - 1 {
            assert_eq!(breaker.failed(), None);
        }
        assert!(!breaker.is_open());
        breaker.succeeded();
        for _ in 0..FAILURES_MAX - 1 {
            assert_eq!(breaker.failed(), None);
        }
        assert!(!breaker.is_open(), "a success between starts the count anew");
        assert_eq!(breaker.failed(), Some(Loss::Anew), "the one that opens it is told");
        assert!(breaker.is_open());
        assert_eq!(breaker.failed(), None, "and no other");
        breaker.succeeded();
        assert!(breaker.is_open(), "an answer that comes late closes nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_probed_while_it_is_open_and_closed_once_the_store_works() {
        let breaker = Breaker::default();
        let (probes, works) = (Cell::new(0), Cell::new(0));
        let begin = Instant::now();
        let keep = breaker.keep(
            || {
                probes.set(probes.get() + 1);
                let works = probes.get() % 4 == 0;
                async move { works }
            },
            |turn| {
                assert_eq!(turn, Turn::Works);
                works.set(works.get() + 1);
            },
        );
        let outages = async {
            for outage in 1..=2 {
                sleep(Duration::from_secs(60)).await;
                assert_eq!(probes.get(), 4 * (outage - 1), "a closed one is not probed");
                assert_eq!(fail(&breaker), Some(Loss::Anew));
                closed(&breaker).await;
                assert_eq!((probes.get(), works.get()), (4 * outage, outage));
            }
            begin.elapsed()
        };
        let took = tokio::select! {
            () = keep => unreachable!("it is kept for ever"),
            took = outages => took,
        };
        assert!(took >= 2 * (Duration::from_secs(60) + 4 * PROBE_EVERY));
    }

    async fn closed(breaker: &Breaker) {
        while breaker.is_open() {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// A store that answers probes and nothing else.
    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_whenever_it_is_asked_again_rests_longer_and_is_told_of_once() {
        let breaker = Breaker::default();
        let (told, probed_at) = (RefCell::new(Vec::new()), Cell::new(Instant::now()));
        let probe = || {
            probed_at.set(Instant::now());
            async { true }
        };
        let keep = breaker.keep(probe, |turn| told.borrow_mut().push(turn));
        let fail_and_rest = async || {
            let (loss, begin) = (fail(&breaker), Instant::now());
            closed(&breaker).await;
            (loss, probed_at.get() - begin)
        };
        let flaps = async {
            let (mut losses, mut rests_ms) = (Vec::new(), Vec::new());
            for _ in 0..8 {
                let (loss, rest) = fail_and_rest().await;
                losses.extend(loss);
                rests_ms.push(rest.as_millis());
            }
            assert_eq!(rests_ms, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
            assert_eq!(losses, [Loss::Anew, Loss::Again]);
            // Just before it counts as steady it is the same outage still, and after that another one.
            sleep(STEADY_AFTER - Duration::from_millis(10)).await;
            assert_eq!(fail_and_rest().await, (None, PROBE_EVERY_MAX));
            sleep(STEADY_AFTER + Duration::from_millis(10)).await;
            assert_eq!(fail_and_rest().await, (Some(Loss::Anew), PROBE_EVERY));
        };
        tokio::select! {
            () = keep => unreachable!("it is kept for ever"),
            () = flaps => {}
        }
        let mut expected = vec![Turn::Works];
        expected.extend([Turn::WorksForNow; 8]);
        expected.extend([Turn::Steady, Turn::Works]);
        assert_eq!(*told.borrow(), expected);
    }
}
