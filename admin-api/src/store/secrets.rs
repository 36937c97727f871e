//! The table of secrets: one for each purpose, the same for every process of this deployment.

use kernel::random::unguessable;
use kernel::secret::Secret;
use kernel::time::Timestamp;

use super::database::Database;
use super::fault::DbError;
use super::open::OpenError;
use super::sql::Room;
use super::values::params;

/// The secret for `purpose`, made at the first time of asking.
///
/// # Errors
/// [`OpenError`], for the operator.
pub(crate) async fn secret_for(
    database: &Database,
    purpose: &'static str,
    now: Timestamp,
) -> Result<Secret, OpenError> {
    let secret = database.write(move |tx| {
        tx.alone_in(Room::Firsts)?;
        let find = "SELECT secret FROM secrets WHERE purpose = ?1";
        let found = tx.row(find, params![purpose], |row| row.text("secret").map(Secret::new))?;
        if let Some(secret) = found {
            return Ok(secret);
        }
        let secret = unguessable()?;
        tx.execute(
            "INSERT INTO secrets (purpose, secret, created_at) VALUES (?1, ?2, ?3)",
            params![purpose, &secret, now],
        )?;
        Ok(secret)
    });
    secret.await.map_err(|e: DbError| OpenError::database(database.place(), e))
}
