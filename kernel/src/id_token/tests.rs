use serde_json::Value;
use serde_json::json;

use super::*;
use crate::keys::Algorithm;
use crate::specimen::NOW;
use crate::specimen::NOW_S;
use crate::specimen::signed_hs256;
use crate::specimen::signing_input;
use crate::specimen::signing_key;

const ISSUER: &str = "https://accounts.example.com";
const CLIENT: &str = "doorward";
const NONCE: &str = "n-0S6_WzA2Mj";

fn keys() -> JwkSet {
    use base64::Engine;
    use ring::signature::KeyPair;
    let pair = crate::signer::ed25519(&crate::specimen::ed25519_pkcs8()).unwrap();
    let x = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(pair.public_key());
    let set = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x }] });
    JwkSet::parse(set.to_string().as_bytes()).unwrap()
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "s1", "aud": CLIENT, "exp": NOW_S + 300, "iat": NOW_S,
        "nonce": NONCE, "email": "ann@example.com", "email_verified": true, "name": "Ann",
    })
}

fn saying(changes: &[(&str, Value)]) -> Value {
    let mut claims = claims();
    for (name, value) in changes {
        claims[*name] = value.clone();
    }
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn read(token: &str) -> Result<IdClaims, IdTokenError> {
    let expected = Expected {
        issuers: &[ISSUER.to_owned()],
        client_id: CLIENT,
        nonce: NONCE,
        leeway: Duration::from_secs(10),
    };
    verify(token, &keys(), expected, NOW)
}

fn check(claims: &Value) -> Result<IdClaims, IdTokenError> {
    read(&signing_key("k1", Algorithm::EdDSA).sign(claims).unwrap())
}

#[test]
fn a_good_token_says_who_somebody_is() {
    let person = PersonClaims {
        email: Some("ann@example.com".to_owned()),
        email_verified: true,
        name: Some("Ann".to_owned()),
        preferred_username: None,
    };
    assert_eq!(check(&claims()), Ok(IdClaims { subject: "s1".to_owned(), person }));
}

#[test]
fn issuer_audience_and_nonce_must_be_those_expected() {
    use IdTokenError::*;
    for (changed, error) in [
        (saying(&[("iss", json!("https://accounts.example.com/"))]), Issuer),
        (saying(&[("iss", json!(["https://accounts.example.com"]))]), Claims),
        (without("iss"), Claims),
        (saying(&[("aud", json!("another"))]), Audience),
        (saying(&[("aud", json!([]))]), Audience),
        (without("aud"), Claims),
        (saying(&[("nonce", json!("another"))]), Nonce),
        (saying(&[("nonce", json!(null))]), Claims),
        (without("nonce"), Nonce),
    ] {
        assert_eq!(check(&changed), Err(error), "{changed}");
    }
}

#[test]
fn a_token_for_several_must_have_been_handed_to_us() {
    let several = json!([CLIENT, "another"]);
    let check = |changes: &[(&str, Value)]| check(&saying(changes)).map(|claims| claims.subject);
    let good = Ok("s1".to_owned());
    assert_eq!(check(&[("aud", json!([CLIENT]))]), good);
    assert_eq!(check(&[("aud", several.clone())]), Err(IdTokenError::Audience));
    assert_eq!(check(&[("aud", several.clone()), ("azp", json!(CLIENT))]), good);
    assert_eq!(check(&[("aud", several), ("azp", json!("another"))]), Err(IdTokenError::Audience));
    assert_eq!(check(&[("azp", json!("another"))]), Err(IdTokenError::Audience));
    assert_eq!(check(&[("azp", json!(null))]), Err(IdTokenError::Claims));
}

#[test]
fn times_are_held_against_the_clock_with_the_leeway_and_not_a_second_more() {
    let check = |name: &str, at: u64| check(&saying(&[(name, json!(at))])).map(|_| ());
    assert_eq!(check("exp", NOW_S - 9), Ok(()));
    assert_eq!(check("exp", NOW_S - 10), Err(IdTokenError::Times));
    for name in ["iat", "nbf"] {
        assert_eq!(check(name, NOW_S + 10), Ok(()));
        assert_eq!(check(name, NOW_S + 11), Err(IdTokenError::Times), "{name}");
    }
}

#[test]
fn times_of_the_wrong_type_are_no_absent_times() {
    for name in ["exp", "iat", "nbf"] {
        for value in [json!(null), json!("1"), json!(-1), json!(1.5), json!(1u64 << 54)] {
            let changed = saying(&[(name, value)]);
            assert_eq!(check(&changed), Err(IdTokenError::Claims), "{changed}");
        }
    }
    for name in ["exp", "iat"] {
        assert_eq!(check(&without(name)), Err(IdTokenError::Claims), "{name}");
    }
}

#[test]
fn a_subject_of_255_bytes_is_the_longest() {
    let of = |sub: String| check(&saying(&[("sub", json!(sub))])).map(|_| ());
    assert_eq!(of("s".repeat(SUBJECT_BYTES_MAX)), Ok(()));
    for sub in ["s".repeat(SUBJECT_BYTES_MAX + 1), String::new(), "a\0b".to_owned()] {
        assert_eq!(of(sub), Err(IdTokenError::Claims));
    }
    assert_eq!(check(&saying(&[("sub", json!(7))])), Err(IdTokenError::Claims));
}

#[test]
fn an_address_is_verified_only_where_the_provider_says_so_plainly() {
    let verified = |value: Value| {
        check(&saying(&[("email_verified", value)])).map(|claims| claims.person.email_verified)
    };
    assert_eq!(verified(json!(true)), Ok(true));
    assert_eq!(verified(json!("true")), Ok(true));
    for no in [json!(false), json!("false"), json!("True"), json!("yes"), json!(null)] {
        assert_eq!(verified(no), Ok(false));
    }
    for odd in [json!(1), json!([true])] {
        assert_eq!(verified(odd), Err(IdTokenError::Claims));
    }
    assert_eq!(check(&without("email_verified")).map(|c| c.person.email_verified), Ok(false));
}

#[test]
fn a_description_that_is_too_long_is_none() {
    let name = |text: String| check(&saying(&[("name", json!(text))])).unwrap().person.name;
    let longest = "n".repeat(PROFILE_BYTES_MAX);
    assert_eq!(name(longest.clone()), Some(longest.clone()));
    assert_eq!(name(format!("{longest}n")), None);
    assert_eq!(name(String::new()), None);
}

#[test]
fn only_a_kid_that_the_set_does_not_have_is_an_unknown_key() {
    let payload = claims().to_string();
    let signed = |header: &str| signed_hs256(&signing_input(header, &payload), b"k");
    assert_eq!(read(&signed(r#"{"alg":"EdDSA","kid":"k2"}"#)), Err(IdTokenError::UnknownKey));
    for header in [
        r#"{"alg":"none","kid":"k2"}"#,
        r#"{"alg":"none"}"#,
        r#"{"alg":"HS256","kid":"k2"}"#,
        r#"{"alg":"HS256","kid":"k1"}"#,
        r#"{"alg":"RS256","kid":"k1"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"EdDSA","kid":"k1"}"#,
        r#"{"alg":"EdDSA","kid":"k1","jku":"https://evil.example"}"#,
        r#"{"alg":"EdDSA","kid":"k1","crit":["x"]}"#,
    ] {
        assert!(matches!(read(&signed(header)), Err(IdTokenError::Token(_))), "{header}");
    }
    let unsigned = signing_input(r#"{"alg":"none"}"#, &payload) + ".";
    assert!(matches!(read(&unsigned), Err(IdTokenError::Token(_))));
}

#[test]
fn a_token_of_32_kib_is_the_longest() {
    let of = |fill: usize| {
        let changed = saying(&[("groups", json!("g".repeat(fill)))]);
        signing_key("k1", Algorithm::EdDSA).sign(&changed).unwrap()
    };
    // A byte more of claims is a character or two more of token.
    let bare = of(0).len();
    let fills = (ID_TOKEN_BYTES_MAX - bare) * 3 / 4 - 8..;
    let tokens: Vec<_> = fills.take(16).map(of).collect();
    let over = tokens.iter().position(|token| token.len() > ID_TOKEN_BYTES_MAX).unwrap();
    assert!(ID_TOKEN_BYTES_MAX - tokens[over - 1].len() <= 1);
    assert!(read(&tokens[over - 1]).is_ok());
    assert_eq!(read(&tokens[over]), Err(IdTokenError::Token(TokenError::Shape)));
}

#[test]
fn userinfo_is_about_a_subject() {
    let answer = json!({ "sub": "s1", "email": "ann@example.com", "email_verified": true });
    let read = userinfo(answer.to_string().as_bytes()).unwrap();
    assert_eq!((read.subject.as_str(), read.person.email_verified), ("s1", true));
    for text in
        ["", "<html>", "[]", "{}", r#"{"sub":""}"#, r#"{"sub":1}"#, r#"{"sub":"a","sub":"b"}"#]
    {
        assert_eq!(userinfo(text.as_bytes()), None, "{text}");
    }
}
