//! How many requests a caller may make: exactly as many as the tier says.

use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use test_support::doorward::Tokens;
use test_support::http1::Answer;
use test_support::http1::Request;
use test_support::upstream::Echo;
use test_support::wait::wait_until;

use crate::scene::PASSWORD;
use crate::scene::Scene;
use crate::scene::assert_problem;
use crate::scene::in_parallel;
use crate::tokens::Forged;

const SPENT: &str = "Rate limit exceeded. Please try again later.";

/// Tiers that a test can spend.
const TIERS: &str = r#"
[tiers.small]
limits = [{ name = "minute", requests = 5, per = "1m" }]

[tiers.large]
limits = [{ name = "minute", requests = 10, per = "1m" }]
"#;

fn kim_of(tier: &str) -> Forged {
    Forged::new("u-7", "kim").tier(tier)
}

#[track_caller]
fn left(answer: &Answer) -> u64 {
    answer.number("x-ratelimit-remaining")
}

#[track_caller]
fn standing(scene: &Scene, token: &str) -> Value {
    let answer = scene.ask(&Request::get("/auth/rate-limit").bearer(token));
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()
}

#[test]
fn of_two_hundred_requests_at_one_time_exactly_a_hundred_are_admitted() {
    let scene = Scene::usual();
    let statuses = in_parallel(200, |index| {
        let token = kim_of("free").claim("jti", json!(index.to_string())).sign();
        scene.ask(&Request::get("/api/x").bearer(&token)).status
    });
    let count = |status: u16| statuses.iter().filter(|&&s| s == status).count();
    assert_eq!((count(200), count(429)), (100, 100), "{statuses:?}");
    assert_eq!(scene.reached(), 100);
}

#[test]
fn each_caller_has_a_quota_of_its_own_and_spends_it_on_every_route() {
    let scene = Scene::with(TIERS);
    let (kim, lee) = (kim_of("small").sign(), Forged::new("u-8", "lee").tier("small").sign());
    for path in ["/api/x", "/open/x", "/kept/x", "/api/y", "/open/y"] {
        assert_eq!(scene.ask(&Request::get(path).bearer(&kim)).status, 200);
    }
    for path in ["/api/x", "/open/x", "/kept/x"] {
        let answer = scene.ask(&Request::get(path).bearer(&kim));
        assert_problem(&answer, 429, "RATE_LIMIT_EXCEEDED", SPENT);
    }
    assert_eq!(left(&scene.ask(&Request::get("/api/x").bearer(&lee))), 4);
    assert_eq!(scene.reached(), 6);
}

#[test]
fn an_unlimited_tier_is_never_refused() {
    let scene = Scene::usual();
    let token = kim_of("admin").sign();
    let line = scene.line();
    for _ in 0..1500 {
        let answer = line.ask(&Request::get("/api/x").bearer(&token));
        assert_eq!(answer.status, 200, "{answer}");
    }
}

#[test]
fn a_token_that_does_not_hold_spends_nobodys_quota() {
    let scene = Scene::with(TIERS);
    let kim = kim_of("small");
    let bad = [
        kim.sign_with("another-secret-that-is-long-enough-to-sign"),
        kim.clone().claim("exp", json!(1)).sign(),
        kim.clone().claim("type", json!("refresh")).sign(),
        kim.clone().header("alg", json!("none")).sign(),
        "garbage".to_owned(),
    ];
    let mut connection = scene.connect();
    for token in bad.iter().cycle().take(30) {
        let answer = connection.ask(&Request::get("/api/x").bearer(token));
        assert_eq!(answer.status, 401, "{answer}");
        assert_eq!(answer.header("x-ratelimit-limit"), None, "{answer}");
    }
    assert_eq!(left(&scene.ask(&Request::get("/api/x").bearer(&kim.sign()))), 4);
}

#[test]
fn a_request_that_is_refused_for_another_reason_spends_nothing() {
    let scene = Scene::with(TIERS);
    let token = kim_of("small").sign();
    for (method, path, status) in [
        ("GET", "/orders/1", 403),
        ("DELETE", "/orders/1", 405),
        ("GET", "/nowhere", 404),
        ("GET", "/api/../x", 400),
    ] {
        for _ in 0..6 {
            let answer = scene.ask(&Request::new(method, path).bearer(&token));
            assert_eq!(answer.status, status, "{answer}");
        }
    }
    assert_eq!(left(&scene.ask(&Request::get("/api/x").bearer(&token))), 4);
    assert_eq!(scene.reached(), 1);
}

#[test]
fn signing_in_and_asking_who_one_is_spends_nothing_of_a_users_quota() {
    let scene = Scene::with(TIERS);
    scene.doorward.create_user("ann", "small", PASSWORD);
    let mut tokens = scene.doorward.login("ann", PASSWORD);
    for _ in 0..10 {
        let me = scene.ask(&Request::get("/auth/me").bearer(&tokens.access));
        assert_eq!(me.status, 200, "{me}");
        let refresh = json!({ "refresh_token": tokens.refresh });
        let refreshed = scene.ask(&Request::post("/auth/refresh").json(&refresh));
        tokens = Tokens::of(&refreshed);
    }
    assert_eq!(left(&scene.ask(&Request::get("/api/x").bearer(&tokens.access))), 4);
}

