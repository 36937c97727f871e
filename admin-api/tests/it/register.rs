//! Registration.

use axum::body::Body;
use config::Environment;
use http::Request;
use kernel::front::CLIENT_ADDRESS;
use serde_json::Value;
use serde_json::json;
use test_support::smtp::Manner;
use test_support::smtp::Smtp;

use crate::email::confirm;
use crate::email::mail_at;
use crate::email::token_in;
use crate::leaks::listen;
use crate::support::*;

const OPEN: &str = "[auth]\nregistration = true\n";

fn register(body: &Value) -> Request<Body> {
    json("/auth/register", &body.to_string())
}

fn bob() -> Value {
    json!({ "username": "bob", "email": "bob@example.com", "password": PASSWORD })
}

fn with(name: &str, value: Value) -> Value {
    let mut body = bob();
    body[name] = value;
    body
}

#[tokio::test]
async fn registration_is_closed_unless_it_is_opened() {
    let house = House::empty("").await;
    let answer = house.ask(register(&bob())).await;
    answer.is_problem(403, "Registration is closed", "FORBIDDEN");
    assert_eq!(house.count("SELECT count(*) FROM users"), 0);
}

#[tokio::test]
async fn whoever_registers_is_shown_to_themselves_and_can_sign_in() {
    let house = House::empty(OPEN).await;
    let answer = house.ask(register(&with("full_name", json!("Bob Example")))).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let bob = house.api.users().by_username("bob").await.unwrap().unwrap();
    assert_eq!(
        answer.json(),
        json!({
            "id": bob.id, "username": "bob", "email": "bob@example.com", "tier": "free",
            "is_active": true, "full_name": "Bob Example", "role": "user", "scopes": [],
            "is_verified": false,
        })
    );
    house.ask(login(&[("username", "bob"), ("password", PASSWORD)])).await.pair();
}

#[tokio::test]
async fn nobody_registers_as_an_administrator() {
    let house = House::empty(OPEN).await;
    for (name, value) in [
        ("role", json!("admin")),
        ("tier", json!("admin")),
        ("scopes", json!(["admin"])),
        ("is_verified", json!(true)),
        ("is_active", json!(true)),
        ("id", json!("1")),
    ] {
        let answer = house.ask(register(&with(name, value))).await;
        let detail = format!("Validation error: body.{name}");
        answer.is_problem(422, &detail, "VALIDATION_ERROR");
        assert_eq!(answer.json()["errors"][0]["type"], "extra_forbidden");
    }
    assert_eq!(house.count("SELECT count(*) FROM users"), 0);
}

#[tokio::test]
async fn all_that_is_wrong_is_said_at_once() {
    let house = House::empty(OPEN).await;
    let body = json!({ "username": " bob", "email": "bob", "password": "password",
                       "full_name": "a\nb", "color": "red" });
    let answer = house.ask(register(&body)).await;
    assert_eq!(answer.status, 422);
    let errors = answer.json()["errors"].clone();
    let mut fields: Vec<_> = errors
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["loc"][1].as_str().unwrap().to_owned())
        .collect();
    fields.sort_unstable();
    assert_eq!(fields, ["color", "email", "full_name", "password", "username"]);
    let missing = house.ask(register(&json!({}))).await;
    missing.is_problem(
        422,
        "Validation error: body.username, body.email, body.password",
        "VALIDATION_ERROR",
    );
    let no_text = house.ask(register(&with("username", json!(7)))).await;
    no_text.is_problem(422, "Validation error: body.username", "VALIDATION_ERROR");
}

#[tokio::test]
async fn names_are_taken_once_however_they_are_spelled_and_nobody_is_told_which() {
    let house = House::empty(OPEN).await;
    let first = json!({ "username": "Jürgen", "email": "j@example.com", "password": PASSWORD });
    assert_eq!(house.ask(register(&first)).await.status, 201);
    for (username, email) in [
        ("Jürgen", "other@example.com"),
        ("Ju\u{308}rgen", "other@example.com"),
        ("\u{ff2a}ürgen", "other@example.com"),
        ("other", "j@example.com"),
        ("other", "j@Example.COM"),
        ("j@example.com", "other@example.com"),
    ] {
        let body = json!({ "username": username, "email": email, "password": PASSWORD });
        let before = house.api.passwords_hashed();
        let answer = house.ask(register(&body)).await;
        answer.is_problem(409, "Username or email already registered", "CONFLICT");
        assert_eq!(house.api.passwords_hashed() - before, 1, "as much work as for a free one");
    }
    assert_eq!(house.count("SELECT count(*) FROM users"), 1);
}

