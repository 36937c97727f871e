//! Places that may not be left: whatever ends the work there, by return or by panic, ends the
//! readiness.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use tokio::sync::watch;

/// Everybody who has to be at work for requests to be sent here, until they are told to close.
#[derive(Clone)]
pub(crate) struct Posts {
    /// Whether all are at work.
    alive: Arc<AtomicBool>,
    closes: watch::Receiver<bool>,
}

impl Posts {
    /// All are at work, until `closes` says otherwise.
    pub(crate) fn new(closes: watch::Receiver<bool>) -> Self {
        Self { alive: Arc::new(AtomicBool::new(true)), closes }
    }

    /// Whether all are at work.
    pub(crate) fn are_held(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// Waits until they are told to close.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        closed(self.closes.clone())
    }

    /// Does the work that is called `part`, which may end only after they were told to close.
    pub(crate) async fn hold<T>(&self, part: &'static str, work: impl Future<Output = T>) -> T {
        let _left_with_the_work = Post { part, posts: self };
        work.await
    }

    /// Does work that never ends by itself, until they are told to close.
    pub(crate) async fn hold_for_ever(&self, part: &'static str, work: impl Future<Output = ()>) {
        let until_closed = async {
            tokio::select! {
                biased;
                () = self.closed() => {}
                () = work => {}
            }
        };
        self.hold(part, until_closed).await;
    }
}

/// Waits until `closes` says so.
pub(crate) async fn closed(mut closes: watch::Receiver<bool>) {
    // The sender lives until the end; should it be gone, this is the end.
    let _ = closes.wait_for(|closes| *closes).await;
}

struct Post<'a> {
    part: &'static str,
    posts: &'a Posts,
}

impl Drop for Post<'_> {
    fn drop(&mut self) {
        self.posts.alive.store(false, Ordering::Release);
        if !*self.posts.closes.borrow() {
            tracing::error!("{} ended by itself", self.part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether requests may still be sent here after `work` is no longer done.
    async fn is_held_after(work: impl Future<Output = ()> + Send + 'static) -> bool {
        let (_closes, closes) = watch::channel(false);
        let posts = Posts::new(closes);
        let (begin, begun) = tokio::sync::oneshot::channel();
        let post = posts.clone();
        let task = tokio::spawn(async move {
            let work = async {
                let _ = begun.await;
                work.await;
            };
            post.hold("a part", work).await;
        });
        assert!(posts.are_held(), "while the work is done");
        begin.send(()).expect("the work waits");
        let _ = task.await;
        posts.are_held()
    }

    #[tokio::test]
    async fn a_post_that_is_left_is_not_held() {
        assert!(!is_held_after(async {}).await);
    }

    #[tokio::test]
    async fn a_post_whose_work_panics_is_not_held() {
        assert!(!is_held_after(async { panic!("as a defect would") }).await);
    }

    #[tokio::test]
    async fn work_without_an_end_ends_with_the_house() {
        let (close, closes) = watch::channel(false);
        let posts = Posts::new(closes);
        let work = posts.hold_for_ever("a part", std::future::pending());
        close.send_replace(true);
        work.await;
    }
}
