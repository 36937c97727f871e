//! What becomes of job status while Redis is away, and afterwards.

use std::pin::pin;
use std::time::Duration;

use config::Redis;
use futures_util::FutureExt;
use kernel::secret::Secret;
use kernel::status::Effect;
use kernel::status::Owner;
use kernel::status::StageState;
use kernel::status::Update;
use kernel::time::now;
use kernel::time::uptime;
use test_support::redis::RedisServer;
use test_support::redis::Reply;
use test_support::wait::START_MAX;
use tokio::time::timeout;

use super::*;
use crate::redis::status::Asking;

fn report(id: u64, stage: &str, status: &str) -> Report {
    let update = Update::new(stage, Plan::default().status(status).unwrap());
    let owner = Owner { id: "ada".into(), is_named: true };
    Report { id: ResourceId::Number(id), update, owner, waited: Duration::ZERO }
}

async fn on(server: &RedisServer) -> Statuses {
    let redis = Redis::at(Secret::new(server.url()));
    let connection = Connection::open(&redis, None).unwrap();
    connection.connected().await.unwrap();
    let config = config::parse("test", "", &|_| None).unwrap().status;
    Statuses::in_redis(&connection, "doorward", &config)
}

fn shared(statuses: &Statuses) -> &Shared {
    match &statuses.store {
        Store::Shared(shared) => shared,
        Store::Here(_) => panic!("it is in Redis"),
    }
}

/// Has a report wait that was said so long ago.
fn wait(statuses: &Statuses, report: &Report, ago: Duration) {
    let outbox = &shared(statuses).outbox;
    outbox.add(report, outbox.number(), uptime().saturating_sub(ago));
}

/// What Redis says of a resource; a busy machine may be late.
async fn record(statuses: &Statuses, id: u64) -> Option<Record> {
    let asked = async {
        loop {
            if let Ok(record) = shared(statuses).store.get(&ResourceId::Number(id), now()).await {
                return record;
            }
        }
    };
    timeout(START_MAX, asked).await.expect("Redis answers")
}

/// What Redis says of the stage `graph` of a resource.
async fn graph(statuses: &Statuses, id: u64) -> Option<String> {
    Some(record(statuses, id).await?.stage("graph")?.status.name.to_string())
}

/// Sends what waits until nothing does; a busy machine may be late.
async fn send_all(statuses: &Statuses) {
    while statuses.send(now()).await > 0 {}
}

#[tokio::test]
async fn what_waited_here_does_not_overwrite_what_was_told_to_redis_by_others_meanwhile() {
    let server = RedisServer::start();
    let (here, elsewhere) = (on(&server).await, on(&server).await);
    let ago = Duration::from_secs(5);
    for id in [1, 2] {
        wait(&here, &report(id, "graph", "processing"), ago);
    }
    wait(&elsewhere, &report(1, "graph", "completed"), Duration::ZERO);
    send_all(&elsewhere).await;
    // Nor is it said to be so while it waits.
    let seen = here.get(&ResourceId::Number(1), now()).await.unwrap().unwrap();
    let graph_seen = seen.record.stage("graph").unwrap();
    assert_eq!((&*graph_seen.status.name, seen.is_degraded()), ("completed", true));
    send_all(&here).await;
    assert_eq!(graph(&here, 1).await.as_deref(), Some("completed"));
    assert_eq!(graph(&here, 2).await.as_deref(), Some("processing"));
}

#[tokio::test]
async fn whoever_asked_before_what_waited_was_sent_sees_it_though_the_answer_comes_after_that() {
    let server = RedisServer::start();
    let here = on(&server).await;
    here.put(&report(1, "graph", "pending"), now()).await.unwrap();
    send_all(&here).await;
    let sees = async |n| {
        let mut report = report(1, "graph", "processing");
        report.update.completed = Some(n);
        wait(&here, &report, Duration::ZERO);
        let id = ResourceId::Number(1);
        let mut asking = pin!(here.get(&id, now()));
        assert!(asking.as_mut().now_or_never().is_none(), "Redis is asked");
        send_all(&here).await;
        // A busy machine may be late, and then it is not Redis that has told.
        let told = asking.await.ok().flatten().map(|seen| seen.record);
        let known = shared(&here).last_known.of(&id, now()).unwrap();
        [told.as_ref().unwrap_or(&known), &known].map(|it| it.stage("graph").unwrap().completed)
    };
    for n in 1..=20 {
        assert_eq!(sees(n).await, [Some(n); 2]);
    }
}

/// Lets the clock go on, so that what comes is later by more than a call takes.
async fn later() {
    let until = now().plus(Duration::from_millis(200));
    while now() < until {
        tokio::task::yield_now().await;
    }
}