#[tokio::test]
async fn a_name_of_50_and_an_address_of_255_characters_are_the_longest() {
    let house = House::empty(OPEN).await;
    let body = |name: usize, address: usize, full: usize| {
        json!({
            "username": "ü".repeat(name),
            "email": format!("{}@b", "a".repeat(address - 2)),
            "password": PASSWORD,
            "full_name": "f".repeat(full),
        })
    };
    assert_eq!(house.ask(register(&body(51, 255, 255))).await.status, 422);
    assert_eq!(house.ask(register(&body(50, 256, 255))).await.status, 422);
    assert_eq!(house.ask(register(&body(50, 255, 256))).await.status, 422);
    assert_eq!(house.ask(register(&body(50, 255, 255))).await.status, 201);
}

#[tokio::test]
async fn one_address_makes_up_twenty_people_an_hour_and_no_more() {
    let house = House::empty(OPEN).await;
    for i in 0..20 {
        let body = json!({ "username": format!("u{i}"), "email": format!("u{i}@example.com"),
                           "password": PASSWORD });
        assert_eq!(house.ask(register(&body)).await.status, 201);
    }
    let answer = house.ask(register(&bob())).await;
    assert_eq!(answer.status, 429, "{}", answer.text);
    assert_eq!(answer.json()["violated-policies"], json!(["register"]));
}

#[tokio::test]
async fn whoever_registers_is_mailed_a_link_to_verify_the_address() {
    let server = Smtp::start(Manner::Polite).await;
    let house = House::empty(&format!("{}{OPEN}", mail_at(&server))).await;
    let answer = house.ask(register(&bob())).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(answer.json()["is_verified"], false);
    let token = token_in(&server, 1).await;
    assert_eq!(server.taken(1).await[0].to, ["bob@example.com"]);
    let pair = house.ask(login(&[("username", "bob"), ("password", PASSWORD)])).await.pair();
    house.ask(confirm(&token, &pair.access)).await.is_ok();
    let bob = house.api.users().by_username("bob").await.unwrap().unwrap();
    assert!(bob.is_verified);
}

#[tokio::test]
async fn whoever_is_refused_or_added_by_others_is_not_mailed() {
    let server = Smtp::start(Manner::Polite).await;
    let house = House::empty(&format!("{}{OPEN}", mail_at(&server))).await;
    house.add(ann()).await;
    let taken = json!({ "username": "ann", "email": "ann@example.com", "password": PASSWORD });
    assert_eq!(house.ask(register(&taken)).await.status, 409);
    assert_eq!(house.ask(register(&with("password", json!("short")))).await.status, 422);
    assert_eq!(house.ask(register(&bob())).await.status, 201);
    // They are seen to in order, so the first to arrive is the only one there is.
    assert_eq!(server.taken(1).await[0].to, ["bob@example.com"]);
    assert_eq!(house.count("SELECT count(*) FROM email_verifications"), 1);
}

#[tokio::test]
async fn without_mail_people_register_all_the_same() {
    let house = House::of(Environment::Prod, OPEN).await;
    assert_eq!(house.ask(register(&bob())).await.status, 201);
    assert_eq!(house.count("SELECT count(*) FROM email_verifications"), 0);
}

#[tokio::test]
async fn when_256_wait_for_their_mail_people_register_all_the_same_and_the_log_says_so() {
    // It takes no letter, so the first one is never done with.
    let server = Smtp::start(Manner::Silent).await;
    let house = House::empty(&format!("{}{OPEN}", mail_at(&server))).await;
    house.add(ann()).await;
    let reset = |email: &str, from: u32| {
        let request = json("/auth/password/reset", &json!({ "email": email }).to_string());
        with_header(request, CLIENT_ADDRESS, &std::net::Ipv4Addr::from_bits(from).to_string())
    };
    assert_eq!(house.ask(reset("ann@example.com", 1)).await.status, 202);
    while server.callers() == 0 {
        tokio::task::yield_now().await;
    }
    for i in 1..=256 {
        assert_eq!(house.ask(reset(&format!("u{i}@example.com"), i << 8)).await.status, 202);
    }
    let one_more = house.ask(reset("one-more@example.com", 2)).await;
    one_more.is_problem(503, "Service busy. Please try again later.", "SERVICE_UNAVAILABLE");
    let (log, _listening) = listen();
    let answer = house.ask(register(&bob())).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let text = log.text();
    let line = text.lines().find(|line| line.contains(" WARN ")).unwrap_or_default();
    assert!(line.contains("stays unverified for now: the mail queue is full"), "{text}");
}

#[tokio::test]
async fn an_address_that_had_three_mails_in_an_hour_gets_no_fourth_by_registering() {
    let server = Smtp::start(Manner::Polite).await;
    let house = House::empty(&format!("{}{OPEN}", mail_at(&server))).await;
    for _ in 0..3 {
        let reset = json("/auth/password/reset", r#"{"email":"bob@example.com"}"#);
        assert_eq!(house.ask(reset).await.status, 202);
    }
    assert_eq!(house.ask(register(&bob())).await.status, 201);
    let carl = json!({ "username": "carl", "email": "carl@example.com", "password": PASSWORD });
    assert_eq!(house.ask(register(&carl)).await.status, 201);
    assert_eq!(server.taken(1).await[0].to, ["carl@example.com"]);
}
