//! `doorward worker` as an application in Python sees it: a worker like any other of Celery's.

use std::fs;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::Duration;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kernel::celery::Task;
use serde_json::Value;
use serde_json::json;
use test_support::celery::CelerySetup;
use test_support::doorward::Doorward;
use test_support::http1::Request;
use test_support::http1::ask;
use test_support::redis::RedisServer;
use test_support::redis::Reply;
use test_support::wait::START_MAX;
use test_support::wait::holds_within;
use test_support::wait::wait_until;
use test_support::worker::DoorwardWorker;
use test_support::worker::celery_script;

use crate::job_status::Yard;
use crate::warm_up::write_model;

/// How many tasks are called while workers are killed.
const TASKS: usize = 10_000;

/// How many workers there are at one time.
const WORKERS: usize = 3;

/// How long a start may take, with all that is loaded.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// What is said of a worker of our own.
static DOCUMENT: LazyLock<&str> = LazyLock::new(|| {
    let text = include_str!("../../../docs/workers.md");
    text.split_once("## A worker of Doorward's own").unwrap().1
});

fn script(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/worker")).join(name)
}

fn config(redis: &RedisServer, more: &str) -> String {
    format!("[celery]\nbroker_url = \"{}\"\n[worker]\n{more}", redis.url())
}

fn count(redis: &RedisServer, words: &[&str]) -> i64 {
    match redis.command(words) {
        Ok(Reply::Integer(count)) => count,
        _ => -1,
    }
}

fn said(output: &std::process::Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{errors}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap()
}

#[test]
fn an_application_calls_tasks_and_hears_what_comes_of_them() {
    let redis = RedisServer::start();
    // With no more rights than the documentation says.
    let mut user = vec!["ACL", "SETUSER", "worker", "on", ">nine-lanterns"];
    user.extend(DOCUMENT.split_once("```acl\n").unwrap().1.split_once('\n').unwrap().0.split(' '));
    assert_eq!(redis.command(&user).unwrap(), Reply::text("OK"));
    let as_worker = redis.url().replace("redis://", "redis://worker:nine-lanterns@");
    let config = format!(
        "environment = \"dev\"\ncelery.broker_url = \"{as_worker}\"\nworker.name = \"vectors@here\""
    );
    let begun = Instant::now();
    let mut worker = DoorwardWorker::start(&config);
    assert!(begun.elapsed() < READY_WITHIN);
    let saw = said(&celery_script(&script("calls.py"), &redis.url()).output().unwrap());
    assert_eq!(saw["noop"], Value::Null);
    assert_eq!(saw["urgent"], Value::Null);
    let one = saw["one"].as_array().unwrap();
    assert_eq!(one.len(), 256);
    assert_eq!(saw["many"][0], saw["one"]);
    assert_ne!(saw["many"][1], saw["one"]);
    let length: f64 = one.iter().map(|number| number.as_f64().unwrap().powi(2)).sum();
    assert!((length - 1.0).abs() < 1e-5, "{length}");
    assert_eq!(saw["unknown"], "NotRegistered: 'nobody.knows'");
    assert_eq!(saw["number"], "ValueError: expected a text or a list of texts");
    assert_eq!(saw["expired"], "TaskRevokedError: expired");
    assert_eq!(saw["workers"], json!({"vectors@here": {"ok": "pong"}}));

    worker.ask_to_go();
    wait_until(START_MAX, || worker.ended().is_some());
    assert!(worker.ended().unwrap().success(), "{}", worker.log());
    assert_eq!(count(&redis, &["HLEN", "unacked"]), 0);
    assert_eq!(worker.log().matches("embeddings are ready").count(), 1, "{}", worker.log());
}

#[test]
fn of_ten_thousand_tasks_all_come_to_their_end_though_workers_are_killed_all_the_time() {
    let redis = RedisServer::start();
    // The shortest there is.
    let config = config(&redis, "visibility_timeout = \"10s\"\nconcurrency = 2");
    let mut workers: Vec<_> = (0..WORKERS).map(|_| DoorwardWorker::start(&config)).collect();
    let mut client = celery_script(&script("many.py"), &redis.url());
    let client = client.arg(TASKS.to_string()).stdin(Stdio::null());
    let client = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut killed, mut logs, mut next) = (0, Vec::new(), 0);
    let waits_again = "tasks that a worker took and dropped wait again";
    let client = std::thread::spawn(move || client.wait_with_output().unwrap());
    while !client.is_finished() && killed < 20 {
        // One that has something in hand, or that ends with nothing to lose.
        holds_within(Duration::from_secs(1), || count(&redis, &["HLEN", "unacked"]) > 0);
        let victim = &mut workers[next % WORKERS];
        victim.kill();
        logs.push(victim.log());
        *victim = DoorwardWorker::start(&config);
        (killed, next) = (killed + 1, next + 2);
    }
    let ends = said(&client.join().unwrap());
    assert_eq!(ends, json!({"SUCCESS": TASKS}));
    wait_until(START_MAX, || count(&redis, &["HLEN", "unacked"]) == 0);
    for list in ["celery", "celery\u{6}\u{16}3", "celery\u{6}\u{16}6", "celery\u{6}\u{16}9"] {
        assert_eq!(count(&redis, &["LLEN", list]), 0, "{list:?}");
    }
    assert!(killed >= WORKERS, "{killed} were killed");
    logs.extend(workers.iter().map(DoorwardWorker::log));
    assert!(logs.iter().any(|log| log.contains(waits_again)), "nobody was killed at a task");
    for log in &logs {
        assert_eq!(log.matches("embeddings are ready").count(), 1, "it is loaded once: {log}");
    }
}

