//! Job status in a real Redis.

use std::pin::pin;

use config::Redis;
use futures_util::FutureExt;
use kernel::secret::Secret;
use kernel::status::Owner;
use kernel::status::Standing;
use kernel::status::TTL;
use kernel::status::Update;
use kernel::status::conformance;
use test_support::redis::RedisCluster;
use test_support::redis::RedisServer;
use test_support::redis::Reply;
use test_support::wait::START_MAX;
use tokio::time::timeout;

use super::*;
use crate::listeners::Heard;
use crate::listeners::Listener;
use crate::status::Reported;
use crate::status::Statuses;

mod told;

/// A Redis of a test's own, and records in it.
struct Place {
    status: RedisStatus,
    server: RedisServer,
}

const NOW: Timestamp = Timestamp::from_millis(1_700_000_123_457);

pub(super) fn config() -> Status {
    config::parse("test", "", &|_| None).expect("an empty file").status
}

impl Place {
    async fn by(clock: Clock) -> Self {
        Self::of(clock, Arc::default()).await
    }

    async fn of(clock: Clock, plan: Arc<Plan>) -> Self {
        let server = RedisServer::start();
        let connection = connected(server.url()).await;
        let config = Status { plan, ..config() };
        let mut status = RedisStatus::new(&connection, "doorward", clock, &config);
        // Patient, so that a busy machine is no outage.
        status.guard = patient(connection);
        Self { status, server }
    }

    fn ask(&self, words: &[&str]) -> Reply {
        self.server.command(words).expect("Redis answers")
    }

    fn text(&self, words: &[&str]) -> String {
        match self.ask(words) {
            Reply::Bulk(Some(text)) => text,
            other => panic!("{words:?}: {other:?}"),
        }
    }
}

pub(super) async fn connected(url: String) -> Connection {
    let redis = Redis { call_timeout: Duration::from_secs(5), ..Redis::at(Secret::new(url)) };
    let connection = Connection::open(&redis, None).expect("a URL");
    connection.connected().await.expect("Redis is there");
    connection
}

fn patient(connection: Connection) -> Arc<Guard> {
    Arc::new(Guard::new(connection, "the store of job status", "reports wait"))
}

impl StatusStore for Place {
    async fn put(&self, report: &Report, now: Timestamp) -> Result<Taken, NotTaken> {
        self.status.put(report, now).await
    }

    async fn get(&self, id: &ResourceId, now: Timestamp) -> Result<Option<Record>, StoreLost> {
        self.status.get(id, now).await
    }

