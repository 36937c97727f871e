//! What the back end is told of a caller comes from us alone.

use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest::test_runner::TestRunner;
use test_support::http1::Request;
use test_support::upstream::Echo;

use crate::scene::Scene;
use crate::scene::token;
use crate::tokens::Forged;

/// Every header that speaks of who is calling, and from where.
const OURS: [&str; 10] = [
    "x-user-id",
    "x-username",
    "x-user-tier",
    "x-user-scopes",
    "x-session-id",
    "x-request-id",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "forwarded",
];

const SPOOFED: &str = "spoofed";

/// Headers as a lenient back end reads their names.
fn lenient(echo: &Echo) -> Vec<(String, String)> {
    let normal = |name: &str| name.to_lowercase().replace('_', "-");
    echo.headers.iter().map(|(name, value)| (normal(name), value.clone())).collect()
}

#[track_caller]
fn assert_nothing_spoofed(echo: &Echo) {
    for (name, value) in lenient(echo) {
        assert!(!value.contains(SPOOFED), "`{name}: {value}` reached the back end: {echo:?}");
    }
    for name in OURS {
        let count = lenient(echo).iter().filter(|(n, _)| n == name).count();
        assert!(count <= 1, "{count} times `{name}`: {echo:?}");
    }
}

fn spelling() -> impl Strategy<Value = String> {
    let name = prop::sample::select(OURS.to_vec());
    (name, any::<u32>(), any::<u32>()).prop_map(|(name, capitals, underscores)| {
        let letter = |(at, c): (usize, char)| match c {
            '-' if underscores >> (at % 32) & 1 == 1 => '_',
            c if capitals >> (at % 32) & 1 == 1 => c.to_ascii_uppercase(),
            c => c,
        };
        name.chars().enumerate().map(letter).collect()
    })
}

#[test]
fn no_spelling_of_an_identity_header_reaches_the_back_end() {
    let scene = Scene::with(
        "[tiers.anybody]\nlimits = \"unlimited\"\n[[routes]]\nname = \"lenient\"\npath = \"/lenient\"\nupstream = \"echo\"\n\
         allow_underscore_headers = true",
    );
    let token = token();
    let line = scene.line();
    let headers = prop::collection::vec((spelling(), any::<bool>()), 1..6);
    TestRunner::new(Config::with_cases(600))
        .run(&(headers, any::<bool>()), |(headers, lenient)| {
            let path = if lenient { "/lenient/x" } else { "/api/x" };
            let mut request = Request::get(path).bearer(&token);
            for (name, in_connection) in &headers {
                request = request.header(name, SPOOFED);
                if *in_connection {
                    request = request.header("Connection", name);
                }
            }
            let answer = line.ask(&request);
            prop_assert_eq!(answer.status, 200, "{}", answer);
            let echo = Echo::of_answer(&answer);
            assert_nothing_spoofed(&echo);
            prop_assert_eq!(echo.header("x-user-id"), Some("u-1"));
            Ok(())
        })
        .unwrap();
}

#[test]
fn nobody_is_named_to_the_back_end_on_a_public_route_without_a_token() {
    let scene = Scene::usual();
    let mut request = Request::get("/open/x");
    for name in OURS {
        request = request.header(name, SPOOFED).header(&name.replace('-', "_"), SPOOFED);
        request = request.header(&name.to_uppercase(), SPOOFED);
    }
    let echo = scene.echo(&request);
    assert_nothing_spoofed(&echo);
    for name in ["x-user-id", "x-username", "x-user-tier", "x-user-scopes", "x-session-id"] {
        assert!(lenient(&echo).iter().all(|(n, _)| n != name), "{echo:?}");
    }
}

#[test]
fn somebody_is_named_to_the_back_end_on_a_public_route_with_a_token() {
    let scene = Scene::usual();
    let echo = scene.echo(&Request::get("/open/x").bearer(&token()).header("X-User-Id", SPOOFED));
    assert_eq!(echo.header("x-user-id"), Some("u-1"));
    assert_nothing_spoofed(&echo);
}

#[test]
fn what_connection_names_cannot_make_an_identity_header_disappear() {
    let scene = Scene::usual();
    for name in OURS {
        for value in [
            name.to_owned(),
            format!("keep-alive, {}", name.to_uppercase()),
            format!("close,{name},{name}"),
        ] {
            let echo =
                scene.echo(&Request::get("/api/x").bearer(&token()).header("Connection", &value));
            for ours in
                ["x-user-id", "x-username", "x-user-tier", "x-request-id", "x-forwarded-for"]
            {
                assert!(
                    echo.header(ours).is_some(),
                    "`Connection: {value}` dropped `{ours}`: {echo:?}"
                );
            }
            let connection = echo.all("connection").join(",").to_lowercase();
            assert!(!connection.contains(name), "a later hop is told to drop `{name}`: {echo:?}");
        }
    }
}

