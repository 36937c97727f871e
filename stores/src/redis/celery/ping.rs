//! Asks all workers whether they are there, as `celery inspect ping` does.

use std::collections::BTreeSet;
use std::time::Duration;

use fred::types::Value;
use kernel::celery::Names;
use kernel::celery::names::Binding;
use kernel::celery::names::REPLIES;
use kernel::celery::pidbox::Reply;
use kernel::celery::pidbox::Request;
use tokio::time::Instant;
use uuid::Uuid;

use crate::redis::connection::Connection;
use crate::redis::connection::Lost;

/// How long workers may take to answer.
pub const PONG_WITHIN: Duration = Duration::from_secs(2);

/// How long Redis keeps the question for an answer; no longer than a connection may owe one.
const BLOCK_FOR: Duration = Duration::from_secs(1);

/// The most answers that are read; the rest is deleted.
const REPLIES_READ_MAX: usize = 4_096;

/// Whoever asks workers, by a name of its own to which they answer.
#[derive(Debug)]
pub(super) struct Asker {
    /// One at a time: it waits for answers.
    connection: Connection,
    names: Names,
    /// The same for the life of the process: what is left behind by a question that was cut off is
    /// removed after the next.
    name: String,
}

/// What came of asking.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// How many were connected to be asked: those that listen, or seem to.
    pub(super) connected: u64,
    /// Who has answered.
    pub(super) answered: BTreeSet<String>,
}

