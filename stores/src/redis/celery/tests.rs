//! The lookout against a real Redis, with workers that speak Celery's protocol. Those of Celery itself
//! stand in the tests of the whole product.

use std::future::poll_fn;
use std::future::ready;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use config::Celery;
use kernel::celery::CONTROL_BYTES_MAX;
use kernel::celery::Names;
use kernel::celery::event::Kind;
use kernel::celery::event::WorkerEvent;
use kernel::celery::names::Binding;
use kernel::celery::names::REPLIES;
use kernel::celery::pidbox::Request;
use kernel::secret::Secret;
use kernel::time::Timestamp;
use kernel::time::uptime;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use test_support::authority::Authority;
use test_support::redis::RedisServer;
use test_support::redis::RedisSetup;
use test_support::redis::Reply;
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

use super::*;
use crate::redis::connection::Connection;
use crate::redis::connection::Lost;

/// How long it may take, on a busy machine, until what is waited for is so.
pub(super) const SEEN_WITHIN: Duration = Duration::from_secs(60);

/// Waits until it `holds`, and lets the others work meanwhile.
pub(super) async fn until(mut holds: impl FnMut() -> bool) {
    let so = poll_fn(|context| match holds() {
        true => Poll::Ready(()),
        false => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    });
    timeout(SEEN_WITHIN, so).await.expect("it comes to be so");
}

fn celery(url: &str) -> Celery {
    Celery {
        broker_url: Secret::new(url.to_owned()),
        result_backend: None,
        database: 0,
        ca: None,
        queues: vec!["celery".to_owned(), "mail".to_owned()],
        global_keyprefix: String::new(),
        fanout_prefix: "/{db}.".to_owned(),
    }
}

#[test]
fn workers_are_asked_every_ten_seconds_and_have_two_to_answer() {
    // As docs/workers.md promises; and Celery's own heartbeat is every two.
    assert_eq!(LOOK_EVERY, Duration::from_secs(10));
    assert_eq!(PONG_WITHIN, Duration::from_secs(2));
    assert_eq!(kernel::celery::event::FREQ, Duration::from_secs(2));
}

/// Something that listens as a worker does.
struct Listening {
    _connection: Connection,
    published: Receiver<fred::types::Message>,
    names: Names,
}

impl Listening {
    async fn at(celery: &Celery) -> Self {
        let broker = celery.broker(PONG_WITHIN);
        let connection = Connection::open_to_listen(&broker, None, 64).expect("a URL");
        connection.connected().await.expect("Redis is there");
        let published = connection.published();
        let names = celery.names();
        connection.listen(&names.pidbox()).await.expect("it listens");
        Self { _connection: connection, published, names }
    }

    /// Waits for a ping, and answers it as all of `workers`.
    async fn answers(mut self, redis: &Celery, workers: &[&str]) {
        let broker = Connection::open(&redis.broker(PONG_WITHIN), None).expect("a URL");
        broker.connected().await.expect("Redis is there");
        let message = self.published.recv().await.expect("somebody asks");
        let request =
            Request::read(message.value.as_bytes().unwrap_or_default()).expect("a request");
        let to = request.reply_to.expect("somebody waits");
        // As kombu routes: by the bindings of the exchange.
        let bindings = self.names.bindings(REPLIES);
        let members: Vec<String> =
            broker.ask("SMEMBERS", &bindings, vec![bindings.as_str().into()]).await.expect("a set");
        let members: Vec<_> = members.iter().filter_map(|member| Binding::read(member)).collect();
        assert_eq!(members, [Binding::of_replies(&to.routing_key)]);
        let list = self.names.queue(&members[0].queue, 0);
        for &worker in workers {
            // One to an earlier question, too: it says nothing.
            for (name, ticket) in
                [("late@a", Some("another".to_owned())), (worker, request.ticket.clone())]
            {
                let pong = kernel::celery::pidbox::Reply::pong(name, ticket, 1);
                let words = vec![list.as_str().into(), pong.write(&to, "tag").into()];
                let _: i64 = broker.ask("LPUSH", &list, words).await.expect("it is taken");
            }
        }
        // As if it went.
        let words = vec!["KILL".into(), "TYPE".into(), "pubsub".into()];
        let _: i64 = broker.ask("CLIENT", "", words).await.expect("it is done");
    }
}

fn keys(redis: &RedisServer) -> Reply {
    redis.command(&["KEYS", "*"]).expect("it answers")
}

async fn watching(celery: &Celery) -> CeleryWatch {
    let watch = CeleryWatch::open(celery, None).expect("a URL");
    watch.connected().await;
    watch
}

