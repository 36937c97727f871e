//! The table of revocations: the truth that every feed carries.

use kernel::revocation::Entry;
use kernel::revocation::Row;
use kernel::revocation::feed::Position;
use kernel::revocation::feed::ROWS_READ_MAX;
use kernel::time::Timestamp;
use kernel::token::TokenKey;

use super::fault::DbError;
use super::sql::Sql;
use super::sql::Tx;
use super::values::hex;
use super::values::params;

/// Adds `entry` to the log, within the transaction of the act that calls for it.
///
/// Gives its number: one more than the last, since the counter is part of the transaction.
///
/// # Errors
/// [`DbError`].
pub(crate) fn record(tx: &Tx<'_>, entry: &Entry, now: Timestamp) -> Result<u64, DbError> {
    let json = serde_json::to_string(entry).map_err(|_| DbError::Row("a revocation"))?;
    let raise = "UPDATE revocation_log SET seq = seq + 1 WHERE one = 1 RETURNING seq";
    let raised = tx.row(raise, params![], |row| row.number("seq"))?;
    let seq = raised.ok_or(DbError::Row("the counter of revocations"))?;
    let token_key = token_key(entry).map(|key| key.to_string());
    tx.execute(
        "INSERT INTO revocations (seq, at, until, entry, token_key) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![seq, now, entry.until(), json, token_key],
    )?;
    Ok(seq)
}

fn token_key(entry: &Entry) -> Option<TokenKey> {
    match entry {
        Entry::Token { key, .. } => Some(*key),
        Entry::Session { .. }
        | Entry::UserEpoch { .. }
        | Entry::UserOverride { .. }
        | Entry::Key { .. } => None,
    }
}

/// Where the log is now.
///
/// # Errors
/// [`DbError`].
pub(crate) fn position(sql: &Sql<'_>) -> Result<Position, DbError> {
    let at = sql.row("SELECT log_id, seq FROM revocation_log", params![], |row| {
        Ok(Position { log_id: row.text("log_id")?, seq: row.number("seq")? })
    })?;
    at.ok_or(DbError::Row("the counter of revocations"))
}

/// Calls the log another one, if it is still called `log_id` and has come less far than `carried`;
/// says whether it did.
///
/// # Errors
/// [`DbError`].
pub(crate) fn begin_another_log(tx: &Tx<'_>, log_id: &str, carried: u64) -> Result<bool, DbError> {
    let another = hex(&kernel::random::bytes::<16>()?);
    let rename = "UPDATE revocation_log SET log_id = ?1 WHERE log_id = ?2 AND seq < ?3";
    Ok(tx.execute(rename, params![another, log_id, carried])? > 0)
}

/// Rows after number `after` that can still refuse something at `now`, in order, at most
/// [`ROWS_READ_MAX`].
///
/// # Errors
/// [`DbError`].
pub(crate) fn rows_after(sql: &Sql<'_>, after: u64, now: Timestamp) -> Result<Vec<Row>, DbError> {
    let after_it = "SELECT seq, at, entry FROM revocations
                    WHERE seq > ?1 AND (until IS NULL OR until > ?2) ORDER BY seq LIMIT ?3";
    sql.rows(after_it, params![after, now, ROWS_READ_MAX as u64], |row| {
        let entry = serde_json::from_str(&row.text("entry")?);
        let entry = entry.map_err(|_| DbError::Row("a revocation"))?;
        Ok(Row { seq: row.number("seq")?, at: row.millis("at")?, entry })
    })
}

/// Whether the one token of `key` was revoked.
///
/// # Errors
/// [`DbError`].
pub(crate) fn is_token_revoked(sql: &Sql<'_>, key: TokenKey) -> Result<bool, DbError> {
    let find = "SELECT 1 AS one FROM revocations WHERE token_key = ?1 LIMIT 1";
    Ok(sql.row(find, params![key.to_string()], |_| Ok(()))?.is_some())
}

/// Forgets at most `limit` rows that can refuse nothing since before `before`; gives how many.
///
/// # Errors
/// [`DbError`].
pub(crate) fn forget(tx: &Tx<'_>, before: Timestamp, limit: u32) -> Result<u64, DbError> {
    tx.execute(
        "DELETE FROM revocations WHERE seq IN (
             SELECT seq FROM revocations WHERE until < ?1 LIMIT ?2)",
        params![before, limit],
    )
}
