//! The table of unlocks: how often failed sign-ins of somebody were forgiven by an administrator.

use kernel::time::Timestamp;

use super::fault::DbError;
use super::sql::Sql;
use super::sql::Tx;
use super::values::params;

/// How often `user_id` was unlocked; never, if there is no such user.
///
/// # Errors
/// [`DbError`].
pub(crate) fn times(sql: &Sql<'_>, user_id: &str) -> Result<u64, DbError> {
    let find = "SELECT times FROM unlocks WHERE user_id = ?1";
    Ok(sql.row(find, params![user_id], |row| row.number("times"))?.unwrap_or(0))
}

/// Unlocks `user_id` once more.
///
/// # Errors
/// [`DbError`].
pub(crate) fn add(tx: &Tx<'_>, user_id: &str, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO unlocks (user_id, times, last_at) VALUES (?1, 1, ?2)
         ON CONFLICT (user_id) DO UPDATE SET times = unlocks.times + 1, last_at = ?2",
        params![user_id, now],
    )?;
    Ok(())
}
