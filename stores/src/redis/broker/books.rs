//! The books of what was taken: each act is one script.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use fred::types::Value;
use kernel::celery::MESSAGE_BYTES_MAX;
use kernel::celery::Names;
use kernel::celery::Task;
use kernel::celery::TaskResult;
use kernel::celery::Unreadable;
use kernel::celery::names::PRIORITIES;
use kernel::celery::result;
use kernel::time::Timestamp;
use uuid::Uuid;

use super::parts::TAKEN_MAX;
use super::parts::parts;
use crate::redis::connection::Connection;
use crate::redis::connection::Lost;
use crate::redis::connection::Script;

/// After so many bytes one act takes no further message.
pub const TAKEN_BYTES_MAX: usize = MESSAGE_BYTES_MAX;

/// A worker's way to its broker.
#[derive(Debug)]
pub struct Broker {
    pub(super) connection: Connection,
    /// Where results are kept, if elsewhere.
    pub(super) results: Option<Connection>,
    pub(super) names: Names,
    pub(super) queues: Vec<Queue>,
    unacked: [String; 2],
    /// What this worker's tags begin with: nobody else's do.
    pub(super) own: String,
    tickets: AtomicU64,
    /// The queue that is looked at first; another each time.
    turn: AtomicUsize,
    scripts: Scripts,
}

#[derive(Debug)]
pub(super) struct Scripts {
    take: Script,
    pub(super) find: Script,
    pub(super) booked: Script,
    pub(super) finish: Script,
    pub(super) keep: Script,
    give_back: Script,
    bury: Script,
    pub(super) overdue: Script,
    pub(super) let_go: Script,
    pub(super) pong: Script,
}

/// A queue that is served.
#[derive(Debug)]
pub(super) struct Queue {
    name: String,
    /// What stands behind its messages in the hash of those that were taken.
    ending: String,
}

/// What an act of taking is called: asked for before, so that what it took is found again although its
/// answer was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    prefix: String,
    /// The first of its messages that is not looked up yet, counted from 1.
    first: usize,
    at_most: usize,
}

impl Ticket {
    /// Whatever it may have taken is called one of these.
    pub fn tags(&self) -> impl Iterator<Item = String> {
        (self.first..=self.at_most).map(|at| format!("{}{at}", self.prefix))
    }

    /// The same without the first `looked_at` of its tags; none where no other is left.
    pub fn after(&self, looked_at: usize) -> Option<Self> {
        let first = self.first.saturating_add(looked_at);
        (first <= self.at_most).then(|| Self { first, ..self.clone() })
    }
}

/// A message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What it is called until somebody has finished it.
    pub tag: String,
    /// The queue it came from.
    pub queue: String,
    /// It, as it lay there; empty where it is longer than any task.
    pub message: Vec<u8>,
    /// How long it is.
    pub(super) bytes: usize,
}

impl Taken {
    /// One that came from `queue`, as scripts answer it: itself, or its length.
    pub(super) fn answered(tag: String, queue: &Queue, answer: &Value) -> Option<Self> {
        let (message, bytes) = match answer {
            Value::Integer(bytes) => (Vec::new(), usize::try_from(*bytes).ok()?),
            text => (text.as_bytes()?.to_vec(), text.as_bytes()?.len()),
        };
        Some(Self { tag, queue: queue.name.clone(), message, bytes })
    }

    /// Reads it as a task.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(&self) -> Result<Task, Unreadable> {
        match self.bytes {
            bytes if bytes > MESSAGE_BYTES_MAX => {
                Err(Unreadable::Long { bytes, at_most: MESSAGE_BYTES_MAX })
            }
            _ => Task::read(&self.message),
        }
    }
}

/// A message that goes into a list again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returned {
    /// What it is called while it is taken.
    pub tag: String,
    /// The queue it goes to.
    pub queue: String,
    /// How urgent it is there.
    pub priority: u8,
    /// As it is to lie there.
    pub message: String,
}

