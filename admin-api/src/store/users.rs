//! The table of users.

use std::fmt;

use kernel::secret::Secret;
use kernel::tier::Tier;
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
use super::values::TierName;

/// A person, without the password hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id that tokens and back ends know: a UUID, except for people taken over from elsewhere.
    pub id: String,
    /// The name to sign in with.
    pub username: String,
    /// The e-mail address, which signs in as well.
    pub email: Option<String>,
    /// What to call them.
    pub full_name: Option<String>,
    /// The tier.
    pub tier: Tier,
    /// The role, which grants scopes.
    pub role: String,
    /// Scopes beyond those of the role.
    pub scopes: Vec<String>,
    /// Whether they may sign in at all.
    pub is_active: bool,
    /// Whether the e-mail address is known to be theirs.
    pub is_verified: bool,
    /// Raised to refuse every token issued before.
    pub epoch: u64,
    /// When they last signed in.
    pub last_login: Option<Timestamp>,
    /// When they came.
    pub created_at: Timestamp,
}

/// A person and what their password is checked against.
pub(crate) struct Credentials {
    pub(crate) user: User,
    /// `None`: signs in with a provider only.
    pub(crate) hash: Option<Secret>,
}

const COLUMNS: &str = "id, username, email, full_name, tier, role, scopes, is_active, is_verified, \
                       epoch, last_login, created_at";

/// Adds a person.
///
/// # Errors
/// [`DbError::Sqlite`], also where the name or address is taken.
pub(crate) fn insert(tx: &Transaction<'_>, user: &User, hash: &Secret) -> Result<(), DbError> {
    tx.execute(
        &format!(
            "INSERT INTO users ({COLUMNS}, hashed_password, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, NULL, ?11, ?12, ?11)"
        ),
        params![
            user.id,
            user.username,
            user.email,
            user.full_name,
            user.tier.as_str(),
            user.role,
            Scopes(user.scopes.clone()),
            user.is_active,
            user.is_verified,
            Number(user.epoch),
            Millis(user.created_at),
            hash.expose(),
        ],
    )?;
    Ok(())
}

/// Whoever signs in as `name`: a user name first, else an e-mail address; both to the letter.
///
/// # Errors
/// [`DbError::Sqlite`].
pub(crate) fn credentials(
    connection: &Connection,
    name: &str,
) -> Result<Option<Credentials>, DbError> {
    let mut find = connection.prepare_cached(&format!(
        "SELECT {COLUMNS}, hashed_password FROM users
         WHERE username = ?1 OR email = ?1 ORDER BY username = ?1 DESC LIMIT 1"
    ))?;
    let found = find.query_row([name], |row| {
        Ok(Credentials {
            user: read(row)?,
            hash: row.get::<_, Option<String>>("hashed_password")?.map(Secret::new),
        })
    });
    Ok(found.optional()?)
}

/// The one column by which a person is found.
#[derive(Clone, Copy)]
pub(crate) enum By {
    /// The id.
    Id,
    /// The user name.
    Username,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Id => "id",
            Self::Username => "username",
        })
    }
}

/// The person whose `by` is `value`.
///
/// # Errors
/// [`DbError::Sqlite`].
pub(crate) fn find(connection: &Connection, by: By, value: &str) -> Result<Option<User>, DbError> {
    let mut find =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM users WHERE {by} = ?1"))?;
    Ok(find.query_row([value], read).optional()?)
}

/// Whether `text` is anybody's user name or e-mail address.
///
/// # Errors
/// [`DbError::Sqlite`].
pub(crate) fn is_taken(connection: &Connection, text: &str) -> Result<bool, DbError> {
    let mut find =
        connection.prepare_cached("SELECT 1 FROM users WHERE username = ?1 OR email = ?1")?;
    Ok(find.query_row([text], |_| Ok(())).optional()?.is_some())
}

/// People by name, after the name `after`, at most `limit`.
///
/// # Errors
/// [`DbError::Sqlite`].
pub(crate) fn list(connection: &Connection, after: &str, limit: u32) -> Result<Vec<User>, DbError> {
    let mut list = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM users WHERE username > ?1 ORDER BY username LIMIT ?2"
    ))?;
    let rows = list.query_map(params![after, limit], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether there is nobody.
///
/// # Errors
/// [`DbError::Sqlite`].
pub(crate) fn is_empty(connection: &Connection) -> Result<bool, DbError> {
    let none = "SELECT NOT EXISTS (SELECT 1 FROM users)";
    Ok(connection.query_row(none, [], |row| row.get(0))?)
}

/// Writes what may change of a person: everything but the id, the name and the password.
///
/// # Errors
/// [`DbError::Sqlite`].
pub(crate) fn update(tx: &Transaction<'_>, user: &User, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "UPDATE users
         SET tier = ?2, role = ?3, scopes = ?4, is_active = ?5, epoch = ?6, updated_at = ?7
         WHERE id = ?1",
        params![
            user.id,
            user.tier.as_str(),
            user.role,
            Scopes(user.scopes.clone()),
            user.is_active,
            Number(user.epoch),
            Millis(now),
        ],
    )?;
    Ok(())
}

/// Notes a sign-in, and the new hash where the password was hashed anew.
///
/// # Errors
/// [`DbError::Sqlite`].
pub(crate) fn signed_in(
    tx: &Transaction<'_>,
    id: &str,
    new_hash: Option<&Secret>,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE users SET last_login = ?2, hashed_password = coalesce(?3, hashed_password)
         WHERE id = ?1",
        params![id, Millis(now), new_hash.map(Secret::expose)],
    )?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<User> {
    let TierName(tier) = row.get("tier")?;
    let Scopes(scopes) = row.get("scopes")?;
    let Number(epoch) = row.get("epoch")?;
    let Millis(created_at) = row.get("created_at")?;
    Ok(User {
        id: row.get("id")?,
        username: row.get("username")?,
        email: row.get("email")?,
        full_name: row.get("full_name")?,
        tier,
        role: row.get("role")?,
        scopes,
        is_active: row.get("is_active")?,
        is_verified: row.get("is_verified")?,
        epoch,
        last_login: row.get::<_, Option<Millis>>("last_login")?.map(|Millis(at)| at),
        created_at,
    })
}
