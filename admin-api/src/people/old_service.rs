//! What the service that Doorward replaces is told and asked of tokens, while both run beside each
//! other.
//!
//! It knows tokens by their text and nothing of sessions or people, so it can be told of a token only
//! where somebody shows it. Nobody waits until it was told, and nothing here fails for its sake.

use std::sync::Arc;
use std::time::Duration;

use kernel::secret::Secret;
use kernel::time::Timestamp;
use stores::redis::old_service::OldService;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

use crate::clock::Clock;

/// How many revoked tokens may wait until it is told of them.
pub(crate) const QUEUE_MAX: usize = 4_096;

/// How long after a failure it is told again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// The way to the old service.
pub(crate) struct Beside {
    service: Arc<OldService>,
    queue: mpsc::Sender<Errand>,
}

/// What waits for the old service.
pub(crate) struct Waiting {
    service: Arc<OldService>,
    queue: mpsc::Receiver<Errand>,
}

enum Errand {
    /// This token is refused until then.
    Revoked(Secret, Timestamp),
    /// Somebody wants to know when all errands before are done.
    Call(oneshot::Sender<()>),
}

/// Too many are waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many revoked tokens wait until the old service is told of them")]
pub(crate) struct QueueFull;

impl Beside {
    /// A way to `service`, and what waits there; somebody has to [tell](Waiting::tell) it.
    pub(crate) fn new(service: Arc<OldService>) -> (Self, Waiting) {
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        (Self { service: Arc::clone(&service), queue: sender }, Waiting { service, queue })
    }

    /// Sees to it that the old service is told that `token` is revoked, until which time it would be
    /// accepted otherwise.
    ///
    /// # Errors
    /// [`QueueFull`].
    pub(crate) fn revoked(&self, token: Secret, until: Timestamp) -> Result<(), QueueFull> {
        self.queue.try_send(Errand::Revoked(token, until)).map_err(|_| QueueFull)
    }

    /// Whether the old service has revoked `token`, as far as can be known now: where there is no
    /// answer, what the database says has to do.
    pub(crate) async fn has_revoked(&self, token: &Secret) -> bool {
        self.service.has_revoked(token.expose()).await.unwrap_or(false)
    }

    /// Waits until it was told of all that is revoked by now, but no longer than `within`; says whether
    /// it was.
    pub(crate) async fn is_told(&self, within: Duration) -> bool {
        let (done, told) = oneshot::channel();
        let told =
            async { self.queue.send(Errand::Call(done)).await.is_ok() && told.await.is_ok() };
        tokio::time::timeout(within, told).await.unwrap_or(false)
    }
}

impl Waiting {
    /// Tells it, one after the other, until nobody can bring anything any more. What it cannot be told
    /// is tried again until the token has expired.
    pub(crate) async fn tell(mut self, clock: Clock) {
        let mut is_failing = false;
        while let Some(errand) = self.queue.recv().await {
            match errand {
                Errand::Revoked(token, until) => {
                    self.tell_of(&token, until, &clock, &mut is_failing).await;
                }
                // Whoever called may have gone.
                Errand::Call(done) => drop(done.send(())),
            }
        }
    }

    async fn tell_of(
        &self,
        token: &Secret,
        until: Timestamp,
        clock: &Clock,
        is_failing: &mut bool,
    ) {
        loop {
            let left = until.since(clock.now());
            if left.is_zero() {
                return;
            }
            match self.service.revoke(token.expose(), left).await {
                Ok(()) if *is_failing => {
                    *is_failing = false;
                    tracing::info!("the old service is told of revoked tokens again");
                    return;
                }
                Ok(()) => return,
                Err(lost) if !*is_failing => {
                    *is_failing = true;
                    tracing::warn!(
                        error = lost.in_short(),
                        "the old service cannot be told of a revoked token: it is tried again until \
                         the token expires"
                    );
                }
                Err(_) => {}
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use config::Redis;
    use stores::redis::connection::Connection;
    use test_support::redis::RedisServer;
    use test_support::redis::Reply;
    use test_support::wait::START_MAX;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn service(url: &str) -> Arc<OldService> {
        let redis = Redis::at(Secret::new(url));
        Arc::new(OldService::new(Connection::open(&redis, None).expect("a URL")))
    }

    #[tokio::test]
    async fn as_many_may_wait_as_there_is_room_for_and_no_more() {
        let (beside, waiting) = Beside::new(service("redis://127.0.0.1:1"));
        for _ in 0..QUEUE_MAX {
            assert_eq!(beside.revoked(Secret::new("a.b.c"), NOW), Ok(()));
        }
        assert_eq!(beside.revoked(Secret::new("a.b.c"), NOW), Err(QueueFull));
        drop(waiting);
    }

    #[tokio::test]
    async fn a_token_that_has_expired_meanwhile_keeps_nobody_waiting() {
        let (beside, waiting) = Beside::new(service("redis://127.0.0.1:1"));
        beside.revoked(Secret::new("a.b.c"), NOW).unwrap();
        tokio::spawn(waiting.tell(Clock::new(|| NOW)));
        assert!(beside.is_told(START_MAX).await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_cannot_be_told_is_told_once_redis_is_there() {
        let mut server = RedisServer::start();
        let url = server.url();
        server.stop();
        let (beside, waiting) = Beside::new(service(&url));
        beside.revoked(Secret::new("a.b.c"), NOW.plus(Duration::from_secs(60))).unwrap();
        tokio::spawn(waiting.tell(Clock::new(|| NOW)));
        assert!(!beside.is_told(2 * AGAIN_AFTER).await, "there is nobody to be told");
        server.restart();
        assert!(beside.is_told(START_MAX).await);
        let stored = server.command(&["GET", "revoked_token:a.b.c"]).unwrap();
        assert_eq!(stored, Reply::text("\"revoked\""));
    }
}
