//! Beside the service that is replaced: on one Redis, with its own libraries on the other side.

use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use serde_json::json;
use test_support::doorward::Doorward;
use test_support::doorward::SECRET;
use test_support::doorward::Tokens;
use test_support::http1::Request;
use test_support::link::Link;
use test_support::old_service::OldService;
use test_support::redis::RedisCluster;
use test_support::redis::RedisServer;
use test_support::redis::Reply;
use test_support::upstream::Upstream;
use test_support::wait::START_MAX;
use test_support::wait::wait_until;

use crate::scene::FLEET_TOKEN;
use crate::scene::PASSWORD;
use crate::scene::Scene;
use crate::scene::assert_problem;
use crate::scene::assert_revoked;
use crate::tokens::Forged;
use crate::tokens::claims_of;

/// What `[redis]` says beside the URL: patient, so that a busy machine is no outage.
const BESIDE: &str = "beside_old_service = true\ncall_timeout = \"1s\"";

/// The usual routes, and one that takes no token of which it is not known whether it was revoked.
fn config(url: &str, redis: &str, auth: &str) -> String {
    format!(
        "environment = \"dev\"\n[redis]\nurl = \"{url}\"\n{redis}\n[auth]\n{auth}\n{}\n\
         [[routes]]\nname = \"wary\"\npath = \"/wary\"\nupstream = \"echo\"\n\
         on_stale_revocations = \"deny\"\n",
        crate::scene::USUAL
    )
}

fn beside(url: &str) -> Scene {
    Scene::of(&config(url, BESIDE, ""))
}

fn python(server: &RedisServer) -> OldService {
    OldService::start(&server.url(), SECRET)
}

/// A token of somebody without limits.
fn token_of(user: &str) -> String {
    Forged::new(user, "kim").tier("admin").sign()
}

fn keys(server: &RedisServer) -> Vec<Reply> {
    match server.command(&["KEYS", "revoked_token:*"]) {
        Ok(Reply::Array(keys)) => keys,
        other => panic!("no keys: {other:?}"),
    }
}

/// Whether somebody was kept from the old service's keys by the access control list.
fn has_tried(server: &RedisServer) -> bool {
    let Ok(Reply::Array(refused)) = server.command(&["ACL", "LOG", "100"]) else {
        panic!("no log");
    };
    refused.iter().any(|entry| format!("{entry:?}").contains("revoked_token:"))
}

fn log_out(scene: &Scene, tokens: &Tokens) {
    let answer = scene.ask(&Request::post("/auth/logout").bearer(&tokens.access));
    assert_eq!(answer.status, 200, "{answer}");
}

#[test]
fn what_python_revokes_is_refused_within_a_second_or_so() {
    let server = RedisServer::start();
    let (scene, python) = (beside(&server.url()), python(&server));
    let (token, other) = (token_of("u-1"), token_of("u-2"));
    let line = scene.line();
    let ask = |path: &str, token: &str| line.ask(&Request::get(path).bearer(token));
    assert_eq!(ask("/api/x", &token).status, 200);
    python.revoke(&token).unwrap();
    let revoked_at = Instant::now();
    wait_until(START_MAX, || ask("/api/x", &token).status == 401);
    // A second, and whatever a busy machine adds.
    assert!(revoked_at.elapsed() < Duration::from_secs(4), "{:?}", revoked_at.elapsed());
    assert_revoked(&ask("/api/x", &token));
    assert_eq!(ask("/api/x", &other).status, 200);
    // Everywhere, and before anything is told of what is there.
    for path in ["/wary", "/open", "/nowhere", "/orders", "/auth/rate-limit"] {
        assert_revoked(&ask(path, &token));
    }
    // One that is never seen before it is revoked is never taken.
    let unseen = token_of("u-3");
    python.revoke(&unseen).unwrap();
    assert_revoked(&ask("/api/x", &unseen));
    // It stays refused where Redis forgets it (the old one drops keys when it is full).
    server.command(&["FLUSHALL"]).unwrap();
    assert_revoked(&ask("/api/x", &token));
}

#[test]
fn tokens_that_python_made_are_taken_until_it_revokes_them() {
    let server = RedisServer::start();
    let python = python(&server);
    let scene = Scene::of(&config(&server.url(), BESIDE, "accept_legacy = true"));
    let claims = json!({
        "user_id": 7, "username": "ann", "tier": "admin", "scopes": [], "type": "access",
    });
    let token = python.issue(&claims, 600);
    assert_eq!(scene.call(&token).status, 200);
    python.revoke(&token).unwrap();
    wait_until(START_MAX, || scene.call(&token).status == 401);
    assert_revoked(&scene.call(&token));
}

