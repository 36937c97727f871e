//! The admin API through HTTP, on a real Postgres: the tests of `tests/it`, and what only a server
//! can do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

#[path = "../it/audit.rs"]
mod audit;
mod away;
#[path = "../it/browser.rs"]
mod browser;
#[path = "../it/document.rs"]
mod document;
#[path = "../it/email.rs"]
mod email;
#[path = "../it/front_end.rs"]
mod front_end;
#[path = "../it/health.rs"]
mod health;
mod held;
#[path = "../it/import.rs"]
mod import;
#[path = "../it/job_events.rs"]
mod job_events;
#[path = "../it/jobs.rs"]
mod jobs;
#[path = "../it/leaks.rs"]
mod leaks;
#[path = "../it/linking.rs"]
mod linking;
#[path = "../it/login.rs"]
mod login;
#[path = "../it/logout.rs"]
mod logout;
#[path = "../it/management.rs"]
mod management;
#[path = "../it/me.rs"]
mod me;
#[path = "../it/mint.rs"]
mod mint;
#[path = "../it/oauth.rs"]
mod oauth;
#[path = "../it/openapi.rs"]
mod openapi;
#[path = "../it/password.rs"]
mod password;
mod place;
#[path = "../it/providers.rs"]
mod providers;
#[path = "../it/providers_hostile.rs"]
mod providers_hostile;
#[path = "../it/refresh.rs"]
mod refresh;
#[path = "../it/register.rs"]
mod register;
mod same;
mod sealed;
#[path = "../it/sessions.rs"]
mod sessions;
#[path = "../it/shape.rs"]
mod shape;
#[path = "../it/signing_keys.rs"]
mod signing_keys;
#[path = "../it/socket.rs"]
mod socket;
#[path = "../it/support.rs"]
mod support;
#[path = "../it/tail.rs"]
mod tail;
#[path = "../it/taken_over.rs"]
mod taken_over;
#[path = "../it/throttle.rs"]
mod throttle;
mod tls;
#[path = "../it/users.rs"]
mod users;
