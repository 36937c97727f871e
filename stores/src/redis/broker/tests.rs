//! The books against a real Redis; what lies in it is read as kombu reads it.

use std::time::Duration;

use config::Celery;
use kernel::celery::MESSAGE_BYTES_MAX;
use kernel::celery::Task;
use kernel::celery::TaskResult;
use kernel::celery::Unreadable;
use kernel::celery::envelope::Envelope;
use kernel::celery::envelope::Unacked;
use kernel::celery::names::Binding;
use kernel::celery::names::REPLIES;
use kernel::celery::pidbox::Reply as Pong;
use kernel::celery::pidbox::Request;
use kernel::celery::result;
use kernel::celery::result::Failure;
use kernel::celery::result::State;
use kernel::secret::Secret;
use kernel::time::Timestamp;
use serde_json::json;
use test_support::redis::RedisServer;
use test_support::redis::Reply;

use super::*;
use crate::redis::connection::Connection;

mod put_back;

const NOW: Timestamp = Timestamp::from_secs(1_000_000);

const HOUR: Duration = Duration::from_secs(3600);

/// How long results are kept where nothing else is configured, here and by Celery.
const DAY_S: u64 = 86_400;

const DEAD: DeadLetters<'_> = DeadLetters { list: "dead", kept_max: 10 };

fn celery(redis: &RedisServer) -> Celery {
    Celery {
        broker_url: Secret::new(redis.url()),
        result_backend: None,
        database: 0,
        ca: None,
        queues: vec!["celery".to_owned(), "a\"b\\c".to_owned()],
        global_keyprefix: "app:".to_owned(),
        fanout_prefix: "/{db}.".to_owned(),
    }
}

async fn broker(redis: &RedisServer) -> Broker {
    let celery = celery(redis);
    let connection = Connection::open(&celery.broker(Duration::from_secs(2)), None).expect("a URL");
    connection.connected().await.expect("Redis is there");
    Broker::new(connection, celery.names(), &celery.queues)
}

fn task(id: &str, priority: u8) -> Task {
    Task { priority, ..Task::new("t", id, vec![json!("ä")], "celery", id) }
}

/// Sends messages as clients of Celery do.
fn send(redis: &RedisServer, broker: &Broker, queue: &str, tasks: &[Task]) {
    for task in tasks {
        let list = broker.names.queue(queue, task.priority);
        redis.command(&["LPUSH", &list, &task.write()]).expect("Redis is there");
    }
}

fn integer(redis: &RedisServer, words: &[&str]) -> i64 {
    match redis.command(words).expect("Redis is there") {
        Reply::Integer(number) => number,
        other => panic!("{words:?}: {other:?}"),
    }
}

fn texts(redis: &RedisServer, words: &[&str]) -> Vec<String> {
    let Reply::Array(all) = redis.command(words).expect("Redis is there") else { panic!("a list") };
    let text = |reply| match reply {
        Reply::Bulk(Some(text)) => text,
        other => panic!("{other:?}"),
    };
    all.into_iter().map(text).collect()
}

fn ids(taken: &[Taken]) -> Vec<String> {
    taken.iter().map(|taken| Task::read(&taken.message).expect("a task").id).collect()
}

/// How many are booked: in the hash, and in the set.
fn booked(redis: &RedisServer) -> (i64, i64) {
    (integer(redis, &["HLEN", "app:unacked"]), integer(redis, &["ZCARD", "app:unacked_index"]))
}

fn waiting(redis: &RedisServer) -> Vec<String> {
    // The right end is taken first.
    let all = texts(redis, &["LRANGE", "app:celery", "0", "-1"]);
    all.iter().rev().map(|text| Task::read(text.as_bytes()).expect("a task").id).collect()
}

