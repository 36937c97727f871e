//! Who is not let through, and what they are told: the bodies and headers of the contract.

use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use serde_json::json;
use test_support::http1::Answer;
use test_support::http1::Request;

use crate::scene::Scene;
use crate::scene::assert_problem;
use crate::scene::token;
use crate::tokens::Forged;
use crate::tokens::now_s;

#[track_caller]
fn assert_invalid(answer: &Answer, code: &str) {
    assert_problem(answer, 401, code, "Could not validate credentials");
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("Bearer error=\"invalid_token\""), "{answer}");
}

#[test]
fn the_body_of_a_refusal_has_the_members_of_the_contract_and_no_others() {
    let scene = Scene::usual();
    let answer = scene.ask(&Request::get("/api/things?token=secret"));
    let body = answer.json();
    let members: Vec<&String> = body.as_object().unwrap().keys().collect();
    let expected = ["detail", "error_code", "instance", "request_id", "status", "title", "type"];
    assert_eq!(members, expected, "{answer}");
    assert_eq!(body["title"], "Unauthorized");
    assert_eq!(body["instance"], "/api/things");
    assert_eq!(answer.number("content-length"), answer.body.len() as u64);
}

#[test]
fn a_malformed_credential_is_not_authenticated_never_anonymous() {
    let scene = Scene::usual();
    let good = token();
    let long = format!("Bearer {}", "a".repeat(8 * 1024));
    let mut connection = scene.connect();
    for value in
        ["", "Bearer", "Bearer ", "Basic YWRtaW46YWRtaW4=", "Token x", &good, &long, "Bearer a b"]
    {
        for path in ["/api/x", "/open/x", "/nowhere"] {
            let answer = connection.ask(&Request::get(path).header("Authorization", value));
            assert_problem(&answer, 401, "NOT_AUTHENTICATED", "Not authenticated");
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            assert!(challenge.starts_with("Bearer"), "{answer}");
        }
    }
    assert_eq!(scene.reached(), 0);
}

#[test]
fn two_credentials_are_none_even_if_both_are_good() {
    let scene = Scene::usual();
    let good = token();
    let answer = scene.ask(&Request::get("/api/x").bearer(&good).bearer(&good));
    assert_problem(&answer, 401, "NOT_AUTHENTICATED", "Not authenticated");
    let answer =
        scene.ask(&Request::get("/open/x").bearer(&good).header("authorization", "Basic eDp5"));
    assert_problem(&answer, 401, "NOT_AUTHENTICATED", "Not authenticated");
    assert_eq!(scene.reached(), 0);
}

#[test]
fn an_authorization_header_of_8_kib_is_read_and_one_byte_more_is_not() {
    let scene = Scene::usual();
    let of_bytes = |bytes: usize| {
        let bare = Forged::new("u-1", "ann").tier("admin").claim("padding", json!("")).sign();
        // Three bytes of claims are four of base64.
        let room = (bytes - "Bearer ".len() - bare.len()) / 4 * 3;
        let padded = |n: usize| {
            Forged::new("u-1", "ann").tier("admin").claim("padding", json!("p".repeat(n))).sign()
        };
        let fits = |n: &usize| padded(*n).len() + "Bearer ".len() <= bytes;
        padded((room.saturating_sub(3)..room + 4).rfind(fits).unwrap())
    };
    let largest = of_bytes(8 * 1024);
    let spaces = " ".repeat(8 * 1024 - "Bearer ".len() - largest.len() + 1);
    let at = format!("Bearer{spaces}{largest}");
    assert_eq!(at.len(), 8 * 1024);
    assert_eq!(scene.ask(&Request::get("/api/x").header("Authorization", &at)).status, 200);
    let past = format!("Bearer {spaces}{largest}");
    let answer = scene.ask(&Request::get("/api/x").header("Authorization", &past));
    assert_problem(&answer, 401, "NOT_AUTHENTICATED", "Not authenticated");
}

#[test]
fn the_word_bearer_may_be_spelled_in_any_case() {
    let scene = Scene::usual();
    for scheme in ["bearer", "BEARER", "bEaReR"] {
        let value = format!("{scheme} {}", token());
        assert_eq!(scene.ask(&Request::get("/api/x").header("authorization", &value)).status, 200);
    }
}

