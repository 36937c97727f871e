//! The ring in force: what signs, what verifies, and who is told of a change.

use crate::keys::Algorithm;
use crate::keys::Key;
use crate::keys::KeyRing;
use crate::keys::LiveKeys;
use crate::keys::Stored;
use crate::specimen::hs256;
use crate::specimen::signing_key;

fn live() -> LiveKeys {
    let first = Key::Signing(Box::new(signing_key("k1", Algorithm::HS256)));
    LiveKeys::new(KeyRing::new(vec![first, hs256("k2", "short")]).unwrap())
}

/// `kids` of ES256 beside the configuration's; the first of them signs where `signs`.
fn stored(kids: &[&str], signs: bool) -> Stored {
    let keys: Vec<_> = kids.iter().map(|kid| signing_key(kid, Algorithm::ES256)).collect();
    Stored {
        signing: signs.then(|| keys[0].clone()),
        verifying: keys.iter().map(|key| key.verifying().clone()).collect(),
        distrusted: Vec::new(),
    }
}

fn kids(live: &LiveKeys) -> Vec<String> {
    live.ring().verifying().iter().map(|key| key.kid().to_string()).collect()
}

#[test]
fn before_anything_is_stored_the_configuration_counts() {
    let live = live();
    assert_eq!(kids(&live), ["k1", "k2"]);
    assert_eq!(live.ring().signing().kid(), "k1");
    live.install(Stored::default());
    assert_eq!((live.version(), live.ring().signing().kid()), (0, "k1"));
}

#[test]
fn a_pending_key_verifies_before_it_signs() {
    let live = live();
    live.install(stored(&["s1"], false));
    assert_eq!(kids(&live), ["k1", "k2", "s1"]);
    assert_eq!(live.ring().signing().kid(), "k1");
    live.install(stored(&["s1"], true));
    assert_eq!(live.ring().signing().kid(), "s1");
}

#[test]
fn the_version_rises_when_a_key_begins_or_ceases_to_verify_and_only_then() {
    let live = live();
    let mut versions = vec![live.version()];
    let steps = [
        stored(&["s1"], false),
        // Another key signs; what was verified stays verified.
        stored(&["s1"], true),
        stored(&["s1", "s2"], true),
        Stored { distrusted: vec!["k2".to_owned()], ..stored(&["s1", "s2"], true) },
        stored(&["s1"], true),
    ];
    for step in steps {
        live.install(step);
        versions.push(live.version());
    }
    assert_eq!(versions, [0, 1, 1, 2, 3, 4]);
    assert_eq!(live.versioned().1, 4);
}

#[test]
fn a_distrusted_key_verifies_nothing_wherever_it_is_kept() {
    let live = live();
    let distrusted = vec!["k2".to_owned(), "s1".to_owned(), "unknown".to_owned()];
    live.install(Stored { distrusted, ..stored(&["s1", "s2"], false) });
    assert_eq!(kids(&live), ["k1", "s2"]);
}

#[test]
fn of_two_keys_with_one_id_the_configurations_counts() {
    let live = live();
    live.install(stored(&["k1", "s1"], false));
    assert_eq!(kids(&live), ["k1", "k2", "s1"]);
    assert_eq!(live.ring().verifying()[0].algorithm(), Algorithm::HS256);
    assert_eq!(live.configured().verifying().len(), 2);
}

#[test]
fn a_ring_that_was_taken_stays_whole_while_another_takes_its_place() {
    let live = live();
    let (before, version) = live.versioned();
    live.install(stored(&["s1"], true));
    assert_eq!(before.signing().kid(), "k1");
    assert_eq!(before.verifying().len(), 2);
    assert!(live.version() > version);
    assert_eq!(format!("{live:?}").matches("s1").count(), 2);
}
