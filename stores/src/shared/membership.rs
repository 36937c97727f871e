//! A gateway as a member of its fleet: it says that it is there, and gives back what it holds when it goes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use kernel::limit::Quota;
use kernel::time::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::timeout;

use super::SharedQuotas;
use super::outage::TOLD_AT_ONCE_MAX;
use crate::redis::quotas::LeaseRequest;

/// How often a gateway says that it is there, and hears how many are.
const ANNOUNCED_EVERY: Duration = Duration::from_secs(10);

/// How often it is looked whether something is to be settled: single calls are lost, too.
const SETTLED_EVERY: Duration = Duration::from_secs(1);

/// How long a gateway that ends goes on telling the store what it holds and owes.
const TOLD_WITHIN: Duration = Duration::from_millis(1_500);

/// When it says so again after it was not heard.
const ANNOUNCED_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl SharedQuotas {
    /// Looks after the store, says that this gateway is there, and settles debts, until `stop` says true
    /// or is gone. What is being told then is told first, for whoever drops this meanwhile loses it.
    pub async fn keep(&self, now: impl Fn() -> Timestamp, stop: watch::Receiver<bool>) {
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
        let goes_on = || !*stop.borrow();
        let settle = async {
            let mut stop = stop.clone();
            loop {
                tokio::select! {
                    biased;
                    _ = stop.wait_for(|stop| *stop) => return,
                    _ = timeout(SETTLED_EVERY, self.recovered.notified()) => {}
                }
                if self.debts.any() && !self.store.rests() {
                    self.settle(now(), goes_on).await;
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
    /// gateway does that ends: within 1.5 s, and what the store is being told then. What cannot be
    /// given back stays counted.
    pub async fn close(&self, now: Timestamp) {
        let until = Instant::now() + TOLD_WITHIN;
        let goes_on = || Instant::now() < until;
        // First what others wait for.
        let tokens = self.give_back(now, goes_on).await;
        self.settle(now, goes_on).await;
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

    /// Gives back what was taken ahead, while it `goes_on`; returns how many tokens could not be.
    async fn give_back(&self, now: Timestamp, goes_on: impl Fn() -> bool) -> u64 {
        let mut leases = self.ledger.close(&self.store, (self.uptime)()).into_iter();
        let mut kept = 0;
        while !self.store.rests() && goes_on() {
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
