//! Where people come from, read in batches.

use std::io;
use std::io::BufRead;

use tokio::sync::mpsc;

use super::account::ToldAccount;
use super::arrival::Told;
use super::fault::ImportError;
use super::lines::Lines;
use crate::store::alone::Alone;
use crate::store::fault::DbError;
use crate::store::old_people;
use crate::store::sql::Sql;
use crate::store::sql::pages::PAGE_ROWS_MAX;

/// How many rows are decided about, and written, in one transaction.
const BATCH_ROWS_MAX: usize = PAGE_ROWS_MAX;

/// Where people come from.
pub enum ImportSource {
    /// The database of the deployment that is replaced, with SQLAlchemy's tables.
    OldDeployment(config::Database),
    /// Lines of JSON, one object each.
    JsonLines(Box<dyn BufRead + Send>),
}

/// Rows that are decided about, and written, in one transaction.
pub(super) enum Batch {
    People(Vec<Told>),
    /// After all people.
    Accounts(Vec<ToldAccount>),
}

/// Reads everybody, and gives them away in batches; stops where nobody takes them any more.
///
/// # Errors
/// [`ImportError`]: what is wrong with the source.
pub(super) fn read(source: ImportSource, give: &mpsc::Sender<Batch>) -> Result<(), ImportError> {
    match source {
        ImportSource::OldDeployment(database) => {
            let Alone { mut seat, place } = Alone::to_read(&database)?;
            seat.snapshot(|sql| read_deployment(sql, &place, give)).map_err(|stop| match stop {
                Stop::Fault(error) => error,
                Stop::Database(error) => ImportError::Source(error),
            })
        }
        ImportSource::JsonLines(reader) => {
            let mut lines = Lines::of(reader);
            loop {
                let batch = lines.by_ref().take(BATCH_ROWS_MAX).collect::<io::Result<Vec<_>>>()?;
                if batch.is_empty() || give.blocking_send(Batch::People(batch)).is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// Why the reading of a database ends early.
enum Stop {
    Database(DbError),
    Fault(ImportError),
}

impl From<DbError> for Stop {
    fn from(error: DbError) -> Self {
        Self::Database(error)
    }
}

fn read_deployment(sql: &Sql<'_>, place: &str, give: &mpsc::Sender<Batch>) -> Result<(), Stop> {
    // Whoever takes them no more has a fault to tell, which this one would hide.
    let give = |batch| give.blocking_send(batch).map_err(|_| Stop::Fault(ImportError::Lost));
    let columns = old_people::columns(sql, "users")?;
    check_users(&columns, place).map_err(Stop::Fault)?;
    old_people::users(sql, &columns, |page| {
        give(Batch::People(page.into_iter().map(Told::of).collect()))
    })?;
    let columns = old_people::columns(sql, "oauth_accounts")?;
    // Where nobody came by a provider, there may be no such table.
    if columns.is_empty() {
        return Ok(());
    }
    check_accounts(&columns, place).map_err(Stop::Fault)?;
    old_people::accounts(sql, &columns, |page| {
        give(Batch::Accounts(page.into_iter().map(ToldAccount::of).collect()))
    })
}

fn check_users(columns: &[String], place: &str) -> Result<(), ImportError> {
    let has = |name: &str| columns.iter().any(|column| column == name);
    let place = place.to_owned();
    if columns.is_empty() {
        return Err(ImportError::NoTable { place });
    }
    if !has("id") {
        return Err(ImportError::NoColumn { place, column: "id" });
    }
    if !has("username") && !has("email") {
        return Err(ImportError::NoColumn { place, column: "username` or `email" });
    }
    Ok(())
}

fn check_accounts(columns: &[String], place: &str) -> Result<(), ImportError> {
    let needed = ["user_id", "provider", "provider_user_id"];
    let lacking = needed.into_iter().find(|name| !columns.iter().any(|column| column == name));
    let place = place.to_owned();
    lacking.map_or(Ok(()), |column| Err(ImportError::NoAccountColumn { place, column }))
}
