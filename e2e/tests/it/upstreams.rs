//! Back ends that cannot be reached, are late, break off, or come back.

use std::io::ErrorKind;
use std::time::Duration;
use std::time::Instant;

use test_support::http1::Request;
use test_support::place::free_port;
use test_support::upstream::Echo;
use test_support::upstream::Upstream;
use test_support::wait::START_MAX;
use test_support::wait::wait_until;

use crate::scene::Scene;
use crate::scene::assert_fault;
use crate::scene::token;

const ROUTE: &str = "[[routes]]\nname = \"api\"\npath = \"/api\"\nupstream = \"echo\"";

/// One route to back ends at these addresses, as TOML strings.
fn scene_of(endpoints: &str, more: &str) -> Scene {
    Scene::of(&format!("[upstreams.echo]\nendpoints = [{endpoints}]\n{more}\n{ROUTE}"))
}

/// The URL, as a TOML string, of an address at which nobody listens.
fn dead() -> String {
    format!("\"http://127.0.0.1:{}\"", free_port())
}

#[test]
fn a_back_end_that_cannot_be_reached_is_a_502() {
    let dead = dead();
    let scene = scene_of(&dead, "");
    let port = dead.trim_matches('"').rsplit(':').next().unwrap().to_owned();
    for request in [Request::get("/api/x"), Request::post("/api/x").body("hello")] {
        let answer = scene.ask(&request.bearer(&token()));
        assert_fault(&answer, 502, "UPSTREAM_UNAVAILABLE");
        assert!(!answer.text().contains(&port), "it tells where the back end is: {answer}");
    }
    assert_eq!(scene.ask(&Request::get("/api/x")).status, 401);
}

#[test]
fn a_back_end_that_never_answers_is_a_504_after_its_time() {
    let scene = scene_of("\"UPSTREAM\"", "read_timeout = \"300ms\"");
    let began = Instant::now();
    let answer = scene.ask(&Request::get("/api/hang").bearer(&token()));
    assert_fault(&answer, 504, "UPSTREAM_TIMEOUT");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(5), "{took:?}");
    assert_eq!(scene.upstream.seen().of("/api/hang"), 1);
    let answer = scene.ask(&Request::get("/api/slow?ms=50").bearer(&token()));
    assert_eq!(answer.status, 200, "{answer}");
}

#[test]
fn a_back_end_that_closes_instead_of_answering_is_a_502() {
    let scene = Scene::usual();
    let mut connection = scene.connect();
    let answer = connection.ask(&Request::get("/api/close").bearer(&token()));
    assert_fault(&answer, 502, "UPSTREAM_UNAVAILABLE");
    if answer.header("connection").is_some_and(|said| said.eq_ignore_ascii_case("close")) {
        assert!(connection.is_closed_by_the_other_side());
        connection = scene.connect();
    }
    let answer = connection.ask(&Request::get("/api/x").bearer(&token()));
    assert_eq!(answer.status, 200, "{answer}");
}

#[test]
fn a_request_that_may_have_been_carried_out_is_not_sent_twice() {
    let scene = Scene::usual();
    // Leaves a connection to the back end that the next request takes over.
    assert_eq!(scene.ask(&Request::get("/api/x").bearer(&token())).status, 200);
    for (method, path) in [("POST", "/api/close/1"), ("PATCH", "/api/close/2")] {
        let request = Request::new(method, path).bearer(&token()).body("pay");
        assert_fault(&scene.ask(&request), 502, "UPSTREAM_UNAVAILABLE");
        assert_eq!(scene.upstream.seen().of(path), 1, "{method}");
        assert_eq!(scene.ask(&Request::get("/api/x").bearer(&token())).status, 200);
    }
    let request = Request::post("/api/hang").bearer(&token()).body("pay");
    assert_fault(&scene.ask(&request), 504, "UPSTREAM_TIMEOUT");
    assert_eq!(scene.upstream.seen().of("/api/hang"), 1);
}

