//! SQL: the database, its schema, and what is kept in it.
//!
//! Knows nothing of HTTP. Statements on tables stand in the room of their table, nowhere else.

//! Modules in reading order; each uses only those above it.

pub(crate) mod values;

pub(crate) mod fault;

pub(crate) mod sql;

pub(crate) mod migrate;

pub(crate) mod open;

pub(crate) mod seat;

mod any_certificate;

pub(crate) mod postgres;

pub(crate) mod database;

pub(crate) mod alone;

pub(crate) mod copy;

pub(crate) mod old_people;

pub(crate) mod audit;

pub(crate) mod secrets;

pub(crate) mod refresh_keys;

pub(crate) mod revocations;

pub(crate) mod signing_keys;

pub(crate) mod removed;

pub(crate) mod users;

pub(crate) mod unlocks;

pub(crate) mod mailed_tokens;

pub(crate) mod sessions;

pub(crate) mod oauth_accounts;

pub(crate) mod oauth_flows;

pub(crate) mod oauth_codes;

pub(crate) mod watched;

pub(crate) mod tail;

pub(crate) mod lookout;

pub(crate) mod publisher_lease;

pub(crate) mod publish;
