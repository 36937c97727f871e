//! Job status through the front door: reported, shown, listed and followed, with memory and with Redis.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;

use kernel::limit::conformance::Dice;
use kernel::status::CHANGES_KEPT_MAX;
use kernel::time::now;
use serde_json::Value;
use serde_json::json;
use test_support::doorward::Doorward;
use test_support::events::Event;
use test_support::events::Events;
use test_support::http1::Answer;
use test_support::http1::Connection;
use test_support::http1::Request;
use test_support::link::Link;
use test_support::postgres::PostgresDatabase;
use test_support::redis::RedisServer;
use test_support::redis::Reply;
use test_support::upstream::Upstream;
use test_support::wait::START_MAX;
use test_support::wait::wait_until;

use crate::scene::PASSWORD;
use crate::scene::Scene;
use crate::scene::apart_admin;
use crate::scene::apart_gateway;
use crate::scene::assert_problem;
use crate::scene::in_parallel;

const STAGES: [&str; 5] = ["ingestion", "quality", "taxonomy", "graph", "embedding"];

/// A Doorward with ann, bob, and a service that reports.
pub(crate) struct Yard {
    pub(crate) scene: Scene,
    pub(crate) service: String,
    pub(crate) ann: String,
    pub(crate) ann_id: String,
    bob: String,
}

impl Yard {
    fn in_memory() -> Self {
        Self::of(Scene::usual())
    }

    /// Patient, so that a busy machine is no outage.
    pub(crate) fn on(redis: &RedisServer) -> Self {
        Self::at(&redis.url())
    }

    fn at(url: &str) -> Self {
        Self::of(Scene::with(&format!("[redis]\nurl = \"{url}\"\ncall_timeout = \"1s\"")))
    }

    pub(crate) fn of(scene: Scene) -> Self {
        let doorward = &scene.doorward;
        for name in ["ann", "bob", "service"] {
            doorward.create_user(name, "admin", PASSWORD);
        }
        doorward.must(&["user", "set-scopes", "service", "status:write"]);
        let [ann, bob, service] =
            ["ann", "bob", "service"].map(|name| doorward.login(name, PASSWORD).access);
        let ann_id = crate::tokens::claims_of(&ann)["user_id"].as_str().unwrap().to_owned();
        Self { service, ann, ann_id, bob, scene }
    }

    fn doorward(&self) -> &Doorward {
        &self.scene.doorward
    }

    pub(crate) fn put(&self, id: &str, stage: &str, body: &Value) -> Answer {
        self.doorward().ask(&put(id, stage, body).bearer(&self.service))
    }

    /// A report on what is ann's; the version then.
    #[track_caller]
    pub(crate) fn reports(&self, id: &str, stage: &str, status: &str) -> u64 {
        let answer = self.put(id, stage, &json!({ "status": status, "owner": self.ann_id }));
        assert_eq!(answer.status, 200, "{answer}");
        answer.json()["version"].as_u64().unwrap()
    }

    fn show(&self, id: &str, to: &str) -> Answer {
        self.doorward().ask(&Request::get(&format!("/status/resources/{id}")).bearer(to))
    }

    #[track_caller]
    pub(crate) fn shown(&self, id: &str) -> Value {
        let answer = self.show(id, &self.ann);
        assert_eq!(answer.status, 200, "{answer}");
        answer.json()
    }

    fn listen(&self, id: &str, last: Option<u64>) -> Stream {
        let request = Request::get(&format!("/status/resources/{id}/events")).bearer(&self.ann);
        let request = match last {
            Some(last) => request.header("Last-Event-ID", &last.to_string()),
            None => request,
        };
        Stream::open(self.scene.connect(), &request)
    }
}

fn put(id: &str, stage: &str, body: &Value) -> Request {
    Request::new("PUT", &format!("/status/resources/{id}/stages/{stage}")).json(body)
}

/// A stream of events, and what of it was read and is still to be looked at.
struct Stream {
    connection: Connection,
    events: Events,
}

impl Stream {
    #[track_caller]
    fn open(mut connection: Connection, request: &Request) -> Self {
        connection.send(&request.to_bytes());
        let head = connection.head().expect("a stream begins");
        assert_eq!(head.status, 200, "{head}");
        Self { connection, events: Events::default() }
    }

    /// The next event, comments passed over; `None`: the stream is over.
    #[track_caller]
    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.event() {
                return Some(event);
            }
            let chunk = self.connection.chunk().ok().filter(|chunk| !chunk.is_empty())?;
            self.events.read(&chunk);
        }
    }
}

