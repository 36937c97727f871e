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
use kernel::limit::conformance::Dice;
use kernel::time::now;
use serde_json::Value;
use serde_json::json;
use test_support::celery::CelerySetup;
use test_support::doorward::Doorward;
use test_support::http1::Request;
use test_support::http1::ask;
use test_support::redis::RedisServer;
use test_support::redis::Reply;
use test_support::wait::START_MAX;
use test_support::wait::wait_until;
use test_support::worker::DoorwardWorker;
use test_support::worker::celery_script;

use crate::documents::code;
use crate::job_status::Yard;
use crate::warm_up::write_model;

/// How many tasks are called while workers are killed.
const TASKS: usize = 10_000;

/// How many workers there are at one time.
const WORKERS: usize = 3;

/// How many of them are killed meanwhile.
const KILLS: usize = 18;

/// How long the next of them may come to their ends, though some were dropped.
const COMES_TO_ENDS_WITHIN: Duration = Duration::from_secs(60);

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

pub(crate) fn config(redis: &RedisServer, more: &str) -> String {
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
    assert_eq!(saw["late"], "SoftTimeLimitExceeded: SoftTimeLimitExceeded()");
    assert_eq!(saw["workers"], json!({"vectors@here": {"ok": "pong"}}));

    worker.ask_to_go();
    worker.ends_in_order(START_MAX);
    assert_eq!(count(&redis, &["HLEN", "unacked"]), 0);
    assert_eq!(worker.log().matches("embeddings are ready").count(), 1, "{}", worker.log());
}

/// What a worker says of itself under this name, with its labels.
pub(crate) fn figure(worker: &DoorwardWorker, name: &str) -> u64 {
    let metrics = ask(probes(worker), &Request::get("/metrics")).text();
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name}: {metrics}")).parse().unwrap()
}

/// Sees to it that a worker has loaded its embedder once; says how many tasks it has done by then.
fn done_with_one_embedder(worker: &DoorwardWorker) -> u64 {
    let done = figure(worker, "doorward_worker_messages_total{became=\"done\"}");
    assert_eq!(figure(worker, "doorward_worker_embedders_loaded"), 1, "after {done} tasks");
    done
}

