//! The office: the admin API at work behind its socket.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use admin_api::AdminApi;
use kernel::revocation::RevocationSet;
use tokio::net::UnixListener;
use tokio::sync::watch;

use super::closed;

/// The admin API at work, with the feed that carries its acts to the gateway.
pub(super) struct Office {
    pub(super) api: Arc<AdminApi>,
    pub(super) revocations: Arc<RevocationSet>,
    pub(super) closes: watch::Receiver<bool>,
    /// Whether it is at work.
    pub(super) alive: Arc<AtomicBool>,
}

impl Office {
    /// Works until it is told to close, and finishes what is under way.
    pub(super) async fn work(self, listener: UnixListener) {
        let tail = self.api.tail_revocations(self.revocations, closed(self.closes.clone()));
        let keys = self.api.tail_signing_keys(closed(self.closes.clone()));
        let served = Arc::clone(&self.api).serve(listener, closed(self.closes.clone()));
        // Without any of them nobody signs in, no revocation arrives, or no key takes another's place:
        // nothing may be sent here.
        let post =
            |part| Post { part, alive: Arc::clone(&self.alive), closes: self.closes.clone() };
        tokio::join!(
            post("the feed of revocations").held(tail),
            post("the feed of keys").held(keys),
            async {
                if let Err(error) = post("the admin API").held(served).await {
                    tracing::error!(%error, "the admin API cannot be served");
                }
            }
        );
    }
}

/// A place in the office that may not be left: whatever ends the work, by return or by panic,
/// ends the readiness.
struct Post {
    part: &'static str,
    alive: Arc<AtomicBool>,
    closes: watch::Receiver<bool>,
}

impl Post {
    /// Does the work that is done here.
    async fn held<T>(self, work: impl Future<Output = T>) -> T {
        let _left_with_the_work = self;
        work.await
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        self.alive.store(false, Ordering::Release);
        if !*self.closes.borrow() {
            tracing::error!("{} ended by itself", self.part);
        }
    }
}

#[cfg(test)]
mod tests {
    use gateway::ops::Readiness;

    use super::*;

    /// Whether requests may still be sent here after `work` is no longer done.
    async fn is_ready_after(work: impl Future<Output = ()> + Send + 'static) -> bool {
        let alive = Arc::new(AtomicBool::new(true));
        let (_closes, closes) = watch::channel(false);
        let post = Post { part: "a part", alive: Arc::clone(&alive), closes };
        let readiness =
            Readiness::new(vec![("a part", Box::new(move || alive.load(Ordering::Acquire)))]);
        readiness.started();
        let (begin, begun) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(post.held(async {
            let _ = begun.await;
            work.await;
        }));
        assert!(readiness.is_ready(), "ready while the work is done");
        begin.send(()).expect("the work waits");
        let _ = task.await;
        readiness.is_ready()
    }

    #[tokio::test]
    async fn an_office_that_returns_takes_the_readiness_with_it() {
        assert!(!is_ready_after(async {}).await);
    }

    #[tokio::test]
    async fn an_office_that_panics_takes_the_readiness_with_it() {
        assert!(!is_ready_after(async { panic!("as a defect would") }).await);
    }
}
