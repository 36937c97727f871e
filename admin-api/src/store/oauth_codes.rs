//! The table of codes that were given to the front end, each good for one session.

use kernel::time::Timestamp;

use super::fault::DbError;
use super::sql::Tx;
use super::values::params;

/// Whom a code stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handed {
    pub(crate) code_hash: String,
    pub(crate) user_id: String,
    /// The user's epoch when it was given: raised, it is good for nothing.
    pub(crate) epoch: u64,
    pub(crate) expires_at: Timestamp,
}

/// Remembers a code.
///
/// # Errors
/// [`DbError`].
pub(crate) fn insert(tx: &Tx<'_>, handed: &Handed) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO oauth_codes (code_hash, user_id, epoch, expires_at) VALUES (?1, ?2, ?3, ?4)",
        params![&handed.code_hash, &handed.user_id, handed.epoch, handed.expires_at],
    )?;
    Ok(())
}

/// Takes a code out: once.
///
/// # Errors
/// [`DbError`].
pub(crate) fn take(tx: &Tx<'_>, code_hash: &str) -> Result<Option<Handed>, DbError> {
    tx.row(
        "DELETE FROM oauth_codes WHERE code_hash = ?1
         RETURNING code_hash, user_id, epoch, expires_at",
        params![code_hash],
        |row| {
            Ok(Handed {
                code_hash: row.text("code_hash")?,
                user_id: row.text("user_id")?,
                epoch: row.number("epoch")?,
                expires_at: row.millis("expires_at")?,
            })
        },
    )
}

/// Forgets at most `limit` that ended before `before`; gives how many.
///
/// # Errors
/// [`DbError`].
pub(crate) fn forget(tx: &Tx<'_>, before: Timestamp, limit: u32) -> Result<u64, DbError> {
    tx.execute(
        "DELETE FROM oauth_codes WHERE code_hash IN (
             SELECT code_hash FROM oauth_codes WHERE expires_at <= ?1 LIMIT ?2)",
        params![before, limit],
    )
}
