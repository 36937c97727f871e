//! Tokens of other issuers.

use std::sync::Arc;

use serde_json::Value;
use serde_json::json;

use crate::keys::Algorithm;
use crate::keys::VerifyingKey;
use crate::specimen::NOW;
use crate::specimen::NOW_S;
use crate::specimen::profile;
use crate::specimen::signing_key;
use crate::token::ForeignProfile;
use crate::token::ForeignRefusal;
use crate::token::TokenError;
use crate::token::TokenKey;
use crate::token::VerifiedToken;
use crate::token::issuer_of;
use crate::token::verify_foreign;

const THEIRS: &str = "https://login.example/";

fn theirs() -> ForeignProfile {
    ForeignProfile { issuer: Arc::from(THEIRS), audiences: Box::new([Arc::from("orders")]) }
}

fn good() -> Value {
    json!({
        "iss": THEIRS, "sub": "s-7", "aud": ["orders", "other"], "exp": NOW_S + 600,
        "iat": NOW_S, "jti": "j1", "scope": "orders:read orders:write",
    })
}

fn with(member: &str, value: Value) -> Value {
    let mut claims = good();
    claims[member] = value;
    claims
}

fn without(member: &str) -> Value {
    let mut claims = good();
    claims.as_object_mut().unwrap().remove(member);
    claims
}

/// Signs `claims` with their key `kid`, and reads them where `known` keys are known.
fn read_with(kid: &str, claims: &Value, known: &[&str]) -> Result<VerifiedToken, ForeignRefusal> {
    let signing = signing_key(kid, Algorithm::EdDSA);
    let keys: Vec<VerifyingKey> = known
        .iter()
        .map(|known| signing_key(known, Algorithm::EdDSA).verifying().clone())
        .collect();
    let token = signing.sign(claims).unwrap();
    verify_foreign(&token, &keys, &theirs(), &profile(), NOW)
}

fn read(claims: &Value) -> Result<VerifiedToken, ForeignRefusal> {
    read_with("k1", claims, &["k1"])
}

#[track_caller]
fn refused(claims: &Value, why: TokenError) {
    assert_eq!(read(claims).map(|_| ()), Err(ForeignRefusal::Token(why)), "{claims}");
    // Nor does it have anybody look for keys.
    let unknown = read_with("k2", claims, &["k1"]).map(|_| ());
    assert_eq!(unknown, Err(ForeignRefusal::Token(why)), "{claims}");
}

#[test]
fn its_bearer_is_known_by_issuer_and_subject_together() {
    let token = read(&good()).unwrap();
    let claims = token.claims();
    assert_eq!(&*claims.user_id, "https://login.example/#s-7");
    assert_eq!(&*claims.username, "s-7");
    assert_eq!(claims.tier, None);
    assert_eq!(claims.scopes, ["orders:read", "orders:write"].map(Arc::from));
    assert_eq!((&claims.session, claims.epoch), (&None, None));
    assert_eq!(token.user_key(), TokenKey::of_user("https://login.example/#s-7"));
    assert_ne!(token.user_key(), TokenKey::of_user("s-7"));
    assert_eq!(token.key(), TokenKey::of_id(THEIRS, "j1"));
    assert_eq!(token.session_key(), None);
    // Our own key of that id may be distrusted for reasons of its own.
    assert_eq!(&**token.kid(), "https://login.example/ k1");
}

#[test]
fn what_else_it_says_is_taken_where_it_is_said() {
    let token = read(&with("preferred_username", json!("ann"))).unwrap();
    assert_eq!(&*token.claims().username, "ann");
    let token = read(&with("tier", json!("premium"))).unwrap();
    assert_eq!(token.claims().tier.as_deref(), Some("premium"));
    // A session of theirs is none of ours.
    let token = read(&with("sid", json!("s1"))).unwrap();
    assert_eq!(token.session_key(), None);
    let mut scp = without("scope");
    scp["scp"] = json!(["a", "b"]);
    assert_eq!(read(&scp).unwrap().claims().scopes, ["a", "b"].map(Arc::from));
    let anonymous = read(&without("jti")).unwrap();
    assert_ne!(anonymous.key(), TokenKey::of_id(THEIRS, "j1"));
    for kind in ["access", "Access"] {
        assert!(read(&with("type", json!(kind))).is_ok());
    }
    assert!(read(&with("typ", json!("Bearer"))).is_ok());
}

