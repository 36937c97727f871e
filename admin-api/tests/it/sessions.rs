use std::time::Duration;

use axum::body::Body;
use http::Request;
use http::StatusCode;
use kernel::front::CLIENT_ADDRESS;
use serde_json::Value;
use serde_json::json;

use crate::support::*;

const PHONE: &str = "Mozilla/5.0 (Android 15; Mobile)";

/// A request from a device with an address and a name.
fn at(device: &str, address: &str, request: Request<Body>) -> Request<Body> {
    let request = with_header(request, CLIENT_ADDRESS, address);
    with_header(request, "user-agent", device)
}

fn sign_in() -> Request<Body> {
    login(&[("username", "ann"), ("password", PASSWORD)])
}

/// The addresses and names of the devices where she is signed in, the newest first.
async fn devices(house: &House, access: &str) -> Vec<(Value, Value)> {
    let answer = house.ask(bearer(get("/auth/sessions"), access)).await;
    answer.is_ok();
    let list = answer.json()["sessions"].as_array().unwrap().clone();
    list.iter().map(|it| (it["client"].clone(), it["user_agent"].clone())).collect()
}

async fn ids(house: &House, access: &str) -> Vec<(String, bool)> {
    let answer = house.ask(bearer(get("/auth/sessions"), access)).await;
    answer.is_ok();
    let list = answer.json()["sessions"].as_array().unwrap().clone();
    let id = |session: &Value| session["id"].as_str().unwrap().to_owned();
    list.iter().map(|session| (id(session), session["current"] == true)).collect()
}

#[tokio::test]
async fn my_sessions_are_listed_the_newest_first_and_the_one_that_asks_is_marked() {
    let house = House::with_ann().await;
    let first = house.sign_in().await;
    house.hand.forward(Duration::from_secs(1));
    let second = house.sign_in().await;
    let sid = |pair: &Pair| claims(&pair.access)["sid"].as_str().unwrap().to_owned();
    assert_eq!(ids(&house, &first.access).await, [(sid(&second), false), (sid(&first), true)]);
}

#[tokio::test]
async fn a_session_that_is_ended_takes_its_tokens_with_it_and_no_others() {
    let house = House::with_ann().await;
    let (mine, other) = (house.sign_in().await, house.sign_in().await);
    let sid = claims(&other.access)["sid"].as_str().unwrap().to_owned();
    let end = || bearer(bare("DELETE", &format!("/auth/sessions/{sid}")), &mine.access);
    assert_eq!(house.ask(end()).await.status, StatusCode::NO_CONTENT);
    house.refresh(&other.refresh).await.is_invalid_refresh();
    house.me(&other.access).await.is_problem(
        401,
        "Could not validate credentials",
        "TOKEN_REVOKED",
    );
    house.me(&mine.access).await.is_ok();
    assert_eq!(ids(&house, &mine.access).await.len(), 1);
    house.ask(end()).await.is_problem(404, "Not Found", "NOT_FOUND");
}

#[tokio::test]
async fn nobody_ends_the_session_of_somebody_else() {
    let house = House::with_ann().await;
    let ann = house.sign_in().await;
    let root = house.root().await;
    let sid = claims(&ann.access)["sid"].as_str().unwrap().to_owned();
    let end = bearer(bare("DELETE", &format!("/auth/sessions/{sid}")), &root.access);
    house.ask(end).await.is_problem(404, "Not Found", "NOT_FOUND");
    house.me(&ann.access).await.is_ok();
}

#[tokio::test]
async fn sessions_that_are_over_are_not_listed() {
    let house = House::with_ann().await;
    let old = house.sign_in().await;
    house.hand.forward(Duration::from_secs(7 * 24 * 60 * 60));
    let new = house.sign_in().await;
    house.refresh(&old.refresh).await.is_invalid_refresh();
    assert_eq!(ids(&house, &new.access).await.len(), 1);
}

#[tokio::test]
async fn without_a_token_nobodys_sessions_are_told() {
    let house = House::with_ann().await;
    for request in [get("/auth/sessions"), bare("DELETE", "/auth/sessions/x")] {
        house.ask(request).await.is_problem(401, "Not authenticated", "NOT_AUTHENTICATED");
    }
}

