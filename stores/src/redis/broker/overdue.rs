//! What somebody took and dropped goes back to its queue.

use std::time::Duration;

use fred::types::Value;
use kernel::celery::Envelope;
use kernel::celery::MESSAGE_BYTES_MAX;
use kernel::celery::envelope::Unacked;
use kernel::celery::names::Binding;
use kernel::time::Timestamp;

use super::books::Back;
use super::books::Broker;
use super::books::DeadLetters;
use super::books::Lying;
use super::books::count;
use super::books::seconds;
use crate::redis::connection::Lost;

/// The most messages that are put back at one go.
pub const PUT_BACK_MAX: usize = 16;

/// After so many bytes one go puts no further message back.
pub const PUT_BACK_BYTES_MAX: usize = MESSAGE_BYTES_MAX;

/// The most bytes behind a message by which way it goes back; what has more, and is longer than any task,
/// is buried.
pub const WAY_BYTES_MAX: usize = 4096;

/// The most bytes that are told of what is booked: a bracket, a task, and its way.
const WHOLE_BYTES_MAX: usize = 1 + MESSAGE_BYTES_MAX + WAY_BYTES_MAX;

/// How long the lock of whoever puts back outlives its holder; as long as Celery's.
const LOCK_FOR: Duration = Duration::from_secs(300);

/// What came of looking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutBack {
    /// How many messages are in their queues again.
    pub messages: usize,
    /// How many are none, and are buried.
    pub buried: usize,
    /// How many can go nowhere: no queue is bound for them, or what is there is no list. They stay
    /// booked, and it is looked again after the visibility timeout.
    pub stay: usize,
    /// Whether there may be more.
    pub more: bool,
}

