//! One way to speak to both databases.
//!
//! A statement is written once, in what SQLite and Postgres have in common, with `?1`, `?2` … for
//! its parameters. All calls block: they run on a thread of the database's crew, never on a
//! runtime.

pub(crate) mod pages;

use std::cell::Cell;
use std::ops::Deref;
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use kernel::tier::Tier;
use kernel::time::Timestamp;
use rusqlite::Connection;
use rusqlite::params_from_iter;
use rusqlite::types::FromSql;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_postgres::types::FromSqlOwned;
use tokio_postgres::types::ToSql;

use super::fault::DbError;
use super::fault::PostgresFault;
use super::values::Value;

/// How long Postgres may take over one statement.
pub(crate) const STATEMENT_BUDGET: Duration = Duration::from_secs(5);

/// How long Postgres may take over one step of the schema.
pub(crate) const SCHEMA_BUDGET: Duration = Duration::from_secs(30 * 60);

/// A connection, ready to be asked.
pub(crate) struct Sql<'a>(Speech<'a>);

enum Speech<'a> {
    Sqlite(&'a Connection),
    Postgres(Line<'a>),
}

/// A connection to Postgres, and the runtime that drives it.
struct Line<'a> {
    client: &'a ClientWrapper,
    runtime: &'a Runtime,
    /// Whether rows that are read stay as they are until the transaction ends.
    holds_rows: bool,
}

/// A transaction that may write; what it read stays as it was until it ends.
pub(crate) struct Tx<'a>(Sql<'a>);

/// One row of an answer.
pub(crate) enum Row<'a> {
    /// With the place of the column after the one that was read last.
    Sqlite(&'a rusqlite::Row<'a>, Cell<usize>),
    Postgres(&'a tokio_postgres::Row),
}

impl<'a> Sql<'a> {
    pub(crate) fn sqlite(connection: &'a Connection) -> Self {
        Self(Speech::Sqlite(connection))
    }

    pub(crate) fn postgres(client: &'a ClientWrapper, runtime: &'a Runtime) -> Self {
        Self(Speech::Postgres(Line { client, runtime, holds_rows: false }))
    }

    /// The rows of `statement`, read by `read`.
    ///
    /// # Errors
    /// [`DbError`], also of `read`.
    pub(crate) fn rows<T>(
        &self,
        statement: &str,
        params: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, DbError>,
    ) -> Result<Vec<T>, DbError> {
        match &self.0 {
            Speech::Sqlite(connection) => {
                let mut prepared = connection.prepare_cached(statement)?;
                let mut rows = prepared.query(params_from_iter(params))?;
                let mut all = Vec::new();
                while let Some(row) = rows.next()? {
                    all.push(read(&Row::sqlite(row))?);
                }
                Ok(all)
            }
            // Postgres keeps no text with a NUL, so no row has one; it would take offence.
            Speech::Postgres(_) if params.iter().any(Value::has_nul) => Ok(Vec::new()),
            Speech::Postgres(line) => {
                let params: Vec<_> = params.iter().map(|p| p as &(dyn ToSql + Sync)).collect();
                let rows = line.wait(async {
                    let prepared = line.client.prepare_cached(&numbered(statement)).await?;
                    line.client.query(&prepared, &params).await
                })?;
                rows.iter().map(|row| read(&Row::Postgres(row))).collect()
            }
        }
    }

    /// The first row of `statement`, if it has any.
    ///
    /// # Errors
    /// As [`Sql::rows`].
    pub(crate) fn row<T>(
        &self,
        statement: &str,
        params: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T, DbError>,
    ) -> Result<Option<T>, DbError> {
        Ok(self.rows(statement, params, read)?.into_iter().next())
    }

