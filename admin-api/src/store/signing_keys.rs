//! The tables of keys that sign access tokens, and of keys that nothing is believed any more.

use kernel::keys::Algorithm;
use kernel::time::Timestamp;

use super::fault::DbError;
use super::sql::Sql;
use super::sql::Tx;
use super::values::params;

/// A key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptKey {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    /// The private key in PEM, sealed.
    pub(crate) sealed: String,
    pub(crate) created_at: Timestamp,
    pub(crate) active_from: Option<Timestamp>,
    pub(crate) retiring_from: Option<Timestamp>,
    pub(crate) retired_from: Option<Timestamp>,
}

/// All keys, the oldest first.
///
/// # Errors
/// [`DbError`].
pub(crate) fn all(sql: &Sql<'_>) -> Result<Vec<KeptKey>, DbError> {
    let oldest_first =
        "SELECT kid, alg, sealed, created_at, active_from, retiring_from, retired_from
                        FROM signing_keys ORDER BY created_at, kid";
    sql.rows(oldest_first, params![], |row| {
        Ok(KeptKey {
            kid: row.text("kid")?,
            algorithm: Algorithm::parse(&row.text("alg")?).ok_or(DbError::Row("alg"))?,
            sealed: row.text("sealed")?,
            created_at: row.millis("created_at")?,
            active_from: row.opt_millis("active_from")?,
            retiring_from: row.opt_millis("retiring_from")?,
            retired_from: row.opt_millis("retired_from")?,
        })
    })
}

/// Keeps a new key.
///
/// # Errors
/// [`DbError`].
pub(crate) fn insert(tx: &Tx<'_>, key: &KeptKey) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO signing_keys
             (kid, alg, sealed, created_at, active_from, retiring_from, retired_from)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            &key.kid,
            key.algorithm.as_str(),
            &key.sealed,
            key.created_at,
            key.active_from,
            key.retiring_from,
            key.retired_from
        ],
    )?;
    Ok(())
}

/// Writes down the moments of a key anew.
///
/// # Errors
/// [`DbError`].
pub(crate) fn update(tx: &Tx<'_>, key: &KeptKey) -> Result<(), DbError> {
    tx.execute(
        "UPDATE signing_keys SET active_from = ?2, retiring_from = ?3, retired_from = ?4
         WHERE kid = ?1",
        params![&key.kid, key.active_from, key.retiring_from, key.retired_from],
    )?;
    Ok(())
}

/// Forgets keys that verify nothing since before `before`.
///
/// # Errors
/// [`DbError`].
pub(crate) fn forget(tx: &Tx<'_>, before: Timestamp) -> Result<u64, DbError> {
    tx.execute("DELETE FROM signing_keys WHERE retired_from < ?1", params![before])
}

/// The ids of all keys that nothing is believed any more.
///
/// # Errors
/// [`DbError`].
pub(crate) fn distrusted(sql: &Sql<'_>) -> Result<Vec<String>, DbError> {
    let all = "SELECT kid FROM distrusted_keys ORDER BY kid";
    sql.rows(all, params![], |row| row.text("kid"))
}

/// Believes nothing that is signed with `kid`.
///
/// # Errors
/// [`DbError`].
pub(crate) fn distrust(tx: &Tx<'_>, kid: &str, now: Timestamp) -> Result<(), DbError> {
    tx.execute("INSERT INTO distrusted_keys (kid, at) VALUES (?1, ?2)", params![kid, now])?;
    Ok(())
}
