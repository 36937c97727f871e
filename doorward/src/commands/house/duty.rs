//! Work that must go on for requests to be sent here: whatever ends it, by return or by panic, ends the
//! readiness.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use tokio::sync::watch;

/// All work that must go on for requests to be sent here, until it is told to close.
#[derive(Clone)]
pub(crate) struct Duties {
    /// Whether all of it goes on.
    alive: Arc<AtomicBool>,
    closes: watch::Receiver<bool>,
}

impl Duties {
    /// All of it goes on, until `closes` says otherwise.
    pub(crate) fn new(closes: watch::Receiver<bool>) -> Self {
        Self { alive: Arc::new(AtomicBool::new(true)), closes }
    }

    /// Whether all of it goes on.
    pub(crate) fn are_fulfilled(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// Waits until it is told to close.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        closed(self.closes.clone())
    }

    /// Does the work that is called `part`, which may end only after it was told to close.
    pub(crate) async fn fulfil<T>(&self, part: &'static str, work: impl Future<Output = T>) -> T {
        let _left_with_the_work = Duty { part, duties: self };
        work.await
    }

    /// Does work that never ends by itself, until it is told to close.
    pub(crate) async fn fulfil_for_ever(&self, part: &'static str, work: impl Future<Output = ()>) {
        let until_closed = async {
            tokio::select! {
                biased;
                () = self.closed() => {}
                () = work => {}
            }
        };
        self.fulfil(part, until_closed).await;
    }
}

/// Waits until `closes` says so.
pub(crate) async fn closed(mut closes: watch::Receiver<bool>) {
    // The sender lives until the end; should it be gone, this is the end.
    let _ = closes.wait_for(|closes| *closes).await;
}

struct Duty<'a> {
    part: &'static str,
    duties: &'a Duties,
}

impl Drop for Duty<'_> {
    fn drop(&mut self) {
        self.duties.alive.store(false, Ordering::Release);
        if !*self.duties.closes.borrow() {
            tracing::error!("{} ended by itself", self.part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether requests may still be sent here after `work` is no longer done.
    async fn is_fulfilled_after(work: impl Future<Output = ()> + Send + 'static) -> bool {
        let (_closes, closes) = watch::channel(false);
        let duties = Duties::new(closes);
        let (begin, begun) = tokio::sync::oneshot::channel();
        let duty = duties.clone();
        let task = tokio::spawn(async move {
            let work = async {
                let _ = begun.await;
                work.await;
            };
            duty.fulfil("a part", work).await;
        });
        assert!(duties.are_fulfilled(), "while the work is done");
        begin.send(()).expect("the work waits");
        let _ = task.await;
        duties.are_fulfilled()
    }

    #[tokio::test]
    async fn a_duty_that_is_left_is_not_fulfilled() {
        assert!(!is_fulfilled_after(async {}).await);
    }

    #[tokio::test]
    async fn a_duty_whose_work_panics_is_not_fulfilled() {
        assert!(!is_fulfilled_after(async { panic!("as a defect would") }).await);
    }

    #[tokio::test]
    async fn work_without_an_end_ends_with_the_house() {
        let (close, closes) = watch::channel(false);
        let duties = Duties::new(closes);
        let work = duties.fulfil_for_ever("a part", std::future::pending());
        close.send_replace(true);
        work.await;
    }
}
