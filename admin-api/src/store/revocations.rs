//! The table of revocations: the truth that every feed carries.

use kernel::revocation::Entry;
use kernel::revocation::Row;
use kernel::revocation::feed::Position;
use kernel::revocation::feed::ROWS_READ_MAX;
use kernel::time::Timestamp;
use kernel::token::TokenKey;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Transaction;
use rusqlite::params;

use super::fault::DbError;
use super::values::Millis;
use super::values::Number;

/// Adds `entry` to the log, within the transaction of the act that calls for it.
///
/// Gives its number: one more than the last, since the counter is part of the transaction.
///
/// # Errors
/// [`DbError::Sqlite`].
pub(crate) fn record(tx: &Transaction<'_>, entry: &Entry, now: Timestamp) -> Result<u64, DbError> {
    let json = serde_json::to_string(entry).map_err(|_| DbError::Row("a revocation"))?;
    let Number(seq) = tx.query_row(
        "UPDATE revocation_log SET seq = seq + 1 WHERE one = 1 RETURNING seq",
        [],
        |row| row.get(0),
    )?;
    tx.execute(
        "INSERT INTO revocations (seq, at, until, entry, token_key) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            Number(seq),
            Millis(now),
            entry.until().map(Millis),
            json,
            token_key(entry).map(|key| key.to_string())
        ],
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
/// [`DbError::Sqlite`].
pub(crate) fn position(connection: &Connection) -> Result<Position, DbError> {
    let mut read = connection.prepare_cached("SELECT log_id, seq FROM revocation_log")?;
    Ok(read.query_row([], |row| {
        let Number(seq) = row.get("seq")?;
        Ok(Position { log_id: row.get("log_id")?, seq })
    })?)
}

/// Rows after number `after` that can still refuse something at `now`, in order, at most
/// [`ROWS_READ_MAX`].
///
/// # Errors
/// [`DbError`].
pub(crate) fn rows_after(
    connection: &Connection,
    after: u64,
    now: Timestamp,
) -> Result<Vec<Row>, DbError> {
    let mut read = connection.prepare_cached(
        "SELECT seq, entry FROM revocations
         WHERE seq > ?1 AND (until IS NULL OR until > ?2) ORDER BY seq LIMIT ?3",
    )?;
    let limit = Number(ROWS_READ_MAX as u64);
    let rows = read.query_map(params![Number(after), Millis(now), limit], |row| {
        let Number(seq) = row.get("seq")?;
        Ok((seq, row.get::<_, String>("entry")?))
    })?;
    rows.map(|row| {
        let (seq, json) = row?;
        let entry = serde_json::from_str(&json).map_err(|_| DbError::Row("a revocation"))?;
        Ok(Row { seq, entry })
    })
    .collect()
}

/// Whether the one token of `key` was revoked.
///
/// # Errors
/// [`DbError::Sqlite`].
pub(crate) fn is_token_revoked(connection: &Connection, key: TokenKey) -> Result<bool, DbError> {
    let mut find =
        connection.prepare_cached("SELECT 1 FROM revocations WHERE token_key = ?1 LIMIT 1")?;
    let found = find.query_row([key.to_string()], |_| Ok(()));
    Ok(found.optional()?.is_some())
}

/// Forgets at most `limit` rows that can refuse nothing since before `before`; gives how many.
///
/// # Errors
/// [`DbError::Sqlite`].
pub(crate) fn forget(
    tx: &Transaction<'_>,
    before: Timestamp,
    limit: u32,
) -> Result<usize, DbError> {
    Ok(tx.execute(
        "DELETE FROM revocations WHERE seq IN (
             SELECT seq FROM revocations WHERE until < ?1 LIMIT ?2)",
        params![Millis(before), limit],
    )?)
}
