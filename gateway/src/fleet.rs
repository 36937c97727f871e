//! The admin API of a gateway that runs apart: what is asked of it beside what clients want.
//!
//! Two loops that never give up: one follows the log of revocations, one the public keys that lie in
//! the database. While the admin API is away, what is known stays in force.
//!
//! Modules in reading order; each uses only those above it.

pub mod line;

pub mod feed;

pub mod pace;

pub mod follow;
