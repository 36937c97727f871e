use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rsa;
use ring::signature::KeyPair;
use ring::signature::RsaPublicKeyComponents;
use serde_json::json;

use super::*;
use crate::keys::SigningKey;
use crate::secret::Secret;
use crate::specimen::RSA_PKCS8_PEM;
use crate::specimen::ed25519_pkcs8;
use crate::specimen::p256_pkcs8;
use crate::specimen::pem;
use crate::specimen::rsa_pkcs1;

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn modulus() -> Vec<u8> {
    let pair = rsa::KeyPair::from_der(&rsa_pkcs1()).unwrap();
    RsaPublicKeyComponents::<Vec<u8>>::from(pair.public()).n
}

fn rsa() -> Value {
    json!({ "kty": "RSA", "kid": "r", "n": b64(modulus()), "e": "AQAB" })
}

fn ec(pkcs8: &[u8]) -> Value {
    let pair = crate::signer::ecdsa(pkcs8).unwrap();
    let point = pair.public_key().as_ref();
    json!({ "kty": "EC", "crv": "P-256", "kid": "e", "x": b64(&point[1..33]), "y": b64(&point[33..]) })
}

fn okp() -> Value {
    let pair = crate::signer::ed25519(&ed25519_pkcs8()).unwrap();
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": "o", "x": b64(pair.public_key()) })
}

