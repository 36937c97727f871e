//! What is loaded before anybody is let in, as probes show it: back ends that are given time.

use std::fs;
use std::path::Path;

use serde_json::Value;
use serde_json::json;
use test_support::doorward::Builder;
use test_support::doorward::Doorward;
use test_support::http1::Connection;
use test_support::http1::Request;
use test_support::place::free_port;
use test_support::redis::RedisServer;
use test_support::redis::Reply;
use test_support::upstream::Upstream;
use test_support::wait::START_MAX;
use test_support::wait::wait_until;
use test_support::worker::DoorwardWorker;

use crate::scene::token;

/// One route to `upstream`, which says `more` of itself.
fn before(upstream: &str, more: &str) -> Builder {
    Doorward::builder().config(format!(
        "[upstreams.models]\nendpoints = [\"{upstream}\"]\n{more}\n\
         [[routes]]\nname = \"api\"\npath = \"/api\"\nupstream = \"models\"\n"
    ))
}

/// The line that `target` of the ops listener has for that back end.
fn line(doorward: &Doorward, target: &str) -> String {
    let text = doorward.ask_ops(target).text();
    let line = text.lines().find(|line| line.contains(" upstream models"));
    line.unwrap_or_else(|| panic!("no such line in {text}")).to_owned()
}

