//! While the store is lost: a gateway's share of each limit, and what has to be counted afterwards.

use std::num::NonZeroU32;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use kernel::limit::Outcome;
use kernel::limit::Quota;
use kernel::limit::Subject;
use kernel::limit::TICKS;
use kernel::limit::WindowState;
use kernel::time::Timestamp;

use super::SharedQuotas;
use super::account::Account;
use super::debts::Debt;
use crate::digest::Digest;
use crate::key::Key;

/// How many ticks of a window, as of when what it holds is settled, lie ahead.
pub(super) const SETTLED_AHEAD: u32 = 2;

/// Of how many subjects the store is told at one time, after an outage and at the end.
pub(super) const TOLD_AT_ONCE_MAX: usize = 64;

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
        let digest = Digest::if_long(subject);
        let key = Key::of(subject, digest.as_ref());
        let name = self.store.name_of_key(&key);
        if !self.debts.add(name, &key, quotas, cost, (self.uptime)()) {
            self.leave_unsettled(cost);
        }
    }

    /// Counts in the store what was let in without it, while it `goes_on`; what is lost again is tried
    /// again. Of what is owed no more is out of its place at one time than is being told.
    pub(super) async fn settle(&self, now: Timestamp, goes_on: impl Fn() -> bool) {
        for some in self.debts.names().chunks(TOLD_AT_ONCE_MAX) {
            if self.store.rests() || !goes_on() {
                return;
            }
            let taken = some.iter().filter_map(|name| Some((name, self.debts.take_one(name)?)));
            let told = taken.map(|(name, debt)| self.settle_one(name.clone(), debt, now));
            join_all(told.collect::<Vec<_>>()).await;
        }
    }

    /// Counts a debt in each of its windows, as far as it is not past there: in a window that is shorter
    /// than the outage was, it would count more than was let in within any stretch of that length.
    async fn settle_one(&self, name: String, debt: Debt, now: Timestamp) {
        if debt.is_over((self.uptime)()) {
            return;
        }
        let Some(due) = self.due(&debt, now) else {
            // Its counter here had to make room: nobody knows what of it is due.
            return self.leave_unsettled(debt.units);
        };
        if due.iter().all(|due| *due == 0) {
            return;
        }
        let settled = self.store.settle(&name, &debt.quotas, &due, now).await;
        if self.counted(settled).is_err() {
            // It may have been counted, and counting it once more is the safe side.
            self.put_back(name, debt);
        }
    }

    /// How much of a debt still counts in each of its windows: no more than this gateway has counted
    /// there, since it has counted all that it let in. `None`: it has no such counter any more.
    ///
    /// As it will be [`SETTLED_AHEAD`] from now. A window here holds up to a tick more than its length, and
    /// what is settled stays up to a tick longer: else who keeps to half of a limit would be refused.
    fn due(&self, debt: &Debt, now: Timestamp) -> Option<Vec<u32>> {
        let due = |quota: &Quota| {
            let then = now.plus(SETTLED_AHEAD * quota.per() / TICKS as u32);
            let here = self.here.peek_key(&debt.of.key(), slice::from_ref(quota), then);
            let used = |window: &WindowState| window.limit.saturating_sub(window.remaining);
            Some(here?.windows().iter().map(used).sum::<u32>().min(debt.units.get()))
        };
        debt.quotas.iter().map(due).collect()
    }

    fn put_back(&self, name: String, debt: Debt) {
        let units = debt.units;
        if !self.debts.put_back(name, debt) {
            self.leave_unsettled(units);
        }
    }

    fn leave_unsettled(&self, units: NonZeroU32) {
        self.figures.unsettled.fetch_add(units.get().into(), Ordering::Relaxed);
    }
}

/// An answer about shares, as one about the whole limits.
fn as_of(outcome: Outcome, quotas: &[Quota]) -> Outcome {
    outcome.map(|i, window| WindowState {
        limit: quotas.get(i).map_or(window.limit, Quota::requests),
        ..window
    })
}