/// One look at a broker that answers: the next is ten seconds later.
async fn look(watch: &CeleryWatch) -> Arc<Workers> {
    assert_eq!(watch.round().await, Duration::from_secs(10));
    let workers = watch.latest().expect("it was looked just now");
    assert!(workers.lost.is_none(), "{:?}", workers.lost);
    workers
}

/// One look at a broker that gives no answer, which is asked again a second later; why not.
async fn look_in_vain(watch: &CeleryWatch) -> Arc<Lost> {
    assert_eq!(watch.round().await, Duration::from_secs(1));
    let workers = watch.latest().expect("it was looked just now");
    workers.lost.clone().expect("it is away")
}

fn beat() -> WorkerEvent {
    WorkerEvent {
        kind: Kind::Heartbeat,
        hostname: "w1@a".to_owned(),
        pid: 7,
        clock: 1,
        freq: Duration::from_secs(2),
        active: 2,
        processed: 3,
        load: [0.5; 3],
        software: "py-celery".to_owned(),
        version: "5.7.0".to_owned(),
        at: Timestamp::default(),
    }
}

fn verdicts(workers: &Workers) -> Vec<(&str, Verdict)> {
    workers.workers.iter().map(|worker| (worker.name.as_str(), worker.verdict)).collect()
}

#[tokio::test]
async fn whoever_answers_is_alive_and_nothing_stays_behind_in_redis() {
    let redis = RedisServer::start();
    let celery = celery(&redis.url());
    let watch = watching(&celery).await;
    let worker = Listening::at(&celery).await;
    let (_, workers) = tokio::join!(worker.answers(&celery, &["w1@a"]), look(&watch));
    assert_eq!(verdicts(&workers), [("w1@a", Verdict::Alive)]);
    assert_eq!(workers.connected, 1);
    assert_eq!(keys(&redis), Reply::Array(Vec::new()), "all is cleared away");
}

#[tokio::test]
async fn without_workers_nobody_is_waited_for() {
    let redis = RedisServer::start();
    let watch = watching(&celery(&redis.url())).await;
    let workers = look(&watch).await;
    assert_eq!((workers.connected, workers.workers.len()), (0, 0));
    assert_eq!(redis.info("cmdstat_brpop"), None, "no answer was waited for");
    assert_eq!(keys(&redis), Reply::Array(Vec::new()));
}

#[tokio::test]
async fn whoever_is_connected_and_silent_is_unresponsive_and_gone_without_its_connection() {
    let redis = RedisServer::start();
    let celery = celery(&redis.url());
    let watch = watching(&celery).await;
    let worker = Listening::at(&celery).await;
    tokio::join!(worker.answers(&celery, &["w1@a"]), look(&watch));
    let _silent = Listening::at(&celery).await;
    let workers = look(&watch).await;
    assert_eq!(verdicts(&workers), [("w1@a", Verdict::Unresponsive)]);
    // As if it were killed: it connects again, and no longer listens.
    redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).expect("it answers");
    let workers = look(&watch).await;
    assert_eq!(verdicts(&workers), [("w1@a", Verdict::Gone)]);
    assert_eq!(keys(&redis), Reply::Array(Vec::new()));
}

#[tokio::test]
async fn heartbeats_are_heard_all_the_time_also_by_another_connection_after_a_restart() {
    let mut redis = RedisServer::start();
    let celery = celery(&redis.url());
    let watch = watching(&celery).await;
    let channel = celery.names().events("worker.heartbeat");
    let is_alive = |watch: &CeleryWatch| {
        let all = watch.latest().map(|workers| workers.workers.clone()).unwrap_or_default();
        all.first().is_some_and(|worker| worker.verdict == Verdict::Alive)
    };
    let story = async {
        for round in 0..2 {
            // A heartbeat holds for some seconds only: it is to find somebody who hears and sees it.
            until(|| watch.latest().is_some_and(|workers| workers.lost.is_none())).await;
            until(|| redis.info("pubsub_patterns").as_deref() == Some("1")).await;
            // What is no heartbeat says nothing, and keeps nobody from hearing the next.
            let huge = format!("string.rep('x', {})", CONTROL_BYTES_MAX + 1);
            for junk in [r"'\255\254\0'", "''", "'{}'", &huge] {
                let script = format!("return redis.call('PUBLISH', ARGV[1], {junk})");
                let heard = redis.command(&["EVAL", &script, "0", &channel]);
                assert_eq!(heard.expect("it answers"), Reply::Integer(1));
            }
            redis.command(&["PUBLISH", &channel, &beat().write("tag")]).expect("it answers");
            until(|| is_alive(&watch)).await;
            let known = watch.latest().expect("it was looked");
            let said = known.workers[0].said.clone().expect("it said something");
            assert_eq!((said.pid, said.active, said.processed), (7, 2, 3));
            if round == 0 {
                redis.stop();
                until(|| watch.latest().is_some_and(|workers| workers.lost.is_some())).await;
                let known = watch.latest().expect("it was looked");
                assert_eq!(verdicts(&known), [("w1@a", Verdict::Unknown)]);
                redis.restart();
            }
        }
    };
    tokio::select! {
        () = watch.keep(std::future::pending()) => unreachable!("it is kept for ever"),
        () = story => {}
    }
}