#[test]
fn a_token_that_does_not_hold_could_not_be_validated() {
    let scene = Scene::usual();
    let good = Forged::new("u-1", "ann");
    let now = now_s();
    let signed = good.sign();
    let unsigned = signed.rsplit_once('.').unwrap().0.to_owned();
    let none = good.clone().header("alg", json!("none")).sign();
    let mut tokens = vec![
        ("no token at all", "garbage".to_owned()),
        ("two parts", unsigned.clone()),
        ("an empty signature", format!("{unsigned}.")),
        ("a fourth part", format!("{signed}.x")),
        ("padding", format!("{signed}=")),
        ("another secret", good.sign_with("another-secret-that-is-long-enough-to-sign")),
        ("no algorithm", none.clone()),
        ("no algorithm and no signature", format!("{}.", none.rsplit_once('.').unwrap().0)),
        ("an unknown key", good.clone().header("kid", json!("elsewhere")).sign()),
        ("a path as key", good.clone().header("kid", json!("../../dev/null")).sign()),
        ("another issuer", good.clone().claim("iss", json!("https://elsewhere")).sign()),
    ];
    for alg in ["RS256", "ES256", "PS256", "EdDSA", "HS384", "HS512", "hs256", ""] {
        tokens.push(("another algorithm", good.clone().header("alg", json!(alg)).sign()));
    }
    for (name, value) in [
        ("jku", json!("http://127.0.0.1:1/keys")),
        ("x5u", json!("http://127.0.0.1:1/cert")),
        ("jwk", json!({ "kty": "oct", "k": "AAAA" })),
        ("crit", json!(["exp"])),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
    ] {
        tokens.push((name, good.clone().header(name, value).sign()));
    }
    for name in ["username", "type", "exp"] {
        tokens.push((name, good.clone().without(name).sign()));
    }
    tokens.push(("nobody", good.clone().without("user_id").without("sub").sign()));
    for kind in [json!("refresh"), json!("id"), json!(""), json!(null), json!(1)] {
        tokens.push(("another type", good.clone().claim("type", kind).sign()));
    }
    for exp in [
        json!("never"),
        json!((now + 60).to_string()),
        json!(-1),
        json!(null),
        json!(1e300),
        json!([]),
    ] {
        tokens.push(("an odd exp", good.clone().claim("exp", exp).sign()));
    }
    for (name, value) in
        [("nbf", json!(now + 60)), ("nbf", json!("0")), ("exp", json!(now + 400 * 86400))]
    {
        tokens.push((name, good.clone().claim(name, value).sign()));
    }
    for (name, value) in [
        ("username", json!("")),
        ("username", json!("a\r\nX-User-Tier: admin")),
        ("scopes", json!("a")),
    ] {
        tokens.push((name, good.clone().claim(name, value).sign()));
    }
    let mut connection = scene.connect();
    for (why, token) in tokens {
        for path in ["/api/x", "/open/x"] {
            let answer = connection.ask(&Request::get(path).bearer(&token));
            assert!(answer.status == 401, "{why} passed: {answer}");
            assert_invalid(&answer, "INVALID_TOKEN");
        }
    }
    assert_eq!(scene.reached(), 0);
    assert_eq!(connection.ask(&Request::get("/api/x").bearer(&signed)).status, 200);
}

#[test]
fn an_expired_token_says_so_in_its_code_and_there_is_no_leeway() {
    let scene = Scene::usual();
    for age_s in [0, 1, 60, 86400] {
        let token = Forged::new("u-1", "ann").claim("exp", json!(now_s() - age_s)).sign();
        assert_invalid(&scene.ask(&Request::get("/api/x").bearer(&token)), "TOKEN_EXPIRED");
    }
    assert_eq!(scene.reached(), 0);
}

#[test]
fn a_caller_without_the_scopes_is_told_which_are_needed() {
    let scene = Scene::usual();
    let few = Forged::new("u-1", "ann").scopes(&["orders:read"]).sign();
    let answer = scene.ask(&Request::get("/orders/7").bearer(&few));
    assert_problem(
        &answer,
        403,
        "FORBIDDEN",
        "Insufficient permissions. Required scopes: orders:read, orders:write",
    );
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    assert!(challenge.contains("insufficient_scope"), "{answer}");
    assert_eq!(scene.reached(), 0);
    let enough = Forged::new("u-1", "ann").scopes(&["orders:write", "x", "orders:read"]).sign();
    assert_eq!(scene.ask(&Request::get("/orders/7").bearer(&enough)).status, 200);
}

