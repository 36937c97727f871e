//! A gateway as a member of its fleet: it says that it is there, and gives back what it holds when it goes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use kernel::time::Timestamp;
use tokio::time::sleep;
use tokio::time::timeout;

use super::SharedQuotas;
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
            loop {
                let _ = timeout(SETTLED_EVERY, self.recovered.notified()).await;
                if self.debts.any() && !self.store.rests() {
                    self.settle(now()).await;
                }
            }
        };
        let recovered = || self.recovered.notify_one();
        tokio::join!(self.store.keep(recovered), announce, settle);
    }

    /// Gives all tokens back that are not spent, as a gateway does that ends; what cannot be given
    /// back stays counted.
    pub async fn close(&self, now: Timestamp) {
        if !self.store.rests() {
            self.settle(now).await;
        }
        let owed: u64 = self.debts.take().values().map(|debt| u64::from(debt.units.get())).sum();
        self.figures.unsettled.fetch_add(owed, Ordering::Relaxed);
        for (name, quotas, left) in self.ledger.close(&self.store, (self.uptime)()) {
            let request = LeaseRequest {
                holder: self.holder,
                left,
                want: 0,
                cap: 0,
                lasting: Duration::ZERO,
            };
            let given_back = self.store.give_back(&name, &quotas, &request, now).await;
            if self.counted(given_back).is_err() {
                return;
            }
        }
        // Otherwise it is forgotten within a minute.
        let _ = self.store.leave(&self.holder).await;
    }
}