#[tokio::test]
async fn a_queue_is_as_deep_as_its_lists_together_and_what_is_next_has_waited_since_it_was_seen() {
    let redis = RedisServer::start();
    let watch = watching(&celery(&redis.url())).await;
    let push = |list: &str, text: &str| {
        redis.command(&["LPUSH", list, text]).expect("it is taken");
    };
    push("celery", "a");
    push("celery", "b");
    push("celery\u{6}\u{16}9", "c");
    let first = look(&watch).await;
    assert_eq!(first.queues[0].depth, Some(3));
    assert_eq!((first.queues[1].name.as_str(), first.queues[1].depth), ("mail", Some(0)));
    assert_eq!(first.queues[1].waiting, None);
    let waited = first.queues[0].waiting.expect("something is next");
    let second = look(&watch).await;
    assert!(second.queues[0].waiting.expect("the same") >= waited);
    redis.command(&["RPOP", "celery"]).expect("it is taken");
    redis.command(&["DEL", "celery\u{6}\u{16}9"]).expect("it is taken");
    let third = look(&watch).await;
    assert_eq!(third.queues[0].depth, Some(1));
    assert_eq!(third.queues[0].waiting, Some(Duration::ZERO), "another is next");
}

#[tokio::test]
async fn what_workers_have_taken_is_counted_and_the_oldest_dated() {
    let redis = RedisServer::start();
    let watch = watching(&celery(&redis.url())).await;
    let taken = kernel::time::now().minus(Duration::from_secs(90));
    for (tag, at) in [("new", taken.as_secs() + 60), ("old", taken.as_secs())] {
        redis.command(&["HSET", "unacked", tag, "[]"]).expect("it is taken");
        redis.command(&["ZADD", "unacked_index", &at.to_string(), tag]).expect("it is taken");
    }
    let workers = look(&watch).await;
    assert_eq!(workers.in_flight, Some(2));
    let oldest = workers.oldest_in_flight.expect("there is one").as_secs();
    assert!((89..=120).contains(&oldest), "{oldest} s");
}