/// How the stage `graph` of resource 1 stands in the end.
async fn in_the_end(statuses: &Statuses) -> StageState {
    send_all(statuses).await;
    record(statuses, 1).await.unwrap().stage("graph").unwrap().clone()
}

#[tokio::test]
async fn a_call_that_was_given_up_and_is_carried_out_later_does_not_outdate_what_was_said_after_it()
{
    let mut server = RedisServer::start();
    let here = on(&server).await;
    // Redis knows the script: it is done with a call once it has read it.
    here.put(&report(1, "graph", "pending"), now()).await.unwrap();
    send_all(&here).await;
    server.pause();
    for status in ["processing", "completed"] {
        let reported = here.put(&report(1, "graph", status), now()).await;
        assert_eq!(reported.unwrap(), Reported::Waits);
    }
    later().await;
    server.resume();
    let graph = in_the_end(&here).await;
    assert_eq!(&*graph.status.name, "completed");
    assert!(graph.started_at <= graph.finished_at, "{graph:?}");
}

#[tokio::test]
async fn nor_does_one_that_had_waited_before_it_was_given_up() {
    let mut server = RedisServer::start();
    let here = on(&server).await;
    here.put(&report(1, "graph", "pending"), now()).await.unwrap();
    send_all(&here).await;
    later().await;
    wait(&here, &report(1, "graph", "processing"), Duration::ZERO);
    server.pause();
    assert_eq!(here.send(now()).await, 1);
    let reported = here.put(&report(1, "graph", "completed"), now()).await;
    assert_eq!(reported.unwrap(), Reported::Waits);
    later().await;
    server.resume();
    assert_eq!(&*in_the_end(&here).await.status.name, "completed");
}

#[tokio::test]
async fn what_others_said_since_stands_though_a_call_that_was_given_up_came_before_that() {
    let mut server = RedisServer::start();
    let (here, elsewhere) = (on(&server).await, on(&server).await);
    here.put(&report(1, "graph", "pending"), now()).await.unwrap();
    send_all(&here).await;
    server.pause();
    for status in ["processing", "completed"] {
        here.put(&report(1, "graph", status), now()).await.unwrap();
    }
    later().await;
    server.resume();
    // It is carried out before anybody says more.
    while graph(&here, 1).await.as_deref() != Some("processing") {
        tokio::task::yield_now().await;
    }
    elsewhere.put(&report(1, "graph", "failed"), now()).await.unwrap();
    send_all(&elsewhere).await;
    assert_eq!(&*in_the_end(&here).await.status.name, "failed");
}

#[tokio::test]
async fn what_is_carried_out_after_what_was_said_later_is_outdated_unless_its_attempt_is_later() {
    let server = RedisServer::start();
    let here = on(&server).await;
    let store = &shared(&here).store;
    let effect = async |number, status, attempt| {
        let mut report = report(1, "graph", status);
        report.update.attempt = attempt;
        store.put_by(Asking::Aside, &report, Some(number), now()).await.unwrap().effect
    };
    assert_eq!(effect(2, "completed", None).await, Effect::Applied);
    assert_eq!(effect(1, "processing", None).await, Effect::Outdated);
    assert_eq!(effect(1, "processing", Some(1)).await, Effect::Applied);
    // What was said after both is so still.
    assert_eq!(effect(1, "failed", None).await, Effect::Outdated);
    assert_eq!(effect(2, "failed", None).await, Effect::Applied);
}

#[tokio::test]
async fn the_rightful_owners_report_is_taken_though_another_owners_waits_before_it() {
    let server = RedisServer::start();
    let here = on(&server).await;
    let of = |owner: &str, status| {
        let owner = Owner { id: owner.into(), is_named: true };
        Report { owner, ..report(1, "graph", status) }
    };
    wait(&here, &of("ada", "pending"), Duration::ZERO);
    send_all(&here).await;
    wait(&here, &of("bob", "processing"), Duration::ZERO);
    wait(&here, &of("ada", "completed"), Duration::ZERO);
    assert_eq!(&*in_the_end(&here).await.status.name, "completed");
    assert_eq!(here.list("ada", None, 10, now()).await.unwrap().records.len(), 1);
    assert_eq!(here.figures().refused, 1);
}

#[tokio::test]
async fn a_report_on_the_present_attempt_is_taken_though_a_late_one_of_an_older_waits_behind_it() {
    let server = RedisServer::start();
    let here = on(&server).await;
    let at = |attempt, status| {
        let mut report = report(1, "graph", status);
        report.update.attempt = attempt;
        report
    };
    for (attempt, status) in [(Some(3), "processing"), (None, "completed"), (Some(1), "processing")]
    {
        wait(&here, &at(attempt, status), Duration::ZERO);
    }
    let graph = in_the_end(&here).await;
    assert_eq!((&*graph.status.name, graph.attempt), ("completed", Some(3)));
}