#[test]
fn an_address_may_try_to_sign_in_thirty_times_a_minute() {
    let scene = Scene::of(
        "[upstreams.echo]\nendpoints = [\"UPSTREAM\"]\n\
         [[routes]]\nname = \"api\"\npath = \"/api\"\nupstream = \"echo\"",
    );
    let attempt = |path: &str, index: usize| {
        let name = format!("nobody-{index}");
        scene.ask(&Request::post(path).form(&[("username", &name), ("password", "wrong")]))
    };
    for index in 0..30 {
        let path = ["/auth/login", "/api/auth/login"][index % 2];
        let answer = attempt(path, index);
        assert_problem(&answer, 401, "INVALID_CREDENTIALS", "Incorrect username or password");
    }
    for path in ["/auth/login", "/api/auth/login"] {
        let answer = attempt(path, 30);
        assert_problem(&answer, 429, "RATE_LIMIT_EXCEEDED", SPENT);
        assert!((1..=61).contains(&answer.number("retry-after")), "{answer}");
    }
    let with_token = scene.ask(&Request::get("/api/x").bearer(&kim_of("free").sign()));
    assert_eq!((with_token.status, left(&with_token)), (200, 99));
}

#[test]
fn a_tier_that_is_unknown_or_missing_is_free_and_counted() {
    let scene = Scene::usual();
    for (index, forged) in [kim_of("gold"), kim_of("free").without("tier")].iter().enumerate() {
        let answer = scene.ask(&Request::get("/api/x").bearer(&forged.sign()));
        assert_eq!(answer.number("x-ratelimit-limit"), 100, "{answer}");
        assert_eq!(Echo::of_answer(&answer).header("x-user-tier"), Some("free"));
        assert_eq!(scene.metric("doorward_unknown_tier_total"), index as u64 + 1);
    }
    scene.ask(&Request::get("/api/x").bearer(&kim_of("premium").sign()));
    assert_eq!(scene.metric("doorward_unknown_tier_total"), 2);
}

#[test]
fn a_new_tier_counts_from_what_was_used_under_the_old_one() {
    let scene = Scene::with(TIERS);
    scene.doorward.create_user("ann", "small", PASSWORD);
    let token = scene.doorward.mint("ann", &[]);
    for expected in [4, 3, 2] {
        let answer = scene.ask(&Request::get("/api/x").bearer(&token));
        assert_eq!((answer.number("x-ratelimit-limit"), left(&answer)), (5, expected));
    }
    scene.doorward.must(&["user", "set-tier", "ann", "large"]);
    wait_until(Duration::from_secs(2), || standing(&scene, &token)["limit"] == 10);
    assert_eq!(standing(&scene, &token)["remaining"], 7);
    let answer = scene.ask(&Request::get("/api/x").bearer(&token));
    assert_eq!((answer.number("x-ratelimit-limit"), left(&answer)), (10, 6));

    scene.doorward.must(&["user", "set-tier", "ann", "small"]);
    wait_until(Duration::from_secs(2), || standing(&scene, &token)["limit"] == 5);
    assert_eq!(left(&scene.ask(&Request::get("/api/x").bearer(&token))), 0);
    assert_eq!(scene.ask(&Request::get("/api/x").bearer(&token)).status, 429);
}

#[test]
fn how_one_stands_is_told_without_counting_it_even_when_all_is_spent() {
    let scene = Scene::with(TIERS);
    let token = kim_of("small").sign();
    for used in 0..=5_u64 {
        for path in ["/auth/rate-limit", "/api/auth/rate-limit", "/auth/rate-limit"] {
            let answer = scene.ask(&Request::get(path).bearer(&token));
            assert_eq!(answer.status, 200, "{answer}");
            let body = answer.json();
            assert_eq!((&body["limit"], &body["remaining"]), (&json!(5), &json!(5 - used)));
            assert_eq!(body["tier"], "small");
            assert!(body["reset"].is_u64(), "{answer}");
            assert!(body["policies"].as_array().is_some_and(|all| !all.is_empty()), "{answer}");
        }
        let status = if used < 5 { 200 } else { 429 };
        assert_eq!(scene.ask(&Request::get("/api/x").bearer(&token)).status, status);
    }
    assert_eq!(scene.reached(), 5);
}

#[test]
fn how_one_stands_without_limits_is_zero_and_without_a_token_is_nobodys_business() {
    let scene = Scene::usual();
    let body = standing(&scene, &kim_of("admin").sign());
    assert_eq!((&body["limit"], &body["remaining"]), (&json!(0), &json!(0)), "{body}");
    assert_eq!(body["tier"], "admin");
    let answer = scene.ask(&Request::get("/auth/rate-limit"));
    assert_problem(&answer, 401, "NOT_AUTHENTICATED", "Not authenticated");
    let forged = kim_of("free").sign_with("another-secret-that-is-long-enough-to-sign");
    let answer = scene.ask(&Request::get("/auth/rate-limit").bearer(&forged));
    assert_problem(&answer, 401, "INVALID_TOKEN", "Could not validate credentials");
}
