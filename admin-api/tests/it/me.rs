use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn me_is_the_old_shape_and_a_little_more() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    let answer = house.me(&pair.access).await;
    answer.is_ok();
    let user = house.api.users().by_username("ann").await.unwrap().unwrap();
    assert_eq!(
        answer.json(),
        json!({
            "id": user.id, "username": "ann", "email": "ann@example.com", "tier": "free",
            "is_active": true, "full_name": "Ann Example", "role": "editor",
            "scopes": ["orders:read", "orders:write"], "is_verified": false,
        })
    );
    let other_mount = house.ask(bearer(get("/api/auth/me"), &pair.access)).await;
    assert_eq!(other_mount.text, answer.text);
}

#[tokio::test]
async fn me_without_a_token_is_not_authenticated() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    let answer = house.ask(get("/auth/me")).await;
    answer.is_problem(401, "Not authenticated", "NOT_AUTHENTICATED");
    assert_eq!(answer.header("www-authenticate"), "Bearer");
    let mut twice = bearer(get("/auth/me"), &pair.access);
    let again = format!("Bearer {}", pair.access).parse().unwrap();
    twice.headers_mut().append("authorization", again);
    let answer = house.ask(twice).await;
    answer.is_problem(401, "Not authenticated", "NOT_AUTHENTICATED");
}

#[tokio::test]
async fn me_with_a_refresh_token_is_refused() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    let answer = house.me(&pair.refresh).await;
    answer.is_problem(401, "Could not validate credentials", "INVALID_TOKEN");
}

#[tokio::test]
async fn me_of_a_user_who_is_gone_is_not_found() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    house.execute("DELETE FROM sessions; DELETE FROM users");
    let answer = house.me(&pair.access).await;
    answer.is_problem(404, "User not found", "NOT_FOUND");
}

#[tokio::test]
async fn me_of_a_disabled_user_is_refused() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    house.api.users().disable("ann").await.unwrap();
    let answer = house.me(&pair.access).await;
    answer.is_problem(401, "Could not validate credentials", "TOKEN_REVOKED");
}
