use std::time::Duration;

use serde_json::json;

use crate::support::*;

const INCORRECT: (u16, &str, &str) = (401, "Incorrect username or password", "INVALID_CREDENTIALS");

fn refresh_form(token: &str) -> http::Request<axum::body::Body> {
    form("/auth/refresh", &[("grant_type", "refresh_token"), ("refresh_token", token)])
}

#[track_caller]
fn is_incorrect(answer: &Answer) {
    answer.is_problem(INCORRECT.0, INCORRECT.1, INCORRECT.2);
}

#[tokio::test]
async fn signing_in_gives_both_tokens_in_the_old_shape() {
    let house = House::with_ann().await;
    let answer = house.ask(login(&[("username", "ann"), ("password", PASSWORD)])).await;
    answer.is_ok();
    assert_eq!(answer.header("cache-control"), "no-store");
    let body = answer.json();
    assert_eq!(body["token_type"], "bearer");
    assert_eq!(body["expires_in"], 1800);
    let names: Vec<_> = body.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["access_token", "expires_in", "refresh_token", "token_type"]);
}

#[tokio::test]
async fn an_access_token_says_all_that_the_contract_names() {
    let house = House::with_ann().await;
    let claims = claims(&house.sign_in().await.access);
    let now_s = house.hand.now().as_secs();
    let user = house.api.users().by_username("ann").await.unwrap().unwrap();
    assert_eq!(
        claims,
        json!({
            "sub": user.id, "user_id": user.id, "username": "ann", "tier": "free",
            "scopes": ["orders:read", "orders:write"], "scope": "orders:read orders:write",
            "type": "access", "iss": "doorward", "iat": now_s, "exp": now_s + 1800,
            "jti": claims["jti"], "sid": claims["sid"], "ep": 0,
        })
    );
}

#[tokio::test]
async fn an_email_address_signs_in_as_well_and_both_mounts_do() {
    let house = House::with_ann().await;
    let fields = [("username", "ann@example.com"), ("password", PASSWORD)];
    house.ask(form("/auth/login", &fields)).await.pair();
    house.ask(form("/api/auth/login", &fields)).await.pair();
}

#[tokio::test]
async fn grant_type_password_is_taken_and_any_other_is_not() {
    let house = House::with_ann().await;
    let with = |grant| login(&[("username", "ann"), ("password", PASSWORD), ("grant_type", grant)]);
    house.ask(with("password")).await.pair();
    let answer = house.ask(with("client_credentials")).await;
    answer.is_problem(422, "Validation error: body.grant_type", "VALIDATION_ERROR");
}

#[tokio::test]
async fn scopes_asked_for_are_cut_to_those_allowed() {
    let house = House::with_ann().await;
    let granted = async |asked: &str| {
        let fields = [("username", "ann"), ("password", PASSWORD), ("scope", asked)];
        let pair = house.ask(login(&fields)).await.pair();
        claims(&pair.access)["scope"].as_str().unwrap().to_owned()
    };
    assert_eq!(granted("admin orders:read").await, "orders:read");
    assert_eq!(granted("admin").await, "");
    assert_eq!(granted("  ").await, "orders:read orders:write");
}

