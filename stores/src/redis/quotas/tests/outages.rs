//! What is said when Redis does not do its part, and when it does again.

use test_support::link::Link;

use super::*;
use crate::redis::breaker::FAILURES_MAX;

/// Long enough for an answer under load, short enough to wait for.
const BUDGET: Duration = Duration::from_millis(250);

async fn take(quotas: &RedisQuotas) -> Result<Outcome, StoreLost> {
    quotas.acquire(ADA, &[quota(100, 3600)], NonZeroU32::MIN, NOW).await
}

/// Looks after the store until a call is answered.
async fn recovers(quotas: &RedisQuotas) {
    let answered = async {
        while take(quotas).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    let recovered = tokio::select! {
        () = quotas.keep(|| ()) => unreachable!("it is looked after for ever"),
        recovered = tokio::time::timeout(Duration::from_secs(60), answered) => recovered,
    };
    recovered.expect("it works again");
}

/// Asks a store that gives no answer until it is given a rest.
async fn losses_until_it_rests(quotas: &RedisQuotas) -> Vec<StoreLost> {
    let mut losses = Vec::new();
    let asking = async {
        while !quotas.rests() {
            losses.push(take(quotas).await.expect_err("it gives no answer"));
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asking).await.expect("it is given a rest");
    losses
}

#[tokio::test]
async fn a_redis_that_hangs_is_lost_within_the_budget_then_rests_and_recovers_by_itself() {
    let server = RedisServer::start();
    let quotas = gateway(&server, Clock::OfTheServer, BUDGET).await;
    take(&quotas).await.expect("answers");
    server.command(&["CLIENT", "PAUSE", "600000", "WRITE"]).expect("it can be paused");
    for _ in 0..FAILURES_MAX {
        let lost = take(&quotas).await;
        assert!(matches!(lost, Err(StoreLost::Late(BUDGET))), "{lost:?}");
    }
    let lost = take(&quotas).await;
    assert!(matches!(lost, Err(StoreLost::Resting)), "{lost:?}");
    server.command(&["CLIENT", "UNPAUSE"]).expect("it answers");
    recovers(&quotas).await;
}

/// Each answer alone would be in time.
#[tokio::test]
async fn a_script_that_was_forgotten_is_sent_again_within_the_same_budget() {
    const BUDGET: Duration = Duration::from_secs(1);
    let server = RedisServer::start();
    let link = Link::to(server.addr());
    let redis = Redis { call_timeout: BUDGET, ..Redis::at(Secret::new(server.url_over(&link))) };
    let connection = Connection::open(&redis, None).expect("a URL");
    connection.connected().await.expect("Redis is there");
    let quotas = RedisQuotas::new(connection, "doorward", Clock::OfTheServer);
    take(&quotas).await.expect("answers");
    server.command(&["SCRIPT", "FLUSH"]).expect("it answers");
    link.delay(BUDGET * 3 / 10);
    let lost = take(&quotas).await;
    assert!(matches!(lost, Err(StoreLost::Late(BUDGET))), "{lost:?}");
}

#[tokio::test]
async fn a_redis_that_is_gone_is_unreachable() {
    let mut server = RedisServer::start();
    let quotas = gateway(&server, Clock::OfTheServer, BUDGET).await;
    take(&quotas).await.expect("answers");
    server.stop();
    let losses = losses_until_it_rests(&quotas).await;
    let gone = |lost: &StoreLost| matches!(lost, StoreLost::Unreachable(_) | StoreLost::Late(_));
    assert!(losses.iter().all(gone), "{losses:?}");
}

#[tokio::test]
async fn a_redis_that_was_never_there_is_waited_for_by_nobody() {
    let redis = Redis { call_timeout: BUDGET, ..Redis::at(Secret::new("redis://127.0.0.1:1/0")) };
    let connection = Connection::open(&redis, None).expect("a URL");
    let quotas = RedisQuotas::new(connection, "doorward", Clock::OfTheServer);
    for _ in 0..FAILURES_MAX {
        take(&quotas).await.expect_err("nobody is there");
    }
    assert!(matches!(take(&quotas).await, Err(StoreLost::Resting)));
}

#[tokio::test]
async fn a_full_redis_and_a_replica_refuse_and_are_found_working_again() {
    let full = ["CONFIG", "SET", "maxmemory", "1"];
    let empty = ["CONFIG", "SET", "maxmemory", "0"];
    let replica = ["REPLICAOF", "127.0.0.1", "1"];
    let master = ["REPLICAOF", "NO", "ONE"];
    for (begin, end) in [(&full[..], &empty[..]), (&replica[..], &master[..])] {
        let server = RedisServer::start();
        let quotas = gateway(&server, Clock::OfTheServer, Duration::from_secs(5)).await;
        take(&quotas).await.expect("answers");
        server.command(begin).expect("it answers");
        let lost = take(&quotas).await;
        assert!(matches!(lost, Err(StoreLost::Refused(_))), "{lost:?}");
        losses_until_it_rests(&quotas).await;
        server.command(end).expect("it answers");
        recovers(&quotas).await;
    }
}

#[tokio::test]
async fn a_key_that_is_somebody_elses_is_an_error_for_one_subject_and_no_outage() {
    let fleet = Fleet::by(Clock::OfTheServer).await;
    fleet.ask(&["LPUSH", "{doorward:tier:user:ada}", "junk"]);
    for _ in 0..2 * FAILURES_MAX {
        let lost = take(&fleet.quotas).await;
        assert!(matches!(lost, Err(StoreLost::Answer(_))), "{lost:?}");
    }
    for junk in ["", "j", "junk", "\u{1}\u{1}", "\u{1}\u{0}junk", "\u{2}\u{1}", "\u{2}\u{0}junk"] {
        fleet.ask(&["SET", "{doorward:tier:user:ada}", junk]);
        let lost = take(&fleet.quotas).await;
        assert!(matches!(lost, Err(StoreLost::Answer(_))), "{junk:?}: {lost:?}");
    }
    let bob = Subject { id: "bob", ..ADA };
    let others = fleet.quotas.acquire(bob, &[quota(1, 60)], NonZeroU32::MIN, NOW).await;
    assert!(others.expect("others are counted").admitted);
}

#[tokio::test]
async fn a_wrong_password_is_an_outage_in_whose_text_it_does_not_stand() {
    let server = RedisServer::start();
    server.command(&["CONFIG", "SET", "requirepass", "s3cret-right"]).expect("it answers");
    let url = format!("redis://:hunter2@127.0.0.1:{}/0", server.port());
    let redis = Redis { call_timeout: BUDGET, ..Redis::at(Secret::new(url)) };
    let connection = Connection::open(&redis, None).expect("a URL");
    let quotas = RedisQuotas::new(connection, "doorward", Clock::OfTheServer);
    for lost in losses_until_it_rests(&quotas).await {
        let lost = format!("{lost:?}");
        assert!(!lost.contains("hunter2"), "{lost}");
    }
    assert!(!format!("{quotas:?}").contains("hunter2"));
    server.command(&["CONFIG", "SET", "requirepass", "hunter2"]).expect("it answers");
    recovers(&quotas).await;
}