#[test]
fn issuer_audience_times_and_type_are_checked() {
    refused(&with("iss", json!("https://login.example")), TokenError::Issuer);
    refused(&with("aud", json!("another")), TokenError::Audience);
    refused(&with("aud", json!([])), TokenError::Audience);
    refused(&with("exp", json!(NOW_S)), TokenError::Expired);
    refused(&with("nbf", json!(NOW_S + 1)), TokenError::NotYet);
    refused(&with("exp", json!(NOW_S + 3601)), TokenError::Lifetime);
    refused(&with("type", json!("refresh")), TokenError::WrongType);
    for kind in ["ID", "Refresh", "Offline", "Logout"] {
        refused(&with("typ", json!(kind)), TokenError::WrongType);
    }
}

#[test]
fn a_claim_that_is_missing_or_of_the_wrong_type_is_refused() {
    for member in ["iss", "sub", "aud", "exp"] {
        refused(&without(member), TokenError::Claims);
        refused(&with(member, Value::Null), TokenError::Claims);
    }
    for (member, value) in [
        ("sub", json!(7)),
        ("sub", json!("")),
        ("sub", json!("a\nb")),
        ("sub", json!("s".repeat(256))),
        ("exp", json!("1800000600")),
        ("exp", json!(1_800_000_600.5)),
        ("exp", json!(-1)),
        ("nbf", json!("0")),
        ("iat", Value::Null),
        ("jti", json!(1)),
        ("tier", json!(1)),
        ("scope", json!("a\"b")),
        ("scope", json!([1])),
        ("scope", json!(vec!["s"; 65])),
    ] {
        refused(&with(member, value), TokenError::Claims);
    }
}

#[test]
fn only_a_key_that_is_not_known_has_anybody_look_for_keys() {
    let outcome = |kid, known: &[&str]| read_with(kid, &good(), known).map(|_| ());
    assert_eq!(outcome("k2", &["k1"]), Err(ForeignRefusal::UnknownKid));
    assert_eq!(outcome("k1", &[]), Err(ForeignRefusal::UnknownKid));
    assert_eq!(outcome("k1", &["k1", "k2"]), Ok(()));
}

#[test]
fn a_forged_signature_or_another_algorithm_under_a_known_key_is_no_reason_to_look_for_keys() {
    let known = [signing_key("k1", Algorithm::ES256).verifying().clone()];
    let outcome = |token: &str| {
        verify_foreign(token, &known, &theirs(), &profile(), NOW).map(|_| ()).unwrap_err()
    };
    // Each call makes a key of its own under that id.
    let forged = signing_key("k1", Algorithm::ES256).sign(&good()).unwrap();
    assert_eq!(outcome(&forged), ForeignRefusal::Token(TokenError::Signature));
    let other = signing_key("k1", Algorithm::EdDSA).sign(&good()).unwrap();
    assert_eq!(outcome(&other), ForeignRefusal::Token(TokenError::UnknownKey));
    assert_eq!(outcome("a.b.c"), ForeignRefusal::Token(TokenError::Shape));
}

#[test]
fn a_token_says_whose_it_is_before_anybody_vouches_for_it() {
    let token = signing_key("k1", Algorithm::EdDSA).sign(&good()).unwrap();
    assert_eq!(issuer_of(&token).as_deref(), Some(THEIRS));
    let nobodys = signing_key("k1", Algorithm::EdDSA).sign(&without("iss")).unwrap();
    assert_eq!(issuer_of(&nobodys), None);
    assert_eq!(issuer_of("a.b.c"), None);
}
