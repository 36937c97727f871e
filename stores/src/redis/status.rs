//! Records of job status in Redis: what a whole fleet sees, and the replaced Python service beside it.
//!
//! One script takes a report in, so that whatever happens at once happens one after the other; it goes by
//! Redis' clock, the only one that all processes share. The record stands under the key, and in the
//! JSON, that the replaced service reads and writes; what we know beyond that stands beside it, in keys of
//! the same slot. An owner's list is a key of its own in another slot, written after the record by a
//! script of its own: it may be stale, and is put right when it is read.

pub(crate) mod hints;
pub(crate) mod outbox;
mod stored;

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use config::Status;
use fred::types::Value;
use futures_util::future::join_all;
use kernel::lost::StoreLost;
use kernel::status::CHANGES_KEPT_MAX;
use kernel::status::Change;
use kernel::status::Cursor;
use kernel::status::Effect;
use kernel::status::NotTaken;
use kernel::status::OtherOwner;
use kernel::status::Page;
use kernel::status::Plan;
use kernel::status::Record;
use kernel::status::Report;
use kernel::status::ResourceId;
use kernel::status::Since;
use kernel::status::StatusStore;
use kernel::status::Taken;
use kernel::time::Timestamp;
use uuid::Uuid;

use crate::redis::connection::Connection;
use crate::redis::connection::Lost;
use crate::redis::connection::Script;
use crate::redis::guard::Guard;
use crate::redis::guard::Unanswered;
use crate::redis::key::encode;
use crate::redis::quotas::Clock;
use crate::redis::status::stored::NotStored;

/// How long one call may take: longer than one for a limit, for it is the whole of what is asked.
pub const BUDGET: Duration = Duration::from_millis(250);

/// The most resources in one owner's list; past it the one that was not reported on for longest is left
/// out.
pub const LISTED_MAX: usize = 100_000;

/// How many times as long as the record what we know beyond it is kept after a report: the replaced
/// service may go on writing the record, and does not know of our keys.
const STATE_KEPT_TIMES: u32 = 7;

/// How long what a probe writes is kept, in seconds.
const PROBE_KEPT_S: u64 = 60;

/// What the scripts take for the server's own clock.
const BY_THE_SERVERS_CLOCK: i64 = -1;

/// Records of job status, in Redis. A clone of it is the same once more.
#[derive(Clone, Debug)]
pub struct RedisStatus {
    guard: Arc<Guard>,
    namespace: Arc<str>,
    /// Who numbers its reports.
    sender: Arc<str>,
    clock: Clock,
    plan: Arc<Plan>,
    /// The plan, as the script reads it.
    planned: Arc<str>,
    ttl: Duration,
    scripts: Arc<Scripts>,
}

#[derive(Debug)]
struct Scripts {
    report: Script,
    index: Script,
    list: Script,
    unlist: Script,
}

/// How a report is taken in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asking {
    /// By whoever waits for it: no answer counts against Redis.
    Once,
    /// Again and again, by nobody who waits: that it is not taken in does not say that Redis is lost, for it
    /// may be the only one.
    Aside,
}

/// The keys of one resource, which lie in one slot of a cluster.
struct Keys {
    record: String,
    state: String,
    changes: String,
}

impl RedisStatus {
    /// Records behind `connection`, as `config` says; keys of our own begin with `namespace`.
    pub fn new(connection: &Connection, namespace: &str, clock: Clock, config: &Status) -> Self {
        let meanwhile = "reports wait, and what is known of job status may be out of date";
        let guard = Guard::new(connection.within(BUDGET), "the store of job status", meanwhile);
        let scripts = Scripts {
            report: Script::new(include_str!("status/report.lua")),
            index: Script::new(include_str!("status/index.lua")),
            list: Script::new(include_str!("status/list.lua")),
            unlist: Script::new(include_str!("status/unlist.lua")),
        };
        Self {
            guard: Arc::new(guard),
            namespace: namespace.into(),
            sender: Uuid::new_v4().simple().to_string().into(),
            clock,
            plan: Arc::clone(&config.plan),
            planned: stored::planned(&config.plan).into(),
            ttl: config.ttl,
            scripts: Arc::new(scripts),
        }
    }

