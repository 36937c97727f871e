//! Whatever Celery has written is read, and what is written here is what Celery would have written.
//!
//! The files beside this one were captured with MONITOR from celery 5.7.0 on kombu 5.7.0.

mod hostile;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use serde_json::json;

use super::envelope::Unacked;
use super::event::Kind;
use super::event::WorkerEvent;
use super::names::Binding;
use super::pidbox::Destination;
use super::pidbox::Reply;
use super::pidbox::Request;
use super::result::Failure;
use super::result::State;
use super::task::TimeLimit;
use super::*;
use crate::time::Timestamp;

/// A reader and its writer put together.
type Rewrite = fn(&[u8]) -> Result<String, Unreadable>;

const TASKS: [&[u8]; 3] = [
    include_bytes!("tests/captured/task-add-p0.json"),
    include_bytes!("tests/captured/task-add-p6-eta.json"),
    include_bytes!("tests/captured/task-again-p0-eta.json"),
];

const RESULTS: [&[u8]; 6] = [
    include_bytes!("tests/captured/result-started.json"),
    include_bytes!("tests/captured/result-progress.json"),
    include_bytes!("tests/captured/result-retry.json"),
    include_bytes!("tests/captured/result-success.json"),
    include_bytes!("tests/captured/result-failure.json"),
    include_bytes!("tests/captured/result-revoked.json"),
];

const REQUESTS: [&[u8]; 4] = [
    include_bytes!("tests/captured/ping.json"),
    include_bytes!("tests/captured/hello.json"),
    include_bytes!("tests/captured/revoke.json"),
    include_bytes!("tests/captured/active.json"),
];

const EVENTS: [&[u8]; 3] = [
    include_bytes!("tests/captured/worker-online.json"),
    include_bytes!("tests/captured/worker-heartbeat.json"),
    include_bytes!("tests/captured/worker-offline.json"),
];

const PONG: &[u8] = include_bytes!("tests/captured/reply-pong.json");

const UNACKED: &[u8] = include_bytes!("tests/captured/unacked.json");

const TASK_EVENT: &[u8] = include_bytes!("tests/captured/event-task-received.json");

const BINDING: &str = include_str!("tests/captured/binding.txt");

fn rewrite_task(bytes: &[u8]) -> Result<String, Unreadable> {
    Ok(Task::read(bytes)?.write())
}

fn rewrite_result(bytes: &[u8]) -> Result<String, Unreadable> {
    Ok(TaskResult::read(bytes)?.write())
}

fn rewrite_request(bytes: &[u8]) -> Result<String, Unreadable> {
    Ok(Request::read(bytes)?.write("d"))
}

fn rewrite_event(bytes: &[u8]) -> Result<String, Unreadable> {
    Ok(WorkerEvent::read(bytes)?.write("d"))
}

fn rewrite_pong(bytes: &[u8]) -> Result<String, Unreadable> {
    let to = pidbox::ReplyTo { exchange: names::REPLIES.to_owned(), routing_key: "n".to_owned() };
    Ok(Reply::read(bytes)?.write(&to, "d"))
}

fn rewrite_unacked(bytes: &[u8]) -> Result<String, Unreadable> {
    let unacked = Unacked::read(bytes)?;
    let message = Envelope::read(&unacked.message)?.write().into_bytes();
    Ok(String::from_utf8(Unacked { message, ..unacked }.write()).expect("a text"))
}

