//! The tail of the revocation log as a Redis Stream, with ids of our own.
//!
//! A frame has the id `<last>-0`, a heartbeat `<last>-<unix ms>`. So ids grow with the log and no clock
//! has a say in their order: an entry that a reader is not given, because its id is not past the last
//! one that the reader saw, is about numbers that the reader knows. Redis refuses an id that is not
//! past all others, and so a publisher that is behind.
//!
//! Nothing here is the truth, and all of it may be lost: who reads sees gaps, and asks a feed.

pub mod place;

pub mod publisher;

pub mod reader;

pub mod follow;

#[cfg(test)]
mod tests;