impl Broker {
    /// Puts back what was taken more than `timeout` before `now`, at most [`PUT_BACK_MAX`] of it, unless
    /// somebody else is at it: as it came, and where it can be read, it says that it was taken before.
    /// What is no message, or has no way to go back, is moved to `dead_letters`.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn put_back_overdue(
        &self,
        timeout: Duration,
        now: Timestamp,
        dead_letters: DeadLetters<'_>,
    ) -> Result<PutBack, Lost> {
        let until = seconds(now.minus(timeout));
        let mut keys = self.unacked();
        keys.push(self.names.unacked_mutex());
        let lock_ms = i64::try_from(LOCK_FOR.as_millis()).unwrap_or(i64::MAX);
        let bounds = [PUT_BACK_MAX, PUT_BACK_BYTES_MAX, WHOLE_BYTES_MAX, WAY_BYTES_MAX];
        let mut words: Vec<Value> = vec![until.into()];
        words.extend(bounds.map(count));
        words.extend([self.own.as_str().into(), lock_ms.into()]);
        let found = match self.act(&self.scripts().overdue, keys, words).await {
            Ok(found) => found,
            Err(lost) => {
                // It may be held all the same.
                let _ = self.let_go().await;
                return Err(lost);
            }
        };
        let Some((more, found)) = found.split_first() else { return Ok(PutBack::default()) };
        let mut done = PutBack { more: more.as_usize() == Some(1), ..PutBack::default() };
        if found.is_empty() {
            return Ok(done);
        }
        let all = self.put_all_back(found, until, now, dead_letters, &mut done).await;
        // However it went: nobody is to wait until the lock ends by itself.
        let let_go = self.let_go().await;
        all.and(let_go.map(|()| done))
    }

    /// Lets the lock go, if it is held.
    async fn let_go(&self) -> Result<(), Lost> {
        let (mutex, own) = (self.names.unacked_mutex(), self.own.as_str().into());
        self.run(&self.scripts().let_go, vec![mutex], vec![own]).await.map(drop)
    }

    async fn put_all_back(
        &self,
        found: &[Value],
        until: f64,
        now: Timestamp,
        dead_letters: DeadLetters<'_>,
        done: &mut PutBack,
    ) -> Result<(), Lost> {
        for one in found.chunks_exact(3) {
            let (Some(tag), Some(booked)) = (one[0].as_str(), one[2].as_bytes()) else {
                continue;
            };
            let dropped = match one[1].as_usize() {
                Some(1) => Dropped::whole(booked),
                _ => Dropped::long(booked),
            };
            let went = match dropped {
                Some(dropped) => self.put_one_back(&tag, dropped, now, until, done).await,
                None => {
                    let buried = self.bury(&tag, dead_letters).await;
                    buried.map(|buried| done.buried += usize::from(buried))
                }
            };
            match went {
                Ok(()) => {}
                // It alone cannot go: those behind it can.
                Err(Lost::Answer(_)) => self.leave(&tag, now, done).await?,
                Err(lost) => return Err(lost),
            }
        }
        Ok(())
    }

    async fn put_one_back(
        &self,
        tag: &str,
        dropped: Dropped,
        now: Timestamp,
        until: f64,
        done: &mut PutBack,
    ) -> Result<(), Lost> {
        let Dropped { way, priority, message } = dropped;
        let queues = self.queues_of(&way).await?;
        if queues.is_empty() {
            return self.leave(tag, now, done).await;
        }
        let lists = queues.iter().map(|queue| self.names.queue(queue, priority)).collect();
        let back = std::iter::once(Back { tag, lists, message });
        done.messages += self.put_back(until.into(), "RPUSH", None, back).await?;
        Ok(())
    }

    /// Leaves a message booked, and has the others come before it.
    async fn leave(&self, tag: &str, now: Timestamp, done: &mut PutBack) -> Result<(), Lost> {
        done.stay += 1;
        self.still_have(&[tag.to_owned()], now).await
    }

    /// The queues that a message goes to: it is called as its routing key, where no exchange is named;
    /// else those that the exchange has bound for it, as kombu looks them up.
    async fn queues_of(&self, unacked: &Unacked) -> Result<Vec<String>, Lost> {
        let (exchange, key) = (&unacked.exchange, &unacked.routing_key);
        if exchange.is_empty() {
            return Ok(Some(key.clone()).filter(|key| !key.is_empty()).into_iter().collect());
        }
        let set = self.names.bindings(exchange);
        let members: Vec<String> =
            self.connection.ask("SMEMBERS", &set, vec![set.as_str().into()]).await?;
        let bound = members.iter().filter_map(|member| Binding::read(member));
        let bound = bound.filter(|binding| binding.is_for(key) && !binding.queue.is_empty());
        let mut queues: Vec<_> = bound.map(|binding| binding.queue).collect();
        queues.sort_unstable();
        queues.dedup();
        Ok(queues)
    }
}

/// A message that somebody took and dropped.
struct Dropped {
    /// By which way it goes back.
    way: Unacked,
    priority: u8,
    message: Lying,
}

impl Dropped {
    /// One that is told whole. Where the message cannot be read it goes among the most urgent, and to the
    /// byte as it came.
    fn whole(booked: &[u8]) -> Option<Self> {
        let way = Unacked::read(booked).ok()?;
        let (priority, message) = match Envelope::read(&way.message) {
            Ok(mut envelope) => {
                envelope.redelivered = true;
                (envelope.priority, envelope.write().into())
            }
            Err(_) => (0, Value::Bytes(way.message.clone().into())),
        };
        Some(Self { way, priority, message: Lying::So(message) })
    }

    /// One that is too long to be told, by its first byte and its end: it goes back as it came.
    fn long(told: &[u8]) -> Option<Self> {
        let end = told.strip_prefix(b"[")?;
        // The last comma behind which a way stands: one within a name leaves a quotation mark alone.
        let commas = (0..end.len()).rev().filter(|at| end[*at] == b',');
        let mut ways = commas.filter_map(|at| {
            let way = Unacked::read(&[b"[0", &end[at..]].concat()).ok()?;
            Some((way, end.len() - end[..at].trim_ascii_end().len()))
        });
        let (way, behind) = ways.next()?;
        Some(Self { way, priority: 0, message: Lying::AsItCame { behind } })
    }
}
