//! What a task is, and what it is called.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kernel::celery::Task as Message;
use kernel::celery::result::Failure;
use kernel::time::uptime;
use serde_json::Map;
use serde_json::Value;

/// Something that can be done for whoever asks for it by name.
///
/// Contract: it may be called on several threads at one time, and again for a call it was given before.
/// Where it takes long it [checks](Call::check) now and then whether the call is over.
pub trait Task: Send + Sync {
    /// Does it.
    ///
    /// # Errors
    /// [`Failed`]; its text reaches whoever asked.
    fn run(&self, call: &Call) -> Result<Value, Failed>;

    /// Hears that a call was done, and what it gave is kept. Of one that is somebody else's by then nothing
    /// is heard. Whoever tells it does not wait.
    fn was_done(&self, _call: &Call) {}

    /// Hears likewise that a call came to nothing, and is not tried again: it failed, or had a fault, or its
    /// time was over, be it that some thread goes on at it.
    fn came_to_nothing(&self, _call: &Call) {}
}

/// One call of a task.
#[derive(Clone, Debug)]
pub struct Call {
    message: Arc<Message>,
    /// How far it is.
    pub(crate) course: Arc<Course>,
}

impl Call {
    /// A call that takes as long as it likes: for tests of tasks.
    pub fn new(id: &str, args: Vec<Value>, kwargs: Map<String, Value>) -> Self {
        let message = Message { kwargs, ..Message::new("", id, args, "", "") };
        Self::of(message, Duration::MAX)
    }

    /// What `message` calls for, which may take so long.
    pub(crate) fn of(message: Message, limit: Duration) -> Self {
        Self { message: Arc::new(message), course: Arc::new(Course::new(limit)) }
    }

    /// The same, which is over after `limit`.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        let course = Arc::new(Course::new(limit));
        course.begin();
        Self { course, ..self }
    }

    /// Its id, by which its result is found.
    pub fn id(&self) -> &str {
        &self.message.id
    }

    /// Its arguments by place.
    pub fn args(&self) -> &[Value] {
        &self.message.args
    }

    /// Its arguments by name.
    pub fn kwargs(&self) -> &Map<String, Value> {
        &self.message.kwargs
    }

    /// How often it was tried before.
    pub fn retries(&self) -> u32 {
        self.message.retries
    }

    /// The message that calls for it.
    pub(crate) fn message(&self) -> &Message {
        &self.message
    }

    /// Whether it makes sense to go on: to be asked between one item and the next.
    ///
    /// # Errors
    /// [`Failed::Overdue`] where its time is over, or the worker stops.
    pub fn check(&self) -> Result<(), Failed> {
        match self.course.is_over() {
            true => Err(Failed::Overdue),
            false => Ok(()),
        }
    }
}

/// Why a task came to nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Failed {
    /// Trying again would change nothing.
    ForGood(Failure),
    /// It may go better later: it is tried again, within bounds.
    ForNow(Failure),
    /// Its time is over.
    Overdue,
}

impl Failed {
    /// What it was given is not what it takes.
    pub fn arguments(message: impl Into<String>) -> Self {
        Self::ForGood(Failure::builtin("ValueError", &message.into()))
    }
}

/// How far a call is: seen by the thread that carries it out and by whoever looks at the time.
#[derive(Debug)]
pub(crate) struct Course {
    limit: Duration,
    /// When it was begun, in milliseconds of uptime; 0: not yet.
    begun_ms: AtomicU64,
    /// Whether it came to its end in time.
    is_done: AtomicBool,
    is_over: AtomicBool,
}

impl Course {
    pub(crate) fn new(limit: Duration) -> Self {
        let [is_done, is_over] = [false, false].map(AtomicBool::new);
        Self { limit, begun_ms: AtomicU64::new(0), is_done, is_over }
    }

    pub(crate) fn begin(&self) {
        self.begun_ms.store(uptime_ms().max(1), Ordering::Release);
    }

    pub(crate) fn is_begun(&self) -> bool {
        self.begun_ms.load(Ordering::Acquire) != 0
    }

    /// Whoever carried it out is done; says whether that was in time. Whoever looks later sees the same.
    pub(crate) fn is_done_in_time(&self) -> bool {
        let in_time = !self.is_overdue();
        self.is_done.store(in_time, Ordering::Release);
        in_time
    }

    /// Whoever carries it out is to stop.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire) || self.is_overdue()
    }

    /// Whether its time is over; it begins with itself, not with its message.
    pub(crate) fn is_overdue(&self) -> bool {
        let begun_ms = self.begun_ms.load(Ordering::Acquire);
        let took = Duration::from_millis(uptime_ms().saturating_sub(begun_ms));
        begun_ms != 0 && took >= self.limit && !self.is_done.load(Ordering::Acquire)
    }
}

fn uptime_ms() -> u64 {
    u64::try_from(uptime().as_millis()).unwrap_or(u64::MAX)
}

/// The tasks that a worker knows, by their names.
#[derive(Clone, Default)]
pub struct Registry {
    tasks: BTreeMap<String, Arc<dyn Task>>,
}

impl Registry {
    /// With another task, called `name`; in place of one that was called so.
    #[must_use]
    pub fn with(mut self, name: &str, task: Arc<dyn Task>) -> Self {
        self.tasks.insert(name.to_owned(), task);
        self
    }

    /// The task of that name.
    pub fn find(&self, name: &str) -> Option<&Arc<dyn Task>> {
        self.tasks.get(name)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tasks.keys().map(String::as_str)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_over_when_its_time_is_or_when_it_is_ended_and_not_before() {
        let call = || Call::new("c", Vec::new(), Map::new());
        assert_eq!(call().check(), Ok(()));
        assert_eq!(call().within(Duration::from_secs(60)).check(), Ok(()));
        assert_eq!(call().within(Duration::ZERO).check(), Err(Failed::Overdue));
        let ended = call();
        ended.course.end();
        assert_eq!(ended.check(), Err(Failed::Overdue));
        assert!(!ended.course.is_overdue(), "it had time left");
        let waits = Course::new(Duration::ZERO);
        assert!(!waits.is_overdue(), "time that it waits for its turn does not count");
        assert!(waits.is_done_in_time());
        waits.begin();
        assert!(!waits.is_overdue(), "it was done by then");
    }
}