    /// What a `SELECT` of rows that the transaction builds on ends with: Postgres then keeps
    /// others from changing them; SQLite lets no other writer in at all. Nothing outside of a
    /// transaction.
    pub(crate) fn held(&self) -> &'static str {
        match &self.0 {
            Speech::Postgres(line) if line.holds_rows => " FOR UPDATE",
            Speech::Postgres(_) | Speech::Sqlite(_) => "",
        }
    }

    /// A number that changes whenever somebody else wrote; `None` where there is no such number.
    ///
    /// # Errors
    /// [`DbError`].
    pub(crate) fn data_version(&self) -> Result<Option<i64>, DbError> {
        match &self.0 {
            Speech::Sqlite(connection) => {
                Ok(Some(connection.query_row("PRAGMA data_version", [], |row| row.get(0))?))
            }
            Speech::Postgres(_) => Ok(None),
        }
    }

    /// The one of two that is for this database, where they have nothing in common.
    pub(crate) fn either<T>(&self, sqlite: T, postgres: T) -> T {
        match self.0 {
            Speech::Sqlite(_) => sqlite,
            Speech::Postgres(_) => postgres,
        }
    }

    fn change(&self, statement: &str, params: &[Value<'_>]) -> Result<u64, DbError> {
        match &self.0 {
            Speech::Sqlite(connection) => {
                let mut prepared = connection.prepare_cached(statement)?;
                Ok(prepared.execute(params_from_iter(params))? as u64)
            }
            Speech::Postgres(line) => {
                let params: Vec<_> = params.iter().map(|p| p as &(dyn ToSql + Sync)).collect();
                line.wait(async {
                    let prepared = line.client.prepare_cached(&numbered(statement)).await?;
                    line.client.execute(&prepared, &params).await
                })
            }
        }
    }
}

impl<'a> Tx<'a> {
    /// Takes `sql` for a transaction that has begun.
    pub(crate) fn begun(mut sql: Sql<'a>) -> Self {
        if let Speech::Postgres(line) = &mut sql.0 {
            line.holds_rows = true;
        }
        Self(sql)
    }

    /// Runs a statement; gives how many rows it changed.
    ///
    /// # Errors
    /// [`DbError`].
    pub(crate) fn execute(&self, statement: &str, params: &[Value<'_>]) -> Result<u64, DbError> {
        self.0.change(statement, params)
    }

    /// Runs statements without parameters, one after the other.
    ///
    /// # Errors
    /// [`DbError`].
    pub(crate) fn batch(&self, statements: &str) -> Result<(), DbError> {
        match &self.0.0 {
            Speech::Sqlite(connection) => Ok(connection.execute_batch(statements)?),
            Speech::Postgres(line) => line.wait(line.client.batch_execute(statements)),
        }
    }

    /// The same, for changes of the schema, which may take as long as the tables are large.
    ///
    /// # Errors
    /// [`DbError`].
    pub(crate) fn batch_patiently(&self, statements: &str) -> Result<(), DbError> {
        match &self.0.0 {
            Speech::Sqlite(_) => self.batch(statements),
            Speech::Postgres(line) => {
                line.wait(line.client.batch_execute("SET LOCAL statement_timeout = 0"))?;
                line.wait_for(SCHEMA_BUDGET, line.client.batch_execute(statements))
            }
        }
    }

    /// Keeps every other transaction that asks for the same `room` waiting until this one ends,
    /// for what no row stands for yet.
    ///
    /// # Errors
    /// [`DbError`].
    pub(crate) fn alone_in(&self, room: Room) -> Result<(), DbError> {
        match &self.0.0 {
            // BEGIN IMMEDIATE: it is alone already.
            Speech::Sqlite(_) => Ok(()),
            Speech::Postgres(line) => {
                let lock = format!("SELECT pg_advisory_xact_lock({ADVISORY}, {})", room as i32);
                line.wait(line.client.batch_execute(&lock))
            }
        }
    }
}

/// What one transaction at a time may do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Room {
    /// Change the schema.
    Schema = 1,
    /// Give somebody a name.
    Names = 2,
    /// Make the first of something.
    Firsts = 3,
}

/// "door" in ASCII: our part of the numbers that all programs of a database share.
const ADVISORY: i32 = 0x646f_6f72;

impl<'a> Deref for Tx<'a> {
    type Target = Sql<'a>;

    fn deref(&self) -> &Sql<'a> {
        &self.0
    }
}

impl Line<'_> {
    /// Waits for an answer, but not for ever.
    fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, DbError> {
        self.wait_for(STATEMENT_BUDGET, answer)
    }

    fn wait_for<T>(
        &self,
        budget: Duration,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, DbError> {
        let answer = self.runtime.block_on(async { timeout(budget, answer).await });
        match answer {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(DbError::Unreachable(PostgresFault::late())),
        }
    }
}