/// What a client makes of events: a record takes the place of all, a change of one stage.
#[derive(Default)]
struct Client {
    last: Option<u64>,
    overall: Value,
    stages: BTreeMap<String, (Value, Value)>,
}

impl Client {
    fn take(&mut self, event: &Event) {
        if event.kind == "record" {
            self.stages.clear();
        }
        for (stage, status) in event.data["stages"].as_object().unwrap() {
            let told = (status.clone(), event.data["details"][stage].clone());
            self.stages.insert(stage.clone(), told);
        }
        self.overall = event.data["overall_status"].clone();
        self.last = Some(event.id);
    }

    /// Whether it knows of the one report on `graph` that is the last.
    fn knows_the_end(&self) -> bool {
        self.stages.get("graph").is_some_and(|(status, _)| *status == "completed")
    }

    #[track_caller]
    fn assert_knows(&self, record: &Value) {
        let mut known = Self::default();
        let data = record.clone();
        let id = record["version"].as_u64().unwrap();
        known.take(&Event { id, kind: "record".to_owned(), data });
        assert_eq!((&self.overall, &self.stages), (&known.overall, &known.stages));
        assert_eq!(self.last, known.last);
    }
}

#[track_caller]
fn assert_reported_shown_and_listed(yard: &Yard) {
    let body = json!({ "status": "processing", "owner": yard.ann_id });
    let answer = yard.put("42", "graph", &body).json();
    let reported = yard.shown("42");
    let version = &reported["version"];
    assert_eq!(answer, json!({ "resource_id": 42, "effect": "applied", "version": version }));
    assert_eq!(reported["resource_id"], 42);
    assert_eq!(reported["stages"], json!({ "graph": "processing" }));
    assert_eq!([&reported["overall_status"], &reported["phase"]], ["processing", "running"]);
    for stage in STAGES {
        yard.reports("42", stage, "completed");
    }
    let done = yard.shown("42");
    assert_eq!([&done["overall_status"], &done["phase"]], ["completed", "done"]);
    yard.reports("a-b", "graph", "failed");
    let list = yard.doorward().ask(&Request::get("/status/resources").bearer(&yard.ann)).json();
    let listed: Vec<_> = list["resources"].as_array().unwrap().iter().collect();
    let names: Vec<_> = listed.iter().map(|shown| &shown["resource_id"]).collect();
    assert_eq!(names, [&json!("a-b"), &json!(42)]);
    assert_eq!(listed[1], &done);
    // A stranger's is as one that is not there, and nobody but a service reports.
    for (id, who) in [("42", &yard.bob), ("42", &yard.service), ("43", &yard.ann)] {
        assert_problem(&yard.show(id, who), 404, "NOT_FOUND", "Not Found");
    }
    let answer = yard.scene.ask(&Request::get("/status/resources/42"));
    assert_problem(&answer, 401, "NOT_AUTHENTICATED", "Not authenticated");
    let answer =
        yard.scene.ask(&put("42", "graph", &json!({ "status": "failed" })).bearer(&yard.ann));
    let detail = "Insufficient permissions. Required scopes: status:write";
    assert_problem(&answer, 403, "FORBIDDEN", detail);
    let answer = yard.put("42", "polish", &json!({ "status": "done" }));
    assert_eq!(answer.status, 422, "{answer}");
    assert!(answer.text().contains("`ingestion`, `quality`"), "{answer}");
    assert_eq!(yard.scene.reached(), 0);
}

#[track_caller]
fn assert_nothing_is_lost(yard: &Yard) {
    let line = |writer: usize| {
        let mut connection = yard.scene.connect();
        for stage in STAGES {
            let body =
                json!({ "status": "processing", "attempt": writer + 1, "owner": yard.ann_id });
            let answer = connection.ask(&put("7", stage, &body).bearer(&yard.service));
            // On a busy machine Redis may be late; then it waits.
            assert!(matches!(answer.status, 200 | 202), "{answer}");
        }
    };
    in_parallel(100, line);
    wait_until(START_MAX, || yard.doorward().metrics().contains("\ndoorward_status_waiting 0\n"));
    let shown = yard.shown("7");
    for stage in STAGES {
        assert_eq!(shown["details"][stage]["attempt"], 100, "{shown}");
    }
}

