use std::time::Duration;

use crate::support::*;

const LOGGED_OUT: &str = r#"{"message":"Successfully logged out"}"#;

#[track_caller]
fn is_done(answer: &Answer) {
    answer.is_ok();
    assert_eq!(answer.text, LOGGED_OUT);
}

fn logout(access: &str) -> http::Request<axum::body::Body> {
    bearer(post("/auth/logout"), access)
}

fn logout_everywhere(access: &str) -> http::Request<axum::body::Body> {
    bearer(post("/auth/logout?all=true"), access)
}

#[tokio::test]
async fn logging_out_ends_the_session_for_both_tokens_and_no_other() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    let other = house.sign_in().await;
    is_done(&house.ask(logout(&pair.access)).await);
    house.me(&pair.access).await.is_problem(401, "Could not validate credentials", "TOKEN_REVOKED");
    house.refresh(&pair.refresh).await.is_invalid_refresh();
    house.me(&other.access).await.is_ok();
}

#[tokio::test]
async fn logging_out_twice_is_logging_out_once() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    is_done(&house.ask(logout(&pair.access)).await);
    is_done(&house.ask(logout(&pair.access)).await);
    assert_eq!(house.count("SELECT count(*) FROM revocations"), 1);
    assert_eq!(house.count("SELECT seq FROM revocation_log"), 1);
}

#[tokio::test]
async fn an_expired_access_token_still_logs_out() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    house.hand.forward(Duration::from_secs(1800));
    let expired = house.me(&pair.access).await;
    expired.is_problem(401, "Could not validate credentials", "TOKEN_EXPIRED");
    is_done(&house.ask(logout(&pair.access)).await);
    house.refresh(&pair.refresh).await.is_invalid_refresh();
}

#[tokio::test]
async fn logging_out_needs_a_token_of_ours() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    let none = house.ask(post("/auth/logout")).await;
    none.is_problem(401, "Not authenticated", "NOT_AUTHENTICATED");
    for token in ["a.b.c", pair.refresh.as_str(), &pair.access[..pair.access.len() - 2]] {
        let answer = house.ask(logout(token)).await;
        answer.is_problem(401, "Could not validate credentials", "INVALID_TOKEN");
    }
    house.me(&pair.access).await.is_ok();
}

#[tokio::test]
async fn logging_out_everywhere_ends_all_sessions_of_that_user_alone() {
    let house = House::with_ann().await;
    house.add(admin_api::NewUser { email: None, username: "bob".to_owned(), ..ann() }).await;
    let bob = house.ask(login(&[("username", "bob"), ("password", PASSWORD)])).await.pair();
    let one = house.sign_in().await;
    let two = house.sign_in().await;
    is_done(&house.ask(logout_everywhere(&one.access)).await);
    for pair in [&one, &two] {
        assert_eq!(house.me(&pair.access).await.status, 401);
        house.refresh(&pair.refresh).await.is_invalid_refresh();
    }
    house.me(&bob.access).await.is_ok();
    let anew = house.sign_in().await;
    assert_eq!(claims(&anew.access)["ep"], 1);
    house.me(&anew.access).await.is_ok();
}

#[tokio::test]
async fn a_revoked_token_cannot_log_its_owner_out_everywhere() {
    let house = House::with_ann().await;
    let stolen = house.sign_in().await;
    let kept = house.sign_in().await;
    is_done(&house.ask(logout(&stolen.access)).await);
    let answer = house.ask(logout_everywhere(&stolen.access)).await;
    answer.is_problem(401, "Could not validate credentials", "TOKEN_REVOKED");
    house.me(&kept.access).await.is_ok();
}

#[tokio::test]
async fn an_expired_token_of_a_living_session_logs_out_everywhere() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    let other = house.sign_in().await;
    house.hand.forward(Duration::from_secs(1800));
    is_done(&house.ask(logout_everywhere(&pair.access)).await);
    house.refresh(&other.refresh).await.is_invalid_refresh();
}

#[tokio::test]
async fn an_expired_token_of_a_session_that_lapsed_cannot_log_its_owner_out_everywhere() {
    let house = House::with_ann().await;
    let old = house.sign_in().await;
    house.hand.forward(Duration::from_secs(7 * 24 * 60 * 60));
    let kept = house.sign_in().await;
    let answer = house.ask(logout_everywhere(&old.access)).await;
    answer.is_problem(401, "Could not validate credentials", "TOKEN_REVOKED");
    house.me(&kept.access).await.is_ok();
}

#[tokio::test]
async fn a_refresh_token_in_the_body_is_ended_too_if_it_is_the_same_users() {
    let house = House::with_ann().await;
    house.add(admin_api::NewUser { email: None, username: "bob".to_owned(), ..ann() }).await;
    let bob = house.ask(login(&[("username", "bob"), ("password", PASSWORD)])).await.pair();
    let one = house.sign_in().await;
    let two = house.sign_in().await;
    let with = |refresh: &str| bearer(json("/auth/logout", &refresh_body(refresh)), &one.access);
    is_done(&house.ask(with(&bob.refresh)).await);
    is_done(&house.ask(with(&two.refresh)).await);
    is_done(&house.ask(with("not.a.token")).await);
    house.refresh(&one.refresh).await.is_invalid_refresh();
    house.refresh(&two.refresh).await.is_invalid_refresh();
    house.refresh(&bob.refresh).await.pair();
}

#[tokio::test]
async fn the_word_all_is_read_strictly() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    for query in ["all=yes", "all=", "all=true&all=false"] {
        let request = bearer(post(&format!("/auth/logout?{query}")), &pair.access);
        let answer = house.ask(request).await;
        answer.is_problem(422, "Validation error: query.all", "VALIDATION_ERROR");
    }
    house.me(&pair.access).await.is_ok();
}
