//! How `doorward worker` ends: in order or at once, and what it had in hand is done by another.

use std::path::Path;
use std::time::Duration;

use kernel::celery::Task;
use kernel::time::now;
use serde_json::Value;
use serde_json::json;
use test_support::redis::RedisServer;
use test_support::redis::Reply;
use test_support::wait::START_MAX;
use test_support::wait::wait_until;
use test_support::worker::DoorwardWorker;

use crate::warm_up::write_model;
use crate::worker::booked;
use crate::worker::config;
use crate::worker::figure;

/// How long a worker may take for what it is at, on a busy machine.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// Texts of so many words that take a worker a while, and a model with which they do.
fn long_work(place: &Path, words: usize) -> (String, Value) {
    write_model(place);
    let model = format!("concurrency = 1\nprefetch = 4\nmodel = \"{}\"\n", place.display());
    (model, json!(vec!["quay ".repeat(words); 512]))
}

/// Sends as many calls for `texts`, called by their numbers from 1.
fn send_calls(redis: &RedisServer, texts: &Value, count: usize) -> Vec<String> {
    let ids: Vec<_> = (1..=count).map(|number| number.to_string()).collect();
    for id in &ids {
        let task = Task::new("doorward.embed", id, vec![texts.clone()], "celery", id);
        redis.command(&["LPUSH", "celery", &task.write()]).unwrap();
    }
    ids
}

/// What waits, the next one first.
fn waiting(redis: &RedisServer) -> Vec<Task> {
    let Ok(Reply::Array(all)) = redis.command(&["LRANGE", "celery", "0", "-1"]) else {
        panic!("no list")
    };
    let read = |reply| match reply {
        Reply::Bulk(Some(text)) => Task::read(text.as_bytes()).unwrap(),
        other => panic!("{other:?}"),
    };
    all.into_iter().rev().map(read).collect()
}

fn names(tasks: &[Task]) -> Vec<&str> {
    tasks.iter().map(|task| task.id.as_str()).collect()
}

/// How a call ended, if it has.
fn end_of(redis: &RedisServer, id: &str) -> Option<String> {
    match redis.command(&["GET", &format!("celery-task-meta-{id}")]) {
        Ok(Reply::Bulk(Some(text))) => {
            let result: Value = serde_json::from_str(&text).unwrap();
            Some(result["status"].as_str().unwrap().to_owned())
        }
        _ => None,
    }
}

#[test]
fn a_worker_that_is_told_to_end_finishes_what_runs_and_gives_the_rest_to_another() {
    let redis = RedisServer::start();
    let place = tempfile::tempdir().unwrap();
    let (model, texts) = long_work(place.path(), 400);
    let config = config(&redis, &format!("{model}ops = \"127.0.0.1:0\"\ndrain_timeout = \"5m\""));
    let mut worker = DoorwardWorker::start(&config);
    let mut later = Task::new("doorward.noop", "later", Vec::new(), "celery", "later");
    later.eta = Some(now().plus(Duration::from_secs(30 * 24 * 3600)));
    redis.command(&["LPUSH", "celery", &later.write()]).unwrap();
    let ids = send_calls(&redis, &texts, 6);
    // One that runs, three that wait for it, and one for its time.
    wait_until(START_MAX, || booked(&redis) == (5, 5));
    assert_eq!(figure(&worker, "doorward_worker_active"), 1);
    worker.ask_to_go();
    worker.ends_in_order(ENDS_WITHIN);
    assert_eq!(booked(&redis), (0, 0), "{}", worker.log());
    let done: Vec<_> = ids.iter().filter(|id| end_of(&redis, id).is_some()).collect();
    // Another one may have been begun by the time that it was told to.
    assert!((1..=3).contains(&done.len()), "{done:?} are done: {}", worker.log());
    let (done, rest) = ids.split_at(done.len());
    assert!(done.iter().all(|id| end_of(&redis, id).unwrap() == "SUCCESS"));
    let back = waiting(&redis);
    let expected = ["later"].into_iter().chain(rest.iter().map(String::as_str));
    assert_eq!(names(&back), expected.collect::<Vec<_>>(), "each once, and in their order");
    assert_eq!(back[0].eta, later.eta);

    let _another = DoorwardWorker::start(&config);
    for id in rest {
        wait_until(ENDS_WITHIN, || end_of(&redis, id).is_some());
        assert_eq!(end_of(&redis, id).unwrap(), "SUCCESS");
    }
    wait_until(START_MAX, || booked(&redis) == (1, 1));
    assert_eq!(
        (waiting(&redis).len(), end_of(&redis, "later")),
        (0, None),
        "it waits for its time"
    );
}

#[test]
fn a_second_signal_ends_a_worker_at_once_and_another_does_what_it_was_at() {
    let redis = RedisServer::start();
    let place = tempfile::tempdir().unwrap();
    let (model, texts) = long_work(place.path(), 1_000);
    // Nobody would wait for so long.
    let config = config(&redis, &format!("{model}drain_timeout = \"5m\""));
    let mut worker = DoorwardWorker::start(&config);
    let ids = send_calls(&redis, &texts, 2);
    wait_until(START_MAX, || booked(&redis) == (2, 2));
    worker.ask_to_go();
    wait_until(START_MAX, || worker.log().contains("ending: nothing new is taken"));
    worker.ask_to_go();
    worker.ends_in_order(ENDS_WITHIN);
    let given_back = "tasks were given back that ran too long to wait for\",\"count\":1";
    assert!(worker.log().contains(given_back), "{}", worker.log());
    assert_eq!(booked(&redis), (0, 0), "{}", worker.log());
    assert!(ids.iter().all(|id| end_of(&redis, id).is_none()), "{}", worker.log());
    let back = waiting(&redis);
    assert_eq!(names(&back), ids, "none is lost, and they are in their order");

    let _another = DoorwardWorker::start(&config);
    for id in &ids {
        wait_until(ENDS_WITHIN, || end_of(&redis, id).is_some());
        assert_eq!(end_of(&redis, id).unwrap(), "SUCCESS");
    }
    wait_until(START_MAX, || booked(&redis) == (0, 0));
}
