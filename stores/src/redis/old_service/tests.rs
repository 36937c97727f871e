//! The old service's revocations against a real Redis, and against its own libraries.

use std::sync::Arc;

use config::Redis;
use kernel::secret::Secret;
use test_support::link::Link;
use test_support::old_service::OldService as Python;
use test_support::redis::RedisCluster;
use test_support::redis::RedisServer;
use test_support::redis::Reply;
use test_support::wait::START_MAX;

use super::*;
use crate::redis::breaker::FAILURES_MAX;

const SECRET: &str = "a-secret-of-the-old-service-and-its-heir";

async fn at(url: String, call_timeout: Duration) -> OldService {
    let redis = Redis { call_timeout, ..Redis::at(Secret::new(url)) };
    let connection = Connection::open(&redis, None).expect("a URL");
    let connected = tokio::time::timeout(START_MAX, connection.connected());
    connected.await.expect("in time").expect("Redis is there");
    OldService::new(connection)
}

async fn in_no_hurry(url: String) -> OldService {
    at(url, Duration::from_secs(5)).await
}

fn ask(server: &RedisServer, words: &[&str]) -> Reply {
    server.command(words).expect("Redis answers")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_either_side_revokes_is_revoked_at_the_other() {
    let server = RedisServer::start();
    let python = Python::start(&server.url(), SECRET);
    let ours = in_no_hurry(server.url()).await;
    assert!(!ours.has_revoked("a.b.c").await.unwrap());
    python.revoke("a.b.c").unwrap();
    assert!(ours.has_revoked("a.b.c").await.unwrap());
    assert!(!ours.has_revoked("a.b.d").await.unwrap());

    assert!(!python.is_revoked("a.b.d").unwrap());
    ours.revoke("a.b.d", Duration::from_secs(600)).await.unwrap();
    assert!(python.is_revoked("a.b.d").unwrap());
    assert!(ours.has_revoked("a.b.d").await.unwrap());
    assert_eq!(ask(&server, &["GET", "revoked_token:a.b.d"]), Reply::text("\"revoked\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_lasts_as_long_as_it_is_said_in_whole_seconds_rounded_up() {
    let server = RedisServer::start();
    let ours = in_no_hurry(server.url()).await;
    for (left, lasts_s) in [
        (Duration::from_millis(1), 1),
        (Duration::ZERO, 1),
        (Duration::from_secs(600), 600),
        (Duration::from_millis(600_001), 601),
    ] {
        ours.revoke("a.b.c", left).await.unwrap();
        let Reply::Integer(left_ms) = ask(&server, &["PTTL", "revoked_token:a.b.c"]) else {
            panic!("a time to live is a number");
        };
        let full_ms = lasts_s * 1_000;
        assert!((full_ms - 900..=full_ms).contains(&left_ms), "{left:?}: {left_ms} ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_enough_whatever_its_value_and_its_type() {
    let server = RedisServer::start();
    let ours = in_no_hurry(server.url()).await;
    for (token, words) in [
        ("quoted", &["SET", "revoked_token:quoted", "\"revoked\""][..]),
        ("bare", &["SET", "revoked_token:bare", "revoked"]),
        ("empty", &["SET", "revoked_token:empty", ""]),
        ("bytes", &["SET", "revoked_token:bytes", "\u{0}\u{1}"]),
        ("list", &["RPUSH", "revoked_token:list", "revoked"]),
        ("set", &["SADD", "revoked_token:set", "revoked"]),
    ] {
        assert!(!ours.has_revoked(token).await.unwrap(), "{token}");
        ask(&server, words);
        assert!(ours.has_revoked(token).await.unwrap(), "{token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_the_access_control_list_needs_three_commands_beside_those_of_a_connection() {
    let rules = "~revoked_token:* +@connection +info +exists +set";
    let server = RedisServer::setup().user("doorward", "seven-herons", rules).start();
    let ours = in_no_hurry(server.url()).await;
    ours.revoke("a.b.c", Duration::from_secs(60)).await.unwrap();
    assert!(ours.has_revoked("a.b.c").await.unwrap());
    assert_eq!(ours.guard.connection().eviction_policy().await.unwrap(), "noeviction");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_them_where_a_client_of_clusters_finds_them() {
    let cluster = RedisCluster::start();
    let ours = in_no_hurry(cluster.url()).await;
    for n in 0..20 {
        let token = format!("e30.e30.{n}");
        assert!(!ours.has_revoked(&token).await.unwrap());
        ours.revoke(&token, Duration::from_secs(60)).await.unwrap();
        assert!(ours.has_revoked(&token).await.unwrap());
        let key = format!("revoked_token:{token}");
        assert_eq!(ask(cluster.master_of(&key), &["EXISTS", &key]), Reply::Integer(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_costs_three_questions_their_budget_and_the_next_ones_nothing() {
    let budget = Duration::from_millis(100);
    let server = RedisServer::start();
    let link = Link::to(server.addr());
    let ours = Arc::new(at(server.url_over(&link), budget).await);
    let keeper = Arc::clone(&ours);
    let keeper = tokio::spawn(async move { keeper.keep().await });
    ours.revoke("a.b.c", Duration::from_secs(60)).await.unwrap();
    link.stall();
    for _ in 0..FAILURES_MAX {
        let late = ours.has_revoked("a.b.c").await;
        assert!(matches!(late, Err(Unanswered::Lost(Lost::Late(_)))), "{late:?}");
    }
    let resting = ours.has_revoked("a.b.c").await;
    assert!(matches!(resting, Err(Unanswered::Resting)), "{resting:?}");
    link.mend();
    let back = async {
        while !matches!(ours.has_revoked("a.b.c").await, Ok(true)) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(START_MAX, back).await.expect("it is asked again");
    keeper.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_wrong_is_said_without_the_token_that_redis_repeats() {
    let server = RedisServer::start_with(&["--rename-command", "SET", ""]);
    let ours = in_no_hurry(server.url()).await;
    let lost = ours.revoke("header.claims.signature", Duration::from_secs(60)).await.unwrap_err();
    // As Redis has it, it is there.
    assert!(format!("{lost:?}").contains("header.claims"), "{lost:?}");
    assert_eq!(lost.in_short(), "Redis gave an answer that makes no sense (ERR)");
}