/// Clients that are cut off again and again, each whenever it happens; some stay away until more has
/// happened than is kept, and one for all of the time.
#[track_caller]
fn assert_clients_end_with_the_servers_state(yard: &Yard) {
    let seed = now().as_millis();
    // Seen where it fails: by the same one they are cut off after as many events.
    eprintln!("the seed is {seed}");
    const ROUNDS: usize = 40;
    const CHANGES: usize = ROUNDS * 4 + 1;
    yard.reports("9", "graph", "pending");
    let mut away = Client::default();
    away.take(&yard.listen("9", None).next().expect("a stream begins"));
    let changes = AtomicUsize::new(0);
    let follow = &|number: u64| {
        let (mut client, mut dice) = (Client::default(), Dice(seed + number));
        while !client.knows_the_end() {
            // One that has heard all waits for what comes: there is a last word yet.
            let mut stream = yard.listen("9", client.last);
            for _ in 0..=dice.below(10) {
                if client.knows_the_end() {
                    break;
                }
                client.take(&stream.next().expect("the stream goes on"));
            }
            if number % 2 == 1 && dice.below(4) == 0 {
                let until = changes.load(Ordering::Acquire) + CHANGES_KEPT_MAX + 1;
                wait_until(START_MAX, || changes.load(Ordering::Acquire) >= until.min(CHANGES));
            }
        }
        client
    };
    let clients = thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|number| scope.spawn(move || follow(number))).collect();
        for round in 0..ROUNDS {
            for (stage, status) in STAGES[..4].iter().zip(["pending", "processing"].iter().cycle())
            {
                let body = json!({ "status": status, "completed": round, "owner": yard.ann_id });
                assert_eq!(yard.put("9", stage, &body).status, 200);
                changes.fetch_add(1, Ordering::Release);
            }
        }
        yard.reports("9", "graph", "completed");
        changes.fetch_add(1, Ordering::Release);
        clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    let state = yard.shown("9");
    clients.iter().for_each(|client| client.assert_knows(&state));
    let event = yard.listen("9", away.last).next().expect("a stream begins");
    assert_eq!(event.kind, "record");
    away.take(&event);
    away.assert_knows(&state);
}

#[test]
fn in_memory_what_is_reported_is_shown_listed_and_kept_from_strangers() {
    assert_reported_shown_and_listed(&Yard::in_memory());
}

#[test]
fn in_memory_of_100_writers_of_each_stage_nothing_is_lost() {
    assert_nothing_is_lost(&Yard::in_memory());
}

#[test]
fn in_memory_clients_that_are_cut_off_end_with_the_servers_state() {
    assert_clients_end_with_the_servers_state(&Yard::in_memory());
}

#[test]
fn a_stream_passes_the_front_door_unbuffered_and_ends_with_the_process() {
    let mut yard = Yard::in_memory();
    yard.reports("42", "graph", "pending");
    let mut stream = yard.listen("42", None);
    assert_eq!(stream.next().unwrap().kind, "record");
    for status in ["processing", "pending", "processing"] {
        let version = yard.reports("42", "graph", status);
        assert_eq!(stream.next().unwrap().id, version);
    }
    let metrics = yard.doorward().metrics();
    assert!(metrics.contains("\ndoorward_status_listeners 1\n"), "{metrics}");
    // It is not waited for until the drain timeout.
    let (status, took) = yard.scene.doorward.sigterm_and_wait();
    assert!(status.success(), "{status}");
    assert!(took.as_secs() < 20, "{took:?}");
    assert!(stream.next().is_none());
}

#[test]
fn in_redis_what_is_reported_is_shown_listed_and_kept_from_strangers() {
    assert_reported_shown_and_listed(&Yard::on(&RedisServer::start()));
}

#[test]
fn in_redis_of_100_writers_of_each_stage_nothing_is_lost() {
    assert_nothing_is_lost(&Yard::on(&RedisServer::start()));
}

#[test]
fn in_redis_clients_that_are_cut_off_end_with_the_servers_state() {
    assert_clients_end_with_the_servers_state(&Yard::on(&RedisServer::start()));
}

