//! Public keys as JSON, and what they are good for at whoever reads them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::RSA_PKCS1_2048_8192_SHA256;
use ring::signature::RsaPublicKeyComponents;

use crate::keys::Algorithm;
use crate::keys::Key;
use crate::keys::KeyRing;
use crate::keys::SigningKey;
use crate::keys::jwk_set;
use crate::keys::new_private_key;
use crate::specimen::hs256;
use crate::specimen::ring_of;
use crate::specimen::signing_key;

fn bytes(jwk: &serde_json::Value, member: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(jwk[member].as_str().unwrap()).unwrap()
}

#[test]
fn a_secret_is_never_published() {
    let es256 = Key::Signing(Box::new(signing_key("k1", Algorithm::ES256)));
    let ring = KeyRing::new(vec![es256, hs256("k2", "short"), hs256("k3", "hunter2")]).unwrap();
    let set = jwk_set(ring.verifying());
    assert_eq!(set["keys"].as_array().unwrap().len(), 1);
    assert_eq!(set["keys"][0]["kid"], "k1");
    assert_eq!(jwk_set(ring_of(Algorithm::HS256).verifying()).to_string(), r#"{"keys":[]}"#);
}

#[test]
fn a_public_key_has_the_members_of_its_kind_and_no_private_one() {
    for (algorithm, members) in [
        (Algorithm::RS256, "alg e kid kty n use"),
        (Algorithm::PS256, "alg e kid kty n use"),
        (Algorithm::ES256, "alg crv kid kty use x y"),
        (Algorithm::EdDSA, "alg crv kid kty use x"),
    ] {
        let set = jwk_set(ring_of(algorithm).verifying());
        let jwk = &set["keys"][0];
        let mut names: Vec<&str> = jwk.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names.join(" "), members);
        assert_eq!(jwk["alg"], algorithm.as_str());
        assert_eq!((&jwk["kid"], &jwk["use"]), (&"k1".into(), &"sig".into()));
    }
}

#[test]
fn whoever_reads_the_numbers_of_an_rsa_key_verifies_with_them() {
    let ring = ring_of(Algorithm::RS256);
    let set = jwk_set(ring.verifying());
    let (n, e) = (bytes(&set["keys"][0], "n"), bytes(&set["keys"][0], "e"));
    assert_eq!((n.len(), n[0] > 0, &*e), (256, true, &[1, 0, 1][..]));
    let token = ring.signing().sign(&"claims").unwrap();
    let (input, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    RsaPublicKeyComponents { n, e }
        .verify(&RSA_PKCS1_2048_8192_SHA256, input.as_bytes(), &signature)
        .unwrap();
}

#[test]
fn the_halves_of_a_point_are_32_bytes_each() {
    let set = jwk_set(ring_of(Algorithm::ES256).verifying());
    let jwk = &set["keys"][0];
    assert_eq!((bytes(jwk, "x").len(), bytes(jwk, "y").len()), (32, 32));
    assert_eq!((&jwk["kty"], &jwk["crv"]), (&"EC".into(), &"P-256".into()));
    let set = jwk_set(ring_of(Algorithm::EdDSA).verifying());
    assert_eq!(bytes(&set["keys"][0], "x").len(), 32);
    assert_eq!(set["keys"][0]["crv"], "Ed25519");
}

#[test]
fn a_key_that_is_made_signs_what_it_verifies_and_no_two_are_alike() {
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA] {
        let make = || new_private_key(algorithm).unwrap();
        let (one, two) = (make(), make());
        assert!(one != two);
        assert!(one.expose().lines().all(|line| line.len() <= 64));
        let one = SigningKey::from_pem("k1", algorithm, &one).unwrap();
        let two = SigningKey::from_pem("k1", algorithm, &two).unwrap();
        let token = one.sign(&"claims").unwrap();
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(one.verifying().verifies(input.as_bytes(), &signature));
        assert!(!two.verifying().verifies(input.as_bytes(), &signature));
    }
}

#[test]
fn no_secret_and_no_rsa_key_is_made_here() {
    for algorithm in [Algorithm::HS256, Algorithm::RS256, Algorithm::PS256] {
        let error = new_private_key(algorithm).unwrap_err().to_string();
        assert_eq!(error, format!("{algorithm} keys are not made here; use ES256 or EdDSA"));
    }
}
