//! `doorward db`: what is done to the database itself.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use serde_json::json;
use test_support::doorward::Builder;
use test_support::doorward::Doorward;
use test_support::http1::Request;
use test_support::postgres::PostgresServer;

use crate::scene::PASSWORD;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn assert_fails(output: &Output, status: i32, words: &[&str]) {
    let text = said(output);
    assert_eq!(output.status.code(), Some(status), "{text}");
    assert!(output.stdout.is_empty(), "it answered: {}", String::from_utf8_lossy(&output.stdout));
    for word in words {
        assert!(text.contains(word), "no `{word}` in: {text}");
    }
    assert!(!text.contains("panicked") && !text.contains("hunter2"), "{text}");
}

fn sqlite_url(builder: &Builder) -> String {
    format!("sqlite://{}", builder.data_dir().join("doorward.db").display())
}

fn on_postgres(server: &PostgresServer) -> String {
    format!("environment = \"dev\"\n[database]\nurl = \"{}\"\n", server.url())
}

#[test]
fn a_look_at_the_schema_makes_no_database_and_a_migration_makes_one() {
    let builder = Doorward::builder();
    let file = builder.data_dir().join("doorward.db");
    assert_fails(&builder.cli(&["db", "status"]), 1, &["there is no database file", "doorward.db"]);
    assert!(!builder.data_dir().exists(), "a look changed something");
    let told = builder.must(&["db", "migrate"]);
    assert!(file.is_file());
    assert_eq!(builder.must(&["db", "migrate"]), told, "migrating twice is migrating once");
    let steps = builder.must(&["db", "status", "--format", "json"]);
    let steps: Vec<Value> = serde_json::from_str(&steps).unwrap();
    assert_eq!((&steps[0]["version"], &steps[0]["name"]), (&json!(1), &json!("0001_users.sql")));
    for step in &steps {
        let at = step["applied_at"].as_str().unwrap_or_default();
        assert!(at.starts_with("20") && at.ends_with('Z'), "{step}");
    }
    assert!(told.ends_with(&format!("migration {}", steps.len())), "{told}");
    let text = builder.must(&["db", "status"]);
    assert_eq!(text.lines().count(), steps.len(), "{text}");
    assert!(!text.contains("not yet"), "{text}");
}

#[test]
fn steps_that_a_database_lacks_are_shown() {
    let server = PostgresServer::start();
    let builder = Doorward::builder().config(on_postgres(&server));
    let text = builder.must(&["db", "status"]);
    assert!(text.lines().count() > 2, "{text}");
    assert!(text.lines().all(|line| line.ends_with("not yet")), "{text}");
    assert!(server.query("SELECT 1 FROM schema_migrations").is_err(), "a look changed something");
}

/// A move: those who were signed in still are, and what was revoked still is.
fn move_house(from: Builder, to: impl Fn(&Builder) -> Builder, copy: &[&str]) -> Builder {
    let mut doorward = from.start();
    if !doorward.must(&["user", "list"]).contains("ann ") {
        doorward.create_user("ann", "premium", PASSWORD);
    }
    let kept = doorward.login("ann", PASSWORD);
    let ended = doorward.login("ann", PASSWORD);
    let out = doorward.ask(&Request::post("/auth/logout").bearer(&ended.access));
    assert_eq!(out.status, 200, "{out}");
    doorward.sigterm_and_wait();
    let builder = to(doorward.builder_of_this());
    let told = builder.must(&[&["db", "copy", "--format", "json"], copy].concat());
    let tables: Vec<Value> = serde_json::from_str(&told).unwrap();
    let rows = |name: &str| {
        let found = tables.iter().find(|table| table["table"] == name);
        found.unwrap_or_else(|| panic!("no `{name}` in {told}"))["rows"].clone()
    };
    assert!(tables.iter().all(|table| table["same"] == true), "{told}");
    assert_eq!(rows("users"), 2);
    assert!(rows("sessions").as_u64().is_some_and(|rows| rows >= 2), "{told}");
    assert_eq!(rows("revocation_log"), 1);
    let doorward = builder.start();
    let me = |access: &str| doorward.ask(&Request::get("/auth/me").bearer(access));
    assert_eq!(me(&kept.access).json()["tier"], "premium");
    assert_eq!(me(&ended.access).status, 401);
    let refresh = json!({ "refresh_token": kept.refresh });
    let refreshed = doorward.ask(&Request::post("/auth/refresh").json(&refresh));
    assert_eq!(refreshed.status, 200, "{refreshed}");
    doorward.login_as_admin();
    doorward.builder_of_this().clone()
}

#[test]
fn a_house_moves_to_postgres_and_back_and_nobody_notices() {
    let server = PostgresServer::start();
    let first = Doorward::builder();
    let from = sqlite_url(&first);
    let to_postgres = |builder: &Builder| builder.clone().config(on_postgres(&server));
    // Where `--to` is left out, it is the configured one.
    let moved = move_house(first, to_postgres, &["--from", &from]);
    let back = format!("sqlite:///{}", moved.dir().join("back.db").display());
    let config = format!("environment = \"dev\"\n[database]\nurl = \"{back}\"\n");
    // As an old deployment spells it.
    let url = server.url().replace("postgres://", "postgresql+asyncpg://");
    let to_sqlite = move |builder: &Builder| {
        let builder = builder.clone().config(config.clone());
        builder.env("OLD_URL", &url).env("NEW_URL", &back)
    };
    move_house(moved, to_sqlite, &["--from-env", "OLD_URL", "--to-env", "NEW_URL"]);
}

#[test]
fn a_copy_that_is_refused_says_why_and_shows_no_password() {
    let mut doorward = Doorward::builder().start();
    doorward.sigterm_and_wait();
    let house = doorward.builder_of_this().clone();
    let url = sqlite_url(&house);
    let other = format!("sqlite://{}", house.dir().join("other.db").display());
    let copy = |arguments: &[&str]| house.cli(&[&["db", "copy"], arguments].concat());
    assert_fails(&copy(&["--from", &url, "--to", &url]), 1, &["into itself"]);
    assert_fails(&copy(&["--from", &url]), 1, &["into itself"]);
    assert_fails(&copy(&["--from", &other, "--to", &url]), 1, &["no database file", "other.db"]);
    assert!(copy(&["--from", &url, "--to", &other]).status.success());
    let again = copy(&["--from", &url, "--to", &other]);
    assert_fails(&again, 1, &["has people already", "other.db"]);
    let memory = copy(&["--from", &url, "--to", "sqlite::memory:"]);
    assert_fails(&memory, 1, &["--to", "gone with its process"]);
    let away = "postgres://ann:hunter2@127.0.0.1:1/app";
    assert_fails(&copy(&["--from", away, "--to", &other]), 1, &["127.0.0.1:1/app"]);
    let broken = copy(&["--from", "postgres://ann:hunter2@", "--to", &other]);
    assert_fails(&broken, 1, &["--from"]);
    assert_fails(&copy(&["--from-env", "NOBODY_SET_IT"]), 1, &["--from-env", "`NOBODY_SET_IT`"]);
    assert_fails(&copy(&["--to", &other]), 2, &["--from"]);
    assert_fails(&copy(&["--from", &url, "--from-env", "X"]), 2, &["--from-env"]);
    assert!(Path::new(&house.dir().join("other.db")).is_file());
}
