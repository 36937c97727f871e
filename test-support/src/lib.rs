//! Servers and clients that the tests own.
//!
//! Everything here is private to the test that starts it: free ports, a directory of its own, and
//! processes that end with the test, however it ends. What is missing on the machine fails the
//! test and names the package; nothing is skipped.
//!
//! Modules in reading order; each uses only those above it.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "only tests call this, and a test that cannot have its server has failed"
)]

pub mod wait;

pub mod place;

pub mod link;

pub mod authority;

pub mod process;

pub mod redis;

pub mod postgres;

pub mod smtp;

pub mod built;

mod made_once;

pub mod python;

pub mod old_service;

pub mod celery;

pub mod node;

pub mod http1;

pub mod events;

pub mod upstream;

pub mod identity_provider;

pub mod doorward;

pub mod worker;
