//! The table of sessions: one row for each sign-in.

use std::sync::LazyLock;

use kernel::time::Timestamp;

use super::fault::DbError;
use super::sql::Row;
use super::sql::Sql;
use super::sql::Tx;
use super::users::Identity;
use super::values::Scopes;
use super::values::params;

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
    /// The owner's epoch when it began; it ends with it.
    pub(crate) epoch: u64,
    pub(crate) kid: String,
    /// What was asked for at sign-in; `None`: everything.
    pub(crate) asked_scopes: Option<Vec<String>>,
    pub(crate) created_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
    /// The client's address when it began; `None`: nobody knows.
    pub(crate) client: Option<String>,
    /// What the client called itself when it began; `None`: nothing.
    pub(crate) user_agent: Option<String>,
}

impl Session {
    /// Whether it may still be refreshed at `now`.
    pub(crate) fn is_alive(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && now < self.expires_at && now < self.absolute_until
    }
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
    /// The password was changed, or set anew by mail.
    Password,
    /// An administrator ended it.
    Administrator,
    /// The user is deleted.
    Deleted,
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::LogoutEverywhere => "logout_everywhere",
            Self::Reuse => "reuse",
            Self::Disabled => "disabled",
            Self::Password => "password",
            Self::Administrator => "administrator",
            Self::Deleted => "deleted",
        }
    }
}

const COLUMNS: &str = "id, user_id, generation, rotated_at, expires_at, absolute_until, \
                       access_until, epoch, kid, asked_scopes, created_at, ended_at, client, \
                       user_agent";

/// Adds a session.
///
/// # Errors
/// [`DbError`].
pub(crate) fn insert(tx: &Tx<'_>, session: &Session) -> Result<(), DbError> {
    tx.execute(
        &format!(
            "INSERT INTO sessions ({COLUMNS})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, NULL, ?12, ?13)"
        ),
        params![
            &session.id,
            &session.user_id,
            session.generation,
            session.rotated_at,
            session.expires_at,
            session.absolute_until,
            session.access_until,
            session.epoch,
            &session.kid,
            session.asked_scopes.as_deref().map(Scopes),
            session.created_at,
            session.client.as_deref(),
            session.user_agent.as_deref(),
        ],
    )?;
    Ok(())
}

/// The session `id`.
///
/// # Errors
/// [`DbError`].
pub(crate) fn find(sql: &Sql<'_>, id: &str) -> Result<Option<Session>, DbError> {
    let find = format!("SELECT {COLUMNS} FROM sessions WHERE id = ?1{}", sql.held());
    sql.row(&find, params![id], read)
}

