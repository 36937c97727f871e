//! What `run`, `gateway` and `admin` are put together of; each takes what it needs.
//!
//! Two kinds of threads: workers, each with a runtime of its own, carry clients' requests and
//! nothing else; the control runtime carries the admin API, feeds and the ops listener, so that no
//! sign-in slows the proxy.
//!
//! Modules in reading order; each uses only those above it.

pub(crate) mod stage;

pub(crate) mod signals;

pub(crate) mod duty;

pub(crate) mod office;

pub(crate) mod workers;

pub(crate) mod redis;

pub(crate) mod celery;

pub(crate) mod counters;

pub(crate) mod edge;

pub(crate) mod warm;

pub(crate) mod ops;
