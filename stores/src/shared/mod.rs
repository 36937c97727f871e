//! A gateway's part in what a fleet counts together.
//!
//! Three things stand before the store, so that few calls ask it:
//!
//! - **Tokens taken ahead.** Where [`Leasing`] allows it, a gateway takes a few tokens at a time, which
//!   the store has counted when it gives them, and spends them here. Never more than ⌊L / 10⌋ are out
//!   over all gateways (L: the least limit of the subject's quotas), so that in no window more than
//!   L + ⌊L / 10⌋ are admitted: what is admitted in it was counted in it, at most L, or was out when it
//!   began. A gateway that is killed takes its tokens with it; they stay counted, and so a flood
//!   gets at least L − ⌊L / 10⌋.
//! - **Refusals.** What the store has refused is refused here until it would be admitted.
//! - **What this gateway itself has counted**, which says what an answer's headers do, and which is
//!   all there is when the store is lost.
//!
//! When the store is lost it is for the caller to say what then: [`SharedQuotas::acquire_here`] goes
//! by this gateway's share alone. What was let in meanwhile is counted when the store is back.

mod account;

mod debts;

mod ledger;

mod terms;

use std::num::NonZeroU32;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kernel::limit::Outcome;
use kernel::limit::QUOTAS_MAX;
use kernel::limit::Quota;
use kernel::limit::QuotaStore;
use kernel::limit::StoreLost;
use kernel::limit::Subject;
use kernel::limit::WindowState;
use kernel::time::Timestamp;
use tokio::sync::Notify;
use tokio::time::timeout;

pub use self::debts::DEBTS_MAX;
pub use self::terms::CAP_WORTHWHILE;
pub use self::terms::LEASED_PART;
pub use self::terms::Leasing;

use self::account::Answer;
use self::debts::Debts;
use self::ledger::Ledger;
use self::terms::Terms;
use crate::memory::MemoryQuotas;
use crate::redis::quotas::HOLDER_BYTES;
use crate::redis::quotas::Lease;
use crate::redis::quotas::LeaseRequest;
use crate::redis::quotas::RedisQuotas;

/// How often a gateway says that it is there, and hears how many are.
const ANNOUNCED_EVERY: Duration = Duration::from_secs(10);

/// How often it is looked whether something is to be settled: single calls are lost, too.
const SETTLED_EVERY: Duration = Duration::from_secs(1);

/// When it says so again after it was not heard.
const ANNOUNCED_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A gateway's counters in a fleet.
#[derive(Debug)]
pub struct SharedQuotas {
    store: RedisQuotas,
    here: MemoryQuotas,
    ledger: Ledger,
    debts: Debts,
    recovered: Notify,
    holder: [u8; HOLDER_BYTES],
    /// How many gateways were heard of lately, this one included.
    gateways: AtomicU32,
    uptime: fn() -> Duration,
    figures: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    asked: AtomicU64,
    lost: AtomicU64,
    unsettled: AtomicU64,
}

/// What has happened so far, and how the store stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Questions to the store.
    pub asked: u64,
    /// Those without an answer.
    pub lost: u64,
    /// Requests let in during an outage that will never be counted, for want of room.
    pub unsettled: u64,
    /// How many gateways were heard of within the last minute.
    pub gateways: u32,
    /// Whether the store is given a rest.
    pub rests: bool,
}

impl SharedQuotas {
    /// The part of the gateway called `holder`, of at most `keys_max` subjects.
    ///
    /// `uptime` measures how long tokens may be spent, whatever happens to the clock.
    pub fn new(
        store: RedisQuotas,
        keys_max: NonZeroUsize,
        holder: [u8; HOLDER_BYTES],
        uptime: fn() -> Duration,
    ) -> Self {
        Self {
            store,
            here: MemoryQuotas::new(keys_max),
            ledger: Ledger::new(keys_max),
            debts: Debts::default(),
            recovered: Notify::new(),
            holder,
            gateways: AtomicU32::new(1),
            uptime,
            figures: Counts::default(),
        }
    }

