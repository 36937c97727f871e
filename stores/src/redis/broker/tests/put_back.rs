//! What was taken and dropped is put back.

use super::*;

/// Looks at `at` for what was taken an hour before.
async fn put_back(broker: &Broker, at: Timestamp) -> PutBack {
    broker.put_back_overdue(HOUR, at, DEAD).await.expect("an answer")
}

/// Books what a worker of Celery took and dropped.
fn drop_at(redis: &RedisServer, tag: &str, exchange: &str, routing_key: &str, message: &[u8]) {
    let dropped = Unacked {
        message: message.to_vec(),
        exchange: exchange.to_owned(),
        routing_key: routing_key.to_owned(),
    };
    let dropped = String::from_utf8(dropped.write()).expect("a text");
    redis.command(&["HSET", "app:unacked", tag, &dropped]).expect("an answer");
    redis.command(&["ZADD", "app:unacked_index", "1.5", tag]).expect("an answer");
}

/// Binds a queue to the exchange `shop`.
fn bind(redis: &RedisServer, routing_key: &str, pattern: &str, queue: &str) {
    let (routing_key, pattern) = (routing_key.to_owned(), pattern.to_owned());
    let binding = Binding { routing_key, pattern, queue: queue.to_owned() };
    redis.command(&["SADD", "app:_kombu.binding.shop", &binding.write()]).expect("an answer");
}

#[tokio::test]
async fn what_was_taken_an_hour_ago_waits_again_unless_it_was_said_that_it_is_had() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    send(&redis, &broker, "celery", &[task("1", 6), task("2", 6)]);
    let taken = broker.take(&broker.ticket(2), NOW).await.expect("an answer");
    let late = NOW.plus(HOUR);
    assert_eq!(put_back(&broker, late.minus(Duration::from_secs(1))).await, PutBack::default());
    let had = [taken[1].tag.clone(), "nobody's".to_owned()];
    broker.still_have(&had, NOW.plus(Duration::from_secs(1))).await.expect("an answer");
    let one = PutBack { messages: 1, ..PutBack::default() };
    assert_eq!(put_back(&broker, late).await, one);
    assert_eq!(booked(&redis), (1, 1), "what nobody has is not booked");
    let again = broker.take(&broker.ticket(1), NOW).await.expect("an answer");
    let again = Task::read(&again[0].message).expect("a task");
    assert_eq!((again.id.as_str(), again.redelivered, again.priority), ("1", true, 6));
    assert_eq!(integer(&redis, &["EXISTS", "app:unacked_mutex"]), 0, "the lock is let go");
}

#[tokio::test]
async fn whoever_puts_back_is_alone_at_it() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    send(&redis, &broker, "celery", &[task("1", 0)]);
    broker.take(&broker.ticket(1), NOW).await.expect("an answer");
    redis.command(&["SET", "app:unacked_mutex", "kombu's"]).expect("Redis is there");
    assert_eq!(put_back(&broker, NOW.plus(HOUR)).await, PutBack::default());
    assert_eq!(integer(&redis, &["EXISTS", "app:unacked_mutex"]), 1, "it is somebody else's");
    redis.command(&["DEL", "app:unacked_mutex"]).expect("Redis is there");
    assert_eq!(put_back(&broker, NOW.plus(HOUR)).await.messages, 1);
}

#[tokio::test]
async fn who_could_not_look_holds_nobody_up_and_who_missed_an_answer_looks_again() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    redis.command(&["SET", "app:unacked_index", "?"]).expect("Redis is there");
    broker.put_back_overdue(HOUR, NOW, DEAD).await.expect_err("there are no books");
    assert_eq!(integer(&redis, &["EXISTS", "app:unacked_mutex"]), 0, "the lock is let go");
    redis.command(&["DEL", "app:unacked_index"]).expect("Redis is there");
    drop_at(&redis, "t", "", "celery", task("1", 0).write().as_bytes());
    redis.command(&["SET", "app:unacked_mutex", &broker.own]).expect("Redis is there");
    assert_eq!(put_back(&broker, NOW).await.messages, 1);
    assert_eq!(integer(&redis, &["EXISTS", "app:unacked_mutex"]), 0, "and once more");
}

#[tokio::test]
async fn of_16_all_are_put_back_at_one_go_and_of_more_it_is_said_that_there_are() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    let tasks: Vec<_> = (0..=PUT_BACK_MAX).map(|n| task(&n.to_string(), 0)).collect();
    send(&redis, &broker, "celery", &tasks);
    broker.take(&broker.ticket(TAKEN_MAX), NOW).await.expect("an answer");
    let late = NOW.plus(HOUR);
    let full = PutBack { messages: PUT_BACK_MAX, more: true, ..PutBack::default() };
    assert_eq!(put_back(&broker, late).await, full);
    assert_eq!(put_back(&broker, late).await, PutBack { messages: 1, ..PutBack::default() });
    assert_eq!(waiting(&redis).len(), PUT_BACK_MAX + 1);
}

