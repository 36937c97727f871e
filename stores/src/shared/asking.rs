//! Asking the store for tokens: one question at a time for each subject.

use std::sync::Arc;
use std::time::Duration;

use kernel::limit::Outcome;
use kernel::limit::Quota;
use kernel::limit::StoreLost;
use kernel::limit::Subject;
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

/// Asks for tokens of `subject` while requests go on.
pub(super) fn ask_beside(
    of: &Arc<SharedQuotas>,
    subject: &Subject<'_>,
    quotas: &Arc<[Quota]>,
    terms: Terms,
    now: Timestamp,
) {
    let (of, quotas) = (Arc::clone(of), Arc::clone(quotas));
    let (policy, kind, id) = (subject.policy.to_owned(), subject.kind, subject.id.to_owned());
    tokio::spawn(async move {
        let subject = Subject { policy: &policy, kind, id: &id };
        // Whoever needs a token that did not come asks for it, and hears why.
        let _ = Asking::begin(&of, subject, terms).ask(&quotas, 0, now).await;
    });
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
