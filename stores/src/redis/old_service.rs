//! The revocations of the service that Doorward replaces, while both run on one Redis.
//!
//! It keeps one key for each token that was revoked, named after the token as it was sent, and reads
//! the value with Python's `json.loads`: a word without its quotes is nothing to it. Tokens are
//! secrets, so nothing of a key is ever put into an error or a log line.

use std::time::Duration;

use crate::redis::connection::Connection;
use crate::redis::connection::Lost;
use crate::redis::guard::Guard;
use crate::redis::guard::Unanswered;

/// What the names of its keys begin with.
const PREFIX: &str = "revoked_token:";

/// What it writes, and understands; the quotes are part of it.
const REVOKED: &str = "\"revoked\"";

/// The old service's revocations: read, and added to.
#[derive(Debug)]
pub struct OldService {
    guard: Guard,
}

impl OldService {
    /// The one that keeps its revocations behind `connection`.
    pub fn new(connection: Connection) -> Self {
        let meanwhile = "routes do as their on_stale_revocations says";
        Self { guard: Guard::new(connection, "the Redis of the old service", meanwhile) }
    }

    /// Whether it has revoked `token`, the text that a client sent.
    ///
    /// A key is enough, whatever its value: nobody makes one but to revoke. Where it was made by hand
    /// and without quotes, the old service goes on taking the token, and this side refuses it.
    ///
    /// # Errors
    /// [`Unanswered`], after `redis.call_timeout` at the latest.
    pub async fn has_revoked(&self, token: &str) -> Result<bool, Unanswered> {
        let key = key_of(token);
        self.guard.ask(self.guard.connection().has(&key)).await
    }

    /// Has `token` refused by it for as long as `left`, in whole seconds, rounded up. Revoking twice is
    /// revoking once, for as long as the second time says.
    ///
    /// # Errors
    /// [`Lost`]; it may have been done all the same.
    pub async fn revoke(&self, token: &str, left: Duration) -> Result<(), Lost> {
        let left_s = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        self.guard.connection().put(&key_of(token), REVOKED, left_s.max(1)).await
    }

    /// Whether it is not asked, because it has failed.
    pub fn rests(&self) -> bool {
        self.guard.rests()
    }

    /// Looks after Redis while it fails, for as long as this runs; without it, what has failed thrice
    /// is never asked again.
    pub async fn keep(&self) {
        let probe = || async { self.guard.connection().has(&key_of("")).await.map(drop) };
        self.guard.keep(probe, || ()).await;
    }
}

fn key_of(token: &str) -> String {
    format!("{PREFIX}{token}")
}

#[cfg(test)]
mod tests;
