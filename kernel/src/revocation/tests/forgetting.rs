//! What may be forgotten, and when.

use std::time::Duration;

use proptest::prelude::*;

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
use crate::time::Timestamp;
use crate::token::TokenKey;

fn ready() -> RevocationSet {
    let set = RevocationSet::default();
    set.apply_snapshot(0, &[], NOW);
    set
}

fn is_refused(set: &RevocationSet, claims: &Claims) -> bool {
    set.check(verified(claims)).map(|_| ()) == Err(RevocationError::Revoked)
}

fn session(id: &str, until: Timestamp) -> Entry {
    Entry::Session { id: id.to_owned(), until }
}

/// The ways to refuse the token of [`claims`].
fn refusals(until: Timestamp) -> [Entry; 4] {
    let user_id = || "u1".to_owned();
    [
        Entry::Token { key: TokenKey::of_id(ISSUER, "t1"), until },
        session("s1", until),
        Entry::UserEpoch { user_id: user_id(), min_epoch: 1, until },
        Entry::UserOverride { user_id: user_id(), tier: None, scopes: None, active: false, until },
    ]
}

#[test]
fn an_entry_is_kept_until_the_last_millisecond_and_then_forgotten() {
    let until = Timestamp::from_millis(NOW_S * 1000 + 4_500);
    for entry in refusals(until) {
        let set = ready();
        set.apply(&[Row { seq: 1, at: NOW, entry: entry.clone() }], NOW);
        set.forget_expired(until.minus(Duration::from_millis(1)));
        assert!(is_refused(&set, &claims()), "{entry:?}");
        assert_eq!(set.len(), 1, "{entry:?}");
        set.forget_expired(until.plus(Duration::from_secs(1)));
        assert!(!is_refused(&set, &claims()), "{entry:?}");
        assert!(set.is_empty(), "{entry:?}");
    }
}

#[test]
fn an_entry_given_twice_is_kept_until_the_later_time() {
    let (sooner, later) = (NOW.plus(Duration::from_secs(10)), NOW.plus(Duration::from_secs(20)));
    for (one, other) in [(sooner, later), (later, sooner)] {
        for (first, second) in refusals(one).into_iter().zip(refusals(other)) {
            let set = ready();
            set.apply(
                &[
                    Row { seq: 1, at: NOW, entry: first },
                    Row { seq: 2, at: NOW, entry: second.clone() },
                ],
                NOW,
            );
            set.forget_expired(later.minus(Duration::from_millis(1)));
            assert!(is_refused(&set, &claims()), "{second:?}");
        }
    }
}

#[test]
fn an_entry_that_is_past_already_is_not_taken_up() {
    for until in [Timestamp::default(), NOW.minus(Duration::from_millis(1)), NOW] {
        for entry in refusals(until) {
            let set = ready();
            set.apply(&[Row { seq: 1, at: NOW, entry: entry.clone() }], NOW);
            assert!(set.is_empty(), "{entry:?}");
            assert_eq!(set.applied(), 1);
        }
    }
}

#[test]
fn an_old_override_that_comes_again_does_not_stand_where_a_later_one_was_forgotten() {
    let act = |seq, active, until_s| {
        let user_id = "u1".to_owned();
        let until = Timestamp::from_secs(NOW_S + until_s);
        let entry = Entry::UserOverride { user_id, tier: None, scopes: None, active, until };
        [Row { seq, at: NOW, entry }]
    };
    let set = ready();
    set.apply(&act(1, false, 10), NOW);
    set.apply(&act(2, true, 20), NOW);
    let later = Timestamp::from_secs(NOW_S + 15);
    set.apply(&act(1, false, 10), later);
    assert!(!is_refused(&set, &claims()));
    let later = Timestamp::from_secs(NOW_S + 20);
    set.forget_expired(later);
    set.apply(&act(1, false, 10), later);
    assert!(!is_refused(&set, &claims()));
}

#[test]
fn an_entry_past_the_year_2106_is_kept_as_long_as_can_be_told() {
    let set = ready();
    let until = Timestamp::from_millis(u64::MAX);
    set.apply(&[Row { seq: 1, at: NOW, entry: session("s1", until) }], NOW);
    set.forget_expired(Timestamp::from_secs(u64::from(u32::MAX) - 1));
    assert!(is_refused(&set, &claims()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Whatever else arrives and is forgotten in the meantime.
    #[test]
    fn a_revoked_token_stays_refused_until_it_would_have_expired(
        kind in 0..4_usize,
        life_ms in 1_u64..20_000,
        noise in prop::collection::vec((0_u64..8, 0_u64..40_000, any::<bool>()), 0..24),
    ) {
        let until = NOW.plus(Duration::from_millis(life_ms));
        let set = ready();
        let [token, session_, epoch, override_] = refusals(until);
        let entry = [token, session_, epoch, override_][kind].clone();
        set.apply(&[Row { seq: 1, at: NOW, entry }], NOW);
        let mut now = NOW;
        for (seq, (advance_s, until_ms, forgets)) in (2..).zip(noise) {
            now = now.plus(Duration::from_millis(advance_s * 700));
            let until_other = NOW.plus(Duration::from_millis(until_ms));
            let other = session(&format!("other {seq}"), until_other);
            set.apply(&[Row { seq, at: NOW, entry: other }], now);
            if forgets {
                set.forget_expired(now);
            }
            if now >= until {
                break;
            }
            prop_assert!(is_refused(&set, &claims()), "at {:?} of {:?}", now, until);
        }
        set.forget_expired(NOW.plus(Duration::from_secs(41)));
        prop_assert!(set.is_empty());
    }

    #[test]
    fn what_is_forgotten_has_expired_and_what_has_expired_is_forgotten(
        lives_ms in prop::collection::vec(1_u64..10_000, 1..40),
        after_ms in 0_u64..12_000,
    ) {
        let set = ready();
        let until = |life_ms: u64| NOW.plus(Duration::from_millis(life_ms));
        let rows: Vec<Row> = (1..)
            .zip(&lives_ms)
            .map(|(seq, life)| Row { seq, at: NOW, entry: session(&seq.to_string(), until(*life)) })
            .collect();
        set.apply(&rows, NOW);
        let now = until(after_ms);
        set.forget_expired(now);
        let live = lives_ms.iter().filter(|life| until(**life) > now).count();
        // Times are kept in whole seconds, rounded up, so an entry may stay a little longer.
        let grace = Duration::from_secs(2);
        let kept = lives_ms.iter().filter(|life| until(**life).plus(grace) > now).count();
        prop_assert!((live..=kept).contains(&set.len()));
        for (seq, life) in (1..).zip(&lives_ms) {
            if until(*life) > now {
                let claims = Claims { sid: seq.to_string(), ..claims() };
                prop_assert!(is_refused(&set, &claims));
            }
        }
    }
}