fn set(keys: &[Value]) -> JwkSet {
    JwkSet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn with(mut key: Value, name: &str, value: impl Into<Value>) -> Value {
    key[name] = value.into();
    key
}

/// Checks that `key` is taken for `algorithm`.
#[track_caller]
fn is_for(key: Value, algorithm: Algorithm) {
    let set = set(std::slice::from_ref(&key));
    let taken: Vec<_> = set.keys().iter().map(VerifyingKey::algorithm).collect();
    assert_eq!(taken, [algorithm], "{key}");
}

#[track_caller]
fn is_left_out(key: Value) {
    let set = set(&[key.clone(), okp()]);
    assert_eq!((set.keys().len(), set.left_out()), (1, 1), "{key}");
}

#[test]
fn each_kind_of_key_verifies_what_its_private_half_signed() {
    let p256 = p256_pkcs8();
    let ed25519 = ed25519_pkcs8();
    for (key, algorithm, private) in [
        (rsa(), Algorithm::RS256, Secret::new(RSA_PKCS8_PEM)),
        (with(rsa(), "alg", "PS256"), Algorithm::PS256, Secret::new(RSA_PKCS8_PEM)),
        (ec(&p256), Algorithm::ES256, pem("PRIVATE KEY", &p256)),
        (okp(), Algorithm::EdDSA, pem("PRIVATE KEY", &ed25519)),
    ] {
        let token =
            SigningKey::from_pem("k", algorithm, &private).unwrap().sign(&json!({})).unwrap();
        let (input, signature) = token.rsplit_once('.').unwrap();
        let set = set(&[key]);
        let [key] = set.keys() else { panic!("{algorithm}: {set:?}") };
        let signature = crate::specimen::decoded(signature);
        assert!(key.verifies(input.as_bytes(), &signature), "{algorithm}");
        assert!(!key.verifies(b"another text", &signature), "{algorithm}");
    }
}

#[test]
fn a_key_is_for_one_algorithm_and_rs256_is_that_of_an_rsa_key_that_names_none() {
    is_for(rsa(), Algorithm::RS256);
    is_for(with(rsa(), "alg", "RS256"), Algorithm::RS256);
    is_for(with(rsa(), "alg", "PS256"), Algorithm::PS256);
    is_for(with(okp(), "alg", "EdDSA"), Algorithm::EdDSA);
    is_for(with(rsa(), "use", "sig"), Algorithm::RS256);
    is_for(with(rsa(), "key_ops", json!(["verify"])), Algorithm::RS256);
    is_for(with(rsa(), "x5c", json!(["MIIC"])), Algorithm::RS256);
}

#[test]
fn keys_of_other_kinds_uses_and_sizes_are_left_out_and_the_rest_stays() {
    is_left_out(json!({}));
    is_left_out(json!({ "kty": "oct", "kid": "h", "k": b64([7; 32]) }));
    is_left_out(with(rsa(), "kty", "oct"));
    is_left_out(with(rsa(), "alg", "RS512"));
    is_left_out(with(rsa(), "alg", "HS256"));
    is_left_out(with(rsa(), "alg", "none"));
    is_left_out(with(rsa(), "alg", 7));
    is_left_out(with(rsa(), "alg", Value::Null));
    is_left_out(with(rsa(), "use", "enc"));
    is_left_out(with(rsa(), "key_ops", json!(["encrypt"])));
    is_left_out(with(rsa(), "kid", 7));
    is_left_out(with(rsa(), "n", format!("{}=", b64(modulus()))));
    is_left_out(with(okp(), "crv", "Ed448"));
    is_left_out(with(okp(), "alg", "RS256"));
    is_left_out(with(okp(), "x", b64([7; 31])));
    is_left_out(with(ec(&p256_pkcs8()), "crv", "P-384"));
    is_left_out(with(ec(&p256_pkcs8()), "crv", "secp256k1"));
    is_left_out(with(ec(&p256_pkcs8()), "y", b64([7; 33])));
}

#[test]
fn a_key_whose_private_half_was_published_too_is_left_out() {
    is_left_out(with(rsa(), "d", b64([7; 256])));
    is_left_out(with(okp(), "d", b64([7; 32])));
    is_left_out(with(okp(), "d", Value::Null));
}

#[test]
fn rsa_keys_of_2048_to_8192_bits_are_taken_and_no_others() {
    let of_bytes = |bytes: usize| with(rsa(), "n", b64([vec![0xff; bytes - 1], vec![1]].concat()));
    is_for(of_bytes(256), Algorithm::RS256);
    is_for(of_bytes(1024), Algorithm::RS256);
    is_left_out(of_bytes(255));
    is_left_out(of_bytes(1025));
    let bits_2047 = [vec![0x7f], vec![0xff; 255]].concat();
    is_left_out(with(rsa(), "n", b64(bits_2047)));
    is_for(with(rsa(), "n", b64([vec![0], modulus()].concat())), Algorithm::RS256);
    is_left_out(with(rsa(), "n", b64([0; 256])));
    for (exponent, taken) in
        [(&[3][..], true), (&[0xff; 4], true), (&[0xff; 5], false), (&[1], false), (&[2], false)]
    {
        let key = with(rsa(), "e", b64(exponent));
        if taken { is_for(key, Algorithm::RS256) } else { is_left_out(key) }
    }
    is_left_out(with(rsa(), "e", ""));
}

#[test]
fn a_kid_of_255_bytes_is_the_longest() {
    is_for(with(okp(), "kid", "k".repeat(FOREIGN_KID_BYTES_MAX)), Algorithm::EdDSA);
    is_left_out(with(okp(), "kid", "k".repeat(FOREIGN_KID_BYTES_MAX + 1)));
    is_left_out(with(okp(), "kid", "a\nb"));
    let set = set(&[rsa(), okp()]);
    assert!(set.has("r") && set.has("o") && !set.has("x"));
}

#[test]
fn what_is_no_set_is_an_error_and_an_empty_set_is_none() {
    let parse = |text: &str| JwkSet::parse(text.as_bytes()).map(|set| set.keys().len());
    assert_eq!(parse(r#"{"keys":[]}"#), Ok(0));
    for text in [
        "",
        "null",
        "[]",
        "{}",
        "<html></html>",
        r#"{"keys":{}}"#,
        r#"{"keys":[1]}"#,
        r#"{"keys":null}"#,
        r#"{"keys":[],"keys":[]}"#,
        r#"[[]]"#,
    ] {
        assert_eq!(parse(text), Err(JwksError::Shape), "{text}");
    }
}

#[test]
fn a_set_of_64_keys_and_256_kib_is_the_largest() {
    let keys = |count: usize| json!({ "keys": vec![okp(); count] }).to_string();
    let parse = |text: String| JwkSet::parse(text.as_bytes()).map(|set| set.keys().len());
    assert_eq!(parse(keys(JWKS_KEYS_MAX)), Ok(JWKS_KEYS_MAX));
    assert_eq!(parse(keys(JWKS_KEYS_MAX + 1)), Err(JwksError::Count(JWKS_KEYS_MAX + 1)));
    let padded = |bytes: usize| keys(1) + &" ".repeat(bytes - keys(1).len());
    assert_eq!(parse(padded(JWKS_BYTES_MAX)), Ok(1));
    assert_eq!(parse(padded(JWKS_BYTES_MAX + 1)), Err(JwksError::Size(JWKS_BYTES_MAX + 1)));
}

proptest::proptest! {
    #[test]
    fn parsing_any_text_never_panics(text in ".*", n in proptest::collection::vec(0u8.., 0..300)) {
        let _ = JwkSet::parse(text.as_bytes());
        let _ = set(&[with(rsa(), "n", b64(&n)), with(rsa(), "e", b64(&n)), with(okp(), "x", b64(&n))]);
    }
}
