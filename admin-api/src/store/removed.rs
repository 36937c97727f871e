//! The table of what was removed here, so that an import does not bring it back.

use kernel::time::Timestamp;
use ring::digest::SHA256;
use ring::digest::digest;

use super::fault::DbError;
use super::sql::Sql;
use super::sql::Tx;
use super::values::hex;
use super::values::params;

/// What can be removed, and come again by an import.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Removable<'a> {
    /// A person, by their id.
    Id(&'a str),
    /// A person, by their user name.
    Username(&'a str),
    /// An account at a provider.
    Account {
        /// The provider's issuer.
        issuer: &'a str,
        /// Who it is there.
        subject: &'a str,
    },
}

impl Removable<'_> {
    /// What stands in the table for it. No issuer has a space in it.
    fn mark(self) -> String {
        let text = match self {
            Self::Id(id) => format!("id {id}"),
            Self::Username(name) => format!("username {name}"),
            Self::Account { issuer, subject } => format!("account {issuer} {subject}"),
        };
        hex(digest(&SHA256, text.as_bytes()).as_ref())
    }
}

/// Notes that it was removed.
///
/// # Errors
/// [`DbError`].
pub(crate) fn add(tx: &Tx<'_>, what: Removable<'_>, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO removed (mark, removed_at) VALUES (?1, ?2)
         ON CONFLICT (mark) DO UPDATE SET removed_at = ?2",
        params![what.mark(), now],
    )?;
    Ok(())
}

/// Whether it was removed.
///
/// # Errors
/// [`DbError`].
pub(crate) fn has(sql: &Sql<'_>, what: Removable<'_>) -> Result<bool, DbError> {
    let find = "SELECT 1 AS one FROM removed WHERE mark = ?1";
    Ok(sql.row(find, params![what.mark()], |_| Ok(()))?.is_some())
}
