//! Job status in a real Redis.

use config::Redis;
use kernel::secret::Secret;
use kernel::status::Owner;
use kernel::status::TTL;
use kernel::status::Update;
use test_support::redis::RedisCluster;
use test_support::redis::RedisServer;
use test_support::redis::Reply;

use super::*;

/// A Redis of a test's own, and records in it.
struct Place {
    status: RedisStatus,
    server: RedisServer,
}

const NOW: Timestamp = Timestamp::from_millis(1_700_000_123_457);

fn config() -> Status {
    config::parse("test", "", &|_| None).expect("an empty file").status
}

impl Place {
    async fn by(clock: Clock) -> Self {
        let server = RedisServer::start();
        let redis =
            Redis { call_timeout: Duration::from_secs(5), ..Redis::at(Secret::new(server.url())) };
        let connection = Connection::open(&redis, None).expect("a URL");
        connection.connected().await.expect("Redis is there");
        let mut status = RedisStatus::new(&connection, "doorward", clock, &config());
        // Patient, so that a busy machine is no outage.
        status.guard = Guard::new(connection, "the store of job status", "reports wait");
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

fn report(id: u64, stage: &str, status: &str) -> Report {
    let status = Plan::default().status(status).expect("a status");
    let update = Update::new(stage, status);
    let owner = Owner { id: "ada".into(), is_named: true };
    Report { id: ResourceId::Number(id), update, owner }
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
            let Report { update, owner, .. } = report(0, "graph", "pending");
            let report = Report { id: id.clone(), update, owner };
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
    let redis =
        Redis { call_timeout: Duration::from_secs(5), ..Redis::at(Secret::new(cluster.url())) };
    let connection = Connection::open(&redis, None).expect("a URL");
    connection.connected().await.expect("Redis is there");
    let mut status = RedisStatus::new(&connection, "doorward", Clock::OfTheServer, &config());
    status.guard = Guard::new(connection, "the store of job status", "reports wait");
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

/// What docs/status.md says that a user of an access control list needs.
const RULES: &str = "~progress:resource:* ~doorward:status:* &doorward:status:changes +eval +evalsha +get \
                     +set +del +mget +time +xadd +xrange +pexpire +zadd +zrem +zremrangebyrank \
                     +zremrangebyscore +zrevrangebyscore +subscribe +publish";

#[tokio::test]
async fn a_user_who_may_do_what_the_document_says_and_no_more_is_served() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/status.md");
    let document = std::fs::read_to_string(document).expect("it is there");
    let words: Vec<_> = document.split_whitespace().map(|word| word.trim_matches('`')).collect();
    for rule in RULES.replace("doorward", "NAMESPACE").split(' ') {
        assert!(words.contains(&rule), "{rule} is not in docs/status.md");
    }
    // What any client needs to connect.
    let rules = format!("{RULES} +ping +client +info +hello +cluster +auth +select");
    let server = RedisServer::setup().user("doorward", "secret", &rules).start();
    let redis =
        Redis { call_timeout: Duration::from_secs(5), ..Redis::at(Secret::new(server.url())) };
    let connection = Connection::open(&redis, None).expect("a URL");
    connection.connected().await.expect("Redis is there");
    let statuses = Arc::new(crate::status::Statuses::in_redis(&connection, "doorward", &config()));
    let keeper = Arc::clone(&statuses);
    tokio::spawn(async move { keeper.keep(|| NOW).await });
    let mut listener = statuses.listeners().listen(&ResourceId::Number(42)).expect("room");
    // What is told before we are heard is looked up; either way it is heard.
    let mut told = 0;
    loop {
        let mut report = report(42, "graph", "processing");
        told += 1;
        report.update.completed = Some(told);
        let put = statuses.put(&report, NOW).await.expect("it is taken");
        assert!(matches!(put, crate::status::Reported::Taken(_)), "{put:?}");
        let heard = tokio::time::timeout(Duration::from_millis(100), listener.next()).await;
        if heard.is_ok() {
            break;
        }
    }
    let id = ResourceId::Number(42);
    assert!(statuses.get(&id, NOW).await.expect("answers").is_some());
    assert!(statuses.since(&id, 1, NOW).await.is_ok());
    assert_eq!(statuses.list("ada", None, 10, NOW).await.expect("answers").records.len(), 1);
    server.command(&["DEL", "progress:resource:42"]).expect("Redis answers");
    assert!(statuses.list("ada", None, 10, NOW).await.expect("answers").records.is_empty());
}
