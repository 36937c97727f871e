//! The table of sessions: one row for each sign-in.

use kernel::time::Timestamp;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Row;
use rusqlite::Transaction;
use rusqlite::params;

use super::fault::DbError;
use super::values::Millis;
use super::values::Number;
use super::values::Scopes;

/// One sign-in, as it stands in its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) user_id: String,
    pub(crate) generation: u64,
    /// When this generation began.
    pub(crate) rotated_at: Timestamp,
    /// When this generation's refresh token ends.
    pub(crate) expires_at: Timestamp,
    /// When the session ends at the latest.
    pub(crate) absolute_until: Timestamp,
    /// When the last access token issued to it ends.
    pub(crate) access_until: Timestamp,
    pub(crate) epoch: u64,
    pub(crate) kid: String,
    /// What was asked for at sign-in; `None`: everything.
    pub(crate) asked_scopes: Option<Vec<String>>,
    pub(crate) created_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
}

/// What ends a session before its time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// Its owner logged out.
    Logout,
    /// Its owner logged out everywhere.
    LogoutEverywhere,
    /// A refresh token was used twice.
    Reuse,
    /// An administrator disabled the user.
    Disabled,
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::LogoutEverywhere => "logout_everywhere",
            Self::Reuse => "reuse",
            Self::Disabled => "disabled",
        }
    }
}

const COLUMNS: &str = "id, user_id, generation, rotated_at, expires_at, absolute_until, \
                       access_until, epoch, kid, asked_scopes, created_at, ended_at";

/// Adds a session.
///
/// # Errors
/// [`DbError::Sqlite`].
pub(crate) fn insert(tx: &Transaction<'_>, session: &Session) -> Result<(), DbError> {
    tx.execute(
        &format!(
            "INSERT INTO sessions ({COLUMNS})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, NULL)"
        ),
        params![
            session.id,
            session.user_id,
            Number(session.generation),
            Millis(session.rotated_at),
            Millis(session.expires_at),
            Millis(session.absolute_until),
            Millis(session.access_until),
            Number(session.epoch),
            session.kid,
            session.asked_scopes.clone().map(Scopes),
            Millis(session.created_at),
        ],
    )?;
    Ok(())
}

/// The session `id`.
///
/// # Errors
/// [`DbError::Sqlite`].
pub(crate) fn find(connection: &Connection, id: &str) -> Result<Option<Session>, DbError> {
    let mut find =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM sessions WHERE id = ?1"))?;
    Ok(find.query_row([id], read).optional()?)
}

/// Moves a session from generation `from` to what `next` says, if it is still there and alive.
///
/// # Errors
/// [`DbError::Sqlite`].
pub(crate) fn rotate(
    tx: &Transaction<'_>,
    from: u64,
    next: &Session,
) -> Result<Option<Session>, DbError> {
    let mut swap = tx.prepare_cached(&format!(
        "UPDATE sessions
         SET generation = ?3, rotated_at = ?4, expires_at = ?5, access_until = ?6, epoch = ?7,
             kid = ?8
         WHERE id = ?1 AND generation = ?2 AND ended_at IS NULL
         RETURNING {COLUMNS}"
    ))?;
    let row = swap.query_row(
        params![
            next.id,
            Number(from),
            Number(next.generation),
            Millis(next.rotated_at),
            Millis(next.expires_at),
            Millis(next.access_until),
            Number(next.epoch),
            next.kid,
        ],
        read,
    );
    Ok(row.optional()?)
}

/// Notes that an access token of the session goes on until `until`.
///
/// # Errors
/// [`DbError::Sqlite`].
pub(crate) fn extend_access(
    tx: &Transaction<'_>,
    id: &str,
    until: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE sessions SET access_until = max(access_until, ?2) WHERE id = ?1",
        params![id, Millis(until)],
    )?;
    Ok(())
}

/// Ends a session; gives it as it was, or `None` where it was over or never there.
///
/// # Errors
/// [`DbError::Sqlite`].
pub(crate) fn end(
    tx: &Transaction<'_>,
    id: &str,
    by: End,
    now: Timestamp,
) -> Result<Option<Session>, DbError> {
    let ended = tx.query_row(
        &format!(
            "UPDATE sessions SET ended_at = ?2, ended_by = ?3
             WHERE id = ?1 AND ended_at IS NULL RETURNING {COLUMNS}"
        ),
        params![id, Millis(now), by.as_str()],
        read,
    );
    Ok(ended.optional()?)
}

/// Ends all sessions of a user.
///
/// # Errors
/// [`DbError::Sqlite`].
pub(crate) fn end_all(
    tx: &Transaction<'_>,
    user_id: &str,
    by: End,
    now: Timestamp,
) -> Result<usize, DbError> {
    Ok(tx.execute(
        "UPDATE sessions SET ended_at = ?2, ended_by = ?3 WHERE user_id = ?1 AND ended_at IS NULL",
        params![user_id, Millis(now), by.as_str()],
    )?)
}

/// Forgets at most `limit` sessions whose every token expired before `before`; gives how many.
///
/// # Errors
/// [`DbError::Sqlite`].
pub(crate) fn forget(
    tx: &Transaction<'_>,
    before: Timestamp,
    limit: u32,
) -> Result<usize, DbError> {
    Ok(tx.execute(
        "DELETE FROM sessions WHERE id IN (
             SELECT id FROM sessions
             WHERE absolute_until < ?1 AND access_until < ?1 LIMIT ?2)",
        params![Millis(before), limit],
    )?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Session> {
    let millis = |name| row.get(name).map(|Millis(at)| at);
    let number = |name| row.get(name).map(|Number(n)| n);
    Ok(Session {
        id: row.get("id")?,
        user_id: row.get("user_id")?,
        generation: number("generation")?,
        rotated_at: millis("rotated_at")?,
        expires_at: millis("expires_at")?,
        absolute_until: millis("absolute_until")?,
        access_until: millis("access_until")?,
        epoch: number("epoch")?,
        kid: row.get("kid")?,
        asked_scopes: row.get::<_, Option<Scopes>>("asked_scopes")?.map(|Scopes(list)| list),
        created_at: millis("created_at")?,
        ended_at: row.get::<_, Option<Millis>>("ended_at")?.map(|Millis(at)| at),
    })
}