    /// Counts `cost` requests of `subject`, if all `quotas` have room for them.
    ///
    /// # Errors
    /// [`StoreLost`] where the store had to be asked, and gave no answer.
    pub async fn acquire(
        self: &Arc<Self>,
        subject: Subject<'_>,
        quotas: &Arc<[Quota]>,
        cost: NonZeroU32,
        leasing: Leasing,
        now: Timestamp,
    ) -> Result<Outcome, StoreLost> {
        if quotas.is_empty() || quotas.len() > QUOTAS_MAX {
            return self.store.acquire(subject, quotas, cost, now).await;
        }
        let (up, terms) = ((self.uptime)(), Terms::of(quotas, leasing));
        let answer = self.ledger.with(&subject, up, |account| {
            let answer = account.pay(quotas, cost.get(), &terms, up);
            if matches!(answer, Answer::Paid { ask: true, .. } | Answer::Ask { lease: true }) {
                account.begin_to_ask();
            }
            answer
        });
        match answer {
            Answer::Refused(outcome) => Ok(outcome),
            Answer::Paid { ask, others } => {
                if ask {
                    self.ask_beside(&subject, quotas, terms, now);
                }
                let here = self.here.acquire_now(subject, quotas, cost, now);
                Ok(Outcome::new(true, less(here, &others).windows().iter().copied()))
            }
            Answer::Ask { lease: true } => {
                let asking = Asking { of: self, subject, terms, asked_at: up, answered: false };
                asking.ask(quotas, cost.get(), now).await
            }
            Answer::Ask { lease: false } => {
                let outcome = self.store.acquire(subject, quotas, cost, now).await;
                let outcome = self.counted(outcome)?;
                Ok(self.heard(&subject, quotas, &outcome, cost.get(), now))
            }
        }
    }

