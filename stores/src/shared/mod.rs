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

mod asking;

mod debts;

mod ledger;

mod membership;

mod outage;

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
use kernel::limit::Subject;
use kernel::limit::WindowState;
use kernel::lost::StoreLost;
use kernel::time::Timestamp;
use tokio::sync::Notify;

pub use self::debts::DEBTS_MAX;
pub use self::terms::CAP_WORTHWHILE;
pub use self::terms::LEASED_PART;
pub use self::terms::Leasing;

use self::account::Account;
use self::account::Answer;
use self::asking::Asking;
pub use self::asking::Question;
use self::asking::ask_beside;
use self::asking::refund_beside;
use self::debts::Debts;
use self::ledger::Ledger;
use self::terms::Terms;
use crate::memory::MemoryQuotas;
use crate::redis::gateways::GatewayName;
use crate::redis::quotas::RedisQuotas;

/// A gateway's counters in a fleet.
#[derive(Debug)]
pub struct SharedQuotas {
    store: RedisQuotas,
    here: MemoryQuotas,
    ledger: Ledger,
    debts: Debts,
    recovered: Notify,
    holder: GatewayName,
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

/// What can be said of a call without waiting.
pub enum AtHand<'a> {
    /// How it went.
    Counted(Outcome),
    /// What has to be [asked](SharedQuotas::ask), at once; where it is dropped, nothing was counted.
    Ask(Question<'a>),
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
        holder: GatewayName,
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

    /// Counts `cost` requests of `subject`, if all `quotas` have room for them, as far as that can be done
    /// without waiting: out of tokens that are here, or because it is known to be refused.
    pub fn acquire_at_hand<'a>(
        self: &'a Arc<Self>,
        subject: Subject<'a>,
        quotas: &Arc<[Quota]>,
        cost: NonZeroU32,
        leasing: Leasing,
        now: Timestamp,
    ) -> AtHand<'a> {
        if quotas.is_empty() || quotas.len() > QUOTAS_MAX {
            return AtHand::Ask(Question::direct(subject));
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
            Answer::Refused(outcome) => AtHand::Counted(outcome),
            Answer::Paid { ask, others } => {
                if ask {
                    ask_beside(self, &subject, quotas, terms, now);
                }
                let here = self.here.acquire_now(subject, quotas, cost, now);
                let outcome = less(here, &others);
                AtHand::Counted(Outcome::new(true, outcome.windows().iter().copied()))
            }
            Answer::Ask { lease: true } => {
                AtHand::Ask(Question::for_tokens(Asking::begin(self, subject, terms)))
            }
            Answer::Ask { lease: false } => AtHand::Ask(Question::direct(subject)),
        }
    }

    /// Takes back a call that was admitted a moment ago and then not made; nobody waits for the store to
    /// hear of it.
    pub fn refund_beside(
        self: &Arc<Self>,
        subject: Subject<'_>,
        quotas: &Arc<[Quota]>,
        cost: NonZeroU32,
        leasing: Leasing,
        now: Timestamp,
    ) {
        if !self.refund_at_hand(subject, quotas, cost, leasing, now) {
            refund_beside(self, &subject, quotas, cost, now);
        }
    }

    /// Takes back what is known here alone; says whether that is all.
    fn refund_at_hand(
        &self,
        subject: Subject<'_>,
        quotas: &[Quota],
        cost: NonZeroU32,
        leasing: Leasing,
        now: Timestamp,
    ) -> bool {
        let (up, terms) = ((self.uptime)(), Terms::of(quotas, leasing));
        self.here.refund_now(subject, quotas, cost, now);
        // What was let in without the store is not known there yet.
        if self.debts.any() && self.debts.lower(&self.store.name_of(&subject), cost) {
            return true;
        }
        self.ledger.with(&subject, up, |account| account.repay(cost.get(), &terms, up))
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
        quotas: &Arc<[Quota]>,
        cost: NonZeroU32,
        now: Timestamp,
    ) -> bool {
        if self.store.rests() {
            let here = self.peek_here(subject, quotas, now);
            return here.windows().iter().any(|window| window.remaining < cost.get());
        }
        let up = (self.uptime)();
        let refused = |account: &Account| account.is_refused(quotas, cost.get(), up);
        self.ledger.read(&subject, refused).unwrap_or_default()
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

    /// Takes note of the store's answer; gives it back with the tokens that are here.
    fn heard(
        &self,
        subject: &Subject<'_>,
        quotas: &Arc<[Quota]>,
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
            account.heard(quotas, (outcome, &here), cost, up);
            account.spendable(up)
        });
        with_tokens(*outcome, balance)
    }

    /// Of a question that is not put, since there was no answer to one a moment ago: it counts as lost.
    pub fn unasked(&self) -> StoreLost {
        self.figures.lost.fetch_add(1, Ordering::Relaxed);
        StoreLost::Resting
    }

    /// Counts a question, and whether it was answered.
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

#[cfg(test)]
mod tests;
