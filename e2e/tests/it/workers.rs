//! The health of Celery's workers: real ones, in every state that they can be in.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;
use std::time::Instant;

use kernel::celery::Task;
use kernel::celery::TaskResult;
use kernel::celery::pidbox;
use kernel::celery::pidbox::Destination;
use kernel::celery::result;
use kernel::celery::result::State;
use serde_json::Value;
use serde_json::json;
use test_support::celery::CelerySetup;
use test_support::celery::Pool;
use test_support::celery::Release;
use test_support::doorward::Doorward;
use test_support::http1;
use test_support::http1::Request;
use test_support::place::free_port;
use test_support::redis::RedisServer;
use test_support::redis::RedisSetup;
use test_support::redis::Reply;
use test_support::wait::START_MAX;
use test_support::wait::holds_within;
use test_support::wait::wait_until;
use test_support::worker::DoorwardWorker;

use crate::documents::shown;
use crate::scene::Scene;
use crate::scene::USUAL;
use crate::scene::apart_admin;

/// How long it may take until what happens to a worker is seen: it is asked every ten seconds and has
/// two to answer; a busy machine has time besides.
const SEEN_WITHIN: Duration = Duration::from_secs(40);

/// The time between two questions, in seconds: who has answered longer ago has not answered the last one.
const ASKED_EVERY_S: f64 = 10.0;

/// How long a heartbeat of Celery's holds, in seconds: three times as long as it pauses between two.
const HEARTBEAT_HOLDS_S: f64 = 6.0;

const DEGRADED: &str = "System operational with degraded functionality: Celery workers unavailable";

/// A Doorward that watches the installation at `broker`; `more` is what `[celery]` says besides.
fn watching(broker: &str, more: &str) -> Scene {
    Scene::of(&format!("[celery]\nbroker_url = \"{broker}\"\n{more}\n{USUAL}"))
}

/// A broker, and the URL of its database 3.
fn broker() -> (RedisServer, String) {
    let server = RedisServer::start();
    let url = in_database_3(&server);
    (server, url)
}

fn in_database_3(server: &RedisServer) -> String {
    let url = server.url();
    format!("{}/3", url.strip_suffix("/0").expect("it ends in its database"))
}

fn health(doorward: &Doorward) -> Value {
    let answer = doorward.ask(&Request::get("/monitoring/health"));
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()
}

/// What a verdict rests on: a row of the table in docs/workers.md.
#[derive(Debug, PartialEq)]
struct Signs {
    /// Whether it has answered the last question.
    answers: bool,
    /// Whether its heartbeats are heard.
    beats: bool,
    /// How many are connected to be asked, it and all others.
    connected: u64,
}

/// What operators see.
struct Operator<'a> {
    doorward: &'a Doorward,
    access: String,
}

impl<'a> Operator<'a> {
    fn of(doorward: &'a Doorward) -> Self {
        Self { doorward, access: doorward.login_as_admin().access }
    }

    fn workers(&self) -> Value {
        let request = Request::get("/auth/workers").bearer(&self.access);
        let answer = http1::ask(self.doorward.ops(), &request);
        assert_eq!(answer.status, 200, "{answer}");
        answer.json()
    }

    /// What is known of a worker; null where it is not known.
    fn worker(&self, name: &str) -> Value {
        worker(&self.workers(), name)
    }

    /// The verdict on a worker; null where it is not known.
    fn verdict(&self, name: &str) -> Value {
        self.worker(name)["verdict"].clone()
    }

    #[track_caller]
    fn sees(&self, name: &str, verdict: &str) {
        let is_seen = holds_within(SEEN_WITHIN, || self.verdict(name) == verdict);
        assert!(is_seen, "{name} is not {verdict}: {:#}", self.workers());
    }

    /// The same, and by which signs: all of it at one moment.
    #[track_caller]
    fn sees_by(&self, name: &str, verdict: &str, signs: &Signs) {
        let is_seen = holds_within(SEEN_WITHIN, || {
            let all = self.workers();
            let worker = worker(&all, name);
            let is_within = |field: &str, s: f64| worker[field].as_f64().is_some_and(|it| it < s);
            let found = Signs {
                answers: is_within("since_pong_s", ASKED_EVERY_S),
                beats: is_within("since_heartbeat_s", HEARTBEAT_HOLDS_S),
                connected: all["connected"].as_u64().expect("a count"),
            };
            worker["verdict"] == verdict && found == *signs
        });
        assert!(is_seen, "{name} is not {verdict} by {signs:?}: {:#}", self.workers());
    }
}

