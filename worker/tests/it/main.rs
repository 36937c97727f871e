//! A worker in this very process, against a Redis of its own: clients write what Celery's write.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot have what it needs has failed"
)]

mod scene;

mod embeds;

mod ends;

mod time;

mod trouble;
