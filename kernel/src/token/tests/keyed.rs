//! What a revocation names.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::support::legacy;
use super::support::legacy_profile;
use super::support::payload;
use crate::keys::Algorithm;
use crate::keys::KeyRing;
use crate::specimen::NOW;
use crate::specimen::ring_of;
use crate::specimen::token_saying;
use crate::token::TokenKey;
use crate::token::verify;

/// The order of P-256 (SEC 2 §2.4.2).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The same claims under the other signature that anybody can make of an ECDSA one: (r, n - s).
fn twin(token: &str) -> String {
    let (input, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = 0;
    for (s, n) in signature[32..].iter_mut().zip(ORDER).rev() {
        let difference = i16::from(n) - i16::from(*s) - borrow;
        borrow = i16::from(difference < 0);
        *s = difference.rem_euclid(256) as u8;
    }
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn key_of(token: &str, keys: &KeyRing) -> TokenKey {
    verify(token, keys, &legacy_profile(), NOW).unwrap().key()
}

#[test]
fn the_twin_of_an_es256_token_has_the_same_key() {
    let keys = ring_of(Algorithm::ES256);
    for payload in [payload(&[]), legacy(&[])] {
        let claims: serde_json::Value = serde_json::from_str(&payload).unwrap();
        let token = keys.signing().sign(&claims).unwrap();
        let twin = twin(&token);
        assert_ne!(twin, token);
        assert_eq!(key_of(&twin, &keys), key_of(&token, &keys), "{payload}");
    }
}

#[test]
fn the_same_claims_signed_twice_have_the_same_key() {
    let keys = ring_of(Algorithm::PS256);
    let claims: serde_json::Value = serde_json::from_str(&legacy(&[])).unwrap();
    let [one, other] = [(); 2].map(|()| keys.signing().sign(&claims).unwrap());
    assert_ne!(one, other);
    assert_eq!(key_of(&one, &keys), key_of(&other, &keys));
}

#[test]
fn a_token_with_an_id_is_named_by_it_and_one_without_by_what_was_signed() {
    let keys = ring_of(Algorithm::HS256);
    let key = |payload: &str| key_of(&token_saying(payload), &keys);
    assert_eq!(key(&payload(&[])), TokenKey::of_id("https://door.example", "t1"));
    assert_eq!(key(&payload(&[("username", r#""bob""#)])), key(&payload(&[])));
    assert_ne!(key(&payload(&[("jti", r#""t2""#)])), key(&payload(&[])));
    let old = token_saying(&legacy(&[]));
    let (input, _) = old.rsplit_once('.').unwrap();
    assert_eq!(key_of(&old, &keys), TokenKey::of_signing_input(input.as_bytes()));
    assert_ne!(key(&legacy(&[("exp", "1800001799")])), key_of(&old, &keys));
}

#[test]
fn keys_differ_by_kind_and_by_where_one_part_ends() {
    let keys = [
        TokenKey::of_id("ab", "c"),
        TokenKey::of_id("a", "bc"),
        TokenKey::of_id("", "abc"),
        TokenKey::of_id("abc", ""),
        TokenKey::of_signing_input(b"abc"),
        TokenKey::of_session("abc"),
        TokenKey::of_user("abc"),
        TokenKey::of_user("ABC"),
        TokenKey::of_user(""),
    ];
    assert_eq!(HashSet::from(keys).len(), keys.len());
    let texts: HashSet<String> = keys.iter().map(TokenKey::to_string).collect();
    assert_eq!(texts.len(), keys.len());
}

#[test]
fn a_key_is_written_as_32_hexadecimal_digits_and_read_back() {
    let key = TokenKey::of_id("https://door.example", "t1");
    let json = serde_json::to_string(&key).unwrap();
    // Written down in databases: it must not change.
    assert_eq!(json, r#""fd712f853474cb4cf5c515327ffc34d4""#);
    assert_eq!(serde_json::from_str::<TokenKey>(&json).unwrap(), key);
    assert_eq!(format!("\"{key:?}\""), json);
    for text in [
        "",
        "0",
        "+0000000000000000000000000000001",
        "-0000000000000000000000000000001",
        " 0000000000000000000000000000001",
        "0000000000000000000000000000000g",
        "000000000000000000000000000000000",
        "0x000000000000000000000000000001",
    ] {
        let json = format!("\"{text}\"");
        assert!(serde_json::from_str::<TokenKey>(&json).is_err(), "{text}");
    }
}
