//! The table of who carries revocations to the gateways: one process at a time, for a while.

use std::time::Duration;

use super::fault::DbError;
use super::sql::Sql;
use super::sql::Tx;
use super::values::params;

/// For how long whoever carries them may, if it says no more.
pub(crate) const LEASE_FOR: Duration = Duration::from_secs(3);

/// Takes or renews the lease for `holder`, by the clock of the database; says whether `holder` has it.
///
/// Where that clock was put back, the lease of another seems to end later than any that is given now.
/// Then it is shortened to one that is given now, and not taken: whoever has it knows, by a clock that
/// nobody sets, to have it no longer than that.
///
/// # Errors
/// [`DbError`].
pub(crate) fn hold(tx: &Tx<'_>, holder: &str) -> Result<bool, DbError> {
    let (now_ms, lease_ms) = (now_ms(tx), LEASE_FOR.as_millis() as u64);
    let hold = format!(
        "UPDATE revocation_publisher SET holder = ?1, held_until = {now_ms} + ?2
         WHERE one = 1 AND (holder = ?1 OR held_until <= {now_ms}) RETURNING one"
    );
    if tx.row(&hold, params![holder, lease_ms], |_| Ok(()))?.is_some() {
        return Ok(true);
    }
    let shorten = format!(
        "UPDATE revocation_publisher SET held_until = {now_ms} + ?1
         WHERE one = 1 AND held_until > {now_ms} + ?1"
    );
    tx.execute(&shorten, params![lease_ms])?;
    Ok(false)
}

/// Whether `holder` has it.
///
/// # Errors
/// [`DbError`].
pub(crate) fn holds(sql: &Sql<'_>, holder: &str) -> Result<bool, DbError> {
    let holds = format!(
        "SELECT one FROM revocation_publisher WHERE holder = ?1 AND held_until > {}",
        now_ms(sql)
    );
    Ok(sql.row(&holds, params![holder], |_| Ok(()))?.is_some())
}

/// Gives it back, so that nobody has to wait; nothing where `holder` does not have it.
///
/// # Errors
/// [`DbError`].
pub(crate) fn let_go(tx: &Tx<'_>, holder: &str) -> Result<(), DbError> {
    let let_go = "UPDATE revocation_publisher SET holder = '', held_until = 0 WHERE holder = ?1";
    tx.execute(let_go, params![holder])?;
    Ok(())
}

/// The time by the database itself, in milliseconds: those who share it need no clocks that agree.
fn now_ms(sql: &Sql<'_>) -> &'static str {
    sql.either(
        "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
        "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)",
    )
}
