//! The table of accounts at providers by which people sign in.

use kernel::time::Timestamp;

use super::fault::DbError;
use super::removed;
use super::removed::Removable;
use super::sql::Row;
use super::sql::Sql;
use super::sql::Tx;
use super::values::params;

/// An account at a provider that is linked to somebody here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) user_id: String,
    /// The provider's name here when it was linked.
    pub(crate) provider: String,
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// The verified address there, when it was last used.
    pub(crate) email: Option<String>,
    pub(crate) linked_at: Timestamp,
    pub(crate) last_used_at: Timestamp,
}

const COLUMNS: &str = "id, user_id, provider, issuer, subject, email, linked_at, last_used_at";

/// Links an account.
///
/// # Errors
/// [`DbError`], also where it is linked already.
pub(crate) fn insert(tx: &Tx<'_>, account: &Account) -> Result<(), DbError> {
    tx.execute(
        &format!("INSERT INTO oauth_accounts ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"),
        params![
            &account.id,
            &account.user_id,
            &account.provider,
            &account.issuer,
            &account.subject,
            account.email.as_deref(),
            account.linked_at,
            account.last_used_at,
        ],
    )?;
    Ok(())
}

/// The account that `issuer` knows as `subject`. Not held: its owner is to be held before it.
///
/// # Errors
/// [`DbError`].
pub(crate) fn find(sql: &Sql<'_>, issuer: &str, subject: &str) -> Result<Option<Account>, DbError> {
    let find = format!("SELECT {COLUMNS} FROM oauth_accounts WHERE issuer = ?1 AND subject = ?2");
    sql.row(&find, params![issuer, subject], read)
}

/// All accounts of a user, in the order in which they were linked.
///
/// # Errors
/// [`DbError`].
pub(crate) fn of_user(sql: &Sql<'_>, user_id: &str) -> Result<Vec<Account>, DbError> {
    let list =
        format!("SELECT {COLUMNS} FROM oauth_accounts WHERE user_id = ?1 ORDER BY linked_at, id");
    sql.rows(&list, params![user_id], read)
}

/// Notes that somebody came in by it, and the address they have there now.
///
/// # Errors
/// [`DbError`].
pub(crate) fn used(
    tx: &Tx<'_>,
    id: &str,
    email: Option<&str>,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE oauth_accounts SET last_used_at = ?2, email = ?3 WHERE id = ?1",
        params![id, now, email],
    )?;
    Ok(())
}

/// Unlinks an account, for good: no import brings it back.
///
/// # Errors
/// [`DbError`].
pub(crate) fn delete(tx: &Tx<'_>, account: &Account, now: Timestamp) -> Result<(), DbError> {
    tx.execute("DELETE FROM oauth_accounts WHERE id = ?1", params![&account.id])?;
    let Account { issuer, subject, .. } = account;
    removed::add(tx, Removable::Account { issuer, subject }, now)
}

fn read(row: &Row<'_>) -> Result<Account, DbError> {
    Ok(Account {
        id: row.text("id")?,
        user_id: row.text("user_id")?,
        provider: row.text("provider")?,
        issuer: row.text("issuer")?,
        subject: row.text("subject")?,
        email: row.opt_text("email")?,
        linked_at: row.millis("linked_at")?,
        last_used_at: row.millis("last_used_at")?,
    })
}
