//! The way of a request that is as it should be: sign in, call through, be refused without a token.

use serde_json::json;
use test_support::doorward::ADMIN_PASSWORD;
use test_support::doorward::Doorward;
use test_support::http1::Request;
use test_support::upstream::Echo;
use test_support::upstream::Upstream;

use crate::scene::Scene;
use crate::scene::assert_problem;
use crate::scene::token;
use crate::tokens::claims_of;
use crate::tokens::now_s;

#[test]
fn whoever_signs_in_is_let_through_and_named_to_the_back_end() {
    let scene = Scene::usual();
    let login =
        Request::post("/auth/login").form(&[("username", "admin"), ("password", ADMIN_PASSWORD)]);
    let answer = scene.ask(&login);
    assert_eq!(answer.status, 200, "{answer}");
    let body = answer.json();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("bearer"), &json!(1800)));
    let access = body["access_token"].as_str().unwrap();

    let claims = claims_of(access);
    let echo =
        scene.echo(&Request::get("/api/things?page=2").bearer(access).header("X-Own", "kept"));
    assert_eq!(echo.request_line, "GET /api/things?page=2 HTTP/1.1");
    assert_eq!(echo.header("x-user-id"), claims["user_id"].as_str());
    assert_eq!(echo.header("x-username"), Some("admin"));
    assert_eq!(echo.header("x-user-tier"), Some("admin"));
    assert_eq!(echo.header("x-user-scopes"), claims["scope"].as_str());
    assert_eq!(echo.header("x-session-id"), claims["sid"].as_str());
    assert!(echo.header("x-request-id").is_some_and(|id| id.len() >= 16), "{echo:?}");
    assert!(echo.header("traceparent").is_some_and(|trace| trace.len() == 55), "{echo:?}");
    assert_eq!(echo.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(echo.header("x-forwarded-proto"), Some("http"));
    assert_eq!(echo.header("x-forwarded-host"), Some("gateway.test"));
    assert_eq!(echo.header("x-own"), Some("kept"));
    assert_eq!(echo.header("authorization"), None);
}

#[test]
fn an_access_token_says_all_that_old_back_ends_read_and_more() {
    let scene = Scene::usual();
    let tokens = scene.doorward.login_as_admin();
    let claims = claims_of(&tokens.access);
    assert_eq!(claims["sub"], claims["user_id"]);
    assert!(claims["user_id"].is_string());
    assert_eq!(claims["username"], "admin");
    assert_eq!(claims["tier"], "admin");
    assert_eq!(claims["type"], "access");
    let scopes = claims["scopes"].as_array().unwrap();
    assert!(scopes.contains(&json!("admin")), "{claims}");
    let scope = claims["scope"].as_str().unwrap();
    assert!(scope.split(' ').eq(scopes.iter().filter_map(|scope| scope.as_str())), "{claims}");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 1800);
    assert!(claims["iat"].as_u64().unwrap().abs_diff(now_s()) <= 30);
    for id in ["jti", "sid", "iss"] {
        assert!(claims[id].as_str().is_some_and(|id| !id.is_empty()), "no `{id}` in {claims}");
    }
    assert!(claims["ep"].is_u64(), "{claims}");
}

#[test]
fn the_old_mount_signs_in_as_well_and_by_e_mail_too() {
    let scene = Scene::usual();
    let fields = [("username", "admin"), ("password", ADMIN_PASSWORD), ("grant_type", "password")];
    let answer = scene.ask(&Request::post("/api/auth/login").form(&fields));
    assert_eq!(answer.status, 200, "{answer}");
    let me = scene
        .ask(&Request::get("/api/auth/me").bearer(answer.json()["access_token"].as_str().unwrap()));
    assert_eq!(me.status, 200, "{me}");
    let me = me.json();
    assert_eq!(
        (&me["username"], &me["tier"], &me["is_active"]),
        (&json!("admin"), &json!("admin"), &json!(true))
    );
    let e_mail = me["email"].as_str().unwrap().replace('@', "%40");
    let answer = scene.ask(
        &Request::post("/auth/login").form(&[("username", &e_mail), ("password", ADMIN_PASSWORD)]),
    );
    assert_eq!(answer.status, 200, "{answer}");
}