#[tokio::test]
async fn what_is_taken_is_booked_in_the_same_act_and_as_kombu_books_it() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    let odd = "a\"b\\c";
    send(&redis, &broker, odd, &[task("odd", 0)]);
    let ticket = broker.ticket(1);
    let taken = broker.take(&ticket, NOW).await.expect("an answer");
    assert_eq!(ids(&taken), ["odd"]);
    assert_eq!(taken[0].queue, odd);
    let tags = texts(&redis, &["ZRANGEBYSCORE", "app:unacked_index", "1000000", "1000000"]);
    assert_eq!(tags, [taken[0].tag.as_str()]);
    let Ok(Reply::Bulk(Some(value))) = redis.command(&["HGET", "app:unacked", &tags[0]]) else {
        panic!("it is booked")
    };
    let unacked = Unacked::read(value.as_bytes()).expect("it is read");
    assert_eq!((unacked.exchange.as_str(), unacked.routing_key.as_str()), ("", odd));
    let message = Envelope::read(&taken[0].message).expect("it is read");
    assert_eq!(Envelope::read(&unacked.message), Ok(message));
    assert_eq!(broker.find_again(&ticket).await.expect("an answer").taken, taken);
}

#[tokio::test]
async fn the_most_urgent_is_taken_first_whatever_its_queue_and_the_oldest_of_like_ones() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    send(&redis, &broker, "celery", &[task("9", 9), task("0a", 0), task("0b", 0), task("4", 4)]);
    send(&redis, &broker, "a\"b\\c", &[task("6", 6)]);
    let taken = broker.take(&broker.ticket(64), NOW).await.expect("an answer");
    assert_eq!(ids(&taken), ["0a", "0b", "4", "6", "9"]);
    assert_eq!(booked(&redis), (5, 5));
    assert_eq!(broker.take(&broker.ticket(64), NOW).await.expect("an answer"), []);
}

#[tokio::test]
async fn queues_of_one_urgency_are_served_in_turn() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    for queue in ["celery", "a\"b\\c"] {
        send(&redis, &broker, queue, &[task("1", 0), task("2", 0)]);
    }
    let mut queues = Vec::new();
    for _ in 0..4 {
        let taken = broker.take(&broker.ticket(1), NOW).await.expect("an answer");
        queues.push(taken[0].queue.clone());
    }
    assert_ne!(queues[0], queues[1]);
    assert_ne!(queues[2], queues[3]);
}

#[tokio::test]
async fn of_64_messages_all_are_taken_at_once_and_of_one_more_one_is_left() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    let tasks: Vec<_> = (0..=TAKEN_MAX).map(|n| task(&n.to_string(), 0)).collect();
    send(&redis, &broker, "celery", &tasks);
    let taken = broker.take(&broker.ticket(1_000), NOW).await.expect("an answer");
    assert_eq!(taken.len(), TAKEN_MAX);
    assert_eq!(waiting(&redis), [TAKEN_MAX.to_string()]);
}

#[tokio::test]
async fn a_queue_that_is_no_list_loses_nothing_of_the_others() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    send(&redis, &broker, "celery", &[task("first", 0)]);
    redis.command(&["SET", &broker.names.queue("celery", 3), "?"]).expect("Redis is there");
    let ticket = broker.ticket(2);
    broker.take(&ticket, NOW).await.expect_err("a text is no list");
    assert_eq!(ids(&broker.find_again(&ticket).await.expect("an answer").taken), ["first"]);
}

#[tokio::test]
async fn what_is_taken_stays_in_its_list_where_it_cannot_be_booked() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    for broken in ["app:unacked", "app:unacked_index"] {
        send(&redis, &broker, "celery", &[task("1", 0)]);
        redis.command(&["SET", broken, "?"]).expect("Redis is there");
        broker.take(&broker.ticket(1), NOW).await.expect_err("there are no books");
        assert_eq!(waiting(&redis), ["1"], "{broken}");
        redis.command(&["FLUSHALL"]).expect("Redis is there");
    }
}

