//! How a worker serves a Celery installation.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How `doorward worker` serves the broker of `[celery]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// What it is called; `None`: by its process and its machine.
    pub name: Option<String>,
    /// Its address for probes and metrics; `None`: it has none.
    pub ops: Option<SocketAddr>,
    /// Queues that it serves; `None`: those that are watched. No two are the same.
    pub queues: Option<Vec<String>>,
    /// How many tasks run at one time; `None`: one for each core.
    pub concurrency: Option<usize>,
    /// How many messages are taken ahead for each of them, that one included.
    pub prefetch: usize,
    /// After how long what a worker took goes back to its queue.
    pub visibility_timeout: Duration,
    /// How long a task may take, whatever its message says.
    pub time_limit: Duration,
    /// How often a task is tried again that has failed for a reason that may pass.
    pub retries_max: u32,
    /// How long results are kept.
    pub result_ttl: Duration,
    /// How long a stopping worker waits for the tasks that run.
    pub drain_timeout: Duration,
    /// The list of messages that nobody can make anything of.
    pub dead_letters: String,
    /// The directory of the model that makes vectors of texts; `None`: words are hashed.
    pub model: Option<PathBuf>,
    /// How many numbers a vector has where words are hashed.
    pub dimensions: usize,
    /// What the task is called that makes vectors of texts.
    pub embed_task: String,
    /// The stage of job status that it reports on.
    pub embed_stage: String,
    /// What the task is called that does nothing.
    pub noop_task: String,
}
