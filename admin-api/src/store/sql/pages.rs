//! Answers too long for memory, a page at a time, and values whatever they are.

use std::time::Duration;

use rusqlite::types::ValueRef;
use tokio_postgres::types::Type;

use super::Row;
use super::Speech;
use super::Sql;
use crate::store::fault::DbError;
use crate::store::values::Value;

/// How many rows are in memory at one time.
pub(crate) const PAGE_ROWS_MAX: usize = 256;

/// How long Postgres may take over one page: before the first it may sort the whole table.
const PAGE_BUDGET: Duration = Duration::from_secs(30 * 60);

impl Sql<'_> {
    /// Hands the rows of `statement`, read by `read`, to `take`, at most [`PAGE_ROWS_MAX`] at a
    /// time. Within a transaction only, and one such answer at a time.
    ///
    /// # Errors
    /// [`DbError`], also of `read`; what `take` gives.
    pub(crate) fn pages<T, E: From<DbError>>(
        &self,
        statement: &str,
        mut read: impl FnMut(&Row<'_>) -> Result<T, DbError>,
        mut take: impl FnMut(Vec<T>) -> Result<(), E>,
    ) -> Result<(), E> {
        match &self.0 {
            Speech::Sqlite(connection) => {
                let mut prepared = connection.prepare(statement).map_err(DbError::from)?;
                let mut rows = prepared.query([]).map_err(DbError::from)?;
                let mut page = Vec::new();
                while let Some(row) = rows.next().map_err(DbError::from)? {
                    page.push(read(&Row::sqlite(row))?);
                    if page.len() == PAGE_ROWS_MAX {
                        take(std::mem::take(&mut page))?;
                    }
                }
                if page.is_empty() { Ok(()) } else { take(page) }
            }
            Speech::Postgres(line) => {
                // A cursor: pages by key would need an index in the order of the bytes, and that of
                // a primary key is in the order of some language.
                let open = format!("DECLARE pages NO SCROLL CURSOR FOR {statement}");
                line.wait(line.client.batch_execute(&open))?;
                let fetch = format!("FETCH FORWARD {PAGE_ROWS_MAX} FROM pages");
                loop {
                    let rows = line.wait_for(PAGE_BUDGET, line.client.query(&fetch, &[]))?;
                    if rows.is_empty() {
                        break;
                    }
                    let page = rows.iter().map(|row| read(&Row::Postgres(row)));
                    take(page.collect::<Result<_, _>>()?)?;
                }
                Ok(line.wait(line.client.batch_execute("CLOSE pages"))?)
            }
        }
    }
}

impl Row<'_> {
    /// The value at place `at`, whatever it is, as both databases have it: yes and no are 1 and 0.
    ///
    /// # Errors
    /// [`DbError::Row`] for what is neither a text nor a whole number.
    pub(crate) fn value(&self, at: usize) -> Result<Value<'static>, DbError> {
        const OTHER: DbError = DbError::Row("a value that is neither text nor whole number");
        match self {
            Self::Sqlite(row, _) => match row.get_ref(at)? {
                ValueRef::Null => Ok(Value::Null),
                ValueRef::Integer(number) => Ok(Value::Number(number)),
                ValueRef::Text(text) => {
                    let text = std::str::from_utf8(text).map_err(|_| OTHER)?;
                    Ok(Value::from(text.to_owned()))
                }
                ValueRef::Real(_) | ValueRef::Blob(_) => Err(OTHER),
            },
            Self::Postgres(row) => match row.columns().get(at).map(|column| column.type_()) {
                Some(&Type::TEXT) => Ok(Value::from(row.try_get::<_, Option<String>>(at)?)),
                Some(&Type::INT8) => Ok(Value::from(row.try_get::<_, Option<i64>>(at)?)),
                Some(&Type::BOOL) => {
                    let flag = row.try_get::<_, Option<bool>>(at)?;
                    Ok(Value::from(flag.map(i64::from)))
                }
                _ => Err(OTHER),
            },
        }
    }
}
