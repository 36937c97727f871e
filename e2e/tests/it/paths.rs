//! One spelling of a path: what is decided about is what the back end gets, to the byte.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest::test_runner::TestRunner;
use test_support::http1::Request;
use test_support::upstream::Echo;

use crate::scene::Scene;
use crate::scene::token;

const AMBIGUOUS: [&str; 40] = [
    "/api//x",
    "//api/x",
    "///",
    "/api/./x",
    "/api/../x",
    "/api/x/..",
    "/api/x/.",
    "/./api",
    "/../api",
    "/open/../api/x",
    "/open/..",
    "/open/%2e%2e/api/x",
    "/open/%2E./api/x",
    "/open/.%2e/api/x",
    "/open%2f..%2fapi",
    "/auth/../api/x",
    "/auth%2f..%2fapi",
    "/auth/%2e%2e/api",
    "/docs/..;/api",
    "/open/..;/api/x",
    "/open;/x",
    "/open;a=b/x",
    "/api/%2f",
    "/api/%2F",
    "/api/%5c..%5cx",
    "/api/%00",
    "/api/%0a",
    "/api/%0d%0ax",
    "/api/%7f",
    "/%61pi/x",
    "/ap%69/x",
    "/%6fpen/x",
    "/api/%252e%252e/x",
    "/api/%25%32%66",
    "/api/%zz",
    "/api/%",
    "/api/%2",
    "/api/%c3%28",
    "/api/%ff",
    "/api\\x",
];

#[test]
fn an_ambiguous_spelling_is_refused_with_and_without_a_token() {
    let scene = Scene::usual();
    let mut connection = scene.connect();
    for path in AMBIGUOUS {
        for request in [Request::get(path), Request::get(path).bearer(&token())] {
            let answer = connection.ask(&request);
            assert_eq!(answer.status, 400, "{path}: {answer}");
            assert_eq!(answer.json()["error_code"], "BAD_REQUEST", "{path}: {answer}");
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        }
    }
    assert_eq!(scene.reached(), 0);
}

#[test]
fn a_fragment_or_a_raw_byte_in_the_target_is_refused() {
    let scene = Scene::usual();
    let token = token();
    for target in [
        &b"/api/x#frag"[..],
        b"/api/caf\xc3\xa9",
        b"/api/\xff",
        b"/api/x?a#b",
        b"/api/\x01",
        b"/api/\"x\"",
    ] {
        let mut bytes = b"GET ".to_vec();
        bytes.extend(target);
        bytes.extend(
            format!(" HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n").bytes(),
        );
        let answer = scene.ask_raw(bytes);
        assert_eq!(answer.status, 400, "{}: {answer}", String::from_utf8_lossy(target));
    }
    assert_eq!(scene.reached(), 0);
}

#[test]
fn a_target_that_is_no_path_is_refused_before_routing() {
    let scene = Scene::usual();
    let token = token();
    for line in [
        "GET http://other/api/x HTTP/1.1",
        "GET http://gateway.test/api/x HTTP/1.1",
        "GET HTTP://gateway.test/open/x HTTP/1.1",
        "GET https://127.0.0.1/api HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET api/x HTTP/1.1",
        "GET ?x HTTP/1.1",
        "CONNECT 127.0.0.1:22 HTTP/1.1",
        "CONNECT /api/x HTTP/1.1",
    ] {
        for authorization in [String::new(), format!("Authorization: Bearer {token}\r\n")] {
            let answer =
                scene.ask_raw(format!("{line}\r\nHost: gateway.test\r\n{authorization}\r\n"));
            assert!(matches!(answer.status, 400 | 401 | 405 | 501), "{line}: {answer}");
            assert!(answer.json()["error_code"].is_string(), "{line}: {answer}");
        }
    }
    assert_eq!(scene.reached(), 0);
}

#[test]
fn a_plain_spelling_arrives_untouched() {
    let scene = Scene::usual();
    for target in [
        "/api",
        "/api/",
        "/api/x/",
        "/api/caf%C3%A9",
        "/api/caf%c3%a9",
        "/api/a%20b%3Fc",
        "/api/~user/-._!$&'()*+,=:@",
        "/api/x?",
        "/api/x?a=%2f%2e%2e&b=//..;&c=%00&d=?/",
        "/api/...",
        "/api/.hidden",
    ] {
        assert_eq!(scene.echo(&Request::get(target).bearer(&token())).target(), target);
    }
}

#[test]
fn no_header_changes_what_is_routed() {
    let scene = Scene::usual();
    for name in
        ["X-Original-URL", "X-Rewrite-URL", "X-Original-URI", "X-Forwarded-Uri", "X-Forwarded-Path"]
    {
        let answer = scene.ask(&Request::get("/api/x").header(name, "/open/x"));
        assert_eq!(answer.status, 401, "{name}: {answer}");
        let echo = scene.echo(&Request::get("/open/x").header(name, "/api/secret"));
        assert_eq!(echo.target(), "/open/x");
    }
    for name in ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"] {
        let answer =
            scene.ask(&Request::new("DELETE", "/orders/1").bearer(&token()).header(name, "GET"));
        assert_eq!(answer.status, 405, "{name}: {answer}");
    }
    assert_eq!(
        scene.ask(&Request::get("/api/x").header("X-Forwarded-Prefix", "/open")).status,
        401
    );
    assert_eq!(
        scene.ask(&Request::get("/api/x").header("X-Forwarded-Host", "open.test")).status,
        401
    );
}

