//! The revocations of the service that Doorward replaces, while both run on one Redis.
//!
//! It keeps one key for each token that was revoked, named after the token as it was sent, and reads
//! the value with Python's `json.loads`: a word without its quotes is nothing to it. Tokens are
//! secrets, so nothing of a key is ever put into an error or a log line.

use std::time::Duration;

use crate::redis::breaker::Breaker;
use crate::redis::connection::Connection;
use crate::redis::connection::Lost;

/// What the names of its keys begin with.
const PREFIX: &str = "revoked_token:";

/// What it writes, and understands; the quotes are part of it.
const REVOKED: &str = "\"revoked\"";

/// A policy under which Redis, when it is full, keeps what it has.
const KEEPS_ALL: &str = "noeviction";

/// The old service's revocations: read, and added to.
#[derive(Debug)]
pub struct OldService {
    connection: Connection,
    breaker: Breaker,
}

/// Nothing can be known of the old service's revocations.
#[derive(Debug, thiserror::Error)]
pub enum Unheard {
    /// Redis gave no answer.
    #[error("the old service's revocations cannot be read")]
    Lost(#[from] Lost),
    /// It failed of late, and is given a rest.
    #[error("the old service's Redis is given a rest")]
    Resting,
}

impl OldService {
    /// The one that keeps its revocations behind `connection`.
    pub fn new(connection: Connection) -> Self {
        Self { connection, breaker: Breaker::default() }
    }

    /// Whether it has revoked `token`, the text that a client sent.
    ///
    /// A key is enough, whatever its value: nobody makes one but to revoke. Where it was made by hand
    /// and without quotes, the old service goes on taking the token, and this side refuses it.
    ///
    /// # Errors
    /// [`Unheard`], after `redis.call_timeout` at the latest.
    pub async fn has_revoked(&self, token: &str) -> Result<bool, Unheard> {
        if self.breaker.is_open() {
            return Err(Unheard::Resting);
        }
        match self.connection.has(&key_of(token)).await {
            Ok(has) => {
                self.breaker.succeeded();
                Ok(has)
            }
            Err(lost) => {
                if lost.concerns_all() && self.breaker.failed() {
                    tracing::warn!(
                        error = lost.in_short(),
                        "the old service's revocations cannot be read: until they can, routes do as \
                         their on_stale_revocations says"
                    );
                }
                Err(lost.into())
            }
        }
    }

    /// Has `token` refused by it for as long as `left`, in whole seconds, rounded up. Revoking twice is
    /// revoking once, for as long as the second time says.
    ///
    /// # Errors
    /// [`Lost`]; it may have been done all the same.
    pub async fn revoke(&self, token: &str, left: Duration) -> Result<(), Lost> {
        let left_s = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        self.connection.put(&key_of(token), REVOKED, left_s.max(1)).await
    }

    /// Whether it is not asked, because it has failed.
    pub fn rests(&self) -> bool {
        self.breaker.is_open()
    }

    /// Looks after Redis while it fails, for as long as this runs; without it, what has failed thrice
    /// is never asked again. Says once whether Redis may forget what it was told.
    pub async fn keep(&self) {
        self.say_whether_it_forgets().await;
        let probe = || async {
            let works = self.connection.has(&key_of("")).await;
            if let Err(Lost::Refused(_)) = works {
                // A replica that was made a master under the same name is found by looking anew.
                self.connection.begin_anew().await;
            }
            works.is_ok()
        };
        let recovered = || tracing::info!("the old service's revocations can be read again");
        self.breaker.keep(probe, recovered).await;
    }

    async fn say_whether_it_forgets(&self) {
        if self.connection.connected().await.is_err() {
            return;
        }
        match self.connection.eviction_policy().await {
            Ok(policy) if policy.is_empty() || policy == KEEPS_ALL => {}
            Ok(policy) => tracing::warn!(
                policy,
                "Redis drops keys when it is full, and revocations of the old service with them: set \
                 `maxmemory-policy noeviction` there"
            ),
            // A user of an access control list may often not ask.
            Err(lost) => tracing::debug!(
                error = lost.in_short(),
                "whether Redis drops keys when it is full could not be asked"
            ),
        }
    }
}

fn key_of(token: &str) -> String {
    format!("{PREFIX}{token}")
}

#[cfg(test)]
mod tests;
