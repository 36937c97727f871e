//! Three parts of strict base64url, of bounded length, each an object.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use base64::engine::general_purpose::URL_SAFE;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use super::support::payload;
use crate::keys::Algorithm;
use crate::specimen::NOW;
use crate::specimen::SECRET;
use crate::specimen::profile;
use crate::specimen::ring_of;
use crate::specimen::signed_hs256;
use crate::specimen::signing_input;
use crate::specimen::token_saying;
use crate::token::TOKEN_BYTES_MAX;
use crate::token::TokenError;
use crate::token::verify;

fn outcome(token: &str) -> Result<(), TokenError> {
    verify(token, &ring_of(Algorithm::HS256), &profile(), NOW).map(|_| ())
}

#[test]
fn anything_but_three_parts_is_refused() {
    let good = token_saying(&payload(&[]));
    assert_eq!(outcome(&good), Ok(()));
    let parts: Vec<&str> = good.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    for token in [
        String::new(),
        ".".to_owned(),
        "...".to_owned(),
        header.to_owned(),
        format!("{header}.{claims}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{header}.{claims}..{signature}"),
        // A JWE has five (RFC 7516 §7.1).
        format!("{header}.{claims}.{claims}.{claims}.{signature}"),
        // The JSON serialization (RFC 7515 §7.2.2).
        format!(r#"{{"protected":"{header}","payload":"{claims}","signature":"{signature}"}}"#),
    ] {
        assert_eq!(outcome(&token), Err(TokenError::Shape), "{token}");
    }
    for token in ["..", "e30..", "..e30", "e30.e30."] {
        assert_eq!(outcome(token), Err(TokenError::Header), "{token}");
    }
}

#[test]
fn a_token_that_fills_the_longest_header_is_the_longest() {
    let of_len = |len: usize| {
        // Blanks in the header as well: no base64 is one longer than a multiple of four.
        (0..4)
            .flat_map(|blanks| (5600..6000).map(move |pad| (blanks, pad)))
            .map(|(blanks, pad)| {
                let header = format!(r#"{{"alg":"HS256"{}}}"#, " ".repeat(blanks));
                let pad = format!("\"{}\"", "x".repeat(pad));
                let input = signing_input(&header, &payload(&[("pad", &pad)]));
                (input.len() + 44 == len).then(|| signed_hs256(&input, SECRET.as_bytes()))
            })
            .find_map(|token| token)
            .unwrap()
    };
    let longest = of_len(TOKEN_BYTES_MAX);
    assert_eq!(outcome(&longest), Ok(()));
    let mut headers = http::HeaderMap::new();
    headers.insert("authorization", format!("Bearer {longest}").parse().unwrap());
    assert_eq!(crate::bearer::token(&headers), Ok(Some(&*longest)));
    assert_eq!(outcome(&of_len(TOKEN_BYTES_MAX + 1)), Err(TokenError::Shape));
    assert_eq!(outcome(&".".repeat(1 << 20)), Err(TokenError::Shape));
}

#[test]
fn a_part_in_another_base64_is_refused() {
    // A name that brings both characters in which the alphabets differ.
    let payload = payload(&[("username", r#""??>>~~\u00ff?>~ÿÿ""#)]);
    let header = r#"{"alg":"HS256"}"#;
    let url = URL_SAFE_NO_PAD.encode(&payload);
    let standard = STANDARD_NO_PAD.encode(&payload);
    let padded = URL_SAFE.encode(header);
    assert!(url.contains(['-', '_']) && standard.contains(['+', '/']));
    let header = URL_SAFE_NO_PAD.encode(header);
    let signed =
        |header: &str, claims: &str| signed_hs256(&format!("{header}.{claims}"), SECRET.as_bytes());
    assert_eq!(outcome(&signed(&header, &url)), Ok(()));
    assert_eq!(outcome(&signed(&header, &standard)), Err(TokenError::Shape));
    for bad in [format!("{url}="), format!("{url}\n"), format!(" {url}"), format!("{url}%3D")] {
        assert_eq!(outcome(&signed(&header, &bad)), Err(TokenError::Shape), "{bad}");
    }
    if padded.ends_with('=') {
        assert_eq!(outcome(&signed(&padded, &url)), Err(TokenError::Shape));
    }
    let good = signed(&header, &url);
    for end in ["=", "==", "AA", "\n", " "] {
        assert_eq!(outcome(&format!("{good}{end}")), Err(TokenError::Shape), "{end:?}");
    }
    // One character more is a byte more, and base64 all right.
    assert_eq!(outcome(&format!("{good}A")), Err(TokenError::Signature));
}

#[test]
fn a_signature_with_bits_beyond_its_last_byte_is_refused() {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let token = token_saying(&payload(&[]));
    let (head, last) = token.split_at(token.len() - 1);
    let at = ALPHABET.find(last).unwrap();
    // 32 bytes leave two bits of the last character unused.
    assert_eq!(at % 4, 0);
    for spare in 1..4 {
        let other = &ALPHABET[at + spare..=at + spare];
        assert_eq!(outcome(&format!("{head}{other}")), Err(TokenError::Shape), "{other}");
    }
}

#[test]
fn a_header_or_payload_that_is_no_object_is_refused() {
    let signed = |header: &str, payload: &str| {
        outcome(&signed_hs256(&signing_input(header, payload), SECRET.as_bytes()))
    };
    let good = payload(&[]);
    for header in [
        "",
        "{",
        "null",
        "[]",
        r#""HS256""#,
        r#"["HS256"]"#,
        r#"["HS256","k1","JWT",null,null,null,null,null,null,null,null]"#,
        r#"{"alg":"HS256"}{}"#,
        "{\"alg\":\"HS256\"}\0",
        "\u{feff}{\"alg\":\"HS256\"}",
    ] {
        assert_eq!(signed(header, &good), Err(TokenError::Header), "{header}");
    }
    let header = r#"{"alg":"HS256"}"#;
    let in_order = r#"["u1","u1","ann","free",[],"","access","https://door.example",
        "a",1800000000,1800000000,1800001800,"t1","s1",0]"#;
    for payload in ["", "{", "null", "7", "[]", r#""x""#, in_order, &format!("{good}x")] {
        assert_eq!(signed(header, payload), Err(TokenError::Claims), "{payload}");
    }
    // Blanks before an object are JSON's right (RFC 8259 §2).
    assert_eq!(signed(" \r\n{\"alg\":\"HS256\"}", &format!("\t{good}\n")), Ok(()));
}

#[test]
fn a_member_nested_without_end_is_harmless() {
    let deep = format!("{}{}", "[".repeat(2500), "]".repeat(2500));
    let outcome = |name| outcome(&token_saying(&payload(&[(name, &deep)])));
    for name in ["user_id", "scopes", "aud", "exp"] {
        assert_eq!(outcome(name), Err(TokenError::Claims), "{name}");
    }
    assert_eq!(outcome("unheard_of"), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_text_is_refused_without_a_panic(text in any::<String>()) {
        prop_assert!(outcome(&text).is_err());
    }

    #[test]
    fn any_three_parts_are_refused_without_a_panic(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 3),
    ) {
        let parts: Vec<String> = parts.iter().map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
        prop_assert!(outcome(&parts.join(".")).is_err());
    }

    #[test]
    fn any_bytes_under_a_good_signature_are_refused_without_a_panic(
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let input = format!("eyJhbGciOiJIUzI1NiJ9.{}", URL_SAFE_NO_PAD.encode(payload));
        let token = signed_hs256(&input, SECRET.as_bytes());
        prop_assert_eq!(outcome(&token), Err(TokenError::Claims));
    }
}
