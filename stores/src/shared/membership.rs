//! A gateway as a member of its fleet: it says that it is there, and gives back what it holds when it goes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use kernel::limit::Quota;
use kernel::time::Timestamp;
use tokio::time::sleep;
use tokio::time::timeout;

use super::SharedQuotas;
use super::outage::TOLD_AT_ONCE_MAX;
use crate::redis::quotas::LeaseRequest;

/// How often a gateway says that it is there, and hears how many are.
const ANNOUNCED_EVERY: Duration = Duration::from_secs(10);

/// How often it is looked whether something is to be settled: single calls are lost, too.
const SETTLED_EVERY: Duration = Duration::from_secs(1);

/// When it says so again after it was not heard.
const ANNOUNCED_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl SharedQuotas {
    /// Looks after the store, says that this gateway is there, and settles debts, for as long as this
    /// runs.
    pub async fn keep(&self, now: impl Fn() -> Timestamp) {
        self.keep_until(now, std::future::pending()).await;
    }

    /// The same until `stop`; what is being settled then is settled first, for whoever drops this
    /// meanwhile loses it.
    pub async fn keep_until(&self, now: impl Fn() -> Timestamp, stop: impl Future<Output = ()>) {
        let announce = async {
            loop {
                match self.store.announce(&self.holder).await {
                    Ok(gateways) => {
                        self.gateways.store(gateways.max(1), Ordering::Relaxed);
                        sleep(ANNOUNCED_EVERY).await;
                    }
                    Err(_) => sleep(ANNOUNCED_AGAIN_AFTER).await,
                }
            }
        };
        let settle = async {
            let mut stop = std::pin::pin!(stop);
            loop {
                tokio::select! {
                    biased;
                    () = &mut stop => return,
                    _ = timeout(SETTLED_EVERY, self.recovered.notified()) => {}
                }
                if self.debts.any() && !self.store.rests() {
                    self.settle(now()).await;
                }
            }
        };
        let recovered = || self.recovered.notify_one();
        let others = async { tokio::join!(self.store.keep(recovered), announce) };
        tokio::select! {
            () = settle => {}
            ((), ()) = others => {}
        }
    }

    /// Gives all tokens back that are not spent, and has counted what was let in without the store, as a
    /// gateway does that ends; what cannot be given back stays counted.
    pub async fn close(&self, now: Timestamp) {
        // First what others wait for.
        let tokens = self.give_back(now).await;
        self.settle(now).await;
        let requests: u64 =
            self.debts.take().values().map(|debt| u64::from(debt.units.get())).sum();
        self.figures.unsettled.fetch_add(requests, Ordering::Relaxed);
        if tokens > 0 || requests > 0 {
            tracing::warn!(
                tokens,
                requests,
                "the limit store could not be told all at the end: {tokens} tokens taken ahead stay \
                 counted until they expire, and {requests} requests that were let in are not counted"
            );
        }
        // Otherwise it is forgotten within a minute.
        let _ = self.store.leave(&self.holder).await;
    }

    /// Gives back what was taken ahead; returns how many tokens could not be.
    async fn give_back(&self, now: Timestamp) -> u64 {
        let mut leases = self.ledger.close(&self.store, (self.uptime)()).into_iter();
        let mut kept = 0;
        while !self.store.rests() {
            let some: Vec<_> = leases.by_ref().take(TOLD_AT_ONCE_MAX).collect();
            if some.is_empty() {
                return kept;
            }
            let give_back = async |(name, quotas, left): (String, Arc<[Quota]>, u32)| {
                let request = LeaseRequest { holder: self.holder, left, ..LeaseRequest::default() };
                let given_back = self.store.give_back(&name, &quotas, &request, now).await;
                self.counted(given_back).map_or(u64::from(left), |()| 0)
            };
            kept += join_all(some.into_iter().map(give_back)).await.iter().sum::<u64>();
        }
        kept + leases.map(|(_, _, left)| u64::from(left)).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::num::NonZeroU32;
    use std::num::NonZeroUsize;
    use std::sync::Arc;
    use std::task::Poll;

    use config::Redis;
    use kernel::limit::Quota;
    use kernel::limit::Subject;
    use kernel::limit::SubjectKind;
    use kernel::secret::Secret;
    use kernel::time::now;
    use kernel::time::uptime;
    use test_support::redis::RedisServer;
    use tokio::sync::oneshot;

    use super::*;
    use crate::redis::connection::Connection;
    use crate::redis::gateways::NAME_BYTES;
    use crate::redis::quotas::Clock;
    use crate::redis::quotas::RedisQuotas;

    const ADA: Subject<'static> = Subject { policy: "tier", kind: SubjectKind::User, id: "ada" };

    #[tokio::test]
    async fn what_is_being_settled_when_a_gateway_is_told_to_stop_is_not_lost() {
        let server = RedisServer::start();
        let budget = Duration::from_secs(30);
        let redis = Redis { call_timeout: budget, ..Redis::at(Secret::new(server.url())) };
        let connection = Connection::open(&redis, None).expect("a URL");
        connection.connected().await.expect("Redis is there");
        let store = RedisQuotas::new(connection, "doorward", Clock::OfTheServer);
        let keys_max = NonZeroUsize::new(100).expect("not zero");
        let shared = SharedQuotas::new(store, keys_max, [1; NAME_BYTES], uptime);
        let hour = Duration::from_secs(3_600);
        let quotas: Arc<[Quota]> = [Quota::new("hour", 100, hour).expect("within bounds")].into();
        let three = NonZeroU32::new(3).expect("not zero");
        shared.let_in(ADA, &quotas, three, now());

        server.command(&["CLIENT", "PAUSE", "600000", "WRITE"]).expect("it answers");
        let (stop, stops) = oneshot::channel();
        let kept = shared.keep_until(now, async {
            let _ = stops.await;
        });
        let story = async {
            let taken = poll_fn(|context| match shared.debts.any() {
                false => Poll::Ready(()),
                true => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            });
            timeout(budget, taken).await.expect("it begins to settle");
            stop.send(()).expect("it is kept");
            tokio::task::yield_now().await;
            server.command(&["CLIENT", "UNPAUSE"]).expect("it answers");
        };
        tokio::join!(kept, story);
        let outcome = shared.peek(ADA, &quotas, now()).await.expect("Redis answers");
        assert_eq!(outcome.windows()[0].remaining, 97);
    }
}
