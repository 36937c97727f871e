//! What was let in while the store was lost, and must be counted once it is back.

use std::collections::HashMap;
use std::mem;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kernel::limit::Quota;
use parking_lot::Mutex;

use crate::key::KeptKey;
use crate::key::Key;

/// Of how many subjects debts are remembered. What is past it is never counted: those subjects get
/// what they had in the outage once more.
pub const DEBTS_MAX: usize = 100_000;

/// Debts by the subject's name in the store.
#[derive(Debug, Default)]
pub(super) struct Debts {
    open: Mutex<HashMap<String, Debt>>,
    len: AtomicUsize,
}

#[derive(Debug)]
pub(super) struct Debt {
    pub(super) of: KeptKey,
    /// What the subject was last held to.
    pub(super) quotas: Arc<[Quota]>,
    pub(super) units: NonZeroU32,
    /// When it was last added to, by a clock that only goes forward.
    at: Duration,
}

impl Debt {
    /// Whether all windows that it would count in have passed.
    pub(super) fn is_over(&self, up: Duration) -> bool {
        let longest = self.quotas.iter().map(Quota::per).max().unwrap_or_default();
        up.saturating_sub(self.at) > longest
    }
}

impl Debts {
    /// Whether there are any; costs no lock.
    pub(super) fn any(&self) -> bool {
        self.len.load(Ordering::Relaxed) > 0
    }

    /// Notes `units` more of the subject `of`; says whether there was room to.
    pub(super) fn add(
        &self,
        name: String,
        of: &Key<'_>,
        quotas: &Arc<[Quota]>,
        units: NonZeroU32,
        up: Duration,
    ) -> bool {
        let mut open = self.open.lock();
        if let Some(debt) = open.get_mut(&name) {
            (debt.units, debt.at) = (debt.units.saturating_add(units.get()), up);
            debt.quotas.clone_from(quotas);
            return true;
        }
        self.insert(
            &mut open,
            name,
            Debt { of: of.kept(), quotas: Arc::clone(quotas), units, at: up },
        )
    }

    /// Takes `units` off a debt, for a call that was not made after all; says whether there was one.
    pub(super) fn lower(&self, name: &str, units: NonZeroU32) -> bool {
        let mut open = self.open.lock();
        let Some(debt) = open.get_mut(name) else { return false };
        match NonZeroU32::new(debt.units.get().saturating_sub(units.get())) {
            Some(rest) => debt.units = rest,
            None => drop(open.remove(name)),
        }
        self.len.store(open.len(), Ordering::Relaxed);
        true
    }

    /// Who owes anything now.
    pub(super) fn names(&self) -> Vec<String> {
        self.open.lock().keys().cloned().collect()
    }

    /// Takes one out, to settle it.
    pub(super) fn take_one(&self, name: &str) -> Option<Debt> {
        let mut open = self.open.lock();
        let debt = open.remove(name);
        self.len.store(open.len(), Ordering::Relaxed);
        debt
    }

    /// Takes all of them out.
    pub(super) fn take(&self) -> HashMap<String, Debt> {
        let mut open = self.open.lock();
        self.len.store(0, Ordering::Relaxed);
        mem::take(&mut *open)
    }

    /// Puts back one that could not be settled; says whether there was room to.
    pub(super) fn put_back(&self, name: String, debt: Debt) -> bool {
        let mut open = self.open.lock();
        if let Some(newer) = open.get_mut(&name) {
            newer.units = newer.units.saturating_add(debt.units.get());
            return true;
        }
        self.insert(&mut open, name, debt)
    }

    fn insert(&self, open: &mut HashMap<String, Debt>, name: String, debt: Debt) -> bool {
        if open.len() >= DEBTS_MAX {
            return false;
        }
        open.insert(name, debt);
        self.len.store(open.len(), Ordering::Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use kernel::limit::Subject;
    use kernel::limit::SubjectKind;

    use super::*;

    const ADA: Subject<'static> = Subject { policy: "tier", kind: SubjectKind::User, id: "ada" };

    const ONE: NonZeroU32 = NonZeroU32::MIN;

    fn quotas() -> Arc<[Quota]> {
        [Quota::new("q", 1, Duration::from_secs(60)).expect("within bounds")].into()
    }

    fn add(debts: &Debts, name: impl ToString, units: NonZeroU32, up: Duration) -> bool {
        debts.add(name.to_string(), &Key::of(&ADA, None), &quotas(), units, up)
    }

    #[test]
    fn debts_of_so_many_subjects_are_remembered_and_of_one_more_not() {
        let (debts, up) = (Debts::default(), Duration::ZERO);
        for n in 0..DEBTS_MAX {
            assert!(add(&debts, n, ONE, up));
        }
        assert!(!add(&debts, "one more", ONE, up));
        assert!(add(&debts, 7, NonZeroU32::MAX, up), "a known one has a place");
        assert!(debts.any());
        let taken = debts.take();
        assert_eq!(taken.len(), DEBTS_MAX);
        assert_eq!(taken["7"].units, NonZeroU32::MAX);
        assert!(!debts.any() && debts.take().is_empty());
    }

    #[test]
    fn what_is_put_back_has_a_place_up_to_the_same_bound() {
        let (debts, up) = (Debts::default(), Duration::ZERO);
        add(&debts, "ada", ONE, up);
        add(&debts, "bob", ONE, up);
        let mut taken = debts.take();
        let mut taken = |name: &str| taken.remove(name).expect("it was owed");
        for n in 1..DEBTS_MAX {
            assert!(add(&debts, n, ONE, up));
        }
        assert!(debts.put_back("ada".to_owned(), taken("ada")), "the last place");
        assert!(!debts.put_back("bob".to_owned(), taken("bob")), "and one past it");
        let again = debts.take();
        assert_eq!((again.len(), again.contains_key("bob")), (DEBTS_MAX, false));
        // Where it owes anew, what it owed before is added.
        add(&debts, "ada", ONE, up);
        let before = debts.take().remove("ada").expect("it was owed");
        add(&debts, "ada", ONE, up);
        assert!(debts.put_back("ada".to_owned(), before));
        assert_eq!(debts.take()["ada"].units.get(), 2);
    }

    #[test]
    fn a_debt_is_lowered_to_nothing_and_no_further() {
        let debts = Debts::default();
        let two = NonZeroU32::new(2).expect("not zero");
        assert!(!debts.lower("ada", two));
        add(&debts, "ada", two, Duration::ZERO);
        assert!(debts.lower("ada", ONE) && debts.any());
        assert!(debts.lower("ada", two) && !debts.any());
        assert!(!debts.lower("ada", two));
    }

    #[test]
    fn a_debt_is_over_once_its_longest_window_has_passed_and_not_before() {
        let debts = Debts::default();
        add(&debts, "ada", ONE, Duration::from_secs(5));
        let debt = debts.take().remove("ada").expect("it is there");
        assert!(!debt.is_over(Duration::from_secs(65)));
        assert!(debt.is_over(Duration::from_millis(65_001)));
    }
}