#[tokio::test]
async fn a_broker_of_its_own_with_tls_password_number_and_prefix_is_spoken_to_as_celery_does() {
    let authority = Authority::new();
    let redis = RedisSetup::default()
        .tls(&authority.certifies(&["127.0.0.1"]))
        .password("p@ss:w/rd")
        .start();
    let celery = Celery {
        database: 3,
        global_keyprefix: "app:".to_owned(),
        ..celery(&redis.url().replace("/0", "/3"))
    };
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(authority.root()).expect("there is a root") {
        roots.add(root.expect("a certificate")).expect("a root");
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let watch = CeleryWatch::open(&celery, Some(tls)).expect("a URL");
    watch.connected().await;
    redis.command(&["CONFIG", "SET", "slowlog-log-slower-than", "0"]).expect("it is set");
    look(&watch).await;
    let Reply::Array(log) = redis.command(&["SLOWLOG", "GET", "100"]).expect("it answers") else {
        panic!("a log is a list");
    };
    let log = format!("{log:?}");
    for name in [
        "app:/3.celery.pidbox",
        "app:_kombu.binding.reply.celery.pidbox",
        "app:celery",
        "app:unacked",
    ] {
        assert!(log.contains(name), "{name}: {log}");
    }
}

/// What cannot be known of queues is not known, and nothing else.
#[track_caller]
fn nothing_is_known_of_queues(workers: &Workers) {
    let names: Vec<_> = workers.queues.iter().map(|queue| queue.name.as_str()).collect();
    assert_eq!(names, ["celery", "mail"]);
    assert!(workers.queues.iter().all(|queue| queue.depth.is_none() && queue.waiting.is_none()));
    assert_eq!((workers.in_flight, workers.oldest_in_flight), (None, None));
}

#[tokio::test]
async fn a_queue_that_holds_something_else_takes_nothing_from_what_workers_answer() {
    let redis = RedisServer::start();
    let celery = celery(&redis.url());
    let watch = watching(&celery).await;
    for name in ["celery", "unacked"] {
        redis.command(&["SET", name, "no list and no hash"]).expect("it is taken");
    }
    redis.command(&["LPUSH", "mail", "a"]).expect("it is taken");
    let worker = Listening::at(&celery).await;
    let (_, workers) = tokio::join!(worker.answers(&celery, &["w1@a"]), look(&watch));
    assert_eq!(verdicts(&workers), [("w1@a", Verdict::Alive)]);
    assert_eq!((workers.queues[0].depth, workers.in_flight), (None, None));
    assert_eq!(workers.queues[1].depth, Some(1), "the others are looked at");
    for name in ["celery", "unacked"] {
        redis.command(&["DEL", name]).expect("it is taken");
    }
    let workers = look(&watch).await;
    assert_eq!((workers.queues[0].depth, workers.in_flight), (Some(0), Some(0)));
}

#[tokio::test]
async fn who_may_not_look_at_queues_hears_of_workers_all_the_same_and_asks_no_sooner() {
    let redis = RedisServer::start();
    let rights = "~* &* -@all +@connection +sadd +srem +publish +brpop +del +psubscribe +info";
    let user: Vec<_> = ["ACL", "SETUSER", "ears", "on", ">secret-of-ears"]
        .into_iter()
        .chain(rights.split(' '))
        .collect();
    assert_eq!(redis.command(&user).expect("it answers"), Reply::text("OK"));
    let everybody = celery(&redis.url());
    let watch =
        watching(&celery(&redis.url().replace("redis://", "redis://ears:secret-of-ears@"))).await;
    let worker = Listening::at(&everybody).await;
    // `look` says how long until the next.
    let (_, workers) = tokio::join!(worker.answers(&everybody, &["w1@a"]), look(&watch));
    assert_eq!(verdicts(&workers), [("w1@a", Verdict::Alive)]);
    nothing_is_known_of_queues(&workers);
}

#[tokio::test]
async fn of_a_broker_that_is_lost_no_figure_is_shown_as_if_it_were_of_now() {
    let mut redis = RedisServer::start();
    let celery = celery(&redis.url());
    let watch = watching(&celery).await;
    redis.command(&["LPUSH", "celery", "a"]).expect("it is taken");
    redis.command(&["HSET", "unacked", "tag", "[]"]).expect("it is taken");
    let _silent = Listening::at(&celery).await;
    let workers = look(&watch).await;
    assert_eq!(
        (workers.queues[0].depth, workers.in_flight, workers.connected),
        (Some(1), Some(1), 1)
    );
    redis.stop();
    look_in_vain(&watch).await;
    let workers = watch.latest().expect("it was looked");
    nothing_is_known_of_queues(&workers);
    assert_eq!(workers.connected, 0);
}

#[tokio::test]
async fn a_broker_that_hangs_is_asked_one_thing_and_nobody_waits_for_what_was_seen() {
    let mut redis = RedisServer::start();
    let watch = watching(&celery(&redis.url())).await;
    redis.pause();
    let lost = look_in_vain(&watch).await;
    assert!(lost.is_silence(), "{lost:?}");
    tokio::select! {
        biased;
        workers = watch.workers() => assert!(workers.expect("it was looked").lost.is_some()),
        () = ready(()) => panic!("whoever asks waits"),
    }
    redis.resume();
    // What was on its way to it comes after all.
    until(|| redis.info("cmdstat_sadd").is_some()).await;
    for command in ["publish", "brpop", "evalsha", "hlen", "zrange"] {
        assert_eq!(redis.info(&format!("cmdstat_{command}")), None, "{command} was asked, too");
    }
    redis.stop();
    let lost = look_in_vain(&watch).await;
    assert!(lost.is_silence(), "{lost:?}");
    let none = CeleryWatch::open(&celery(&redis.url()), None).expect("a URL");
    assert!(none.latest().is_none(), "nothing was seen yet");
}

#[tokio::test]
async fn what_was_seen_is_shown_for_a_while_and_no_longer() {
    let redis = RedisServer::start();
    let watch = watching(&celery(&redis.url())).await;
    let before = uptime();
    look(&watch).await;
    let after = uptime();
    let minute = Duration::from_secs(60);
    assert!(watch.shown_at(before + minute - Duration::from_nanos(1)).is_some());
    assert!(watch.shown_at(after + minute).is_none());
}
