//! The whole product: the real binary, a real back end, and real HTTP between them.
//!
//! Each test starts what it needs on free ports. The client sends bytes as they are written, for an
//! attacker's client does too.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot have what it needs has failed"
)]

mod scene;

mod documents;

mod tokens;

mod way;

mod refusals;

mod paths;

mod identity;

mod contract;

mod limits;

mod limit_headers;

mod limit_keys;

mod sessions;
mod shared_limits;
mod shared_revocations;

mod redis_rights;

mod openapi;
mod passwords;
mod providers;

mod clients;

mod keys;

mod issuers;

mod survival;

mod postgres;

mod encrypted;

mod fleet;

mod fleet_examples;

mod take_over;

mod beside;

mod management;

mod workers;

mod hostile;

mod bodies;

mod bounds;

mod upgrades;

mod upstreams;

mod command_line;

mod check;

mod database;

mod start;

mod warm_up;

mod lifecycle;

mod job_status;

mod job_status_python;

mod leaks;

mod compose;

mod image;

mod tidy;

mod worker;

mod worker_ends;

mod vectors;
