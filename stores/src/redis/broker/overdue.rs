//! What somebody took and dropped goes back to its queue.

use std::time::Duration;

use kernel::celery::envelope::Unacked;
use kernel::celery::names::Binding;
use kernel::time::Timestamp;

use super::books::Broker;
use super::books::Returned;
use super::books::count;
use super::books::seconds;
use crate::redis::connection::Lost;

/// The most messages that are put back at one go.
pub const PUT_BACK_MAX: usize = 16;

/// How long the lock of whoever puts back outlives its holder; as long as Celery's.
const LOCK_FOR: Duration = Duration::from_secs(300);

/// What came of looking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutBack {
    /// How many messages are in their queues again.
    pub messages: usize,
    /// How many could not be read, and are buried.
    pub buried: usize,
    /// Whether there may be more.
    pub more: bool,
}

impl Broker {
    /// Puts back what was taken more than `timeout` before `now`, at most [`PUT_BACK_MAX`] of it, unless
    /// somebody else is at it; what cannot be read is moved to `dead_letters`.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn put_back_overdue(
        &self,
        timeout: Duration,
        now: Timestamp,
        dead_letters: &str,
        kept_max: usize,
    ) -> Result<PutBack, Lost> {
        let until = seconds(now.minus(timeout));
        let mutex = self.names.unacked_mutex();
        let mut keys = self.unacked();
        keys.push(mutex.clone());
        let lock_ms = i64::try_from(LOCK_FOR.as_millis()).unwrap_or(i64::MAX);
        let words =
            vec![until.into(), count(PUT_BACK_MAX), self.own.as_str().into(), lock_ms.into()];
        let found = self.act(&self.scripts().overdue, keys, words).await?;
        if found.is_empty() {
            return Ok(PutBack::default());
        }
        let more = found.len() / 2 >= PUT_BACK_MAX;
        let mut done = PutBack { more, ..PutBack::default() };
        let mut whole = Vec::new();
        for pair in found.chunks_exact(2) {
            let (Some(tag), Some(booked)) = (pair[0].as_str(), pair[1].as_bytes()) else {
                continue;
            };
            match Unacked::read(booked) {
                Ok(unacked) => {
                    let queue = self.queue_of(&unacked).await?;
                    whole.push(returned(&tag, queue, unacked));
                }
                Err(_) => {
                    let buried = self.bury(&tag, booked, dead_letters, kept_max).await?;
                    done.buried += usize::from(buried);
                }
            }
        }
        done.messages = self.put_back(until.into(), "RPUSH", whole.iter()).await?;
        let words = vec![self.own.as_str().into()];
        self.act(&self.scripts().let_go, vec![mutex], words).await?;
        Ok(done)
    }

    /// The queue that a message was in: it is called as its routing key, unless an exchange has bound
    /// that to another one.
    async fn queue_of(&self, unacked: &Unacked) -> Result<String, Lost> {
        let (exchange, key) = (&unacked.exchange, &unacked.routing_key);
        if exchange.is_empty() {
            return Ok(key.clone());
        }
        let set = self.names.bindings(exchange);
        let members: Vec<String> =
            self.connection.ask("SMEMBERS", &set, vec![set.as_str().into()]).await?;
        let bound = members.iter().filter_map(|member| Binding::read(member));
        let mut bound = bound.filter(|binding| binding.routing_key == *key);
        Ok(bound.next().map_or_else(|| key.clone(), |binding| binding.queue))
    }
}

fn returned(tag: &str, queue: String, unacked: Unacked) -> Returned {
    let Unacked { mut message, .. } = unacked;
    message.redelivered = true;
    Returned { tag: tag.to_owned(), queue, priority: message.priority, message: message.write() }
}
