//! The table of browsers that are at a provider now.
//!
//! Neither the state nor what the browser keeps is in it, only their hashes: whoever reads the table
//! cannot come back in anybody's place.

use kernel::secret::Secret;
use kernel::time::Timestamp;

use super::fault::DbError;
use super::sql::Row;
use super::sql::Sql;
use super::sql::Tx;
use super::values::params;

/// What is remembered of a browser that was sent to a provider.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) state_hash: String,
    pub(crate) browser_hash: String,
    /// The provider's name.
    pub(crate) provider: String,
    pub(crate) nonce: Secret,
    pub(crate) verifier: Secret,
    /// Who links an account; `None`: somebody signs in.
    pub(crate) linking: Option<Linking>,
    pub(crate) expires_at: Timestamp,
}

/// Somebody who is signed in and links an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Linking {
    pub(crate) user_id: String,
    pub(crate) epoch: u64,
    /// Their session.
    pub(crate) session_id: String,
}

/// Remembers a browser.
///
/// # Errors
/// [`DbError`].
pub(crate) fn insert(tx: &Tx<'_>, sent: &Sent) -> Result<(), DbError> {
    let linking = sent.linking.as_ref();
    tx.execute(
        "INSERT INTO oauth_flows (state_hash, browser_hash, provider, nonce, verifier, user_id,
                                  epoch, session_id, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            &sent.state_hash,
            &sent.browser_hash,
            &sent.provider,
            &sent.nonce,
            &sent.verifier,
            linking.map(|linking| &linking.user_id),
            linking.map(|linking| linking.epoch),
            linking.map(|linking| &linking.session_id),
            sent.expires_at,
        ],
    )?;
    Ok(())
}

/// Takes out what is remembered of a browser that comes back from `provider`: once. Of another
/// browser, or from another provider, nothing is taken out: a stranger cannot use it up.
///
/// # Errors
/// [`DbError`].
pub(crate) fn take(
    tx: &Tx<'_>,
    state_hash: &str,
    browser_hash: &str,
    provider: &str,
) -> Result<Option<Sent>, DbError> {
    tx.row(
        "DELETE FROM oauth_flows WHERE state_hash = ?1 AND browser_hash = ?2 AND provider = ?3
         RETURNING state_hash, browser_hash, provider, nonce, verifier, user_id, epoch, session_id,
             expires_at",
        params![state_hash, browser_hash, provider],
        read,
    )
}

/// How many are under way, counted up to `limit`.
///
/// # Errors
/// [`DbError`].
pub(crate) fn count(sql: &Sql<'_>, limit: u64) -> Result<u64, DbError> {
    let count = "SELECT count(*) AS n FROM (SELECT 1 AS one FROM oauth_flows LIMIT ?1) AS flows";
    Ok(sql.row(count, params![limit], |row| row.number("n"))?.unwrap_or(0))
}

/// Forgets at most `limit` that ended before `before`; gives how many.
///
/// # Errors
/// [`DbError`].
pub(crate) fn forget(tx: &Tx<'_>, before: Timestamp, limit: u32) -> Result<u64, DbError> {
    tx.execute(
        "DELETE FROM oauth_flows WHERE state_hash IN (
             SELECT state_hash FROM oauth_flows WHERE expires_at <= ?1 LIMIT ?2)",
        params![before, limit],
    )
}

fn read(row: &Row<'_>) -> Result<Sent, DbError> {
    let linking = match row.opt_text("user_id")? {
        Some(user_id) => Some(Linking {
            user_id,
            epoch: row.number("epoch")?,
            session_id: row.text("session_id")?,
        }),
        None => None,
    };
    Ok(Sent {
        state_hash: row.text("state_hash")?,
        browser_hash: row.text("browser_hash")?,
        provider: row.text("provider")?,
        nonce: Secret::new(row.text("nonce")?),
        verifier: Secret::new(row.text("verifier")?),
        linking,
        expires_at: row.millis("expires_at")?,
    })
}