#[test]
fn whose_resource_it_is_sees_how_far_its_texts_are() {
    let redis = RedisServer::start();
    let yard = Yard::on(&redis);
    let config = format!("redis.url = \"{0}\"\ncelery.broker_url = \"{0}\"", redis.url());
    let _worker = DoorwardWorker::start(&config);
    let mut task = Task::new("doorward.embed", "1", vec![json!(["a", "b"])], "celery", "1");
    task.kwargs.insert("resource".to_owned(), json!(7));
    task.kwargs.insert("owner".to_owned(), json!(yard.ann_id));
    redis.command(&["LPUSH", "celery", &task.write()]).unwrap();
    let ask = || {
        let request = Request::get("/status/resources/7").bearer(&yard.ann);
        yard.scene.doorward.ask(&request)
    };
    wait_until(START_MAX, || {
        ask().status == 200 && ask().json()["stages"]["embedding"] == "completed"
    });
    let told = ask().json();
    assert_eq!(told["details"]["embedding"]["completed"], 2, "{told}");
    assert_eq!(told["details"]["embedding"]["attempt"], 1, "{told}");

    let mut task = Task::new("doorward.embed", "2", vec![json!(7)], "celery", "2");
    task.kwargs.insert("resource".to_owned(), json!("bad"));
    task.kwargs.insert("owner".to_owned(), json!(yard.ann_id));
    redis.command(&["LPUSH", "celery", &task.write()]).unwrap();
    let ask = || {
        let request = Request::get("/status/resources/bad").bearer(&yard.ann);
        yard.scene.doorward.ask(&request)
    };
    wait_until(START_MAX, || {
        ask().status == 200 && ask().json()["stages"]["embedding"] == "failed"
    });
}

#[test]
fn a_worker_says_that_it_comes_again_and_again_that_it_is_there_and_that_it_goes() {
    let redis = RedisServer::start();
    let mut subscriber = redis.hear("/0.celeryev/worker.*");
    let mut worker = DoorwardWorker::start(&config(&redis, "name = \"own@here\""));
    let pid = worker.id();
    let mut clock = 0;
    // Its type, where it is one, on the channel that belongs to it.
    let mut next = || {
        let (channel, text) = subscriber.next_message().expect("it says something");
        let Ok(envelope) = serde_json::from_str::<Value>(&text) else { return text };
        let body = STANDARD.decode(envelope["body"].as_str().unwrap()).unwrap();
        let event: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(event["hostname"], "own@here");
        assert_eq!((&event["pid"], &event["freq"]), (&json!(pid), &json!(2.0)));
        assert_eq!(event["sw_ident"], "doorward");
        let now = event["clock"].as_u64().unwrap();
        assert!(now > clock, "{now} after {clock}");
        clock = now;
        let kind = event["type"].as_str().unwrap().to_owned();
        assert_eq!(channel, format!("/0.celeryev/{}", kind.replace('-', ".")));
        kind
    };
    assert_eq!(next(), "worker-online");
    for _ in 0..5 {
        assert_eq!(next(), "worker-heartbeat");
    }
    worker.ask_to_go();
    wait_until(START_MAX, || worker.ended().is_some());
    assert!(worker.ended().unwrap().success(), "{}", worker.log());
    redis.command(&["PUBLISH", "/0.celeryev/worker.", "all"]).unwrap();
    let rest: Vec<_> = std::iter::from_fn(|| Some(next()).filter(|kind| kind != "all")).collect();
    let (last, before) = rest.split_last().expect("it says that it goes");
    assert_eq!(last, "worker-offline");
    assert!(before.iter().all(|kind| kind == "worker-heartbeat"), "{rest:?}");
}

