//! Tasks that are early, late, or never begun.

use std::time::Duration;

use kernel::celery::Task as Message;
use kernel::celery::result::State;
use kernel::celery::task::TimeLimit;
use kernel::time::now;
use serde_json::json;

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn a_task_waits_for_its_time_and_holds_nobody_up() {
    let scene = Scene::new();
    let mut terms = Scene::terms();
    (terms.concurrency, terms.prefetch) = (1, 1);
    let _worker = scene.worker(terms).await;
    let eta = now().plus(Duration::from_secs(1));
    let mut later = Message::new("noop", "later", Vec::new(), "celery", "later");
    later.eta = Some(eta);
    scene.send_message(&later);
    scene.send("noop", "sooner");
    scene.end_of("sooner").await;
    let done = scene.end_of("later").await.date_done.expect("it is done");
    assert!(done >= eta);
    scene.until(|| scene.in_hand() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_time_is_given_back_when_the_worker_ends() {
    let scene = Scene::new();
    let worker = scene.worker(Scene::terms()).await;
    let mut later = Message::new("noop", "1", Vec::new(), "celery", "1");
    later.eta = Some(now().plus(Duration::from_secs(3600)));
    scene.send_message(&later);
    scene.until(|| scene.in_hand() == 1 && scene.waiting().is_empty()).await;
    worker.stop().await;
    let waiting = scene.waiting();
    assert_eq!((waiting.len(), waiting[0].eta, waiting[0].redelivered), (1, later.eta, true));
    assert_eq!(scene.in_hand(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_is_not_begun() {
    let scene = Scene::new();
    let mut terms = Scene::terms();
    terms.concurrency = 1;
    let _worker = scene.worker(terms).await;
    let with = |id: &str, expires| {
        let mut message = Message::new("gate", id, Vec::new(), "celery", id);
        message.expires = Some(expires);
        message
    };
    scene.send_message(&with("past", now()));
    assert_eq!(scene.end_of("past").await.state, State::Revoked);
    // One that expires while it waits for a thread.
    scene.send("gate", "first");
    scene.until(|| scene.gate.inside() == 1).await;
    let soon = now().plus(Duration::from_millis(200));
    scene.send_message(&with("waits", soon));
    scene.until(|| scene.in_hand() == 2 && now() > soon).await;
    scene.gate.open();
    assert_eq!(scene.end_of("waits").await.state, State::Revoked);
    assert_eq!(scene.end_of("first").await.state, State::Success);
    assert_eq!(scene.gate.most(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_may_take_no_longer_than_the_worker_allows_whatever_its_message_says() {
    let scene = Scene::new();
    let mut terms = Scene::terms();
    terms.time_limit = Duration::from_millis(200);
    let _worker = scene.worker(terms).await;
    let mut long = Message::new("gate", "long", Vec::new(), "celery", "long");
    long.time_limit = TimeLimit { soft: None, hard: Some(Duration::from_secs(3600)) };
    scene.send_message(&long);
    assert_eq!(scene.failure_of("long").await.exc_type, "SoftTimeLimitExceeded");
    scene.gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_late_task_is_told_at_once_and_what_it_gives_is_dropped() {
    let scene = Scene::new();
    let mut terms = Scene::terms();
    (terms.concurrency, terms.prefetch) = (1, 1);
    let _worker = scene.worker(terms).await;
    let mut late = Message::new("gate", "late", Vec::new(), "celery", "late");
    late.time_limit = TimeLimit { soft: Some(Duration::from_secs(1)), hard: None };
    scene.send_message(&late);
    let failure = scene.failure_of("late").await;
    assert_eq!(failure.exc_type, "SoftTimeLimitExceeded");
    assert_eq!(scene.gate.inside(), 1, "its thread is at it still");
    scene.until(|| !scene.came_to_nothing().is_empty()).await;
    assert_eq!(scene.came_to_nothing(), ["late"]);
    // The only thread is not free, and so nothing is taken.
    scene.send("noop", "next");
    scene.until(|| scene.in_hand() == 0).await;
    assert_eq!(scene.waiting().len(), 1);
    scene.gate.open();
    assert_eq!(scene.end_of("next").await.state, State::Success);
    let still = scene.result("late").expect("it was there");
    assert_ne!(still.result, json!("through"));
}
