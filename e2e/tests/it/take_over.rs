//! `doorward user import`: the people of an old deployment go on signing in.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use serde_json::json;
use test_support::doorward::Builder;
use test_support::doorward::Doorward;
use test_support::http1::Request;
use test_support::postgres::PostgresServer;

use crate::tokens::claims_of;

/// What the hashes below are of; passlib 1.7.4 made them.
const PASSWORD: &str = "correct horse battery staple";
const BCRYPT: &str = "$2b$12$HfzzP8XFLb6nV8qSahK71eV0YbUIk4ZNhcTOzYEoLf3FyCg0nD20m";
const BCRYPT_SHA256: &str =
    "$bcrypt-sha256$v=2,t=2b,r=4$fb/rUo3.Evu.z12H/yWwFe$kiF7.X5.1opHImaE5atdySjuKqhcKPu";

/// A directory in which Doorward ran once, so that there is an administrator; nothing runs now.
fn house() -> Builder {
    let mut doorward = Doorward::builder().start();
    doorward.sigterm_and_wait();
    doorward.builder_of_this().clone()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn summary(output: &Output, status: i32, words: &str) {
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(status), "{told}{}", said(output));
    assert_eq!(told.trim_end(), words, "{}", said(output));
}

/// As SQLAlchemy 2 makes it on Postgres: an enumeration by the names of its members, times with and
/// without a zone.
fn old_deployment() -> PostgresServer {
    let server = PostgresServer::start();
    let make = format!(
        "CREATE TYPE tier AS ENUM ('FREE', 'PREMIUM', 'ADMIN');
         CREATE TABLE users (
             id UUID NOT NULL, username VARCHAR(50) NOT NULL, email VARCHAR(255) NOT NULL,
             hashed_password VARCHAR(255), full_name VARCHAR(255), tier tier NOT NULL,
             role VARCHAR(20), is_active BOOLEAN NOT NULL, is_verified BOOLEAN,
             last_login TIMESTAMP WITHOUT TIME ZONE, created_at TIMESTAMP WITH TIME ZONE,
             preferences JSONB, PRIMARY KEY (id), UNIQUE (username), UNIQUE (email));
         INSERT INTO users VALUES
         ('6FA459EA-EE8A-3CA4-894E-DB77E160355E', 'ann', 'ann@example.com', '{BCRYPT}', 'Ann', 'PREMIUM',
          'user', true, true, '2025-03-01 10:00:00.5', '2025-01-01 14:00:00+02', '{{}}'),
         ('16fd2706-8baf-433b-82eb-8c7fada847da', 'bob', 'bob@example.com', '{BCRYPT_SHA256}', NULL,
          'FREE', NULL, true, NULL, NULL, NULL, NULL),
         ('886313e1-3b8a-5372-9b90-0c9aee199e5d', 'eve', 'eve@example.com', '{BCRYPT}', NULL, 'FREE',
          'user', false, false, NULL, NULL, NULL)"
    );
    server.query(&make).unwrap();
    server
}

#[track_caller]
fn sign_in(doorward: &Doorward, name: &str, id: &str, tier: &str) {
    let tokens = doorward.login(name, PASSWORD);
    let claims = claims_of(&tokens.access);
    assert_eq!((&claims["user_id"], &claims["tier"]), (&json!(id), &json!(tier)));
    let me = doorward.ask(&Request::get("/auth/me").bearer(&tokens.access));
    assert_eq!(me.json()["id"], id, "{me}");
}

#[test]
fn people_of_a_postgres_sign_in_at_a_doorward_that_already_runs() {
    let old = old_deployment();
    let doorward = Doorward::builder().start();
    let url = old.url().replace("postgres://", "postgresql+asyncpg://");
    let builder = doorward.builder_of_this().clone().env("OLD_DATABASE_URL", &url);
    let import = |more: &[&str]| {
        builder.cli(&[&["user", "import", "--from-env", "OLD_DATABASE_URL"], more].concat())
    };
    let nothing = "nothing was done; it would be: 3 added, 0 unchanged, 0 updated, 0 different, \
                   0 refused";
    summary(&import(&["--dry-run"]), 0, nothing);
    summary(&import(&[]), 0, "3 added, 0 unchanged, 0 updated, 0 different, 0 refused");
    sign_in(&doorward, "ann", "6fa459ea-ee8a-3ca4-894e-db77e160355e", "premium");
    sign_in(&doorward, "bob@example.com", "16fd2706-8baf-433b-82eb-8c7fada847da", "free");
    let eve = Request::post("/auth/login").form(&[("username", "eve"), ("password", PASSWORD)]);
    assert_eq!(doorward.ask(&eve).status, 401);
    summary(&import(&[]), 0, "0 added, 3 unchanged, 0 updated, 0 different, 0 refused");

    let bob = doorward.login("bob", PASSWORD);
    old.query("UPDATE users SET is_active = false, tier = 'PREMIUM' WHERE username = 'bob'")
        .unwrap();
    let told = import(&[]);
    summary(&told, 0, "0 added, 2 unchanged, 0 updated, 1 different, 0 refused");
    assert!(said(&told).contains("`bob` differs in: tier, active"), "{}", said(&told));
    summary(&import(&["--update"]), 0, "0 added, 2 unchanged, 1 updated, 0 different, 0 refused");
    let me = Request::get("/auth/me").bearer(&bob.access);
    test_support::wait::wait_until(test_support::wait::START_MAX, || {
        doorward.ask(&me).status == 401
    });
    let seen =
        old.query("SELECT count(*) FROM users WHERE hashed_password LIKE '$2b$12%'").unwrap();
    assert_eq!(seen[0][0].as_deref(), Some("2"), "the old deployment is only read");
}