/// Each of them, with the most bytes that its reader takes; as many as there may be: however many.
fn captured() -> Vec<(&'static [u8], Rewrite, usize)> {
    let (message, control) = (MESSAGE_BYTES_MAX, CONTROL_BYTES_MAX);
    let mut all: Vec<(&'static [u8], Rewrite, usize)> = Vec::new();
    all.extend(TASKS.map(|bytes| (bytes, rewrite_task as Rewrite, message)));
    all.extend(RESULTS.map(|bytes| (bytes, rewrite_result as Rewrite, message)));
    all.extend(REQUESTS.map(|bytes| (bytes, rewrite_request as Rewrite, control)));
    all.extend(EVENTS.map(|bytes| (bytes, rewrite_event as Rewrite, control)));
    all.push((PONG, rewrite_pong, control));
    all.push((UNACKED, rewrite_unacked, usize::MAX));
    all
}

/// A message with its body opened, and what of it is anybody's choice or finer than a millisecond cut.
fn opened(text: &[u8]) -> Value {
    let mut message: Value = serde_json::from_slice(text).expect("JSON");
    if let Some(inner) = message.get_mut(0) {
        *inner = opened(&serde_json::to_vec(inner).expect("JSON"));
        return message;
    }
    if let Some(body) = message.get("body") {
        let body = STANDARD.decode(body.as_str().expect("a text")).expect("base64");
        message["body"] = serde_json::from_slice(&body).expect("JSON");
    }
    cut(&mut message);
    message
}

fn cut(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), &*value) {
                    ("eta" | "expires" | "date_done", Value::String(text)) => {
                        let at = text.find('.').expect("a fraction");
                        *value = json!(text[..at + 4]);
                    }
                    ("timestamp" | "expires", Value::Number(number)) => {
                        let seconds = number.as_f64().expect("a number");
                        *value = json!((seconds * 1000.0).round() / 1000.0);
                    }
                    ("utcoffset", _) => *value = json!(0),
                    _ => cut(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(cut),
        _ => {}
    }
}

#[test]
fn what_celery_wrote_is_written_as_celery_wrote_it() {
    for (bytes, rewrite, _) in captured() {
        let written = rewrite(bytes).expect("it is read");
        let (mut written, mut expected) = (opened(written.as_bytes()), opened(bytes));
        for message in [&mut written, &mut expected] {
            // Names that whoever writes chooses.
            let properties = message.get_mut("properties");
            if let Some(Value::Object(properties)) = properties {
                properties.remove("delivery_tag");
                properties["delivery_info"]["routing_key"] = json!("…");
            }
        }
        assert_eq!(written, expected);
    }
}

#[test]
fn a_task_says_what_is_to_be_done_and_how() {
    let [add, later, again] = TASKS.map(|bytes| Task::read(bytes).expect("it is read"));
    assert_eq!(add.name, "tasks.add");
    assert_eq!(add.args, [json!(2), json!(3)]);
    assert!(add.kwargs.is_empty() && add.embed.is_empty());
    assert_eq!(add.correlation_id.as_ref(), Some(&add.id));
    assert_eq!((add.exchange.as_str(), add.routing_key.as_str()), ("", "celery"));
    assert_eq!((add.priority, add.retries, add.eta, add.expires), (0, 0, None, None));
    assert!(!add.ignore_result && !add.redelivered);

    assert_eq!(later.priority, 6);
    // 2026-11-26T05:29:10.522995+00:00, and 06:28:40.522995.
    assert_eq!(later.eta, Some(Timestamp::from_millis(1_795_670_950_522)));
    assert_eq!(later.expires, Some(Timestamp::from_millis(1_795_674_520_522)));
    let limit =
        TimeLimit { hard: Some(Duration::from_secs(9)), soft: Some(Duration::from_secs(5)) };
    assert_eq!(later.time_limit, limit);
    let none =
        Task { time_limit: TimeLimit { soft: Some(Duration::ZERO), ..limit }, ..later.clone() };
    let none = Task::read(none.write().as_bytes()).expect("it is read");
    assert_eq!(none.time_limit, TimeLimit { soft: None, ..limit }, "nought is none");
    assert!(later.ignore_result);
    assert_eq!(later.headers.get("x"), Some(&json!("y")), "headers of one's own are kept");
    assert_eq!(later.properties.get("expiration"), Some(&json!("3600000")));

    assert_eq!(again.retries, 1);
    assert_eq!(again.parent_id, again.root_id);
}

