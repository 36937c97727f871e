//! A Postgres that is not there, or no longer.

use std::error::Error;

use admin_api::AdminApi;
use config::Database;
use config::Environment;
use http::StatusCode;
use kernel::secret::Secret;
use test_support::postgres::PostgresServer;

use crate::place::Place;
use crate::support::*;

/// Why nothing opens at `url`, in all its words.
pub(crate) async fn fault_of(url: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_at(dir.path(), "");
    config.database = Database::Postgres { url: Secret::new(url) };
    let Err(error) = AdminApi::open(&config, keys(), Hand::new().clock()).await else {
        panic!("it opened");
    };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    assert!(!text.contains("hunter2"), "{text}");
    text
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_there_is_tried_five_times_and_then_named() {
    let mut server = PostgresServer::start();
    server.stop();
    let url = format!("postgres://ann:hunter2@127.0.0.1:{}/doorward", server.port());
    let text = fault_of(&url).await;
    let place = format!("127.0.0.1:{}/doorward", server.port());
    assert!(text.contains(&format!("`{place}` could not be reached in 5 attempts")), "{text}");
    assert!(text.contains("refused"), "{text}");
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_said_at_once() {
    let server = PostgresServer::start();
    let url = server.url().replace("/postgres", "/nothing");
    let text = fault_of(&url).await;
    assert!(text.contains("refuses the connection"), "{text}");
    assert!(text.contains("3D000"), "{text}");
}

#[tokio::test]
async fn a_database_that_goes_away_is_a_503_and_comes_back_by_itself() {
    let mut house = House::opened(Place::of_its_own(), Environment::Dev, "").await;
    house.add(ann()).await;
    let pair = house.sign_in().await;
    house.me(&pair.access).await.is_ok();
    house.place.stop();
    for request in [
        login(&[("username", "ann"), ("password", PASSWORD)]),
        json("/auth/refresh", &refresh_body(&pair.refresh)),
        bearer(post("/auth/logout"), &pair.access),
        bearer(get("/auth/me"), &pair.access),
    ] {
        let answer = house.ask(request).await;
        answer.is_problem(503, "Service busy. Please try again later.", "SERVICE_UNAVAILABLE");
        assert_eq!(answer.header("retry-after"), "1");
    }
    let health = house.ask(get("/monitoring/health?strict=1")).await;
    assert_eq!(health.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(health.text.contains("Database connection failed - system unavailable"));
    house.place.start_again();
    house.me(&pair.access).await.is_ok();
    house.refresh(&pair.refresh).await.pair();
}

#[tokio::test]
async fn what_somebody_else_holds_for_too_long_is_a_503_and_leaves_nobody_waiting_at_the_server() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    let held = house.place.hold_writes().await;
    let answer = house.ask(bearer(post("/auth/logout"), &pair.access)).await;
    answer.is_problem(503, "Service busy. Please try again later.", "SERVICE_UNAVAILABLE");
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE wait_event_type = 'Lock' AND datname = current_database()";
    assert_eq!(house.count(waiting), 0);
    drop(held);
    house.ask(bearer(post("/auth/logout"), &pair.access)).await.is_ok();
}
