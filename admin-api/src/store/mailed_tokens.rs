//! The tables of tokens that were mailed: one for each purpose, all of one shape.

use std::fmt;

use kernel::time::Timestamp;

use super::fault::DbError;
use super::sql::Sql;
use super::sql::Tx;
use super::users::User;
use super::values::params;

/// What a token is good for, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To set a new password.
    ResetPassword,
    /// To show that an address is theirs.
    VerifyEmail,
}

/// The table of its tokens.
impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ResetPassword => "password_resets",
            Self::VerifyEmail => "email_verifications",
        })
    }
}

/// A token that was mailed, without the token.
pub(crate) struct MailedToken {
    /// Its SHA-256, in hexadecimal.
    pub(crate) token_hash: String,
    pub(crate) user_id: String,
    /// Where it was mailed to.
    pub(crate) email: String,
    pub(crate) expires_at: Timestamp,
}

impl MailedToken {
    /// Whether it is good at `now` for `user` as they stand: who may come in, and has the address
    /// still that it was mailed to.
    pub(crate) fn is_good_for(&self, user: &User, now: Timestamp) -> bool {
        let is_theirs = user.email.as_deref() == Some(&self.email);
        self.user_id == user.id && user.is_active && is_theirs && now < self.expires_at
    }
}

/// Adds a token.
///
/// # Errors
/// [`DbError`].
pub(crate) fn insert(
    tx: &Tx<'_>,
    purpose: Purpose,
    token: &MailedToken,
    now: Timestamp,
) -> Result<(), DbError> {
    let insert = format!(
        "INSERT INTO {purpose} (token_hash, user_id, email, created_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5)"
    );
    let MailedToken { token_hash, user_id, email, expires_at } = token;
    tx.execute(&insert, params![token_hash, user_id, email, now, *expires_at])?;
    Ok(())
}

/// The token with this hash, expired or not; within a transaction it is held until that ends.
///
/// # Errors
/// [`DbError`].
pub(crate) fn find(
    sql: &Sql<'_>,
    purpose: Purpose,
    token_hash: &str,
) -> Result<Option<MailedToken>, DbError> {
    let find = format!(
        "SELECT token_hash, user_id, email, expires_at FROM {purpose}
         WHERE token_hash = ?1{}",
        sql.held()
    );
    sql.row(&find, params![token_hash], |row| {
        Ok(MailedToken {
            token_hash: row.text("token_hash")?,
            user_id: row.text("user_id")?,
            email: row.text("email")?,
            expires_at: row.millis("expires_at")?,
        })
    })
}

/// Forgets all tokens of a user for one purpose.
///
/// # Errors
/// [`DbError`].
pub(crate) fn forget_of(tx: &Tx<'_>, purpose: Purpose, user_id: &str) -> Result<(), DbError> {
    tx.execute(&format!("DELETE FROM {purpose} WHERE user_id = ?1"), params![user_id])?;
    Ok(())
}

/// Forgets at most `limit` tokens for one purpose that expired before `before`; gives how many.
///
/// # Errors
/// [`DbError`].
pub(crate) fn forget(
    tx: &Tx<'_>,
    purpose: Purpose,
    before: Timestamp,
    limit: u32,
) -> Result<u64, DbError> {
    let delete = format!(
        "DELETE FROM {purpose} WHERE token_hash IN (
             SELECT token_hash FROM {purpose} WHERE expires_at < ?1 LIMIT ?2)"
    );
    tx.execute(&delete, params![before, limit])
}