#[test]
fn however_many_listen_the_process_listens_to_redis_once() {
    let redis = RedisServer::start();
    let yard = Yard::on(&redis);
    let ids: Vec<_> = (1..=20).map(|id| id.to_string()).collect();
    let mut streams: Vec<_> = ids
        .iter()
        .map(|id| {
            yard.reports(id, "graph", "pending");
            let mut stream = yard.listen(id, None);
            assert_eq!(stream.next().unwrap().kind, "record");
            stream
        })
        .collect();
    for (id, stream) in ids.iter().zip(&mut streams) {
        let version = yard.reports(id, "graph", "completed");
        assert_eq!(stream.next().unwrap().id, version);
    }
    let asked = redis.command(&["PUBSUB", "NUMSUB", "doorward:status:changes"]).unwrap();
    let Reply::Array(told) = asked else { panic!("{asked:?}") };
    assert_eq!(told[1], Reply::Integer(1));
}

#[test]
fn what_is_reported_while_redis_is_away_waits_and_is_there_once_it_is_back() {
    let mut redis = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let yard = Yard::on(&redis);
    let version = yard.reports("1", "ingestion", "completed");
    let mut stream = yard.listen("1", None);
    assert_eq!(stream.next().unwrap().id, version);
    redis.stop();
    // Those that are seen to fail may take as long as a call may, the others no time at all.
    for id in 1..=50 {
        for stage in ["quality", "graph"] {
            let body = json!({ "status": "processing", "attempt": 1, "owner": yard.ann_id });
            let answer = yard.put(&id.to_string(), stage, &body);
            assert_eq!(answer.status, 202, "{answer}");
            assert_eq!(answer.json(), json!({ "resource_id": id, "degraded": true }));
        }
    }
    let late = json!({ "status": "failed", "attempt": 0, "owner": yard.ann_id });
    assert_eq!(yard.put("1", "graph", &late).status, 202);
    // What was known last, with what waits; of what was never known nothing is said, not even that.
    let known = yard.shown("1");
    assert_eq!(known["degraded"], true);
    assert_eq!(
        known["stages"],
        json!({ "ingestion": "completed", "quality": "processing", "graph": "processing" })
    );
    // Nor whether it is another's: whose it is by now nobody knows.
    for (id, who) in [("1", &yard.bob), ("2", &yard.ann), ("77", &yard.ann)] {
        let detail = "Job status is not available. Please try again later.";
        assert_problem(&yard.show(id, who), 503, "SERVICE_UNAVAILABLE", detail);
    }
    let list = yard.doorward().ask(&Request::get("/status/resources").bearer(&yard.ann));
    assert_eq!(list.status, 503, "{list}");
    let metrics = yard.doorward().metrics();
    assert!(metrics.contains("\ndoorward_status_waiting 100\n"), "{metrics}");
    assert!(metrics.contains("\ndoorward_status_store_up 0\n"), "{metrics}");

    redis.restart();
    wait_until(START_MAX, || yard.doorward().metrics().contains("\ndoorward_status_waiting 0\n"));
    for id in 1..=50 {
        let shown = yard.shown(&id.to_string());
        assert_eq!(shown.get("degraded"), None, "{shown}");
        for stage in ["quality", "graph"] {
            assert_eq!(shown["stages"][stage], "processing", "{shown}");
            assert_eq!(shown["details"][stage]["attempt"], 1, "{shown}");
        }
    }
    // Whoever listened all the while hears of it, too.
    let mut client = Client::default();
    let state = yard.shown("1");
    while client.last != state["version"].as_u64() {
        client.take(&stream.next().expect("the stream goes on"));
    }
    let metrics = yard.doorward().metrics();
    assert!(metrics.contains("\ndoorward_status_dropped_total 0\n"), "{metrics}");
}

#[test]
fn what_was_said_last_stands_though_redis_paused_while_it_was_said() {
    let mut redis = RedisServer::start();
    let yard = Yard::on(&redis);
    yard.reports("42", "graph", "pending");
    redis.pause();
    for status in ["processing", "completed"] {
        let body = json!({ "status": status, "owner": yard.ann_id });
        let answer = yard.put("42", "graph", &body);
        assert_eq!(answer.status, 202, "{answer}");
    }
    // It takes its time to find that Redis gives no answer, so that there is some between them.
    let body = json!({ "status": "pending", "owner": yard.ann_id });
    assert_eq!(yard.put("43", "graph", &body).status, 202);
    // The first of them is read by Redis only now.
    redis.resume();
    wait_until(START_MAX, || yard.doorward().metrics().contains("\ndoorward_status_waiting 0\n"));
    assert_eq!(yard.shown("42")["stages"], json!({ "graph": "completed" }));
}

