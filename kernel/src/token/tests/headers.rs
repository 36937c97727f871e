//! What a header may not say, or may say in vain.

use super::support::payload;
use crate::keys::Algorithm;
use crate::keys::Key;
use crate::keys::KeyRing;
use crate::specimen::NOW;
use crate::specimen::SECRET;
use crate::specimen::hs256;
use crate::specimen::profile;
use crate::specimen::ring_of;
use crate::specimen::signed_hs256;
use crate::specimen::signing_input;
use crate::specimen::signing_key;
use crate::token::TokenError;
use crate::token::verify;

/// Verifies a token with this header, well signed with the secret of `k1`.
fn outcome(header: &str) -> Result<(), TokenError> {
    outcome_on(&ring_of(Algorithm::HS256), header)
}

fn outcome_on(keys: &KeyRing, header: &str) -> Result<(), TokenError> {
    let token = signed_hs256(&signing_input(header, &payload(&[])), SECRET.as_bytes());
    verify(&token, keys, &profile(), NOW).map(|_| ())
}

#[test]
fn a_member_that_would_have_us_fetch_trust_or_unpack_is_refused() {
    for name in ["crit", "jwk", "jku", "x5u", "x5c", "enc", "zip", "b64"] {
        for value in ["null", "true", "\"https://evil.example/\"", "[]", r#"["exp"]"#, "{}"] {
            let header = format!(r#"{{"alg":"HS256","kid":"k1","{name}":{value}}}"#);
            assert_eq!(outcome(&header), Err(TokenError::Header), "{header}");
        }
    }
    // The same name in JSON's other spelling.
    let spelled = r#"{"alg":"HS256","\u006aku":"https://evil.example/"}"#;
    assert_eq!(outcome(spelled), Err(TokenError::Header));
}

#[test]
fn a_member_given_twice_is_refused() {
    for header in [
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","\u0061lg":"none"}"#,
        r#"{"alg":"HS256","kid":"k1","kid":"k1"}"#,
        r#"{"alg":"HS256","typ":"JWT","typ":"JWT"}"#,
    ] {
        assert_eq!(outcome(header), Err(TokenError::Header), "{header}");
    }
}

#[test]
fn an_algorithm_that_is_missing_or_no_text_is_refused() {
    for header in [
        "{}",
        r#"{"kid":"k1"}"#,
        r#"{"alg":null}"#,
        r#"{"alg":1}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"Alg":"HS256"}"#,
    ] {
        assert_eq!(outcome(header), Err(TokenError::Header), "{header}");
    }
}

#[test]
fn an_algorithm_that_is_not_the_keys_own_finds_no_key() {
    for name in ["none", "None", "NONE", "", "hs256", "HS256 ", "HS384", "HS512", "ES384", "dir"] {
        let header = format!(r#"{{"alg":"{name}","kid":"k1"}}"#);
        assert_eq!(outcome(&header), Err(TokenError::UnknownKey), "{name}");
    }
}

#[test]
fn a_token_is_of_a_type_that_can_be_ours() {
    for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"] {
        let header = format!(r#"{{"alg":"HS256","typ":"{typ}"}}"#);
        assert_eq!(outcome(&header), Ok(()), "{typ}");
    }
    for typ in ["\"\"", "\"JWE\"", "\"JOSE\"", "\"dpop+jwt\"", "\"logout+jwt\"", "null", "1"] {
        let header = format!(r#"{{"alg":"HS256","typ":{typ}}}"#);
        assert_eq!(outcome(&header), Err(TokenError::Header), "{typ}");
    }
}

#[test]
fn members_that_we_do_not_know_are_ignored() {
    assert_eq!(outcome(r#"{"alg":"HS256","x5t":"AAAA","anything":{"a":[1]}}"#), Ok(()));
}

#[test]
fn a_key_id_is_compared_and_never_followed() {
    for kid in [
        "",
        "k2",
        "K1",
        "k1 ",
        "k1\\u0000",
        "../../../../dev/null",
        "/proc/self/environ",
        "' OR '1'='1",
        "https://evil.example/key",
        "*",
    ] {
        let header = format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#);
        assert_eq!(outcome(&header), Err(TokenError::UnknownKey), "{kid}");
    }
    for kid in ["null", "1", "true", "[\"k1\"]", "{}"] {
        let header = format!(r#"{{"alg":"HS256","kid":{kid}}}"#);
        assert_eq!(outcome(&header), Err(TokenError::Header), "{kid}");
    }
}

#[test]
fn a_key_id_and_an_algorithm_must_be_of_one_key() {
    let rsa = Key::Signing(Box::new(signing_key("rsa", Algorithm::RS256)));
    let keys = KeyRing::new(vec![rsa, hs256("k1", SECRET), hs256("k2", &SECRET[1..])]).unwrap();
    assert_eq!(outcome_on(&keys, r#"{"alg":"HS256","kid":"k1"}"#), Ok(()));
    for (header, refusal) in [
        (r#"{"alg":"HS256","kid":"rsa"}"#, TokenError::UnknownKey),
        (r#"{"alg":"RS256","kid":"k1"}"#, TokenError::UnknownKey),
        (r#"{"alg":"HS256","kid":"k2"}"#, TokenError::Signature),
        (r#"{"alg":"RS256","kid":"rsa"}"#, TokenError::Signature),
        (r#"{"alg":"RS256"}"#, TokenError::Signature),
    ] {
        assert_eq!(outcome_on(&keys, header), Err(refusal), "{header}");
    }
}

#[test]
fn a_token_without_a_key_id_may_be_of_any_key_of_its_algorithm() {
    let es = Key::Signing(Box::new(signing_key("es", Algorithm::ES256)));
    let keys = KeyRing::new(vec![es, hs256("k2", &SECRET[1..]), hs256("k1", SECRET)]).unwrap();
    assert_eq!(outcome_on(&keys, r#"{"alg":"HS256"}"#), Ok(()));
    let keys = KeyRing::new(vec![Key::Signing(Box::new(signing_key("k2", Algorithm::EdDSA)))]);
    assert_eq!(outcome_on(&keys.unwrap(), r#"{"alg":"HS256"}"#), Err(TokenError::UnknownKey));
}
