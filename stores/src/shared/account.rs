//! What this gateway has of one subject's quota, and what it last heard of the rest.

use std::sync::Arc;
use std::time::Duration;

use kernel::limit::Outcome;
use kernel::limit::QUOTAS_MAX;
use kernel::limit::Quota;
use kernel::limit::TICKS;
use kernel::limit::WindowState;

use crate::key::KeptKey;
use crate::shared::terms::Terms;

/// One subject, as this gateway knows it. Moments are of a clock that only goes forward.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) name: KeptKey,
    /// Tokens taken ahead and not spent yet.
    balance: u32,
    /// What the balance was when last tokens came.
    full: u32,
    spend_until: Duration,
    /// Whether tokens are being asked for. Never twice at a time: the store would take the second
    /// question for one from somebody who has spent everything.
    asking: bool,
    ask_again_at: Duration,
    refusal: Option<Box<Refusal>>,
    /// What others had counted in each window when the store last answered.
    others: [u32; QUOTAS_MAX],
    /// What this gateway had, its tokens included.
    ours: [u32; QUOTAS_MAX],
    /// Which quotas it is held to; the tokens are of these.
    quotas: Option<Arc<[Quota]>>,
    used_at: Duration,
}

/// What the store refused, and goes on refusing until it says otherwise.
#[derive(Debug)]
struct Refusal {
    outcome: Outcome,
    cost: u32,
    at: Duration,
    until: Duration,
}

/// What can be said of a call without asking.
#[derive(Debug)]
pub(super) enum Answer {
    /// It is paid out of the balance. `ask` says whether more tokens should be asked for, beside it.
    Paid { ask: bool, others: [u32; QUOTAS_MAX] },
    /// It is refused, as the store said before.
    Refused(Outcome),
    /// The store must be asked; `lease` says whether for tokens, too.
    Ask { lease: bool },
}

impl Account {
    pub(super) fn new(name: KeptKey) -> Self {
        Self {
            name,
            balance: 0,
            full: 0,
            spend_until: Duration::ZERO,
            asking: false,
            ask_again_at: Duration::ZERO,
            refusal: None,
            others: [0; QUOTAS_MAX],
            ours: [0; QUOTAS_MAX],
            quotas: None,
            used_at: Duration::ZERO,
        }
    }

    /// Pays `cost`, or says whom to ask.
    pub(super) fn pay(
        &mut self,
        quotas: &Arc<[Quota]>,
        cost: u32,
        terms: &Terms,
        up: Duration,
    ) -> Answer {
        self.hold_to(quotas);
        self.used_at = up;
        if let Some(outcome) = self.refused(cost, up) {
            return Answer::Refused(outcome);
        }
        let leased = terms.cap > 0;
        self.forget_expired(up);
        if leased && cost <= self.balance {
            self.balance -= cost;
            let low = self.balance <= self.full / 4;
            return Answer::Paid { ask: low && self.may_ask(up), others: self.others };
        }
        // A call that no lease could pay is counted by itself.
        let lease = leased && cost <= terms.cap && self.may_ask(up);
        Answer::Ask { lease }
    }

    /// What a refusal from before says of a call, under the quotas that the subject is held to, without
    /// changing anything.
    fn refused(&self, cost: u32, up: Duration) -> Option<Outcome> {
        let refusal = self.refusal.as_deref()?;
        if up >= refusal.until || cost < refusal.cost {
            return None;
        }
        let since = up.saturating_sub(refusal.at).as_millis() as u64;
        let elapsed = |ms: u64| if ms == 0 { 0 } else { ms.saturating_sub(since).max(1) };
        Some(refusal.outcome.map(|_, window| WindowState {
            retry_ms: window.retry_ms.map(elapsed),
            reset_ms: elapsed(window.reset_ms),
            ..window
        }))
    }

    /// Whether it is known that a call would be refused under `quotas`.
    pub(super) fn is_refused(&self, quotas: &Arc<[Quota]>, cost: u32, up: Duration) -> bool {
        self.is_held_to(quotas) && self.refused(cost, up).is_some()
    }

    /// Notes that tokens are being asked for: [`Account::answered`] or [`Account::unanswered`] must
    /// follow.
    pub(super) fn begin_to_ask(&mut self) {
        self.asking = true;
    }

    /// How many tokens there are when more are asked for. The store notes so many, and what it gives: no
    /// more may ever be here.
    pub(super) fn left(&mut self, up: Duration) -> u32 {
        self.forget_expired(up);
        self.full = self.balance;
        self.balance
    }

