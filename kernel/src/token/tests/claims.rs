//! Who a token is of, for whom, and what it may not leave open.

use std::sync::Arc;

use proptest::prelude::*;

use super::support::ABSENT;
use super::support::GOOD;
use super::support::legacy;
use super::support::legacy_profile;
use super::support::payload;
use super::support::read;
use super::support::read_under;
use super::support::refusal;
use crate::claims::CLAIM_BYTES_MAX;
use crate::claims::SCOPES_MAX;
use crate::specimen::profile;
use crate::token::Profile;
use crate::token::TokenError;

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn user_of(changes: &[(&str, &str)]) -> Result<String, TokenError> {
    read(changes).map(|token| token.claims().user_id.to_string())
}

fn scopes_of(changes: &[(&str, &str)]) -> Result<Vec<String>, TokenError> {
    let scopes = |scopes: &[Arc<str>]| scopes.iter().map(|scope| scope.to_string()).collect();
    read(changes).map(|token| scopes(&token.claims().scopes))
}

#[test]
fn a_claim_of_another_json_type_is_refused_never_absent() {
    for (name, _) in GOOD {
        for json in ["null", "true", "{}", "1.5", "-1", "[null]", "[[]]"] {
            assert_eq!(refusal(&[(name, json)]), Some(TokenError::Claims), "{name}: {json}");
        }
    }
    for name in ["username", "tier", "scope", "type", "iss", "jti", "sid"] {
        for json in ["1", "[]", r#"["u1"]"#] {
            assert_eq!(refusal(&[(name, json)]), Some(TokenError::Claims), "{name}: {json}");
        }
    }
    for name in ["scopes", "ep"] {
        assert_eq!(refusal(&[(name, r#""1""#)]), Some(TokenError::Claims), "{name}");
    }
}

#[test]
fn a_claim_given_twice_is_refused() {
    let good = payload(&[("nbf", "0"), ("aud", r#""a""#)]);
    assert!(read_under(&profile(), &good).is_ok());
    for (name, json) in GOOD.into_iter().chain([("nbf", "0"), ("aud", r#""a""#)]) {
        let twice = format!("{},\"{name}\":{json}}}", &good[..good.len() - 1]);
        let refusal = read_under(&profile(), &twice).err();
        assert_eq!(refusal, Some(TokenError::Claims), "{name}");
    }
    let spelled = format!("{},\"\\u0065xp\":1800001800}}", &good[..good.len() - 1]);
    assert_eq!(read_under(&profile(), &spelled).err(), Some(TokenError::Claims));
}

#[test]
fn a_token_of_no_user_or_of_two_is_refused() {
    for changes in [
        &[("user_id", ABSENT)][..],
        &[("user_id", ABSENT), ("sub", ABSENT)],
        &[("username", ABSENT)],
        &[("user_id", r#""""#), ("sub", r#""""#)],
        &[("username", r#""""#)],
        &[("sub", r#""u2""#)],
        &[("sub", r#""U1""#)],
        &[("user_id", "1"), ("sub", r#""01""#)],
        // The name as the subject is a liberty of the replaced system's tokens alone.
        &[("sub", r#""ann""#)],
    ] {
        assert_eq!(refusal(changes), Some(TokenError::Claims), "{changes:?}");
    }
    assert_eq!(user_of(&[("sub", ABSENT)]).as_deref(), Ok("u1"));
}

#[test]
fn a_user_id_may_be_a_whole_number() {
    for (user_id, sub) in [("7", "7"), ("7", r#""7""#), (r#""7""#, "7"), ("7", ABSENT)] {
        let user = user_of(&[("user_id", user_id), ("sub", sub)]);
        assert_eq!(user.as_deref(), Ok("7"), "{user_id}, {sub}");
    }
    let most = u64::MAX.to_string();
    assert_eq!(user_of(&[("user_id", &most), ("sub", ABSENT)]), Ok(most));
    for number in ["18446744073709551616", "1e3", "7.0", "-7", "-0"] {
        let refusal = refusal(&[("user_id", number), ("sub", ABSENT)]);
        assert_eq!(refusal, Some(TokenError::Claims), "{number}");
    }
}

#[test]
fn a_claim_of_255_bytes_is_the_longest() {
    for (bytes, expected) in
        [(CLAIM_BYTES_MAX, None), (CLAIM_BYTES_MAX + 1, Some(TokenError::Claims))]
    {
        let text = quoted(&"x".repeat(bytes));
        assert_eq!(refusal(&[("user_id", &text), ("sub", ABSENT)]), expected, "user_id");
        for name in ["username", "tier", "jti", "sid", "aud", "scope"] {
            assert_eq!(refusal(&[(name, &text), ("scopes", ABSENT)]), expected, "{name}");
        }
        assert_eq!(refusal(&[("scopes", &format!("[{text}]"))]), expected, "scopes");
    }
    // Bytes, not characters.
    let wide = quoted(&"ß".repeat(CLAIM_BYTES_MAX / 2 + 1));
    assert_eq!(refusal(&[("username", &wide)]), Some(TokenError::Claims));
}

#[test]
fn a_control_character_is_refused_for_it_could_end_a_headers_line() {
    for control in ["\\u0000", "\\r\\n", "\\t", "\\u007f", "\\u0085", "\\u009f"] {
        let text = format!("\"x{control}y\"");
        for name in ["username", "tier", "jti", "sid", "scope"] {
            let refusal = refusal(&[(name, &text), ("scopes", ABSENT)]);
            assert_eq!(refusal, Some(TokenError::Claims), "{name}: {control}");
        }
        let refusal = refusal(&[("user_id", &text), ("sub", ABSENT)]);
        assert_eq!(refusal, Some(TokenError::Claims), "user_id: {control}");
    }
    let lone = r#""\ud800""#;
    assert_eq!(refusal(&[("username", lone)]), Some(TokenError::Claims), "half a character");
}

#[test]
fn scopes_come_as_a_list_or_as_one_text_and_the_list_counts() {
    let both = scopes_of(&[("scopes", r#"["a","b"]"#), ("scope", r#""c""#)]);
    assert_eq!(both, Ok(vec!["a".to_owned(), "b".to_owned()]));
    let none = scopes_of(&[("scopes", "[]"), ("scope", r#""c""#)]);
    assert_eq!(none, Ok(vec![]));
    let text = scopes_of(&[("scopes", ABSENT), ("scope", r#""  a b ""#)]);
    assert_eq!(text, Ok(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(scopes_of(&[("scopes", ABSENT), ("scope", r#""""#)]), Ok(vec![]));
    assert_eq!(scopes_of(&[("scopes", ABSENT), ("scope", ABSENT)]), Ok(vec![]));
    for scope in [r#""a b""#, r#""""#, r#""a\"b""#, r#""a\\b""#, r#""ä""#, "1", "null"] {
        let refusal = refusal(&[("scopes", &format!("[{scope}]"))]);
        assert_eq!(refusal, Some(TokenError::Claims), "{scope}");
    }
}

#[test]
fn a_token_of_64_scopes_has_the_most() {
    for (many, expected) in [(SCOPES_MAX, None), (SCOPES_MAX + 1, Some(TokenError::Claims))] {
        let list = format!("[{}]", vec![r#""s""#; many].join(","));
        assert_eq!(refusal(&[("scopes", &list)]), expected, "{many} in a list");
        let text = quoted(&vec!["s"; many].join(" "));
        let refusal = refusal(&[("scopes", ABSENT), ("scope", &text)]);
        assert_eq!(refusal, expected, "{many} in a text");
    }
}

#[test]
fn only_an_access_token_is_one() {
    for (json, expected) in [
        (r#""refresh""#, TokenError::WrongType),
        (ABSENT, TokenError::WrongType),
        (r#""Access""#, TokenError::Claims),
        (r#""id""#, TokenError::Claims),
        (r#""""#, TokenError::Claims),
    ] {
        assert_eq!(refusal(&[("type", json)]), Some(expected), "{json}");
    }
}

#[test]
fn a_token_of_another_issuer_or_of_none_is_refused() {
    for json in [r#""https://door.example/""#, r#""https://DOOR.example""#, r#""""#, ABSENT] {
        assert_eq!(refusal(&[("iss", json)]), Some(TokenError::Issuer), "{json}");
    }
    for name in ["jti", "iat"] {
        assert_eq!(refusal(&[(name, ABSENT)]), Some(TokenError::Claims), "{name}");
    }
    assert_eq!(refusal(&[("sid", ABSENT), ("ep", ABSENT), ("tier", ABSENT)]), None);
}

#[test]
fn a_token_is_for_the_audience_among_one_or_many() {
    let profile = Profile { audience: Some(Arc::from("orders")), ..profile() };
    let refusal = |aud: &str| read_under(&profile, &payload(&[("aud", aud)])).err();
    let list = |many: usize| {
        let others = r#""x","#.repeat(many - 1);
        format!(r#"[{others}"orders"]"#)
    };
    for aud in [r#""orders""#, r#"["orders"]"#, r#"["x","orders"]"#, &list(SCOPES_MAX)] {
        assert_eq!(refusal(aud), None, "{aud}");
    }
    for aud in [ABSENT, "[]", r#""""#, r#""Orders""#, r#""orders x""#, r#"["x"]"#] {
        assert_eq!(refusal(aud), Some(TokenError::Audience), "{aud}");
    }
    for aud in ["null", "1", r#"["orders",null]"#, r#"{"orders":1}"#, &list(SCOPES_MAX + 1)] {
        assert_eq!(refusal(aud), Some(TokenError::Claims), "{aud}");
    }
    assert_eq!(read(&[("aud", r#""anybody's""#)]).map(|_| ()).err(), None);
}

#[test]
fn a_token_of_the_replaced_system_is_taken_where_the_operator_allows_it() {
    let token = read_under(&legacy_profile(), &legacy(&[])).unwrap();
    assert_eq!(&*token.claims().user_id, "u1");
    assert_eq!(token.claims().epoch, None);
    assert_eq!(token.session_key(), None);
    assert_eq!(read_under(&profile(), &legacy(&[])).err(), Some(TokenError::Issuer));
    // Ours are taken as before.
    assert!(read_under(&legacy_profile(), &payload(&[])).is_ok());
}

#[test]
fn a_token_of_the_replaced_system_must_be_one_in_full() {
    for (changes, expected) in [
        (&[("iss", r#""https://other.example""#)][..], TokenError::Issuer),
        (&[("iss", r#""https://door.example""#)], TokenError::Claims),
        (&[("jti", r#""t1""#)], TokenError::Issuer),
        (&[("user_id", ABSENT)], TokenError::Claims),
        (&[("username", ABSENT)], TokenError::Claims),
        (&[("sub", r#""bob""#)], TokenError::Claims),
        (&[("exp", ABSENT)], TokenError::Claims),
        (&[("type", ABSENT)], TokenError::WrongType),
        (&[("iss", "null")], TokenError::Claims),
        (&[("jti", "null")], TokenError::Claims),
    ] {
        let refusal = read_under(&legacy_profile(), &legacy(changes)).err();
        assert_eq!(refusal, Some(expected), "{changes:?}");
    }
    let id_as_sub = legacy(&[("sub", "7"), ("user_id", r#""7""#), ("iat", "1799999999")]);
    assert!(read_under(&legacy_profile(), &id_as_sub).is_ok());
}

#[test]
fn a_token_of_the_replaced_system_may_name_no_audience_but_no_other() {
    let profile = Profile { audience: Some(Arc::from("orders")), ..legacy_profile() };
    let refusal = |aud: &str| read_under(&profile, &legacy(&[("aud", aud)])).err();
    assert_eq!(refusal(ABSENT), None);
    assert_eq!(refusal(r#""orders""#), None);
    assert_eq!(refusal(r#""users""#), Some(TokenError::Audience));
}

fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<f32>().prop_map(|n| serde_json::Value::from(n).to_string()),
        any::<String>().prop_map(|text| quoted(&text)),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop::collection::vec(inner, 0..4).prop_map(|list| format!("[{}]", list.join(",")))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn whatever_is_taken_is_within_bounds(
        changes in prop::collection::vec((0..GOOD.len(), any_json()), 1..4),
        profile in prop_oneof![Just(profile()), Just(legacy_profile())],
    ) {
        let changes: Vec<(&str, &str)> =
            changes.iter().map(|(at, json)| (GOOD[*at].0, json.as_str())).collect();
        if let Ok(token) = read_under(&profile, &payload(&changes)) {
            let claims = token.claims();
            let texts = [Some(&claims.user_id), Some(&claims.username), claims.tier.as_ref()];
            for text in texts.into_iter().flatten().chain(&claims.scopes) {
                prop_assert!((1..=CLAIM_BYTES_MAX).contains(&text.len()));
                prop_assert!(!text.chars().any(char::is_control));
            }
            prop_assert!(claims.scopes.len() <= SCOPES_MAX);
            prop_assert!(claims.issuer.is_some() || profile.accept_legacy);
        }
    }
}
