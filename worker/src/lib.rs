//! A host for Celery tasks: one process that takes them from the Redis of a Celery installation, carries
//! them out on a few threads that share whatever is expensive, and answers as Celery does.
//!
//! Whoever calls a task needs to know nothing of it: the messages, results and signs of life are
//! Celery's own ([`kernel::celery`]), and so are the books of what is taken ([`stores::redis::broker`]).
//!
//! A message is finished only once its result is kept. So a task is carried out at least once, and a
//! second time where a worker dies at it.
//!
//! Modules in reading order; each uses only those above it.

pub mod task;

pub mod stages;

pub mod embed;

pub mod noop;

pub mod terms;

mod figures;

mod pool;

mod outcome;

mod presence;

mod desk;

mod host;

pub use self::desk::WRITE_DOWN_FOR;
pub use self::figures::Figures;
pub use self::host::Ended;
pub use self::host::Host;