#[tokio::test]
async fn what_a_worker_of_celery_dropped_goes_where_its_exchange_is_bound_to() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    bind(&redis, "orders", "", "celery");
    drop_at(&redis, "t", "shop", "orders", task("1", 0).write().as_bytes());
    assert_eq!(put_back(&broker, NOW).await.messages, 1);
    assert_eq!(waiting(&redis), ["1"]);
}

#[tokio::test]
async fn what_several_queues_are_bound_for_goes_to_all_of_them_and_patterns_are_looked_at() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    for (key, pattern, queue) in [
        ("orders.*", r"^orders\.[^\.]+$", "one"),
        ("orders.#", r"^orders\..*?$", "all"),
        ("#", r"^.*?$", "all"),
        ("orders.new", "", "exact"),
        ("orders.*", "", "none"),
        ("orders.*.late", r"^orders\.[^\.]+\.late$", "none"),
    ] {
        bind(&redis, key, pattern, queue);
    }
    drop_at(&redis, "t", "shop", "orders.new", task("1", 6).write().as_bytes());
    assert_eq!(put_back(&broker, NOW).await, PutBack { messages: 1, ..PutBack::default() });
    for queue in ["one", "all", "exact"] {
        assert_eq!(integer(&redis, &["LLEN", &broker.names.queue(queue, 6)]), 1, "{queue}");
    }
    assert_eq!(integer(&redis, &["EXISTS", &broker.names.queue("none", 6), "app:orders.new"]), 0);
    assert_eq!(booked(&redis), (0, 0));
}

#[tokio::test]
async fn what_no_queue_is_bound_for_stays_booked_and_holds_nobody_up() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    redis.command(&["SET", "app:broken", "?"]).expect("Redis is there");
    for number in 0..PUT_BACK_MAX {
        let (exchange, key) = if number == 0 { ("", "broken") } else { ("shop", "celery") };
        drop_at(&redis, &number.to_string(), exchange, key, task("1", 0).write().as_bytes());
    }
    drop_at(&redis, "z", "", "celery", task("2", 0).write().as_bytes());
    let all_stay = PutBack { stay: PUT_BACK_MAX, more: true, ..PutBack::default() };
    assert_eq!(put_back(&broker, NOW).await, all_stay);
    assert_eq!(put_back(&broker, NOW).await, PutBack { messages: 1, ..PutBack::default() });
    assert_eq!(waiting(&redis), ["2"]);
    let at = broker.names.unacked_index();
    let again = integer(&redis, &["ZCOUNT", &at, "1000000", "1000000"]);
    assert_eq!(again, PUT_BACK_MAX as i64, "it is looked at again after the timeout");
    assert_eq!(integer(&redis, &["EXISTS", "app:unacked_mutex"]), 0, "the lock is let go");
}

#[tokio::test]
async fn what_a_worker_of_celery_dropped_and_we_cannot_read_goes_back_to_the_byte() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    let long = "x".repeat(MESSAGE_BYTES_MAX);
    let pickled = r#"{ "body": "gAM=", "content-type": "application/x-python-serialize" }"#;
    let long = format!("{{\"body\":\"{long}\"}}");
    for message in [pickled, &long] {
        drop_at(&redis, "t", "", "celery", message.as_bytes());
        assert_eq!(put_back(&broker, NOW).await, PutBack { messages: 1, ..PutBack::default() });
        let back = redis.command(&["RPOP", "app:celery"]).expect("an answer");
        assert!(back == Reply::text(message), "{} bytes", message.len());
    }
}

#[tokio::test]
async fn what_was_dropped_and_is_too_long_to_be_told_goes_back_to_the_byte_and_holds_nobody_up() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    let text = format!("\"{}\"", "x".repeat(2 * MESSAGE_BYTES_MAX));
    bind(&redis, "a,\"b\\", "", "celery");
    let (by_name, by_exchange) = (r#", "", "celery"]"#, r#" ,"shop" , "a,\"b\\"] "#);
    for way in [by_name, r#",null,"celery"]"#, by_exchange] {
        for (tag, value) in
            [("1", format!("[{text}{way}")), ("2", "[2,\"\",\"celery\"]".to_owned())]
        {
            redis.command(&["HSET", "app:unacked", tag, &value]).expect("an answer");
            redis.command(&["ZADD", "app:unacked_index", "1.5", tag]).expect("an answer");
        }
        assert_eq!(put_back(&broker, NOW).await, PutBack { messages: 2, ..PutBack::default() });
        for message in ["2", &text] {
            let back = redis.command(&["RPOP", "app:celery"]).expect("an answer");
            assert!(back == Reply::text(message), "it is another one: {way}");
        }
        assert_eq!(booked(&redis), (0, 0));
    }
}

