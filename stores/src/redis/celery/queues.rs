//! How much waits in queues, and how much workers are at.

use std::collections::HashMap;
use std::time::Duration;

use fred::types::Value;
use kernel::celery::Names;
use kernel::time::Timestamp;

use super::workers::Queue;
use crate::redis::connection::Connection;
use crate::redis::connection::Lost;
use crate::redis::connection::Script;

/// The queues that are watched, and since when the messages that are next in them were.
#[derive(Debug)]
pub(super) struct Queues {
    names: Names,
    queues: Vec<String>,
    script: Script,
    next: HashMap<String, (String, Duration)>,
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
        Self { names, queues, script, next: HashMap::new() }
    }

    /// How much waits in each; `now` is the time since the machine came up.
    ///
    /// # Errors
    /// [`Lost`].
    pub(super) async fn look(
        &mut self,
        connection: &Connection,
        now: Duration,
    ) -> Result<Vec<Queue>, Lost> {
        let mut found = Vec::with_capacity(self.queues.len());
        for name in self.queues.clone() {
            let lists = self.names.lists(&name);
            let words = lists.iter().map(|list| Value::from(list.as_str())).collect();
            let (depth, marks): (i64, Vec<String>) = {
                let answer: Vec<Value> = connection.run(&self.script, &lists[0], words).await?;
                let mut answer = answer.into_iter();
                let depth = answer.next().and_then(|depth| depth.as_i64()).unwrap_or_default();
                (depth, answer.map(|mark| mark.into_string().unwrap_or_default()).collect())
            };
            let waiting = lists.into_iter().zip(marks);
            let waiting = waiting.filter_map(|(list, mark)| self.waits(list, mark, now)).max();
            found.push(Queue { name, depth: depth.unsigned_abs(), waiting });
        }
        Ok(found)
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

/// What workers have taken; `now` is what their clocks should say.
///
/// # Errors
/// [`Lost`].
pub(super) async fn in_flight(
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