#[test]
fn what_is_logged_out_here_is_revoked_for_python_for_the_rest_of_its_life() {
    let server = RedisServer::start();
    let (scene, python) = (beside(&server.url()), python(&server));
    let tokens = scene.doorward.login_as_admin();
    let read = python.verify(&tokens.access).expect("python-jose takes our tokens");
    assert_eq!(read["username"], "admin", "{read}");
    assert!(!python.is_revoked(&tokens.access).unwrap());
    log_out(&scene, &tokens);
    wait_until(START_MAX, || python.is_revoked(&tokens.access).unwrap());

    let key = format!("revoked_token:{}", tokens.access);
    assert_eq!(server.command(&["GET", &key]).unwrap(), Reply::text("\"revoked\""));
    let Reply::Integer(expires_at_s) = server.command(&["EXPIRETIME", &key]).unwrap() else {
        panic!("a time is a number");
    };
    let exp = claims_of(&tokens.access)["exp"].as_i64().unwrap();
    assert!((exp - 1..=exp + 1).contains(&expires_at_s), "{expires_at_s}, not {exp}");
}

#[test]
fn every_act_that_ends_a_token_it_is_shown_tells_python() {
    let server = RedisServer::start();
    let (scene, python) = (beside(&server.url()), python(&server));
    type Act<'a> = &'a dyn Fn(&Tokens) -> u16;
    let acts: [(&str, Act<'_>); 4] = [
        ("everywhere", &|tokens| {
            scene.ask(&Request::post("/auth/logout?all=true").bearer(&tokens.access)).status
        }),
        ("RFC 7009", &|tokens| {
            let form = format!("token={}", tokens.access);
            let request = Request::post("/auth/oauth/revoke")
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form);
            scene.ask(&request).status
        }),
        ("one's own session", &|tokens| {
            let claims = claims_of(&tokens.access);
            let path = format!("/auth/sessions/{}", claims["sid"].as_str().unwrap());
            scene.ask(&Request::new("DELETE", &path).bearer(&tokens.access)).status
        }),
        ("the command line", &|tokens| {
            scene.doorward.must(&["token", "revoke", &tokens.access]);
            200
        }),
    ];
    for (name, act) in acts {
        let tokens = scene.doorward.login_as_admin();
        assert!([200, 204].contains(&act(&tokens)), "{name}");
        wait_until(START_MAX, || python.is_revoked(&tokens.access).unwrap());
    }
    scene.doorward.create_user("kim", "free", PASSWORD);
    let tokens = scene.doorward.login("kim", PASSWORD);
    let change = json!({
        "current_password": PASSWORD, "new_password": "eight-herons-by-the-weir",
    });
    let changed = Request::post("/auth/password").bearer(&tokens.access).json(&change);
    assert_eq!(scene.ask(&changed).status, 200);
    wait_until(START_MAX, || python.is_revoked(&tokens.access).unwrap());
    // Whose session it is makes no difference: another one's token is not known by its text.
    let (mine, other) = (scene.doorward.login_as_admin(), scene.doorward.login_as_admin());
    let claims = claims_of(&other.access);
    let path = format!("/auth/sessions/{}", claims["sid"].as_str().unwrap());
    let ended = scene.ask(&Request::new("DELETE", &path).bearer(&mine.access));
    assert_eq!(ended.status, 204, "{ended}");
    scene.doorward.must(&["token", "revoke", &mine.access]);
    wait_until(START_MAX, || python.is_revoked(&mine.access).unwrap());
    assert!(!python.is_revoked(&other.access).unwrap());
}

#[test]
fn nobody_asks_with_a_token_that_python_has_revoked() {
    let server = RedisServer::start();
    let (scene, python) = (beside(&server.url()), python(&server));
    let tokens = scene.doorward.login_as_admin();
    let me = || scene.ask(&Request::get("/auth/me").bearer(&tokens.access));
    assert_eq!(me().status, 200);
    python.revoke(&tokens.access).unwrap();
    assert_revoked(&me());
    let everywhere = Request::post("/auth/logout?all=true").bearer(&tokens.access);
    assert_revoked(&scene.ask(&everywhere));
    let inspected = scene.doorward.cli(&["token", "inspect", &tokens.access]);
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(inspected["in_force"], false, "{inspected}");
}