    /// Whether Redis is given a rest, because it has failed.
    pub fn rests(&self) -> bool {
        self.guard.rests()
    }

    /// Looks after Redis while it fails, for as long as this runs; without it, what has failed thrice is
    /// never asked again. `recovered` is told whenever it works again.
    pub(crate) async fn keep(&self, recovered: impl FnMut()) {
        let key = format!("{}:status:probe", self.namespace);
        // A call that writes, as reports do: a server that only answers is of no use.
        let probe = || self.guard.connection().put(&key, "", PROBE_KEPT_S);
        self.guard.keep(probe, recovered).await;
    }

    /// Where changes are told at once.
    fn channel(&self) -> String {
        format!("{}:status:changes", self.namespace)
    }

    /// The key of `owner`'s list.
    fn list_key(&self, owner: &str) -> String {
        let mut key = format!("{}:status:{{owner:", self.namespace);
        encode(owner.as_bytes(), &mut key);
        key.push('}');
        key
    }

    fn now_ms(&self, now: Timestamp) -> i64 {
        match self.clock {
            Clock::OfTheServer => BY_THE_SERVERS_CLOCK,
            Clock::OfTheCaller => now.as_millis() as i64,
        }
    }

    fn ttl_ms(&self) -> Value {
        milliseconds(self.ttl)
    }

    /// Whether what was last reported on then is over by the caller's clock; the server sees to it by
    /// its own.
    fn is_over(&self, record: &Record, now: Timestamp) -> bool {
        self.clock == Clock::OfTheCaller && record.updated_at.plus(self.ttl) <= now
    }

    async fn take(
        &self,
        report: &Report,
        number: Option<u64>,
        now: Timestamp,
    ) -> Result<Vec<Value>, Lost> {
        let keys = Keys::of(&self.namespace, &report.id);
        let arguments = vec![
            Value::from(self.now_ms(now)),
            milliseconds(report.waited),
            self.ttl_ms(),
            milliseconds(self.ttl * STATE_KEPT_TIMES),
            Value::from(report.id.to_string()),
            Value::from(report.id.to_json().to_string()),
            Value::from(&*self.planned),
            Value::from(stored::said(&report.update)),
            Value::from(&*report.owner.id),
            Value::from(i64::from(report.owner.is_named)),
            Value::from(CHANGES_KEPT_MAX as i64),
            Value::from(self.channel()),
            Value::from(number.map_or("", |_| &self.sender)),
            Value::from(number.unwrap_or_default() as i64),
        ];
        let keys = [keys.record.as_str(), &keys.state, &keys.changes];
        self.guard.connection().run_on(&self.scripts.report, &keys, arguments).await
    }

    /// Takes a report in. Its `number` is that among ours, in the order in which they were said: what we
    /// have given up of those may be carried out yet.
    pub(crate) async fn put_by(
        &self,
        asking: Asking,
        report: &Report,
        number: Option<u64>,
        now: Timestamp,
    ) -> Result<Taken, NotTaken> {
        let (here, report) = (self.clone(), report.clone());
        // By itself: whoever reports may be gone before it is in the owner's list.
        let taking =
            tokio::spawn(async move { here.take_and_list(asking, &report, number, now).await });
        taking.await.map_err(|error| StoreLost::Unreachable(error.into()))?
    }

    async fn ask<T>(
        &self,
        asking: Asking,
        question: impl Future<Output = Result<T, Lost>>,
    ) -> Result<T, Unanswered> {
        match asking {
            Asking::Once => self.guard.ask(question).await,
            Asking::Aside => self.guard.ask_aside(question).await,
        }
    }