    async fn list(
        &self,
        owner: &str,
        after: Option<&Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, StoreLost> {
        self.status.list(owner, after, limit, now).await
    }

    async fn since(
        &self,
        id: &ResourceId,
        version: u64,
        now: Timestamp,
    ) -> Result<Since, StoreLost> {
        self.status.since(id, version, now).await
    }
}

kernel::status_conformance!(Place::by(Clock::OfTheCaller).await);

pub(super) fn report(id: u64, stage: &str, status: &str) -> Report {
    let status = Plan::default().status(status).expect("a status");
    let update = Update::new(stage, status);
    let owner = Owner { id: "ada".into(), is_named: true };
    Report { id: ResourceId::Number(id), update, owner, waited: Duration::ZERO }
}

#[tokio::test]
async fn a_report_is_one_script_and_one_for_its_owners_list_and_a_question_is_one_command() {
    let place = Place::by(Clock::OfTheServer).await;
    // Once Redis knows the scripts.
    place.status.put(&report(42, "graph", "pending"), NOW).await.expect("it is taken");
    place.ask(&["CONFIG", "RESETSTAT"]);
    place.status.put(&report(42, "graph", "completed"), NOW).await.expect("it is taken");
    assert_eq!((place.server.calls("evalsha"), place.server.calls("eval")), (2, 0));
    place.status.get(&ResourceId::Number(42), NOW).await.expect("it is read");
    assert_eq!((place.server.calls("evalsha"), place.server.calls("mget")), (2, 1));
}

#[tokio::test]
async fn the_record_stands_as_the_replaced_service_reads_it() {
    let place = Place::by(Clock::OfTheCaller).await;
    let mut failed = report(9_223_372_036_854_775_807, "graph", "failed");
    failed.update.error_message = Some("no \"text\"".into());
    place.put(&failed, NOW).await.expect("it is taken");
    let text = place.text(&["GET", "progress:resource:9223372036854775807"]);
    assert_eq!(
        text,
        "{\"resource_id\":9223372036854775807,\"overall_status\":\"failed\",\
         \"stages\":{\"graph\":\"failed\"},\"error_message\":\"no \\\"text\\\"\",\
         \"updated_at\":\"2023-11-14T22:15:23.457+00:00\"}"
    );
}

#[tokio::test]
async fn moments_are_written_as_the_calendar_has_them() {
    let place = Place::by(Clock::OfTheCaller).await;
    for (ms, written) in [
        (951_782_399_999_u64, "2000-02-28T23:59:59.999+00:00"),
        (951_782_400_000, "2000-02-29T00:00:00.000+00:00"),
        (1_709_164_800_000, "2024-02-29T00:00:00.000+00:00"),
        (1_735_689_599_001, "2024-12-31T23:59:59.001+00:00"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000+00:00"),
    ] {
        let now = Timestamp::from_millis(ms);
        place.put(&report(ms, "graph", "pending"), now).await.expect("it is taken");
        let text = place.text(&["GET", &format!("progress:resource:{ms}")]);
        assert!(text.contains(&format!("\"updated_at\":\"{written}\"")), "{text}");
    }
}

#[tokio::test]
async fn every_key_ends_by_itself_and_each_report_puts_that_off() {
    let place = Place::by(Clock::OfTheServer).await;
    for status in ["pending", "pending", "processing"] {
        place.ask(&[
            "EVAL",
            "for _, k in ipairs(redis.call('KEYS', '*')) do redis.call('EXPIRE', k, 100) end",
            "0",
        ]);
        place.put(&report(42, "graph", status), NOW).await.expect("it is taken");
        let Reply::Array(keys) = place.ask(&["KEYS", "*"]) else { panic!("no keys") };
        assert_eq!(keys.len(), 4, "{keys:?}");
        for key in keys {
            let Reply::Bulk(Some(key)) = key else { panic!("{key:?}") };
            let Reply::Integer(left_ms) = place.ask(&["PTTL", &key]) else { panic!("{key}") };
            assert!(left_ms > TTL.as_millis() as i64 - 60_000, "{key}: {left_ms}");
        }
    }
    let kept = place.ask(&["XLEN", "doorward:status:{progress:resource:42}:events"]);
    assert_eq!(kept, Reply::Integer(2));
}

#[tokio::test]
async fn what_python_writes_between_is_seen_and_loses_nothing_of_ours() {
    let place = Place::by(Clock::OfTheCaller).await;
    let mut ours = report(42, "graph", "processing");
    ours.update.attempt = Some(3);
    let version = place.put(&ours, NOW).await.expect("it is taken").record.version;
    // As the old service writes: it has read the record before our stage was in it.
    let theirs = "{\"resource_id\": 42, \"overall_status\": \"processing\", \"stages\": \
                  {\"ingestion\": \"completed\"}, \"error_message\": null, \
                  \"updated_at\": \"2023-11-14T22:15:24.000000+00:00\"}";
    place.ask(&["SET", "progress:resource:42", theirs, "EX", "86400"]);
    let seen = place.get(&ResourceId::Number(42), NOW).await.expect("answers").expect("is there");
    assert_eq!((seen.version, seen.is_of("ada")), (version, true));
    assert_eq!(seen.stage("ingestion").map(|state| &*state.status.name), Some("completed"));
    assert_eq!(seen.stage("graph").and_then(|state| state.attempt), Some(3));
    let taken = place.put(&report(42, "quality", "completed"), NOW).await.expect("it is taken");
    assert_eq!((taken.record.version, taken.record.stages.len()), (version + 1, 3));
    let text = place.text(&["GET", "progress:resource:42"]);
    for stage in ["\"ingestion\":\"completed\"", "\"graph\":\"processing\""] {
        assert!(text.contains(stage), "{text}");
    }
    // What Python deletes is gone.
    place.ask(&["DEL", "progress:resource:42"]);
    assert_eq!(place.get(&ResourceId::Number(42), NOW).await.expect("answers"), None);
    let taken = place.put(&report(42, "quality", "pending"), NOW).await.expect("it is taken");
    assert_eq!(taken.record.stages.len(), 1);
}

#[tokio::test]
async fn a_key_that_is_somebody_elses_is_an_error_for_one_resource_and_no_outage() {
    let place = Place::by(Clock::OfTheServer).await;
    place.ask(&["LPUSH", "progress:resource:1", "junk"]);
    place.ask(&["SET", "progress:resource:2", "junk"]);
    for id in [1, 2].map(ResourceId::Number) {
        for _ in 0..4 {
            let report = Report { id: id.clone(), ..report(0, "graph", "pending") };
            let lost = place.put(&report, NOW).await;
            assert!(matches!(lost, Err(NotTaken::Lost(StoreLost::Answer(_)))), "{lost:?}");
            if id == ResourceId::Number(2) {
                let lost = place.get(&id, NOW).await;
                assert!(matches!(lost, Err(StoreLost::Answer(_))), "{lost:?}");
            }
        }
    }
    assert!(!place.status.rests());
    assert!(place.put(&report(3, "graph", "pending"), NOW).await.is_ok());
}

#[tokio::test]
async fn a_list_that_is_stale_is_put_right_when_it_is_read() {
    let place = Place::by(Clock::OfTheServer).await;
    for id in 1..=3 {
        place.put(&report(id, "graph", "pending"), NOW).await.expect("it is taken");
    }
    place.ask(&["DEL", "progress:resource:2"]);
    let page = place.list("ada", None, 10, NOW).await.expect("answers");
    assert_eq!(page.records.len(), 2);
    let listed = place.ask(&["ZCARD", "doorward:status:{owner:ada}"]);
    assert_eq!(listed, Reply::Integer(2));
}

#[tokio::test]
async fn what_python_says_went_wrong_is_kept_when_another_stage_is_reported() {
    let place = Place::by(Clock::OfTheCaller).await;
    let theirs = "{\"resource_id\": 42, \"overall_status\": \"failed\", \"stages\": {\"graph\": \"failed\"}, \
                  \"error_message\": \"no nodes\", \"updated_at\": \"2023-11-14T22:15:24+00:00\"}";
    place.ask(&["SET", "progress:resource:42", theirs]);
    let seen = place.get(&ResourceId::Number(42), NOW).await.expect("answers").expect("is there");
    assert_eq!(seen.whole(&Plan::default()).error_message.as_deref(), Some("no nodes"));
    let taken = place.put(&report(42, "quality", "completed"), NOW).await.expect("it is taken");
    assert_eq!(taken.record.whole(&Plan::default()).error_message.as_deref(), Some("no nodes"));
    assert!(
        place.text(&["GET", "progress:resource:42"]).contains("\"error_message\":\"no nodes\"")
    );
}

#[tokio::test]
async fn a_cluster_finds_all_that_is_known_of_a_resource_in_one_slot() {
    let cluster = RedisCluster::start();
    let connection = connected(cluster.url()).await;
    let mut status = RedisStatus::new(&connection, "doorward", Clock::OfTheServer, &config());
    status.guard = patient(connection);
    // Some for each of its masters, and names that a cluster might read as hash tags.
    let names = (0..20).map(|number| number.to_string());
    let names = names.chain(["{a}", "{}", "a{b}c", "}{"].map(str::to_owned));
    let ids: Vec<_> = names.map(|name| ResourceId::parse(&name).expect("a name")).collect();
    for id in &ids {
        let report = Report { id: id.clone(), ..report(0, "graph", "pending") };
        let first = status.put(&report, NOW).await.expect("it is taken").record.version;
        let mut next = report.clone();
        next.update.completed = Some(1);
        let taken = status.put(&next, NOW).await.expect("it is taken");
        assert_eq!(status.get(id, NOW).await.expect("answers"), Some(taken.record));
        let since = status.since(id, first, NOW).await.expect("answers");
        assert!(matches!(since, Since::Changes(changes) if changes.len() == 1));
    }
    let page = status.list("ada", None, 200, NOW).await.expect("answers");
    assert_eq!(page.records.len(), ids.len());
}

#[tokio::test]
async fn configured_stages_and_statuses_are_taken_in_as_a_record_takes_them() {
    let further = [("skipped", Standing::Completed), ("paused", Standing::Pending)];
    let plan = Arc::new(Plan::new(["fetch", "parse", "index"], further));
    let place = Place::of(Clock::OfTheCaller, Arc::clone(&plan)).await;
    conformance::agrees_with_a_record_by(&plan, &place).await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_left_out_of_its_owners_list_and_stays_in_it() {
    let place = Place::by(Clock::OfTheServer).await;
    for id in 1..=3 {
        place.put(&report(id, "graph", "pending"), NOW).await.expect("it is taken");
    }
    place.ask(&["SET", "progress:resource:2", "junk"]);
    let page = place.list("ada", None, 10, NOW).await.expect("answers");
    let mut names: Vec<_> = page.records.iter().map(|record| record.id.to_string()).collect();
    names.sort();
    assert_eq!(names, ["1", "3"]);
    assert_eq!(place.ask(&["ZCARD", "doorward:status:{owner:ada}"]), Reply::Integer(3));
    assert!(!place.status.rests());
}

#[tokio::test]
async fn a_status_that_is_no_text_is_not_taken_in() {
    let place = Place::by(Clock::OfTheCaller).await;
    let theirs = "{\"resource_id\": 42, \"stages\": {\"graph\": null, \"quality\": 7, \
                  \"taxonomy\": {}, \"ingestion\": \"completed\"}, \"updated_at\": \"\"}";
    place.ask(&["SET", "progress:resource:42", theirs]);
    place.put(&report(42, "embedding", "pending"), NOW).await.expect("it is taken");
    let seen = place.get(&ResourceId::Number(42), NOW).await.expect("answers").expect("is there");
    let names: Vec<_> = seen.stages.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["ingestion", "embedding"]);
}

/// A record as the replaced service writes it.
fn theirs(stages: &str, updated_at: &str) -> String {
    format!(
        "{{\"resource_id\": 42, \"overall_status\": \"processing\", \"stages\": {{{stages}}}, \
         \"error_message\": null, \"updated_at\": \"{updated_at}\"}}"
    )
}

#[tokio::test]
async fn owner_and_attempts_stay_while_python_alone_goes_on_writing() {
    let place = Place::by(Clock::OfTheCaller).await;
    let mut ours = report(42, "graph", "processing");
    ours.update.attempt = Some(3);
    place.put(&ours, NOW).await.expect("it is taken");
    let state = "doorward:status:{progress:resource:42}";
    let Reply::Integer(left_ms) = place.ask(&["PTTL", state]) else { panic!("no time") };
    let kept_ms = 7 * TTL.as_millis() as i64;
    assert!((kept_ms - 60_000..=kept_ms).contains(&left_ms), "{left_ms}");
    // Two days later, after the last of many writes.
    let both = "\"graph\": \"processing\", \"quality\": \"completed\"";
    place.ask(&["SET", "progress:resource:42", &theirs(both, "2023-11-16T22:15:23.457+00:00")]);
    let now = NOW.plus(2 * TTL);
    let seen = place.get(&ResourceId::Number(42), now).await.expect("answers").expect("is there");
    assert!(seen.is_of("ada"));
    assert_eq!(seen.stage("graph").and_then(|state| state.attempt), Some(3));
    let taken = place.put(&report(42, "embedding", "pending"), now).await.expect("it is taken");
    assert_eq!(taken.record.stages.len(), 3);
    assert_eq!(taken.record.stage("graph").and_then(|state| state.attempt), Some(3));
}

#[tokio::test]
async fn what_python_begins_anew_when_ours_is_over_has_nothing_of_before() {
    let place = Place::by(Clock::OfTheCaller).await;
    place.put(&report(42, "graph", "completed"), NOW).await.expect("it is taken");
    let one = "\"ingestion\": \"processing\"";
    place.ask(&["SET", "progress:resource:42", &theirs(one, "2023-11-16T22:15:23.457+00:00")]);
    let now = NOW.plus(2 * TTL);
    let seen = place.get(&ResourceId::Number(42), now).await.expect("answers").expect("is there");
    assert_eq!((seen.version, &seen.owner, seen.stages.len()), (0, &None, 1));
    let mut next = report(42, "quality", "pending");
    next.owner.id = "bob".into();
    let taken = place.put(&next, now).await.expect("it is taken");
    assert_eq!((taken.record.is_of("bob"), taken.record.stages.len()), (true, 2));
    let since = place.since(&ResourceId::Number(42), NOW.as_millis(), now).await;
    assert_eq!(since.expect("answers"), Since::Missed);
}

#[tokio::test]
async fn what_waited_is_held_against_when_python_wrote() {
    let place = Place::by(Clock::OfTheCaller).await;
    let waited = Duration::from_secs(60);
    // Ours was said at 22:14:23.457; theirs a second before that, and one after it.
    for (offset, effect) in [
        ("2023-11-14T22:14:22.457000+00:00", Effect::Applied),
        ("2023-11-14T22:14:24.457", Effect::Outdated),
        ("2023-11-14T23:14:22.457+01:00", Effect::Applied),
        ("2023-11-14T21:44:24.457999-00:30", Effect::Outdated),
        ("2023-11-14T22:14:22Z", Effect::Applied),
        ("2024-02-29T00:00:00Z", Effect::Outdated),
        ("", Effect::Outdated),
        ("yesterday", Effect::Outdated),
        ("2023-11-14T22:14:22.457 or so", Effect::Outdated),
        ("1960-01-01T00:00:00Z", Effect::Outdated),
    ] {
        place.ask(&["DEL", Place::KEYS[0], Place::KEYS[1]]);
        place.ask(&["SET", "progress:resource:42", &theirs("\"graph\": \"completed\"", offset)]);
        let late = Report { waited, ..report(42, "graph", "processing") };
        let read = place.text(&["GET", "progress:resource:42"]);
        let mut read = place.status.record(&late.id, read.as_bytes(), None, NOW).expect("a record");
        // As it is said while it waits.
        let said = read.take(&late, &Plan::default(), NOW);
        assert_eq!(said.expect("no other owner").0, effect, "{offset}");
        let taken = place.put(&late, NOW).await.expect("it is taken");
        assert_eq!(taken.effect, effect, "{offset}");
        let state = |record: &Record| record.stage("graph").cloned();
        assert_eq!(state(&taken.record), state(&read), "{offset}");
    }
}

/// What is known of resource 42, as it stands in Redis, put aside and set back.
impl Place {
    const KEYS: [&str; 3] = [
        "progress:resource:42",
        "doorward:status:{progress:resource:42}",
        "doorward:status:{progress:resource:42}:events",
    ];

    /// Its version after a report.
    async fn version(&self, status: &str, at_ms: u64) -> u64 {
        let now = NOW.plus(Duration::from_millis(at_ms));
        let taken = self.put(&report(42, "graph", status), now).await;
        taken.expect("it is taken").record.version
    }

    fn put_aside(&self, keys: &[&str]) {
        for key in keys {
            assert_eq!(self.ask(&["COPY", key, &format!("aside:{key}")]), Reply::Integer(1));
        }
    }

    fn set_back(&self, keys: &[&str]) {
        for key in keys {
            let aside = format!("aside:{key}");
            assert_eq!(self.ask(&["COPY", &aside, key, "REPLACE"]), Reply::Integer(1));
        }
    }
}

#[tokio::test]
async fn whoever_knows_what_a_failover_has_lost_is_told_how_it_stands() {
    let place = Place::by(Clock::OfTheCaller).await;
    let id = ResourceId::Number(42);
    let kept = place.version("pending", 0).await;
    place.put_aside(&Place::KEYS);
    let lost = place.version("processing", 1000).await;
    place.set_back(&Place::KEYS);
    assert_eq!(place.since(&id, lost, NOW).await.expect("answers"), Since::Missed);
    let next = place.version("completed", 2000).await;
    assert_eq!(place.since(&id, lost, NOW).await.expect("answers"), Since::Missed);
    let since = place.since(&id, kept, NOW).await.expect("answers");
    let Since::Changes(changes) = since else { panic!("it is missed") };
    assert_eq!(changes.iter().map(|change| change.version).collect::<Vec<_>>(), [next]);
}

#[tokio::test]
async fn changes_that_stand_there_of_a_record_that_was_set_back_are_told_to_nobody() {
    let place = Place::by(Clock::OfTheCaller).await;
    let id = ResourceId::Number(42);
    let kept = place.version("pending", 0).await;
    place.put_aside(&Place::KEYS[..2]);
    let lost = place.version("processing", 1000).await;
    place.set_back(&Place::KEYS[..2]);
    let next = place.version("completed", 2000).await;
    for before in [kept, lost] {
        assert_eq!(place.since(&id, before, NOW).await.expect("answers"), Since::Missed);
    }
    assert_eq!(place.since(&id, next, NOW).await.expect("answers"), Since::Changes(Vec::new()));
    // Where the clock was set back as well, there is no room for the next change after them.
    place.set_back(&Place::KEYS[..2]);
    let next = place.version("failed", 500).await;
    assert!(next < lost);
    let since = place.since(&id, kept, NOW).await.expect("answers");
    let Since::Changes(changes) = since else { panic!("it is missed") };
    assert_eq!(changes.iter().map(|change| change.version).collect::<Vec<_>>(), [next]);
}

#[tokio::test]
async fn what_is_reported_on_anew_while_a_list_is_read_stays_in_it() {
    let place = Place::by(Clock::OfTheCaller).await;
    let id = ResourceId::Number(42);
    place.put(&report(42, "graph", "pending"), NOW).await.expect("it is taken");
    place.ask(&["DEL", "progress:resource:42"]);
    // It was found to be gone; and is there again before that is written down.
    let now = NOW.plus(Duration::from_millis(1));
    place.put(&report(42, "graph", "pending"), now).await.expect("it is taken");
    place.status.take_out_of_list("ada", &[&(id.clone(), NOW)]).await;
    assert_eq!(place.list("ada", None, 10, now).await.expect("answers").records.len(), 1);
    place.status.take_out_of_list("ada", &[&(id, now)]).await;
    assert_eq!(place.ask(&["ZCARD", "doorward:status:{owner:ada}"]), Reply::Integer(0));
}

#[tokio::test]
async fn what_is_reported_is_in_its_owners_list_though_whoever_reported_is_gone() {
    let mut place = Place::by(Clock::OfTheServer).await;
    place.server.pause();
    {
        let report = report(42, "graph", "pending");
        let mut put = pin!(place.put(&report, NOW));
        assert!(put.as_mut().now_or_never().is_none());
    }
    place.server.resume();
    let listed = async {
        while place.list("ada", None, 10, NOW).await.expect("answers").records.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(START_MAX, listed).await.expect("it is listed");
}
