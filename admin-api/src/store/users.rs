//! The table of users.

pub(crate) mod import;

use std::fmt;

use kernel::secret::Secret;
use kernel::tier::Tier;
use kernel::time::Timestamp;

use super::fault::DbError;
use super::removed;
use super::removed::Removable;
use super::sql::Row;
use super::sql::Sql;
use super::sql::Tx;
use super::values::Scopes;
use super::values::Value;
use super::values::params;
use crate::passwords::ours;

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
    /// Raised whenever an administrator, or they themselves, change any of this.
    pub version: u64,
}

/// What tokens say of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: String,
    pub(crate) username: String,
    pub(crate) tier: Tier,
    pub(crate) role: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) epoch: u64,
}

impl From<User> for Identity {
    fn from(user: User) -> Self {
        let User { id, username, tier, role, scopes, epoch, .. } = user;
        Self { id, username, tier, role, scopes, epoch }
    }
}

/// A person and what their password is checked against.
pub(crate) struct Credentials {
    pub(crate) user: User,
    /// `None`: signs in with a provider only.
    pub(crate) hash: Option<Secret>,
}

/// The most kinds of hashes that are told apart.
const KINDS_MAX: usize = 64;

const COLUMNS: &str = "id, username, email, full_name, tier, role, scopes, is_active, is_verified, \
                       epoch, last_login, created_at, version";

/// Adds a person; `None` for a hash: signs in by providers only.
///
/// # Errors
/// [`DbError`], also where the id, the name or the address is taken.
pub(crate) fn insert(
    tx: &Tx<'_>,
    user: &User,
    hash: Option<&Secret>,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        &format!(
            "INSERT INTO users ({COLUMNS}, hashed_password, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)"
        ),
        params![
            &user.id,
            &user.username,
            user.email.as_deref(),
            user.full_name.as_deref(),
            &user.tier,
            &user.role,
            Scopes(&user.scopes),
            user.is_active,
            user.is_verified,
            user.epoch,
            user.last_login,
            user.created_at,
            user.version,
            hash,
            now,
        ],
    )?;
    Ok(())
}

/// Whoever signs in as `name`: a user name first, else an e-mail address; both to the letter.
///
/// # Errors
/// [`DbError`].
pub(crate) fn credentials(sql: &Sql<'_>, name: &str) -> Result<Option<Credentials>, DbError> {
    let find = format!(
        "SELECT {COLUMNS}, hashed_password FROM users
         WHERE username = ?1 OR email = ?1
         ORDER BY CASE WHEN username = ?1 THEN 0 ELSE 1 END LIMIT 1{}",
        sql.held()
    );
    sql.row(&find, params![name], |row| {
        Ok(Credentials {
            user: read(row)?,
            hash: row.opt_text("hashed_password")?.map(Secret::new),
        })
    })
}

/// The password hash of the person `id`.
///
/// # Errors
/// [`DbError`].
pub(crate) fn hash_of(sql: &Sql<'_>, id: &str) -> Result<Option<Secret>, DbError> {
    let find = "SELECT hashed_password FROM users WHERE id = ?1";
    let found = sql.row(find, params![id], |row| row.opt_text("hashed_password"))?;
    Ok(found.flatten().map(Secret::new))
}

/// The one column by which a person is found.
#[derive(Clone, Copy)]
pub(crate) enum By {
    /// The id.
    Id,
    /// The user name.
    Username,
    /// The e-mail address.
    Email,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Id => "id",
            Self::Username => "username",
            Self::Email => "email",
        })
    }
}

/// The person whose `by` is `value`.
///
/// # Errors
/// [`DbError`].
pub(crate) fn find(sql: &Sql<'_>, by: By, value: &str) -> Result<Option<User>, DbError> {
    let find = format!("SELECT {COLUMNS} FROM users WHERE {by} = ?1{}", sql.held());
    sql.row(&find, params![value], read)
}

/// Whether the person `id` has a password.
///
/// # Errors
/// [`DbError`].
pub(crate) fn has_password(sql: &Sql<'_>, id: &str) -> Result<bool, DbError> {
    let find = "SELECT 1 AS one FROM users WHERE id = ?1 AND hashed_password IS NOT NULL";
    Ok(sql.row(find, params![id], |_| Ok(()))?.is_some())
}

/// Whether `text` is anybody's user name or e-mail address.
///
/// # Errors
/// [`DbError`].
pub(crate) fn is_taken(sql: &Sql<'_>, text: &str) -> Result<bool, DbError> {
    let find = "SELECT 1 AS one FROM users WHERE username = ?1 OR email = ?1";
    Ok(sql.row(find, params![text], |_| Ok(()))?.is_some())
}

/// Which people are wanted; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// Those after this name; empty: from the first.
    pub after: String,
    /// Those with this text in their name, address or full name, in letters of either case (of
    /// A to Z).
    pub text: Option<String>,
    /// Those of this tier.
    pub tier: Option<Tier>,
    /// Those of this role.
    pub role: Option<String>,
    /// Those who may come in, or those who may not.
    pub is_active: Option<bool>,
}