    /// How many tokens may be spent.
    pub(super) fn spendable(&self, up: Duration) -> u32 {
        if up < self.spend_until { self.balance } else { 0 }
    }

    /// The store has given `granted` tokens of `quotas`, of which `paid` are spent at once.
    pub(super) fn answered(
        &mut self,
        quotas: &Arc<[Quota]>,
        (granted, paid): (u32, u32),
        asked_at: Duration,
        terms: &Terms,
    ) {
        self.asking = false;
        if granted == 0 || !self.is_held_to(quotas) {
            // There is no room, or others have it, and at the next tick there may be; or the subject
            // is held to other quotas by now, and must not spend what was given under these.
            self.ask_again_at = asked_at + terms.tick;
            return;
        }
        self.balance = self.balance.saturating_add(granted).saturating_sub(paid);
        self.full = self.full.saturating_add(granted);
        self.spend_until = asked_at + terms.spendable;
    }

    /// The store has not answered; what it may have given is nobody's.
    pub(super) fn unanswered(&mut self, asked_at: Duration, terms: &Terms) {
        self.asking = false;
        self.ask_again_at = asked_at + terms.tick;
    }

    /// Notes how the subject stands with `quotas` by the store; `here` is what this gateway itself has
    /// counted. An answer that comes when the subject is held to others by now says nothing any more.
    pub(super) fn heard(
        &mut self,
        quotas: &Arc<[Quota]>,
        (outcome, here): (&Outcome, &Outcome),
        cost: u32,
        up: Duration,
    ) {
        if !self.is_held_to(quotas) {
            return;
        }
        for (i, (all, here)) in outcome.windows().iter().zip(here.windows()).enumerate() {
            let used = all.limit.saturating_sub(all.remaining);
            let ours = here.limit.saturating_sub(here.remaining).saturating_add(self.balance);
            self.ours[i] = ours.min(used);
            self.others[i] = used - self.ours[i];
        }
        self.refusal = None;
        if !outcome.admitted
            && let Some(retry_ms) = outcome.retry_ms()
        {
            // The store's clock may have gone back, and somebody may have deleted what it counted.
            let lasting = Duration::from_millis(retry_ms).min(lasting_max(outcome, quotas));
            let until = up + lasting;
            self.refusal = Some(Box::new(Refusal { outcome: *outcome, cost, at: up, until }));
        }
    }

    /// Of `limit` the part that this gateway had counted when the store last answered; 0 where it
    /// never has. It stays what it was: what is let in without the store gives no claim to more.
    pub(super) fn share(&self, limit: u32, window: usize) -> u32 {
        let ours = u64::from(self.ours[window]);
        let all = ours + u64::from(self.others[window]);
        // At most `limit`.
        (u64::from(limit) * ours).checked_div(all).unwrap_or_default() as u32
    }

    /// Takes back what a call has paid and not used, if the store knows that so many tokens may be here;
    /// says whether it did.
    pub(super) fn repay(&mut self, cost: u32, terms: &Terms, up: Duration) -> bool {
        self.refusal = None;
        if terms.cap == 0 || up >= self.spend_until || self.balance.saturating_add(cost) > self.full
        {
            return false;
        }
        self.balance += cost;
        true
    }

    /// Takes all tokens out, to give them back to the store.
    pub(super) fn close(&mut self, up: Duration) -> Option<(Arc<[Quota]>, u32)> {
        self.forget_expired(up);
        let left = std::mem::take(&mut self.balance);
        self.quotas.clone().filter(|_| left > 0).map(|quotas| (quotas, left))
    }

    /// Whether nothing is lost with it.
    pub(super) fn is_idle(&self, up: Duration, after: Duration) -> bool {
        let spent = self.balance == 0 || up >= self.spend_until;
        spent && !self.asking && up.saturating_sub(self.used_at) >= after
    }

    /// Whether tokens are being asked for: an answer is still to come.
    pub(super) fn is_asking(&self) -> bool {
        self.asking
    }

    /// Holds the subject to `quotas` from now on. Tokens that were given under others are not spent, and
    /// neither what is known of others' windows nor what was refused there says anything of these.
    fn hold_to(&mut self, quotas: &Arc<[Quota]>) {
        if !self.is_held_to(quotas) {
            self.quotas = Some(Arc::clone(quotas));
            (self.balance, self.full) = (0, 0);
            (self.ours, self.others) = ([0; QUOTAS_MAX], [0; QUOTAS_MAX]);
            self.refusal = None;
        }
    }

    fn is_held_to(&self, quotas: &Arc<[Quota]>) -> bool {
        self.quotas.as_ref().is_some_and(|held| Arc::ptr_eq(held, quotas) || held == quotas)
    }

