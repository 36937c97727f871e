//! The side that reads, on a connection of its own: whoever waits there holds up nobody.

use std::time::Duration;

use config::Redis;
use fred::types::Value;
use kernel::revocation::feed::Position;
use kernel::revocation::frame::Message;
use kernel::revocation::frame::MessageError;
use rustls::ClientConfig;
use tokio::sync::mpsc::Sender;

use super::place::EntryId;
use super::place::FIELD;
use super::place::key;
use crate::redis::connection::Connection;
use crate::redis::connection::ConnectionError;
use crate::redis::lost::Lost;

/// How long Redis keeps a question that it has no answer to; no longer than a connection may owe an
/// answer.
const BLOCK_FOR: Duration = Duration::from_secs(1);

/// How long an answer may take beyond that.
const LATE_BY_MAX: Duration = Duration::from_secs(1);

/// The most entries in one answer.
pub const READ_ENTRIES_MAX: usize = 64;

/// How long to wait after a question that was not answered.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// After so many empty answers in a row it is asked where the stream ends: it may have lost its end.
const EMPTY_READS_MAX: u32 = 3;

/// After so many, another connection is made: behind the same name another server may be the one that
/// is written to.
const EMPTY_READS_A_CONNECTION: u32 = 30;

/// Reads the stream of one log.
#[derive(Debug)]
pub struct StreamReader {
    connection: Connection,
    namespace: String,
    log_id: String,
    /// The last entry that was read.
    from: EntryId,
}

/// What is heard of a stream.
#[derive(Debug)]
pub enum Heard {
    /// Its next entries, in order; none for a while.
    Entries(Vec<Entry>),
    /// Redis gave no answer; it is asked again.
    Lost(Lost),
}

/// An entry of the stream; one that cannot be read stands for something that was missed.
pub type Entry = Result<Message, Unread>;

/// An entry that says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// It is no message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// Its message stands under an id that is not its own.
    #[error("a message under an id of another one")]
    Id,
}

impl StreamReader {
    /// Begins to connect; must be called within a runtime, as [`Connection::open`].
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub fn open(redis: &Redis, tls: Option<ClientConfig>) -> Result<Self, ConnectionError> {
        let redis = Redis { call_timeout: BLOCK_FOR + LATE_BY_MAX, ..redis.clone() };
        Ok(Self {
            connection: Connection::open(&redis, tls)?,
            namespace: redis.namespace,
            log_id: String::new(),
            from: EntryId::default(),
        })
    }

    /// Goes to where the stream is about what is not known at `at`.
    pub fn begin(&mut self, at: &Position) {
        self.log_id.clone_from(&at.log_id);
        self.from = EntryId { seq: at.seq, ms: 0 };
    }

    /// Tells whatever comes, until nobody listens. It never gives up.
    pub async fn tell(&mut self, listener: Sender<Heard>) {
        let mut empty = 0_u32;
        loop {
            let heard = match self.read().await {
                Ok(entries) => {
                    empty = if entries.is_empty() { empty.saturating_add(1) } else { 0 };
                    Heard::Entries(entries)
                }
                Err(lost) => Heard::Lost(lost),
            };
            let is_lost = matches!(heard, Heard::Lost(_));
            if listener.send(heard).await.is_err() {
                return;
            }
            if is_lost {
                tokio::time::sleep(RETRY_AFTER).await;
            } else if empty > 0 && empty.is_multiple_of(EMPTY_READS_A_CONNECTION) {
                self.connection.begin_anew().await;
            } else if empty > 0 && empty.is_multiple_of(EMPTY_READS_MAX) {
                // Where there is no answer, the next question says so.
                let _ = self.turn_back().await;
            }
        }
    }

    /// The entries after those that were read, as soon as there are any; none if there are none for a
    /// while.
    ///
    /// # Errors
    /// [`Lost`]: nothing was read.
    pub async fn read(&mut self) -> Result<Vec<Entry>, Lost> {
        let key = key(&self.namespace, &self.log_id);
        let words = vec![
            Value::from("COUNT"),
            Value::from(READ_ENTRIES_MAX as i64),
            Value::from("BLOCK"),
            Value::from(BLOCK_FOR.as_millis() as i64),
            Value::from("STREAMS"),
            Value::from(key.as_str()),
            Value::from(self.from.to_string()),
        ];
        let answer: Value = self.connection.ask("XREAD", &key, words).await?;
        let mut entries = Vec::new();
        // One stream was asked for: `[[key, [entry, …]]]`, or nothing.
        let streams = items(answer).into_iter().flat_map(items);
        for (id, text) in streams.skip(1).flat_map(items).filter_map(entry) {
            self.from = self.from.max(id);
            entries.push(read(id, &text));
        }
        Ok(entries)
    }

    /// Where the stream ends before what was read of it, it has lost its end: heartbeats under lower
    /// ids than the last one read would not be heard. Frames need no such care, since one that ends at
    /// a lower number says nothing new.
    async fn turn_back(&mut self) -> Result<(), Lost> {
        let end = end(&self.connection, &key(&self.namespace, &self.log_id)).await?;
        self.from = self.from.min(end.unwrap_or_default());
        Ok(())
    }
}

/// The last id that was given in the stream at `key`, also where its entry was deleted; `None` where
/// there is no stream.
pub(super) async fn end(connection: &Connection, key: &str) -> Result<Option<EntryId>, Lost> {
    let words = vec![Value::from("STREAM"), Value::from(key)];
    let answer: Value = match connection.ask("XINFO", key, words).await {
        Err(Lost::Answer(error)) if error.details().contains("no such key") => return Ok(None),
        answer => answer?,
    };
    let mut facts = items(answer).into_iter();
    while let (Some(name), Some(fact)) = (facts.next(), facts.next()) {
        if name.as_str().as_deref() == Some("last-generated-id") {
            return Ok(fact.as_str().and_then(|id| id.parse().ok()));
        }
    }
    Ok(None)
}

fn read(id: EntryId, text: &[u8]) -> Entry {
    let message = Message::read(text)?;
    let is_its_own = match &message {
        Message::Frame(frame) => id == EntryId::of_frame(frame),
        Message::Heartbeat(heartbeat) => id.seq == heartbeat.last && id.ms > 0,
    };
    if is_its_own { Ok(message) } else { Err(Unread::Id) }
}

/// The id of an entry `[id, [field, value, …]]`, and the value of our field; empty where it has none.
fn entry(entry: Value) -> Option<(EntryId, Vec<u8>)> {
    let mut parts = items(entry).into_iter();
    let id = parts.next()?.as_string()?.parse().ok()?;
    let mut words = parts.flat_map(items);
    let mut text = Vec::new();
    while let (Some(field), Some(value)) = (words.next(), words.next()) {
        if field.as_str().as_deref() == Some(FIELD) {
            text = value.into_owned_bytes().map(|bytes| bytes.to_vec()).unwrap_or_default();
        }
    }
    Some((id, text))
}

/// What an array holds; nothing for anything else.
fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}
