//! For how many messages there are hands.

use config::Redis;
use kernel::celery::Names;
use kernel::secret::Secret;
use stores::redis::connection::Connection;
use test_support::redis::RedisServer;
use tokio::sync::mpsc;

use super::*;
use crate::noop::Noop;

/// A desk at a broker that is not there.
fn desk() -> Desk {
    desk_at("redis://127.0.0.1:1")
}

fn desk_at(url: &str) -> Desk {
    let redis = Redis::at(Secret::new(url));
    let connection = Connection::open(&redis, None).expect("a URL");
    let broker = Broker::new(connection, Names::new(0, ""), &["celery".to_owned()]);
    let terms = Terms {
        name: "w".to_owned(),
        concurrency: 2,
        prefetch: 4,
        visibility_timeout: Duration::from_secs(60),
        time_limit: Duration::from_secs(60),
        retries_max: 0,
        result_ttl_s: 60,
        drain_timeout: Duration::ZERO,
        dead_letters: "dead".to_owned(),
    };
    let (done, ended) = mpsc::unbounded_channel();
    let pool = Pool::start(0, &done).expect("no threads are always there");
    let counts = Arc::new(Counts::default());
    Desk::new(
        Arc::new(broker),
        Registry::default().with("noop", Arc::new(Noop)),
        terms,
        pool,
        ended,
        counts,
    )
}

#[tokio::test]
async fn a_worker_holds_so_many_tasks_for_later_and_with_one_more_takes_nothing() {
    let mut desk = desk();
    let at = |number: usize| (Timestamp::from_secs(number as u64), number.to_string());
    desk.later.extend((1..LATER_MAX).map(at));
    assert_eq!(desk.room(), 8);
    desk.later.insert(at(LATER_MAX));
    assert_eq!(desk.room(), 0);
}

#[tokio::test]
async fn a_worker_that_holds_all_it_can_for_later_begins_what_is_due() {
    let redis = RedisServer::start();
    let mut desk = desk_at(&redis.url());
    desk.broker.connection().connected().await.expect("Redis is there");
    let message = Message::new("noop", "1", Vec::new(), "celery", "1");
    redis.command(&["LPUSH", "celery", &message.write()]).expect("Redis is there");
    let taken = desk.broker.take(&desk.broker.ticket(1), now()).await.expect("an answer");
    desk.later.insert((now(), taken[0].tag.clone()));
    let far = now().plus(Duration::from_secs(3600));
    desk.later.extend((1..LATER_MAX).map(|number| (far, number.to_string())));
    desk.look_at_the_clock().await;
    assert!(desk.held.contains_key(&taken[0].tag), "its time has come");
    assert_eq!(desk.later.len(), LATER_MAX - 1);
}

#[tokio::test]
async fn a_thread_that_is_stuck_has_no_hands() {
    let mut desk = desk();
    desk.stuck.insert("1".to_owned());
    assert_eq!(desk.room(), 4);
    desk.stuck.insert("2".to_owned());
    assert_eq!(desk.room(), 0);
}

#[tokio::test]
async fn however_many_hands_there_are_one_act_takes_64() {
    let mut desk = desk();
    desk.terms.prefetch = TAKEN_MAX / 2;
    assert_eq!(desk.room(), TAKEN_MAX);
    desk.terms.prefetch += 1;
    assert_eq!(desk.room(), TAKEN_MAX);
}
