//! Every task comes to an end, and whoever called it is told which.

use kernel::celery::MESSAGE_BYTES_MAX;
use kernel::celery::Task as Message;
use kernel::celery::result::Failure;
use kernel::celery::result::State;
use kernel::time::Timestamp;
use serde_json::json;

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_done_its_result_is_there_and_its_message_is_gone() {
    let scene = Scene::new();
    let worker = scene.worker(Scene::terms()).await;
    scene.send("noop", "1");
    let result = scene.end_of("1").await;
    assert_eq!((result.state, result.result), (State::Success, json!(null)));
    assert!(result.date_done.is_some());
    scene.until(|| scene.in_hand() == 0).await;
    assert_eq!(worker.stop().await.unfinished, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hears_of_a_result_that_nobody_wants() {
    let scene = Scene::new();
    let _worker = scene.worker(Scene::terms()).await;
    let mut message = Message::new("noop", "1", Vec::new(), "celery", "1");
    message.ignore_result = true;
    scene.send_message(&message);
    scene.send("noop", "2");
    scene.end_of("2").await;
    scene.until(|| scene.in_hand() == 0).await;
    assert_eq!(scene.result("1"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_with_a_fault_fails_alone_and_says_nothing_of_it() {
    let scene = Scene::new();
    let mut terms = Scene::terms();
    terms.concurrency = 1;
    let _worker = scene.worker(terms).await;
    scene.send("faulty", "1");
    scene.send("noop", "2");
    let failure = scene.failure_of("1").await;
    assert_eq!(failure, Failure::builtin("RuntimeError", "the task has a fault"));
    assert_eq!(scene.end_of("2").await.state, State::Success);
    scene.until(|| !scene.came_to_nothing().is_empty()).await;
    assert_eq!(scene.came_to_nothing(), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_tried_again_and_in_the_end_fails_with_its_reason() {
    let scene = Scene::new();
    let _worker = scene.worker(Scene::terms()).await;
    scene.send("unlucky", "1");
    scene.send("hopeless", "2");
    scene.until(|| scene.result("1").is_some()).await;
    assert_eq!(scene.result("1").expect("it was there").state, State::Retry);
    let result = scene.end_of("1").await;
    assert_eq!((result.state, result.result), (State::Success, json!(1)));
    assert_eq!(scene.failure_of("2").await, Failure::builtin("OSError", "not now"));
    scene.until(|| !scene.came_to_nothing().is_empty()).await;
    assert_eq!(scene.came_to_nothing(), ["2"], "the last try came to nothing, and none before");
    scene.until(|| scene.in_hand() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_nobody_knows_or_that_goes_on_elsewhere_is_refused() {
    let scene = Scene::new();
    let _worker = scene.worker(Scene::terms()).await;
    scene.send("unknown", "1");
    let mut chained = Message::new("noop", "2", Vec::new(), "celery", "2");
    chained.embed.chain = json!([{"task": "noop"}]);
    scene.send_message(&chained);
    let failure = scene.failure_of("1").await;
    assert_eq!(failure.exc_type, "NotRegistered");
    assert_eq!(scene.failure_of("2").await.exc_type, "NotImplementedError");
    scene.until(|| scene.in_hand() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_task_is_put_aside_as_it_came_and_the_worker_goes_on() {
    let scene = Scene::new();
    let _worker = scene.worker(Scene::terms()).await;
    let version_1 = r#"{"body":"e30=","headers":{},"properties":{"body_encoding":"base64","delivery_tag":"t"}}"#;
    let junk = ["{bad", "", "[]", "null", version_1];
    junk.iter().for_each(|text| scene.send_text(text));
    scene.send("noop", "1");
    scene.end_of("1").await;
    scene.until(|| scene.count(&["LLEN", "dead"]) == junk.len() as i64).await;
    let words = ["LINDEX", "dead", "0"];
    let last = scene.redis.command(&words).expect("Redis is there");
    assert_eq!(last, test_support::redis::Reply::text(version_1));
    scene.until(|| scene.in_hand() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_longer_than_any_task_keeps_nobody_from_taking_the_next() {
    let scene = Scene::new();
    let worker = scene.worker(Scene::terms()).await;
    let long = "x".repeat(MESSAGE_BYTES_MAX + 1);
    scene.send_text(&long);
    scene.send("noop", "1");
    assert_eq!(scene.end_of("1").await.state, State::Success);
    scene.until(|| scene.in_hand() == 0).await;
    let dead = scene.redis.command(&["LINDEX", "dead", "0"]).expect("Redis is there");
    assert!(dead == test_support::redis::Reply::text(&long), "it is as it came");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_messages_is_counted_by_kind_and_what_is_known_by_name() {
    let scene = Scene::new();
    let worker = scene.worker(Scene::terms()).await;
    for (name, id) in [("noop", "1"), ("noop", "2"), ("unlucky", "3"), ("hopeless", "4")] {
        scene.send(name, id);
    }
    scene.send("unknown", "5");
    let mut late = Message::new("noop", "6", Vec::new(), "celery", "6");
    late.expires = Some(Timestamp::from_secs(1));
    scene.send_message(&late);
    scene.send_text("{bad");
    for (became, count) in
        [("done", "3"), ("failed", "1"), ("again", "2"), ("refused", "2"), ("buried", "1")]
    {
        let name = format!("messages_total{{became=\"{became}\"}}");
        scene.until(|| worker.figure(&name).as_deref() == Some(count)).await;
    }
    let took =
        |task: &str| worker.figure(&format!("task_duration_seconds_count{{task=\"{task}\"}}"));
    assert_eq!(["noop", "unlucky", "hopeless"].map(took), ["2", "2", "2"].map(|n| Some(n.into())));
    assert_eq!(took("unknown"), None, "whoever sends tasks makes up no labels");
    scene.until(|| worker.figure("held").as_deref() == Some("0")).await;
    let up = ["broker_up", "results_up", "active", "later", "unsettled", "stuck"];
    assert_eq!(up.map(|name| worker.figure(name).unwrap()), ["1", "1", "0", "0", "0", "0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_ends_shows_what_it_waits_for() {
    let scene = Scene::new();
    let mut worker = scene.worker(Scene::terms()).await;
    ["1", "2", "3", "4", "5"].iter().for_each(|id| scene.send("gate", id));
    scene.until(|| worker.figure("held").as_deref() == Some("5")).await;
    worker.ask_to_stop();
    scene.until(|| worker.figure("held").as_deref() == Some("2")).await;
    scene.gate.open();
    assert_eq!(worker.stop().await.unfinished, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_run_at_one_time_and_not_three() {
    let scene = Scene::new();
    let _worker = scene.worker(Scene::terms()).await;
    let ids = ["1", "2", "3", "4", "5"];
    ids.iter().for_each(|id| scene.send("gate", id));
    scene.until(|| scene.gate.inside() == 2 && scene.in_hand() == 5).await;
    scene.gate.open();
    for id in ids {
        assert_eq!(scene.end_of(id).await.result, json!("through"));
    }
    assert_eq!(scene.gate.most(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_messages_are_taken_ahead_and_the_ninth_is_left_to_others() {
    let scene = Scene::new();
    let terms = Scene::terms();
    let ahead = terms.concurrency * terms.prefetch;
    let _worker = scene.worker(terms).await;
    (0..=ahead).for_each(|number| scene.send("gate", &number.to_string()));
    scene.until(|| scene.in_hand() == ahead as i64).await;
    assert_eq!(scene.waiting().len(), 1);
    scene.gate.open();
    scene.end_of(&ahead.to_string()).await;
}