#[test]
fn an_unknown_path_is_unknown_only_to_somebody_known() {
    let scene = Scene::usual();
    for path in ["/", "/nowhere", "/apix", "/opening", "/API/x"] {
        let stranger = scene.ask(&Request::get(path));
        assert_problem(&stranger, 401, "NOT_AUTHENTICATED", "Not authenticated");
        let known = scene.ask(&Request::get(path).bearer(&token()));
        assert_problem(&known, 404, "NOT_FOUND", "Not Found");
    }
    assert_eq!(scene.reached(), 0);
}

#[test]
fn a_method_that_a_route_does_not_take_is_405_with_those_that_it_takes() {
    let scene = Scene::usual();
    let token = Forged::new("u-1", "ann").scopes(&["orders:read", "orders:write"]).sign();
    let answer = scene.ask(&Request::new("DELETE", "/orders/7").bearer(&token));
    assert_eq!(answer.status, 405, "{answer}");
    assert_eq!(answer.json()["error_code"], "METHOD_NOT_ALLOWED");
    assert_eq!(answer.header("allow"), Some("GET, POST"));
    assert_eq!(scene.ask(&Request::new("DELETE", "/orders/7")).status, 401);
    assert_eq!(scene.reached(), 0);
}

#[test]
fn nothing_but_the_authorization_header_lets_anyone_in() {
    let scene = Scene::usual();
    let good = token();
    let requests = [
        Request::get("/api/x").header("User-Agent", "kube-probe/1.30"),
        Request::get("/api/x").header("User-Agent", "GoogleHC/1.0"),
        Request::get("/api/x").header("Cookie", &format!("access_token={good}; token={good}")),
        Request::get("/api/x").header("X-Access-Token", &good),
        Request::get("/api/x").header("Proxy-Authorization", &format!("Bearer {good}")),
        Request::get(&format!("/api/x?access_token={good}&token={good}")),
        Request::get("/api/x").header("X-User-Id", "1").header("X-Username", "admin"),
        Request::get("/api/x")
            .header("X-Forwarded-For", "127.0.0.1")
            .header("X-Real-IP", "127.0.0.1"),
        Request::post("/api/x").form(&[("access_token", &good)]),
    ];
    for request in requests {
        assert_problem(&scene.ask(&request), 401, "NOT_AUTHENTICATED", "Not authenticated");
    }
    assert_eq!(scene.reached(), 0);
}

fn request_with(authorization: &[u8]) -> Vec<u8> {
    let mut bytes = b"GET /api/x HTTP/1.1\r\nHost: h\r\nAuthorization: ".to_vec();
    bytes.extend(authorization);
    bytes.extend(b"\r\n\r\n");
    bytes
}

#[test]
fn every_single_flipped_bit_and_every_truncation_of_a_token_is_refused() {
    let scene = Scene::usual();
    let good = format!("Bearer {}", token()).into_bytes();
    let line = scene.line();
    assert_eq!(line.ask_raw(&request_with(&good)).status, 200);
    let from = "Bearer ".len();
    for at in from..good.len() {
        let answer = line.ask_raw(&request_with(&good[..at]));
        assert_eq!(answer.status, 401, "cut at {at}: {answer}");
        for bit in 0..8 {
            let mut flipped = good.clone();
            flipped[at] ^= 1 << bit;
            let answer = line.ask_raw(&request_with(&flipped));
            // A control character makes it no header at all.
            let no_http = flipped[at].is_ascii_control() && answer.status == 400;
            assert!(answer.status == 401 || no_http, "bit {bit} of byte {at}: {answer}");
            assert!(answer.json()["error_code"].is_string(), "{answer}");
        }
    }
    assert_eq!(scene.reached(), 1);
}

#[test]
fn whatever_is_sent_as_a_token_is_refused_in_the_contracts_shape() {
    let scene = Scene::usual();
    let line = scene.line();
    let mut runner = TestRunner::new(Config::with_cases(1500));
    let anything = prop_oneof![
        "[ -~]{0,80}",
        "[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,60}",
        "[A-Za-z0-9_.=+/-]{0,300}",
    ];
    runner
        .run(&anything, |text| {
            let value = format!("Bearer {text}");
            let answer = line.ask_raw(&request_with(value.as_bytes()));
            prop_assert_eq!(answer.status, 401, "{}", answer);
            let body: Value = answer.json();
            let code = body["error_code"].as_str().unwrap_or_default();
            prop_assert!(matches!(code, "NOT_AUTHENTICATED" | "INVALID_TOKEN"), "{}", answer);
            prop_assert!(answer.header("www-authenticate").is_some());
            Ok(())
        })
        .unwrap();
    assert_eq!(scene.reached(), 0);
}
