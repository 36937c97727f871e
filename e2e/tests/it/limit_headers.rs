//! What an answer says about limits: on those that were admitted and on those that were not.

use std::time::Duration;
use std::time::Instant;

use serde_json::json;
use test_support::http1::Answer;
use test_support::http1::Request;
use test_support::wait::wait_until;

use crate::scene::Scene;
use crate::scene::assert_problem;
use crate::scene::token;
use crate::tokens::Forged;
use crate::tokens::now_s;

const TIERS: &str = r#"
[tiers.quick]
limits = [{ name = "burst", requests = 3, per = "2s" }]

[tiers.twofold]
limits = [{ name = "burst", requests = 2, per = "1m" }, { name = "day", requests = 50, per = "1d" }]
"#;

/// How much later than `Retry-After` says an admission may be seen, on a busy machine.
const LATE_MAX: Duration = Duration::from_secs(2);

fn kim_of(tier: &str) -> String {
    Forged::new("u-7", "kim").tier(tier).sign()
}

/// The number of a parameter in a field such as `"minute";r=57;t=12`.
#[track_caller]
fn parameter(field: &str, name: &str) -> u64 {
    let value = |part: &str| part.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
    field.split(';').find_map(value).unwrap_or_else(|| panic!("no `{name}` in `{field}`"))
}

/// Checks all headers of a policy of `limit` requests a minute of which `remaining` are left.
#[track_caller]
fn assert_minute(answer: &Answer, limit: u64, remaining: u64) {
    assert_eq!(answer.number("x-ratelimit-limit"), limit, "{answer}");
    assert_eq!(answer.number("x-ratelimit-remaining"), remaining, "{answer}");
    let policy = format!("\"minute\";q={limit};w=60");
    assert_eq!(answer.all("ratelimit-policy"), [policy], "{answer}");
    let field = answer.header("ratelimit").unwrap_or_default();
    assert!(field.starts_with("\"minute\";"), "{answer}");
    assert_eq!(parameter(field, "r"), remaining, "{answer}");
    let (reset_s, after_s) = (answer.number("x-ratelimit-reset"), parameter(field, "t"));
    assert!((1..=62).contains(&after_s), "{answer}");
    assert!(reset_s.abs_diff(now_s() + after_s) <= 2, "{answer}");
}

#[test]
fn an_admitted_request_says_what_is_left() {
    let scene = Scene::usual();
    let kim = kim_of("free");
    for remaining in [99, 98, 97] {
        let answer = scene.ask(&Request::get("/api/x").bearer(&kim));
        assert_eq!(answer.status, 200, "{answer}");
        assert_minute(&answer, 100, remaining);
    }
}

#[test]
fn an_answer_that_is_an_error_says_what_is_left_as_well() {
    let scene = Scene::usual();
    let kim = kim_of("free");
    for (remaining, path, status) in [
        (99, "/api/status/404", 404),
        (98, "/api/status/500", 500),
        (97, "/api/status/304", 304),
        (96, "/api/close", 502),
        (95, "/api/status/429", 429),
    ] {
        let answer = scene.ask(&Request::get(path).bearer(&kim));
        assert_eq!(answer.status, status, "{answer}");
        assert_minute(&answer, 100, remaining);
    }
}

#[test]
fn an_anonymous_caller_of_a_public_route_is_told_as_well() {
    let scene = Scene::usual();
    let answer = scene.ask(&Request::get("/open/x"));
    assert_eq!(answer.status, 200, "{answer}");
    assert_minute(&answer, 60, 59);
}

#[test]
fn an_unlimited_caller_is_told_zeroes_and_no_field_of_the_draft() {
    let scene = Scene::usual();
    for path in ["/api/x", "/api/headers", "/api/status/500"] {
        let answer = scene.ask(&Request::get(path).bearer(&token()));
        for name in ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"] {
            assert_eq!(answer.all(name), ["0"], "{name}: {answer}");
        }
        assert_eq!(answer.all("ratelimit"), [""; 0], "{answer}");
        assert_eq!(answer.all("ratelimit-policy"), [""; 0], "{answer}");
    }
}

