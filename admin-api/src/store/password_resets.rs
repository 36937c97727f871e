//! The table of tokens that were mailed to set a new password with.

use kernel::time::Timestamp;

use super::fault::DbError;
use super::sql::Sql;
use super::sql::Tx;
use super::values::params;

/// A token that was mailed, without the token.
pub(crate) struct Reset {
    /// Its SHA-256, in hexadecimal.
    pub(crate) token_hash: String,
    pub(crate) user_id: String,
    /// Where it was mailed to.
    pub(crate) email: String,
    pub(crate) expires_at: Timestamp,
}

/// Adds a token.
///
/// # Errors
/// [`DbError`].
pub(crate) fn insert(tx: &Tx<'_>, reset: &Reset, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO password_resets (token_hash, user_id, email, created_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![&reset.token_hash, &reset.user_id, &reset.email, now, reset.expires_at],
    )?;
    Ok(())
}

/// The token with this hash, expired or not; within a transaction it is held until that ends.
///
/// # Errors
/// [`DbError`].
pub(crate) fn find(sql: &Sql<'_>, token_hash: &str) -> Result<Option<Reset>, DbError> {
    let find = format!(
        "SELECT token_hash, user_id, email, expires_at FROM password_resets
         WHERE token_hash = ?1{}",
        sql.held()
    );
    sql.row(&find, params![token_hash], |row| {
        Ok(Reset {
            token_hash: row.text("token_hash")?,
            user_id: row.text("user_id")?,
            email: row.text("email")?,
            expires_at: row.millis("expires_at")?,
        })
    })
}

/// Forgets all tokens of a user.
///
/// # Errors
/// [`DbError`].
pub(crate) fn forget_of(tx: &Tx<'_>, user_id: &str) -> Result<(), DbError> {
    tx.execute("DELETE FROM password_resets WHERE user_id = ?1", params![user_id])?;
    Ok(())
}

/// Forgets at most `limit` tokens that expired before `before`; gives how many.
///
/// # Errors
/// [`DbError`].
pub(crate) fn forget(tx: &Tx<'_>, before: Timestamp, limit: u32) -> Result<u64, DbError> {
    tx.execute(
        "DELETE FROM password_resets WHERE token_hash IN (
             SELECT token_hash FROM password_resets WHERE expires_at < ?1 LIMIT ?2)",
        params![before, limit],
    )
}
