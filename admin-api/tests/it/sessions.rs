use std::time::Duration;

use http::StatusCode;

use crate::support::*;

async fn ids(house: &House, access: &str) -> Vec<(String, bool)> {
    let answer = house.ask(bearer(get("/auth/sessions"), access)).await;
    answer.is_ok();
    let list = answer.json()["sessions"].as_array().unwrap().clone();
    let id = |session: &serde_json::Value| session["id"].as_str().unwrap().to_owned();
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