#[test]
fn hop_by_hop_headers_of_the_client_end_here() {
    let scene = Scene::usual();
    let request = Request::get("/api/x")
        .bearer(&token())
        .header("Connection", "X-Secret-Hop, keep-alive")
        .header("X-Secret-Hop", "1")
        .header("X-Stays", "1");
    let echo = scene.echo(&request);
    assert_eq!(echo.header("x-secret-hop"), None, "{echo:?}");
    assert_eq!(echo.header("x-stays"), Some("1"));
}

#[test]
fn a_header_with_an_underscore_passes_only_where_the_route_allows_it() {
    let scene = Scene::with(
        "[[routes]]\nname = \"lenient\"\npath = \"/lenient\"\nupstream = \"echo\"\nallow_underscore_headers = true",
    );
    let with = |path: &str| {
        Request::get(path).bearer(&token()).header("my_header", "1").header("X_User_Tier", SPOOFED)
    };
    let strict = scene.echo(&with("/api/x"));
    assert!(strict.headers.iter().all(|(name, _)| !name.contains('_')), "{strict:?}");
    let lenient = scene.echo(&with("/lenient/x"));
    assert_eq!(lenient.header("my_header"), Some("1"));
    assert_nothing_spoofed(&lenient);
}

#[test]
fn names_outside_ascii_are_percent_encoded_and_scopes_separated_by_spaces() {
    let scene = Scene::usual();
    let token = Forged::new("u-ü", "zoë").tier("admin").scopes(&["b:write", "a:read"]).sign();
    let echo = scene.echo(&Request::get("/api/x").bearer(&token));
    assert_eq!(echo.header("x-user-id"), Some("u-%C3%BC"));
    assert_eq!(echo.header("x-username"), Some("zo%C3%AB"));
    assert_eq!(echo.header("x-user-scopes"), Some("b:write a:read"));
}

#[test]
fn the_credential_is_taken_off_unless_the_route_says_original() {
    let scene = Scene::usual();
    let value = format!("bearer {}", token());
    let request = |path: &str| Request::get(path).header("AUTHORIZATION", &value);
    assert_eq!(scene.echo(&request("/api/x")).header("authorization"), None);
    assert_eq!(scene.echo(&request("/open/x")).header("authorization"), None);
    assert_eq!(scene.echo(&request("/kept/x")).header("authorization"), Some(value.as_str()));
}

#[test]
fn every_request_has_an_id_of_its_own_that_answer_and_back_end_share() {
    let scene = Scene::usual();
    let request = Request::get("/api/x").bearer(&token()).header("X-Request-Id", SPOOFED);
    let first = Echo::of_answer(&scene.ask(&request)).header("x-request-id").map(str::to_owned);
    let second = scene.echo(&request).header("x-request-id").map(str::to_owned);
    assert!(first.is_some() && first != second, "{first:?} {second:?}");
}

#[test]
fn a_trace_goes_on_if_it_is_one_and_begins_otherwise() {
    let scene = Scene::usual();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let with = |value: &str| {
        scene.echo(&Request::get("/api/x").bearer(&token()).header("traceparent", value))
    };
    let kept = with(trace);
    let id_of = |value: &str| value.split('-').nth(1).map(str::to_owned);
    assert_eq!(kept.header("traceparent").and_then(id_of), id_of(trace));
    let replaced = with("00-zz-1-1");
    assert!(replaced.header("traceparent").is_some_and(|value| value.len() == 55), "{replaced:?}");
}

#[test]
fn a_name_that_some_server_reads_as_an_identity_header_stays_here() {
    let scene = Scene::with(
        "[[routes]]\nname = \"lenient\"\npath = \"/lenient\"\nupstream = \"echo\"\nallow_underscore_headers = true",
    );
    for path in ["/api/x", "/lenient/x"] {
        let mut request = Request::get(path).bearer(&token());
        for name in ["X.User.Id", "X!User!Id", "x-user.id", "X_User-Id", "X~User~Tier"] {
            request = request.header(name, SPOOFED);
        }
        assert_nothing_spoofed(&scene.echo(&request));
    }
}

#[test]
fn headers_by_which_others_are_told_a_caller_a_path_or_a_method_stay_here() {
    let scene = Scene::usual();
    for name in [
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
        "X-Forwarded-User",
        "Remote-User",
        "True-Client-IP",
        "X-Client-IP",
        "Proxy",
    ] {
        let echo = scene.echo(&Request::get("/open/x").header(name, SPOOFED));
        assert_nothing_spoofed(&echo);
    }
}