fn worker(workers: &Value, name: &str) -> Value {
    let all = workers["workers"].as_array().expect("a list");
    all.iter().find(|worker| worker["name"] == name).cloned().unwrap_or_default()
}

/// How many hear what all workers are asked on this channel, as `PUBLISH` says; nobody is meant.
fn listeners(server: &RedisServer, channel: &str) -> Reply {
    let nobody = Destination::Named(vec!["nobody@here".to_owned()]);
    let request = pidbox::Request { to: nobody, ..pidbox::Request::ping("ticket", "asker") };
    server.command(&["PUBLISH", channel, &request.write("tag")]).expect("it answers")
}

/// Whether the worker `name` is bound to the exchange by which all are asked.
fn is_bound(server: &RedisServer, name: &str) -> bool {
    let key = "_kombu.binding.celery.pidbox";
    let Reply::Array(members) = in_database(server, &["SMEMBERS", key]) else {
        panic!("no set");
    };
    members.contains(&Reply::text(&format!("\u{6}\u{16}\u{6}\u{16}{name}.celery.pidbox")))
}

/// Has workers do something, as whoever uses Celery would; the id is `name`'s own.
fn send(redis: &RedisServer, name: &str, argument: Value) -> String {
    let id = format!("{name}-{}", free_port());
    let args = match argument {
        Value::Array(all) => all,
        one => vec![one],
    };
    let task = Task::new(name, &id, args, "celery", &format!("tag-{id}"));
    in_database(redis, &["LPUSH", "celery", &task.write()]);
    id
}

/// Sends a command to database 3: one connection is one command, so a script chooses it.
fn in_database(redis: &RedisServer, words: &[&str]) -> Reply {
    let script = "redis.call('SELECT', 3); return redis.call(unpack(ARGV))";
    let all: Vec<&str> = ["EVAL", script, "0"].iter().chain(words).copied().collect();
    redis.command(&all).expect("it answers")
}

