//! Fair shares of the hashing queue: no one address may fill it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::prefix::Prefix;

/// What part of the queue one prefix may hold.
const SHARE_OF_QUEUE: usize = 4;

/// The fewest places that a share has: a household must be able to sign in.
pub(crate) const SHARE_MIN: usize = 4;

/// Who holds how many places; as long as the queue, at most.
#[derive(Clone)]
pub(super) struct Shares {
    share: usize,
    held: Arc<Mutex<HashMap<Prefix, usize>>>,
}

/// A place in the queue, or at work, given back when it is dropped.
pub(super) struct Place {
    shares: Shares,
    prefix: Prefix,
}

impl Shares {
    /// Shares of a queue of `places`.
    pub(super) fn of(places: usize) -> Self {
        Self { share: (places / SHARE_OF_QUEUE).max(SHARE_MIN), held: Arc::default() }
    }

    /// A place for `prefix`; `None` where it has its share.
    pub(super) fn take(&self, prefix: Prefix) -> Option<Place> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.get(&prefix).copied().unwrap_or(0);
        if count >= self.share {
            return None;
        }
        held.insert(prefix, count + 1);
        Some(Place { shares: self.clone(), prefix })
    }

    /// How many places `prefix` holds.
    #[cfg(test)]
    pub(super) fn held_by(&self, prefix: Prefix) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get(&prefix).copied().unwrap_or(0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.shares.held.lock().unwrap_or_else(PoisonError::into_inner);
        let left = held.get(&self.prefix).copied().unwrap_or(1) - 1;
        if left == 0 {
            held.remove(&self.prefix);
        } else {
            held.insert(self.prefix, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(address: &str) -> Prefix {
        Prefix::of(address.parse().ok())
    }

    #[test]
    fn a_quarter_of_the_queue_is_one_prefixs_share_and_one_more_is_not() {
        let shares = Shares::of(40);
        let mut places: Vec<_> =
            (0..10).map(|_| shares.take(prefix("192.0.2.1")).unwrap()).collect();
        assert!(shares.take(prefix("192.0.2.1")).is_none());
        assert!(shares.take(prefix("192.0.2.2")).is_some());
        places.pop();
        assert!(shares.take(prefix("192.0.2.1")).is_some());
    }

    #[test]
    fn a_short_queue_has_shares_of_four() {
        let shares = Shares::of(1);
        let places: Vec<_> = (0..SHARE_MIN).map(|_| shares.take(Prefix::Unknown)).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(shares.take(Prefix::Unknown).is_none());
    }

    #[test]
    fn nothing_is_kept_of_those_who_left() {
        let shares = Shares::of(40);
        for i in 0..1000_u32 {
            let address = std::net::Ipv4Addr::from_bits(i);
            drop(shares.take(Prefix::of(Some(address.into()))));
        }
        assert!(shares.held.lock().unwrap().is_empty());
    }
}