    /// Takes back a call that was admitted a moment ago and then not made.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn refund(
        &self,
        subject: Subject<'_>,
        quotas: &[Quota],
        cost: NonZeroU32,
        leasing: Leasing,
        now: Timestamp,
    ) -> Result<(), StoreLost> {
        let (up, terms) = ((self.uptime)(), Terms::of(quotas, leasing));
        self.here.refund_now(subject, quotas, cost, now);
        // What was let in without the store is not known there yet.
        if self.debts.any() && self.debts.lower(&self.store.name_of(&subject), cost) {
            return Ok(());
        }
        let repaid =
            self.ledger.with(&subject, up, |account| account.repay(cost.get(), &terms, up));
        if repaid {
            return Ok(());
        }
        let refunded = self.store.refund(subject, quotas, cost, now).await;
        self.counted(refunded)
    }

    /// Says how `subject` stands, and whether a call of cost 1 would be admitted; changes nothing.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn peek(
        &self,
        subject: Subject<'_>,
        quotas: &[Quota],
        now: Timestamp,
    ) -> Result<Outcome, StoreLost> {
        let peeked = self.store.peek(subject, quotas, now).await;
        let outcome = self.counted(peeked)?;
        let up = (self.uptime)();
        let balance = self.ledger.read(&subject, |account| account.spendable(up));
        Ok(with_tokens(outcome, balance.unwrap_or_default()))
    }

    /// Whether it is known, without asking, that a call would be refused.
    pub fn is_refused(
        &self,
        subject: Subject<'_>,
        quotas: &[Quota],
        cost: NonZeroU32,
        now: Timestamp,
    ) -> bool {
        if self.store.rests() {
            let here = self.peek_here(subject, quotas, now);
            return here.windows().iter().any(|window| window.remaining < cost.get());
        }
        let up = (self.uptime)();
        let refused =
            |account: &account::Account| account.refused(quotas, cost.get(), up).is_some();
        self.ledger.read(&subject, refused).unwrap_or_default()
    }

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

    /// Drops what has run empty.
    pub fn sweep(&self, now: Timestamp) {
        self.here.sweep(now);
        self.ledger.sweep((self.uptime)());
    }

    /// How many counters are held here, and how many had to make room while they still counted.
    pub fn counters(&self) -> (usize, u64) {
        (self.here.keys(), self.here.displaced())
    }

    /// What has happened so far.
    pub fn figures(&self) -> Figures {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Figures {
            asked: count(&self.figures.asked),
            lost: count(&self.figures.lost),
            unsettled: count(&self.figures.unsettled),
            gateways: self.gateways.load(Ordering::Relaxed),
            rests: self.store.rests(),
        }
    }

    /// Looks after the store, says that this gateway is there, and settles debts, for as long as this
    /// runs.
    pub async fn keep(&self, now: impl Fn() -> Timestamp) {
        let announce = async {
            let mut warned = false;
            loop {
                if !self.store.rests()
                    && let Ok(gateways) = self.store.announce(&self.holder).await
                {
                    self.gateways.store(gateways.max(1), Ordering::Relaxed);
                    warned = warned || self.store.warn_of_eviction().await.is_ok();
                    tokio::time::sleep(ANNOUNCED_EVERY).await;
                } else {
                    tokio::time::sleep(ANNOUNCED_AGAIN_AFTER).await;
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
        let left = self.store.leave(&self.holder).await;
        let _ = self.counted(left);
    }

    /// Asks for tokens while requests go on.
    fn ask_beside(
        self: &Arc<Self>,
        subject: &Subject<'_>,
        quotas: &Arc<[Quota]>,
        terms: Terms,
        now: Timestamp,
    ) {
        let (shared, quotas) = (Arc::clone(self), Arc::clone(quotas));
        let (policy, kind, id) = (subject.policy.to_owned(), subject.kind, subject.id.to_owned());
        tokio::spawn(async move {
            let subject = Subject { policy: &policy, kind, id: &id };
            let asked_at = (shared.uptime)();
            let asking = Asking { of: &shared, subject, terms, asked_at, answered: false };
            // Whoever needs a token that did not come asks for it, and hears why.
            let _ = asking.ask(&quotas, 0, now).await;
        });
    }

    /// Takes note of the store's answer; gives it back with the tokens that are here.
    fn heard(
        &self,
        subject: &Subject<'_>,
        quotas: &[Quota],
        outcome: &Outcome,
        cost: u32,
        now: Timestamp,
    ) -> Outcome {
        let here = match NonZeroU32::new(cost) {
            Some(cost) if outcome.admitted => self.here.acquire_now(*subject, quotas, cost, now),
            _ => self.here.peek_now(*subject, quotas, now),
        };
        let up = (self.uptime)();
        let balance = self.ledger.with(subject, up, |account| {
            account.heard(outcome, &here, cost, up);
            account.spendable(up)
        });
        with_tokens(*outcome, balance)
    }

    /// This gateway's part of each quota.
    fn shares(&self, subject: &Subject<'_>, quotas: &[Quota]) -> Vec<Quota> {
        let gateways = self.gateways.load(Ordering::Relaxed);
        let share = |account: Option<&account::Account>| {
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

    async fn settle(&self, now: Timestamp) {
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

    fn counted<T>(&self, answer: Result<T, StoreLost>) -> Result<T, StoreLost> {
        if !matches!(answer, Err(StoreLost::Resting)) {
            self.figures.asked.fetch_add(1, Ordering::Relaxed);
        }
        if answer.is_err() {
            self.figures.lost.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }
}

/// Tokens being asked for. However it ends, by an answer, by none, or because the request that asks
/// is given up, the account may be asked for again.
struct Asking<'a> {
    of: &'a Arc<SharedQuotas>,
    subject: Subject<'a>,
    terms: Terms,
    asked_at: Duration,
    answered: bool,
}

impl Asking<'_> {
    async fn ask(
        mut self,
        quotas: &Arc<[Quota]>,
        cost: u32,
        now: Timestamp,
    ) -> Result<Outcome, StoreLost> {
        let left = self
            .of
            .ledger
            .with(&self.subject, self.asked_at, |account| account.left(self.asked_at));
        let request = LeaseRequest {
            holder: self.of.holder,
            left,
            want: self.terms.cap,
            cap: self.terms.cap,
            lasting: self.terms.lasting,
        };
        let lease = self.of.store.lease(self.subject, quotas, cost, &request, now).await;
        let Lease { outcome, granted } = self.of.counted(lease)?;
        self.answered = true;
        let paid = if granted > 0 { cost } else { 0 };
        self.of.ledger.with(&self.subject, self.asked_at, |account| {
            account.answered(quotas, (granted, paid), self.asked_at, &self.terms);
        });
        Ok(self.of.heard(&self.subject, quotas, &outcome, cost, now))
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.of.ledger.with(&self.subject, self.asked_at, |account| {
                account.unanswered(self.asked_at, &self.terms);
            });
        }
    }
}

/// What remains, less what others have.
fn less(outcome: Outcome, others: &[u32; QUOTAS_MAX]) -> Outcome {
    outcome.map(|i, window| WindowState {
        remaining: window.remaining.saturating_sub(others[i]),
        retry_ms: Some(0),
        ..window
    })
}

/// What remains, and the tokens that are here.
fn with_tokens(outcome: Outcome, tokens: u32) -> Outcome {
    outcome.map(|_, window| WindowState {
        remaining: window.remaining.saturating_add(tokens).min(window.limit),
        ..window
    })
}

/// An answer about shares, as one about the whole limits.
fn as_of(outcome: Outcome, quotas: &[Quota]) -> Outcome {
    outcome.map(|i, window| WindowState {
        limit: quotas.get(i).map_or(window.limit, Quota::requests),
        ..window
    })
}

#[cfg(test)]
mod tests;