    fn may_ask(&self, up: Duration) -> bool {
        !self.asking && up >= self.ask_again_at
    }

    fn forget_expired(&mut self, up: Duration) {
        if up >= self.spend_until {
            self.balance = 0;
        }
    }
}

/// For how long at most a refusal by these windows can be true: until all that they hold has left.
fn lasting_max(outcome: &Outcome, quotas: &[Quota]) -> Duration {
    let windows = quotas.iter().zip(outcome.windows());
    let refusing = windows.filter(|(_, window)| window.retry_ms != Some(0));
    let lasting = refusing.map(|(quota, _)| quota.per() + quota.per() / TICKS as u32);
    lasting.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use kernel::limit::Subject;
    use kernel::limit::SubjectKind;

    use super::*;
    use crate::key::Key;
    use crate::shared::terms::Leasing;

    const UP: Duration = Duration::from_secs(1000);

    fn account() -> Account {
        let ada = Subject { policy: "tier", kind: SubjectKind::User, id: "ada" };
        Account::new(Key::of(&ada, None).kept())
    }

    fn quotas(windows: &[(u32, u64)]) -> Arc<[Quota]> {
        let quota = |(requests, secs): &(u32, u64)| {
            Quota::new("q", (*requests).into(), Duration::from_secs(*secs)).expect("within bounds")
        };
        windows.iter().map(quota).collect()
    }

    fn refusal(windows: &[(u32, Option<u64>)]) -> Outcome {
        let window = |(limit, retry_ms): &(u32, Option<u64>)| WindowState {
            limit: *limit,
            remaining: 0,
            retry_ms: *retry_ms,
            reset_ms: 7,
        };
        Outcome::new(false, windows.iter().map(window))
    }

    /// Asks under `quotas`, as a request does.
    fn pay(account: &mut Account, quotas: &Arc<[Quota]>, up: Duration) -> Answer {
        account.pay(quotas, 1, &Terms::of(quotas, Leasing::Never), up)
    }

    fn refuse(account: &mut Account, quotas: &Arc<[Quota]>, outcome: &Outcome) {
        account.heard(quotas, (outcome, outcome), 1, UP);
    }

    #[test]
    fn a_refusal_by_the_day_says_nothing_of_as_many_a_minute() {
        let (by_day, by_minute) = (quotas(&[(1000, 86_400)]), quotas(&[(1000, 60)]));
        let mut account = account();
        assert!(matches!(pay(&mut account, &by_day, UP), Answer::Ask { .. }));
        refuse(&mut account, &by_day, &refusal(&[(1000, Some(80_000_000))]));
        assert!(matches!(pay(&mut account, &by_day, UP), Answer::Refused(_)));
        assert!(!account.is_refused(&by_minute, 1, UP));
        assert!(matches!(pay(&mut account, &by_minute, UP), Answer::Ask { .. }));
        // And back again it has to be asked anew: much may have happened.
        assert!(matches!(pay(&mut account, &by_day, UP), Answer::Ask { .. }));
    }

    #[test]
    fn a_refusal_that_comes_after_the_quotas_have_changed_is_not_remembered() {
        let (old, new) = (quotas(&[(5, 3600)]), quotas(&[(50, 60)]));
        let mut account = account();
        pay(&mut account, &old, UP);
        pay(&mut account, &new, UP);
        refuse(&mut account, &old, &refusal(&[(5, Some(3_000_000))]));
        assert!(!account.is_refused(&old, 1, UP));
        assert!(matches!(pay(&mut account, &new, UP), Answer::Ask { .. }));
        // Nor does it take the place of one that counts.
        refuse(&mut account, &new, &refusal(&[(50, Some(30_000))]));
        refuse(&mut account, &old, &refusal(&[(5, Some(3_000_000))]));
        assert!(matches!(pay(&mut account, &new, UP), Answer::Refused(_)));
    }

    #[test]
    fn a_refusal_is_remembered_for_the_longest_window_that_refuses_and_not_a_moment_longer() {
        let mut account = account();
        let both = quotas(&[(5, 60), (5000, 86_400)]);
        pay(&mut account, &both, UP);
        // By a clock that has gone back by a day the minute is over tomorrow; by any other within 61 s.
        refuse(&mut account, &both, &refusal(&[(5, Some(86_460_000)), (5000, Some(0))]));
        let minute = Duration::from_secs(61);
        let last = account.refused(1, UP + minute - Duration::from_millis(1));
        assert_eq!(last.and_then(|outcome| outcome.retry_ms()), Some(86_399_001));
        assert!(account.refused(1, UP + minute).is_none());
    }
}
