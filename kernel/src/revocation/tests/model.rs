//! The rules of revocation as a scan over rows: slow, and plain enough to be believed. The set
//! agrees with it in whatever order, and however often, the rows arrive.

use std::sync::Arc;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;

use crate::keys::Algorithm;
use crate::keys::Key;
use crate::keys::KeyRing;
use crate::revocation::Entry;
use crate::revocation::RevocationError;
use crate::revocation::RevocationSet;
use crate::revocation::Row;
use crate::specimen::ISSUER;
use crate::specimen::NOW;
use crate::specimen::NOW_S;
use crate::specimen::SECRET;
use crate::specimen::hs256;
use crate::specimen::profile;
use crate::specimen::signed_hs256;
use crate::specimen::signing_input;
use crate::specimen::signing_key;
use crate::tier::Tier;
use crate::time::Timestamp;
use crate::token::InForce;
use crate::token::TokenKey;
use crate::token::verify;

/// What a check says: refused, or the tier and the scopes that count.
pub(super) type Answer = Result<(String, Vec<String>), RevocationError>;

const USERS: [&str; 2] = ["u1", "u2"];
const SESSIONS: [&str; 3] = ["s1", "s2", "s3"];
const TOKENS: [&str; 4] = ["t1", "t2", "t3", "t4"];
const KIDS: [&str; 2] = ["k1", "k2"];
const EPOCHS: [Option<u64>; 4] = [None, Some(0), Some(1), Some(2)];

fn token(user: &str, sid: &str, jti: &str, kid: &str, epoch: Option<u64>) -> InForce {
    let epoch = epoch.map_or(String::new(), |epoch| format!(r#","ep":{epoch}"#));
    let payload = format!(
        r#"{{"user_id":"{user}","username":"n","tier":"free","scopes":["a","own"],"type":"access",
           "iss":"{ISSUER}","iat":{NOW_S},"exp":{},"jti":"{jti}","sid":"{sid}"{epoch}}}"#,
        NOW_S + 1800
    );
    let header = format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#);
    let token = signed_hs256(&signing_input(&header, &payload), SECRET.as_bytes());
    let first = Key::Signing(Box::new(signing_key("k1", Algorithm::HS256)));
    let keys = KeyRing::new(vec![first, hs256("k2", SECRET)]).unwrap();
    let verified = Arc::new(verify(&token, &keys, &profile(), NOW).unwrap());
    verified.in_force(&profile(), NOW).unwrap()
}

/// Every token that the rows below can tell apart.
pub(super) static ALL_TOKENS: LazyLock<Vec<InForce>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for user in USERS {
        for sid in SESSIONS {
            for jti in TOKENS {
                for kid in KIDS {
                    all.extend(EPOCHS.map(|epoch| token(user, sid, jti, kid, epoch)));
                }
            }
        }
    }
    all
});

pub(super) fn naive(rows: &[&Row], token: &InForce) -> Answer {
    let claims = token.claims();
    let mut over: Option<&Row> = None;
    for row in rows {
        let refused = match &row.entry {
            Entry::Token { key, .. } => *key == token.key(),
            Entry::Session { id, .. } => claims.session.as_deref() == Some(id),
            Entry::UserEpoch { user_id, min_epoch, .. } => {
                *user_id == *claims.user_id && claims.epoch.unwrap_or(0) < *min_epoch
            }
            Entry::Key { kid } => **kid == **token.kid(),
            Entry::UserOverride { user_id, .. } => {
                if *user_id == *claims.user_id && over.is_none_or(|other| other.seq <= row.seq) {
                    over = Some(row);
                }
                false
            }
        };
        if refused {
            return Err(RevocationError::Revoked);
        }
    }
    let own = || -> Vec<String> { claims.scopes.iter().map(|scope| scope.to_string()).collect() };
    let left = |scope: &String, all: &Option<Vec<String>>| {
        all.as_ref().is_none_or(|all| all.contains(scope))
    };
    match over.map(|row| &row.entry) {
        Some(Entry::UserOverride { active: false, .. }) => Err(RevocationError::Revoked),
        Some(Entry::UserOverride { tier, scopes, .. }) => Ok((
            tier.as_ref().map_or("free".to_owned(), Tier::to_string),
            own().into_iter().filter(|scope| left(scope, scopes)).collect(),
        )),
        _ => Ok(("free".to_owned(), own())),
    }
}

