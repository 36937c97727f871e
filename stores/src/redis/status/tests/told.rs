//! What is told at once is heard by whoever listens in a process.

use super::*;

/// Job status as the admin API is given it, kept by a task; and somebody who listens to resource 42, on
/// which it is reported.
struct Told {
    statuses: Arc<Statuses>,
    listener: Listener,
    said: u64,
}

impl Told {
    async fn on(server: &RedisServer) -> Self {
        let connection = connected(server.url()).await;
        let statuses = Arc::new(Statuses::in_redis(&connection, "doorward", &config()));
        let keeper = Arc::clone(&statuses);
        tokio::spawn(async move { tokio::join!(keeper.keep(|| NOW), keeper.hear(|| NOW)) });
        let listener = statuses.listeners().listen(&ResourceId::Number(42), "ada").expect("room");
        let mut told = Self { statuses, listener, said: 0 };
        let version = told.reports().await;
        told.listener.is_at(version);
        is_subscribed(server).await;
        told
    }

    async fn reports(&mut self) -> u64 {
        let mut report = report(42, "graph", "processing");
        self.said += 1;
        report.update.completed = Some(self.said);
        match self.statuses.put(&report, NOW).await.expect("it is taken") {
            Reported::Taken(taken) => taken.record.version,
            // A busy machine is late.
            Reported::Waits => self.version_once_sent().await,
        }
    }

    async fn version_once_sent(&self) -> u64 {
        let sent = async {
            loop {
                let seen = self.statuses.get(&ResourceId::Number(42), NOW).await;
                match seen {
                    Ok(Some(seen)) if !seen.is_degraded() => return seen.record.version,
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        timeout(START_MAX, sent).await.expect("it is sent")
    }

    /// The version that is heard next.
    async fn hears(&mut self) -> u64 {
        heard(&mut self.listener).await
    }
}

async fn heard(listener: &mut Listener) -> u64 {
    match timeout(START_MAX, listener.next()).await.expect("it is heard") {
        Heard::Change(change) => change.version,
        Heard::Record(record) => record.version,
        Heard::Missed => panic!("it is missed"),
    }
}

/// Waits until somebody hears what is told at once.
async fn is_subscribed(server: &RedisServer) {
    let numbers = || {
        let asked = server.command(&["PUBSUB", "NUMSUB", "doorward:status:changes"]);
        matches!(asked.expect("Redis answers"), Reply::Array(told) if told[1] != Reply::Integer(0))
    };
    let subscribed = async {
        while !numbers() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(START_MAX, subscribed).await.expect("somebody hears");
}

/// Has nobody hear what is told at once, until it is allowed again.
fn deafen(server: &RedisServer) {
    server.command(&["ACL", "SETUSER", "doorward", "-subscribe"]).expect("Redis answers");
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).expect("Redis answers");
}

fn hearing(server: &RedisServer) {
    server.command(&["ACL", "SETUSER", "doorward", "+subscribe"]).expect("Redis answers");
}

#[tokio::test]
async fn the_last_change_before_the_messages_stopped_is_heard_though_another_listener_has_read_it()
{
    let server = RedisServer::setup().user("doorward", "secret", "~* &* +@all").start();
    let mut told = Told::on(&server).await;
    let version = told.reports().await;
    assert_eq!(told.hears().await, version);
    deafen(&server);
    let version = told.reports().await;
    let id = ResourceId::Number(42);
    let mut second = told.statuses.listeners().listen(&id, "ada").expect("room");
    let read = told.statuses.get(&id, NOW).await.expect("answers").expect("is there");
    assert_eq!(read.record.version, version);
    second.is_at(version);
    hearing(&server);
    assert_eq!(told.hears().await, version);
    let version = told.reports().await;
    assert_eq!((told.hears().await, heard(&mut second).await), (version, version));
}

#[tokio::test]
async fn whoever_heard_what_a_failover_has_lost_hears_how_it_stands() {
    let server = RedisServer::setup().user("doorward", "secret", "~* &* +@all").start();
    let mut told = Told::on(&server).await;
    let kept = told.reports().await;
    assert_eq!(told.hears().await, kept);
    let connection = connected(server.url()).await;
    let status = RedisStatus::new(&connection, "doorward", Clock::OfTheServer, &config());
    let place = Place { status, server };
    place.put_aside(&Place::KEYS);
    let lost = told.reports().await;
    assert_eq!(told.hears().await, lost);
    deafen(&place.server);
    place.set_back(&Place::KEYS);
    hearing(&place.server);
    assert_eq!(told.hears().await, kept);
    let next = told.reports().await;
    assert_eq!(told.hears().await, next);
}

/// What docs/status.md says that a user of an access control list needs.
const RULES: &str = "~progress:resource:* ~doorward:status:* &doorward:status:changes +eval +evalsha +get \
                     +set +del +mget +time +xadd +xrange +pexpire +zadd +zrem +zremrangebyrank \
                     +zremrangebyscore +zrevrangebyscore +zscore +subscribe +publish";

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
    let mut told = Told::on(&server).await;
    // What was told before we are heard is looked up, a few times at most; then all is told at once.
    for _ in 0..10 {
        let version = told.reports().await;
        assert_eq!(told.hears().await, version);
    }
    let (statuses, id) = (told.statuses, ResourceId::Number(42));
    assert!(statuses.get(&id, NOW).await.expect("answers").is_some());
    assert!(statuses.since(&id, 1, NOW).await.is_ok());
    assert_eq!(statuses.list("ada", None, 10, NOW).await.expect("answers").records.len(), 1);
    server.command(&["DEL", "progress:resource:42"]).expect("Redis answers");
    assert!(statuses.list("ada", None, 10, NOW).await.expect("answers").records.is_empty());
    let listed = server.command(&["ZCARD", "doorward:status:{owner:ada}"]);
    assert_eq!(listed.expect("Redis answers"), Reply::Integer(0));
    // Nobody was refused anything.
    assert_eq!(server.command(&["ACL", "LOG"]).expect("Redis answers"), Reply::Array(vec![]));
}
