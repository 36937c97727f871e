//! How much waits in queues, and how much workers are at.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::time::Duration;

use fred::types::Value;
use kernel::celery::Names;
use kernel::time::Timestamp;

use super::workers::Queue;
use crate::redis::connection::Connection;
use crate::redis::connection::Lost;
use crate::redis::connection::Script;

/// The queues that are watched, and since when the messages that are next in them were; what workers
/// have taken out of them.
#[derive(Debug)]
pub(super) struct Queues {
    names: Names,
    queues: Vec<String>,
    script: Script,
    next: HashMap<String, (String, Duration)>,
    /// What could not be looked at the last time.
    faulty: BTreeSet<String>,
}

/// What workers have taken and not yet acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InFlight {
    pub(super) count: u64,
    /// How long ago the first was taken.
    pub(super) oldest: Option<Duration>,
}

impl Queues {
    pub(super) fn new(names: Names, queues: Vec<String>) -> Self {
        let script = Script::new(include_str!("queue.lua"));
        Self { names, queues, script, next: HashMap::new(), faulty: BTreeSet::new() }
    }

    /// How much waits in each; `now` is the time since the machine came up.
    ///
    /// # Errors
    /// [`Lost`], where there is no answer. What else is wrong with a queue leaves it unknown.
    pub(super) async fn look(
        &mut self,
        connection: &Connection,
        now: Duration,
    ) -> Result<Vec<Queue>, Lost> {
        let mut found = Vec::with_capacity(self.queues.len());
        for name in self.queues.clone() {
            let looked = self.look_at(&name, connection, now).await;
            let queue = self.own_faults_apart(&name, looked)?;
            found.push(queue.unwrap_or_else(|| Queue::unknown(&name)));
        }
        Ok(found)
    }

    async fn look_at(
        &mut self,
        name: &str,
        connection: &Connection,
        now: Duration,
    ) -> Result<Queue, Lost> {
        let lists = self.names.lists(name);
        let words = lists.iter().map(|list| Value::from(list.as_str())).collect();
        let answer: Vec<Value> = connection.run(&self.script, &lists[0], words).await?;
        let mut answer = answer.into_iter();
        let depth = answer.next().and_then(|depth| depth.as_u64());
        let marks = answer.map(|mark| mark.into_string().unwrap_or_default());
        let waiting = lists.into_iter().zip(marks);
        let waiting = waiting.filter_map(|(list, mark)| self.waits(list, mark, now)).max();
        Ok(Queue { name: name.to_owned(), depth, waiting })
    }

    /// What workers have taken; `now` is what their clocks should say. None where the broker does not
    /// say.
    ///
    /// # Errors
    /// [`Lost`], where there is no answer.
    pub(super) async fn in_flight(
        &mut self,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<Option<InFlight>, Lost> {
        let looked = in_flight(connection, &self.names, now).await;
        self.own_faults_apart(&self.names.unacked(), looked)
    }

    /// What was found at `place`; none where something is wrong there and nowhere else, such as a value
    /// of another kind, or a right that is missing. That is said once, until it is gone.
    fn own_faults_apart<T>(
        &mut self,
        place: &str,
        looked: Result<T, Lost>,
    ) -> Result<Option<T>, Lost> {
        match looked {
            Ok(found) => {
                self.faulty.remove(place);
                Ok(Some(found))
            }
            Err(lost) if lost.is_silence() => Err(lost),
            Err(fault) => {
                if self.faulty.insert(place.to_owned()) {
                    tracing::warn!(
                        error = fault.in_short(),
                        "`{place}` at the Celery broker cannot be looked at: what is there is not known"
                    );
                }
                Ok(None)
            }
        }
    }

    /// How long the message with that mark has been the next of `list`; none where there is none.
    fn waits(&mut self, list: String, mark: String, now: Duration) -> Option<Duration> {
        if mark.is_empty() {
            self.next.remove(&list);
            return None;
        }
        let seen = self.next.entry(list).or_insert_with(|| (mark.clone(), now));
        if seen.0 != mark {
            *seen = (mark, now);
        }
        Some(now.saturating_sub(seen.1))
    }
}

async fn in_flight(
    connection: &Connection,
    names: &Names,
    now: Timestamp,
) -> Result<InFlight, Lost> {
    let unacked = names.unacked();
    let count: i64 = connection.ask("HLEN", &unacked, vec![unacked.as_str().into()]).await?;
    let index = names.unacked_index();
    let words = vec![index.as_str().into(), 0.into(), 0.into(), "WITHSCORES".into()];
    let first: Value = connection.ask("ZRANGE", &index, words).await?;
    let taken_at = match first {
        Value::Array(mut pair) => pair.pop().and_then(|score| score.as_f64()),
        _ => None,
    };
    let taken_at = taken_at.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let since = |taken: Duration| Duration::from_millis(now.as_millis()).saturating_sub(taken);
    Ok(InFlight { count: count.unsigned_abs(), oldest: taken_at.map(since) })
}