#[test]
fn without_the_mode_nothing_is_read_or_written() {
    // Whoever tries is refused, and noted.
    let rules = "~{doorward:* +@all -@dangerous";
    let server = RedisServer::setup().user("doorward", "seven-herons", rules).start();
    let scene = Scene::of(&config(&server.url(), "call_timeout = \"1s\"", ""));
    let token = token_of("u-1");
    let key = format!("revoked_token:{token}");
    assert_eq!(server.command(&["SET", &key, "\"revoked\""]).unwrap(), Reply::text("OK"));
    let tokens = scene.doorward.login_as_admin();
    for token in [&token, &tokens.access] {
        assert_eq!(scene.call(token).status, 200);
    }
    log_out(&scene, &tokens);
    scene.doorward.must(&["token", "revoke", &token]);
    // It counts there, so it has been there.
    let kim = Forged::new("u-7", "kim").tier("free").sign();
    wait_until(START_MAX, || {
        assert_eq!(scene.call(&kim).status, 200);
        server.command(&["KEYS", "{doorward:tier:*"]).is_ok_and(|keys| keys != Reply::Array(vec![]))
    });
    assert!(!has_tried(&server));
    assert_eq!(keys(&server).len(), 1, "{:?}", keys(&server));
    assert_eq!(scene.metric("doorward_old_service_questions_total"), 0);
    // With the mode the same user is refused.
    let scene = beside(&server.url());
    wait_until(START_MAX, || {
        scene.call(&token_of("u-2"));
        has_tried(&server)
    });
}

#[test]
fn many_requests_of_one_token_are_one_question_a_second() {
    let server = RedisServer::start();
    let scene = beside(&server.url());
    let token = token_of("u-1");
    let line = scene.line();
    let begin = Instant::now();
    for _ in 0..300 {
        assert_eq!(line.ask(&Request::get("/api/x").bearer(&token)).status, 200);
    }
    let seconds = begin.elapsed().as_secs() + 1;
    let asked = scene.metric("doorward_old_service_questions_total");
    assert!((1..=seconds).contains(&asked), "{asked} questions in {seconds} s");
    assert!(server.calls("exists") <= seconds, "{} calls", server.calls("exists"));
}

#[test]
fn with_redis_away_gateways_go_on_as_routes_say_and_logouts_are_told_later() {
    let mut server = RedisServer::start();
    let url = server.url();
    let quick = "beside_old_service = true\ncall_timeout = \"100ms\"";
    let scene = Scene::of(&config(&url, quick, "revocation_stale_after = \"1s\""));
    let python = python(&server);
    let (known, unknown, revoked) = (token_of("u-1"), token_of("u-2"), token_of("u-3"));
    let line = scene.line();
    let ask = |path: &str, token: &str| line.ask(&Request::get(path).bearer(token));
    python.revoke(&revoked).unwrap();
    wait_until(START_MAX, || ask("/wary", &known).status == 200);
    assert_revoked(&ask("/api/x", &revoked));
    let tokens = scene.doorward.login_as_admin();

    server.stop();
    wait_until(START_MAX, || {
        ask("/api/x", &unknown);
        scene.metric("doorward_old_service_up") == 0
    });
    assert_eq!(ask("/api/x", &known).status, 200);
    assert_eq!(ask("/api/x", &unknown).status, 200);
    assert_revoked(&ask("/api/x", &revoked));
    let cannot = "Revocations cannot be checked just now";
    assert_problem(&ask("/wary", &unknown), 503, "SERVICE_UNAVAILABLE", cannot);
    // What was known for long enough is too old in the end.
    wait_until(START_MAX, || ask("/wary", &known).status == 503);
    log_out(&scene, &tokens);
    let repeated = scene.doorward.cli(&["token", "revoke", &tokens.access]);
    assert_eq!(repeated.status.code(), Some(1), "{repeated:?}");

    server.restart();
    wait_until(START_MAX, || ask("/wary", &unknown).status == 200);
    wait_until(START_MAX, || python.is_revoked(&tokens.access).unwrap_or_default());
    scene.doorward.wait_for_log("the old service is told of revoked tokens again");
    scene.doorward.wait_for_log("the Redis of the old service works again");
    let log = scene.doorward.log();
    for said in ["cannot be told of a revoked token", "the Redis of the old service is lost: until"]
    {
        assert_eq!(log.matches(said).count(), 1, "{said}: {log}");
    }
    for token in [&known, &unknown, &revoked, &tokens.access] {
        assert!(!log.contains(token.as_str()), "{log}");
        // Nor a good part of it.
        let (_, signature) = token.rsplit_once('.').unwrap();
        assert!(!log.contains(signature), "{log}");
    }
}

