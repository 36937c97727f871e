//! Whether the workers of a Celery installation live, looked at in the background by its broker.
//!
//! Three signs are put together: what workers answer when they are asked, their heartbeats, and how many
//! are connected. Whoever wants to know reads the last [`Workers`]; nobody's question asks workers.
//!
//! Modules in reading order; each uses only those above it.

mod workers;

mod roster;

mod ping;

mod queues;

mod lookout;

pub use self::lookout::CeleryWatch;
pub use self::lookout::EVENTS_WAITING_MAX;
pub use self::lookout::LOOK_EVERY;
pub use self::ping::PONG_WITHIN;
pub use self::workers::Queue;
pub use self::workers::Said;
pub use self::workers::Verdict;
pub use self::workers::WORKERS_MAX;
pub use self::workers::Worker;
pub use self::workers::Workers;

#[cfg(test)]
mod tests;