impl Broker {
    /// A worker that serves `queues`, the names of its installation being `names`.
    pub fn new(connection: Connection, names: Names, queues: &[String]) -> Self {
        let queue =
            |name: &String| Queue { ending: format!(",\"\",{}]", Json(name)), name: name.clone() };
        let scripts = Scripts {
            take: Script::new(include_str!("take.lua")),
            find: Script::new(concat!(include_str!("inside.lua"), include_str!("find.lua"))),
            booked: Script::new(include_str!("booked.lua")),
            finish: Script::new(include_str!("finish.lua")),
            keep: Script::new(include_str!("keep.lua")),
            give_back: Script::new(include_str!("give_back.lua")),
            bury: Script::new(concat!(include_str!("inside.lua"), include_str!("bury.lua"))),
            overdue: Script::new(include_str!("overdue.lua")),
            let_go: Script::new(include_str!("let_go.lua")),
            pong: Script::new(include_str!("pong.lua")),
        };
        Self {
            connection,
            results: None,
            unacked: [names.unacked(), names.unacked_index()],
            queues: queues.iter().map(queue).collect(),
            names,
            own: Uuid::new_v4().to_string(),
            tickets: AtomicU64::new(0),
            turn: AtomicUsize::new(0),
            scripts,
        }
    }

    /// The same, with results in another Redis or another of its databases.
    #[must_use]
    pub fn with_results_in(self, results: Connection) -> Self {
        Self { results: Some(results), ..self }
    }

    /// The connection itself.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// A name for an act that takes at most `at_most` messages, and never more than [`TAKEN_MAX`].
    pub fn ticket(&self, at_most: usize) -> Ticket {
        let number = self.tickets.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("{}:{number}:", self.own);
        Ticket { prefix, first: 1, at_most: at_most.min(TAKEN_MAX) }
    }

    /// Takes messages, the most urgent of all queues first, and books them as taken at `now`.
    ///
    /// # Errors
    /// [`Lost`]; what was taken all the same is [found again](Self::find_again).
    pub async fn take(&self, ticket: &Ticket, now: Timestamp) -> Result<Vec<Taken>, Lost> {
        let lists = self.lists();
        let mut keys = self.unacked.to_vec();
        keys.extend(lists.iter().map(|(queue, priority)| self.names.queue(&queue.name, *priority)));
        let mut words: Vec<Value> = vec![seconds(now).into()];
        words.extend([ticket.at_most, TAKEN_BYTES_MAX, MESSAGE_BYTES_MAX].map(count));
        words.push(ticket.prefix.as_str().into());
        words.extend(lists.iter().map(|(queue, _)| Value::from(queue.ending.as_str())));
        let answer = self.act(&self.scripts.take, keys, words).await?;
        let taken = answer.chunks_exact(2).zip(ticket.tags()).filter_map(|(pair, tag)| {
            let (queue, _) = lists.get(pair[0].as_usize()?.checked_sub(1)?)?;
            Taken::answered(tag, queue, &pair[1])
        });
        Ok(taken.collect())
    }

