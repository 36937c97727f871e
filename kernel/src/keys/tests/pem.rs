//! Keys in PEM: the halves, the kinds and the sizes.

use ring::rand::SystemRandom;
use ring::signature::ECDSA_P384_SHA384_FIXED_SIGNING;
use ring::signature::EcdsaKeyPair;
use ring::signature::Ed25519KeyPair;
use ring::signature::KeyPair;

use crate::keys::Algorithm;
use crate::keys::KeyError;
use crate::keys::SigningKey;
use crate::keys::VerifyingKey;
use crate::secret::Secret;
use crate::specimen::RSA_PKCS8_PEM;
use crate::specimen::RSA_SPKI_HEAD;
use crate::specimen::decoded;
use crate::specimen::ed25519_pkcs8;
use crate::specimen::p256_pkcs8;
use crate::specimen::pem;
use crate::specimen::private;
use crate::specimen::rsa_pkcs1;

const ASYMMETRIC: [Algorithm; 4] =
    [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];

/// As [`RSA_SPKI_HEAD`].
const P256_HEAD: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\
    \x48\xce\x3d\x03\x01\x07\x03\x42\x00";
const P384_HEAD: &[u8] = b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\
    \x04\x00\x22\x03\x62\x00";
const ED25519_HEAD: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

fn spki(head: &[u8], key: &[u8]) -> Secret {
    pem("PUBLIC KEY", &[head, key].concat())
}

fn rsa_public() -> Vec<u8> {
    ring::rsa::KeyPair::from_der(&rsa_pkcs1()).unwrap().public_key().as_ref().to_vec()
}

/// Both halves of a fresh key, in PEM.
fn halves(algorithm: Algorithm) -> (Secret, Secret) {
    match algorithm {
        Algorithm::HS256 => (private(algorithm), private(algorithm)),
        Algorithm::RS256 | Algorithm::PS256 => {
            (private(algorithm), spki(RSA_SPKI_HEAD, &rsa_public()))
        }
        Algorithm::ES256 => {
            let pkcs8 = p256_pkcs8();
            let pair = crate::signer::ecdsa(&pkcs8).unwrap();
            (pem("PRIVATE KEY", &pkcs8), spki(P256_HEAD, pair.public_key().as_ref()))
        }
        Algorithm::EdDSA => {
            let pkcs8 = ed25519_pkcs8();
            let pair = crate::signer::ed25519(&pkcs8).unwrap();
            (pem("PRIVATE KEY", &pkcs8), spki(ED25519_HEAD, pair.public_key().as_ref()))
        }
    }
}

fn check_refused(kind: &str, outcome: Result<(), KeyError>) {
    assert!(matches!(outcome, Err(KeyError::Malformed { .. })), "{kind}: {outcome:?}");
}

#[test]
fn the_public_half_verifies_what_the_private_half_signed() {
    for algorithm in Algorithm::ALL {
        let (private, public) = halves(algorithm);
        let signing = SigningKey::from_pem("k1", algorithm, &private).unwrap();
        let verifying = VerifyingKey::from_pem("k1", algorithm, &public).unwrap();
        assert_eq!((signing.algorithm(), verifying.algorithm()), (algorithm, algorithm));
        let token = signing.sign(&"claims").unwrap();
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature = decoded(signature);
        assert!(verifying.verifies(input.as_bytes(), &signature), "{algorithm}");
        assert!(!verifying.verifies(b"another message", &signature), "{algorithm}");
        assert!(!verifying.verifies(input.as_bytes(), &[]), "{algorithm}");
    }
}

#[test]
fn other_wrappings_of_the_same_keys_are_read() {
    let read = |algorithm, private: &Secret| SigningKey::from_pem("k1", algorithm, private).is_ok();
    let pkcs1 = pem("RSA PRIVATE KEY", &rsa_pkcs1());
    assert!(read(Algorithm::RS256, &pkcs1) && read(Algorithm::PS256, &pkcs1));
    // With the public half, as RFC 5958 has it.
    let ed25519 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    assert!(read(Algorithm::EdDSA, &pem("PRIVATE KEY", ed25519.as_ref())));
    let blanks = Secret::new(format!("\n# a comment\n{RSA_PKCS8_PEM}\n\n"));
    assert!(read(Algorithm::RS256, &blanks));
    let public = pem("RSA PUBLIC KEY", &rsa_public());
    assert!(VerifyingKey::from_pem("k1", Algorithm::RS256, &public).is_ok());
}

