//! What came of a task, as it lies in the result backend.

use serde_json::Value;
use serde_json::json;

use super::MESSAGE_BYTES_MAX;
use super::fault::Unreadable;
use super::json;
use super::json::Object;
use crate::time::Timestamp;

/// How long Celery keeps a result unless it is told otherwise, in seconds.
pub const KEPT_S: u64 = 86_400;

/// The key of a task's result, and the channel on which whoever waits for it hears of it; what is
/// published is what is kept.
pub fn key(task_id: &str) -> String {
    format!("celery-task-meta-{task_id}")
}

/// How a task stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It was begun; its result says by whom.
    Started,
    /// It is done; its result is what it gave.
    Success,
    /// It failed; its result is the [`Failure`].
    Failure,
    /// It will be tried again; its result is why.
    Retry,
    /// It will not be done; its result is why.
    Revoked,
    /// What the task itself says of its progress, such as `PROGRESS`; its result is what it says.
    Custom(String),
}

impl State {
    /// Its name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Started => "STARTED",
            Self::Success => "SUCCESS",
            Self::Failure => "FAILURE",
            Self::Retry => "RETRY",
            Self::Revoked => "REVOKED",
            Self::Custom(name) => name,
        }
    }

    /// Whether nothing comes after it.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Success | Self::Failure | Self::Revoked => true,
            Self::Started | Self::Retry | Self::Custom(_) => false,
        }
    }
}

impl From<String> for State {
    fn from(name: String) -> Self {
        let known = [Self::Started, Self::Success, Self::Failure, Self::Retry, Self::Revoked];
        known.into_iter().find(|state| state.as_str() == name).unwrap_or(Self::Custom(name))
    }
}

/// A Python exception, as a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Its class.
    pub exc_type: String,
    /// Its arguments.
    pub exc_message: Vec<Value>,
    /// The module of its class.
    pub exc_module: Option<String>,
}

impl Failure {
    /// An exception of Python's own, such as `RuntimeError`, with one text.
    pub fn builtin(exc_type: &str, message: &str) -> Self {
        let exc_module = Some("builtins".to_owned());
        Self { exc_type: exc_type.to_owned(), exc_message: vec![message.into()], exc_module }
    }

    /// It, as a result.
    pub fn to_json(&self) -> Value {
        json!({
            "exc_type": self.exc_type,
            "exc_message": self.exc_message,
            "exc_module": self.exc_module,
        })
    }

    /// Reads the result of a task in the state [`State::Failure`], [`State::Retry`] or
    /// [`State::Revoked`]; none where it is not one.
    pub fn of(result: &Value) -> Option<Self> {
        let exc_type = result.get("exc_type")?.as_str()?.to_owned();
        let exc_message = match result.get("exc_message") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(all)) => all.clone(),
            Some(one) => vec![one.clone()],
        };
        let exc_module = result.get("exc_module").and_then(Value::as_str).map(str::to_owned);
        Some(Self { exc_type, exc_message, exc_module })
    }
}

/// What is known of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskResult {
    /// Which task.
    pub task_id: String,
    /// How it stands.
    pub state: State,
    /// What that means depends on the state.
    pub result: Value,
    /// Where a failure came from: paths and code, which no client may see.
    pub traceback: Option<String>,
    /// Tasks that it called for.
    pub children: Value,
    /// When it was done.
    pub date_done: Option<Timestamp>,
    /// All else, as it came: `parent_id`, and more with `result_extended`.
    pub others: Object,
}

impl TaskResult {
    /// Task `task_id` stands so.
    pub fn new(task_id: &str, state: State, result: Value) -> Self {
        Self {
            task_id: task_id.to_owned(),
            state,
            result,
            traceback: None,
            children: Value::Array(Vec::new()),
            date_done: None,
            others: Object::new(),
        }
    }

    /// Task `task_id` was done at `at`, and gave `result`.
    pub fn success(task_id: &str, result: Value, at: Timestamp) -> Self {
        Self { date_done: Some(at), ..Self::new(task_id, State::Success, result) }
    }

    /// Task `task_id` failed at `at`.
    pub fn failure(
        task_id: &str,
        failure: &Failure,
        traceback: Option<String>,
        at: Timestamp,
    ) -> Self {
        let result = Self::new(task_id, State::Failure, failure.to_json());
        Self { date_done: Some(at), traceback, ..result }
    }

    /// It, as it is kept and published.
    pub fn write(&self) -> String {
        let mut all = self.others.clone();
        for (name, value) in [
            ("status", json!(self.state.as_str())),
            ("result", self.result.clone()),
            ("traceback", json!(self.traceback)),
            ("children", self.children.clone()),
            ("date_done", json!(self.date_done.map(json::isoformat))),
            ("task_id", json!(self.task_id)),
        ] {
            all.insert(name.to_owned(), value);
        }
        Value::Object(all).to_string()
    }

    /// Reads a result of at most [`MESSAGE_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut all: Object = json::read(bytes, MESSAGE_BYTES_MAX, "a result")?;
        Ok(Self {
            task_id: json::take_name(&mut all, "task_id")?,
            state: json::take_name(&mut all, "status")?.into(),
            result: all.remove("result").unwrap_or_default(),
            traceback: json::take_text_if_any(&mut all, "traceback")?,
            children: all.remove("children").unwrap_or_default(),
            date_done: json::take_moment(&mut all, "date_done")?,
            others: all,
        })
    }
}