#[tokio::test]
async fn once_four_mebibytes_are_taken_the_next_message_is_left() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    let half = "x".repeat(TAKEN_BYTES_MAX / 2);
    for (first, count) in [(half.as_str(), 2), (&half[1..], 3)] {
        for text in [first, &half, "next"] {
            redis.command(&["LPUSH", "app:celery", text]).expect("Redis is there");
        }
        let taken = broker.take(&broker.ticket(3), NOW).await.expect("an answer");
        assert_eq!(taken.len(), count, "{} bytes at first", first.len());
        redis.command(&["FLUSHALL"]).expect("Redis is there");
    }
}

#[tokio::test]
async fn a_message_of_four_mebibytes_is_answered_and_one_byte_more_is_buried_as_it_came_unseen() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    for more in [0, 1] {
        let mut text = task("1", 0).write();
        text.extend(std::iter::repeat_n(' ', MESSAGE_BYTES_MAX + more - text.len()));
        redis.command(&["LPUSH", "app:celery", &text]).expect("Redis is there");
        let ticket = broker.ticket(1);
        let taken = broker.take(&ticket, NOW).await.expect("an answer");
        assert_eq!(broker.find_again(&ticket).await.expect("an answer").taken, taken);
        let (answered, why) = match more {
            0 => (text.len(), None),
            _ => (0, Some(Unreadable::Long { bytes: text.len(), at_most: MESSAGE_BYTES_MAX })),
        };
        assert_eq!((taken[0].message.len(), taken[0].read().err()), (answered, why));
        assert!(broker.bury(&taken[0].tag, DEAD).await.expect("an answer"));
        let buried = redis.command(&["RPOP", "app:dead"]).expect("an answer");
        assert!(buried == Reply::text(&text), "it is another one");
        assert_eq!(booked(&redis), (0, 0));
    }
}

#[tokio::test]
async fn of_messages_that_are_too_much_for_one_answer_all_are_found_by_several() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    let half = "x".repeat(PART_BYTES_MAX / 2);
    let long = "x".repeat(MESSAGE_BYTES_MAX + 1);
    for (second, at_once) in [(half.clone(), vec![4, 2]), (format!("{half}x"), vec![1, 3, 2])] {
        let ticket = broker.ticket(6);
        // What is never answered takes no room; behind the last tag nothing stands.
        for (tag, text) in ticket.tags().zip([half.as_str(), &second, &long, "", &half]) {
            let value = format!("[{text},\"\",\"celery\"]");
            redis.command(&["HSET", "app:unacked", &tag, &value]).expect("Redis is there");
        }
        let (mut taken, mut looked_at, mut left) = (Vec::new(), Vec::new(), Some(ticket));
        while let Some(ticket) = left {
            let found = broker.find_again(&ticket).await.expect("an answer");
            taken.extend(found.taken.iter().map(|taken| taken.bytes));
            looked_at.push(found.looked_at);
            left = ticket.after(found.looked_at);
        }
        assert_eq!(taken, [half.len(), second.len(), long.len(), 0, half.len()]);
        assert_eq!(looked_at, at_once);
        redis.command(&["FLUSHALL"]).expect("Redis is there");
    }
}

/// What is told of a task that gave null.
fn told(id: &str) -> Written {
    Written::new(&TaskResult::success(id, json!(null), NOW))
}

#[tokio::test]
async fn a_result_is_kept_and_published_before_its_message_is_forgotten() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    send(&redis, &broker, "celery", &[task("1", 0), task("2", 0)]);
    let taken = broker.take(&broker.ticket(2), NOW).await.expect("an answer");
    let key = result::key("1");
    let ear = Connection::open_to_listen(&celery(&redis).broker(HOUR), None, 4).expect("a URL");
    ear.connected().await.expect("Redis is there");
    let mut published = ear.published();
    ear.listen_to(&key).await.expect("it listens");
    let result = TaskResult::success("1", json!(["ä", 0.5]), NOW);
    let finished = |told| [Finished { tag: taken[0].tag.clone(), told: Some(told) }];
    let was_booked = broker.finish(&finished(Written::new(&result)), 60).await;
    assert_eq!(was_booked.expect("an answer"), [true]);
    let heard = published.recv().await.expect("it is published");
    assert_eq!(heard.value.as_str().as_deref(), Some(result.write().as_str()));
    let late = TaskResult::failure("1", &Failure::builtin("E", "late"), None, NOW);
    let was_booked = broker.finish(&finished(Written::new(&late)), 60).await;
    assert_eq!(was_booked.expect("an answer"), [false]);
    assert!(published.is_empty(), "it is somebody else's by then");
    assert_eq!(redis.command(&["GET", &key]).expect("an answer"), Reply::text(&result.write()));
    assert!((1..=60).contains(&integer(&redis, &["TTL", &key])));
    assert_eq!(booked(&redis), (1, 1), "the other one is still had");
}

