//! Staying signed in, signing out, and being kept out, as the proxied routes see it.

use std::collections::HashSet;
use std::time::Duration;
use std::time::Instant;

use serde_json::json;
use test_support::doorward::Tokens;
use test_support::http1::Answer;
use test_support::http1::Request;
use test_support::wait::wait_until;

use crate::scene::PASSWORD;
use crate::scene::Scene;
use crate::scene::assert_fault;
use crate::scene::assert_problem;
use crate::scene::assert_revoked;
use crate::scene::in_parallel;
use crate::tokens::claims_of;

/// How long an act of the command line may take to reach the proxied routes, with what a busy
/// machine adds to it.
const REACHES_MAX: Duration = Duration::from_secs(1);

fn scene_with_ann() -> Scene {
    let scene = Scene::usual();
    scene.doorward.create_user("ann", "free", PASSWORD);
    scene
}

#[track_caller]
fn assert_over(answer: &Answer) {
    assert_problem(answer, 401, "INVALID_TOKEN", "Invalid refresh token");
}

#[test]
fn a_refresh_token_is_exchanged_as_json_as_a_form_or_as_a_bearer() {
    let scene = scene_with_ann();
    let first = scene.doorward.login("ann", PASSWORD);
    let ways: [fn(&str) -> Request; 4] = [
        |token| Request::post("/auth/refresh").json(&json!({ "refresh_token": token })),
        |token| {
            let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
            Request::post("/auth/refresh").form(&fields)
        },
        |token| Request::post("/api/auth/refresh").bearer(token),
        |token| {
            let request = Request::post("/auth/refresh").bearer("an.access.token");
            request.json(&json!({ "refresh_token": token }))
        },
    ];
    let mut tokens = first.clone();
    for way in ways {
        let answer = scene.ask(&way(&tokens.refresh));
        assert_eq!(answer.status, 200, "{answer}");
        let next = Tokens::of(&answer);
        assert_ne!(next.refresh, tokens.refresh);
        assert_eq!(scene.call(&next.access).status, 200);
        tokens = next;
    }
    let sid = |token: &str| claims_of(token)["sid"].clone();
    assert_eq!(sid(&tokens.access), sid(&first.access));
    assert_eq!(scene.call(&first.access).status, 200, "it lives until it expires");
}

#[test]
fn an_access_token_does_not_refresh_and_a_refresh_token_does_not_let_through() {
    let scene = scene_with_ann();
    let tokens = scene.doorward.login("ann", PASSWORD);
    let wrong = scene.refresh(&tokens.access);
    assert_problem(&wrong, 401, "INVALID_TOKEN", "Invalid token type");
    for path in ["/api/x", "/open/x", "/auth/me", "/auth/rate-limit", "/nowhere"] {
        let answer = scene.ask(&Request::get(path).bearer(&tokens.refresh));
        assert_problem(&answer, 401, "INVALID_TOKEN", "Could not validate credentials");
    }
    assert_eq!(scene.reached(), 0);
    for token in ["x", "a.b.c", &tokens.refresh[..tokens.refresh.len() - 1]] {
        assert_over(&scene.refresh(token));
    }
    assert_eq!(scene.refresh(&tokens.refresh).status, 200);
}

#[test]
fn twenty_refreshes_at_one_time_get_one_successor_and_nobody_is_signed_out() {
    let scene = scene_with_ann();
    let first = scene.doorward.login("ann", PASSWORD);
    let pairs = in_parallel(20, |_| Tokens::of(&scene.refresh(&first.refresh)));
    let successors: HashSet<&str> = pairs.iter().map(|pair| pair.refresh.as_str()).collect();
    assert_eq!(successors.len(), 1);
    for pair in &pairs {
        assert_eq!(scene.call(&pair.access).status, 200);
    }
    assert_eq!(scene.refresh(&pairs[0].refresh).status, 200);
}

#[test]
fn a_refresh_token_of_two_turns_ago_is_a_copy_and_ends_its_session_alone() {
    let scene = scene_with_ann();
    let other = scene.doorward.login("ann", PASSWORD);
    let first = scene.doorward.login("ann", PASSWORD);
    let second = Tokens::of(&scene.refresh(&first.refresh));
    let third = Tokens::of(&scene.refresh(&second.refresh));
    assert_eq!(scene.call(&third.access).status, 200);
    assert_over(&scene.refresh(&first.refresh));
    for access in [&first.access, &second.access, &third.access] {
        assert_revoked(&scene.call(access));
    }
    assert_over(&scene.refresh(&third.refresh));
    assert_eq!(scene.call(&other.access).status, 200);
    assert_eq!(scene.refresh(&other.refresh).status, 200);
}

#[test]
fn after_signing_out_the_next_request_is_refused_even_with_a_token_just_used() {
    let scene = scene_with_ann();
    let other = scene.doorward.login("ann", PASSWORD);
    for path in ["/auth/logout", "/api/auth/logout"] {
        let tokens = scene.doorward.login("ann", PASSWORD);
        let mut connection = scene.connect();
        let request = Request::get("/api/x").bearer(&tokens.access);
        assert_eq!(connection.ask(&request).status, 200);
        let reached = scene.reached();
        let answer = scene.ask(&Request::post(path).bearer(&tokens.access));
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(answer.json(), json!({ "message": "Successfully logged out" }));
        assert_revoked(&connection.ask(&request));
        assert_revoked(&scene.ask(&Request::get("/open/x").bearer(&tokens.access)));
        assert_over(&scene.refresh(&tokens.refresh));
        assert_eq!(scene.reached(), reached);
    }
    assert_eq!(scene.call(&other.access).status, 200);
}

