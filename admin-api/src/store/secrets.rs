//! The table of secrets: one for each purpose, the same for every process of this deployment.

use std::sync::Arc;

use kernel::random::unguessable;
use kernel::secret::Secret;
use kernel::time::Timestamp;

use super::database::Database;
use super::fault::DbError;
use super::open::OpenError;
use super::sql::Room;
use super::values::params;
use crate::sealing::AtRest;
use crate::sealing::SealError;

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    /// The database gave no answer.
    #[error(transparent)]
    Database(#[from] DbError),
    /// It is sealed, and does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl SecretError {
    /// For the operator of `database`.
    pub(super) fn of(self, database: &Database) -> OpenError {
        let place = database.place();
        match self {
            Self::Database(error) => OpenError::database(place, error),
            Self::Seal(source) => OpenError::Sealed { place: place.to_owned(), source },
        }
    }
}

/// The secret for `purpose`, made at the first time of asking.
///
/// # Errors
/// [`OpenError`], for the operator.
pub(crate) async fn secret_for(
    database: &Database,
    purpose: &'static str,
    at_rest: &Arc<AtRest>,
    now: Timestamp,
) -> Result<Secret, OpenError> {
    let at_rest = Arc::clone(at_rest);
    let secret = database.write(move |tx| {
        tx.alone_in(Room::Firsts)?;
        let find = "SELECT secret FROM secrets WHERE purpose = ?1";
        let kept = tx.row(find, params![purpose], |row| row.text("secret").map(Secret::new))?;
        let Some(kept) = kept else {
            let secret = unguessable().map_err(DbError::from)?;
            tx.execute(
                "INSERT INTO secrets (purpose, secret, created_at) VALUES (?1, ?2, ?3)",
                params![purpose, &at_rest.close(&secret, purpose)?, now],
            )?;
            return Ok(secret);
        };
        let secret = at_rest.open(&kept, purpose)?;
        if at_rest.is_to_be_closed(&kept) {
            tx.execute(
                "UPDATE secrets SET secret = ?2 WHERE purpose = ?1",
                params![purpose, &at_rest.close(&secret, purpose)?],
            )?;
        }
        Ok(secret)
    });
    secret.await.map_err(|error: SecretError| error.of(database))
}