#[test]
fn what_a_back_end_says_of_limits_is_replaced() {
    let scene = Scene::usual();
    let answer = scene.ask(&Request::get("/api/headers").bearer(&kim_of("free")));
    assert_eq!(answer.header("x-from-upstream"), Some("yes"), "{answer}");
    for name in ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit"] {
        assert_eq!(answer.all(name).len(), 1, "{name}: {answer}");
    }
    assert_minute(&answer, 100, 99);
}

#[test]
fn a_request_over_the_quota_is_told_which_one_and_when_to_come_again() {
    let scene = Scene::with(TIERS);
    let kim = kim_of("twofold");
    for _ in 0..2 {
        assert_eq!(scene.ask(&Request::get("/api/x").bearer(&kim)).status, 200);
    }
    let answer = scene.ask(&Request::get("/api/x").bearer(&kim));
    let detail = "Rate limit exceeded. Please try again later.";
    assert_problem(&answer, 429, "RATE_LIMIT_EXCEEDED", detail);
    let body = answer.json();
    assert_eq!(body["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(body["title"], "Too Many Requests");
    assert_eq!(body["violated-policies"], json!(["burst"]));
    assert_eq!(answer.number("x-ratelimit-limit"), 2);
    assert_eq!(answer.number("x-ratelimit-remaining"), 0);
    let policies = "\"burst\";q=2;w=60, \"day\";q=50;w=86400";
    assert_eq!(answer.all("ratelimit-policy").join(", "), policies, "{answer}");
    let field = answer.header("ratelimit").unwrap_or_default();
    assert!(field.starts_with("\"burst\";r=0;"), "{answer}");
    assert!((1..=62).contains(&answer.number("retry-after")), "{answer}");
    assert!(answer.number("x-ratelimit-reset") >= now_s(), "{answer}");
    assert_eq!(scene.reached(), 2);
}

#[test]
fn whoever_waits_as_long_as_told_is_admitted_however_often_it_asked_meanwhile() {
    let scene = Scene::with(TIERS);
    let kim = kim_of("quick");
    let mut connection = scene.connect();
    for _ in 0..3 {
        assert_eq!(connection.ask(&Request::get("/api/x").bearer(&kim)).status, 200);
    }
    let refused = connection.ask(&Request::get("/api/x").bearer(&kim));
    assert_eq!(refused.status, 429, "{refused}");
    let wait_s = refused.number("retry-after");
    assert!((1..=3).contains(&wait_s), "a number of seconds, not a moment: {refused}");

    let began = Instant::now();
    let mut refusals = 0;
    wait_until(Duration::from_secs(wait_s) + LATE_MAX, || {
        let answer = connection.ask(&Request::get("/api/x").bearer(&kim));
        assert!(matches!(answer.status, 200 | 429), "{answer}");
        refusals += u64::from(answer.status == 429);
        answer.status == 200
    });
    assert!(began.elapsed() <= Duration::from_secs(wait_s) + LATE_MAX);
    assert!(refusals > 0, "the quota came back at once");
    assert_eq!(scene.reached(), 4);
}

#[test]
fn the_second_at_which_more_remains_is_a_moment_and_true() {
    let scene = Scene::with(TIERS);
    let kim = kim_of("quick");
    let mut connection = scene.connect();
    let mut last = connection.ask(&Request::get("/api/x").bearer(&kim));
    while last.status == 200 {
        last = connection.ask(&Request::get("/api/x").bearer(&kim));
    }
    let reset_s = last.number("x-ratelimit-reset");
    assert!(reset_s.abs_diff(now_s()) <= 4, "{last}");
    let limit = Duration::from_secs(reset_s.saturating_sub(now_s())) + LATE_MAX;
    wait_until(limit, || connection.ask(&Request::get("/api/x").bearer(&kim)).status == 200);
}