#[test]
fn doorward_keeps_to_a_schema_of_its_own_in_the_old_deployments_database() {
    let old = old_deployment();
    old.query(
        "CREATE SCHEMA door;
         CREATE TABLE oauth_accounts (
             id UUID PRIMARY KEY, user_id UUID NOT NULL, provider VARCHAR(50) NOT NULL,
             provider_user_id VARCHAR(255) NOT NULL, created_at TIMESTAMPTZ,
             UNIQUE (provider, provider_user_id));
         INSERT INTO oauth_accounts VALUES
         (gen_random_uuid(), '16fd2706-8baf-433b-82eb-8c7fada847da', 'github', '583231', now())",
    )
    .unwrap();
    let url = format!("{}?options=-csearch_path%3Ddoor", old.url());
    let config = format!("environment = \"dev\"\n[database]\nurl = \"{url}\"\n");
    let doorward = Doorward::builder().config(config).start();
    let told = doorward.must(&["user", "import", "--from", &old.url()]);
    let accounts = "1 accounts at providers added, 0 unchanged";
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        ["3 added, 0 unchanged, 0 updated, 0 different, 0 refused", accounts]
    );
    sign_in(&doorward, "ann", "6fa459ea-ee8a-3ca4-894e-db77e160355e", "premium");
    let linked = old.query("SELECT issuer, subject FROM door.oauth_accounts").unwrap();
    assert_eq!(linked, [[Some("https://github.com".to_owned()), Some("583231".to_owned())]]);
}

#[test]
fn people_of_a_file_and_of_lines_come_to_a_postgres() {
    let server = PostgresServer::start();
    let config = format!("environment = \"dev\"\n[database]\nurl = \"{}\"\n", server.url());
    let doorward = Doorward::builder().config(config).start();
    let lines = format!(
        "{}\n{}\n",
        json!({ "username": "ann", "id": 17, "hashed_password": BCRYPT, "tier": "premium" }),
        json!({ "username": "bob", "id": "b", "hashed_password": BCRYPT_SHA256 }),
    );
    let file = doorward.builder_of_this().dir().join("people.jsonl");
    fs::write(&file, &lines).unwrap();
    let path = file.to_str().unwrap();
    let added = "2 added, 0 unchanged, 0 updated, 0 different, 0 refused";
    summary(&doorward.cli(&["user", "import", "--json", path]), 0, added);
    let builder = doorward.builder_of_this();
    let again = builder.cli_with_input(&["user", "import", "--json", "-"], &lines);
    summary(&again, 0, "0 added, 2 unchanged, 0 updated, 0 different, 0 refused");
    sign_in(&doorward, "ann", "17", "premium");
    sign_in(&doorward, "bob", "b", "free");
    let lines = "{\"username\":\"ann\",\"tier\":\"gold\"}\n{\"username\":\"zoe\",\"hash\":\"$2b$x\"}\n\
                 {\"username\":\"max\"}\n";
    let refused =
        builder.cli_with_input(&["user", "import", "--json", "-", "--format", "json"], lines);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    let report: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!((&report["added"], &report["refused"]), (&json!(1), &json!(2)));
    let faults = report["faults"].to_string();
    assert!(faults.contains("line 1: no tier `gold`"), "{faults}");
    assert!(faults.contains("line 2: unknown field `hash`") && !faults.contains("2b"), "{faults}");
    let told = ["user", "import", "--json", "-", "--default-tier", "free"];
    let output = builder.cli_with_input(&told, lines);
    summary(&output, 1, "0 added, 1 unchanged, 0 updated, 1 different, 1 refused");
}

#[test]
fn an_import_that_cannot_begin_says_why_and_shows_no_password() {
    let house = house();
    let fails = |arguments: &[&str], status: i32, words: &[&str]| {
        let output = house.cli(&[&["user", "import"], arguments].concat());
        let text = said(&output);
        assert_eq!(output.status.code(), Some(status), "{text}");
        for word in words {
            assert!(text.contains(word), "no `{word}` in: {text}");
        }
        assert!(!text.contains("hunter2") && !text.contains("panicked"), "{text}");
    };
    fails(&[], 2, &["--from"]);
    fails(&["--from", "sqlite:///x.db", "--json", "-"], 2, &["--json"]);
    fails(&["--json", "/no/such"], 1, &["`/no/such` cannot be read"]);
    fails(&["--from", "sqlite:///no/such.db"], 1, &["no database file `/no/such.db`"]);
    fails(&["--from", "mysql://ann:hunter2@db/app"], 1, &["--from: the database URL is not"]);
    fails(&["--from", "postgres://ann:hunter2@127.0.0.1:1/app"], 1, &["could not be read"]);
    fails(&["--json", "-", "--default-tier", "gold"], 1, &["no tier `gold`; there are `admin`"]);
    assert!(!Path::new("/no/such.db").exists());
}
