//! The wire: requests in, answers out. Decides nothing about people.
//!
//! Modules in reading order; each uses only those above it.

pub(crate) mod not_let_in;

pub(crate) mod oauth_fault;

pub(crate) mod refusal;

pub(crate) mod asked;

pub(crate) mod fields;

pub(crate) mod envelope;

pub(crate) mod bearer;

pub(crate) mod query;

pub(crate) mod selection;

pub(crate) mod accept;

pub(crate) mod moments;

pub(crate) mod cookies;

pub(crate) mod device_cookie;

pub(crate) mod flow_cookie;

pub(crate) mod front_end;

pub(crate) mod openapi;

pub(crate) mod bodies;

pub(crate) mod rate_limit;

pub(crate) mod entity_tag;

pub(crate) mod operator;

pub(crate) mod user_fault;

pub(crate) mod tokens;

pub(crate) mod oauth;

pub(crate) mod published;

pub(crate) mod me;

pub(crate) mod password;

pub(crate) mod email;

pub(crate) mod accounts;

pub(crate) mod register;

pub(crate) mod sessions;

pub(crate) mod users;

pub(crate) mod audit;

pub(crate) mod providers;

pub(crate) mod wellness;

pub(crate) mod celery;

pub(crate) mod job_shapes;

pub(crate) mod jobs;

pub(crate) mod job_events;

pub(crate) mod health;

pub(crate) mod routes;

pub(crate) mod seldom;

pub(crate) mod fleet;

mod connection;

pub(crate) mod fleet_door;

pub(crate) mod serve;
