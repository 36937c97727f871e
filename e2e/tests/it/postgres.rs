//! The whole of it on a Postgres: what people do, and what becomes of it when the server goes away.

use test_support::doorward::Doorward;
use test_support::doorward::Tokens;
use test_support::http1::Request;
use test_support::postgres::PostgresServer;
use test_support::wait::START_MAX;
use test_support::wait::wait_until;

use crate::scene::PASSWORD;
use crate::scene::Scene;
use crate::scene::assert_problem;
use crate::scene::assert_revoked;

/// A Doorward whose people are in `server`.
fn scene_on(server: &PostgresServer) -> Scene {
    let database = format!("[database]\nurl = \"{}\"", server.url());
    Scene::with(&database)
}

#[test]
fn people_sign_in_call_through_refresh_and_log_out_on_postgres() {
    let server = PostgresServer::start();
    let scene = scene_on(&server);
    scene.doorward.create_user("ann", "premium", PASSWORD);
    let ann = scene.doorward.login("ann", PASSWORD);
    assert_eq!(scene.call(&ann.access).header("x-ratelimit-limit"), Some("1000"));
    let next = Tokens::of(&scene.refresh(&ann.refresh));
    assert_eq!(scene.call(&next.access).status, 200);
    let logout = Request::post("/auth/logout").bearer(&next.access);
    assert_eq!(scene.ask(&logout).status, 200);
    assert_revoked(&scene.call(&next.access));
    assert_revoked(&scene.call(&ann.access));
    assert_eq!(scene.refresh(&next.refresh).status, 401);
    scene.doorward.login_as_admin();
}

#[test]
fn two_doorwards_on_one_postgres_share_people_and_revocations() {
    let server = PostgresServer::start();
    let (one, other) = (scene_on(&server), scene_on(&server));
    one.doorward.create_user("ann", "free", PASSWORD);
    let ann = other.doorward.login("ann", PASSWORD);
    assert_eq!(one.call(&ann.access).status, 200);
    one.doorward.must(&["user", "disable", "ann"]);
    let refused = || one.call(&ann.access).status == 401 && other.call(&ann.access).status == 401;
    wait_until(START_MAX, refused);
    assert_revoked(&other.call(&ann.access));
}

#[test]
fn tokens_already_issued_go_on_being_taken_while_the_database_is_away() {
    let mut server = PostgresServer::start();
    let scene = scene_on(&server);
    scene.doorward.create_user("ann", "free", PASSWORD);
    let ann = scene.doorward.login("ann", PASSWORD);
    server.stop();
    for _ in 0..3 {
        assert_eq!(scene.call(&ann.access).status, 200);
        let login =
            Request::post("/auth/login").form(&[("username", "ann"), ("password", PASSWORD)]);
        let answer = scene.ask(&login);
        assert_problem(
            &answer,
            503,
            "SERVICE_UNAVAILABLE",
            "Service busy. Please try again later.",
        );
        assert_eq!(scene.refresh(&ann.refresh).status, 503);
    }
    let health = scene.ask(&Request::get("/monitoring/health")).json();
    assert_eq!(health["status"], "unhealthy");
    server.start_again();
    wait_until(START_MAX, || scene.refresh(&ann.refresh).status == 200);
    scene.doorward.login("ann", PASSWORD);
    let logout = Request::post("/auth/logout").bearer(&ann.access);
    assert_eq!(scene.ask(&logout).status, 200);
    wait_until(START_MAX, || scene.call(&ann.access).status == 401);
}

#[test]
fn a_database_that_is_not_there_at_the_start_is_one_paragraph_and_exit_1() {
    let mut server = PostgresServer::start();
    server.stop();
    let database = format!("[database]\nurl = \"{}\"", server.url());
    let Err((status, log)) = Doorward::builder().config(database).try_start() else {
        panic!("it started");
    };
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{log}");
    let last = log.trim().lines().last().unwrap_or_default();
    assert!(last.contains(&format!("127.0.0.1:{}", server.port())), "{log}");
    assert!(last.contains("5 attempts"), "{log}");
}