pub(super) fn answer(set: &RevocationSet, token: &InForce) -> Answer {
    set.check(token.clone()).map(|caller| {
        let scopes = caller.scopes().iter().map(|scope| scope.to_string()).collect();
        (caller.tier().unwrap().to_owned(), scopes)
    })
}

pub(super) fn any_entry() -> impl Strategy<Value = Entry> {
    let name = |names: &'static [&str]| prop::sample::select(names).prop_map(str::to_owned);
    let until = (1_u64..1800).prop_map(|s| Timestamp::from_secs(NOW_S + s));
    let tier = prop::sample::select(&["free", "premium"][..]).prop_map(|t| Tier::parse(t).unwrap());
    let scopes = prop::collection::vec("[ab]", 0..3);
    prop_oneof![
        4 => (name(&TOKENS), until.clone())
            .prop_map(|(jti, until)| Entry::Token { key: TokenKey::of_id(ISSUER, &jti), until }),
        2 => (name(&SESSIONS), until.clone()).prop_map(|(id, until)| Entry::Session { id, until }),
        2 => (name(&USERS), 0_u64..3, until.clone()).prop_map(|(user_id, min_epoch, until)| {
            Entry::UserEpoch { user_id, min_epoch, until }
        }),
        4 => (
            name(&USERS),
            prop::option::of(tier),
            prop::option::of(scopes),
            prop::bool::weighted(0.8),
            until,
        )
            .prop_map(|(user_id, tier, scopes, active, until)| Entry::UserOverride {
                user_id,
                tier,
                scopes,
                active,
                until,
            }),
        1 => name(&KIDS).prop_map(|kid| Entry::Key { kid }),
    ]
}

/// How a feed hands rows over.
#[derive(Clone, Debug)]
enum Delivery {
    /// Some rows of the tail.
    Tail(Vec<Index>),
    /// All rows up to one of them, and its number.
    Snapshot(Index),
}

fn any_delivery() -> impl Strategy<Value = Delivery> {
    prop_oneof![
        4 => prop::collection::vec(any::<Index>(), 0..6).prop_map(Delivery::Tail),
        1 => any::<Index>().prop_map(Delivery::Snapshot),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_order_repetition_and_splitting_of_the_rows_gives_what_a_scan_of_them_gives(
        entries in prop::collection::vec(any_entry(), 1..10),
        deliveries in prop::collection::vec(any_delivery(), 0..12),
        (last, order) in (any::<Index>(), any::<u64>()),
    ) {
        let rows: Vec<Row> =
            (1..).zip(entries).map(|(seq, entry)| Row { seq, at: NOW, entry }).collect();
        let set = RevocationSet::default();
        set.apply_snapshot(0, &[], NOW);
        let mut arrived = vec![false; rows.len()];
        let mut hand_over = |picked: Vec<usize>, as_snapshot: Option<u64>| {
            let batch: Vec<Row> = picked.iter().map(|&at| rows[at].clone()).collect();
            match as_snapshot {
                Some(seq) => set.apply_snapshot(seq, &batch, NOW),
                None => set.apply(&batch, NOW),
            }
            picked.iter().for_each(|&at| arrived[at] = true);
            let held: Vec<&Row> =
                rows.iter().zip(&arrived).filter(|(_, held)| **held).map(|(row, _)| row).collect();
            for token in ALL_TOKENS.iter() {
                prop_assert_eq!(answer(&set, token), naive(&held, token), "{:?}", held);
            }
            Ok(())
        };
        for delivery in deliveries {
            match delivery {
                Delivery::Tail(picked) => {
                    hand_over(picked.iter().map(|at| at.index(rows.len())).collect(), None)?;
                }
                Delivery::Snapshot(upto) => {
                    let upto = upto.index(rows.len());
                    hand_over((0..=upto).collect(), Some(rows[upto].seq))?;
                }
            }
        }
        // In the end all of them, from somewhere in the middle on, this way or that about.
        let mut rest: Vec<usize> = (0..rows.len()).collect();
        rest.rotate_left(last.index(rows.len()));
        if order % 2 == 0 {
            rest.reverse();
        }
        hand_over(rest, None)?;
        prop_assert_eq!(set.applied(), rows.len() as u64);
    }
}