#[test]
fn without_a_token_the_answer_is_401_and_nothing_reaches_the_back_end() {
    let scene = Scene::usual();
    let answer = scene.ask(&Request::get("/api/things"));
    assert_problem(&answer, 401, "NOT_AUTHENTICATED", "Not authenticated");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    assert_eq!(scene.reached(), 0);
}

#[test]
fn a_body_arrives_byte_for_byte_with_its_length_or_in_chunks() {
    let scene = Scene::usual();
    let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let expected: String = body.iter().map(|&byte| char::from(byte)).collect();
    let echo = scene.echo(&Request::post("/api/up").bearer(&token()).body(body.clone()));
    assert_eq!(echo.body, expected);
    assert_eq!(echo.method(), "POST");

    let head = format!(
        "POST /api/up HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        token()
    );
    let mut request = head.into_bytes();
    for chunk in body.chunks(7001) {
        request.extend(format!("{:x}\r\n", chunk.len()).bytes());
        request.extend(chunk);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    let answer = scene.ask_raw(request);
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(Echo::of_answer(&answer).body, expected);
}

#[test]
fn the_back_ends_own_status_and_headers_come_back() {
    let scene = Scene::usual();
    for status in [200, 201, 204, 301, 304, 400, 404, 418, 500, 503] {
        let answer = scene.ask(&Request::get(&format!("/api/status/{status}")).bearer(&token()));
        assert_eq!(answer.status, status, "{answer}");
    }
    let head = scene.ask(&Request::new("HEAD", "/api/things").bearer(&token()));
    assert_eq!((head.status, head.body.len()), (200, 0), "{head}");
    let answer = scene.ask(&Request::get("/api/headers").bearer(&token()));
    assert_eq!(answer.header("x-from-upstream"), Some("yes"), "{answer}");
}

#[test]
fn one_command_without_a_configuration_serves_the_named_upstream() {
    let upstream = Upstream::start();
    let doorward =
        Doorward::builder().upstream(&upstream.url()).without_env("JWT_SECRET_KEY").start();
    let tokens = doorward.login_as_admin();
    let answer = doorward.ask(&Request::get("/anything/at/all").bearer(&tokens.access));
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(Echo::of_answer(&answer).header("x-username"), Some("admin"));
    assert_eq!(doorward.ask(&Request::get("/anything/at/all")).status, 401);
}

#[test]
fn one_command_without_any_upstream_answers_with_an_echo_of_its_own() {
    let doorward = Doorward::builder().start();
    let tokens = doorward.login_as_admin();
    let answer = doorward.ask(&Request::get("/hello").bearer(&tokens.access));
    assert_eq!(answer.status, 200, "{answer}");
    assert!(answer.text().contains("admin"), "{answer}");
    assert_eq!(doorward.ask(&Request::get("/hello")).status, 401);
}

#[test]
fn a_token_minted_on_the_command_line_is_printed_alone_and_lets_through() {
    let scene = Scene::usual();
    let minted = scene.doorward.mint("admin", &["--ttl", "1h"]);
    let claims = claims_of(&minted);
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);
    assert_eq!(
        scene.echo(&Request::get("/api/x").bearer(&minted)).header("x-username"),
        Some("admin")
    );

    let scoped =
        scene.doorward.mint("admin", &["--tier", "free", "--scopes", "orders:read,orders:write"]);
    let echo = scene.echo(&Request::get("/orders/1").bearer(&scoped));
    assert_eq!(echo.header("x-user-tier"), Some("free"));
    assert_eq!(echo.header("x-user-scopes"), Some("orders:read orders:write"));
}
