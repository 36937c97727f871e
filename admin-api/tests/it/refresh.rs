use std::collections::HashSet;
use std::time::Duration;

use crate::support::*;

const GRACE: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn a_refresh_token_is_exchanged_for_the_next_pair() {
    let house = House::with_ann().await;
    let first = house.sign_in().await;
    house.hand.forward(Duration::from_secs(60));
    let answer = house.refresh(&first.refresh).await;
    assert_eq!(answer.json()["token_type"], "bearer");
    assert_eq!(answer.json()["expires_in"], 1800);
    let second = answer.pair();
    assert_ne!(second.refresh, first.refresh);
    assert_ne!(second.access, first.access);
    assert_eq!(claims(&second.access)["sid"], claims(&first.access)["sid"]);
    house.me(&second.access).await.is_ok();
}

#[tokio::test]
async fn a_refresh_token_comes_as_json_as_a_form_or_as_a_bearer() {
    let house = House::with_ann().await;
    let mut token = house.sign_in().await.refresh;
    let ways: [fn(&str) -> http::Request<axum::body::Body>; 4] = [
        |token| json("/auth/refresh", &refresh_body(token)),
        |token| {
            let fields = [("grant_type", "refresh_token"), ("refresh_token", token), ("x", "y")];
            form("/auth/refresh", &fields)
        },
        |token| bearer(post("/api/auth/refresh"), token),
        // The body beats the header.
        |token| bearer(json("/auth/refresh", &refresh_body(token)), "an.access.token"),
    ];
    for way in ways {
        token = house.ask(way(&token)).await.pair().refresh;
    }
}

#[tokio::test]
async fn an_access_token_is_of_the_wrong_type_and_anything_else_is_invalid() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    let wrong = house.refresh(&pair.access).await;
    wrong.is_problem(401, "Invalid token type", "INVALID_TOKEN");
    let header = house.ask(bearer(post("/auth/refresh"), &pair.access)).await;
    header.is_problem(401, "Invalid token type", "INVALID_TOKEN");
    let (body, signature) = pair.refresh.rsplit_once('.').unwrap();
    let forged = format!("{body}.{}", signature.chars().rev().collect::<String>());
    for token in ["x", "a.b.c", &forged, body, &format!("{} ", pair.refresh)] {
        house.refresh(token).await.is_invalid_refresh();
    }
    let mut basic = post("/auth/refresh");
    basic.headers_mut().insert("authorization", "Basic YTpi".parse().unwrap());
    house.ask(basic).await.is_invalid_refresh();
    house.refresh(&pair.refresh).await.pair();
}

