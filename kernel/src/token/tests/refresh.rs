//! Refresh tokens, which let nobody through, and access tokens, which refresh nothing.

use std::time::Duration;

use crate::claims::RefreshClaims;
use crate::claims::TokenType;
use crate::keys::Algorithm;
use crate::specimen::ISSUER;
use crate::specimen::NOW;
use crate::specimen::NOW_S;
use crate::specimen::SECRET;
use crate::specimen::claims;
use crate::specimen::profile;
use crate::specimen::ring_of;
use crate::specimen::signed_hs256;
use crate::specimen::signing_input;
use crate::specimen::token_saying;
use crate::time::Timestamp;
use crate::token::Profile;
use crate::token::RefreshError;
use crate::token::TokenError;
use crate::token::verify;
use crate::token::verify_refresh;

const PAYLOAD: &str = r#"{"iss":"https://door.example","sub":"u1","sid":"s1","gen":3,"ep":1,"iat":1800000000,"exp":1800604800,"type":"refresh"}"#;

fn refresh_claims() -> RefreshClaims {
    RefreshClaims {
        iss: ISSUER.to_owned(),
        sub: "u1".to_owned(),
        sid: "s1".to_owned(),
        generation: 3,
        ep: 1,
        iat: NOW_S,
        exp: NOW_S + 604_800,
        token_type: TokenType::Refresh,
    }
}

fn outcome_at(now: Timestamp, profile: &Profile, token: &str) -> Result<(), RefreshError> {
    verify_refresh(token, &ring_of(Algorithm::HS256), profile, now).map(|_| ())
}

fn outcome(payload: &str) -> Result<(), RefreshError> {
    outcome_at(NOW, &profile(), &token_saying(payload))
}

#[test]
fn a_refresh_token_reads_back_whatever_signs_it() {
    for algorithm in Algorithm::ALL {
        let keys = ring_of(algorithm);
        let token = keys.signing().sign(&refresh_claims()).unwrap();
        let read = verify_refresh(&token, &keys, &profile(), NOW);
        assert_eq!(read, Ok(refresh_claims()), "{algorithm}");
    }
}

#[test]
fn racing_refreshes_of_one_row_get_the_same_token_to_the_byte() {
    let sign = || ring_of(Algorithm::HS256).signing().sign(&refresh_claims()).unwrap();
    assert_eq!(sign(), sign());
    let header = r#"{"typ":"JWT","alg":"HS256","kid":"k1"}"#;
    assert_eq!(sign(), signed_hs256(&signing_input(header, PAYLOAD), SECRET.as_bytes()));
}

#[test]
fn a_refresh_token_lets_nobody_through() {
    let token = ring_of(Algorithm::HS256).signing().sign(&refresh_claims()).unwrap();
    let refusal = verify(&token, &ring_of(Algorithm::HS256), &profile(), NOW).err();
    assert_eq!(refusal, Some(TokenError::WrongType));
}

#[test]
fn an_access_token_refreshes_nothing_and_is_told_apart() {
    let keys = ring_of(Algorithm::HS256);
    let mut claims = claims();
    for exp in [NOW_S + 1800, NOW_S - 1] {
        claims.exp = exp;
        let token = keys.signing().sign(&claims).unwrap();
        assert_eq!(outcome_at(NOW, &profile(), &token), Err(RefreshError::WrongType));
    }
    let of_either = PAYLOAD.replace(r#""type":"refresh""#, r#""type":"access""#);
    assert_eq!(outcome(&of_either), Err(RefreshError::WrongType));
    let elsewhere = signed_hs256(&signing_input(r#"{"alg":"HS256"}"#, PAYLOAD), b"another");
    assert_eq!(outcome_at(NOW, &profile(), &elsewhere), Err(RefreshError::Invalid));
}

#[test]
fn a_refresh_token_holds_until_the_second_of_its_expiry() {
    let token = token_saying(PAYLOAD);
    let exp_s = NOW_S + 604_800;
    let lenient = Profile { leeway: Duration::from_secs(30), ..profile() };
    for (now_s, profile, expected) in [
        (exp_s - 1, &profile(), Ok(())),
        (exp_s, &profile(), Err(RefreshError::Invalid)),
        (exp_s + 29, &lenient, Ok(())),
        (exp_s + 30, &lenient, Err(RefreshError::Invalid)),
    ] {
        assert_eq!(outcome_at(Timestamp::from_secs(now_s), profile, &token), expected, "{now_s}");
    }
}

#[test]
fn a_refresh_token_of_another_issuer_or_shape_is_refused() {
    assert_eq!(outcome(PAYLOAD), Ok(()));
    for (from, to) in [
        ("door.example", "other.example"),
        (r#""iss":"https://door.example","#, ""),
        (r#""sid":"s1","#, ""),
        (r#""sub":"u1""#, r#""sub":1"#),
        (r#""gen":3"#, r#""gen":"3""#),
        (r#""gen":3"#, r#""gen":3,"gen":3"#),
        (r#""gen":3"#, r#""gen":-3"#),
        (r#""ep":1"#, r#""ep":null"#),
        (r#""exp":1800604800"#, r#""exp":"1800604800""#),
        (r#""exp":1800604800"#, r#""exp":1800604800.0"#),
        (r#""exp":1800604800"#, r#""exp":1e400"#),
        (r#""exp":1800604800,"#, ""),
        (r#""type":"refresh""#, r#""type":"id""#),
        (r#","type":"refresh""#, ""),
        (r#""type":"refresh""#, r#""type":"refresh","type":"access""#),
    ] {
        let payload = PAYLOAD.replace(from, to);
        assert_ne!(payload, PAYLOAD);
        assert_eq!(outcome(&payload), Err(RefreshError::Invalid), "{payload}");
    }
    let array = r#"["https://door.example","u1","s1",3,1,1800000000,1800604800,"refresh"]"#;
    assert_eq!(outcome(array), Err(RefreshError::Invalid));
}