    /// Takes a report in, and puts the record into its owner's list.
    async fn take_and_list(
        &self,
        asking: Asking,
        report: &Report,
        number: Option<u64>,
        now: Timestamp,
    ) -> Result<Taken, NotTaken> {
        let answer = self.ask(asking, self.take(report, number, now)).await;
        let answer = answer.map_err(StoreLost::from)?;
        let mut answer = answer.into_iter().map(bytes).map(Option::unwrap_or_default);
        let effect = match answer.next().as_deref() {
            Some(b"applied") => Effect::Applied,
            Some(b"known") => Effect::Known,
            Some(b"outdated") => Effect::Outdated,
            Some(b"other_owner") => return Err(OtherOwner.into()),
            _ => return Err(StoreLost::Answer(NotStored::Name.into()).into()),
        };
        let (record, state) = (answer.next().unwrap_or_default(), answer.next());
        let record = self.record(&report.id, &record, state.as_deref(), now)?;
        self.put_into_list(asking, &record).await;
        Ok(Taken { record, effect })
    }

    fn record(
        &self,
        id: &ResourceId,
        record: &[u8],
        state: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Record, StoreLost> {
        Ok(stored::record(id, record, state, &self.plan, self.ttl, now)?)
    }

    /// Puts a record into its owner's list. Where that fails the list is stale, until the next report.
    async fn put_into_list(&self, asking: Asking, record: &Record) {
        let Some(owner) = &record.owner else { return };
        let key = self.list_key(&owner.id);
        let arguments = vec![
            Value::from(record.updated_at.as_millis() as i64),
            Value::from(record.id.to_string()),
            self.ttl_ms(),
            Value::from(LISTED_MAX as i64),
        ];
        let put = self.guard.connection().run::<Value>(&self.scripts.index, &key, arguments);
        if let Err(error) = self.ask(asking, put).await {
            tracing::debug!(error = error.to_string(), "a resource is not in its owner's list yet");
        }
    }

    async fn read(&self, id: &ResourceId, now: Timestamp) -> Result<Option<Record>, StoreLost> {
        let keys = Keys::of(&self.namespace, id);
        let words = vec![Value::from(keys.record.as_str()), Value::from(keys.state.as_str())];
        let asked = self.guard.connection().ask::<Vec<Value>>("MGET", &keys.record, words);
        let mut values = self.guard.ask(asked).await?.into_iter().map(bytes);
        let Some(record) = values.next().flatten() else { return Ok(None) };
        let state = values.next().flatten();
        let record = self.record(id, &record, state.as_deref(), now)?;
        Ok(Some(record).filter(|record| !self.is_over(record, now)))
    }

    /// The names in an owner's list, each with when it was reported on.
    async fn names(
        &self,
        owner: &str,
        after: Option<&Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<(ResourceId, Timestamp)>, StoreLost> {
        let key = self.list_key(owner);
        let arguments = vec![
            Value::from(self.now_ms(now)),
            self.ttl_ms(),
            Value::from(limit as i64),
            Value::from(after.map_or_else(String::new, |after| after.at.as_millis().to_string())),
            Value::from(after.map_or_else(String::new, |after| after.id.to_string())),
        ];
        let asked = self.guard.connection().run::<Vec<String>>(&self.scripts.list, &key, arguments);
        let answer = self.guard.ask(asked).await?;
        let (pairs, _) = answer.as_chunks();
        let name = |[name, at]: &[String; 2]| {
            Some((ResourceId::parse(name).ok()?, Timestamp::from_millis(at.parse().ok()?)))
        };
        Ok(pairs.iter().filter_map(name).collect())
    }

    /// Takes names out of an owner's list under which nothing of theirs was, each as it stood there.
    async fn take_out_of_list(&self, owner: &str, names: &[&(ResourceId, Timestamp)]) {
        let key = self.list_key(owner);
        let words = names.iter().flat_map(|(name, at)| {
            [Value::from(name.to_string()), Value::from(at.as_millis() as i64)]
        });
        let taken =
            self.guard.connection().run::<Value>(&self.scripts.unlist, &key, words.collect());
        // They are left out of answers all the same.
        drop(self.guard.ask(taken).await);
    }

    /// The changes after `version` that are kept, oldest first.
    async fn changes(&self, id: &ResourceId, version: u64) -> Result<Vec<Change>, StoreLost> {
        let keys = Keys::of(&self.namespace, id);
        let words = vec![
            Value::from(keys.changes.as_str()),
            Value::from(format!("({version}-0")),
            Value::from("+"),
        ];
        let asked = self.guard.connection().ask::<Value>("XRANGE", &keys.changes, words);
        let entries = items(self.guard.ask(asked).await?);
        // Each entry is `[id, ["c", change]]`.
        let change = |entry: Value| {
            let fields = items(entry).into_iter().nth(1).map(items).unwrap_or_default();
            let text = fields.into_iter().nth(1).and_then(bytes).unwrap_or_default();
            stored::change(&text, &self.plan)
        };
        Ok(entries.into_iter().map(change).collect::<Result<_, _>>()?)
    }
}

impl StatusStore for RedisStatus {
    async fn put(&self, report: &Report, now: Timestamp) -> Result<Taken, NotTaken> {
        self.put_by(Asking::Once, report, None, now).await
    }

    async fn get(&self, id: &ResourceId, now: Timestamp) -> Result<Option<Record>, StoreLost> {
        self.read(id, now).await
    }

    async fn list(
        &self,
        owner: &str,
        after: Option<&Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, StoreLost> {
        let mut names = self.names(owner, after, limit.saturating_add(1), now).await?;
        let is_last = names.len() <= limit;
        names.truncate(limit);
        let next = names.last().filter(|_| !is_last);
        let next = next.map(|(id, at)| Cursor { at: *at, id: id.clone() });
        let read = join_all(names.iter().map(|(id, _)| self.read(id, now))).await;
        let (mut records, mut gone) = (Vec::with_capacity(names.len()), Vec::new());
        let mut unread = Vec::new();
        for (name, record) in names.iter().zip(read) {
            match record {
                Ok(Some(record)) if record.is_of(owner) => records.push(record),
                Ok(_) => gone.push(name),
                Err(lost) if lost.concerns_all() => return Err(lost),
                Err(error) => unread.push((&name.0, error)),
            }
        }
        if let Some((first, error)) = unread.first() {
            // Once a page: they may all be so.
            tracing::warn!(
                resource = first.to_string(),
                left_out = unread.len(),
                "resources are left out of their owner's list, this one first: {error}"
            );
        }
        if !gone.is_empty() {
            self.take_out_of_list(owner, &gone).await;
        }
        Ok(Page { records, next })
    }

    async fn since(
        &self,
        id: &ResourceId,
        version: u64,
        now: Timestamp,
    ) -> Result<Since, StoreLost> {
        if version == 0 {
            return Ok(Since::Missed);
        }
        let changes = self.changes(id, version).await?;
        if changes.is_empty() {
            // Nothing since, or nothing at all: the record tells.
            let record = self.read(id, now).await?;
            let is_there = record.is_some_and(|record| record.version == version);
            return Ok(if is_there { Since::Changes(changes) } else { Since::Missed });
        }
        // Some may be of a record that was lost, or set back.
        let befores = iter::once(version).chain(changes.iter().map(|change| change.version));
        let is_whole = befores.zip(&changes).all(|(before, change)| change.previous == before);
        Ok(if is_whole { Since::Changes(changes) } else { Since::Missed })
    }
}

impl Keys {
    fn of(namespace: &str, id: &ResourceId) -> Self {
        let mut record = "progress:resource:".to_owned();
        encode(id.to_string().as_bytes(), &mut record);
        let state = format!("{namespace}:status:{{{record}}}");
        let changes = format!("{state}:events");
        Self { record, state, changes }
    }
}

impl From<NotStored> for StoreLost {
    fn from(error: NotStored) -> Self {
        Self::Answer(error.into())
    }
}

fn milliseconds(duration: Duration) -> Value {
    Value::from(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

/// The bytes of a text; `None` for nothing.
fn bytes(value: Value) -> Option<Vec<u8>> {
    value.into_owned_bytes().map(|bytes| bytes.to_vec())
}

/// What an array holds; nothing for anything else.
fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
