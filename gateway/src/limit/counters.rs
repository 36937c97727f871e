//! Where requests are counted: in this process, or with a whole fleet; and what happens to a request
//! when the fleet's store gives no answer.

use std::num::NonZeroU32;
use std::num::NonZeroUsize;
use std::sync::Arc;

use config::Config;
use config::Mode;
use config::OnStoreLoss;
use kernel::limit::Outcome;
use kernel::limit::Quota;
use kernel::limit::Subject;
use kernel::lost::StoreLost;
use kernel::time::Timestamp;
use stores::memory::KEYS_MAX;
use stores::memory::MemoryQuotas;
use stores::shared::AtHand;
use stores::shared::Leasing;
use stores::shared::SharedQuotas;

use crate::patience::Patience;

/// Where requests are counted.
pub enum Counters {
    /// In this process alone.
    Here(MemoryQuotas),
    /// In a store that a fleet shares.
    Shared(Arc<SharedQuotas>),
}

/// On which terms a request is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// When tokens are taken ahead.
    pub(super) leasing: Leasing,
    /// What happens when the store gives no answer.
    pub(super) on_store_loss: OnStoreLoss,
}

impl Terms {
    /// Of a request for which the store is asked each time, where it is `strict`.
    pub(super) fn of(mode: Mode, strict: bool, on_store_loss: OnStoreLoss) -> Self {
        let leasing = match mode {
            _ if strict => Leasing::Never,
            Mode::Exact => Leasing::Never,
            Mode::Auto => Leasing::WhereWorthwhile,
            Mode::Leased => Leasing::WherePossible,
        };
        Self { leasing, on_store_loss }
    }
}

impl Counters {
    /// In this process, bounded as `config` says.
    pub fn here(config: &Config) -> Self {
        Self::Here(MemoryQuotas::new(keys_max(config)))
    }

    /// Counts `cost`, if all `quotas` have room. A store that gives no answer is asked only as long as
    /// the request has `patience`.
    pub(super) async fn acquire(
        &self,
        subject: Subject<'_>,
        quotas: &Arc<[Quota]>,
        cost: NonZeroU32,
        terms: Terms,
        patience: &mut Patience,
        now: Timestamp,
    ) -> Result<Outcome, StoreLost> {
        let shared = match self {
            Self::Here(memory) => return Ok(memory.acquire_now(subject, quotas, cost, now)),
            Self::Shared(shared) => shared,
        };
        let at_hand = shared.acquire_at_hand(subject, quotas, cost, terms.leasing, now);
        let acquired = match at_hand {
            AtHand::Counted(outcome) => return Ok(outcome),
            AtHand::Ask(_) if patience.is_spent() => Err(shared.unasked()),
            // In a box: else every request, also where nothing is shared, would carry its state.
            AtHand::Ask(question) => Box::pin(shared.ask(question, quotas, cost, now)).await,
        };
        if let Err(lost) = &acquired {
            patience.hear(lost);
        }
        match (acquired, terms.on_store_loss) {
            (Err(_), OnStoreLoss::Local) => Ok(shared.acquire_here(subject, quotas, cost, now)),
            (Err(_), OnStoreLoss::Open) => Ok(shared.let_in(subject, quotas, cost, now)),
            (answer, _) => answer,
        }
    }

    /// Whether a call would have room, as far as that can be known without asking anybody.
    pub(super) fn has_room(
        &self,
        subject: Subject<'_>,
        quotas: &Arc<[Quota]>,
        cost: NonZeroU32,
        now: Timestamp,
    ) -> bool {
        match self {
            Self::Here(memory) => {
                let outcome = memory.peek_now(subject, quotas, now);
                outcome.windows().iter().all(|window| window.remaining >= cost.get())
            }
            Self::Shared(shared) => !shared.is_refused(subject, quotas, cost, now),
        }
    }

    /// Takes back what was counted for a request that is not made after all; nobody waits for that.
    pub(super) fn refund(
        &self,
        subject: Subject<'_>,
        quotas: &Arc<[Quota]>,
        cost: NonZeroU32,
        terms: Terms,
        now: Timestamp,
    ) {
        match self {
            Self::Here(memory) => memory.refund_now(subject, quotas, cost, now),
            Self::Shared(shared) => {
                shared.refund_beside(subject, quotas, cost, terms.leasing, now);
            }
        }
    }

    /// Says how a subject stands, and changes nothing.
    pub(super) async fn peek(
        &self,
        subject: Subject<'_>,
        quotas: &[Quota],
        on_store_loss: OnStoreLoss,
        patience: &mut Patience,
        now: Timestamp,
    ) -> Result<Outcome, StoreLost> {
        let shared = match self {
            Self::Here(memory) => return Ok(memory.peek_now(subject, quotas, now)),
            Self::Shared(shared) => shared,
        };
        let peeked = match patience.is_spent() {
            true => Err(shared.unasked()),
            false => Box::pin(shared.peek(subject, quotas, now)).await,
        };
        if let Err(lost) = &peeked {
            patience.hear(lost);
        }
        match (peeked, on_store_loss) {
            (Err(_), OnStoreLoss::Local | OnStoreLoss::Open) => {
                Ok(shared.peek_here(subject, quotas, now))
            }
            (answer, _) => answer,
        }
    }

    pub(super) fn sweep(&self, now: Timestamp) {
        match self {
            Self::Here(memory) => memory.sweep(now),
            Self::Shared(shared) => shared.sweep(now),
        }
    }

    pub(super) fn keys(&self) -> (usize, u64) {
        match self {
            Self::Here(memory) => (memory.keys(), memory.displaced()),
            Self::Shared(shared) => shared.counters(),
        }
    }

    /// The fleet's store, where there is one.
    pub(super) fn shared(&self) -> Option<&SharedQuotas> {
        match self {
            Self::Here(_) => None,
            Self::Shared(shared) => Some(shared),
        }
    }
}

/// How many subjects are counted at one time.
pub fn keys_max(config: &Config) -> NonZeroUsize {
    NonZeroUsize::new(config.limits.keys_max).unwrap_or(KEYS_MAX)
}