/// The sessions of a user that may be refreshed at `now`, the newest first, at most `limit`.
///
/// # Errors
/// [`DbError`].
pub(crate) fn alive(
    sql: &Sql<'_>,
    user_id: &str,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Session>, DbError> {
    let list = format!(
        "SELECT {COLUMNS} FROM sessions
         WHERE user_id = ?1 AND ended_at IS NULL AND expires_at > ?2 AND absolute_until > ?2
         ORDER BY created_at DESC, id DESC LIMIT ?3"
    );
    sql.rows(&list, params![user_id, now, limit], read)
}

/// What a refresh makes of a session.
pub(crate) struct Rotation {
    pub(crate) session_id: String,
    /// The generation that the refresh token is of.
    pub(crate) from: u64,
    /// The epoch that the refresh token is of.
    pub(crate) epoch: u64,
    pub(crate) at: Timestamp,
    /// When the next refresh token ends, if the session does not end before.
    pub(crate) expires_at: Timestamp,
    /// When the access token made with it ends.
    pub(crate) access_until: Timestamp,
    pub(crate) kid: String,
}

/// Moves a session to its next generation, in one statement: if it is alive and of the generation
/// and epoch that are shown, and its owner may come in. Gives both as they then are.
///
/// # Errors
/// [`DbError`].
pub(crate) fn rotate(tx: &Tx<'_>, turn: &Rotation) -> Result<Option<(Identity, Session)>, DbError> {
    static SWAP: LazyLock<String> = LazyLock::new(|| {
        turned(
            "generation = generation + 1, rotated_at = ?3, kid = ?6,
             expires_at = CASE WHEN absolute_until < ?7 THEN absolute_until ELSE ?7 END,",
        )
    });
    let Rotation { session_id, from, epoch, at, expires_at, access_until, kid } = turn;
    let params = params![session_id, *from, *at, *access_until, *epoch, kid, *expires_at];
    tx.row(&SWAP, params, |row| read_with_owner(row, *epoch))
}

/// The same for a session that stays in its generation: only access tokens go on.
///
/// # Errors
/// [`DbError`].
pub(crate) fn stay(tx: &Tx<'_>, turn: &Rotation) -> Result<Option<(Identity, Session)>, DbError> {
    static STAY: LazyLock<String> = LazyLock::new(|| turned(""));
    let Rotation { session_id, from, epoch, at, access_until, .. } = turn;
    let params = params![session_id, *from, *at, *access_until, *epoch];
    tx.row(&STAY, params, |row| read_with_owner(row, *epoch))
}

/// The statement of a refresh that changes `more` than the end of access tokens.
fn turned(more: &str) -> String {
    let of_owner = |column| format!("(SELECT {column} FROM users WHERE users.id = user_id)");
    format!(
        "UPDATE sessions
         SET {more} access_until = CASE WHEN access_until > ?4 THEN access_until ELSE ?4 END
         WHERE id = ?1 AND generation = ?2 AND ended_at IS NULL AND absolute_until > ?3
             AND EXISTS (SELECT 1 FROM users
                         WHERE users.id = user_id AND users.is_active AND users.epoch = ?5)
         RETURNING {COLUMNS}, {} AS owner_name, {} AS owner_tier, {} AS owner_role,
             {} AS owner_scopes",
        of_owner("username"),
        of_owner("tier"),
        of_owner("role"),
        of_owner("scopes"),
    )
}

fn read_with_owner(row: &Row<'_>, epoch: u64) -> Result<(Identity, Session), DbError> {
    let session = read(row)?;
    let owner = Identity {
        id: session.user_id.clone(),
        username: row.text("owner_name")?,
        tier: row.tier("owner_tier")?,
        role: row.text("owner_role")?,
        scopes: row.scopes("owner_scopes")?,
        epoch,
    };
    Ok((owner, session))
}

/// Notes that an access token of the session goes on until `until`.
///
/// # Errors
/// [`DbError`].
pub(crate) fn extend_access(tx: &Tx<'_>, id: &str, until: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "UPDATE sessions SET access_until = ?2 WHERE id = ?1 AND access_until < ?2",
        params![id, until],
    )?;
    Ok(())
}

/// Ends a session; gives it as it was, or `None` where it was over or never there.
///
/// # Errors
/// [`DbError`].
pub(crate) fn end(
    tx: &Tx<'_>,
    id: &str,
    by: End,
    now: Timestamp,
) -> Result<Option<Session>, DbError> {
    tx.row(
        &format!(
            "UPDATE sessions SET ended_at = ?2, ended_by = ?3
             WHERE id = ?1 AND ended_at IS NULL RETURNING {COLUMNS}"
        ),
        params![id, now, by.as_str()],
        read,
    )
}

/// Ends all sessions of a user.
///
/// # Errors
/// [`DbError`].
pub(crate) fn end_all(tx: &Tx<'_>, user_id: &str, by: End, now: Timestamp) -> Result<u64, DbError> {
    tx.execute(
        "UPDATE sessions SET ended_at = ?2, ended_by = ?3 WHERE user_id = ?1 AND ended_at IS NULL",
        params![user_id, now, by.as_str()],
    )
}

/// Forgets at most `limit` sessions whose every token expired before `before`; gives how many.
///
/// # Errors
/// [`DbError`].
pub(crate) fn forget(tx: &Tx<'_>, before: Timestamp, limit: u32) -> Result<u64, DbError> {
    tx.execute(
        "DELETE FROM sessions WHERE id IN (
             SELECT id FROM sessions
             WHERE absolute_until < ?1 AND access_until < ?1 LIMIT ?2)",
        params![before, limit],
    )
}

fn read(row: &Row<'_>) -> Result<Session, DbError> {
    Ok(Session {
        id: row.text("id")?,
        user_id: row.text("user_id")?,
        generation: row.number("generation")?,
        rotated_at: row.millis("rotated_at")?,
        expires_at: row.millis("expires_at")?,
        absolute_until: row.millis("absolute_until")?,
        access_until: row.millis("access_until")?,
        epoch: row.number("epoch")?,
        kid: row.text("kid")?,
        asked_scopes: row.opt_scopes("asked_scopes")?,
        created_at: row.millis("created_at")?,
        ended_at: row.opt_millis("ended_at")?,
        client: row.opt_text("client")?,
        user_agent: row.opt_text("user_agent")?,
    })
}