#[test]
fn a_redis_that_hangs_makes_nobody_wait_beyond_the_budget() {
    let server = RedisServer::start();
    let link = Link::to(server.addr());
    let quick = "beside_old_service = true\ncall_timeout = \"100ms\"";
    let scene = Scene::of(&config(&server.url_over(&link), quick, ""));
    let line = scene.line();
    let ask = |n: u32| {
        let begin = Instant::now();
        let answer = line.ask(&Request::get("/api/x").bearer(&token_of(&format!("u-{n}"))));
        assert_eq!(answer.status, 200, "{answer}");
        begin.elapsed()
    };
    wait_until(START_MAX, || {
        ask(0);
        scene.metric("doorward_old_service_questions_total") > 0
            && scene.metric("doorward_old_service_up") == 1
    });
    link.stall();
    let begin = Instant::now();
    for n in 1..=50 {
        ask(n);
    }
    // Fifty budgets are five seconds; three of them are waited for.
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

#[test]
fn a_logout_just_before_the_end_is_still_told() {
    let server = RedisServer::start();
    let (mut scene, python) = (beside(&server.url()), python(&server));
    let tokens = scene.doorward.login_as_admin();
    log_out(&scene, &tokens);
    let (status, _) = scene.doorward.sigterm_and_wait();
    assert!(status.success(), "{status}");
    assert!(python.is_revoked(&tokens.access).unwrap());
}

#[test]
fn halves_that_run_apart_do_as_well() {
    let server = RedisServer::start();
    let (python, upstream) = (python(&server), Upstream::start());
    let half = |fleet: &str| {
        let fleet = format!("[fleet]\ntoken = {{ env = \"FLEET_TOKEN\" }}\n{fleet}\n[auth]\n");
        let text = config(&server.url(), BESIDE, "").replace("[auth]\n", &fleet);
        let text = text.replace("UPSTREAM", &upstream.url());
        Doorward::builder().config(text).env("FLEET_TOKEN", FLEET_TOKEN)
    };
    let mut admin = half("listen = \"127.0.0.1:0\"").admin().start();
    let at = format!("admin_url = \"http://{}\"", admin.public());
    let gateway = half(&at).gateway().start();
    admin.create_user("ann", "admin", PASSWORD);
    let [first, second] = [(); 2].map(|()| gateway.login("ann", PASSWORD));
    let call = |tokens: &Tokens| gateway.ask(&Request::get("/api/x").bearer(&tokens.access)).status;
    assert_eq!((call(&first), call(&second)), (200, 200));
    python.revoke(&first.access).unwrap();
    wait_until(START_MAX, || call(&first) == 401);
    let answer = gateway.ask(&Request::post("/auth/logout").bearer(&second.access));
    assert_eq!(answer.status, 200, "{answer}");
    // An admin API that ends tells what waits.
    admin.sigterm_and_wait();
    assert!(python.is_revoked(&second.access).unwrap());
}

#[test]
fn a_redis_that_may_forget_is_warned_of() {
    let settings = ["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"];
    let server = RedisServer::start_with(&settings);
    let scene = beside(&server.url());
    scene.doorward.wait_for_log("Redis has `maxmemory-policy allkeys-lru`");
}

#[test]
fn a_cluster_does_as_well() {
    let cluster = RedisCluster::start();
    let scene = beside(&cluster.url());
    let tokens = scene.doorward.login_as_admin();
    let key = format!("revoked_token:{}", tokens.access);
    let master = cluster.master_of(&key);
    wait_until(START_MAX, || {
        scene.call(&tokens.access);
        scene.metric("doorward_old_service_questions_total") > 0
    });
    log_out(&scene, &tokens);
    wait_until(START_MAX, || {
        master.command(&["GET", &key]).is_ok_and(|value| value == Reply::text("\"revoked\""))
    });
    let foreign = token_of("u-9");
    let key = format!("revoked_token:{foreign}");
    let put = cluster.master_of(&key).command(&["SET", &key, "\"revoked\""]).unwrap();
    assert_eq!(put, Reply::text("OK"));
    wait_until(START_MAX, || scene.call(&foreign).status == 401);
}

#[test]
fn without_a_redis_there_is_no_old_service_to_be_beside() {
    let text = "environment = \"dev\"\n[redis]\nbeside_old_service = true\n";
    let refused = Doorward::builder().config(text).try_start().unwrap_err();
    assert!(refused.1.contains("the key `url` is missing"), "{}", refused.1);
}
