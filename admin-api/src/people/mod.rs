//! What people do here: sign in, stay signed in, log out; and what is done to them.
//!
//! Knows nothing of HTTP. Modules in reading order; each uses only those above it.

pub(crate) mod names;

pub(crate) mod throttle;

pub(crate) mod devices;

pub(crate) mod letters;

pub(crate) mod post;

pub(crate) mod roles;

pub(crate) mod user_agent;

pub(crate) mod audit;

pub(crate) mod issue;

pub(crate) mod old_service;

pub(crate) mod desk;

pub(crate) mod person;

pub(crate) mod standing;

pub(crate) mod asker;

pub(crate) mod sign_in;

pub(crate) mod refresh;

pub(crate) mod logout;

pub(crate) mod password;

pub(crate) mod email;

pub(crate) mod sessions;

pub(crate) mod inspect;

pub(crate) mod take_back;

pub(crate) mod signing_keys;

pub(crate) mod users;

pub(crate) mod turned_away;

pub(crate) mod newcomers;

pub(crate) mod who_is_who;

pub(crate) mod departures;

pub(crate) mod arrivals;

pub(crate) mod accounts;
pub(crate) mod changes;

pub(crate) mod import;

pub(crate) mod mint;
