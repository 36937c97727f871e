//! How it ends: at once when idle, after what is under way otherwise.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;
use std::time::Instant;

use test_support::http1::Connection;
use test_support::http1::Request;
use test_support::upstream::Echo;
use test_support::wait::START_MAX;
use test_support::wait::wait_until;

use crate::scene::Scene;
use crate::scene::assert_fault;
use crate::scene::token;

/// A request that has reached the back end and is not answered.
fn held(scene: &Scene) -> Connection {
    let mut connection = scene.connect();
    connection.send(&Request::get("/api/hold").bearer(&token()).to_bytes());
    wait_until(START_MAX, || scene.upstream.seen().of("/api/hold") == 1);
    connection
}

#[test]
fn idle_it_ends_within_a_second_of_being_asked() {
    let mut scene = Scene::usual();
    let (status, took) = scene.doorward.sigterm_and_wait();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn open_connections_on_which_nothing_happens_keep_it_from_nothing() {
    let mut scene = Scene::usual();
    let mut connections: Vec<_> = (0..8).map(|_| scene.connect()).collect();
    for connection in connections.iter_mut().skip(2) {
        assert_eq!(connection.ask(&Request::get("/api/x").bearer(&token())).status, 200);
    }
    let mut ops = Connection::open(scene.doorward.ops());
    assert_eq!(ops.ask(&Request::get("/livez")).status, 200);
    scene.doorward.login_as_admin();
    let (status, took) = scene.doorward.sigterm_and_wait();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    for connection in &mut connections {
        assert!(connection.is_closed_by_the_other_side());
    }
}

#[test]
fn a_request_under_way_is_finished_and_nobody_else_is_let_in() {
    let mut scene = Scene::patient("");
    let mut connection = held(&scene);
    scene.doorward.terminate();
    wait_until(START_MAX, || !scene.doorward.is_ready());
    let public = scene.doorward.public();
    wait_until(START_MAX, || {
        Connection::try_open(public)
            .and_then(|mut late| late.try_ask(&Request::get("/api/x").bearer(&token())))
            .is_err()
    });
    assert_eq!(scene.upstream.seen().of("/api/hold"), 1);
    scene.upstream.release();
    let answer = connection.answer();
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(Echo::of_answer(&answer).header("x-user-id"), Some("u-1"));
    assert!(connection.is_closed_by_the_other_side());
    let status = scene.doorward.wait_for_end(Duration::from_secs(5));
    assert_eq!(status.code(), Some(0), "{status}");
}

#[test]
fn a_request_under_way_is_waited_for_only_so_long() {
    let mut scene = Scene::patient("drain_timeout = \"300ms\"");
    let mut connection = held(&scene);
    let began = Instant::now();
    let (status, _) = scene.doorward.sigterm_and_wait();
    assert_eq!(status.code(), Some(0), "{status}");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(5), "{took:?}");
    assert!(connection.is_closed_by_the_other_side());
}

#[test]
fn asked_a_second_time_it_ends_at_once() {
    let mut scene = Scene::patient("");
    let mut connection = held(&scene);
    scene.doorward.terminate();
    wait_until(START_MAX, || !scene.doorward.is_ready());
    let began = Instant::now();
    scene.doorward.terminate();
    let status = scene.doorward.wait_for_end(START_MAX);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(status.signal(), None, "it ended by itself: {status}");
    assert!(connection.is_closed_by_the_other_side());
}

#[test]
fn the_last_lines_of_the_access_log_are_written_before_it_ends() {
    let mut scene = Scene::usual();
    for n in 0..50 {
        assert_eq!(scene.ask(&Request::get(&format!("/api/{n}")).bearer(&token())).status, 200);
    }
    let (status, _) = scene.doorward.sigterm_and_wait();
    assert_eq!(status.code(), Some(0));
    let log = scene.doorward.log();
    for n in 0..50 {
        let path = format!("\"path\":\"/api/{n}\"");
        assert!(log.contains(&path), "no line of {path}");
    }
}

#[test]
fn it_is_alive_started_and_ready_and_shows_its_metrics_to_operators_alone() {
    let scene = Scene::usual();
    for path in ["/livez", "/readyz", "/startupz", "/readyz?verbose"] {
        assert_eq!(scene.doorward.ask_ops(path).status, 200, "{path}");
    }
    assert!(!scene.doorward.ask_ops("/readyz?verbose").body.is_empty());
    let metrics = scene.doorward.ask_ops("/metrics");
    let media_type = metrics.header("content-type").unwrap_or_default();
    assert!(media_type.starts_with("text/plain"), "{metrics}");
    for name in ["doorward_requests_total", "doorward_auth_failures_total", "process_"] {
        assert!(metrics.text().contains(name), "no `{name}` in {metrics}");
    }
    for path in ["/livez", "/readyz", "/startupz", "/metrics"] {
        assert_eq!(scene.ask(&Request::get(path)).status, 401, "{path} is public");
    }
}

#[test]
fn anything_else_on_the_operators_address_is_not_found() {
    let scene = Scene::usual();
    for path in ["/", "/livezX", "/readyz/x", "/metrics/", "/api/x", "/auth/login", "/debug"] {
        let answer = scene.doorward.ask_ops(path);
        assert_fault(&answer, 404, "NOT_FOUND");
    }
    assert_eq!(scene.reached(), 0);
}
