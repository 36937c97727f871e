//! While the store is lost: a gateway's share of each limit, and what has to be counted afterwards.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kernel::limit::Outcome;
use kernel::limit::Quota;
use kernel::limit::Subject;
use kernel::limit::WindowState;
use kernel::time::Timestamp;

use super::SharedQuotas;
use super::account::Account;

impl SharedQuotas {
    /// Counts `cost` without the store, against this gateway's share of the limits; what is admitted
    /// is counted in the store once it is back.
    pub fn acquire_here(
        &self,
        subject: Subject<'_>,
        quotas: &Arc<[Quota]>,
        cost: NonZeroU32,
        now: Timestamp,
    ) -> Outcome {
        let shares = self.shares(&subject, quotas);
        let outcome = self.here.acquire_now(subject, &shares, cost, now);
        if outcome.admitted {
            self.owe(&subject, quotas, cost);
        }
        as_of(outcome, quotas)
    }

    /// How `subject` stands with this gateway's share of the limits.
    pub fn peek_here(&self, subject: Subject<'_>, quotas: &[Quota], now: Timestamp) -> Outcome {
        let shares = self.shares(&subject, quotas);
        as_of(self.here.peek_now(subject, &shares, now), quotas)
    }

    /// Lets `cost` in whatever the limits; it is counted in the store once that is back.
    pub fn let_in(
        &self,
        subject: Subject<'_>,
        quotas: &Arc<[Quota]>,
        cost: NonZeroU32,
        now: Timestamp,
    ) -> Outcome {
        self.owe(&subject, quotas, cost);
        let outcome = self.here.acquire_now(subject, quotas, cost, now);
        let fine = |window: &WindowState| WindowState { retry_ms: Some(0), ..*window };
        Outcome::new(true, outcome.windows().iter().map(fine))
    }

    /// This gateway's part of each quota.
    fn shares(&self, subject: &Subject<'_>, quotas: &[Quota]) -> Vec<Quota> {
        let gateways = self.gateways.load(Ordering::Relaxed);
        let share = |account: Option<&Account>| {
            let part = |(window, quota): (usize, &Quota)| {
                let equal = (quota.requests() / gateways.max(1)).max(1);
                let part = account.map_or(0, |account| account.share(quota.requests(), window));
                quota.with_requests(NonZeroU32::new(part.max(equal)).unwrap_or(NonZeroU32::MIN))
            };
            quotas.iter().enumerate().map(part).collect::<Vec<_>>()
        };
        self.ledger.read(subject, |account| share(Some(account))).unwrap_or_else(|| share(None))
    }

    fn owe(&self, subject: &Subject<'_>, quotas: &Arc<[Quota]>, cost: NonZeroU32) {
        if !self.debts.add(self.store.name_of(subject), quotas, cost, (self.uptime)()) {
            self.figures.unsettled.fetch_add(cost.get().into(), Ordering::Relaxed);
        }
    }

    /// Counts in the store what was let in without it; what is lost again is tried again.
    pub(super) async fn settle(&self, now: Timestamp) {
        for (name, debt) in self.debts.take() {
            // Its windows have passed, and no count of it would be true any more.
            if debt.is_over((self.uptime)()) {
                continue;
            }
            let settled = self.store.settle(&name, &debt.quotas, debt.units, now).await;
            if self.counted(settled).is_err() {
                // Lost again; it may have been counted, and counting it once more is the safe side.
                self.debts.put_back(name, debt);
            }
        }
    }
}

/// An answer about shares, as one about the whole limits.
fn as_of(outcome: Outcome, quotas: &[Quota]) -> Outcome {
    outcome.map(|i, window| WindowState {
        limit: quotas.get(i).map_or(window.limit, Quota::requests),
        ..window
    })
}
