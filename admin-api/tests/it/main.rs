//! The admin API through HTTP, on a real SQLite file. `tests/postgres` runs the same on Postgres.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod health;
mod leaks;
mod login;
mod logout;
mod me;
mod mint;
mod open;
mod password;
mod place;
mod refresh;
mod register;
mod shape;
mod socket;
mod support;
mod tail;
mod taken_over;
mod throttle;
mod users;
