//! What a fleet shares, in Redis or Valkey, single or as a cluster.
//!
//! [`connection`] carries calls that are never waited for beyond a budget; [`breaker`] gives a store
//! that has failed a rest, so that an outage costs nothing; [`quotas`] keeps counters by one script;
//! [`status`] keeps job status; [`stream`] carries the tail of the revocation log; [`old_service`] shares
//! revocations with the service that Doorward replaces; [`celery`] watches the workers of somebody's broker.
//!
//! Architecture Invariant: nothing here is asked on a request's path without a budget, and nothing
//! here decides what happens to a request when there is no answer.

pub mod lost;

pub mod connection;

mod breaker;

pub mod celery;

pub mod guard;

pub mod gateways;

mod key;

pub mod old_service;

pub mod quotas;

pub mod status;

pub mod stream;

pub mod watch;

pub mod broker;