#[test]
fn a_host_is_compared_without_case_port_and_final_dot_and_must_be_one() {
    let scene = Scene::with(
        "[[routes]]\nname = \"hosted\"\nhosts = [\"public.test\"]\npath = \"/h\"\nupstream = \"echo\"\naccess = \"public\"",
    );
    for host in
        ["public.test", "PUBLIC.Test", "public.test:8080", "public.test.", "Public.Test.:80"]
    {
        assert_eq!(
            scene.echo(&Request::get("/h/x").header("Host", host)).header("host"),
            Some(host)
        );
    }
    for host in ["other.test", "public.test.evil", "xpublic.test", "public.test@evil", ""] {
        let answer = scene.ask(&Request::get("/h/x").header("Host", host));
        assert!(matches!(answer.status, 400 | 401), "{host}: {answer}");
    }
    let twice =
        scene.ask(&Request::get("/h/x").header("Host", "public.test").header("Host", "other.test"));
    assert_eq!(twice.status, 400, "{twice}");
    assert_eq!(scene.ask_raw("GET /h/x HTTP/1.1\r\n\r\n").status, 400);
}

/// Paths that begin like something that is open, and go on in all the ways that mislead parsers.
fn misleading() -> impl Strategy<Value = String> {
    let start = prop::sample::select(vec![
        "/open",
        "/Open",
        "/openX",
        "/open.",
        "/open..",
        "/open;",
        "/open%20",
        "//open",
        "/./open",
        "/api",
        "/apiX",
        "/auth",
        "/authX",
        "/auth;",
        "/docs",
        "/docsX",
        "/docs.",
        "/openapi.json",
        "/openapi.jsonX",
        "/.well-known",
        "/status",
        "/monitoring",
        "/monitoring/health",
        "/monitoring/healthX",
        "/kept",
        "/orders",
        "",
        "/",
    ]);
    let piece = prop::sample::select(vec![
        "/", "..", ".", "%2e", "%2E", "%2f", "%2F", "%5c", "%00", "%3b", ";", "%25", "%252f", "a",
        "api", "open", "x%20y", "%61", "%c3%a9", "%ff", "?", "&", "=", "\\", "~", "%", "%4", ":",
        "@", "login", "health",
    ]);
    (start, prop::collection::vec(piece, 0..7)).prop_map(|(start, pieces)| {
        let target = format!("{start}{}", pieces.concat());
        if target.starts_with('/') { target } else { format!("/{target}") }
    })
}

/// Whether a path is plainly at or below `prefix`, by segments of which none misleads anyone.
fn is_plainly_below(target: &str, prefix: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    let Some(rest) = path.strip_prefix(prefix) else { return false };
    let plain = |segment: &str| {
        let odd = [";", "\\", "%2e", "%2E", "%2f", "%2F", "%5c", "%00", "%3b", "%25", "%61", "%ff"];
        segment != "." && segment != ".." && !odd.iter().any(|odd| segment.contains(odd))
    };
    (rest.is_empty() || rest.starts_with('/')) && !path.contains("//") && rest.split('/').all(plain)
}

const MOUNTS: [&str; 9] = [
    "/auth",
    "/api/auth",
    "/status",
    "/monitoring/health",
    "/api/monitoring/health",
    "/docs",
    "/openapi.json",
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
];

#[test]
fn without_a_credential_every_path_that_is_not_open_is_refused_in_all_spellings() {
    let scene = Scene::usual();
    let line = scene.line();
    let opened = Cell::new(0);
    TestRunner::new(Config::with_cases(3000))
        .run(&misleading(), |target| {
            let answer = line.ask(&Request::get(&target));
            if is_plainly_below(&target, "/open") {
                opened.set(opened.get() + u64::from(answer.status == 200));
                return Ok(());
            }
            if MOUNTS.iter().any(|mount| is_plainly_below(&target, mount)) {
                return Ok(());
            }
            prop_assert!(matches!(answer.status, 400 | 401), "{target}: {answer}");
            Ok(())
        })
        .unwrap();
    let seen = scene.upstream.seen();
    let opened = opened.get();
    assert_eq!(seen.requests, opened);
    assert!(opened <= 60, "an address that sends no token has 60 a minute");
    for path in seen.paths.keys() {
        assert!(is_plainly_below(path, "/open"), "{path} reached the back end");
    }
}

#[test]
fn the_path_that_was_decided_about_is_the_path_that_the_back_end_gets() {
    let scene = Scene::with("[[routes]]\nname = \"rest\"\npath = \"/\"\nupstream = \"echo\"");
    let line = scene.line();
    let token = token();
    let through = Cell::new(0);
    TestRunner::new(Config::with_cases(3000))
        .run(&misleading(), |target| {
            let answer = line.ask(&Request::get(&target).bearer(&token));
            if MOUNTS.iter().any(|mount| is_plainly_below(&target, mount)) {
                return Ok(());
            }
            match answer.status {
                200 => {
                    through.set(through.get() + 1);
                    let echo = Echo::of_answer(&answer);
                    prop_assert_eq!(echo.target(), &target);
                }
                403 => prop_assert!(is_plainly_below(&target, "/orders"), "{target}: {answer}"),
                status => prop_assert_eq!(status, 400, "{}: {}", target, answer),
            }
            Ok(())
        })
        .unwrap();
    let through = through.get();
    assert!(through > 100, "only {through} came through: the generator is too wild");
    assert_eq!(scene.reached(), through);
}
