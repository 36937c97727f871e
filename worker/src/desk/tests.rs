//! For how many messages there are hands.

use config::Redis;
use kernel::celery::MESSAGE_BYTES_MAX;
use kernel::celery::Names;
use kernel::secret::Secret;
use parking_lot::Mutex;
use serde_json::Value;
use stores::redis::connection::Connection;
use test_support::redis::RedisServer;
use test_support::redis::Reply;
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
    let figures = Arc::new(Figures::new(|| 0).expect("each has a name of its own"));
    Desk::new(
        Arc::new(broker),
        Registry::default().with("noop", Arc::new(Noop)),
        terms,
        pool,
        ended,
        figures,
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

/// A desk at a Redis, which has taken so many tasks that do nothing.
async fn desk_with(redis: &RedisServer, count: usize) -> (Desk, Vec<Taken>) {
    let desk = desk_at(&redis.url());
    desk.broker.connection().connected().await.expect("Redis is there");
    for number in 1..=count {
        let id = number.to_string();
        let message = Message::new("noop", &id, Vec::new(), "celery", &id);
        redis.command(&["LPUSH", "celery", &message.write()]).expect("Redis is there");
    }
    let taken = desk.broker.take(&desk.broker.ticket(count), now()).await.expect("an answer");
    (desk, taken)
}

/// When a message was last said to be had, in seconds.
fn had_at(redis: &RedisServer, tag: &str) -> f64 {
    match redis.command(&["ZSCORE", "unacked_index", tag]).expect("Redis is there") {
        Reply::Bulk(Some(score)) => score.parse().expect("a number"),
        other => panic!("{other:?}"),
    }
}

fn count(redis: &RedisServer, words: &[&str]) -> i64 {
    match redis.command(words).expect("Redis is there") {
        Reply::Integer(count) => count,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_worker_that_holds_all_it_can_for_later_begins_what_is_due() {
    let redis = RedisServer::start();
    let (mut desk, taken) = desk_with(&redis, 1).await;
    desk.later.insert((now(), taken[0].tag.clone()));
    let far = now().plus(Duration::from_secs(3600));
    desk.later.extend((1..LATER_MAX).map(|number| (far, number.to_string())));
    desk.look_at_the_clock().await;
    assert!(desk.held.contains_key(&taken[0].tag), "its time has come");
    assert_eq!(desk.later.len(), LATER_MAX - 1);
}

#[tokio::test]
async fn a_task_that_ended_in_time_is_done_though_that_is_noted_after_its_time() {
    let redis = RedisServer::start();
    let (mut desk, taken) = desk_with(&redis, 1).await;
    desk.terms.time_limit = Duration::ZERO;
    desk.receive(taken.clone());
    let course = Arc::clone(&desk.held[&taken[0].tag].call.course);
    assert!(course.is_done_in_time());
    course.begin();
    desk.give_up_overdue();
    assert_eq!(desk.stuck.len(), 0, "its thread is free");
    let end = End::Gave("in time".into());
    desk.note(Done { tag: taken[0].tag.clone(), end, took: Duration::ZERO });
    desk.settle().await;
    let result = redis.command(&["GET", "celery-task-meta-1"]).expect("Redis is there");
    let Reply::Bulk(Some(result)) = result else { panic!("it is kept") };
    assert!(result.contains("in time"), "{result}");
}

#[tokio::test]
async fn with_every_thread_stuck_what_was_not_begun_and_what_has_come_due_goes_back() {
    let redis = RedisServer::start();
    let (mut desk, taken) = desk_with(&redis, 5).await;
    desk.terms.time_limit = Duration::ZERO;
    desk.receive(taken[..3].to_vec());
    let far = now().plus(Duration::from_secs(3600));
    desk.later.insert((far, taken[3].tag.clone()));
    desk.held[&taken[0].tag].call.course.begin();
    desk.look_at_the_clock().await;
    assert_eq!((desk.held.len(), desk.later.len()), (2, 1), "a thread is left");
    desk.held[&taken[1].tag].call.course.begin();
    desk.later.insert((now(), taken[4].tag.clone()));
    desk.look_at_the_clock().await;
    assert_eq!((desk.held.len(), desk.later.len(), desk.stuck.len()), (0, 1, 2));
    assert_eq!(count(&redis, &["LLEN", "celery"]), 2, "others may do them");
    desk.settle().await;
    assert_eq!(count(&redis, &["HLEN", "unacked"]), 1, "nobody could do it yet");
}

#[tokio::test]
async fn what_a_stuck_worker_could_not_give_back_it_still_has_and_does_once_a_thread_is_free() {
    let mut redis = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let (mut desk, taken) = desk_with(&redis, 4).await;
    desk.terms.time_limit = Duration::ZERO;
    desk.receive(taken[..3].to_vec());
    taken[..2].iter().for_each(|taken| desk.held[&taken.tag].call.course.begin());
    let due = (now(), taken[3].tag.clone());
    desk.later.insert(due.clone());
    desk.unsure = Some(desk.broker.ticket(1));
    redis.stop();
    desk.look_at_the_clock().await;
    assert!(desk.is_stuck() && desk.held.contains_key(&taken[2].tag), "it is had");
    assert!(desk.later.contains(&due) && desk.unsure.is_some());
    let jobs = desk.pool.withdraw();
    assert_eq!(jobs.len(), 1, "whatever thread is free does it");
    desk.pool.put(jobs);
    redis.restart();
    while !desk.held.is_empty() || !desk.later.is_empty() {
        desk.give_back_for_others().await;
        tokio::task::yield_now().await;
    }
    assert_eq!(desk.unsure, None);
    assert_eq!(count(&redis, &["LLEN", "celery"]), 2, "others may do them");
}

#[tokio::test]
async fn of_what_is_not_yet_written_down_and_what_may_be_taken_it_is_said_that_it_is_had() {
    let redis = RedisServer::start();
    let (mut desk, taken) = desk_with(&redis, 1).await;
    let message = Message::new("noop", "2", Vec::new(), "celery", "2");
    redis.command(&["LPUSH", "celery", &message.write()]).expect("Redis is there");
    let ticket = desk.broker.ticket(1);
    let unsure = desk.broker.take(&ticket, now()).await.expect("an answer");
    desk.unsure = Some(ticket);
    let tag = taken[0].tag.clone();
    desk.settled.push(Settled::Finished(Finished { tag, told: None }, None));
    let tags = [&taken[0].tag, &unsure[0].tag];
    for tag in tags {
        redis.command(&["ZADD", "unacked_index", "1.5", tag]).expect("Redis is there");
    }
    desk.terms.visibility_timeout = Duration::ZERO;
    desk.say_what_is_had().await;
    tags.into_iter().for_each(|tag| assert!(had_at(&redis, tag) > 1.5));
}

/// Notes what it hears of its calls.
#[derive(Default)]
struct Listens(Mutex<Vec<(String, &'static str)>>);

impl Listens {
    fn note(&self, call: &Call, end: &'static str) {
        self.0.lock().push((call.id().to_owned(), end));
    }

    fn heard(&self) -> Vec<(String, &'static str)> {
        self.0.lock().clone()
    }
}

impl Task for Listens {
    fn run(&self, _: &Call) -> Result<Value, Failed> {
        Ok(Value::Null)
    }

    fn was_done(&self, call: &Call) {
        self.note(call, "done");
    }

    fn came_to_nothing(&self, call: &Call) {
        self.note(call, "nothing");
    }
}

/// A desk with so many tasks in hand, each of which listens; their tags, too.
async fn desk_that_listens(redis: &RedisServer, count: usize) -> (Desk, Vec<String>, Arc<Listens>) {
    let (mut desk, taken) = desk_with(redis, count).await;
    let listens = Arc::new(Listens::default());
    desk.registry = Registry::default().with("noop", Arc::clone(&listens) as Arc<dyn Task>);
    let tags = taken.iter().map(|taken| taken.tag.clone()).collect();
    desk.receive(taken);
    (desk, tags, listens)
}

fn failed() -> End {
    End::Failed(Failed::arguments("no"))
}

#[tokio::test]
async fn a_task_hears_how_a_call_ended_once_that_is_kept_and_nothing_of_what_is_another_workers() {
    let redis = RedisServer::start();
    let (mut desk, tags, listens) = desk_that_listens(&redis, 4).await;
    for tag in &tags[2..] {
        redis.command(&["HDEL", "unacked", tag]).expect("Redis is there");
    }
    let ends = [End::Gave(Value::Null), failed(), End::Gave(Value::Null), failed()];
    for (tag, end) in tags.into_iter().zip(ends) {
        desk.note(Done { tag, end, took: Duration::ZERO });
    }
    assert_eq!(listens.heard(), [], "nothing is kept yet");
    desk.settle().await;
    assert_eq!(listens.heard(), [("1".to_owned(), "done"), ("2".to_owned(), "nothing")]);
}

#[tokio::test]
async fn a_task_whose_result_is_too_long_to_be_kept_came_to_nothing_and_was_not_done() {
    let redis = RedisServer::start();
    let (mut desk, tags, listens) = desk_that_listens(&redis, 1).await;
    let end = End::Gave("x".repeat(MESSAGE_BYTES_MAX).into());
    desk.note(Done { tag: tags[0].clone(), end, took: Duration::ZERO });
    desk.settle().await;
    assert_eq!(listens.heard(), [("1".to_owned(), "nothing")]);
}

#[tokio::test]
async fn a_task_hears_how_a_call_ended_though_the_answer_was_lost_by_which_it_was_written_down() {
    let mut redis = RedisServer::start();
    let (mut desk, tags, listens) = desk_that_listens(&redis, 1).await;
    redis.stop();
    let end = End::Gave(Value::Null);
    desk.note(Done { tag: tags[0].clone(), end, took: Duration::ZERO });
    desk.settle().await;
    assert_eq!(listens.heard(), []);
    // It has lost its books: as if the message were finished.
    redis.restart();
    while !desk.settled.is_empty() {
        desk.settle().await;
        tokio::task::yield_now().await;
    }
    assert_eq!(listens.heard(), [("1".to_owned(), "done")]);
}

#[tokio::test]
async fn a_result_back_end_that_is_away_is_no_broker_that_is() {
    let mut desk = desk();
    let lost = || Some(Lost::Late(Duration::ZERO));
    let one = Settled::Moved(Moved::Buried { tag: "1".to_owned() });
    desk.note_left(Left { all: vec![one], results: lost(), ..Left::default() });
    desk.note_left(Left { has_done: true, ..Left::default() });
    assert!(desk.results_trouble.is_away(), "the broker's answer says nothing of it");
    assert!(!desk.trouble.is_away());
    desk.note_left(Left { broker: lost(), ..Left::default() });
    desk.note_left(Left { has_done: true, has_told: true, ..Left::default() });
    assert!(!desk.results_trouble.is_away() && !desk.trouble.is_away());
    desk.note_left(Left { broker: lost(), ..Left::default() });
    desk.settled.clear();
    desk.note_left(Left::default());
    assert!(desk.trouble.is_none(), "nothing is left to be written down");
}

#[tokio::test]
async fn a_worker_with_its_hands_full_hears_that_its_broker_is_back() {
    let mut redis = RedisServer::start();
    let (mut desk, taken) = desk_with(&redis, 1).await;
    desk.terms.concurrency = 1;
    desk.terms.prefetch = 1;
    // It says at each look what it has.
    desk.terms.visibility_timeout = Duration::ZERO;
    desk.receive(taken);
    assert_eq!(desk.room(), 0);
    redis.stop();
    desk.look_at_the_clock().await;
    assert!(desk.trouble.is_away() && !desk.figures.broker_works());
    redis.restart();
    while !desk.trouble.is_none() {
        desk.look_at_the_clock().await;
        tokio::task::yield_now().await;
    }
    assert!(desk.figures.broker_works());
}

#[tokio::test]
async fn an_empty_queue_says_nothing_of_ends_that_cannot_be_written_down() {
    let redis = RedisServer::start();
    let (mut desk, tags, _) = desk_that_listens(&redis, 1).await;
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]).expect("Redis is there");
    desk.note(Done { tag: tags[0].clone(), end: End::Gave(1.into()), took: Duration::ZERO });
    for _ in 0..3 {
        desk.pace.took_all();
        desk.take_and_settle().await;
        assert!(desk.trouble.concerns(Act::WriteDown) && !desk.trouble.concerns(Act::Take));
        assert!(!desk.moment().writes_down && !desk.moment().broker_works);
    }
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]).expect("Redis is there");
    while !desk.settled.is_empty() {
        desk.settle().await;
        tokio::task::yield_now().await;
    }
    assert!(desk.moment().writes_down && desk.trouble.is_none());
}

#[tokio::test]
async fn a_task_hears_nothing_where_an_answer_was_lost_for_so_long_that_another_may_have_it() {
    let mut redis = RedisServer::start();
    let (mut desk, tags, listens) = desk_that_listens(&redis, 1).await;
    redis.stop();
    desk.note(Done { tag: tags[0].clone(), end: End::Gave(Value::Null), took: Duration::ZERO });
    desk.settle().await;
    desk.terms.visibility_timeout = Duration::ZERO;
    redis.restart();
    while !desk.settled.is_empty() {
        desk.settle().await;
        tokio::task::yield_now().await;
    }
    assert_eq!(listens.heard(), []);
}

#[tokio::test]
async fn how_long_a_task_took_counts_where_it_ended_in_its_time() {
    let redis = RedisServer::start();
    let (mut desk, tags, _) = desk_that_listens(&redis, 3).await;
    let ends = [End::Gave(Value::Null), End::Failed(Failed::Overdue), End::Expired];
    for (tag, end) in tags.into_iter().zip(ends) {
        desk.note(Done { tag, end, took: Duration::from_secs(1) });
    }
    let text = desk.figures.render();
    assert!(text.contains("task_duration_seconds_sum{task=\"noop\"} 1\n"), "{text}");
}

/// Has the desk take once; what it missed before is found again first.
async fn take(desk: &mut Desk) {
    loop {
        let was_unsure = desk.unsure.is_some();
        desk.pace.took_all();
        desk.take_and_settle().await;
        if !was_unsure {
            return;
        }
    }
}

#[tokio::test]
async fn a_queue_that_is_no_list_is_no_broker_that_is_away_and_a_fault_until_something_is_taken() {
    let redis = RedisServer::start();
    let (mut desk, _) = desk_with(&redis, 0).await;
    redis.command(&["SET", "celery", "?"]).expect("Redis is there");
    for _ in 0..2 {
        take(&mut desk).await;
        assert!(desk.unsure.is_some() && desk.trouble.concerns(Act::Take));
        assert!(!desk.trouble.is_away() && !desk.pace.is_due());
    }
    desk.pace.took_all();
    desk.take_and_settle().await;
    assert!(
        desk.unsure.is_none() && desk.trouble.concerns(Act::Take),
        "to find nothing mends nothing"
    );
    redis.command(&["DEL", "celery"]).expect("Redis is there");
    take(&mut desk).await;
    assert!(desk.trouble.is_none());
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