#[tokio::test]
async fn unknown_wrong_and_inactive_get_one_answer_for_one_hash() {
    let house = House::with_ann().await;
    house.add(admin_api::NewUser { email: None, username: "bob".to_owned(), ..ann() }).await;
    house.api.users().disable("bob").await.unwrap();
    let mut bodies = Vec::new();
    for (name, password) in [
        ("nobody", PASSWORD),
        ("ann", "wrong password"),
        ("bob", PASSWORD),
        ("bob", "wrong password"),
        ("Ann", PASSWORD),
        (" ann", PASSWORD),
        ("ann", &"a".repeat(admin_api::PASSWORD_BYTES_MAX + 1)),
        ("ann", "\0"),
        (&"x".repeat(10_000), PASSWORD),
    ] {
        let before = house.api.passwords_hashed();
        let mut request = login(&[("username", name), ("password", password)]);
        request.headers_mut().insert("x-request-id", "r1".parse().unwrap());
        let answer = house.ask(request).await;
        is_incorrect(&answer);
        assert_eq!(house.api.passwords_hashed() - before, 1, "{name}");
        bodies.push(answer.text);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

#[tokio::test]
async fn an_oauth_client_does_not_take_the_refusal_of_a_password_for_tokens() {
    let house = House::with_ann().await;
    let access = house.sign_in().await.access;
    for (refused, detail) in [
        (login(&[("username", "ann"), ("password", "wrong")]), INCORRECT.1),
        (refresh_form("no token"), "Invalid refresh token"),
        (refresh_form(&access), "Invalid token type"),
    ] {
        let body = house.ask(refused).await.json();
        assert_eq!((&body["error"], &body["detail"]), (&"invalid_grant".into(), &detail.into()));
        assert_eq!(body["error_description"], detail);
        assert_eq!(body["access_token"], serde_json::Value::Null);
    }
}

#[tokio::test]
async fn a_disabled_users_right_password_waits_for_no_write_that_a_wrong_one_does_not() {
    let house = House::with_ann().await;
    house.api.users().disable("ann").await.unwrap();
    let _held = house.place.hold_writes().await;
    is_incorrect(&house.ask(login(&[("username", "ann"), ("password", PASSWORD)])).await);
}

#[tokio::test]
async fn missing_fields_are_named_all_at_once() {
    let house = House::with_ann().await;
    let answer = house.ask(post("/auth/login")).await;
    answer.is_problem(422, "Validation error: body.username, body.password", "VALIDATION_ERROR");
    assert_eq!(
        answer.json()["errors"],
        json!([
            { "loc": ["body", "username"], "msg": "Field required", "type": "missing" },
            { "loc": ["body", "password"], "msg": "Field required", "type": "missing" },
        ])
    );
    let empty = house.ask(login(&[("username", "ann"), ("password", "")])).await;
    empty.is_problem(422, "Validation error: body.password", "VALIDATION_ERROR");
}

#[tokio::test]
async fn a_field_given_twice_is_refused() {
    let house = House::with_ann().await;
    let fields = [("username", "ann"), ("username", "bob"), ("password", PASSWORD)];
    let answer = house.ask(login(&fields)).await;
    answer.is_problem(422, "Validation error: body.username", "VALIDATION_ERROR");
}

#[tokio::test]
async fn signing_in_is_noted() {
    let house = House::with_ann().await;
    house.hand.forward(Duration::from_secs(60));
    house.sign_in().await;
    let ann = house.api.users().by_username("ann").await.unwrap().unwrap();
    assert_eq!(ann.last_login, Some(house.hand.now()));
}

#[tokio::test]
async fn the_administrator_gets_the_scope_that_guards_management() {
    let house = House::empty("").await;
    let admin = admin_api::NewUser { role: "admin".to_owned(), tier: tier("admin"), ..ann() };
    house.add(admin).await;
    let claims = claims(&house.sign_in().await.access);
    assert_eq!(claims["scopes"], json!(["admin"]));
    assert_eq!(claims["tier"], "admin");
}

#[tokio::test]
async fn a_name_or_scope_with_a_nul_is_nobodys_and_no_fault_of_ours() {
    let house = House::with_ann().await;
    is_incorrect(&house.ask(login(&[("username", "ann\0"), ("password", PASSWORD)])).await);
    let fields = [("username", "ann"), ("password", PASSWORD), ("scope", "\0 orders:read")];
    let pair = house.ask(login(&fields)).await.pair();
    assert_eq!(claims(&pair.access)["scopes"], json!(["orders:read"]));
    let root = house.root().await;
    for path in ["/auth/users/%00", "/auth/users/a%00b/sessions"] {
        let answer = house.manage(bearer(get(path), &root.access)).await;
        answer.is_problem(404, "User not found", "NOT_FOUND");
    }
    house.manage(bearer(get("/auth/users?q=%00&role=%00"), &root.access)).await.is_ok();
}