#[test]
fn a_task_of_ours_has_all_that_celerys_have() {
    let task = Task::new("tasks.add", "id-1", vec![json!(2), json!(3)], "celery", "tag-1");
    let (ours, theirs) = (opened(task.write().as_bytes()), opened(TASKS[0]));
    let names = |value: &Value| -> Vec<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    assert_eq!(names(&ours), names(&theirs));
    assert_eq!(names(&ours["headers"]), names(&theirs["headers"]));
    assert_eq!(ours["body"], theirs["body"]);
    assert_eq!(Task::read(task.write().as_bytes()).expect("it is read").args, task.args);
}

#[test]
fn a_result_says_how_a_task_stands() {
    let all = RESULTS.map(|bytes| TaskResult::read(bytes).expect("it is read"));
    let states = all.each_ref().map(|result| (result.state.as_str(), result.state.is_final()));
    assert_eq!(
        states,
        [
            ("STARTED", false),
            ("PROGRESS", false),
            ("RETRY", false),
            ("SUCCESS", true),
            ("FAILURE", true),
            ("REVOKED", true),
        ]
    );
    let [started, progress, retry, success, failure, revoked] = all;
    assert_eq!(started.result["hostname"], "w1@host");
    assert_eq!(progress.result, json!({"done": 3}));
    assert_eq!(progress.state, State::Custom("PROGRESS".to_owned()));
    assert_eq!(success.result, json!(5));
    assert_eq!(success.date_done, Some(Timestamp::from_millis(1_795_670_918_852)));
    let why = |result: &TaskResult| Failure::of(&result.result).expect("an exception");
    assert_eq!(why(&failure), Failure::builtin("ValueError", "no such order"));
    assert_eq!(why(&retry), Failure::builtin("ValueError", "later"));
    assert_eq!(why(&revoked).exc_module.as_deref(), Some("celery.exceptions"));
    assert!(failure.traceback.expect("one").starts_with("Traceback"));
    assert_eq!(Failure::of(&success.result), None);
    assert_eq!(result::key("42"), "celery-task-meta-42");
}

#[test]
fn a_result_of_ours_is_one_of_celerys() {
    let at = Timestamp::from_millis(1_795_670_918_852);
    let success = TaskResult::success("t", json!(5), at);
    let text = r#"{"children":[],"date_done":"2026-11-26T05:28:38.852000+00:00","result":5,"status":"SUCCESS","task_id":"t","traceback":null}"#;
    assert_eq!(success.write(), text);
    assert_eq!(TaskResult::read(text.as_bytes()), Ok(success));
    let failure = Failure::builtin("ValueError", "no such order");
    let failed = TaskResult::failure("t", &failure, None, at);
    assert_eq!(Failure::of(&failed.result), Some(failure));
    assert_eq!(failed.state, State::Failure);
}

