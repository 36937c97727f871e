//! Tokens that somebody without the key made of good ones.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::KeyPair;

use super::support::payload;
use crate::keys::Algorithm;
use crate::keys::Key;
use crate::keys::KeyRing;
use crate::specimen::NOW;
use crate::specimen::RSA_PKCS8_PEM;
use crate::specimen::RSA_SPKI_HEAD;
use crate::specimen::SECRET;
use crate::specimen::claims;
use crate::specimen::hs256;
use crate::specimen::pem;
use crate::specimen::profile;
use crate::specimen::ring_of;
use crate::specimen::rsa_pkcs1;
use crate::specimen::signed_hs256;
use crate::specimen::signing_input;
use crate::specimen::signing_key;
use crate::token::TokenError;
use crate::token::verify;

fn outcome(token: &str, keys: &KeyRing) -> Result<(), TokenError> {
    verify(token, keys, &profile(), NOW).map(|_| ())
}

fn check_that_no_flipped_bit_passes(algorithm: Algorithm) {
    let keys = ring_of(algorithm);
    let token = keys.signing().sign(&claims()).unwrap();
    assert_eq!(outcome(&token, &keys), Ok(()));
    let mut checked = 0;
    for at in 0..token.len() {
        for bit in 0..8 {
            let mut bytes = token.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            // Bytes that are no text end at the door, as no text.
            if let Ok(flipped) = String::from_utf8(bytes) {
                assert!(outcome(&flipped, &keys).is_err(), "{flipped}");
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 7 * token.len());
}

#[test]
fn no_flipped_bit_of_an_hs256_token_passes() {
    check_that_no_flipped_bit_passes(Algorithm::HS256);
}

#[test]
fn no_flipped_bit_of_an_es256_token_passes() {
    check_that_no_flipped_bit_passes(Algorithm::ES256);
}

#[test]
fn no_truncated_token_passes() {
    for algorithm in Algorithm::ALL {
        let keys = ring_of(algorithm);
        let token = keys.signing().sign(&claims()).unwrap();
        for at in 0..token.len() {
            assert!(outcome(&token[..at], &keys).is_err(), "{algorithm}: {}", &token[..at]);
        }
        for at in 1..=token.len() {
            assert!(outcome(&token[at..], &keys).is_err(), "{algorithm}: {}", &token[at..]);
        }
    }
}

#[test]
fn a_token_of_one_algorithm_does_not_pass_as_one_of_another() {
    for own in Algorithm::ALL {
        let keys = ring_of(own);
        let token = keys.signing().sign(&claims()).unwrap();
        let (_, rest) = token.split_once('.').unwrap();
        for name in Algorithm::ALL.map(Algorithm::as_str).into_iter().chain(["none", "HS512"]) {
            let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{name}","kid":"k1"}}"#));
            let refusal = outcome(&format!("{header}.{rest}"), &keys);
            let expected =
                if name == own.as_str() { TokenError::Signature } else { TokenError::UnknownKey };
            assert_eq!(refusal, Err(expected), "{own} as {name}");
        }
    }
}

#[test]
fn a_token_without_a_signature_does_not_pass() {
    for algorithm in Algorithm::ALL {
        let keys = ring_of(algorithm);
        for name in ["none", algorithm.as_str()] {
            let input = signing_input(&format!(r#"{{"alg":"{name}"}}"#), &payload(&[]));
            assert!(outcome(&format!("{input}."), &keys).is_err(), "{algorithm} as {name}");
            let zeros = URL_SAFE_NO_PAD.encode([0; 64]);
            assert!(outcome(&format!("{input}.{zeros}"), &keys).is_err(), "{algorithm}: zeros");
        }
    }
}

#[test]
fn a_signature_of_zeros_is_no_es256_signature() {
    // "Psychic signatures", CVE-2022-21449.
    let keys = ring_of(Algorithm::ES256);
    let input = signing_input(r#"{"alg":"ES256","kid":"k1"}"#, &payload(&[]));
    for bytes in [0, 63, 64, 65] {
        let signature = URL_SAFE_NO_PAD.encode(vec![0; bytes]);
        let refusal = outcome(&format!("{input}.{signature}"), &keys);
        assert_eq!(refusal, Err(TokenError::Signature), "{bytes} bytes");
    }
}

#[test]
fn an_rsa_public_key_is_no_hmac_secret() {
    let pair = ring::rsa::KeyPair::from_der(&rsa_pkcs1()).unwrap();
    let public = pair.public_key().as_ref().to_vec();
    let pkcs1_pem = pem("RSA PUBLIC KEY", &public);
    let spki = [RSA_SPKI_HEAD, &public].concat();
    let spki_pem = pem("PUBLIC KEY", &spki);
    let rsa = || Key::Signing(Box::new(signing_key("k1", Algorithm::RS256)));
    let alone = KeyRing::new(vec![rsa()]).unwrap();
    let beside_hmac = KeyRing::new(vec![rsa(), hs256("k2", SECRET)]).unwrap();
    for secret in [
        &public[..],
        &spki,
        pkcs1_pem.expose().as_bytes(),
        pkcs1_pem.expose().trim_end().as_bytes(),
        spki_pem.expose().as_bytes(),
        spki_pem.expose().trim_end().as_bytes(),
        RSA_PKCS8_PEM.as_bytes(),
        b"",
    ] {
        for header in [
            r#"{"alg":"HS256","kid":"k1"}"#,
            r#"{"alg":"RS256","kid":"k1"}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"HS256","kid":"k2"}"#,
        ] {
            let token = signed_hs256(&signing_input(header, &payload(&[])), secret);
            assert!(outcome(&token, &alone).is_err(), "{header}");
            assert!(outcome(&token, &beside_hmac).is_err(), "{header}");
        }
    }
}

#[test]
fn a_token_of_another_key_does_not_pass() {
    for algorithm in [Algorithm::HS256, Algorithm::ES256] {
        let theirs = match algorithm {
            Algorithm::HS256 => signed_hs256(
                &signing_input(r#"{"alg":"HS256","kid":"k1"}"#, &payload(&[])),
                b"another secret of thirty-two byte",
            ),
            _ => ring_of(algorithm).signing().sign(&claims()).unwrap(),
        };
        let refusal = outcome(&theirs, &ring_of(algorithm));
        assert_eq!(refusal, Err(TokenError::Signature), "{algorithm}");
    }
}

#[test]
fn a_signature_is_of_one_header_and_one_payload() {
    let keys = ring_of(Algorithm::HS256);
    let one = keys.signing().sign(&claims()).unwrap();
    let mut changed = claims();
    changed.user_id = "u2".to_owned();
    changed.sub.clone_from(&changed.user_id);
    let other = keys.signing().sign(&changed).unwrap();
    let one: Vec<&str> = one.split('.').collect();
    let other: Vec<&str> = other.split('.').collect();
    let mixed = format!("{}.{}.{}", one[0], other[1], one[2]);
    assert_eq!(outcome(&mixed, &keys), Err(TokenError::Signature));
}