#[tokio::test]
async fn a_task_of_four_mebibytes_with_the_longest_way_is_told_whole_and_one_byte_more_is_not_read()
{
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    let spaces = " ".repeat(WAY_BYTES_MAX - r#",["","celery"]"#.len() + 1);
    let way = format!(r#",{spaces}"","celery"]"#);
    assert_eq!(way.len(), WAY_BYTES_MAX);
    for more in [0, 1] {
        let mut text = task("1", 0).write();
        let without = text.pop().expect("a bracket");
        text.extend(std::iter::repeat_n(' ', MESSAGE_BYTES_MAX + more - text.len() - 1));
        text.push(without);
        redis.command(&["HSET", "app:unacked", "t", &format!("[{text}{way}")]).expect("an answer");
        redis.command(&["ZADD", "app:unacked_index", "1.5", "t"]).expect("an answer");
        assert_eq!(put_back(&broker, NOW).await.messages, 1);
        let Ok(Reply::Bulk(Some(back))) = redis.command(&["RPOP", "app:celery"]) else {
            panic!("it is back")
        };
        assert_eq!(back == text, more == 1, "it says that it was taken before, if it is read");
    }
}

#[tokio::test]
async fn what_is_too_long_to_be_told_and_has_no_way_of_four_kibibytes_is_buried() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    let text = format!("\"{}\"", "x".repeat(MESSAGE_BYTES_MAX + WAY_BYTES_MAX));
    let around = r#",["",""]"#.len() - 1;
    let name = "q".repeat(WAY_BYTES_MAX - around);
    let (longest, longer) = (format!(r#","","{name}"]"#), format!(r#","","{name}q"]"#));
    assert_eq!(longest.len(), WAY_BYTES_MAX);
    for (value, buried) in [
        (format!("[{text}{longest}"), 0),
        (format!("[{text}{longer}"), 1),
        (text.clone(), 1),
        (format!("[{text}]"), 1),
    ] {
        redis.command(&["HSET", "app:unacked", "t", &value]).expect("an answer");
        redis.command(&["ZADD", "app:unacked_index", "1.5", "t"]).expect("an answer");
        let done = PutBack { messages: 1 - buried, buried, ..PutBack::default() };
        assert_eq!(put_back(&broker, NOW).await, done);
        let dead = redis.command(&["RPOP", "app:dead"]).expect("an answer");
        assert!(buried == 0 || dead == Reply::text(&value), "it is another one");
        assert_eq!(booked(&redis), (0, 0));
    }
}

#[tokio::test]
async fn a_task_of_just_four_mebibytes_that_was_dropped_says_that_it_was() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    let mut task = task("1", 3).write();
    task.extend(std::iter::repeat_n(' ', MESSAGE_BYTES_MAX - task.len()));
    redis.command(&["LPUSH", "app:celery", &task]).expect("Redis is there");
    broker.take(&broker.ticket(1), NOW).await.expect("an answer");
    assert_eq!(put_back(&broker, NOW.plus(HOUR)).await.messages, 1);
    let again = broker.take(&broker.ticket(1), NOW).await.expect("an answer");
    assert!(Task::read(&again[0].message).expect("a task").redelivered);
}

#[tokio::test]
async fn once_four_mebibytes_are_put_back_the_next_message_is_for_the_next_go() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    let way = r#",["","celery"]"#.len();
    let half = PUT_BACK_BYTES_MAX / 2 - way;
    for (bytes, first) in [(half, 2), (half - 1, 3)] {
        let text = format!("\"{}\"", "x".repeat(bytes - 2));
        for tag in ["1", "2", "3"] {
            drop_at(&redis, tag, "", "celery", text.as_bytes());
        }
        let done = put_back(&broker, NOW).await;
        assert_eq!((done.messages, done.more), (first, first < 3), "{bytes} bytes each");
        redis.command(&["FLUSHALL"]).expect("Redis is there");
    }
}

#[tokio::test]
async fn what_was_dropped_and_is_no_message_is_buried() {
    let redis = RedisServer::start();
    let broker = broker(&redis).await;
    redis.command(&["HSET", "app:unacked", "t", "[{bad"]).expect("an answer");
    redis.command(&["ZADD", "app:unacked_index", "1.5", "t", "1.5", "gone"]).expect("an answer");
    assert_eq!(put_back(&broker, NOW).await, PutBack { buried: 1, ..PutBack::default() });
    assert_eq!(texts(&redis, &["LRANGE", "app:dead", "0", "-1"]), ["[{bad"]);
    assert_eq!(booked(&redis), (0, 0));
}
