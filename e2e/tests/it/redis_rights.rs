//! Each half of a fleet with the rights in Redis that docs/fleet.md gives it, and no others.

use serde_json::json;
use test_support::doorward::Doorward;
use test_support::doorward::Tokens;
use test_support::http1::Answer;
use test_support::http1::Request;
use test_support::redis::RedisServer;
use test_support::redis::Reply;
use test_support::upstream::Upstream;
use test_support::wait::START_MAX;
use test_support::wait::wait_until;

use crate::scene::PASSWORD;
use crate::scene::apart_admin;
use crate::scene::apart_gateway;
use crate::scene::assert_revoked;
use crate::tokens::claims_of;

const DOCUMENT: &str = include_str!("../../../docs/fleet.md");

/// Lets `half` in as the document says.
fn grant(redis: &RedisServer, half: &str) {
    let begin = format!("user {half} on >");
    let line = DOCUMENT.lines().find(|line| line.starts_with(&begin)).expect("it has rights");
    let rights = line.split_whitespace().skip(4);
    let words = ["ACL", "SETUSER", half, "on", ">seven-herons"].into_iter().chain(rights);
    let granted = redis.command(&words.collect::<Vec<_>>());
    assert_eq!(granted.expect("Redis answers"), Reply::text("OK"));
}

/// The section of who is `user` in Redis.
fn section(redis: &RedisServer, user: &str) -> String {
    format!(
        "[redis]\nurl = \"redis://{user}:seven-herons@{}/0\"\n\
         beside_old_service = true\ncall_timeout = \"1s\"",
        redis.addr(),
    )
}

fn call(gateway: &Doorward, ann: &Tokens) -> Answer {
    gateway.ask(&Request::get("/api/x").bearer(&ann.access))
}

fn has(redis: &RedisServer, pattern: &str) -> bool {
    let Ok(Reply::Array(keys)) = redis.command(&["KEYS", pattern]) else { panic!("no keys") };
    !keys.is_empty()
}

#[test]
fn either_half_does_all_that_it_does_in_redis_with_the_rights_that_the_document_gives_it() {
    let (redis, upstream) = (RedisServer::start(), Upstream::start());
    grant(&redis, "admin");
    grant(&redis, "gateway");
    let admin = apart_admin(&section(&redis, "admin")).start();
    let mut gateway = apart_gateway(&admin, &section(&redis, "gateway"), &upstream).start();
    gateway.wait_for_log("revocations are heard of by Redis");
    admin.create_user("ann", "free", PASSWORD);

    // Limits, with tokens taken ahead.
    let [first, second] = [(); 2].map(|()| gateway.login("ann", PASSWORD));
    assert_eq!(call(&gateway, &first).status, 200);
    assert!(has(&redis, "{doorward:*:user:*}"));
    // Revocations of either side.
    let out = gateway.ask(&Request::post("/auth/logout").bearer(&first.access));
    assert_eq!(out.status, 200, "{out}");
    wait_until(START_MAX, || call(&gateway, &first).status == 401);
    wait_until(START_MAX, || has(&redis, &format!("revoked_token:{}", first.access)));
    assert_eq!(call(&gateway, &second).status, 200);
    let key = format!("revoked_token:{}", second.access);
    redis.command(&["SET", &key, "\"revoked\""]).expect("Redis answers");
    wait_until(START_MAX, || call(&gateway, &second).status == 401);
    assert_revoked(&call(&gateway, &second));
    // Job status.
    admin.create_user("service", "free", PASSWORD);
    admin.must(&["user", "set-scopes", "service", "status:write"]);
    let service = gateway.login("service", PASSWORD);
    let third = gateway.login("ann", PASSWORD);
    let owner = &claims_of(&third.access)["user_id"];
    let report = json!({ "status": "processing", "owner": owner });
    let report = Request::new("PUT", "/status/resources/7/stages/graph").json(&report);
    let answer = gateway.ask(&report.bearer(&service.access));
    assert_eq!((answer.status, &answer.json()["degraded"]), (200, &json!(null)), "{answer}");
    for target in ["/status/resources/7", "/status/resources"] {
        let answer = gateway.ask(&Request::get(target).bearer(&third.access));
        assert_eq!(answer.status, 200, "{answer}");
    }
    let health = gateway.ask(&Request::get("/monitoring/health")).json();
    assert_eq!(health["components"]["redis"]["status"], "healthy", "{health}");
    // And what is given back at the end.
    gateway.sigterm_and_wait();

    // Nobody was refused anything.
    assert_eq!(redis.command(&["ACL", "LOG"]).expect("Redis answers"), Reply::Array(vec![]));
    let may = |user: &str, command: &[&str]| {
        let asked = redis.command(&[&["ACL", "DRYRUN", user], command].concat());
        asked.expect("Redis answers") == Reply::text("OK")
    };
    let entry = ["XADD", "{doorward:revocations:x}", "1-0", "m", "{}"];
    assert!(may("admin", &entry) && !may("gateway", &entry));
    for (user, command) in [
        ("gateway", &["SET", "revoked_token:x", "y"][..]),
        ("gateway", &["GET", "another"]),
        ("admin", &["SET", "another", "y"]),
        ("admin", &["FLUSHALL"]),
        ("gateway", &["FLUSHALL"]),
    ] {
        assert!(!may(user, command), "{user}: {command:?}");
    }
}
