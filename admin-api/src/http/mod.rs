//! The wire: requests in, answers out. Decides nothing about people.
//!
//! Modules in reading order; each uses only those above it.

pub(crate) mod refusal;

pub(crate) mod asked;

pub(crate) mod envelope;

pub(crate) mod bearer;

pub(crate) mod cookies;

pub(crate) mod fields;

pub(crate) mod tokens;

pub(crate) mod me;

pub(crate) mod password;

pub(crate) mod register;

pub(crate) mod health;

pub(crate) mod routes;

pub(crate) mod serve;