#[test]
fn a_back_end_that_loads_first_is_given_time_and_requests_come_after() {
    let upstream = Upstream::start();
    let asks = "warm_up = \"/later\"\nwarm_up_timeout = \"10m\"";
    let doorward = before(&upstream.url(), asks).start_unready();
    let mut client = Connection::open(doorward.public());
    client.send(
        format!("GET /api/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", token())
            .as_bytes(),
    );
    let all_but_one = |text: &str| {
        text.contains("warm routes: 1 attempt, ") && text.contains("retrying upstream models: ")
    };
    wait_until(START_MAX, || all_but_one(&doorward.ask_ops("/startupz").text()));

    let startup = doorward.ask_ops("/startupz");
    assert_eq!(startup.status, 503, "{startup}");
    let text = startup.text();
    assert!(text.contains(&format!("{} answered 503\n", upstream.url())), "{text}");
    assert!(text.contains("warm database: 1 attempt, "), "{text}");
    assert!(text.ends_with("not started\n"), "{text}");
    let ready = doorward.ask_ops("/readyz?verbose");
    assert_eq!(ready.status, 503, "{ready}");
    assert!(ready.text().starts_with("not started\nok open\n"), "{ready}");
    assert_eq!(doorward.ask_ops("/livez").status, 200);
    assert_eq!(upstream.seen().of("/api/x"), 0, "nobody was let in");

    upstream.release();
    wait_until(START_MAX, || doorward.is_ready());
    assert_eq!(client.try_answer().expect("who waited is answered").status, 200);
    assert_eq!(doorward.ask_ops("/startupz").text(), "ok\n");
    let warm = line(&doorward, "/readyz?verbose");
    assert!(warm.starts_with("warm upstream models: ") && warm.ends_with(" ms"), "{warm}");
    assert_eq!(doorward.ask_ops("/auth/users").status, 401, "management is there, too");

    // Each step has a line of its own, with what it cost.
    let log = doorward.log();
    for (name, words) in [
        ("database", "warm-up: `database` is there"),
        ("routes", "warm-up: `routes` is there"),
        ("models", "warm-up: `upstream models` is there"),
    ] {
        let step = log.lines().find(|line| line.contains(words));
        let step: Value =
            serde_json::from_str(step.unwrap_or_else(|| panic!("no {name}: {log}"))).unwrap();
        let fields = if step["fields"].is_object() { &step["fields"] } else { &step };
        assert!(fields["attempt"].as_u64().is_some_and(|n| n >= 1), "{step}");
        assert!(fields["duration_ms"].is_u64(), "{step}");
        for memory in ["resident_before_bytes", "resident_after_bytes"] {
            assert!(fields[memory].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{step}");
        }
    }
}

#[test]
fn a_back_end_that_never_is_warm_and_can_be_done_without_is_shown_as_degraded() {
    let upstream = Upstream::start();
    let asks = "warm_up = \"/later\"\nwarm_up_timeout = \"1s\"";
    let doorward = before(&upstream.url(), asks).start();
    let shown = line(&doorward, "/readyz?verbose");
    assert!(shown.starts_with("degraded upstream models: "), "{shown}");
    assert!(shown.ends_with(&format!("{} answered 503", upstream.url())), "{shown}");
    assert_eq!(doorward.ask_ops("/readyz").text(), "ok\n");
    assert_eq!(doorward.ask_ops("/startupz").status, 200);
    let answer = doorward.ask(&Request::get("/api/x").bearer(&token()));
    assert_eq!(answer.status, 200, "requests come to it all the same: {answer}");

    // It goes on being tried.
    upstream.release();
    wait_until(START_MAX, || {
        line(&doorward, "/readyz?verbose").starts_with("warm upstream models")
    });
}

#[test]
fn without_a_back_end_that_is_required_it_ends_and_says_why() {
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let asks = "warm_up = \"/\"\nwarm_up_timeout = \"1s\"\nwarm_up_required = true";
    let builder = before(&nowhere, asks);
    let facts = builder.data_dir().join("run.json");
    let (status, log) = builder.try_start().expect_err("it cannot start");
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{log}");
    let last = log.lines().last().unwrap_or_default();
    let begin = "doorward: `upstream models` cannot be loaded, tried 2 times: ";
    assert!(last.starts_with(&format!("{begin}{nowhere}: it cannot be reached: ")), "{log}");
    assert!(!fs::exists(facts).unwrap(), "nothing runs here any more");
}

#[test]
fn a_signal_ends_it_in_order_while_it_waits() {
    let upstream = Upstream::start();
    let asks = "warm_up = \"/hang\"\nwarm_up_timeout = \"10m\"\nwarm_up_required = true";
    let mut doorward = before(&upstream.url(), asks).start_unready();
    wait_until(START_MAX, || line(&doorward, "/startupz").starts_with("loading upstream models: "));
    let (status, _) = doorward.sigterm_and_wait();
    assert_eq!(status.code(), Some(0));
    doorward.wait_for_log("ending before anybody was let in");
    assert!(!fs::exists(doorward.data_dir().join("run.json")).unwrap());
}

#[test]
fn a_redis_that_is_away_is_done_without_and_shown_until_it_is_there() {
    let mut server = RedisServer::start();
    server.stop();
    let upstream = Upstream::start();
    let builder = before(&upstream.url(), "");
    let redis = format!("environment = \"dev\"\n[redis]\nurl = \"{}\"\n", server.url());
    let config = format!("{redis}{}", builder.config_text());
    let doorward = builder.config(config).start();
    let shown = || doorward.ask_ops("/readyz?verbose").text();
    let text = shown();
    assert!(text.contains("\ndegraded redis: "), "{text}");
    assert!(text.contains("routes do as their on_store_loss says\n"), "{text}");
    server.restart();
    wait_until(START_MAX, || shown().contains("\nwarm redis: "));
}

#[test]
fn a_gateway_whose_routes_fail_and_are_tried_again_is_no_ghost_in_its_fleet() {
    let server = RedisServer::start();
    // No name of this domain ever has an address (RFC 6761 §6.4).
    let builder = before("http://models.invalid:8000", "");
    let redis = format!("environment = \"dev\"\n[redis]\nurl = \"{}\"\n", server.url());
    let mut doorward =
        builder.clone().config(format!("{redis}{}", builder.config_text())).start_unready();
    let shown = || doorward.ask_ops("/startupz").text();
    wait_until(START_MAX, || shown().contains("retrying routes: 3 attempts"));
    assert!(shown().contains("\nwarm redis: "), "{}", shown());
    let announced = server.command(&["EXISTS", "{doorward:#gateways}"]).unwrap();
    assert_eq!(announced, Reply::Integer(0), "three attempts, and no gateway yet");
    assert_eq!(doorward.sigterm_and_wait().0.code(), Some(0));

    // One that lets clients in is known, until it goes.
    let upstream = Upstream::start();
    let builder = before(&upstream.url(), "");
    let mut doorward = builder.clone().config(format!("{redis}{}", builder.config_text())).start();
    let gateways = || server.command(&["ZCARD", "{doorward:#gateways}"]).unwrap();
    wait_until(START_MAX, || gateways() == Reply::Integer(1));
    assert_eq!(doorward.sigterm_and_wait().0.code(), Some(0));
    assert_eq!(gateways(), Reply::Integer(0));
}

/// A model of two tokens, as `model2vec` lays it out, in `directory`.
pub(crate) fn write_model(directory: &Path) {
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": { "type": "Whitespace" },
        "model": {
            "type": "WordLevel",
            "vocab": { "[UNK]": 0, "harbour": 1 },
            "unk_token": "[UNK]",
        },
    });
    fs::write(directory.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let head = json!({
        "embeddings": { "dtype": "F32", "shape": [2, 8], "data_offsets": [0, 64] },
    });
    let head = head.to_string();
    let length = u64::try_from(head.len()).unwrap().to_le_bytes();
    let file = [&length[..], head.as_bytes(), &[0; 64]].concat();
    fs::write(directory.join("model.safetensors"), file).unwrap();
}

#[test]
fn a_worker_says_what_its_model_is_and_what_it_costs() {
    let broker = RedisServer::start();
    let model = tempfile::tempdir().unwrap();
    write_model(model.path());
    let worker = DoorwardWorker::start(&format!(
        "[celery]\nbroker_url = \"{}\"\n[worker]\nmodel = \"{}\"",
        broker.url(),
        model.path().display()
    ));
    let log = worker.log();
    let said = |words: &str| {
        let line = log.lines().find(|line| line.contains(words));
        let line: Value = serde_json::from_str(line.unwrap_or_else(|| panic!("{log}"))).unwrap();
        if line["fields"].is_object() { line["fields"].clone() } else { line }
    };
    let ready = said("embeddings are ready: a model of 2 tokens, 8 dimensions");
    assert_eq!((&ready["dimensions"], &ready["table_bytes"]), (&json!(8), &json!(64)));
    assert!(ready["duration_ms"].is_u64(), "{ready}");
    let step = said("warm-up: `embeddings` is there");
    for memory in ["resident_before_bytes", "resident_after_bytes"] {
        assert!(step[memory].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{step}");
    }
}