#[test]
fn a_ping_of_ours_is_one_of_celerys_but_that_it_never_expires() {
    let theirs = Request::read(REQUESTS[0]).expect("it is read");
    let to = theirs.reply_to.clone().expect("somebody waits");
    assert_eq!(to.queue(), format!("{}.reply.celery.pidbox", to.routing_key));
    let ours = Request::ping(theirs.ticket.as_deref().expect("a ticket"), &to.routing_key);
    assert_eq!(ours, Request { expires: None, clock: 1, ..theirs });
    let written = ours.write("d");
    assert!(written.contains(r#""expires":0.0"#), "so Celery writes that it never does: {written}");
    assert_eq!(Request::read(written.as_bytes()), Ok(ours.clone()));
    let pong = Reply::read(PONG).expect("it is read");
    assert_eq!(pong, Reply::pong("w1@host", ours.ticket, 4));
    assert!(pong.is_pong());
}

#[test]
fn a_request_is_for_all_for_some_by_name_or_for_those_whose_names_match() {
    let to = |destination: Value, pattern: Value, matcher: Value| {
        let body = json!({
            "method": "revoke",
            "destination": destination,
            "pattern": pattern,
            "matcher": matcher,
        });
        let request = Envelope::new(&body, names::PIDBOX, "", "t").write();
        let request = Request::read(request.as_bytes()).expect("it is read");
        assert_eq!(Request::read(request.write("t").as_bytes()).as_ref(), Ok(&request));
        request.to
    };
    let none = Value::Null;
    assert_eq!(to(none.clone(), none.clone(), none.clone()), Destination::All);
    assert_eq!(to(json!([]), none.clone(), none.clone()), Destination::All);
    let named = to(json!(["w1@a", "w2@a"]), none.clone(), none.clone());
    assert!(named.is("w2@a") && !named.is("w3@a"));
    for (pattern, name, is) in [
        ("w*@a", "w12@a", true),
        ("w*@a", "w12@ab", false),
        ("*", "w", true),
        ("w?@a", "w1@a", true),
        ("w?@a", "w@a", false),
        ("*a*b*", "xxaxxbxx", true),
        ("*a*b*", "xxbxxaxx", false),
        ("w[12]@a", "w1@a", false),
    ] {
        assert_eq!(
            to(none.clone(), json!(pattern), json!("glob")).is(name),
            is,
            "{pattern} {name}"
        );
    }
    assert!(!to(none.clone(), json!("w1"), json!("pcre")).is("w1"));
    assert_eq!(to(none.clone(), json!("w1"), none), Destination::All);
}

#[test]
fn workers_say_when_they_come_are_there_and_go() {
    let [online, heartbeat, offline] = EVENTS.map(|bytes| WorkerEvent::read(bytes).expect("it"));
    let kinds = [online.kind, heartbeat.kind, offline.kind];
    assert_eq!(kinds, [Kind::Online, Kind::Heartbeat, Kind::Offline]);
    assert_eq!(heartbeat.hostname, "w1@host");
    assert_eq!((heartbeat.freq, heartbeat.pid), (Duration::from_secs(2), 28_787));
    assert_eq!((offline.active, offline.processed), (2, 8));
    assert_eq!(heartbeat.at, Timestamp::from_millis(1_795_670_917_931));
    assert_eq!((heartbeat.software.as_str(), heartbeat.version.as_str()), ("py-celery", "5.7.0"));
    assert!(WorkerEvent::read(TASK_EVENT).is_err(), "what it says of tasks is another thing");
}

#[test]
fn a_worker_that_does_not_say_what_it_is_is_read_and_what_is_written_of_it_is_read_again() {
    let heartbeat = WorkerEvent::read(EVENTS[1]).expect("it");
    let silent = WorkerEvent { software: String::new(), version: String::new(), ..heartbeat };
    let again = WorkerEvent::read(silent.write("d").as_bytes()).expect("it is read");
    assert_eq!((again.software.as_str(), again.version.as_str()), ("", ""));
}

#[test]
fn what_a_worker_has_taken_says_where_it_goes_back() {
    let unacked = Unacked::read(UNACKED).expect("it is read");
    assert_eq!((unacked.exchange.as_str(), unacked.routing_key.as_str()), ("", "celery"));
    assert_eq!(Task::read(&unacked.message), Task::read(TASKS[0]));
    let mut message = Envelope::read(&unacked.message).expect("it is read");
    message.redelivered = true;
    let again = Envelope::read(message.write().as_bytes()).expect("it is read");
    assert!(again.redelivered);
    assert_eq!(again.headers.get("redelivered"), None, "it is said once");
    assert_eq!(again.write(), message.write());
}

#[test]
fn what_a_worker_has_taken_is_kept_to_the_byte_whatever_it_is() {
    let message = |text: &[u8]| Unacked::read(text).map(|unacked| unacked.message);
    let long = format!("\"{}\"", "x".repeat(MESSAGE_BYTES_MAX));
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    let as_they_came: [&[u8]; 5] = [
        b"{ \"body\" : \"gAM=\",\"a\": 1e0 }",
        b"7",
        long.as_bytes(),
        deep.as_bytes(),
        b"\"\xff\"",
    ];
    for text in as_they_came {
        let unacked = Unacked {
            message: text.to_vec(),
            exchange: "e\"x".to_owned(),
            routing_key: "k]".to_owned(),
        };
        assert_eq!(Unacked::read(&unacked.write()), Ok(unacked));
    }
    assert_eq!(message(b" [ {} , null , \"q\" ] "), Ok(b"{}".to_vec()));
    let none: [&[u8]; 7] =
        [b"", b"[", b"{}", b"[{bad,\"\",\"q\"]", b"[{},\"\"]", b"[{},\"\",\"q\"", b"[{},1,2]"];
    for text in none {
        assert_eq!(message(text), Err(Unreadable::Shape("a message that was taken")));
    }
}

#[test]
fn a_binding_with_a_pattern_is_for_all_keys_that_are_like_it() {
    let is_for = |bound: &str, pattern: &str, key: &str| {
        let queue = "q".to_owned();
        Binding { routing_key: bound.to_owned(), pattern: pattern.to_owned(), queue }.is_for(key)
    };
    assert!(is_for("a.*", "", "a.*") && !is_for("a.*", "", "a.b"), "a key is a key");
    for (bound, likes, unlikes) in [
        ("a.b", &["a.b"][..], &["a", "a.b.c", "axb", ""][..]),
        ("a.*", &["a.b"], &["a", "a.", "a.b.c"]),
        ("*.b", &["a.b"], &["b", ".b"]),
        ("a.#", &["a.b", "a.b.c", "a."], &["a", "b.a"]),
        ("#", &["a", "a.b", ""], &[]),
        ("a.#.z", &["a.b.z", "a.b.c.z", "a..z"], &["a.z"]),
        ("#.b.#", &["a.b.c", "b.b.b", "a.b.b.c"], &["b", "a.b", "a.c.c"]),
    ] {
        likes.iter().for_each(|key| assert!(is_for(bound, "^.$", key), "{bound} {key}"));
        unlikes.iter().for_each(|key| assert!(!is_for(bound, "^.$", key), "{bound} {key}"));
    }
    let [longest, longer] = [NAME_BYTES_MAX, NAME_BYTES_MAX + 1].map(|bytes| "k".repeat(bytes));
    assert!(is_for("#", "^.*?$", &longest) && !is_for("#", "^.*?$", &longer));
}

#[test]
fn keys_and_channels_are_called_as_celery_calls_them() {
    let names = Names::new(3, "");
    assert_eq!(names.pidbox(), "/3.celery.pidbox");
    assert_eq!(names.events("worker.heartbeat"), "/3.celeryev/worker.heartbeat");
    assert_eq!(names.worker_events(), "/3.celeryev/worker.*");
    assert_eq!(
        names.lists("celery"),
        [
            "celery".to_owned(),
            "celery\u{6}\u{16}3".to_owned(),
            "celery\u{6}\u{16}6".to_owned(),
            "celery\u{6}\u{16}9".to_owned(),
        ]
    );
    for (priority, list) in
        [(0, "q"), (2, "q"), (3, "q\u{6}\u{16}3"), (8, "q\u{6}\u{16}6"), (u8::MAX, "q\u{6}\u{16}9")]
    {
        assert_eq!(names.queue("q", priority), list, "{priority}");
    }
    let binding = Binding::read(BINDING).expect("it is read");
    assert_eq!(binding, Binding::of_replies(&binding.routing_key));
    assert_eq!(binding.write(), BINDING);
    assert_eq!(names.bindings(names::REPLIES), "_kombu.binding.reply.celery.pidbox");
    assert_eq!(names.replies("me")[0], "me.reply.celery.pidbox");
    for member in ["", "a", "a\u{6}\u{16}b", "a\u{6}\u{16}b\u{6}\u{16}c\u{6}\u{16}d"] {
        assert_eq!(Binding::read(member), None, "{member:?}");
    }

    let prefixed = Names::new(0, "app[1]:");
    assert_eq!(prefixed.unacked(), "app[1]:unacked");
    assert_eq!(prefixed.unacked_index(), "app[1]:unacked_index");
    assert_eq!(prefixed.unacked_mutex(), "app[1]:unacked_mutex");
    assert_eq!(prefixed.pidbox(), "app[1]:/0.celery.pidbox");
    assert_eq!(prefixed.worker_events(), "app\\[1\\]:/0.celeryev/worker.*");
    let bare = prefixed.with_fanout_prefix("");
    assert_eq!(bare.pidbox(), "app[1]:celery.pidbox");
}