#[tokio::test]
async fn results_go_to_a_database_of_their_own_where_there_is_one() {
    let redis = RedisServer::start();
    let celery = Celery {
        result_backend: Some(Secret::new(redis.url().replace("/0", "/1"))),
        ..celery(&redis)
    };
    let elsewhere = celery.results(Duration::from_secs(2)).expect("another URL");
    let elsewhere = Connection::open(&elsewhere, None).expect("a URL");
    elsewhere.connected().await.expect("Redis is there");
    let broker = broker(&redis).await.with_results_in(elsewhere.clone());
    send(&redis, &broker, "celery", &[task("1", 0)]);
    let taken = broker.take(&broker.ticket(1), NOW).await.expect("an answer");
    let of = |tag: &str, id| Finished { tag: tag.to_owned(), told: Some(told(id)) };
    let all = [of(&taken[0].tag, "1"), of("nobody's", "2")];
    assert_eq!(broker.finish(&all, 60).await.expect("an answer"), [true, false]);
    assert_eq!(booked(&redis), (0, 0));
    assert_eq!(integer(&redis, &["EXISTS", &result::key("1")]), 0);
    assert!(elsewhere.has(&result::key("1")).await.expect("an answer"));
    assert!(!elsewhere.has(&result::key("2")).await.expect("an answer"), "it is not booked");

    send(&redis, &broker, "celery", &[task("3", 0)]);
    let taken = broker.take(&broker.ticket(1), NOW).await.expect("an answer");
    for _ in 0..2 {
        broker.send_again(&returned(&taken[0]), Some(&told("3")), 60).await.expect("an answer");
        assert!(elsewhere.has(&result::key("3")).await.expect("an answer"));
        assert_eq!(waiting(&redis), ["3"]);
    }
}

#[tokio::test]
async fn each_result_and_each_word_of_another_try_is_kept_so_long_and_told_wherever_results_go() {
    let (redis, other) = (RedisServer::start(), RedisServer::start());
    for results_on in [&redis, &other] {
        let back_end = config::Redis::at(Secret::new(results_on.url()));
        let broker = broker(&redis).await;
        let broker = match std::ptr::eq(results_on, &redis) {
            true => broker,
            false => {
                let elsewhere = Connection::open(&back_end, None).expect("a URL");
                elsewhere.connected().await.expect("Redis is there");
                broker.with_results_in(elsewhere)
            }
        };
        send(&redis, &broker, "celery", &[task("done", 0), task("again", 0)]);
        let taken = broker.take(&broker.ticket(2), NOW).await.expect("an answer");
        let ear = Connection::open_to_listen(&back_end, None, 4).expect("a URL");
        ear.connected().await.expect("Redis is there");
        let mut published = ear.published();
        let done = TaskResult::success("done", json!(["ä", 0.5]), NOW);
        let why = Failure::builtin("OSError", "not now").to_json();
        let again = TaskResult::new("again", State::Retry, why);
        for result in [&done, &again] {
            ear.listen_to(&result::key(&result.task_id)).await.expect("it listens");
        }
        let finished = Finished { tag: taken[0].tag.clone(), told: Some(Written::new(&done)) };
        broker.finish(&[finished], DAY_S).await.expect("an answer");
        let told = Written::new(&again);
        broker.send_again(&returned(&taken[1]), Some(&told), DAY_S).await.expect("an answer");
        for result in [done, again] {
            let (key, text) = (result::key(&result.task_id), result.write());
            let heard = published.recv().await.expect("it is published");
            let heard = (heard.channel.to_string(), heard.value.as_str());
            assert_eq!((heard.0.as_str(), heard.1.as_deref()), (key.as_str(), Some(&*text)));
            let kept = results_on.command(&["GET", &key]).expect("an answer");
            assert_eq!(kept, Reply::text(&text));
            let left_ms = integer(results_on, &["PTTL", &key]);
            assert!((86_340_000..=86_400_000).contains(&left_ms), "{key}: {left_ms}");
        }
        assert!(published.is_empty(), "each is told once");
        let here = integer(&redis, &["EXISTS", &result::key("done"), &result::key("again")]);
        assert_eq!(here, if std::ptr::eq(results_on, &redis) { 2 } else { 0 });
        redis.command(&["FLUSHALL"]).expect("Redis is there");
    }
}

