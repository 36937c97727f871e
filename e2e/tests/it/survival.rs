//! What was done stays done, however the process ended.

use serde_json::json;
use test_support::doorward::Builder;
use test_support::doorward::Tokens;
use test_support::http1::Request;

use crate::scene::PASSWORD;
use crate::scene::Scene;
use crate::scene::assert_problem;
use crate::scene::assert_revoked;

/// Doorward makes its own signing secret.
fn without_secret(builder: Builder) -> Builder {
    builder.without_env("JWT_SECRET_KEY")
}

#[test]
fn users_sessions_and_the_secret_survive_a_kill() {
    let scene = Scene::started(without_secret);
    scene.doorward.create_user("ann", "premium", PASSWORD);
    let ann = scene.doorward.login("ann", PASSWORD);
    let minted = scene.doorward.mint("ann", &[]);
    let scene = scene.killed_and_restarted();
    for access in [&ann.access, &minted] {
        assert_eq!(scene.call(access).status, 200);
    }
    let next = Tokens::of(&scene.refresh(&ann.refresh));
    assert_eq!(scene.call(&next.access).status, 200);
    let me = scene.ask(&Request::get("/auth/me").bearer(&next.access)).json();
    assert_eq!((&me["username"], &me["tier"]), (&json!("ann"), &json!("premium")));
    scene.doorward.login("ann", PASSWORD);
    scene.doorward.login_as_admin();
}

#[test]
fn a_kill_right_after_it_brings_nobody_back_who_was_signed_out() {
    let mut scene = Scene::started(without_secret);
    scene.doorward.create_user("ann", "free", PASSWORD);
    let kept = scene.doorward.login("ann", PASSWORD);
    let mut signed_out = Vec::new();
    for _ in 0..3 {
        let tokens = scene.doorward.login("ann", PASSWORD);
        let logout = Request::post("/auth/logout").bearer(&tokens.access);
        assert_eq!(scene.ask(&logout).status, 200);
        signed_out.push(tokens);
        scene = scene.killed_and_restarted();
        for tokens in &signed_out {
            assert_revoked(&scene.call(&tokens.access));
            assert_eq!(scene.refresh(&tokens.refresh).status, 401);
        }
        assert_eq!(scene.call(&kept.access).status, 200);
    }
}

#[test]
fn a_kill_brings_nobody_back_who_was_kept_out() {
    let scene = Scene::started(without_secret);
    scene.doorward.create_user("ann", "free", PASSWORD);
    scene.doorward.create_user("bob", "free", PASSWORD);
    scene.doorward.create_user("eve", "free", PASSWORD);
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| scene.doorward.login(name, PASSWORD));
    let logout = Request::post("/auth/logout?all=true").bearer(&bob.access);
    assert_eq!(scene.ask(&logout).status, 200);
    scene.doorward.must(&["user", "disable", "ann"]);
    scene.doorward.must(&["user", "set-tier", "eve", "premium"]);
    let scene = scene.killed_and_restarted();
    for tokens in [&ann, &bob] {
        assert_revoked(&scene.call(&tokens.access));
        assert_eq!(scene.refresh(&tokens.refresh).status, 401);
    }
    let fields = [("username", "ann"), ("password", PASSWORD)];
    assert_eq!(scene.ask(&Request::post("/auth/login").form(&fields)).status, 401);
    let echo = scene.echo(&Request::get("/api/x").bearer(&eve.access));
    assert_eq!(echo.header("x-user-tier"), Some("premium"));
}

#[test]
fn what_the_command_line_does_while_nothing_runs_holds_at_the_next_start() {
    let mut scene = Scene::started(without_secret);
    scene.doorward.create_user("ann", "free", PASSWORD);
    let tokens = scene.doorward.login("ann", PASSWORD);
    let (status, _) = scene.doorward.sigterm_and_wait();
    assert_eq!(status.code(), Some(0));
    scene.doorward.must(&["user", "disable", "ann"]);
    scene.doorward.create_user("bob", "free", PASSWORD);
    let bob = scene.doorward.mint("bob", &[]);
    let scene = scene.killed_and_restarted();
    assert_revoked(&scene.call(&tokens.access));
    assert_eq!(scene.call(&bob).status, 200);
}

#[test]
fn a_refresh_token_used_before_a_kill_stays_used() {
    let scene = Scene::started(without_secret);
    scene.doorward.create_user("ann", "free", PASSWORD);
    let first = scene.doorward.login("ann", PASSWORD);
    let second = Tokens::of(&scene.refresh(&first.refresh));
    let third = Tokens::of(&scene.refresh(&second.refresh));
    let scene = scene.killed_and_restarted();
    let copy = scene.refresh(&first.refresh);
    assert_problem(&copy, 401, "INVALID_TOKEN", "Invalid refresh token");
    assert_revoked(&scene.call(&third.access));
}