#[test]
fn a_client_notices_when_an_answer_breaks_off_half_way() {
    let scene = Scene::usual();
    let mut connection = scene.connect();
    let half = connection.try_ask(&Request::get("/api/half").bearer(&token()));
    match half {
        // Nothing had been passed on yet.
        Ok(answer) => assert_fault(&answer, 502, "UPSTREAM_UNAVAILABLE"),
        Err(error) => assert!(
            matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset),
            "{error}"
        ),
    }
    assert_eq!(scene.ask(&Request::get("/api/x").bearer(&token())).status, 200);
}

#[test]
fn with_one_of_two_back_ends_dead_every_request_succeeds() {
    let scene = scene_of(&format!("{}, \"UPSTREAM\"", dead()), "");
    for n in 0..20 {
        let request = match n % 3 {
            0 => Request::get("/api/x"),
            1 => Request::post("/api/x").body("hello"),
            _ => Request::new("DELETE", "/api/x"),
        };
        let answer = scene.ask(&request.bearer(&token()));
        assert_eq!(answer.status, 200, "{answer}");
    }
    assert_eq!(scene.reached(), 20);
    assert!(scene.metric("doorward_upstream_retries_total") >= 1);
}

#[test]
fn a_body_that_was_begun_survives_the_change_to_another_back_end() {
    let scene = scene_of(&format!("{}, \"UPSTREAM\"", dead()), "");
    let body = "hello, world; ".repeat(1000);
    for _ in 0..4 {
        let answer = scene.ask(&Request::post("/api/x").bearer(&token()).body(body.clone()));
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(Echo::of_answer(&answer).body, body);
    }
}

#[test]
fn with_all_back_ends_dead_the_answer_is_a_502() {
    let scene = scene_of(&[dead(), dead(), dead()].join(", "), "");
    let answer = scene.ask(&Request::get("/api/x").bearer(&token()));
    assert_fault(&answer, 502, "UPSTREAM_UNAVAILABLE");
}

#[test]
fn two_living_back_ends_share_the_requests() {
    let other = Upstream::start();
    let scene = scene_of(&format!("\"{}\", \"UPSTREAM\"", other.url()), "");
    for _ in 0..20 {
        assert_eq!(scene.ask(&Request::get("/api/x").bearer(&token())).status, 200);
    }
    let (one, two) = (scene.reached(), other.seen().requests);
    assert_eq!(one + two, 20);
    assert!(one >= 5 && two >= 5, "{one} and {two}");
}

#[test]
fn a_back_end_that_went_away_is_used_again_when_it_is_back() {
    let mut scene = Scene::usual();
    let request = Request::get("/api/x").bearer(&token());
    assert_eq!(scene.ask(&request).status, 200);
    let addr = scene.upstream.addr().to_string();
    scene.upstream.stop();
    assert_fault(&scene.ask(&request), 502, "UPSTREAM_UNAVAILABLE");
    let _back = Upstream::start_at(&addr);
    wait_until(START_MAX, || scene.ask(&request).status == 200);
}

#[test]
fn a_back_ends_own_refusal_passes_untouched_and_is_none_of_ours() {
    let scene = Scene::usual();
    for status in [401, 403, 404, 429, 502, 503] {
        let answer = scene.ask(&Request::get(&format!("/api/status/{status}")).bearer(&token()));
        assert_eq!(answer.status, status, "{answer}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{answer}");
        assert_eq!(answer.header("www-authenticate"), None, "{answer}");
        let echo = Echo::of_answer(&answer);
        assert_eq!(echo.header("x-user-id"), Some("u-1"));
    }
    assert_eq!(scene.metric("doorward_auth_failures_total"), 0);
}

#[test]
fn an_answer_in_chunks_with_a_trailer_arrives_whole() {
    let scene = Scene::usual();
    let mut connection = scene.connect();
    for _ in 0..3 {
        let answer = connection.ask(&Request::get("/api/chunked").bearer(&token()));
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello, world"), "{answer}");
    }
}

#[test]
fn a_client_that_goes_away_does_not_hold_a_back_end_for_ever() {
    let scene = scene_of("\"UPSTREAM\"", "read_timeout = \"60s\"");
    let mut connection = scene.connect();
    connection.send(&Request::get("/api/hang").bearer(&token()).to_bytes());
    wait_until(START_MAX, || scene.upstream.seen().of("/api/hang") == 1);
    drop(connection);
    wait_until(START_MAX, || scene.metric("doorward_connections") == 0);
}
