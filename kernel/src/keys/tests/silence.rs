//! Nothing that is printed of a key or of its errors holds material (CVE-2022-29266).

use crate::keys::Algorithm;
use crate::keys::Key;
use crate::keys::KeyError;
use crate::keys::KeyRing;
use crate::keys::SigningKey;
use crate::keys::VerifyingKey;
use crate::secret::Secret;
use crate::specimen::hs256;
use crate::specimen::pem;
use crate::specimen::ring_of;
use crate::specimen::signing_key;

/// Stands in for material wherever a text can be chosen.
const MARK: &str = "hunter2";

#[test]
fn a_key_is_printed_as_its_id_and_algorithm_alone() {
    for algorithm in Algorithm::ALL {
        let key = signing_key("k1", algorithm);
        assert_eq!(format!("{key:?}"), format!("SigningKey(k1, {algorithm})"));
        let ring = ring_of(algorithm);
        let verifying = &ring.verifying()[0];
        assert_eq!(format!("{verifying:?}"), format!("VerifyingKey(k1, {algorithm})"));
        assert_eq!(
            format!("{ring:?}"),
            format!(
                "KeyRing {{ signing: SigningKey(k1, {algorithm}), \
                 verifying: [VerifyingKey(k1, {algorithm})] }}"
            )
        );
    }
    assert_eq!(format!("{:?}", hs256("k1", MARK)), "Verifying(VerifyingKey(k1, HS256))");
    let signing = Key::Signing(Box::new(signing_key("k1", Algorithm::HS256)));
    assert_eq!(format!("{signing:?}"), "Signing(SigningKey(k1, HS256))");
}

#[test]
fn no_error_text_holds_what_was_taken_for_a_key() {
    let mut errors: Vec<KeyError> = Vec::new();
    let marked = [
        Secret::new(MARK),
        Secret::new(format!("-----BEGIN {MARK}-----\n{MARK}\n-----END {MARK}-----")),
        Secret::new(format!("-----BEGIN PRIVATE KEY-----\n{MARK}\n-----END PRIVATE KEY-----")),
        pem("PRIVATE KEY", MARK.as_bytes()),
        pem("PUBLIC KEY", MARK.as_bytes()),
        pem(MARK, MARK.as_bytes()),
    ];
    for algorithm in Algorithm::ALL {
        for text in &marked {
            errors.extend(SigningKey::from_pem("k1", algorithm, text).err());
            errors.extend(VerifyingKey::from_pem("k1", algorithm, text).err());
        }
    }
    errors.extend(SigningKey::hs256("k1", &Secret::new(MARK)).err());
    errors.extend(KeyRing::new(vec![hs256("k1", MARK)]).err());
    errors.extend(KeyRing::new(vec![hs256("k1", MARK), hs256("k1", MARK)]).err());
    assert!(errors.len() > 4 * marked.len(), "{}", errors.len());
    for error in errors {
        let text = format!("{error} {error:?}");
        assert!(!text.contains(MARK), "{text}");
        assert!(!text.contains("aHVudGVyMg"), "{text}");
    }
}

#[test]
fn each_error_says_which_key_and_what_would_be_right() {
    let bad = Secret::new("bad");
    let private = SigningKey::from_pem("k1", Algorithm::ES256, &bad).unwrap_err();
    assert_eq!(private.to_string(), "key `k1` is no ES256 key: expected a private key in PEM");
    let public = VerifyingKey::from_pem("k1", Algorithm::EdDSA, &bad).unwrap_err();
    assert_eq!(public.to_string(), "key `k1` is no EdDSA key: expected a public key in PEM");
    let private = crate::specimen::private(Algorithm::RS256);
    let swapped = VerifyingKey::from_pem("k1", Algorithm::RS256, &private).unwrap_err();
    assert_eq!(
        swapped.to_string(),
        "key `k1` is no RS256 key: expected a public key: RSA of 2048 to 8192 bits, P-256 or \
         Ed25519"
    );
}