#[test]
fn a_text_that_is_no_key_is_refused() {
    let half = &RSA_PKCS8_PEM[..RSA_PKCS8_PEM.len() / 2];
    let empty = pem("PRIVATE KEY", &[]);
    let null = pem("PRIVATE KEY", &[5, 0]);
    let swapped = RSA_PKCS8_PEM.replace("PRIVATE", "OPENSSH PRIVATE");
    for text in ["", "x", half, &RSA_PKCS8_PEM[1..], empty.expose(), null.expose(), &swapped] {
        for algorithm in ASYMMETRIC {
            let text = Secret::new(text);
            let kind = format!("{algorithm}: {}", text.expose());
            check_refused(&kind, SigningKey::from_pem("k1", algorithm, &text).map(|_| ()));
            check_refused(&kind, VerifyingKey::from_pem("k1", algorithm, &text).map(|_| ()));
        }
    }
}

#[test]
fn a_key_of_another_algorithm_is_refused() {
    let is_rsa = |algorithm| matches!(algorithm, Algorithm::RS256 | Algorithm::PS256);
    for own in ASYMMETRIC {
        let (private, public) = halves(own);
        for other in ASYMMETRIC {
            if own == other || (is_rsa(own) && is_rsa(other)) {
                continue;
            }
            let kind = format!("{own} as {other}");
            check_refused(&kind, SigningKey::from_pem("k1", other, &private).map(|_| ()));
            check_refused(&kind, VerifyingKey::from_pem("k1", other, &public).map(|_| ()));
        }
    }
}

#[test]
fn the_other_half_of_a_key_is_refused_not_found_useless_later() {
    for algorithm in ASYMMETRIC {
        let (private, public) = halves(algorithm);
        let kind = format!("{algorithm}, the other half");
        check_refused(&kind, SigningKey::from_pem("k1", algorithm, &public).map(|_| ()));
        check_refused(&kind, VerifyingKey::from_pem("k1", algorithm, &private).map(|_| ()));
    }
    let pkcs1 = pem("RSA PRIVATE KEY", &rsa_pkcs1());
    check_refused("PKCS#1", VerifyingKey::from_pem("k1", Algorithm::RS256, &pkcs1).map(|_| ()));
}

#[test]
fn a_key_on_another_curve_is_refused() {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, pkcs8.as_ref(), &random)
        .unwrap();
    let private = pem("PRIVATE KEY", pkcs8.as_ref());
    let public = spki(P384_HEAD, pair.public_key().as_ref());
    check_refused("P-384", SigningKey::from_pem("k1", Algorithm::ES256, &private).map(|_| ()));
    check_refused("P-384", VerifyingKey::from_pem("k1", Algorithm::ES256, &public).map(|_| ()));
}

#[test]
fn an_rsa_key_of_2048_bits_is_the_smallest_and_one_of_8192_the_largest() {
    // RSAPublicKey (RFC 8017 §A.1.1) of a modulus with its highest bit set, and e = 65537.
    let of_bits = |bits: usize| {
        let number = [&[0][..], &vec![0xff; bits / 8]].concat();
        let integer = |content: &[u8]| {
            let len = (content.len() as u16).to_be_bytes();
            [&[0x02, 0x82, len[0], len[1]], content].concat()
        };
        let body = [integer(&number), vec![0x02, 0x03, 0x01, 0x00, 0x01]].concat();
        let len = (body.len() as u16).to_be_bytes();
        pem("RSA PUBLIC KEY", &[&[0x30, 0x82, len[0], len[1]], &body[..]].concat())
    };
    for algorithm in [Algorithm::RS256, Algorithm::PS256] {
        let outcome = |bits| VerifyingKey::from_pem("k1", algorithm, &of_bits(bits)).map(|_| ());
        for bits in [2048, 3072, 4096, 8192] {
            assert!(outcome(bits).is_ok(), "{algorithm}: {bits}");
        }
        for bits in [512, 1024, 2040, 8200, 16384] {
            check_refused(&format!("{algorithm}: {bits}"), outcome(bits));
        }
    }
}