/// A worker of Celery's own that knows our tasks and never ends one.
const IDLER: &str = r#"
import os, time
from celery import Celery

app = Celery(broker=os.environ["CELERY_BROKER_URL"], backend=os.environ["CELERY_BROKER_URL"])
app.conf.task_acks_late = True

@app.task(name="doorward.noop")
def noop():
    time.sleep(3600)
"#;

#[test]
fn what_a_worker_in_python_took_before_it_was_killed_is_done_by_one_of_ours() {
    let redis = RedisServer::start();
    let mut idler = CelerySetup::at(&redis.url()).program("idler", IDLER).start("idler@here");
    // As many as a worker with one process takes at one time.
    let ids = ["1", "2", "3", "4"];
    for id in ids {
        let task = Task::new("doorward.noop", id, Vec::new(), "celery", id);
        redis.command(&["LPUSH", "celery", &task.write()]).unwrap();
    }
    wait_until(START_MAX, || count(&redis, &["HLEN", "unacked"]) == 4);
    idler.kill();
    let _ours = DoorwardWorker::start(&config(&redis, "visibility_timeout = \"10s\""));
    for id in ids {
        let key = format!("celery-task-meta-{id}");
        wait_until(START_MAX, || count(&redis, &["EXISTS", &key]) == 1);
        let Ok(Reply::Bulk(Some(result))) = redis.command(&["GET", &key]) else { panic!("{id}") };
        assert!(result.contains("SUCCESS"), "{result}");
    }
    wait_until(START_MAX, || count(&redis, &["HLEN", "unacked"]) == 0);
    assert_eq!(count(&redis, &["LLEN", "celery"]), 0);
}

#[test]
fn what_is_no_task_is_put_aside_and_nobody_ends_for_it() {
    let redis = RedisServer::start();
    let mut worker = DoorwardWorker::start(&config(&redis, ""));
    let secret = "nine-lanterns";
    for text in [&format!("{{bad {secret}"), "", "[]", "{\"body\":\"\"}"] {
        redis.command(&["LPUSH", "celery", text]).unwrap();
    }
    wait_until(START_MAX, || count(&redis, &["LLEN", "doorward.dead_letters"]) == 4);
    assert_eq!(worker.ended(), None);
    let told = "a message is no task: it is moved to `doorward.dead_letters`";
    wait_until(START_MAX, || worker.log().matches(told).count() == 4);
    assert!(!worker.log().contains(secret), "what it says is nobody's business");
    assert_eq!(count(&redis, &["HLEN", "unacked"]), 0);
}

/// How often Redis was asked to carry out a script.
fn scripts_run(redis: &RedisServer) -> u64 {
    let Ok(Reply::Bulk(Some(stats))) = redis.command(&["INFO", "commandstats"]) else { return 0 };
    let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    calls.and_then(|calls| calls.split(',').next()?.parse().ok()).unwrap_or_default()
}

#[test]
fn a_queue_that_is_no_list_does_not_fill_the_log_and_others_are_served() {
    let redis = RedisServer::start();
    // The last one that is looked at.
    redis.command(&["SET", "celery\u{6}\u{16}9", "?"]).unwrap();
    let worker = DoorwardWorker::start(&config(&redis, ""));
    let fault = "the Celery broker cannot do what it is asked";
    wait_until(START_MAX, || worker.log().contains(fault));
    let task = Task::new("doorward.noop", "1", Vec::new(), "celery", "1");
    redis.command(&["LPUSH", "celery", &task.write()]).unwrap();
    wait_until(START_MAX, || count(&redis, &["EXISTS", "celery-task-meta-1"]) == 1);
    let before = scripts_run(&redis);
    wait_until(START_MAX, || scripts_run(&redis) > before + 8);
    assert_eq!(worker.log().matches(fault).count(), 1, "{}", worker.log());
    assert!(!worker.log().contains("gives no answer"), "{}", worker.log());
    redis.command(&["DEL", "celery\u{6}\u{16}9"]).unwrap();
    wait_until(START_MAX, || worker.log().contains("does what it is asked again"));
}

#[test]
fn a_worker_that_waits_for_its_model_ends_in_order_when_it_is_told_to() {
    let redis = RedisServer::start();
    // Nothing is there yet: it looks again and again.
    let place = tempfile::tempdir().unwrap();
    let model = format!("model = \"{}\"", place.path().display());
    let mut worker = DoorwardWorker::begin(&config(&redis, &model));
    wait_until(START_MAX, || worker.log().contains("the next attempt is in"));
    worker.ask_to_go();
    wait_until(START_MAX, || worker.ended().is_some());
    assert!(worker.ended().unwrap().success(), "{}", worker.log());
}