/// The statement with parameters as Postgres writes them.
fn numbered(statement: &str) -> String {
    statement.replace('?', "$")
}

impl<'a> Row<'a> {
    fn sqlite(row: &'a rusqlite::Row<'a>) -> Self {
        Self::Sqlite(row, Cell::new(0))
    }

    /// A text.
    ///
    /// # Errors
    /// [`DbError::Row`] where it is none, as in all that follow.
    pub(crate) fn text(&self, column: &'static str) -> Result<String, DbError> {
        self.get(column)
    }

    /// A text, or nothing.
    pub(crate) fn opt_text(&self, column: &'static str) -> Result<Option<String>, DbError> {
        self.get(column)
    }

    /// A whole number.
    pub(crate) fn int(&self, column: &'static str) -> Result<i64, DbError> {
        self.get(column)
    }

    /// A number that is never negative.
    pub(crate) fn number(&self, column: &'static str) -> Result<u64, DbError> {
        u64::try_from(self.int(column)?).map_err(|_| DbError::Row(column))
    }

    /// Yes or no.
    pub(crate) fn flag(&self, column: &'static str) -> Result<bool, DbError> {
        self.get(column)
    }

    /// A moment.
    pub(crate) fn millis(&self, column: &'static str) -> Result<Timestamp, DbError> {
        Ok(Timestamp::from_millis(self.number(column)?))
    }

    /// A moment, or nothing.
    pub(crate) fn opt_millis(&self, column: &'static str) -> Result<Option<Timestamp>, DbError> {
        let moment = |ms| u64::try_from(ms).map(Timestamp::from_millis);
        let ms: Option<i64> = self.get(column)?;
        ms.map(moment).transpose().map_err(|_| DbError::Row(column))
    }

    /// A tier's name.
    pub(crate) fn tier(&self, column: &'static str) -> Result<Tier, DbError> {
        Tier::parse(&self.text(column)?).map_err(|_| DbError::Row(column))
    }

    /// Scopes.
    pub(crate) fn scopes(&self, column: &'static str) -> Result<Vec<String>, DbError> {
        Ok(words(&self.text(column)?))
    }

    /// Scopes, or nothing.
    pub(crate) fn opt_scopes(&self, column: &'static str) -> Result<Option<Vec<String>>, DbError> {
        Ok(self.opt_text(column)?.map(|text| words(&text)))
    }

    fn get<T: FromSql + FromSqlOwned>(&self, column: &'static str) -> Result<T, DbError> {
        match self {
            Self::Sqlite(row, next) => {
                read_in_order(row, next, column).map_err(|_| DbError::Row(column))
            }
            Self::Postgres(row) => row.try_get(column).map_err(|_| DbError::Row(column)),
        }
    }
}

/// Reads `column`, looking for it first where it is when columns are read in the order of the
/// `SELECT`: SQLite compares the names of all that come before one that is asked for by name.
fn read_in_order<T: FromSql>(
    row: &rusqlite::Row<'_>,
    next: &Cell<usize>,
    column: &str,
) -> rusqlite::Result<T> {
    let columns = row.as_ref();
    let place = match columns.column_name(next.get()) {
        Ok(name) if name == column => next.get(),
        _ => columns.column_index(column)?,
    };
    next.set(place + 1);
    row.get(place)
}

fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_by_name_in_whatever_order() {
        let connection = Connection::open_in_memory().unwrap();
        let sql = Sql::sqlite(&connection);
        for order in [["a", "b", "c"], ["c", "b", "a"], ["b", "b", "a"], ["a", "c", "c"]] {
            let read = |row: &Row<'_>| order.map(|column| row.int(column).unwrap());
            let read = sql.row("SELECT 1 AS a, 2 AS b, 3 AS c", &[], |row| Ok(read(row))).unwrap();
            let meant = order.map(|column| i64::from(column.as_bytes()[0] - b'a') + 1);
            assert_eq!(read, Some(meant), "{order:?}");
        }
        let beyond = |row: &Row<'_>| row.int("a").and_then(|_| row.int("d"));
        let unknown = sql.row("SELECT 1 AS a", &[], beyond);
        assert!(matches!(unknown, Err(DbError::Row("d"))), "{unknown:?}");
    }
}
