//! What Celery's clients and workers write to a Redis and read from it: as values, each written and
//! read here, and what the keys and channels are called.
//!
//! Observed with celery 5.4 to 5.7 on kombu 5.4 to 5.7; the tests read what those have written. Only
//! JSON is read, Celery's own default: a pickle is a program of whoever wrote it.
//!
//! Modules in reading order; each uses only those above it.

mod fault;

mod json;

pub mod names;

pub mod envelope;

pub mod task;

pub mod result;

pub mod pidbox;

pub mod event;

pub use self::envelope::Envelope;
pub use self::fault::Unreadable;
pub use self::names::Names;
pub use self::result::TaskResult;
pub use self::task::Task;

/// The most bytes of a message as it lies in a list, and of a result.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most bytes of what workers say of themselves: an event, or what they are asked and answer.
pub const CONTROL_BYTES_MAX: usize = 64 * 1024;

/// The most bytes of a name: a worker's, a task's, a queue's, an id.
pub const NAME_BYTES_MAX: usize = 255;

/// The most names in one list: the workers that a request is for.
pub const NAMES_MAX: usize = 1_024;

#[cfg(test)]
mod tests;