#[tokio::test]
async fn of_many_sessions_the_newest_200_are_listed() {
    let house = House::with_ann().await;
    let ann = house.sign_in().await;
    let id = claims(&ann.access)["sub"].as_str().unwrap().to_owned();
    let now = house.hand.now().as_millis() as i64;
    let row = |i: i64| {
        let (began, until) = (now - i, now + 1000);
        format!("('old-{i:03}', '{id}', {began}, {until}, {until}, {until}, 0, 'k', {began})")
    };
    let rows = (1..=200).map(row).collect::<Vec<_>>().join(", ");
    house.execute(&format!(
        "INSERT INTO sessions (id, user_id, rotated_at, expires_at, absolute_until, access_until,
                               epoch, kid, created_at) VALUES {rows}"
    ));
    let listed = ids(&house, &ann.access).await;
    assert_eq!(listed.len(), 200);
    assert!(listed[0].1, "the newest, which asks");
    assert_eq!(listed[199].0, "old-199");
}

#[tokio::test]
async fn a_session_tells_its_owner_and_administrators_from_where_it_was_begun() {
    let house = House::with_ann().await;
    house.ask(at(PHONE, "2001:db8::7", sign_in())).await.pair();
    house.hand.forward(Duration::from_secs(1));
    let here = house.ask(at("curl/8.5.0", "192.0.2.7", sign_in())).await.pair();
    let expected =
        [(json!("192.0.2.7"), json!("curl/8.5.0")), (json!("2001:db8::7"), json!(PHONE))];
    assert_eq!(devices(&house, &here.access).await, expected);
    let root = house.root().await;
    let id = claims(&here.access)["sub"].as_str().unwrap().to_owned();
    let path = format!("/auth/users/{id}/sessions");
    let seen = house.manage(bearer(get(&path), &root.access)).await.json();
    assert_eq!(seen["sessions"][1]["client"], "2001:db8::7");
    assert_eq!(seen["sessions"][1]["user_agent"], PHONE);
}

#[tokio::test]
async fn what_is_not_known_of_a_device_is_null() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    assert_eq!(devices(&house, &pair.access).await, [(Value::Null, Value::Null)]);
    let empty = house.ask(with_header(sign_in(), "user-agent", " ")).await.pair();
    assert_eq!(devices(&house, &empty.access).await[0].1, Value::Null);
}

#[tokio::test]
async fn a_session_stays_of_the_device_that_began_it_wherever_it_is_refreshed() {
    let house = House::with_ann().await;
    let pair = house.ask(at(PHONE, "192.0.2.7", sign_in())).await.pair();
    let refresh = with_json("POST", "/auth/refresh", &json!({ "refresh_token": pair.refresh }));
    let next = house.ask(at("curl/8.5.0", "198.51.100.1", refresh)).await.pair();
    assert_eq!(devices(&house, &next.access).await, [(json!("192.0.2.7"), json!(PHONE))]);
}

#[tokio::test]
async fn a_session_that_a_changed_password_begins_is_of_the_device_that_changed_it() {
    let house = House::with_ann().await;
    let pair = house.ask(at(PHONE, "192.0.2.7", sign_in())).await.pair();
    let body = json!({ "current_password": PASSWORD, "new_password": "quite another phrase" });
    let change = bearer(with_json("POST", "/auth/password", &body), &pair.access);
    let fresh = house.ask(at("curl/8.5.0", "198.51.100.1", change)).await.pair();
    assert_eq!(
        devices(&house, &fresh.access).await,
        [(json!("198.51.100.1"), json!("curl/8.5.0"))]
    );
}

#[tokio::test]
async fn of_what_a_device_calls_itself_256_characters_are_kept_and_none_that_cannot_be_shown() {
    let house = House::with_ann().await;
    for (said, kept) in [
        ("x".repeat(256), "x".repeat(256)),
        ("x".repeat(257), "x".repeat(256)),
        (format!("a\tb{}", "x".repeat(255)), format!("ab{}", "x".repeat(254))),
        ("Gerät".to_owned(), "Gerät".to_owned()),
    ] {
        house.hand.forward(Duration::from_secs(1));
        let mut request = sign_in();
        let said = http::HeaderValue::from_bytes(said.as_bytes()).unwrap();
        request.headers_mut().insert("user-agent", said);
        let pair = house.ask(request).await.pair();
        assert_eq!(devices(&house, &pair.access).await[0].1, json!(kept));
    }
    let mut request = sign_in();
    let no_text = http::HeaderValue::from_bytes(b"a\xffb").unwrap();
    request.headers_mut().insert("user-agent", no_text);
    house.hand.forward(Duration::from_secs(1));
    let pair = house.ask(request).await.pair();
    assert_eq!(devices(&house, &pair.access).await[0].1, json!("a\u{fffd}b"));
}