#[test]
fn of_ten_thousand_tasks_all_come_to_their_end_though_workers_are_killed_all_the_time() {
    let seed = now().as_millis();
    // Seen where it fails: by the same one the same workers are killed, after as many tasks.
    eprintln!("the seed is {seed}");
    let mut dice = Dice(seed);
    let redis = RedisServer::start();
    // The shortest there is.
    let more = "visibility_timeout = \"10s\"\nconcurrency = 2\nops = \"127.0.0.1:0\"";
    let config = config(&redis, more);
    let mut workers: Vec<_> = (0..WORKERS).map(|_| DoorwardWorker::start(&config)).collect();
    let mut client = celery_script(&script("many.py"), &redis.url());
    let client = client.arg(TASKS.to_string()).stdin(Stdio::null());
    let client = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let client = std::thread::spawn(move || client.wait_with_output().unwrap());
    // The last ones are there for what the others leave.
    let mut after: Vec<_> = (0..KILLS).map(|_| dice.below(TASKS as u64 * 9 / 10)).collect();
    after.sort_unstable();
    let (mut killed, mut logs, mut done) = (0, Vec::new(), Vec::new());
    for after in after {
        // All other keys are few.
        let results = || count(&redis, &["DBSIZE"]).unsigned_abs();
        wait_until(COMES_TO_ENDS_WITHIN, || client.is_finished() || results() > after);
        if client.is_finished() {
            break;
        }
        let victim = &mut workers[dice.below(WORKERS as u64) as usize];
        victim.wait_until_it_takes_tasks();
        done.push(done_with_one_embedder(victim));
        victim.kill();
        logs.push(victim.log());
        *victim = DoorwardWorker::begin(&config);
        killed += 1;
    }
    let ends = said(&client.join().unwrap());
    assert_eq!(ends, json!({"SUCCESS": TASKS}));
    wait_until(START_MAX, || count(&redis, &["HLEN", "unacked"]) == 0);
    for list in ["celery", "celery\u{6}\u{16}3", "celery\u{6}\u{16}6", "celery\u{6}\u{16}9"] {
        assert_eq!(count(&redis, &["LLEN", list]), 0, "{list:?}");
    }
    assert!(killed >= 15, "{killed} were killed");
    for worker in &mut workers {
        worker.wait_until_it_takes_tasks();
        done.push(done_with_one_embedder(worker));
        logs.push(worker.log());
    }
    assert!(done.iter().any(|done| *done > 100), "one embedder for many tasks: {done:?}");
    let waits_again = "tasks that a worker took and dropped wait again";
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
    worker.ends_in_order(START_MAX);
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

/// How many messages are booked as taken: in the hash, and in the set.
pub(crate) fn booked(redis: &RedisServer) -> (i64, i64) {
    (count(redis, &["HLEN", "unacked"]), count(redis, &["ZCARD", "unacked_index"]))
}

#[test]
fn where_nothing_is_configured_a_result_is_kept_for_a_day_and_told_to_who_awaits_it() {
    let (redis, other) = (RedisServer::start(), RedisServer::start());
    let elsewhere = format!("celery.result_backend = \"{}\"", other.url());
    let key = "celery-task-meta-1";
    for (results_on, more) in [(&redis, ""), (&other, &elsewhere)] {
        let config = format!("celery.broker_url = \"{}\"\n{more}", redis.url());
        let _worker = DoorwardWorker::start(&config);
        let mut subscriber = results_on.hear(key);
        let task = Task::new("doorward.noop", "1", Vec::new(), "celery", "1");
        redis.command(&["LPUSH", "celery", &task.write()]).unwrap();
        let (_, told) = subscriber.next_message().expect("it is told");
        let result: Value = serde_json::from_str(&told).unwrap();
        assert_eq!((&result["status"], &result["task_id"]), (&json!("SUCCESS"), &json!("1")));
        assert_eq!(results_on.command(&["GET", key]).unwrap(), Reply::text(&told));
        let left_ms = count(results_on, &["PTTL", key]);
        assert!((86_340_000..=86_400_000).contains(&left_ms), "{left_ms} ms are left");
        wait_until(START_MAX, || booked(&redis) == (0, 0));
        // Results are where they are configured to be, and nowhere else.
        redis.command(&["DEL", key]).unwrap();
    }
    assert_eq!(count(&other, &["EXISTS", key]), 1);
}

#[test]
fn the_worker_and_the_client_that_the_document_shows_work_as_they_stand() {
    let redis = RedisServer::start();
    let place = tempfile::tempdir().unwrap();
    write_model(place.path());
    let [files, commands, clients] = ["toml", "sh", "python"].map(|it| code(&DOCUMENT, it));
    let ([file, _], [command], [client]) = (&files[..], &commands[..], &clients[..]) else {
        panic!("it shows other things")
    };
    let words: Vec<_> = command.split_whitespace().collect();
    assert_eq!(words[0], "doorward");
    let script = place.path().join("client.py");
    fs::write(&script, format!("{client}\nprint(len(vector))\n")).unwrap();
    let url = redis.url();
    let variables = [("CELERY_BROKER_URL", url.as_str()), ("CELERY_RESULT_BACKEND", &url)];
    // With what it shows as comments, too, and with the model that there is.
    let whole = file.replace('#', "");
    let with_model = whole.replace("/var/lib/doorward/model", &place.path().display().to_string());
    assert_eq!((whole == *file, with_model == whole), (false, false));
    for (file, variables, dimensions) in
        [(file, &variables[..1], 256), (&with_model, &variables[..], 8)]
    {
        let mut worker = DoorwardWorker::begin_as(&words[1..], file, variables);
        worker.wait_until_it_takes_tasks();
        assert_eq!(said(&celery_script(&script, &url).output().unwrap()), dimensions);
    }
}

#[test]
fn the_probes_that_the_document_shows_are_asked_as_it_shows() {
    let redis = RedisServer::start();
    let at = "127.0.0.1:9181";
    let with_probes = &code(&DOCUMENT, "toml")[1];
    let question = DOCUMENT.split('`').find(|code| code.starts_with("doorward healthcheck"));
    let question = question.unwrap();
    assert!(with_probes.contains(at) && question.contains(at));
    let url = redis.url();
    // A port that is free, for others are tested as well.
    let mut worker = DoorwardWorker::begin_as(
        &["--config", "doorward.toml", "worker"],
        &with_probes.replace(at, "127.0.0.1:0"),
        &[("CELERY_BROKER_URL", &url)],
    );
    worker.wait_until_it_takes_tasks();
    let question = question.replace(at, &probes(&worker).to_string());
    let words: Vec<_> = question.split_whitespace().skip(1).collect();
    wait_until(START_MAX, || Doorward::builder().cli(&words).status.success());
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
    let before = redis.calls("evalsha");
    wait_until(START_MAX, || redis.calls("evalsha") > before + 8);
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
    worker.ends_in_order(START_MAX);
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
    assert_eq!(named.len(), 10, "{named:?}");
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
    worker.ends_in_order(START_MAX);
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
