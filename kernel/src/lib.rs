//! What both sides of a wire must agree on.
//!
//! The gateway and the admin API never see each other; whatever one of them writes and the other
//! reads has its type here: tokens and the keys that sign them, revocations, limits, problem
//! bodies, secrets, time. Nothing in this crate opens a socket, a file or a database.
//!
//! Modules in reading order; each uses only those above it.

pub mod time;

pub mod secret;

pub mod random;

pub mod tier;

pub mod problem;

pub mod front;

pub mod bearer;

pub mod claims;

mod algorithm;

mod signer;

pub mod keys;

pub mod token;

pub mod jwks;

pub mod id_token;

pub mod caller;

pub mod revocation;

pub mod fleet;

pub mod verified;

pub mod lost;

pub mod limit;

pub mod celery;

pub mod status;

pub mod selftest;

pub mod warm_up;

#[cfg(test)]
mod specimen;
