//! Asking the store for tokens: one question at a time for each subject.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use kernel::limit::Outcome;
use kernel::limit::Quota;
use kernel::limit::QuotaStore;
use kernel::limit::Subject;
use kernel::limit::SubjectKind;
use kernel::lost::StoreLost;
use kernel::time::Timestamp;

use super::SharedQuotas;
use super::terms::Terms;
use crate::redis::quotas::Lease;
use crate::redis::quotas::LeaseRequest;

/// Tokens being asked for. However it ends, by an answer, by none, or because the request that asks
/// is given up, the account may be asked for again.
pub(super) struct Asking<'a> {
    of: &'a SharedQuotas,
    subject: Subject<'a>,
    terms: Terms,
    asked_at: Duration,
    answered: bool,
}

/// A question that has to be put to the store before a request is admitted.
pub struct Question<'a>(Kind<'a>);

enum Kind<'a> {
    Tokens(Asking<'a>),
    Direct(Subject<'a>),
}

/// Asks for tokens of `subject` while requests go on.
pub(super) fn ask_beside(
    of: &Arc<SharedQuotas>,
    subject: &Subject<'_>,
    quotas: &Arc<[Quota]>,
    terms: Terms,
    now: Timestamp,
) {
    let (of, quotas, subject) = (Arc::clone(of), Arc::clone(quotas), Owned::from(subject));
    tokio::spawn(async move {
        let subject = subject.borrow();
        // Whoever needs a token that did not come asks for it, and hears why.
        let _ = Asking::begin(&of, subject, terms).ask(&quotas, 0, now).await;
    });
}

/// Tells the store of a refund while requests go on. Where nobody hears of it, too little is admitted
/// for a while, and never too much.
pub(super) fn refund_beside(
    of: &Arc<SharedQuotas>,
    subject: &Subject<'_>,
    quotas: &Arc<[Quota]>,
    cost: NonZeroU32,
    now: Timestamp,
) {
    let (of, quotas, subject) = (Arc::clone(of), Arc::clone(quotas), Owned::from(subject));
    tokio::spawn(async move {
        let _ = of.counted(of.store.refund(subject.borrow(), &quotas, cost, now).await);
    });
}

/// A subject that outlives its request.
struct Owned {
    policy: String,
    kind: SubjectKind,
    id: String,
}

impl From<&Subject<'_>> for Owned {
    fn from(of: &Subject<'_>) -> Self {
        Self { policy: of.policy.to_owned(), kind: of.kind, id: of.id.to_owned() }
    }
}

impl Owned {
    fn borrow(&self) -> Subject<'_> {
        Subject { policy: &self.policy, kind: self.kind, id: &self.id }
    }
}

impl<'a> Question<'a> {
    pub(super) fn for_tokens(asking: Asking<'a>) -> Self {
        Self(Kind::Tokens(asking))
    }

    pub(super) fn direct(subject: Subject<'a>) -> Self {
        Self(Kind::Direct(subject))
    }
}

impl SharedQuotas {
    /// Puts a question of [`Self::acquire_at_hand`] to the store, on the same terms.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub async fn ask(
        &self,
        question: Question<'_>,
        quotas: &Arc<[Quota]>,
        cost: NonZeroU32,
        now: Timestamp,
    ) -> Result<Outcome, StoreLost> {
        match question.0 {
            Kind::Tokens(asking) => asking.ask(quotas, cost.get(), now).await,
            Kind::Direct(subject) => {
                let outcome = self.store.acquire(subject, quotas, cost, now).await;
                let outcome = self.counted(outcome)?;
                Ok(self.heard(&subject, quotas, &outcome, cost.get(), now))
            }
        }
    }
}

impl<'a> Asking<'a> {
    /// Begins to ask, for an account that knows of it.
    pub(super) fn begin(of: &'a SharedQuotas, subject: Subject<'a>, terms: Terms) -> Self {
        Self { of, subject, terms, asked_at: (of.uptime)(), answered: false }
    }

    /// Counts `cost`, out of the tokens if they come; 0 asks for tokens alone.
    pub(super) async fn ask(
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