#[tokio::test]
async fn of_what_cannot_be_answered_it_is_said_which_redis_gave_no_answer() {
    let mut redis = RedisServer::start();
    let mut other = RedisServer::start();
    let url = |redis: &RedisServer| config::Redis::at(Secret::new(redis.url()));
    let elsewhere = Connection::open(&url(&other), None).expect("a URL");
    elsewhere.connected().await.expect("Redis is there");
    let broker = broker(&redis).await.with_results_in(elsewhere);
    send(&redis, &broker, "celery", &[task("1", 0)]);
    let taken = broker.take(&broker.ticket(1), NOW).await.expect("an answer");
    let all = [Finished { tag: taken[0].tag.clone(), told: Some(told("1")) }];
    other.stop();
    let lost = broker.finish(&all, 60).await.expect_err("it is away");
    assert!(matches!(lost, NotFinished::Results(_)), "{lost:?}");
    assert_eq!(booked(&redis), (1, 1), "its result is not kept");
    redis.stop();
    let lost = broker.finish(&all, 60).await.expect_err("both are away");
    assert!(matches!(lost, NotFinished::Broker(_)), "{lost:?}");
}

/// A message as it came, on its way back.
fn returned(taken: &Taken) -> Returned {
    Returned {
        tag: taken.tag.clone(),
        queue: taken.queue.clone(),
        priority: 0,
        message: String::from_utf8(taken.message.clone()).expect("a text"),
    }
}

#[tokio::test]
async fn what_can_go_nowhere_is_not_lost_but_stays_booked() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    send(&redis, &broker, "celery", &[task("1", 0)]);
    let taken = broker.take(&broker.ticket(1), NOW).await.expect("an answer");
    for list in ["app:celery", "app:dead"] {
        redis.command(&["SET", list, "?"]).expect("Redis is there");
    }
    let back = returned(&taken[0]);
    broker.give_back(std::slice::from_ref(&back)).await.expect_err("a text is no list");
    broker.send_again(&back, Some(&told("1")), 60).await.expect_err("a text is no list");
    broker.bury(&back.tag, DEAD).await.expect_err("a text is no list");
    let found = broker.booked(std::slice::from_ref(&back.tag)).await.expect("an answer");
    assert_eq!(found.taken, taken);
    assert_eq!(booked(&redis), (1, 1));
    assert_eq!(integer(&redis, &["EXISTS", &result::key("1")]), 0, "it is not tried again");
}