#[test]
fn a_worker_says_what_no_waiting_mends_before_it_waits_for_its_model() {
    let redis = RedisServer::start();
    // Nothing is there yet: it would look again and again.
    let place = tempfile::tempdir().unwrap();
    let model = format!("model = \"{}\"", place.path().display());
    let more = format!("{model}\nembed_stage = \"nobody-knows\"");
    let config = format!("redis.url = \"{}\"\n{}", redis.url(), config(&redis, &more));
    let mut worker = DoorwardWorker::begin(&config);
    wait_until(START_MAX, || worker.ended().is_some());
    assert!(!worker.ended().unwrap().success());
    assert!(worker.log().contains("`worker.embed_stage`"), "{}", worker.log());
    assert!(!worker.log().contains("attempt"), "{}", worker.log());
}

#[test]
fn a_worker_without_a_broker_or_a_model_says_what_it_needs() {
    let redis = RedisServer::start();
    let junk = tempfile::tempdir().unwrap();
    // Not a file, and no other attempt would make it one.
    fs::create_dir(junk.path().join("tokenizer.json")).unwrap();
    let model = format!("model = \"{}\"", junk.path().display());
    for (config, why) in [
        (String::new(), "needs the section `[celery]`"),
        (config(&redis, &model), "`worker.model`"),
    ] {
        let mut worker = DoorwardWorker::begin(&config);
        wait_until(START_MAX, || worker.ended().is_some());
        assert!(!worker.ended().unwrap().success());
        assert!(worker.log().contains(why), "{}", worker.log());
    }
}

/// Where a worker says that it shows its probes.
fn probes(worker: &DoorwardWorker) -> SocketAddr {
    let address = || {
        let log = worker.log();
        let (_, rest) = log.split_once("probes and metrics at ")?;
        rest.split_once('"')?.0.parse().ok()
    };
    wait_until(START_MAX, || address().is_some());
    address().unwrap()
}

#[test]
fn a_worker_with_an_address_for_probes_says_how_far_it_is_and_what_it_does() {
    let mut redis = RedisServer::start();
    let place = tempfile::tempdir().unwrap();
    let model = format!("model = \"{}\"\nops = \"127.0.0.1:0\"", place.path().display());
    let mut worker = DoorwardWorker::begin(&config(&redis, &model));
    let address = probes(&worker);
    let ask = |target: &str| ask(address, &Request::get(target));
    let says = |target: &str, status: u16, words: &str| {
        let answer = ask(target);
        answer.status == status && answer.text().contains(words)
    };
    wait_until(START_MAX, || says("/startupz", 503, "retrying embeddings: 1 attempt"));
    assert!(says("/livez", 200, "ok") && says("/readyz?verbose", 503, "not started\n"));
    write_model(place.path());
    wait_until(START_MAX, || {
        says("/readyz?verbose", 200, "ok broker\nok threads\nwarm embeddings")
    });
    assert!(says("/startupz", 200, "ok"));
    let healthcheck = || {
        let at = address.to_string();
        Doorward::builder().cli(&["healthcheck", "--at", &at]).status.success()
    };
    assert!(healthcheck());
    let metrics = ask("/metrics").text();
    for line in ["doorward_worker_broker_up 1\n", "doorward_worker_active 0\n", "process_open_fds "]
    {
        assert!(metrics.contains(line), "{metrics}");
    }
    let named = DOCUMENT.split('`').filter(|word| word.starts_with("doorward_worker_"));
    let named: Vec<_> = named.map(|name| name.split('{').next().unwrap()).collect();
    assert_eq!(named.len(), 9, "{named:?}");
    for name in named {
        assert!(metrics.contains(&format!("\n# TYPE {name} ")), "{name}: {metrics}");
    }
    redis.stop();
    wait_until(START_MAX, || says("/readyz?verbose", 503, "not broker\n"));
    assert!(says("/livez", 200, "ok") && says("/startupz", 200, "ok"));
    assert!(!healthcheck());
    redis.restart();
    wait_until(START_MAX, || says("/readyz", 200, "ok"));
    worker.ask_to_go();
    wait_until(START_MAX, || worker.ended().is_some());
    assert!(worker.ended().unwrap().success(), "{}", worker.log());
}

#[test]
fn an_address_for_probes_that_is_taken_is_named_before_a_model_is_loaded() {
    let redis = RedisServer::start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut worker = DoorwardWorker::begin(&config(&redis, &format!("ops = \"{address}\"")));
    wait_until(START_MAX, || worker.ended().is_some());
    assert!(!worker.ended().unwrap().success());
    assert!(worker.log().contains(&format!("cannot listen on {address}")), "{}", worker.log());
    assert!(!worker.log().contains("embeddings"), "{}", worker.log());
}