/// People in order of name, at most `limit`.
///
/// # Errors
/// [`DbError`].
pub(crate) fn list(sql: &Sql<'_>, filter: &UserFilter, limit: u32) -> Result<Vec<User>, DbError> {
    let mut conditions = String::from("username > ?1");
    let mut values = vec![Value::from(&filter.after), limit.into()];
    let mut also = |condition: &str, value: Value<'static>| {
        values.push(value);
        let number = format!("?{}", values.len());
        conditions.push_str(" AND ");
        conditions.push_str(&condition.replace("?N", &number));
    };
    if let Some(text) = &filter.text {
        let like = "(lower(username) LIKE ?N ESCAPE '!' OR lower(email) LIKE ?N ESCAPE '!' \
                     OR lower(full_name) LIKE ?N ESCAPE '!')";
        also(like, containing(text).into());
    }
    if let Some(tier) = &filter.tier {
        also("tier = ?N", tier.as_str().to_owned().into());
    }
    if let Some(role) = &filter.role {
        also("role = ?N", role.clone().into());
    }
    if let Some(is_active) = filter.is_active {
        also("is_active = ?N", is_active.into());
    }
    let list = format!("SELECT {COLUMNS} FROM users WHERE {conditions} ORDER BY username LIMIT ?2");
    sql.rows(&list, &values, read)
}

/// The pattern of whatever contains `text`.
fn containing(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c.to_ascii_lowercase());
    }
    pattern.push('%');
    pattern
}

/// Whether somebody but `id` has `role` and may come in.
///
/// # Errors
/// [`DbError`].
pub(crate) fn is_there_another(sql: &Sql<'_>, role: &str, id: &str) -> Result<bool, DbError> {
    let find = "SELECT 1 AS one FROM users WHERE role = ?1 AND is_active AND id <> ?2 LIMIT 1";
    Ok(sql.row(find, params![role, id], |_| Ok(()))?.is_some())
}

/// Whether there is nobody.
///
/// # Errors
/// [`DbError`].
pub(crate) fn is_empty(sql: &Sql<'_>) -> Result<bool, DbError> {
    Ok(sql.row("SELECT 1 AS one FROM users LIMIT 1", params![], |_| Ok(()))?.is_none())
}

/// Writes what may change of a person, everything but the id, the name and the password, and gives
/// them the next version.
///
/// # Errors
/// [`DbError`].
pub(crate) fn update(tx: &Tx<'_>, user: &mut User, now: Timestamp) -> Result<(), DbError> {
    user.version += 1;
    tx.execute(
        "UPDATE users
         SET email = ?2, full_name = ?3, tier = ?4, role = ?5, scopes = ?6, is_active = ?7,
             is_verified = ?8, epoch = ?9, updated_at = ?10, version = ?11
         WHERE id = ?1",
        params![
            &user.id,
            user.email.as_deref(),
            user.full_name.as_deref(),
            &user.tier,
            &user.role,
            Scopes(&user.scopes),
            user.is_active,
            user.is_verified,
            user.epoch,
            now,
            user.version,
        ],
    )?;
    Ok(())
}

/// Deletes a person, for good: no import brings them back. With them go their sessions and all else
/// that is theirs alone.
///
/// # Errors
/// [`DbError`].
pub(crate) fn delete(tx: &Tx<'_>, user: &User, now: Timestamp) -> Result<(), DbError> {
    tx.execute("DELETE FROM users WHERE id = ?1", params![&user.id])?;
    removed::add(tx, Removable::Id(&user.id), now)?;
    removed::add(tx, Removable::Username(&user.username), now)
}

/// Notes a sign-in, and the new hash where the password was hashed anew.
///
/// # Errors
/// [`DbError`].
pub(crate) fn signed_in(
    tx: &Tx<'_>,
    id: &str,
    new_hash: Option<&Secret>,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE users SET last_login = ?2, hashed_password = coalesce(?3, hashed_password)
         WHERE id = ?1",
        params![id, now, new_hash],
    )?;
    Ok(())
}

/// Gives somebody another password.
///
/// # Errors
/// [`DbError`].
pub(crate) fn set_password(
    tx: &Tx<'_>,
    id: &str,
    hash: &Secret,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE users SET hashed_password = ?2, updated_at = ?3 WHERE id = ?1",
        params![id, hash, now],
    )?;
    Ok(())
}

/// A hash of each kind that is not as they are made now, at most [`KINDS_MAX`].
///
/// # Errors
/// [`DbError`].
pub(crate) fn other_hashes(sql: &Sql<'_>) -> Result<Vec<Secret>, DbError> {
    // As far as a kind and its price go: `$2b$12$`, `$bcrypt-sha256$2b,12$`, or the rest.
    let kind = "substr(hashed_password, 1, CASE
                    WHEN substr(hashed_password, 1, 2) = '$2' THEN 7
                    WHEN substr(hashed_password, 1, 16) = '$bcrypt-sha256$2' THEN 20
                    ELSE 28 END)";
    // The condition is that of an index, to the letter: with a parameter it would not be used.
    let find = format!(
        "SELECT min(hashed_password) AS one FROM users
         WHERE substr(hashed_password, 1, 31) <> '{}' GROUP BY {kind} LIMIT {KINDS_MAX}",
        ours::PREFIX
    );
    sql.rows(&find, params![], |row| row.text("one").map(Secret::new))
}

fn read(row: &Row<'_>) -> Result<User, DbError> {
    Ok(User {
        id: row.text("id")?,
        username: row.text("username")?,
        email: row.opt_text("email")?,
        full_name: row.opt_text("full_name")?,
        tier: row.tier("tier")?,
        role: row.text("role")?,
        scopes: row.scopes("scopes")?,
        is_active: row.flag("is_active")?,
        is_verified: row.flag("is_verified")?,
        epoch: row.number("epoch")?,
        last_login: row.opt_millis("last_login")?,
        created_at: row.millis("created_at")?,
        version: row.number("version")?,
    })
}