#[test]
fn signing_out_everywhere_ends_every_session_of_that_user_and_of_nobody_else() {
    let scene = scene_with_ann();
    scene.doorward.create_user("bob", "free", PASSWORD);
    let bob = scene.doorward.login("bob", PASSWORD);
    let sessions = [(); 3].map(|()| scene.doorward.login("ann", PASSWORD));
    let minted = scene.doorward.mint("ann", &[]);
    for tokens in &sessions {
        assert_eq!(scene.call(&tokens.access).status, 200);
    }
    let logout = Request::post("/auth/logout?all=true").bearer(&sessions[0].access);
    assert_eq!(scene.ask(&logout).status, 200);
    for tokens in &sessions {
        assert_revoked(&scene.call(&tokens.access));
        assert_over(&scene.refresh(&tokens.refresh));
    }
    assert_revoked(&scene.call(&minted));
    assert_eq!(scene.call(&bob.access).status, 200);
    let anew = scene.doorward.login("ann", PASSWORD);
    assert_eq!(scene.call(&anew.access).status, 200);
}

#[test]
fn a_token_without_a_session_is_signed_out_by_itself() {
    let scene = scene_with_ann();
    let [one, two] = [(); 2].map(|()| scene.doorward.mint("ann", &[]));
    assert_eq!(scene.call(&one).status, 200);
    assert_eq!(scene.ask(&Request::post("/auth/logout").bearer(&one)).status, 200);
    assert_revoked(&scene.call(&one));
    assert_eq!(scene.call(&two).status, 200);
}

#[test]
fn a_user_disabled_on_the_command_line_is_refused_while_it_runs() {
    let scene = scene_with_ann();
    let tokens = scene.doorward.login("ann", PASSWORD);
    let minted = scene.doorward.mint("ann", &[]);
    assert_eq!(scene.call(&tokens.access).status, 200);
    scene.doorward.must(&["user", "disable", "ann"]);
    let disabled = Instant::now();
    wait_until(REACHES_MAX * 2, || scene.call(&tokens.access).status == 401);
    assert!(disabled.elapsed() < REACHES_MAX, "it took {:?}", disabled.elapsed());
    assert_revoked(&scene.call(&tokens.access));
    assert_revoked(&scene.call(&minted));
    assert_over(&scene.refresh(&tokens.refresh));

    scene.doorward.must(&["user", "enable", "ann"]);
    let signs_in = || {
        let fields = [("username", "ann"), ("password", PASSWORD)];
        let answer = scene.ask(&Request::post("/auth/login").form(&fields));
        (answer.status == 200).then(|| Tokens::of(&answer))
    };
    wait_until(REACHES_MAX, || {
        signs_in().is_some_and(|anew| scene.call(&anew.access).status == 200)
    });
    assert_revoked(&scene.call(&tokens.access));
    assert_over(&scene.refresh(&tokens.refresh));
}

#[test]
fn a_tier_set_on_the_command_line_holds_for_a_token_from_before() {
    let scene = scene_with_ann();
    let tokens = scene.doorward.login("ann", PASSWORD);
    let request = Request::get("/api/x").bearer(&tokens.access);
    assert_eq!(scene.echo(&request).header("x-user-tier"), Some("free"));
    scene.doorward.must(&["user", "set-tier", "ann", "premium"]);
    let set = Instant::now();
    wait_until(REACHES_MAX * 2, || scene.echo(&request).header("x-user-tier") == Some("premium"));
    assert!(set.elapsed() < REACHES_MAX, "it took {:?}", set.elapsed());
    assert_eq!(scene.call(&tokens.access).number("x-ratelimit-limit"), 1000);
    let next = Tokens::of(&scene.refresh(&tokens.refresh));
    assert_eq!(claims_of(&next.access)["tier"], "premium");
}

#[test]
fn unknown_wrong_and_disabled_are_the_same_answer() {
    let scene = scene_with_ann();
    scene.doorward.create_user("eve", "free", PASSWORD);
    scene.doorward.must(&["user", "disable", "eve"]);
    let attempts =
        [("nobody", PASSWORD), ("ann", "wrong-wrong-wrong"), ("eve", PASSWORD), ("eve", "x")];
    let mut bodies = HashSet::new();
    for (user, password) in attempts {
        let fields = [("username", user), ("password", password)];
        let answer = scene.ask(&Request::post("/auth/login").form(&fields));
        assert_problem(&answer, 401, "INVALID_CREDENTIALS", "Incorrect username or password");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        let mut body = answer.json();
        body["request_id"] = json!("");
        bodies.insert(body.to_string());
    }
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

#[test]
fn a_full_queue_for_hashing_is_a_503_and_leaves_the_proxied_routes_alone() {
    let scene = Scene::with("[auth.hashing]\nthreads = 1\nqueue_max = 1");
    scene.doorward.create_user("ann", "free", PASSWORD);
    let token = scene.doorward.mint("ann", &[]);
    let answers = in_parallel(30, |_| {
        let fields = [("username", "ann"), ("password", PASSWORD)];
        scene.ask(&Request::post("/auth/login").form(&fields))
    });
    let (served, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a.status == 200);
    assert!(!served.is_empty() && !refused.is_empty(), "{} were served", served.len());
    for answer in refused {
        assert_fault(answer, 503, "SERVICE_UNAVAILABLE");
        assert!(answer.number("retry-after") >= 1, "{answer}");
    }
    assert_eq!(scene.call(&token).status, 200);
}
