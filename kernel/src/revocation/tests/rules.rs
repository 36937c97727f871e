//! What each kind of entry refuses, and what it leaves alone.

use std::sync::Arc;

use crate::claims::Claims;
use crate::revocation::Entry;
use crate::revocation::RevocationError;
use crate::revocation::RevocationSet;
use crate::revocation::Row;
use crate::specimen::ISSUER;
use crate::specimen::NOW;
use crate::specimen::NOW_S;
use crate::specimen::claims;
use crate::specimen::verified;
use crate::tier::Tier;
use crate::time::Timestamp;
use crate::token::TokenKey;

const UNTIL: Timestamp = Timestamp::from_secs(NOW_S + 1800);

fn ready() -> RevocationSet {
    let set = RevocationSet::default();
    set.apply_snapshot(0, &[], NOW);
    set
}

fn is_refused(set: &RevocationSet, claims: &Claims) -> bool {
    set.check(verified(claims)).map(|_| ()) == Err(RevocationError::Revoked)
}

fn row(seq: u64, entry: Entry) -> Row {
    Row { seq, at: NOW, entry }
}

fn override_of(seq: u64, tier: &str, active: bool) -> Row {
    let tier = Some(Tier::parse(tier).unwrap());
    let user_id = "u1".to_owned();
    row(seq, Entry::UserOverride { user_id, tier, scopes: None, active, until: UNTIL })
}

#[test]
fn before_the_first_snapshot_nobody_is_let_in_whatever_the_tail_says() {
    let set = RevocationSet::default();
    let outcome = |set: &RevocationSet| set.check(verified(&claims())).map(|_| ());
    assert_eq!(outcome(&set), Err(RevocationError::Unavailable));
    set.apply(&[row(1, Entry::Key { kid: "k9".to_owned() })], NOW);
    assert_eq!(outcome(&set), Err(RevocationError::Unavailable));
    assert!(!set.is_ready());
    set.apply_snapshot(1, &[], NOW);
    assert_eq!(outcome(&set), Ok(()));
    assert!(set.is_ready());
}

#[test]
fn an_entry_refuses_what_it_names_and_nothing_else() {
    type Change = fn(&mut Claims);
    let cases: [(Entry, Change); 4] = [
        (Entry::Token { key: TokenKey::of_id(ISSUER, "t1"), until: UNTIL }, |other| {
            other.jti = "t2".to_owned();
        }),
        (Entry::Session { id: "s1".to_owned(), until: UNTIL }, |other| {
            other.sid = "s2".to_owned();
        }),
        (Entry::UserEpoch { user_id: "u1".to_owned(), min_epoch: 1, until: UNTIL }, |other| {
            other.sub = "u2".to_owned();
            other.user_id = "u2".to_owned();
        }),
        (Entry::UserEpoch { user_id: "u1".to_owned(), min_epoch: 1, until: UNTIL }, |other| {
            other.ep = 1
        }),
    ];
    for (entry, change) in cases {
        let set = ready();
        assert!(!is_refused(&set, &claims()));
        set.apply(&[row(1, entry.clone())], NOW);
        assert!(is_refused(&set, &claims()), "{entry:?}");
        let mut other = claims();
        change(&mut other);
        assert!(!is_refused(&set, &other), "{entry:?}");
    }
}

#[test]
fn a_sessions_name_refuses_no_token_or_user_of_that_name() {
    let set = ready();
    set.apply(&[row(1, Entry::Session { id: "t1".to_owned(), until: UNTIL })], NOW);
    set.apply(&[row(2, Entry::Session { id: "u1".to_owned(), until: UNTIL })], NOW);
    assert!(!is_refused(&set, &claims()));
}

#[test]
fn a_distrusted_key_refuses_all_that_it_signed() {
    let set = ready();
    set.apply(&[row(1, Entry::Key { kid: "K1".to_owned() })], NOW);
    assert!(!is_refused(&set, &claims()));
    set.apply(&[row(2, Entry::Key { kid: "k1".to_owned() })], NOW);
    assert!(is_refused(&set, &claims()));
    // For good: nothing says until when.
    set.forget_expired(Timestamp::from_millis(u64::MAX));
    assert!(is_refused(&set, &claims()));
}

#[test]
fn the_highest_epoch_counts_whatever_arrives_last() {
    let set = ready();
    let epoch = |seq, min_epoch| {
        row(seq, Entry::UserEpoch { user_id: "u1".to_owned(), min_epoch, until: UNTIL })
    };
    set.apply(&[epoch(2, 5), epoch(1, 3)], NOW);
    assert!(is_refused(&set, &Claims { ep: 4, ..claims() }));
    assert!(!is_refused(&set, &Claims { ep: 5, ..claims() }));
}

#[test]
fn the_later_override_counts_whatever_arrives_last() {
    for rows in [
        [override_of(1, "premium", true), override_of(2, "trial", true)],
        [override_of(2, "trial", true), override_of(1, "premium", true)],
    ] {
        let set = ready();
        set.apply(&rows, NOW);
        let caller = set.check(verified(&claims())).unwrap();
        assert_eq!(caller.tier(), Some("trial"));
    }
    for rows in [
        [override_of(1, "free", false), override_of(2, "free", true)],
        [override_of(2, "free", true), override_of(1, "free", false)],
    ] {
        let set = ready();
        set.apply(&rows, NOW);
        assert!(!is_refused(&set, &claims()));
        set.apply(&[override_of(3, "free", false)], NOW);
        assert!(is_refused(&set, &claims()));
    }
}

#[test]
fn an_override_of_nothing_leaves_the_token_its_word() {
    let set = ready();
    let user_id = "u1".to_owned();
    let entry =
        Entry::UserOverride { user_id, tier: None, scopes: None, active: true, until: UNTIL };
    set.apply(&[row(1, entry)], NOW);
    let caller = set.check(verified(&claims())).unwrap();
    assert!(caller.is_overridden());
    assert_eq!(caller.tier(), Some("free"));
    assert_eq!(caller.scopes(), [Arc::from("orders:read")]);
}

#[test]
fn revoking_twice_is_revoking_once() {
    let set = ready();
    let rows = [
        row(1, Entry::Token { key: TokenKey::of_id(ISSUER, "t1"), until: UNTIL }),
        row(2, Entry::Session { id: "s2".to_owned(), until: UNTIL }),
        override_of(3, "premium", true),
        row(4, Entry::Key { kid: "k9".to_owned() }),
    ];
    for _ in 0..3 {
        set.apply(&rows, NOW);
        set.apply_snapshot(4, &rows, NOW);
        assert_eq!(set.len(), 4);
        assert_eq!(set.applied(), 4);
    }
}

#[test]
fn the_highest_number_taken_in_is_told() {
    let set = ready();
    assert_eq!(set.applied(), 0);
    assert!(set.is_empty());
    set.apply(&[override_of(7, "free", true), override_of(3, "free", true)], NOW);
    assert_eq!(set.applied(), 7);
    set.apply_snapshot(5, &[], NOW);
    assert_eq!(set.applied(), 7);
    set.apply_snapshot(9, &[], NOW);
    assert_eq!(set.applied(), 9);
}
