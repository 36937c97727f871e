//! What may sign, what may verify, and how many of them.

use std::collections::HashMap;

use crate::keys::Algorithm;
use crate::keys::HMAC_SECRET_BYTES_MIN;
use crate::keys::KEYS_MAX;
use crate::keys::KID_BYTES_MAX;
use crate::keys::Key;
use crate::keys::KeyError;
use crate::keys::KeyRing;
use crate::keys::SigningKey;
use crate::keys::VerifyingKey;
use crate::secret::Secret;
use crate::specimen::NOW;
use crate::specimen::SECRET;
use crate::specimen::hs256;
use crate::specimen::private;
use crate::specimen::profile;
use crate::specimen::signed_hs256;
use crate::specimen::signing_input;
use crate::specimen::signing_key;
use crate::token::TokenError;
use crate::token::verify;

fn secret_of(bytes: usize) -> Secret {
    Secret::new("x".repeat(bytes))
}

fn signer(kid: &str) -> Key {
    Key::Signing(Box::new(SigningKey::hs256(kid, &Secret::new(SECRET)).unwrap()))
}

fn problem(keys: Vec<Key>) -> String {
    KeyRing::new(keys).unwrap_err().to_string()
}

#[test]
fn a_secret_of_32_bytes_signs_and_one_of_31_only_verifies() {
    assert!(SigningKey::hs256("k1", &secret_of(HMAC_SECRET_BYTES_MIN)).is_ok());
    let short = secret_of(HMAC_SECRET_BYTES_MIN - 1);
    let error = SigningKey::hs256("k1", &short).unwrap_err();
    assert_eq!(error.to_string(), "the secret of key `k1` has 31 bytes; use at least 32");
    // Bytes, not characters, and no other way in.
    assert!(SigningKey::hs256("k1", &Secret::new("ß".repeat(16))).is_ok());
    assert!(SigningKey::from_pem("k1", Algorithm::HS256, &short).is_err());
}

#[test]
fn an_old_systems_short_secret_goes_on_verifying() {
    let keys = KeyRing::new(vec![signer("k1"), hs256("old", "short")]).unwrap();
    let token = |secret: &str| {
        signed_hs256(&signing_input(r#"{"alg":"HS256","kid":"old"}"#, "{}"), secret.as_bytes())
    };
    let refusal = |secret: &str| verify(&token(secret), &keys, &profile(), NOW).unwrap_err();
    // The claims are looked at once the signature holds.
    assert_eq!(refusal("short"), TokenError::Claims);
    assert_eq!(refusal("shorts"), TokenError::Signature);
}

#[test]
fn an_empty_secret_verifies_nothing() {
    assert!(VerifyingKey::hs256("k1", &secret_of(1)).is_ok());
    let error = VerifyingKey::hs256("k1", &secret_of(0)).unwrap_err();
    assert!(matches!(error, KeyError::ShortSecret { bytes: 0, .. }));
}

#[test]
fn a_ring_of_16_keys_is_the_largest_and_one_of_none_is_none() {
    let keys = |many: usize| (0..many).map(|n| signer(&n.to_string())).collect::<Vec<_>>();
    assert_eq!(KeyRing::new(keys(KEYS_MAX)).unwrap().verifying().len(), KEYS_MAX);
    assert_eq!(problem(keys(KEYS_MAX + 1)), "17 keys; use 1 to 16");
    assert_eq!(problem(Vec::new()), "0 keys; use 1 to 16");
}

#[test]
fn sixteen_keys_of_others_fit_beside_the_own_one_and_seventeen_do_not() {
    let own = || SigningKey::hs256("own", &Secret::new(SECRET)).unwrap();
    let others = |many: usize| (0..many).map(|n| hs256(&n.to_string(), SECRET)).collect();
    let ring = KeyRing::beside(own(), others(KEYS_MAX)).unwrap();
    assert_eq!((ring.signing().kid(), ring.verifying().len()), ("own", KEYS_MAX + 1));
    assert_eq!(KeyRing::beside(own(), Vec::new()).unwrap().verifying().len(), 1);
    let error = KeyRing::beside(own(), others(KEYS_MAX + 1)).unwrap_err();
    assert_eq!(error.to_string(), "17 keys; use 1 to 16");
    let error = KeyRing::beside(own(), vec![hs256("own", SECRET)]).unwrap_err();
    assert_eq!(error.to_string(), "two keys have the id `own`; ids must differ");
}

#[test]
fn the_first_key_signs_and_all_verify_in_order() {
    let keys = KeyRing::new(vec![signer("k2"), hs256("k1", SECRET), signer("k3")]).unwrap();
    assert_eq!(keys.signing().kid(), "k2");
    assert_eq!(keys.signing().algorithm(), Algorithm::HS256);
    let kids: Vec<&str> = keys.verifying().iter().map(|key| &**key.kid()).collect();
    assert_eq!(kids, ["k2", "k1", "k3"]);
}

#[test]
fn a_first_key_that_only_verifies_is_an_error_even_before_one_that_signs() {
    let expected = "the first key, `k1`, signs, so it needs a secret or a private key";
    assert_eq!(problem(vec![hs256("k1", SECRET)]), expected);
    assert_eq!(problem(vec![hs256("k1", SECRET), signer("k2")]), expected);
}

#[test]
fn two_keys_of_one_id_are_an_error_whatever_they_are_for() {
    let expected = "two keys have the id `k1`; ids must differ";
    assert_eq!(problem(vec![signer("k1"), hs256("k1", SECRET)]), expected);
    assert_eq!(problem(vec![signer("k0"), hs256("k1", SECRET), signer("k1")]), expected);
    let es = Key::Signing(Box::new(signing_key("k1", Algorithm::ES256)));
    assert_eq!(problem(vec![signer("k1"), es]), expected);
    assert!(KeyRing::new(vec![signer("k1"), signer("K1")]).is_ok());
}

#[test]
fn a_key_id_of_64_visible_characters_is_the_longest() {
    let outcome = |kid: &str| VerifyingKey::hs256(kid, &Secret::new(SECRET)).map(|_| ());
    assert!(outcome(&"k".repeat(KID_BYTES_MAX)).is_ok());
    assert!(outcome("2026-11:a/b.c_~!").is_ok());
    let error = outcome(&"k".repeat(KID_BYTES_MAX + 1)).unwrap_err().to_string();
    assert!(error.ends_with("is no key id: use 1 to 64 visible ASCII characters"), "{error}");
    for kid in ["", " ", "a b", "k\n", "k\0", "ключ", "k\u{7f}"] {
        assert!(matches!(outcome(kid), Err(KeyError::Kid(_))), "{kid:?}");
        for algorithm in Algorithm::ALL {
            let outcome = SigningKey::from_pem(kid, algorithm, &private(algorithm));
            assert!(matches!(outcome, Err(KeyError::Kid(_))), "{algorithm}: {kid:?}");
        }
    }
    let endless = outcome(&"k".repeat(1 << 20)).unwrap_err().to_string();
    assert!(endless.len() < 256, "{} bytes", endless.len());
}

#[test]
fn claims_that_are_no_json_are_not_signed() {
    let key = signing_key("k1", Algorithm::HS256);
    let claims = HashMap::from([(vec![1], "a key that is no text")]);
    assert!(matches!(key.sign(&claims), Err(KeyError::Signing(kid)) if kid == "k1"));
}
