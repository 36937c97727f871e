//! The table of secrets: one for each purpose, the same for every process of this deployment.

use kernel::secret::Secret;
use kernel::time::Timestamp;
use ring::rand::SecureRandom;
use ring::rand::SystemRandom;

use super::database::Database;
use super::fault::DbError;
use super::open::OpenError;
use super::sql::Room;
use super::values::hex;
use super::values::params;

/// How long a secret is, in bytes.
const SECRET_BYTES: usize = 32;

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
        let secret = new_secret()?;
        tx.execute(
            "INSERT INTO secrets (purpose, secret, created_at) VALUES (?1, ?2, ?3)",
            params![purpose, &secret, now],
        )?;
        Ok(secret)
    });
    secret.await.map_err(|e: DbError| OpenError::database(database.place(), e))
}

fn new_secret() -> Result<Secret, DbError> {
    let mut bytes = [0; SECRET_BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| DbError::Row("the system gives no random bytes"))?;
    Ok(Secret::new(hex(&bytes)))
}
