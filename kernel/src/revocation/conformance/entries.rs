//! What is written into logs under test.

use std::time::Duration;

use super::START;
use crate::revocation::Entry;
use crate::tier::Tier;
use crate::time::Timestamp;

/// When everything that a behaviour counts on has yet to expire.
pub(super) const LATER: Timestamp = START.plus(Duration::from_secs(1800));

pub(super) fn session(id: &str) -> Entry {
    session_until(id, LATER)
}

pub(super) fn session_until(id: &str, until: Timestamp) -> Entry {
    Entry::Session { id: id.to_owned(), until }
}

/// `count` sessions that nobody is in.
pub(super) fn strangers(count: usize) -> impl Iterator<Item = Entry> {
    (0..count).map(|n| session(&format!("stranger {n}")))
}

pub(super) fn epoch(user_id: &str, min_epoch: u64) -> Entry {
    Entry::UserEpoch { user_id: user_id.to_owned(), min_epoch, until: LATER }
}

pub(super) fn shut_out(user_id: &str) -> Entry {
    over(user_id, None, None, false)
}

pub(super) fn on_tier(user_id: &str, tier: &str) -> Entry {
    over(user_id, Some(tier), None, true)
}

pub(super) fn over(
    user_id: &str,
    tier: Option<&str>,
    scopes: Option<&[&str]>,
    active: bool,
) -> Entry {
    Entry::UserOverride {
        user_id: user_id.to_owned(),
        tier: tier.map(|tier| Tier::parse(tier).expect("the suite's tiers are well named")),
        scopes: scopes.map(|scopes| scopes.iter().map(|&scope| scope.to_owned()).collect()),
        active,
        until: LATER,
    }
}
