//! A worker's part in a Celery installation: takes messages, and says what came of them.
//!
//! A message lies in a list until it is taken, and from then on in a hash until it is finished, given back
//! or buried; each of these is one script, so that there is no moment at which it is in neither. Workers
//! of Celery in Python keep the same books, and each kind puts back what the other has dropped.
//!
//! Modules in reading order; each uses only those above it.

mod parts;

mod books;

mod found;

mod results;

mod overdue;

mod presence;

pub use self::books::Broker;
pub use self::books::DeadLetters;
pub use self::books::Returned;
pub use self::books::TAKEN_BYTES_MAX;
pub use self::books::Taken;
pub use self::books::Ticket;
pub use self::books::Written;
pub use self::found::Found;
pub use self::overdue::PUT_BACK_BYTES_MAX;
pub use self::overdue::PUT_BACK_MAX;
pub use self::overdue::PutBack;
pub use self::overdue::WAY_BYTES_MAX;
pub use self::parts::PART_BYTES_MAX;
pub use self::parts::TAKEN_MAX;
pub use self::parts::parts;
pub use self::presence::Ear;
pub use self::presence::PONGS_KEPT_S;
pub use self::presence::REQUESTS_WAITING_MAX;
pub use self::results::Finished;
pub use self::results::NotFinished;

#[cfg(test)]
mod tests;