/// Somebody who listens for what workers are asked, and never says a word.
struct Silent(#[expect(dead_code, reason = "it listens until it is dropped")] TcpStream);

impl Silent {
    fn at(server: &RedisServer) -> Self {
        let mut stream = TcpStream::connect(server.addr()).unwrap();
        stream.write_all(b"SUBSCRIBE /3.celery.pidbox\r\n").unwrap();
        // Once that is answered, it listens.
        stream.read_exact(&mut [0; 16]).unwrap();
        Self(stream)
    }
}

#[test]
fn where_no_celery_is_configured_that_is_said_and_nothing_degrades() {
    let scene = Scene::usual();
    let health = health(&scene.doorward);
    assert_eq!(health["status"], "healthy");
    assert_eq!(
        health["components"]["celery"],
        json!({"status": "not_configured", "message": "Celery is not configured", "worker_count": 0})
    );
    let workers = Operator::of(&scene.doorward).workers();
    assert_eq!(workers["status"], "not_configured");
    assert_eq!(workers["workers"], json!([]));
    assert!(!scene.doorward.metrics().contains("doorward_celery"));
}

#[test]
fn without_workers_it_is_degraded_and_healthy_once_one_is_there() {
    let (_server, url) = broker();
    let scene = watching(&url, "");
    let health = || health(&scene.doorward);
    let first = health();
    assert_eq!(first["status"], "degraded");
    assert_eq!(first["message"], DEGRADED);
    let celery = &first["components"]["celery"];
    assert_eq!(
        *celery,
        json!({"status": "unhealthy", "message": "No Celery workers", "worker_count": 0})
    );
    // Neither the database nor what is not configured is to blame, and this is no reason to send
    // nobody here.
    assert_eq!(scene.doorward.ask_ops("/readyz").status, 200);
    let _worker = CelerySetup::at(&url).start("w1@here");
    wait_until(SEEN_WITHIN, || health()["status"] == "healthy");
    let celery = health()["components"]["celery"].take();
    assert_eq!(celery["worker_count"], 1);
    assert_eq!(celery["message"], "Celery workers are available");
}

#[test]
fn workers_that_are_idle_deaf_stopped_killed_and_sent_away_are_told_from_one_another() {
    are_told_from_one_another(Release::Newest);
}

#[test]
fn so_are_those_of_the_oldest_celery_that_is_promised_to_be_seen() {
    are_told_from_one_another(Release::Oldest);
}

fn are_told_from_one_another(release: Release) {
    let (server, url) = broker();
    let scene = watching(&url, "");
    let operator = Operator::of(&scene.doorward);
    let setup = CelerySetup::at(&url).release(release);
    let mut idle = setup.start("idle@here");
    let deaf = setup.clone().without_remote_control().start("deaf@here");
    operator.sees_by("idle@here", "alive", &Signs { answers: true, beats: true, connected: 1 });
    // By its heartbeats alone.
    let by_heartbeats = |connected| Signs { answers: false, beats: true, connected };
    operator.sees_by("deaf@here", "alive", &by_heartbeats(1));
    assert_eq!(listeners(&server, "/3.celery.pidbox"), Reply::Integer(1), "one is deaf");
    let known = operator.worker("deaf@here");
    assert_eq!(known["since_pong_s"], Value::Null);
    assert_eq!(known["heartbeat_every_s"], 2.0);
    assert_eq!(known["software"], "py-celery");
    assert_eq!(known["version"], release.version());

    // SIGSTOP: connected, and silent.
    idle.pause();
    let silent = |connected| Signs { answers: false, beats: false, connected };
    operator.sees_by("idle@here", "unresponsive", &silent(1));
    idle.resume();
    operator.sees_by("idle@here", "alive", &Signs { answers: true, beats: true, connected: 1 });
    // kill -9: not even connected, though its binding stays.
    assert!(is_bound(&server, "idle@here") && !is_bound(&server, "deaf@here"));
    idle.kill();
    operator.sees_by("idle@here", "gone", &silent(0));
    assert!(is_bound(&server, "idle@here"), "nobody removes it");
    operator.sees_by("deaf@here", "alive", &by_heartbeats(0));
    assert_eq!(health(&scene.doorward)["components"]["celery"]["worker_count"], 1);
    // Whoever says that it goes is gone by that alone: as long as somebody silent is connected, one that
    // had said nothing would be taken for that one.
    let mut polite = setup.start("polite@here");
    operator.sees_by("polite@here", "alive", &Signs { answers: true, beats: true, connected: 1 });
    let silent = Silent::at(&server);
    polite.ask_to_go();
    operator.sees("polite@here", "gone");
    wait_until(SEEN_WITHIN, || operator.workers()["connected"] == 1);
    assert_eq!(operator.verdict("polite@here"), "gone");
    drop(silent);
    drop(deaf);
    operator.sees("deaf@here", "gone");
    wait_until(SEEN_WITHIN, || health(&scene.doorward)["message"] == DEGRADED);
    drop(server);
}

#[test]
fn a_busy_prefork_worker_is_alive_and_a_busy_solo_one_unresponsive_not_gone() {
    let (server, url) = broker();
    let scene = watching(&url, "");
    let operator = Operator::of(&scene.doorward);
    let answers = Signs { answers: true, beats: true, connected: 1 };
    let prefork = CelerySetup::at(&url).start("prefork@here");
    operator.sees_by("prefork@here", "alive", &answers);
    for _ in 0..3 {
        send(&server, "app.busy", json!(600));
    }
    // One is begun, and acknowledged by that; two are prefetched.
    wait_until(SEEN_WITHIN, || operator.workers()["active"] == 1);
    wait_until(SEEN_WITHIN, || operator.workers()["in_flight"] == 2);
    let since = || operator.workers()["looked_at"].clone();
    let looked_at = since();
    // Two looks later it is still so.
    wait_until(SEEN_WITHIN, || since() != looked_at);
    let looked_at = since();
    wait_until(SEEN_WITHIN, || since() != looked_at);
    operator.sees_by("prefork@here", "alive", &answers);
    assert_eq!(operator.workers()["active"], 1, "it is busy all the time");
    let oldest = operator.workers()["oldest_in_flight_s"].as_f64().expect("it was taken");
    assert!(oldest > 0.0, "{oldest}");
    drop(prefork);
    let silent = |connected| Signs { answers: false, beats: false, connected };
    operator.sees_by("prefork@here", "gone", &silent(0));

    let _solo = CelerySetup::at(&url).pool(Pool::Solo).start("solo@here");
    operator.sees_by("solo@here", "alive", &answers);
    send(&server, "app.busy", json!(600));
    operator.sees_by("solo@here", "unresponsive", &silent(1));
    let celery = health(&scene.doorward)["components"]["celery"].take();
    assert_eq!(celery["status"], "degraded");
    assert_eq!(celery["message"], "Celery workers are connected but unresponsive");
    assert_eq!(health(&scene.doorward)["message"], DEGRADED);

    // One that was busy before anybody looked has no name, and is no nobody.
    let later = watching(&url, "");
    let operator = Operator::of(&later.doorward);
    wait_until(SEEN_WITHIN, || operator.workers()["connected"] == 1);
    let celery = health(&later.doorward)["components"]["celery"].take();
    assert_eq!(celery["status"], "degraded", "{celery}");
}

#[test]
fn a_worker_of_our_own_is_alive_by_its_answers_and_heartbeats_and_gone_once_it_says_so() {
    let (server, url) = broker();
    let scene = watching(&url, "");
    let operator = Operator::of(&scene.doorward);
    let config = format!("[celery]\nbroker_url = \"{url}\"\n[worker]\nname = \"own@here\"");
    let mut own = DoorwardWorker::start(&config);
    operator.sees_by("own@here", "alive", &Signs { answers: true, beats: true, connected: 1 });
    let known = operator.worker("own@here");
    assert_eq!(known["heartbeat_every_s"], 2.0);
    assert_eq!((&known["software"], &known["pid"]), (&json!("doorward"), &json!(own.id())));
    // By what it says: as long as somebody silent is connected, it would be taken for that one.
    let _silent = Silent::at(&server);
    own.ask_to_go();
    operator.sees("own@here", "gone");
    own.ends_in_order(START_MAX);
    let looked_at = operator.workers()["looked_at"].clone();
    wait_until(SEEN_WITHIN, || operator.workers()["looked_at"] != looked_at);
    assert_eq!(operator.verdict("own@here"), "gone");
}

#[test]
fn a_worker_without_a_prefix_of_its_channels_is_asked_and_heard() {
    let (server, url) = broker();
    let scene = watching(&url, "fanout_prefix = \"\"");
    let _worker = CelerySetup::at(&url).without_fanout_prefix().start("w1@here");
    let operator = Operator::of(&scene.doorward);
    operator.sees_by("w1@here", "alive", &Signs { answers: true, beats: true, connected: 1 });
    assert_eq!(listeners(&server, "celery.pidbox"), Reply::Integer(1), "it has none");
}

#[test]
fn what_waits_in_queues_is_told_to_operators_and_in_metrics() {
    let (server, url) = broker();
    let scene = watching(&url, "queues = [\"celery\", \"mail\"]");
    let operator = Operator::of(&scene.doorward);
    for _ in 0..3 {
        send(&server, "app.add", json!([1, 2]));
    }
    wait_until(SEEN_WITHIN, || operator.workers()["queues"][0]["depth"] == 3);
    assert_eq!(
        operator.workers()["queues"][1],
        json!({"name": "mail", "depth": 0, "waiting_s": null})
    );
    let metrics = scene.doorward.metrics();
    for line in [
        "doorward_celery_broker_up 1",
        "doorward_celery_queue_depth{queue=\"celery\"} 3",
        "doorward_celery_queue_depth{queue=\"mail\"} 0",
        "doorward_celery_workers{verdict=\"alive\"} 0",
        "doorward_celery_in_flight 0",
    ] {
        assert!(metrics.lines().any(|it| it == line), "no `{line}` in {metrics}");
    }
    // The same next one the longer, as nobody takes it.
    let waits = || operator.workers()["queues"][0]["waiting_s"].as_f64().unwrap_or_default();
    wait_until(SEEN_WITHIN, || waits() > 0.0);
    let worker = CelerySetup::at(&url).start("w1@here");
    wait_until(SEEN_WITHIN, || operator.workers()["queues"][0]["depth"] == 0);
    wait_until(SEEN_WITHIN, || {
        let metrics = scene.doorward.metrics();
        metrics.lines().any(|line| line == "doorward_celery_workers{verdict=\"alive\"} 1")
    });
    assert!(!scene.doorward.metrics().contains(worker.name()), "names of workers are no labels");
}

#[test]
fn a_task_of_ours_is_done_by_celery_and_its_result_read() {
    let (server, url) = broker();
    let _worker = CelerySetup::at(&url).start("w1@here");
    let stored = |id: &str| match in_database(&server, &["GET", &result::key(id)]) {
        Reply::Bulk(Some(text)) => Some(TaskResult::read(text.as_bytes()).expect("a result")),
        _ => None,
    };
    let id = send(&server, "app.add", json!([2, 3]));
    wait_until(SEEN_WITHIN, || stored(&id).is_some_and(|it| it.state.is_final()));
    let done = stored(&id).expect("it is there");
    assert_eq!((done.state, done.result), (State::Success, json!(5)));
    let id = send(&server, "app.add", json!([2, "three"]));
    wait_until(SEEN_WITHIN, || stored(&id).is_some_and(|it| it.state.is_final()));
    assert_eq!(stored(&id).expect("it is there").state, State::Failure);
}

#[test]
fn asking_how_it_is_asks_no_worker() {
    // Nobody but Doorward publishes here.
    let (server, url) = broker();
    let scene = watching(&url, "");
    let operator = Operator::of(&scene.doorward);
    wait_until(SEEN_WITHIN, || server.calls("publish") > 0);
    let (published, looked_at) = (server.calls("publish"), operator.workers()["looked_at"].clone());
    let began = Instant::now();
    for _ in 0..100 {
        health(&scene.doorward);
        operator.workers();
    }
    // One for each look that came between, by its own clock.
    let looks = began.elapsed().as_secs() / 10 + 1;
    let more = server.calls("publish") - published;
    assert!(more <= looks, "200 questions, {looks} looks at the most, and {more} pings");
    wait_until(SEEN_WITHIN, || operator.workers()["looked_at"] != looked_at);
}

#[test]
fn a_broker_that_is_away_or_hangs_degrades_and_one_that_is_back_is_seen_without_a_restart() {
    let mut server = RedisServer::start();
    let url = in_database_3(&server);
    let _worker = CelerySetup::at(&url).start("w1@here");
    let scene = watching(&url, "");
    let operator = Operator::of(&scene.doorward);
    let status = || health(&scene.doorward)["status"].clone();
    operator.sees("w1@here", "alive");
    wait_until(SEEN_WITHIN, || status() == "healthy");
    server.stop();
    wait_until(SEEN_WITHIN, || status() == "degraded");
    let down = health(&scene.doorward);
    assert_eq!(down["message"], DEGRADED);
    assert_eq!(down["components"]["celery"]["worker_count"], 0);
    operator.sees("w1@here", "unknown");
    assert_eq!(scene.doorward.ask_ops("/readyz").status, 200);
    let metrics = scene.doorward.metrics();
    assert!(metrics.contains("doorward_celery_broker_up 0"), "{metrics}");
    assert!(!metrics.contains("doorward_celery_in_flight"), "of another time: {metrics}");
    assert_eq!(operator.workers()["in_flight"], Value::Null);
    server.restart();
    wait_until(SEEN_WITHIN, || status() == "healthy");
    server.pause();
    wait_until(SEEN_WITHIN, || status() == "degraded");
    // What hangs holds up nobody: what was seen is there.
    operator.sees("w1@here", "unknown");
    server.resume();
    wait_until(SEEN_WITHIN, || status() == "healthy");
}

#[test]
fn redis_and_celery_that_are_both_away_are_both_named() {
    let [redis, broker] =
        [free_port(), free_port()].map(|port| format!("redis://127.0.0.1:{port}"));
    let scene = Scene::of(&format!(
        "[redis]\nurl = \"{redis}\"\n[celery]\nbroker_url = \"{broker}/3\"\n{USUAL}"
    ));
    let health = health(&scene.doorward);
    assert_eq!(health["status"], "degraded");
    assert_eq!(
        health["message"],
        "System operational with degraded functionality: Redis unavailable; Celery workers unavailable"
    );
    let celery = &health["components"]["celery"];
    assert_eq!(celery["message"], "Celery broker connection failed", "{celery}");
    // Nobody waits for what is away.
    assert_eq!(scene.doorward.ask_ops("/readyz").status, 200);
}

#[test]
fn an_admin_api_that_runs_apart_watches_workers_as_well() {
    let (_server, url) = broker();
    let admin = apart_admin(&format!("[celery]\nbroker_url = \"{url}\"")).start();
    let _worker = CelerySetup::at(&url).start("w1@here");
    let access = admin.mint("admin", &[]);
    let operator = Operator { doorward: &admin, access };
    operator.sees("w1@here", "alive");
    let line = "doorward_celery_workers{verdict=\"alive\"} 1";
    wait_until(SEEN_WITHIN, || admin.metrics().lines().any(|it| it == line));
}

#[test]
fn with_a_password_and_a_prefix_of_names_celery_is_found_and_left_as_it_was() {
    let server = RedisSetup::default().password("p@ss:w/rd").start();
    let url = in_database_3(&server);
    let _worker = CelerySetup::at(&url).keyprefix("app:").start("w1@here");
    let mut scene = Scene::built(
        &format!(
            "[celery]\nbroker_url = {{ env = \"BROKER\" }}\nglobal_keyprefix = \"app:\"\n{USUAL}"
        ),
        |builder| builder.env("BROKER", &url),
    );
    Operator::of(&scene.doorward).sees("w1@here", "alive");
    let (status, _) = scene.doorward.sigterm_and_wait();
    assert!(status.success(), "{status}");
    let members = in_database(&server, &["SMEMBERS", "app:_kombu.binding.reply.celery.pidbox"]);
    assert_eq!(members, Reply::Array(Vec::new()), "nothing is left behind");
    let Reply::Array(keys) = in_database(&server, &["KEYS", "*.reply.celery.pidbox*"]) else {
        panic!("keys are a list");
    };
    assert!(keys.is_empty(), "{keys:?}");
}

#[test]
fn a_start_that_fails_leaves_nothing_behind_at_the_broker() {
    let (server, url) = broker();
    // A question is out when the start fails: nobody answers it.
    let _silent = Silent::at(&server);
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let builder = Doorward::builder().config(format!(
        "[celery]\nbroker_url = \"{url}\"\n\
         [upstreams.models]\nendpoints = [\"{nowhere}\"]\n\
         warm_up = \"/\"\nwarm_up_timeout = \"1s\"\nwarm_up_required = true\n\
         [[routes]]\nname = \"api\"\npath = \"/api\"\nupstream = \"models\"\n"
    ));
    let (status, log) = builder.try_start().expect_err("it cannot start");
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{log}");
    assert!(server.calls("publish") > 0, "it had asked: {log}");
    let Reply::Array(keys) = in_database(&server, &["KEYS", "*"]) else {
        panic!("keys are a list");
    };
    assert!(keys.is_empty(), "{keys:?}");
}

/// The first piece of docs/workers.md in this language; it stands in a list.
fn first_shown(language: &str) -> String {
    let code = shown("workers.md", language).swap_remove(0);
    let lines = code.lines().map(|line| line.strip_prefix("   ").unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_the_document_shows_works_with_no_more_rights_than_it_says() {
    let rules = first_shown("acl");
    let server = RedisSetup::default().user("doorward", "secret-of-doorward", rules.trim()).start();
    server
        .command(&["ACL", "SETUSER", "orders", "on", ">secret-of-orders", "~*", "&*", "+@all"])
        .unwrap();
    let watches = in_database_3(&server);
    let works = watches.replace("doorward:secret-of-doorward", "orders:secret-of-orders");
    let command = first_shown("sh").replace("%h", "here");
    let words: Vec<_> = command.split_whitespace().collect();
    let [_, _, module, _, _, hostname] = words[..] else { panic!("another command: {command}") };
    let setup = CelerySetup::at(&works).program(module, &first_shown("python"));
    let _worker = setup.start(hostname);
    let config = format!("{}\n{USUAL}", first_shown("toml"));
    let scene = Scene::built(&config, |builder| builder.env("CELERY_BROKER_URL", &watches));
    Operator::of(&scene.doorward).sees(hostname, "alive");
    let expected: Value = serde_json::from_str(&first_shown("json")).unwrap();
    let celery = || health(&scene.doorward)["components"]["celery"].take();
    wait_until(SEEN_WITHIN, || celery() == expected);
    let Ok(Reply::Array(refused)) = server.command(&["ACL", "LOG", "100"]) else {
        panic!("no log");
    };
    assert!(refused.is_empty(), "{refused:?}");
    // Every metric that it names is there.
    let metrics = scene.doorward.metrics();
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/workers.md");
    let document = fs::read_to_string(document).unwrap();
    let named = document.lines().filter_map(|line| line.strip_prefix("| `doorward_celery_"));
    for name in named.map(|rest| rest.split(['{', '`']).next().unwrap()) {
        assert!(metrics.contains(&format!("\ndoorward_celery_{name}")), "{name}: {metrics}");
    }
}