impl Asker {
    /// Asks by `connection`, on which nobody else waits.
    pub(super) fn new(connection: Connection, names: Names) -> Self {
        Self { connection, names, name: Uuid::new_v4().to_string() }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Asks, and waits until all that are connected have answered, but no longer than [`PONG_WITHIN`].
    /// What it needs for that in Redis is to be [cleared](Self::clear) away.
    ///
    /// # Errors
    /// [`Lost`].
    pub(super) async fn ask(&self) -> Result<Asked, Lost> {
        self.ask_for(PONG_WITHIN).await
    }

    /// The same, with a deadline of its own.
    async fn ask_for(&self, within: Duration) -> Result<Asked, Lost> {
        let bindings = self.names.bindings(REPLIES);
        let member = Binding::of_replies(&self.name).write();
        let words = vec![bindings.as_str().into(), member.into()];
        let _: i64 = self.connection.ask("SADD", &bindings, words).await?;
        let ticket = Uuid::new_v4().to_string();
        let request = Request::ping(&ticket, &self.name).write(&Uuid::new_v4().to_string());
        let channel = self.names.pidbox();
        let words = vec![channel.as_str().into(), request.into()];
        let connected: i64 = self.connection.ask("PUBLISH", &channel, words).await?;
        let mut asked = Asked { connected: connected.unsigned_abs(), ..Asked::default() };
        self.gather(&ticket, &mut asked, within).await?;
        Ok(asked)
    }

    async fn gather(&self, ticket: &str, asked: &mut Asked, within: Duration) -> Result<(), Lost> {
        let until = Instant::now() + within;
        let mut read = 0;
        while (asked.answered.len() as u64) < asked.connected && read < REPLIES_READ_MAX {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            if let Some(text) = self.next_reply(left.min(BLOCK_FOR)).await? {
                read += 1;
                match Reply::read(&text) {
                    // One to an earlier question comes from a worker that was busy: it is there now, but
                    // may not have been asked yet.
                    Ok(reply) if reply.ticket.as_deref() == Some(ticket) && reply.is_pong() => {
                        asked.answered.insert(reply.hostname);
                    }
                    Ok(_) | Err(_) => {}
                }
            }
        }
        Ok(())
    }

    async fn next_reply(&self, within: Duration) -> Result<Option<Vec<u8>>, Lost> {
        let lists = self.names.replies(&self.name);
        let mut words: Vec<Value> = lists.iter().map(|list| list.as_str().into()).collect();
        // Nought would be for ever.
        words.push(format!("{:.3}", within.as_secs_f64().max(0.001)).into());
        let answer: Value = self.connection.ask("BRPOP", &lists[0], words).await?;
        let Value::Array(mut found) = answer else { return Ok(None) };
        let text = found.pop().and_then(Value::into_owned_bytes);
        Ok(text.map(|bytes| bytes.to_vec()))
    }

    /// Clears away what was needed to be answered; in Redis it would stay for ever.
    ///
    /// # Errors
    /// [`Lost`]; then it goes with the next.
    pub(super) async fn clear(&self) -> Result<(), Lost> {
        let bindings = self.names.bindings(REPLIES);
        let member = Binding::of_replies(&self.name).write();
        let words = vec![bindings.as_str().into(), member.into()];
        // First: an answer that finds no binding goes nowhere.
        let _: i64 = self.connection.ask("SREM", &bindings, words).await?;
        let lists = self.names.replies(&self.name);
        let words = lists.iter().map(|list| list.as_str().into()).collect();
        let _: i64 = self.connection.ask("DEL", &lists[0], words).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use config::Redis;
    use kernel::celery::CONTROL_BYTES_MAX;
    use kernel::celery::pidbox::ReplyTo;
    use kernel::secret::Secret;
    use test_support::redis::RedisServer;
    use test_support::redis::Reply as Answer;
    use test_support::redis::Subscriber;
    use tokio::time::timeout;

    use super::super::tests::SEEN_WITHIN;
    use super::super::tests::until;
    use super::*;

    const TICKET: &str = "nine-lanterns";

    /// Longer than anybody waits.
    const HOUR: Duration = Duration::from_secs(3600);

    /// Somebody who waits for the answer of one worker, with all the time that a busy machine takes.
    struct Waiting {
        redis: RedisServer,
        asker: Arc<Asker>,
    }

    impl Waiting {
        async fn begin() -> Self {
            let redis = RedisServer::start();
            let connection = Connection::open(&Redis::at(Secret::new(redis.url())), None);
            let connection = connection.expect("a URL").within(Duration::from_secs(5));
            connection.connected().await.expect("Redis is there");
            Self { redis, asker: Arc::new(Asker::new(connection, Names::new(0, ""))) }
        }

        /// Has `text`, as Lua writes it, arrive that many times.
        fn arrives(&self, text: &str, times: usize) {
            let list = &self.asker.names.replies(&self.asker.name)[0];
            let script = format!("for _ = 1, {times} do redis.call('LPUSH', KEYS[1], {text}) end");
            let answer = self.redis.command(&["EVAL", &script, "1", list]).expect("it answers");
            assert!(!matches!(answer, Answer::Error(_)), "{answer:?}");
        }

        /// Somebody who is connected to be asked.
        fn listener(&self) -> Subscriber {
            self.redis.hear("/0.celery.pidbox")
        }

        /// Has `worker` answer whoever holds this ticket.
        fn answers(&self, worker: &str, ticket: &str) {
            let to = ReplyTo { exchange: REPLIES.to_owned(), routing_key: self.asker.name.clone() };
            let pong = Reply::pong(worker, Some(ticket.to_owned()), 1).write(&to, "tag");
            self.arrives(&format!("[==[{pong}]==]"), 1);
        }

        /// Waits until all that arrived was read, and more is waited for.
        async fn waits_for_more(&self) {
            let list = &self.asker.names.replies(&self.asker.name)[0];
            let is_read = || self.redis.command(&["LLEN", list]).unwrap() == Answer::Integer(0);
            until(|| is_read() && self.redis.info("blocked_clients").as_deref() == Some("1")).await;
        }

        /// Has the answer arrive; says whether it is heard.
        async fn hears_the_answer(&self) -> bool {
            self.answers("w1@a", TICKET);
            let mut asked = Asked { connected: 1, ..Asked::default() };
            let gathered = self.asker.gather(TICKET, &mut asked, Duration::from_secs(60)).await;
            gathered.expect("Redis answers");
            asked.answered.contains("w1@a")
        }
    }

    #[tokio::test]
    async fn as_many_answers_as_were_connected_end_the_asking_and_fewer_do_not() {
        let waiting = Waiting::begin().await;
        let mut listeners = [waiting.listener(), waiting.listener()];
        let asker = Arc::clone(&waiting.asker);
        let asking = tokio::spawn(async move { asker.ask_for(HOUR).await });
        until(|| waiting.redis.info("cmdstat_publish").is_some()).await;
        let (_, text) = listeners[0].next_message().expect("it is asked");
        let ticket = Request::read(text.as_bytes()).expect("a request").ticket.expect("a ticket");
        // One that answers twice is one.
        for _ in 0..2 {
            waiting.answers("w1@a", &ticket);
            waiting.waits_for_more().await;
            assert!(!asking.is_finished(), "another was connected");
        }
        waiting.answers("w2@a", &ticket);
        let asked = timeout(SEEN_WITHIN, asking).await.expect("nobody else is waited for");
        let asked = asked.expect("it is done").expect("Redis answers");
        let answered = ["w1@a", "w2@a"].map(str::to_owned).into();
        assert_eq!(asked, Asked { connected: 2, answered });
    }

    #[tokio::test]
    async fn who_says_nothing_has_two_seconds() {
        let waiting = Waiting::begin().await;
        let _silent = waiting.listener();
        let began = Instant::now();
        let asked = waiting.asker.ask().await.expect("Redis answers");
        assert_eq!(asked, Asked { connected: 1, ..Asked::default() });
        assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
        // Each but the last lasts for a second; where the clocks differ by a hair, there is one more.
        let times = waiting.redis.calls("brpop");
        assert!((1..=4).contains(&times), "an answer was waited for {times} times");
    }

    #[tokio::test]
    async fn so_many_answers_are_read_and_one_more_is_deleted_unread() {
        for (others, is_heard) in [(REPLIES_READ_MAX - 1, true), (REPLIES_READ_MAX, false)] {
            let waiting = Waiting::begin().await;
            waiting.arrives("'junk'", others);
            assert_eq!(waiting.hears_the_answer().await, is_heard, "after {others} others");
            waiting.asker.clear().await.expect("Redis answers");
            let keys = waiting.redis.command(&["KEYS", "*"]).expect("it answers");
            assert_eq!(keys, Answer::Array(Vec::new()));
        }
    }

    #[tokio::test]
    async fn answers_that_nobody_can_read_hide_none_that_can_be_read() {
        let waiting = Waiting::begin().await;
        let huge = format!("string.rep('x', {})", CONTROL_BYTES_MAX + 1);
        for junk in [r"'\255\254\0'", "''", "'{}'", "'[[[['", &huge] {
            waiting.arrives(junk, 1);
        }
        assert!(waiting.hears_the_answer().await);
    }
}