#[tokio::test]
async fn what_is_gone_in_redis_is_not_what_was_known_last() {
    let mut server = RedisServer::start();
    let here = on(&server).await;
    here.put(&report(1, "graph", "pending"), now()).await.unwrap();
    send_all(&here).await;
    let id = ResourceId::Number(1);
    assert!(shared(&here).last_known.of(&id, now()).is_some());
    server.command(&["DEL", "progress:resource:1"]).unwrap();
    // A busy machine is late.
    while here.get(&id, now()).await.is_ok_and(|seen| seen.is_some()) {}
    server.stop();
    assert!(here.get(&id, now()).await.is_err());
}

#[tokio::test]
async fn whoever_asks_while_reports_wait_is_told_no_version_and_no_time_that_nobody_said() {
    let mut server = RedisServer::start();
    let here = on(&server).await;
    wait(&here, &report(1, "graph", "pending"), Duration::ZERO);
    send_all(&here).await;
    let id = ResourceId::Number(1);
    let seen = async || here.get(&id, now()).await.unwrap().unwrap();
    let before = seen().await.record;
    later().await;
    let began = now();
    wait(&here, &report(1, "quality", "pending"), Duration::ZERO);
    let other = Owner { id: "bob".into(), is_named: true };
    wait(&here, &Report { owner: other, ..report(1, "taxonomy", "failed") }, Duration::ZERO);
    wait(&here, &report(2, "graph", "pending"), Duration::ZERO);
    // Two clocks are read, neither of which is as fine as the other.
    let ms = Duration::from_millis(1);
    let said = began.minus(ms)..=now().plus(ms);
    later().await;
    for certainty in [Certainty::WithWaiting, Certainty::LastKnown] {
        let seen = seen().await;
        assert_eq!(seen.certainty, certainty);
        assert_eq!(seen.record.version, before.version);
        assert!(said.contains(&seen.record.updated_at), "{seen:?}");
        assert_eq!(seen.record.stages.len(), 2);
        if certainty == Certainty::WithWaiting {
            let new = here.get(&ResourceId::Number(2), now()).await.unwrap().unwrap().record;
            assert!(new.version == 0 && said.contains(&new.updated_at), "{new:?}");
        }
        server.stop();
    }
}

#[tokio::test]
async fn a_clock_that_is_put_back_makes_what_waits_no_younger() {
    let server = RedisServer::start();
    let (here, elsewhere) = (on(&server).await, on(&server).await);
    wait(&here, &report(1, "graph", "pending"), Duration::ZERO);
    let fast = now().plus(Duration::from_secs(3600));
    let reported = here.put(&report(1, "graph", "processing"), fast).await;
    assert_eq!(reported.unwrap(), Reported::Waits);
    later().await;
    elsewhere.put(&report(1, "graph", "completed"), now()).await.unwrap();
    send_all(&elsewhere).await;
    assert_eq!(&*in_the_end(&here).await.status.name, "completed");
}

#[tokio::test]
async fn a_report_that_cannot_be_sent_holds_up_no_other() {
    // Of six resources the first five are in a part of Redis that refuses to work.
    let rules = "~progress:resource:6 ~doorward:status:* &* +@all";
    let server = RedisServer::setup().user("doorward", "secret", rules).start();
    let statuses = Arc::new(on(&server).await);
    for id in 1..=6 {
        wait(&statuses, &report(id, "graph", "pending"), Duration::ZERO);
    }
    let keeper = Arc::clone(&statuses);
    tokio::spawn(async move { keeper.keep(now).await });
    let sent = async {
        while shared(&statuses).outbox.len() > 5 {
            assert!(statuses.figures().is_up);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(START_MAX, sent).await.expect("the last one is sent");
    assert!(!shared(&statuses).outbox.has(&ResourceId::Number(6), &"graph".into()));
    // All have been tried, some of them beside each other; and everybody else is answered.
    assert!(statuses.figures().is_up);
    let seen = statuses.get(&ResourceId::Number(6), now()).await.unwrap().unwrap();
    assert!(!seen.is_degraded());
    assert_eq!(statuses.list("ada", None, 10, now()).await.unwrap().records.len(), 1);
    server.command(&["ACL", "SETUSER", "doorward", "~*"]).unwrap();
    let sent = async {
        while shared(&statuses).outbox.len() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(START_MAX, sent).await.expect("the others are sent once they can be");
    // Whoever only reports hears of nobody.
    let heard = server.command(&["PUBSUB", "CHANNELS"]).unwrap();
    assert_eq!(heard, Reply::Array(Vec::new()));
}
