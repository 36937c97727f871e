//! What was let in while the store was lost, and must be counted once it is back.

use std::collections::HashMap;
use std::mem;
use std::num::NonZeroU32;
use std::sync::Arc;

use kernel::limit::Quota;
use parking_lot::Mutex;

/// Of how many subjects debts are remembered. What is past it is never counted: those subjects get
/// what they had in the outage once more.
pub const DEBTS_MAX: usize = 100_000;

/// Debts by the subject's name in the store.
#[derive(Debug, Default)]
pub(super) struct Debts {
    open: Mutex<HashMap<String, Debt>>,
}

#[derive(Debug)]
pub(super) struct Debt {
    pub(super) quotas: Arc<[Quota]>,
    pub(super) units: NonZeroU32,
}

impl Debts {
    /// Notes `units` more; says whether there was room to.
    pub(super) fn add(&self, name: String, quotas: &Arc<[Quota]>, units: NonZeroU32) -> bool {
        let mut open = self.open.lock();
        if let Some(debt) = open.get_mut(&name) {
            debt.units = debt.units.saturating_add(units.get());
            return true;
        }
        if open.len() >= DEBTS_MAX {
            return false;
        }
        open.insert(name, Debt { quotas: Arc::clone(quotas), units });
        true
    }

    /// Takes all of them out, to settle them.
    pub(super) fn take(&self) -> HashMap<String, Debt> {
        mem::take(&mut *self.open.lock())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn debts_of_so_many_subjects_are_remembered_and_of_one_more_not() {
        let quotas: Arc<[Quota]> =
            [Quota::new("q", 1, Duration::from_secs(1)).expect("within bounds")].into();
        let debts = Debts::default();
        for n in 0..DEBTS_MAX {
            assert!(debts.add(n.to_string(), &quotas, NonZeroU32::MIN));
        }
        assert!(!debts.add("one more".to_owned(), &quotas, NonZeroU32::MIN));
        assert!(debts.add("7".to_owned(), &quotas, NonZeroU32::MAX), "a known one has a place");
        let taken = debts.take();
        assert_eq!(taken.len(), DEBTS_MAX);
        assert_eq!(taken["7"].units, NonZeroU32::MAX);
        assert!(debts.take().is_empty());
    }
}
