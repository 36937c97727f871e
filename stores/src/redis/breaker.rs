//! Gives a store that has failed a rest: nobody asks it, until a probe finds that it works again.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;

/// So many failures in a row, with no success between, and nobody asks any more.
pub(crate) const FAILURES_MAX: u32 = 3;

/// How often a store that rests is looked at.
pub(crate) const PROBE_EVERY: Duration = Duration::from_millis(100);

/// Closed while a store works; open while it rests.
///
/// Requests never probe: while it is open they are told so at once, by one load from memory.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    open: AtomicBool,
    failures: AtomicU32,
    opened: Notify,
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

    /// The store gave no answer. Says whether that was what opened it.
    pub(crate) fn failed(&self) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures < FAILURES_MAX || self.open.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.opened.notify_one();
        true
    }

    /// Probes the store whenever it rests, for as long as this runs; `probe` says whether it works,
    /// and `recovered` is told once it does.
    pub(crate) async fn keep<P>(&self, mut probe: impl FnMut() -> P, mut recovered: impl FnMut())
    where
        P: Future<Output = bool>,
    {
        loop {
            while !self.is_open() {
                self.opened.notified().await;
            }
            tokio::time::sleep(PROBE_EVERY).await;
            if probe().await {
                self.failures.store(0, Ordering::Relaxed);
                self.open.store(false, Ordering::Release);
                recovered();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn it_opens_at_the_third_failure_in_a_row_and_not_before() {
        let breaker = Breaker::default();
        for _ in 0..FAILURES_MAX - 1 {
            assert!(!breaker.failed());
        }
        assert!(!breaker.is_open());
        breaker.succeeded();
        for _ in 0..FAILURES_MAX - 1 {
            assert!(!breaker.failed());
        }
        assert!(!breaker.is_open(), "a success between starts the count anew");
        assert!(breaker.failed(), "the one that opens it is told");
        assert!(breaker.is_open());
        assert!(!breaker.failed(), "and no other");
        breaker.succeeded();
        assert!(breaker.is_open(), "an answer that comes late closes nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_probed_while_it_is_open_and_closed_once_the_store_works() {
        let breaker = Breaker::default();
        let (probes, recovered) = (Cell::new(0), Cell::new(0));
        let begin = tokio::time::Instant::now();
        let keep = breaker.keep(
            || {
                probes.set(probes.get() + 1);
                let works = probes.get() % 4 == 0;
                async move { works }
            },
            || recovered.set(recovered.get() + 1),
        );
        let outages = async {
            for outage in 1..=2 {
                tokio::time::sleep(Duration::from_secs(60)).await;
                assert_eq!(probes.get(), 4 * (outage - 1), "a closed one is not probed");
                for _ in 0..FAILURES_MAX {
                    breaker.failed();
                }
                while breaker.is_open() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                assert_eq!((probes.get(), recovered.get()), (4 * outage, outage));
            }
            begin.elapsed()
        };
        let took = tokio::select! {
            () = keep => unreachable!("it is kept for ever"),
            took = outages => took,
        };
        assert!(took >= 2 * (Duration::from_secs(60) + 4 * PROBE_EVERY));
    }
}
