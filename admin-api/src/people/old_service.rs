//! What the service that Doorward replaces is told and asked of tokens, while both run beside each
//! other.
//!
//! It knows tokens by their text and nothing of sessions or people, so it can be told of a token only
//! where somebody shows it. Nobody waits until it was told, and nothing here fails for its sake.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Weak;
use std::time::Duration;

use kernel::secret::Secret;
use kernel::time::Timestamp;
use stores::redis::old_service::OldService;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::store::values::hashed;

/// How many revoked tokens may wait until it is told of them.
pub(crate) const QUEUE_MAX: usize = 4_096;

/// How long after a failure it is told of the next.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// The way to the old service.
pub(crate) struct Beside {
    service: Arc<OldService>,
    queue: Arc<watch::Sender<Queue>>,
}

/// What waits for the old service.
pub(crate) struct Waiting {
    service: Arc<OldService>,
    queue: Weak<watch::Sender<Queue>>,
    news: watch::Receiver<Queue>,
}

/// Tokens that it is to be told of, each once; first the one that was not tried for longest. They are
/// called by their SHA-256.
#[derive(Default)]
struct Queue {
    order: VecDeque<String>,
    tokens: HashMap<String, Revoked>,
}

/// A token that is refused until then.
#[derive(Clone)]
struct Revoked {
    token: Secret,
    until: Timestamp,
}

/// Too many are waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many revoked tokens wait until the old service is told of them")]
pub(crate) struct QueueFull;

impl Beside {
    /// A way to `service`, and what waits there; somebody has to [tell](Waiting::tell) it.
    pub(crate) fn new(service: Arc<OldService>) -> (Self, Waiting) {
        let (queue, news) = watch::channel(Queue::default());
        let queue = Arc::new(queue);
        let waiting =
            Waiting { service: Arc::clone(&service), queue: Arc::downgrade(&queue), news };
        (Self { service, queue }, waiting)
    }

    /// Sees to it that the old service is told that `token` is revoked, until which time it would be
    /// accepted otherwise.
    ///
    /// # Errors
    /// [`QueueFull`].
    pub(crate) fn revoked(&self, token: Secret, until: Timestamp) -> Result<(), QueueFull> {
        let mut put = Ok(());
        self.queue.send_if_modified(|queue| {
            put = queue.put(Revoked { token, until });
            put.is_ok()
        });
        put
    }

    /// Whether the old service has revoked `token`, as far as can be known now: where there is no
    /// answer, what the database says has to do.
    pub(crate) async fn has_revoked(&self, token: &Secret) -> bool {
        self.service.has_revoked(token.expose()).await.unwrap_or(false)
    }

    /// Waits until no revoked token waits any more, but no longer than `within`; says whether that was
    /// so.
    pub(crate) async fn is_told(&self, within: Duration) -> bool {
        let mut queue = self.queue.subscribe();
        let told = queue.wait_for(Queue::is_empty);
        tokio::time::timeout(within, told).await.is_ok_and(|told| told.is_ok())
    }
}