#[test]
fn after_a_failover_that_lost_the_last_reports_whoever_heard_of_them_is_told_how_it_stands() {
    let mut master = RedisServer::start();
    let replica = master.start_replica();
    let link = Link::to(master.addr());
    let yard = Yard::at(&master.url_over(&link));
    let kept = yard.reports("42", "graph", "pending");
    let key = ["GET", "progress:resource:42"];
    wait_until(START_MAX, || replica.command(&key).unwrap() == master.command(&key).unwrap());
    let mut stream = yard.listen("42", None);
    assert_eq!(stream.next().unwrap().id, kept);
    // From here on nothing is copied.
    replica.promote();
    let lost = ["processing", "completed"].map(|status| yard.reports("42", "graph", status));
    assert_eq!([(); 2].map(|()| stream.next().unwrap().id), lost);
    link.lead_to(replica.addr());
    link.cut();
    master.stop();
    link.mend();
    let event = stream.next().unwrap();
    assert_eq!((event.id, event.kind.as_str()), (kept, "record"));
    assert_eq!(event.data["stages"], json!({ "graph": "pending" }));
    // Whoever comes back with what was lost has missed that.
    let event = yard.listen("42", Some(lost[1])).next().unwrap();
    assert_eq!((event.id, event.kind.as_str()), (kept, "record"));
    wait_until(START_MAX, || yard.doorward().metrics().contains("\ndoorward_status_store_up 1\n"));
    let next = yard.reports("42", "graph", "failed");
    assert!(next > lost[1]);
    let event = stream.next().unwrap();
    assert_eq!((event.id, event.kind.as_str()), (next, "change"));
    let event = yard.listen("42", Some(lost[1])).next().unwrap();
    assert_eq!((event.id, event.kind.as_str()), (next, "record"));
}

#[test]
fn more_than_may_wait_drops_the_oldest_and_says_so() {
    let mut redis = RedisServer::start();
    let more = format!(
        "[redis]\nurl = \"{}\"\ncall_timeout = \"1s\"\n[status]\nbuffer_max = 3",
        redis.url()
    );
    let yard = Yard::of(Scene::with(&more));
    redis.stop();
    for id in 1..=4 {
        let body = json!({ "status": "pending", "owner": yard.ann_id });
        assert_eq!(yard.put(&id.to_string(), "graph", &body).status, 202);
    }
    yard.doorward().wait_for_log("a report of job status was dropped");
    redis.restart();
    wait_until(START_MAX, || yard.doorward().metrics().contains("\ndoorward_status_waiting 0\n"));
    assert_eq!(
        [1, 2, 3, 4].map(|id| yard.show(&id.to_string(), &yard.ann).status),
        [404, 200, 200, 200]
    );
    assert!(yard.doorward().metrics().contains("\ndoorward_status_dropped_total 1\n"));
}

#[test]
fn in_a_fleet_that_runs_apart_what_one_admin_api_is_told_is_heard_at_the_others_gateway() {
    let (redis, database) = (RedisServer::start(), PostgresDatabase::new());
    let upstream = Upstream::start();
    let stores =
        format!("[database]\nurl = \"{}\"\n[redis]\nurl = \"{}\"", database.url(), redis.url());
    let admins = [0; 2].map(|_| apart_admin(&stores).start());
    let gateways =
        [&admins[0], &admins[1]].map(|admin| apart_gateway(admin, "", &upstream).start());
    for name in ["ann", "service"] {
        admins[0].create_user(name, "admin", PASSWORD);
    }
    admins[0].must(&["user", "set-scopes", "service", "status:write"]);
    let [ann, service] = ["ann", "service"].map(|name| gateways[0].login(name, PASSWORD).access);
    let ann_id = crate::tokens::claims_of(&ann)["user_id"].clone();
    let report = |gateway: &Doorward, status: &str| {
        let body = json!({ "status": status, "owner": ann_id });
        let answer = gateway.ask(&put("42", "graph", &body).bearer(&service));
        assert_eq!(answer.status, 200, "{answer}");
        answer.json()["version"].as_u64().unwrap()
    };
    let version = report(&gateways[0], "pending");
    let listen = Request::get("/status/resources/42/events").bearer(&ann);
    let mut stream = Stream::open(Connection::open(gateways[1].public()), &listen);
    assert_eq!(stream.next().unwrap().id, version);
    for status in ["processing", "completed"] {
        let version = report(&gateways[0], status);
        let event = stream.next().unwrap();
        assert_eq!((event.id, &event.data["stages"]), (version, &json!({ "graph": status })));
    }
}
