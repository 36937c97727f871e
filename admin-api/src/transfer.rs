//! Moving house: everything in one database, copied into another.

use crate::store::alone::Alone;
use crate::store::copy::CopiedTable;
use crate::store::copy::alone_in;
use crate::store::copy::copy;
use crate::store::copy::tables;
use crate::store::fault::DbError;
use crate::store::migrate::STEPS;
use crate::store::migrate::Steps;
use crate::store::migrate::status;
use crate::store::open::OpenError;
use crate::store::sql::Sql;
use crate::store::users;

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// One of the databases cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A schema that lacks steps.
    #[error(
        "the database `{0}` has not all the tables of this program; run `doorward db migrate` on it \
         first"
    )]
    Behind(String),
    /// Somebody is there already.
    #[error("the database `{0}` has people already; copy into one that has none")]
    Peopled(String),
    /// A table that could not be read or written.
    #[error("the table `{table}` could not be copied, so nothing was")]
    Table {
        /// Which one.
        table: String,
        /// Why.
        #[source]
        source: DbError,
    },
    /// What was written is not what was read.
    #[error("what was written differs from what was read, so nothing was kept")]
    Differs(Vec<CopiedTable>),
    /// The database would not begin or end.
    #[error("the copy could not be finished, so nothing was kept")]
    Database(#[from] DbError),
}

/// Copies everything in `from` into `to`, which must have the schema and nobody in it; what else is
/// there is replaced. The revocation log of the copy has an id of its own.
///
/// `from` is read as it is at one moment. `to` is written in one transaction, which is kept only if
/// every table there counts and sums up to what was read. Blocks: not for a runtime's thread.
///
/// # Errors
/// [`CopyError`]; `to` is then as it was.
pub fn copy_database(
    from: &config::Database,
    to: &config::Database,
) -> Result<Vec<CopiedTable>, CopyError> {
    copy_by(STEPS, Alone::to_read(from)?, Alone::to_write(to)?)
}

fn copy_by(steps: Steps, from: Alone, to: Alone) -> Result<Vec<CopiedTable>, CopyError> {
    let (Alone { seat: mut from, place: from_place }, Alone { seat: mut to, place: to_place }) =
        (from, to);
    let unusable = |place: &str, error| CopyError::Open(OpenError::migration(place, error));
    let tables = tables(steps).map_err(|error| unusable(&to_place, error))?;
    from.snapshot(|from| {
        check_ready(from, steps, &from_place)?;
        to.write(|to| {
            alone_in(to)?;
            check_ready(to, steps, &to_place)?;
            if !users::is_empty(to)? {
                return Err(CopyError::Peopled(to_place.to_string()));
            }
            let copied = copy(from, to, &tables);
            let copied = copied.map_err(|(table, source)| CopyError::Table { table, source })?;
            let is_same = copied.iter().all(|table| table.read == table.written);
            if is_same { Ok(copied) } else { Err(CopyError::Differs(copied)) }
        })
    })
}

fn check_ready(sql: &Sql<'_>, steps: Steps, place: &str) -> Result<(), CopyError> {
    let steps = status(sql, steps);
    let steps = steps.map_err(|error| CopyError::Open(OpenError::migration(place, error)))?;
    let is_whole = steps.iter().all(|step| step.applied_at.is_some());
    if is_whole { Ok(()) } else { Err(CopyError::Behind(place.to_owned())) }
}

#[cfg(test)]
mod tests;
