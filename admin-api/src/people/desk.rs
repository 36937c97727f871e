//! Everything that an act needs, in one place.

use std::sync::Arc;

use kernel::keys::KeyError;
use kernel::lost::StoreLost;
use kernel::secret::Secret;
use kernel::tier::Tier;
use stores::memory::MemoryQuotas;
use stores::redis::celery::CeleryWatch;
use stores::redis::watch::Watch;

use super::audit::Notes;
use super::devices::Devices;
use super::issue::Issuer;
use super::old_service::Beside;
use super::post::Post;
use super::roles::Roles;
use super::throttle::Throttle;
use crate::clock::Clock;
use crate::passwords::HashError;
use crate::passwords::Passwords;
use crate::providers::registry::Providers;
use crate::store::database::Database;
use crate::store::fault::DbError;
use crate::store::sql::Tx;
use crate::store::tail::Progress;

/// The desk at which people are served.
pub(crate) struct Desk {
    pub(crate) database: Database,
    pub(crate) clock: Clock,
    pub(crate) passwords: Passwords,
    pub(crate) throttle: Throttle<MemoryQuotas>,
    pub(crate) devices: Devices,
    /// `None`: nothing is mailed.
    pub(crate) post: Option<Post>,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) roles: Roles,
    /// The tier of somebody of whom nothing else is said.
    pub(crate) usual_tier: Tier,
    pub(crate) progress: Progress,
    pub(crate) providers: Providers,
    /// Scheme, host and port that clients use.
    pub(crate) public_url: Option<String>,
    /// Issuers of tokens other than we.
    pub(crate) other_issuers: Vec<String>,
    pub(crate) notes: Notes,
    /// The service that is replaced, where it runs beside.
    pub(crate) old_service: Option<Beside>,
    pub(crate) redis: Option<Watch>,
    /// The Celery installation whose workers are watched.
    pub(crate) celery: Option<Arc<CeleryWatch>>,
}

impl Desk {
    /// Writes to the database. Where `act` gives the number of a revocation beside what it is asked
    /// for, the edges of this process know of it before the answer is given.
    ///
    /// # Errors
    /// What `act` says; [`DbError`] where the transaction failed.
    pub(super) async fn write_seen<T, E>(
        &self,
        act: impl FnOnce(&Tx<'_>) -> Result<(T, Option<u64>), E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let (done, seq) = self.database.write(act).await?;
        self.progress.reaches(seq).await;
        Ok(done)
    }

    /// Has the service that is replaced, where it runs beside, refuse an access token that is refused
    /// here from now on; `expires_at_s` is its `exp`. Nobody waits for it.
    pub(super) fn tell_old_service(&self, token: &Secret, expires_at_s: u64) {
        let until = self.issuer.refused_from(expires_at_s);
        let Some(beside) = self.old_service.as_ref().filter(|_| self.clock.now() < until) else {
            return;
        };
        if let Err(error) = beside.revoked(token.clone(), until) {
            tracing::error!("the old service goes on taking a revoked token: {error}");
        }
    }

    /// Whether the service that is replaced, where it runs beside, has revoked an access token.
    pub(super) async fn is_revoked_beside(&self, token: &Secret) -> bool {
        match &self.old_service {
            Some(beside) => beside.has_revoked(token).await,
            None => false,
        }
    }
}

/// Why the desk cannot serve anybody just now. Its text is for the log, never for a client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutOfOrder {
    /// The database.
    #[error("the database did not do it")]
    Database(#[from] DbError),
    /// The hashing threads.
    #[error("the password could not be hashed")]
    Hash(#[from] HashError),
    /// A key.
    #[error("a token could not be signed")]
    Key(#[from] KeyError),
    /// The counters of failed attempts.
    #[error("the attempts could not be counted")]
    Uncounted(#[from] StoreLost),
}

impl OutOfOrder {
    /// Whether the same may work a moment later: there is no room, or the database is away.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Database(error) => error.is_passing(),
            Self::Hash(error) => matches!(error, HashError::Busy),
            Self::Key(_) => false,
            Self::Uncounted(_) => true,
        }
    }
}
