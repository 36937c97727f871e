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
        self.gather(&ticket, &mut asked).await?;
        Ok(asked)
    }

    async fn gather(&self, ticket: &str, asked: &mut Asked) -> Result<(), Lost> {
        let until = Instant::now() + PONG_WITHIN;
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
