//! On what terms tasks are carried out.

use std::time::Duration;

use config::Worker;
use stores::redis::broker::DeadLetters;

/// The most messages that are kept in the list of those that nobody can make anything of.
pub const DEAD_LETTERS_MAX: usize = 10_000;

/// The most tasks that one worker holds until their time comes; past it, it takes no more messages.
pub const LATER_MAX: usize = 100_000;

/// The longest pause before a task is tried again.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(10 * 60);

/// What is configured, with nothing left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What the worker is called.
    pub name: String,
    /// How many tasks run at one time.
    pub concurrency: usize,
    /// How many messages are taken ahead for each of them, that one included.
    pub prefetch: usize,
    /// After how long what a worker took goes back to its queue.
    pub visibility_timeout: Duration,
    /// How long a task may take, whatever its message says.
    pub time_limit: Duration,
    /// How often a task is tried again.
    pub retries_max: u32,
    /// How long results are kept, in seconds.
    pub result_ttl_s: u64,
    /// How long a stopping worker waits for the tasks that run.
    pub drain_timeout: Duration,
    /// The list of messages that nobody can make anything of.
    pub dead_letters: String,
}

impl Terms {
    /// Those of `worker`, on a machine called `host` with so many cores, in the process `pid`.
    pub fn new(worker: &Worker, host: &str, cores: usize, pid: u32) -> Self {
        Self {
            name: worker.name.clone().unwrap_or_else(|| format!("doorward-{pid}@{host}")),
            concurrency: worker.concurrency.unwrap_or(cores).max(1),
            prefetch: worker.prefetch,
            visibility_timeout: worker.visibility_timeout,
            time_limit: worker.time_limit,
            retries_max: worker.retries_max,
            result_ttl_s: worker.result_ttl.as_secs(),
            drain_timeout: worker.drain_timeout,
            dead_letters: worker.dead_letters.clone(),
        }
    }
}

impl Terms {
    /// Where messages go that nobody can make anything of.
    pub(crate) fn dead_letters_kept(&self) -> DeadLetters<'_> {
        DeadLetters { list: &self.dead_letters, kept_max: DEAD_LETTERS_MAX }
    }
}

/// How long to wait before a task is tried again that was tried `retries` times again already: 1, 2, 4 …
/// seconds, at most [`RETRY_AFTER_MAX`].
pub(crate) fn retry_after(retries: u32) -> Duration {
    let seconds = 1_u64.checked_shl(retries).unwrap_or(u64::MAX);
    Duration::from_secs(seconds).min(RETRY_AFTER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_ten_minutes() {
        let pauses =
            [0, 1, 2, 9, 10, 63, 64, u32::MAX].map(|retries| retry_after(retries).as_secs());
        assert_eq!(pauses, [1, 2, 4, 512, 600, 600, 600, 600]);
    }
}
