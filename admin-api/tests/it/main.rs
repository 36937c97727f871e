//! The admin API through HTTP, on a real SQLite file. `tests/postgres` runs the same on Postgres.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod access;
mod audit;
mod browser;
mod document;
mod email;
mod front_end;
mod health;
mod import;
mod job_events;
mod jobs;
mod leaks;
mod linking;
mod login;
mod logout;
mod management;
mod me;
mod mint;
mod oauth;
mod open;
mod openapi;
mod password;
mod place;
mod providers;
mod providers_hostile;
mod refresh;
mod register;
mod sessions;
mod shape;
mod signing_keys;
mod socket;
mod support;
mod tail;
mod taken_over;
mod throttle;
mod users;