impl Waiting {
    /// Tells it, one after the other, until nobody can bring anything any more. What it cannot be told
    /// is tried again after all others, until the token has expired.
    pub(crate) async fn tell(mut self, clock: Clock) {
        let mut is_failing = false;
        while let Some(revoked) = self.next().await {
            let left = revoked.until.since(clock.now());
            let told = match left.is_zero() {
                true => Ok(()),
                false => self.service.revoke(revoked.token.expose(), left).await,
            };
            let Some(queue) = self.queue.upgrade() else { return };
            match told {
                Ok(()) => {
                    queue.send_modify(|queue| queue.is_told(revoked.until));
                    // Not before: one that cannot be told would have the log say both by turns.
                    if queue.borrow().is_empty() {
                        // That one has expired says nothing of it.
                        if is_failing && !left.is_zero() {
                            tracing::info!("the old service is told of revoked tokens again");
                        }
                        is_failing = false;
                    }
                }
                Err(lost) => {
                    queue.send_modify(|queue| queue.put_off(clock.now()));
                    // Once, and not for each that waits.
                    if !is_failing {
                        tracing::warn!(
                            error = lost.in_short(),
                            "the old service cannot be told of a revoked token: it is tried again \
                             until the token expires"
                        );
                    }
                    is_failing = true;
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
        }
    }

    /// The first, as soon as there is one; `None` once nobody can bring any.
    async fn next(&mut self) -> Option<Revoked> {
        self.news.wait_for(|queue| !queue.is_empty()).await.ok()?.first()
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Puts a token at the end. One that waits keeps its place, and is refused until the later time.
    fn put(&mut self, revoked: Revoked) -> Result<(), QueueFull> {
        let name = hashed(&revoked.token);
        if let Some(waiting) = self.tokens.get_mut(&name) {
            waiting.until = waiting.until.max(revoked.until);
            return Ok(());
        }
        if self.order.len() == QUEUE_MAX {
            return Err(QueueFull);
        }
        self.order.push_back(name.clone());
        self.tokens.insert(name, revoked);
        Ok(())
    }

    fn first(&self) -> Option<Revoked> {
        self.tokens.get(self.order.front()?).cloned()
    }

    /// The old service was told that the first is refused until then; unless somebody has said later
    /// meanwhile, it waits no more.
    fn is_told(&mut self, until: Timestamp) {
        let Some(name) = self.order.pop_front() else { return };
        match self.tokens.get(&name) {
            Some(waiting) if waiting.until > until => self.order.push_back(name),
            _ => drop(self.tokens.remove(&name)),
        }
    }

    /// Puts the first behind all others, and forgets those that have expired by `now`.
    fn put_off(&mut self, now: Timestamp) {
        if !self.order.is_empty() {
            self.order.rotate_left(1);
        }
        self.tokens.retain(|_, waiting| waiting.until > now);
        self.order.retain(|name| self.tokens.contains_key(name));
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
        let revoke = |n: usize| beside.revoked(Secret::new(format!("a.b.{n}")), NOW);
        for n in 0..QUEUE_MAX {
            assert_eq!(revoke(n), Ok(()));
        }
        assert_eq!(revoke(QUEUE_MAX), Err(QueueFull));
        assert_eq!(revoke(0), Ok(()), "it waits already");
        drop(waiting);
    }

    #[test]
    fn a_token_waits_once_and_until_the_latest_time_that_was_said() {
        let mut queue = Queue::default();
        let (sooner, later) = (NOW, NOW.plus(Duration::from_secs(1)));
        let token = |until| Revoked { token: Secret::new("a.b.c"), until };
        queue.put(token(later)).unwrap();
        queue.put(token(sooner)).unwrap();
        assert_eq!((queue.order.len(), queue.first().unwrap().until), (1, later));
        // Said while the old service was told the sooner time: it is told again.
        queue.is_told(sooner);
        assert_eq!(queue.first().unwrap().until, later);
        queue.is_told(later);
        assert!(queue.is_empty() && queue.tokens.is_empty());
    }

    #[test]
    fn whoever_fails_goes_to_the_end_and_whoever_has_expired_goes() {
        let mut queue = Queue::default();
        let later = NOW.plus(Duration::from_millis(1));
        for (token, until) in [("a", later), ("b", NOW), ("c", later)] {
            queue.put(Revoked { token: Secret::new(token), until }).unwrap();
        }
        let first = |queue: &Queue| queue.first().unwrap().token.expose().to_owned();
        queue.put_off(NOW);
        assert_eq!((first(&queue).as_str(), queue.order.len(), queue.tokens.len()), ("c", 2, 2));
        queue.put_off(NOW);
        assert_eq!(first(&queue), "a");
        queue.put_off(later);
        assert!(queue.is_empty() && queue.tokens.is_empty());
    }

    #[tokio::test]
    async fn when_nobody_can_bring_anything_any_more_it_is_told_of_nothing() {
        let (beside, waiting) = Beside::new(service("redis://127.0.0.1:1"));
        let telling = tokio::spawn(waiting.tell(Clock::new(|| NOW)));
        drop(beside);
        tokio::time::timeout(START_MAX, telling).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_token_that_has_expired_meanwhile_keeps_nobody_waiting() {
        let (beside, waiting) = Beside::new(service("redis://127.0.0.1:1"));
        beside.revoked(Secret::new("a.b.c"), NOW).unwrap();
        tokio::spawn(waiting.tell(Clock::new(|| NOW)));
        assert!(beside.is_told(START_MAX).await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_that_cannot_be_told_keeps_no_other_waiting() {
        let rules = "~revoked_token:good.* +@connection +set";
        let server = RedisServer::setup().user("doorward", "seven-herons", rules).start();
        let (beside, waiting) = Beside::new(service(&server.url()));
        for token in ["bad.b.c", "good.b.c"] {
            beside.revoked(Secret::new(token), NOW.plus(Duration::from_secs(60))).unwrap();
        }
        tokio::spawn(waiting.tell(Clock::new(|| NOW)));
        let mut queue = beside.queue.subscribe();
        let one_waits = queue.wait_for(|queue| queue.order.len() == 1);
        tokio::time::timeout(START_MAX, one_waits).await.unwrap().unwrap();
        let left = beside.queue.borrow().first().unwrap();
        assert_eq!(left.token.expose(), "bad.b.c");
        assert!(!beside.is_told(2 * AGAIN_AFTER).await, "nobody may tell it");
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
