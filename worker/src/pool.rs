//! The threads that carry tasks out: so many, and no more.

use std::collections::VecDeque;
use std::io;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use kernel::time::now;
use parking_lot::Condvar;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use crate::task::Call;
use crate::task::Failed;
use crate::task::Task;

/// A task with its call.
pub(crate) struct Job {
    /// The message that calls for it.
    pub(crate) tag: String,
    pub(crate) task: Arc<dyn Task>,
    pub(crate) call: Call,
}

/// What came of a job.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) tag: String,
    pub(crate) end: End,
    /// How long it took.
    pub(crate) took: Duration,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    /// It gave this.
    Gave(Value),
    /// It says why it did not.
    Failed(Failed),
    /// It was not begun: its time had passed.
    Expired,
    /// There is a fault in it.
    Panicked,
}

/// The threads. They end once this is dropped, each after the job it is at.
#[derive(Debug)]
pub(crate) struct Pool {
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Bounded by whoever puts jobs in: it takes no more messages than it has room for.
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    closed: bool,
}

impl Pool {
    /// Starts `threads`, which tell `done` what came of each job.
    ///
    /// # Errors
    /// The system's, where it gives no more threads.
    pub(crate) fn start(threads: usize, done: &UnboundedSender<Done>) -> io::Result<Self> {
        let pool = Self { queue: Arc::default() };
        for number in 0..threads {
            let (queue, done) = (Arc::clone(&pool.queue), done.clone());
            let thread = thread::Builder::new().name(format!("task-{number}"));
            thread.spawn(move || work(&queue, &done))?;
        }
        Ok(pool)
    }

    /// Has jobs carried out, in this order, once there are threads for them.
    pub(crate) fn put(&self, jobs: Vec<Job>) {
        let count = jobs.len();
        self.queue.jobs.lock().waiting.extend(jobs);
        (0..count).for_each(|_| _ = self.queue.changed.notify_one());
    }

    /// Takes back all jobs that were not begun, in their order.
    pub(crate) fn withdraw(&self) -> Vec<Job> {
        self.queue.jobs.lock().waiting.drain(..).collect()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut jobs = self.queue.jobs.lock();
        jobs.closed = true;
        jobs.waiting.clear();
        self.queue.changed.notify_all();
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.jobs.lock().waiting.len()).finish()
    }
}

fn work(queue: &Queue, done: &UnboundedSender<Done>) {
    while let Some(job) = next(queue) {
        let began = Instant::now();
        let end = carry_out(&job);
        if done.send(Done { tag: job.tag, end, took: began.elapsed() }).is_err() {
            return;
        }
    }
}

fn next(queue: &Queue) -> Option<Job> {
    let mut jobs = queue.jobs.lock();
    loop {
        match jobs.waiting.pop_front() {
            // Within the lock: whoever withdraws what was not begun knows which ones were.
            Some(job) => {
                job.call.course.begin();
                return Some(job);
            }
            None if jobs.closed => return None,
            None => queue.changed.wait(&mut jobs),
        }
    }
}

fn carry_out(job: &Job) -> End {
    if job.call.message().expires.is_some_and(|at| at <= now()) {
        return End::Expired;
    }
    // A task with a fault takes no thread along; what it shares with others is behind their locks.
    let end = match catch_unwind(AssertUnwindSafe(|| job.task.run(&job.call))) {
        Ok(Ok(value)) => End::Gave(value),
        Ok(Err(failed)) => End::Failed(failed),
        Err(_) => End::Panicked,
    };
    // Here, and not where it is noted: that may be long after.
    match job.call.course.is_done_in_time() {
        true => end,
        false => End::Failed(Failed::Overdue),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::noop::Noop;

    #[test]
    fn whether_a_task_was_in_time_shows_where_it_ends() {
        for (limit, expected) in [
            (Duration::from_secs(3600), End::Gave(Value::Null)),
            (Duration::ZERO, End::Failed(Failed::Overdue)),
        ] {
            let call = Call::new("1", Vec::new(), Map::new()).within(limit);
            let job = Job { tag: "1".to_owned(), task: Arc::new(Noop), call };
            assert_eq!(carry_out(&job), expected);
        }
    }
}