#[tokio::test]
async fn what_is_given_back_is_next_in_the_same_order_and_goes_back_once() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    send(&redis, &broker, "celery", &[task("1", 0), task("2", 0), task("3", 0)]);
    let taken = broker.take(&broker.ticket(2), NOW).await.expect("an answer");
    let back: Vec<_> = taken.iter().map(returned).collect();
    assert_eq!(broker.give_back(&back).await.expect("an answer"), 2);
    assert_eq!(broker.give_back(&back).await.expect("an answer"), 0);
    assert_eq!(waiting(&redis), ["1", "2", "3"]);
    assert_eq!(booked(&redis), (0, 0));

    let taken = broker.take(&broker.ticket(1), NOW).await.expect("an answer");
    let again = returned(&taken[0]);
    let mut first = true;
    for _ in 0..2 {
        broker.send_again(&again, Some(&told("1")), 60).await.expect("an answer");
        assert_eq!(waiting(&redis), ["2", "3", "1"], "it waits behind the others, and once");
        assert_eq!(
            integer(&redis, &["DEL", &result::key("1")]),
            i64::from(first),
            "and is told once"
        );
        first = false;
    }
}

/// How many scripts Redis was asked to carry out.
fn scripts_run(redis: &RedisServer) -> u64 {
    redis.calls("evalsha") + redis.calls("eval")
}

#[tokio::test]
async fn messages_that_are_too_much_for_one_act_are_given_back_by_several_in_their_order() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    let of = |id: &str, bytes: usize| {
        let message = task(id, 0).write();
        let spaces = " ".repeat(bytes - message.len());
        message + &spaces
    };
    let half = PART_BYTES_MAX / 2;
    for (second, acts) in [(half, 2), (half + 1, 3)] {
        let mut back = Vec::new();
        for (id, bytes) in [("1", half), ("2", half), ("3", second), ("4", half)] {
            let message = of(id, bytes);
            redis.command(&["LPUSH", "app:celery", &message]).expect("Redis is there");
            let taken = broker.take(&broker.ticket(1), NOW).await.expect("an answer");
            back.push(returned(&taken[0]));
        }
        // Redis knows the script from then on.
        broker.give_back(&back[..1]).await.expect("an answer");
        let before = scripts_run(&redis);
        assert_eq!(broker.give_back(&back).await.expect("an answer"), 3);
        assert_eq!(scripts_run(&redis) - before, acts, "{second} bytes");
        assert_eq!(waiting(&redis), ["2", "3", "4", "1"]);
        redis.command(&["FLUSHALL"]).expect("Redis is there");
    }
}

#[tokio::test]
async fn so_many_dead_letters_are_kept_and_the_oldest_of_one_more_is_dropped() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    let two = DeadLetters { kept_max: 2, ..DEAD };
    for text in ["1", "2", "3"] {
        redis.command(&["LPUSH", "app:celery", text]).expect("an answer");
        let taken = broker.take(&broker.ticket(1), NOW).await.expect("an answer");
        for is_booked in [true, false] {
            let buried = broker.bury(&taken[0].tag, two).await;
            assert_eq!(buried.expect("an answer"), is_booked);
        }
    }
    assert_eq!(texts(&redis, &["LRANGE", "app:dead", "0", "-1"]), ["3", "2"]);
    assert_eq!(booked(&redis), (0, 0));
}

#[tokio::test]
async fn what_all_are_asked_is_heard_and_answered() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    let mut ear = Ear::open(&celery(&redis), None).expect("a URL");
    ear.connected().await.expect("Redis is there");
    ear.listen().await.expect("it listens");
    let channel = broker.names.pidbox();
    let ping = Request::ping("ticket", "me");
    for text in ["{bad", &ping.write("tag")] {
        assert_eq!(integer(&redis, &["PUBLISH", &channel, text]), 1);
    }
    let request = ear.next().await;
    assert_eq!(request, ping, "what cannot be read is nothing");
    let to = request.reply_to.expect("somebody waits");
    let pong = Pong::pong("w@host", request.ticket, 7);
    broker.answer(&to, &pong).await.expect("an answer");
    let list = broker.names.queue(&format!("me.{REPLIES}"), 0);
    let replies = texts(&redis, &["LRANGE", &list, "0", "-1"]);
    assert_eq!(Pong::read(replies[0].as_bytes()), Ok(pong));
    let left = integer(&redis, &["TTL", &list]);
    assert!((1..=PONGS_KEPT_S).contains(&left), "it goes if nobody reads it");
}
