//! Requests that ask for another protocol pass the same checks as all others.

use test_support::http1::Connection;
use test_support::http1::Request;
use test_support::wait::START_MAX;
use test_support::wait::wait_until;

use crate::scene::Scene;
use crate::scene::assert_problem;
use crate::scene::token;
use crate::tokens::Forged;

const SPOOFED: &str = "spoofed";

fn upgrade(path: &str, protocol: &str) -> Request {
    Request::get(path).header("Connection", "Upgrade").header("Upgrade", protocol)
}

fn web_socket(path: &str) -> Request {
    upgrade(path, "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// Sends bytes and gets the same ones back.
#[track_caller]
fn assert_carries(connection: &mut Connection, bytes: &[u8]) {
    connection.send(bytes);
    assert_eq!(connection.read_exactly(bytes.len()).unwrap(), bytes);
}

#[test]
fn a_web_socket_passes_with_a_token_and_carries_bytes_both_ways() {
    let scene = Scene::usual();
    let mut connection = scene.connect();
    let answer = connection.ask(&web_socket("/api/ws").bearer(&token()));
    assert_eq!(answer.status, 101, "{answer}");
    let protocol = answer.header("upgrade").unwrap_or_default();
    assert!(protocol.eq_ignore_ascii_case("websocket"), "{answer}");
    assert_carries(&mut connection, b"\x81\x85\x00\x00\x00\x00hello");
    assert_carries(&mut connection, &[0, 255, 13, 10, 13, 10]);
    let block: Vec<u8> = (0..=255).cycle().take(16 * 1024).collect();
    for _ in 0..64 {
        assert_carries(&mut connection, &block);
    }
    assert_eq!(scene.reached(), 1);
}

#[test]
fn a_web_socket_without_a_token_never_reaches_the_back_end() {
    let scene = Scene::usual();
    for path in ["/api/ws", "/nowhere", "/orders/ws"] {
        let answer = scene.ask(&web_socket(path));
        assert_problem(&answer, 401, "NOT_AUTHENTICATED", "Not authenticated");
    }
    let expired = Forged::new("u-1", "ann").claim("exp", serde_json::json!(1)).sign();
    let answer = scene.ask(&web_socket("/api/ws").bearer(&expired));
    assert_problem(&answer, 401, "TOKEN_EXPIRED", "Could not validate credentials");
    assert_eq!(scene.reached(), 0);
}

#[test]
fn a_web_socket_without_the_scopes_never_reaches_the_back_end() {
    let scene = Scene::usual();
    assert_eq!(scene.ask(&web_socket("/orders/ws").bearer(&token())).status, 403);
    assert_eq!(scene.reached(), 0);
    let editor = Forged::new("u-1", "ann").scopes(&["orders:read", "orders:write"]).sign();
    assert_eq!(scene.ask(&web_socket("/orders/ws").bearer(&editor)).status, 101);
}

#[test]
fn the_word_upgrade_opens_nothing_whatever_it_names() {
    let scene = Scene::usual();
    for protocol in ["foo", "websocket", "h2c", "TLS/1.0", "HTTP/2.0", "foo, websocket", ""] {
        for request in [
            upgrade("/api/x", protocol),
            Request::get("/api/x").header("Upgrade", protocol),
            Request::post("/api/x").header("Upgrade", protocol).body("x"),
            upgrade("/api/x", protocol).header("Authorization", "Basic eDp5"),
        ] {
            let answer = scene.ask(&request);
            assert_problem(&answer, 401, "NOT_AUTHENTICATED", "Not authenticated");
        }
    }
    assert_eq!(scene.reached(), 0);
}

#[test]
fn an_upgrade_spends_the_quota_like_any_request() {
    let scene =
        Scene::with("[tiers.three]\nlimits = [{ name = \"minute\", requests = 3, per = \"1m\" }]");
    let kim = Forged::new("u-7", "kim").tier("three").sign();
    for protocol in ["foo", "websocket", "foo"] {
        let answer = scene.ask(&upgrade("/api/x", protocol).bearer(&kim));
        assert!(matches!(answer.status, 101 | 200), "{answer}");
    }
    for request in [upgrade("/api/x", "foo"), web_socket("/api/x"), Request::get("/api/x")] {
        let answer = scene.ask(&request.bearer(&kim));
        assert_eq!(answer.status, 429, "{answer}");
        assert_eq!(answer.json()["error_code"], "RATE_LIMIT_EXCEEDED");
    }
    assert_eq!(scene.reached(), 3);
}

#[test]
fn an_upgrade_without_a_token_spends_the_addresses_quota_on_a_public_route() {
    let scene = Scene::usual();
    let mut admitted = 0;
    for _ in 0..70 {
        let status = scene.ask(&upgrade("/open/x", "foo")).status;
        assert!(matches!(status, 101 | 200 | 429), "{status}");
        admitted += u64::from(status != 429);
    }
    assert_eq!((admitted, scene.reached()), (60, 60));
}

#[test]
fn the_back_end_of_an_upgrade_is_told_who_it_is_by_us_alone() {
    let scene = Scene::usual();
    let request = web_socket("/api/ws")
        .bearer(&token())
        .header("X-User-Id", SPOOFED)
        .header("x_user_tier", SPOOFED)
        .header("X-Forwarded-For", SPOOFED)
        .header("Connection", "X-Username, X-User-Tier");
    assert_eq!(scene.ask(&request).status, 101);
    let echo = scene.last_head();
    assert_eq!(echo.header("x-user-id"), Some("u-1"));
    assert_eq!(echo.header("x-username"), Some("ann"));
    assert_eq!(echo.header("x-user-tier"), Some("admin"));
    assert_eq!(echo.header("x-forwarded-for"), Some("127.0.0.1"));
    assert!(echo.header("x-request-id").is_some(), "{echo:?}");
    assert_eq!(echo.header("authorization"), None);
    assert_eq!(echo.header("upgrade"), Some("websocket"));
    assert_eq!(echo.header("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    assert!(echo.headers.iter().all(|(_, value)| !value.contains(SPOOFED)), "{echo:?}");
    let connection = echo.all("connection").join(",").to_lowercase();
    assert!(connection.contains("upgrade") && !connection.contains("x-user"), "{echo:?}");
}

#[test]
fn http_2_in_the_clear_is_no_tunnel_past_the_checks() {
    let scene = Scene::usual();
    for protocol in ["h2c", "H2C", "websocket, h2c"] {
        let request = Request::get("/api/x")
            .bearer(&token())
            .header("Connection", "Upgrade, HTTP2-Settings")
            .header("Upgrade", protocol)
            .header("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA");
        let answer = scene.ask(&request);
        assert_ne!(answer.status, 101, "`Upgrade: {protocol}` opened a tunnel: {answer}");
    }
}

/// Reads the answer to a request that had more behind it; what is answered after it was admitted,
/// or refused, by itself.
#[track_caller]
fn assert_what_follows_is_a_request_of_its_own(connection: &mut Connection) {
    let first = connection.answer();
    assert!(matches!(first.status, 101 | 200 | 400), "{first}");
    if first.status == 200
        && let Ok(second) = connection.try_answer()
    {
        assert_problem(&second, 401, "NOT_AUTHENTICATED", "Not authenticated");
    }
}

#[test]
fn what_follows_an_upgrade_before_it_is_agreed_is_not_passed_as_a_second_request() {
    let scene = Scene::usual();
    for path in ["/api/stay/first", "/open/stay/first", "/api/first"] {
        for protocol in ["foo", "websocket", "h2c"] {
            let mut connection = scene.connect();
            let mut bytes = upgrade(path, protocol).bearer(&token()).to_bytes();
            bytes.extend(Request::get("/api/second").header("X-User-Id", "1").to_bytes());
            connection.send(&bytes);
            assert_what_follows_is_a_request_of_its_own(&mut connection);
        }
    }
    let seen = scene.upstream.seen();
    assert_eq!(seen.of("/api/second"), 0, "{:?}", seen.paths);
}

#[test]
fn a_body_that_is_longer_than_announced_is_not_passed_as_a_second_request() {
    let scene = Scene::usual();
    let mut bytes = Request::post("/api/first")
        .bearer(&token())
        .header("Upgrade", "foo")
        .body("12345")
        .to_bytes();
    bytes.extend(Request::get("/api/second").to_bytes());
    let mut connection = scene.connect();
    connection.send(&bytes);
    assert_what_follows_is_a_request_of_its_own(&mut connection);
    assert_eq!(scene.upstream.seen().of("/api/second"), 0);
}

#[test]
fn when_either_side_ends_an_upgraded_connection_the_other_notices() {
    let scene = Scene::usual();
    let mut connection = scene.connect();
    assert_eq!(connection.ask(&web_socket("/api/ws").bearer(&token())).status, 101);
    assert_carries(&mut connection, b"x");
    connection.finish();
    assert!(connection.is_closed_by_the_other_side());

    let mut scene = scene;
    let mut connection = scene.connect();
    assert_eq!(connection.ask(&web_socket("/api/ws").bearer(&token())).status, 101);
    scene.upstream.stop();
    assert!(connection.is_closed_by_the_other_side());
    wait_until(START_MAX, || scene.metric("doorward_connections") == 0);
}