#[tokio::test]
async fn a_refresh_without_a_token_or_with_a_malformed_body_is_a_422() {
    let house = House::with_ann().await;
    let missing = "Validation error: body.refresh_token";
    for request in [
        post("/auth/refresh"),
        json("/auth/refresh", "{}"),
        json("/auth/refresh", r#"{"refresh_token":7}"#),
        json("/auth/refresh", r#"{"refresh_token":"a","refresh_token":"b"}"#),
    ] {
        house.ask(request).await.is_problem(422, missing, "VALIDATION_ERROR");
    }
    for body in ["{", "[]", "\"x\"", "null", "\u{1}"] {
        let answer = house.ask(json("/auth/refresh", body)).await;
        answer.is_problem(422, "Validation error: body", "VALIDATION_ERROR");
    }
    let form = form("/auth/refresh", &[("refresh_token", "x")]);
    let answer = house.ask(form).await;
    answer.is_problem(422, "Validation error: body.grant_type", "VALIDATION_ERROR");
}

#[tokio::test]
async fn twenty_racing_refreshes_get_one_successor_and_stay_signed_in() {
    let house = House::with_ann().await;
    let first = house.sign_in().await;
    let racers: Vec<_> = (0..20)
        .map(|_| {
            let (api, token) = (house.api.clone(), first.refresh.clone());
            let request = json("/auth/refresh", &refresh_body(&token));
            tokio::spawn(async move { ask(&api, request).await.pair() })
        })
        .collect();
    let mut successors = HashSet::new();
    let mut accesses = Vec::new();
    for racer in racers {
        let pair = racer.await.unwrap();
        successors.insert(pair.refresh);
        accesses.push(pair.access);
    }
    assert_eq!(successors.len(), 1);
    for access in &accesses {
        house.me(access).await.is_ok();
    }
    house.refresh(successors.iter().next().unwrap()).await.pair();
}

#[tokio::test]
async fn the_token_just_left_is_good_for_ten_seconds_and_not_a_millisecond_more() {
    let house = House::with_ann().await;
    let first = house.sign_in().await;
    let second = house.refresh(&first.refresh).await.pair();
    house.hand.forward(GRACE);
    let again = house.refresh(&first.refresh).await.pair();
    assert_eq!(again.refresh, second.refresh);
    house.hand.forward(Duration::from_millis(1));
    house.refresh(&first.refresh).await.is_invalid_refresh();
    house.refresh(&second.refresh).await.is_invalid_refresh();
}

#[tokio::test]
async fn a_token_two_generations_old_is_a_copy_even_within_the_grace() {
    let house = House::with_ann().await;
    let first = house.sign_in().await;
    let second = house.refresh(&first.refresh).await.pair();
    house.refresh(&second.refresh).await.pair();
    house.refresh(&first.refresh).await.is_invalid_refresh();
    house.me(&second.access).await.is_problem(
        401,
        "Could not validate credentials",
        "TOKEN_REVOKED",
    );
}

#[tokio::test]
async fn a_replay_ends_its_own_session_and_no_other() {
    let house = House::with_ann().await;
    let stolen = house.sign_in().await;
    let other = house.sign_in().await;
    let current = house.refresh(&stolen.refresh).await.pair();
    house.hand.forward(GRACE * 2);
    house.refresh(&stolen.refresh).await.is_invalid_refresh();
    house.refresh(&current.refresh).await.is_invalid_refresh();
    assert_eq!(house.me(&current.access).await.status, 401);
    house.me(&other.access).await.is_ok();
    house.refresh(&other.refresh).await.pair();
    assert_eq!(house.count("SELECT count(*) FROM revocations"), 1);
    assert_eq!(house.count("SELECT count(*) FROM sessions WHERE ended_by = 'reuse'"), 1);
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_refreshed_for_seven_days() {
    let house = House::with_ann().await;
    let first = house.sign_in().await;
    house.hand.forward(DAY * 7 - Duration::from_secs(1));
    let second = house.refresh(&first.refresh).await.pair();
    house.hand.forward(DAY * 7);
    house.refresh(&second.refresh).await.is_invalid_refresh();
}

#[tokio::test]
async fn a_session_ends_after_thirty_days_however_often_it_is_refreshed() {
    let house = House::with_ann().await;
    let mut token = house.sign_in().await.refresh;
    for _ in 0..4 {
        house.hand.forward(DAY * 7 - Duration::from_secs(1));
        token = house.refresh(&token).await.pair().refresh;
    }
    house.hand.forward(DAY * 2);
    token = house.refresh(&token).await.pair().refresh;
    house.hand.forward(Duration::from_secs(4));
    house.refresh(&token).await.is_invalid_refresh();
}

#[tokio::test]
async fn a_refresh_reads_tier_and_scopes_anew() {
    let house = House::with_ann().await;
    let first = house.sign_in().await;
    house.api.users().set_tier("ann", tier("premium")).await.unwrap();
    let update = "UPDATE users SET role = 'user', scopes = 'tea'";
    house.execute(update);
    let claims = claims(&house.refresh(&first.refresh).await.pair().access);
    assert_eq!(claims["tier"], "premium");
    assert_eq!(claims["scope"], "tea");
}

#[tokio::test]
async fn a_refresh_keeps_to_the_scopes_asked_for_at_sign_in() {
    let house = House::with_ann().await;
    let fields = [("username", "ann"), ("password", PASSWORD), ("scope", "orders:read")];
    let first = house.ask(login(&fields)).await.pair();
    let second = house.refresh(&first.refresh).await.pair();
    assert_eq!(claims(&second.access)["scope"], "orders:read");
}

#[tokio::test]
async fn an_inactive_user_is_not_refreshed() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    house.api.users().disable("ann").await.unwrap();
    house.refresh(&pair.refresh).await.is_invalid_refresh();
    house.api.users().enable("ann").await.unwrap();
    house.refresh(&pair.refresh).await.is_invalid_refresh();
    let anew = house.sign_in().await;
    house.me(&anew.access).await.is_ok();
}

#[tokio::test]
async fn a_restart_keeps_users_sessions_and_refresh_tokens() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    let restarted = house.open_again().await;
    let request = json("/auth/refresh", &refresh_body(&pair.refresh));
    let second = ask(&restarted, request).await.pair();
    ask(&restarted, bearer(get("/auth/me"), &second.access)).await.is_ok();
    assert_eq!(house.count("SELECT count(*) FROM users"), 1);
}

#[tokio::test]
async fn a_refresh_token_of_a_restored_backup_is_invalid_but_ends_nothing() {
    let house = House::with_ann().await;
    let first = house.sign_in().await;
    let second = house.refresh(&first.refresh).await.pair();
    house.execute("UPDATE sessions SET generation = 0");
    house.refresh(&second.refresh).await.is_invalid_refresh();
    assert_eq!(house.count("SELECT count(*) FROM revocations"), 0);
}

#[tokio::test]
async fn a_key_that_signs_access_tokens_cannot_make_a_refresh_token() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    let forged = keys().ring().signing().sign(&claims(&pair.refresh)).unwrap();
    house.refresh(&forged).await.is_invalid_refresh();
}

#[tokio::test]
async fn a_client_that_keeps_its_first_refresh_token_stays_signed_in_where_that_is_switched_on() {
    let house = House::empty("[auth]\nkeep_refresh_token = true").await;
    house.add(ann()).await;
    let first = house.sign_in().await;
    for _ in 0..3 {
        house.hand.forward(Duration::from_secs(60));
        let next = house.refresh(&first.refresh).await.pair();
        assert_eq!(next.refresh, first.refresh);
        assert_ne!(next.access, first.access);
        house.me(&next.access).await.is_ok();
    }
    house.api.users().disable("ann").await.unwrap();
    house.refresh(&first.refresh).await.is_invalid_refresh();
    house.api.users().enable("ann").await.unwrap();
    let again = house.sign_in().await;
    house.ask(bearer(post("/auth/logout"), &again.access)).await.is_ok();
    house.refresh(&again.refresh).await.is_invalid_refresh();
    let last = house.sign_in().await;
    house.hand.forward(Duration::from_secs(7 * 24 * 60 * 60));
    house.refresh(&last.refresh).await.is_invalid_refresh();
}
