//! How long a request waits for Redis in all: for one question without an answer, and no other.

use kernel::lost::StoreLost;

/// Whether a request goes on asking Redis, whatever about.
///
/// Each question has a budget of its own. A request that has several would wait for each of them where
/// Redis hangs; but the first one without an answer has told all that there is to know.
#[derive(Debug, Default)]
pub struct Patience {
    is_spent: bool,
}

impl Patience {
    /// Whether Redis is asked no more.
    pub fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// There was no answer.
    pub fn spend(&mut self) {
        self.is_spent = true;
    }

    /// There was none of the store of counters. What is wrong with a single counter spends nothing, and
    /// neither does a store that rests, for which nobody waits.
    pub fn hear(&mut self, lost: &StoreLost) {
        self.is_spent |= lost.concerns_all() && !matches!(lost, StoreLost::Resting);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_is_spent_by_waiting_in_vain_and_not_by_a_single_counter_or_a_store_that_rests() {
        let mut patience = Patience::default();
        patience.hear(&StoreLost::Answer("a counter that is somebody else's".into()));
        patience.hear(&StoreLost::Resting);
        assert!(!patience.is_spent());
        patience.hear(&StoreLost::Late(Duration::from_millis(25)));
        assert!(patience.is_spent());
        patience.hear(&StoreLost::Answer("a counter that is somebody else's".into()));
        assert!(patience.is_spent());
    }
}