    /// All lists, the most urgent first; those of one urgency in turn.
    fn lists(&self) -> Vec<(&Queue, u8)> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.queues.len();
        let lists = PRIORITIES.iter().flat_map(|priority| {
            (0..count).map(move |at| (&self.queues[(at.wrapping_add(turn)) % count], *priority))
        });
        lists.collect()
    }

    /// Says that messages of these tags were taken at `now`, where they are still booked: whoever has
    /// them is alive.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn still_have(&self, tags: &[String], now: Timestamp) -> Result<(), Lost> {
        let index = &self.unacked[1];
        for some in tags.chunks(TAKEN_MAX) {
            let mut words: Vec<Value> = vec![index.as_str().into(), "XX".into()];
            words.extend(some.iter().flat_map(|tag| [seconds(now).into(), tag.as_str().into()]));
            self.connection.ask::<Value>("ZADD", index, words).await?;
        }
        Ok(())
    }

    /// Puts messages back, to be taken next, the first of them first. Says how many were still booked.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn give_back(&self, messages: &[Returned]) -> Result<usize, Lost> {
        let mut all = 0;
        // The last one that is put back is the first to be taken.
        for some in parts(messages.iter().rev(), |message| message.message.len()) {
            let back = some.into_iter().map(|message| Back::of(message, &self.names));
            all += self.put_back("+inf".into(), "RPUSH", None, back).await?;
        }
        Ok(all)
    }

    /// Puts messages that were taken until `taken_until`, and are still booked, at this end of their
    /// lists; what is `told` of the first is kept for so many seconds. Says how many were put back.
    pub(super) async fn put_back<'m>(
        &self,
        taken_until: Value,
        end: &'static str,
        told: Option<(&Written, u64)>,
        messages: impl Iterator<Item = Back<'m>>,
    ) -> Result<usize, Lost> {
        let kept_s = told.map_or(0, |(_, kept_s)| kept_s);
        let mut told = told.map(|(told, _)| told);
        let mut words = vec![taken_until, Value::from_static_str(end), seconds_kept(kept_s)];
        for Back { tag, lists, message } in messages {
            words.push(tag.into());
            words.extend(match message {
                Lying::So(message) => [message, "".into()],
                Lying::AsItCame { behind } => ["".into(), count(behind)],
            });
            words.extend(Written::words(told.take()));
            words.push(count(lists.len()));
            words.extend(lists.into_iter().map(Value::from));
        }
        let answer = self.run(&self.scripts.give_back, self.unacked.to_vec(), words).await?;
        Ok(answer.as_usize().unwrap_or_default())
    }

    /// Moves a message that is none to `dead_letters`, as it came. Says whether it was still booked.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn bury(&self, tag: &str, dead_letters: DeadLetters<'_>) -> Result<bool, Lost> {
        let DeadLetters { list, kept_max } = dead_letters;
        let mut keys = self.unacked.to_vec();
        keys.push(self.names.key(list));
        let mut words = vec![count(kept_max), tag.into()];
        words.extend(self.endings());
        let answer = self.run(&self.scripts.bury, keys, words).await?;
        Ok(answer.as_usize() == Some(1))
    }

    /// What stands behind messages in the hash of those that were taken, by queue.
    pub(super) fn endings(&self) -> impl Iterator<Item = Value> {
        self.queues.iter().map(|queue| Value::from(queue.ending.as_str()))
    }

    pub(super) async fn act(
        &self,
        script: &Script,
        keys: Vec<String>,
        words: Vec<Value>,
    ) -> Result<Vec<Value>, Lost> {
        Ok(self.run(script, keys, words).await?.into_array())
    }

    pub(super) async fn run(
        &self,
        script: &Script,
        keys: Vec<String>,
        words: Vec<Value>,
    ) -> Result<Value, Lost> {
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        self.connection.run_on(script, &keys, words).await
    }

    pub(super) fn scripts(&self) -> &Scripts {
        &self.scripts
    }

    pub(super) fn unacked(&self) -> Vec<String> {
        self.unacked.to_vec()
    }
}

/// Where what is no message goes.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetters<'n> {
    /// The list.
    pub list: &'n str,
    /// How many are kept in it.
    pub kept_max: usize,
}

/// A message on its way into lists.
pub(super) struct Back<'m> {
    pub(super) tag: &'m str,
    pub(super) lists: Vec<String>,
    pub(super) message: Lying,
}

/// How a message is to lie in a list.
pub(super) enum Lying {
    /// So.
    So(Value),
    /// As it stands in the hash, without the bracket before it and so many bytes behind it.
    AsItCame { behind: usize },
}

impl<'m> Back<'m> {
    pub(super) fn of(message: &'m Returned, names: &Names) -> Self {
        let Returned { tag, queue, priority, message } = message;
        let lists = vec![names.queue(queue, *priority)];
        Self { tag, lists, message: Lying::So(message.as_str().into()) }
    }
}

/// What is told of a task, written once, as it is kept and published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    key: String,
    text: String,
}

impl Written {
    /// It, on paper.
    pub fn new(result: &TaskResult) -> Self {
        Self { key: result::key(&result.task_id), text: result.write() }
    }

    /// What it is kept as.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// As it is kept: JSON.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its key, and itself; empty ones for none.
    pub(super) fn words(written: Option<&Self>) -> [Value; 2] {
        written.map_or(["", ""], |of| [&of.key, &of.text]).map(Value::from)
    }
}

/// A moment as Celery writes it into scores, in seconds.
pub(super) fn seconds(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1000.0
}

pub(super) fn seconds_kept(seconds: u64) -> Value {
    Value::from(i64::try_from(seconds).unwrap_or(i64::MAX))
}

pub(super) fn count(of: usize) -> Value {
    Value::from(i64::try_from(of).unwrap_or(i64::MAX))
}

/// A text as JSON: visible ASCII alone, as names of queues are, has two characters to be escaped.
struct Json<'t>(&'t str);

impl std::fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.0.replace('\\', "\\\\").replace('"', "\\\""))
    }
}
