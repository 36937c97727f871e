//! People who come from another system, as they were there.

use kernel::secret::Secret;
use kernel::time::Timestamp;

use super::User;
use super::update;
use crate::store::fault::DbError;
use crate::store::sql::Sql;
use crate::store::sql::Tx;
use crate::store::values::params;

/// Whether `text` is the user name or e-mail address of somebody else than the person `id`.
///
/// # Errors
/// [`DbError`].
pub(crate) fn is_anothers(sql: &Sql<'_>, text: &str, id: &str) -> Result<bool, DbError> {
    let find = "SELECT 1 AS one FROM users WHERE (username = ?1 OR email = ?1) AND id <> ?2";
    Ok(sql.row(find, params![text, id], |_| Ok(()))?.is_some())
}

/// Writes everything of a person that an import may change; `None` for a hash keeps it.
///
/// # Errors
/// [`DbError`], also where the name or the address is taken.
pub(crate) fn overwrite(
    tx: &Tx<'_>,
    user: &mut User,
    hash: Option<&Secret>,
    now: Timestamp,
) -> Result<(), DbError> {
    update(tx, user, now)?;
    tx.execute(
        "UPDATE users SET username = ?2, hashed_password = coalesce(?3, hashed_password)
         WHERE id = ?1",
        params![&user.id, &user.username, hash],
    )?;
    Ok(())
}
