//! The data plane: admits, limits and forwards requests.
//!
//! A request's way, each step in a room of its own:
//! `door` takes the connection in and has `head` read the bytes within their bounds → `target`
//! refuses ambiguous paths → `routing` finds the place → `auth` identifies (`issuers` knows others'
//! keys) → `revocation` checks → `limit` takes from the quota → `admission` is all of that in one
//! paragraph → `forward` names the caller to the back end, which `balance` chooses → `proxy`
//! translates pingora's phases. Any step may end in a [`refusal::Refusal`], which alone knows status codes.
//!
//! Modules in reading order; each uses only those above it.
//!
//! Architecture Invariant: decisions take plain request parts; only `forward`, `balance`, `wire`,
//! `visit`, `proxy` and `door` name pingora.

pub mod target;

pub mod routing;

pub mod client;

pub mod fetch;

pub mod preload;

pub mod fleet;

pub mod issuers;

pub mod patience;

pub mod old_service;

pub mod auth;

pub mod revocation;

pub mod limit;

pub mod refusal;

pub mod admission;

pub mod forward;

pub mod request_id;

pub mod balance;

pub mod metrics;

pub mod access_log;

pub mod sample;

pub mod snapshot;

pub mod head;

pub mod wire;

pub mod visit;

pub mod proxy;

pub mod roster;

pub mod door;

pub mod ops;
