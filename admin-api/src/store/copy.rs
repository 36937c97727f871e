//! All that is in a database, taken to another one, of either kind.
//!
//! Which tables there are is read off the schema itself, so that one that a later migration adds is
//! copied without anybody remembering it.

use kernel::time::Timestamp;
use ring::digest::Context;
use ring::digest::SHA256;
use uuid::Uuid;

use super::fault::DbError;
use super::migrate::MigrationError;
use super::migrate::Steps;
use super::migrate::migrate;
use super::open::connect_memory;
use super::seat::Seat;
use super::sql::Room;
use super::sql::Row;
use super::sql::Sql;
use super::sql::Tx;
use super::values::Value;
use super::values::hex;
use super::values::params;

/// The one column that a copy does not share: whoever follows the log must see that it is another
/// one, and that numbers it knows may stand for something else there.
const OF_ITS_OWN: (&str, &str) = ("revocation_log", "log_id");

/// What was copied of one table, counted and summed on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedTable {
    /// The table.
    pub name: String,
    /// What was read.
    pub read: Tally,
    /// What is there now.
    pub written: Tally,
}

/// A table's rows, in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How many they are.
    pub rows: u64,
    /// The SHA-256 over them in a form that both databases share, in hexadecimal. The id of the
    /// revocation log is left out, since every database has its own.
    pub sha256: String,
}

/// One whole row.
type Values = Vec<Value<'static>>;

/// A table of the schema.
#[derive(Debug)]
pub(crate) struct Table {
    name: String,
    columns: Vec<String>,
    key: Vec<KeyColumn>,
    references: Vec<String>,
    /// Which column is not shared.
    of_its_own: Option<usize>,
}

#[derive(Debug)]
struct KeyColumn {
    name: String,
    is_text: bool,
}

/// The tables that `steps` make, without the record of the steps; those that others refer to come
/// before them.
///
/// # Errors
/// [`MigrationError`].
pub(crate) fn tables(steps: Steps) -> Result<Vec<Table>, MigrationError> {
    // Both databases have the same tables and columns: a test of the migrations compares them.
    let connection = connect_memory().map_err(DbError::from)?;
    let all = Seat::Sqlite(connection).write(|tx| {
        migrate(tx, steps, Timestamp::default())?;
        let names = "SELECT name AS it FROM sqlite_schema
                     WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'
                         AND name <> 'schema_migrations'
                     ORDER BY rowid";
        let names = texts(tx, names, params![])?;
        let tables = names.into_iter().map(|name| Table::of(tx, name));
        Ok::<_, MigrationError>(tables.collect::<Result<Vec<_>, DbError>>()?)
    })?;
    Ok(referenced_first(all))
}

fn texts(sql: &Sql<'_>, statement: &str, params: &[Value<'_>]) -> Result<Vec<String>, DbError> {
    sql.rows(statement, params, |row| row.text("it"))
}

fn referenced_first(mut left: Vec<Table>) -> Vec<Table> {
    let mut ordered: Vec<Table> = Vec::new();
    while !left.is_empty() {
        let is_ready = |table: &Table| {
            let is_there = |other: &String| ordered.iter().any(|table| table.name == *other);
            table.references.iter().all(|other| *other == table.name || is_there(other))
        };
        // Tables that refer to each other in a circle have no order; the database would say so.
        let next = left.iter().position(is_ready).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    ordered
}

/// Keeps everybody else from what a copy is about to replace.
///
/// # Errors
/// [`DbError`].
pub(crate) fn alone_in(to: &Tx<'_>) -> Result<(), DbError> {
    [Room::Schema, Room::Names, Room::Firsts].into_iter().try_for_each(|room| to.alone_in(room))
}

/// Replaces everything in `to` by what is in `from`, and sums up both.
///
/// # Errors
/// The table at which it failed, and why.
pub(crate) fn copy(
    from: &Sql<'_>,
    to: &Tx<'_>,
    tables: &[Table],
) -> Result<Vec<CopiedTable>, (String, DbError)> {
    let at = |table: &Table, error| (table.name.clone(), error);
    for table in tables.iter().rev() {
        let delete = format!("DELETE FROM {}", quoted(&table.name));
        to.execute(&delete, params![]).map_err(|error| at(table, error))?;
    }
    tables.iter().map(|table| table.copy(from, to).map_err(|error| at(table, error))).collect()
}

impl Table {
    fn of(sql: &Sql<'_>, name: String) -> Result<Self, DbError> {
        let of = params![&name];
        let columns = "SELECT name AS it FROM pragma_table_info(?1) ORDER BY cid";
        let key = "SELECT name, type FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk";
        let references = "SELECT \"table\" AS it FROM pragma_foreign_key_list(?1)";
        let columns = texts(sql, columns, of)?;
        let of_its_own = columns.iter().position(|column| (&*name, &**column) == OF_ITS_OWN);
        Ok(Self {
            key: sql.rows(key, of, |row| {
                Ok(KeyColumn { name: row.text("name")?, is_text: row.text("type")? == "TEXT" })
            })?,
            references: texts(sql, references, of)?,
            columns,
            of_its_own,
            name,
        })
    }

    /// What it is called.
    #[cfg(test)]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether its rows have an order.
    #[cfg(test)]
    pub(crate) fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    fn copy(&self, from: &Sql<'_>, to: &Tx<'_>) -> Result<CopiedTable, DbError> {
        let mut read = Sum::new();
        from.pages(
            &self.select(from),
            |row| self.values(row),
            |page: Vec<Values>| {
                page.iter().for_each(|row| read.add(self.shared(row)));
                self.insert(to, page)
            },
        )?;
        let mut written = Sum::new();
        to.pages(
            &self.select(to),
            |row| self.values(row),
            |page: Vec<Values>| {
                page.iter().for_each(|row| written.add(self.shared(row)));
                Ok::<_, DbError>(())
            },
        )?;
        Ok(CopiedTable { name: self.name.clone(), read: read.tally(), written: written.tally() })
    }

    /// All rows in the order of their keys: that of the bytes, in both databases.
    fn select(&self, sql: &Sql<'_>) -> String {
        let bytewise = sql.either("", " COLLATE \"C\"");
        let order = self.key.iter().map(|column| {
            format!("{}{}", quoted(&column.name), if column.is_text { bytewise } else { "" })
        });
        let order = order.collect::<Vec<_>>().join(", ");
        format!("SELECT {} FROM {} ORDER BY {order}", self.all_columns(), quoted(&self.name))
    }

    fn all_columns(&self) -> String {
        self.columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
    }

    fn values(&self, row: &Row<'_>) -> Result<Values, DbError> {
        (0..self.columns.len()).map(|at| row.value(at)).collect()
    }

    fn shared<'r>(&self, row: &'r Values) -> impl Iterator<Item = &'r Value<'static>> {
        let of_its_own = self.of_its_own;
        row.iter().enumerate().filter(move |(at, _)| Some(*at) != of_its_own).map(|(_, it)| it)
    }

    fn insert(&self, to: &Tx<'_>, mut page: Vec<Values>) -> Result<(), DbError> {
        if let Some(at) = self.of_its_own {
            for row in &mut page {
                row[at] = Value::from(Uuid::new_v4().simple().to_string());
            }
        }
        let width = self.columns.len();
        let row = |i: usize| {
            let places = (1..=width).map(|column| format!("?{}", i * width + column));
            format!("({})", places.collect::<Vec<_>>().join(", "))
        };
        let rows = (0..page.len()).map(row).collect::<Vec<_>>().join(", ");
        let insert =
            format!("INSERT INTO {} ({}) VALUES {rows}", quoted(&self.name), self.all_columns());
        let values: Values = page.into_iter().flatten().collect();
        to.execute(&insert, &values).map(drop)
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Sums rows up.
struct Sum {
    rows: u64,
    digest: Context,
}

impl Sum {
    fn new() -> Self {
        Self { rows: 0, digest: Context::new(&SHA256) }
    }

    /// Every value says what it is and how long, so that no two rows read alike.
    fn add<'v>(&mut self, row: impl Iterator<Item = &'v Value<'static>>) {
        self.rows += 1;
        self.digest.update(b"(");
        for value in row {
            match value {
                Value::Null => self.digest.update(b"0"),
                Value::Number(number) => self.number(*number),
                Value::Flag(flag) => self.number((*flag).into()),
                Value::Text(text) => {
                    self.digest.update(b"t");
                    self.digest.update(&(text.len() as u64).to_be_bytes());
                    self.digest.update(text.as_bytes());
                }
            }
        }
    }

    fn number(&mut self, number: i64) {
        self.digest.update(b"n");
        self.digest.update(&number.to_be_bytes());
    }

    fn tally(self) -> Tally {
        Tally { rows: self.rows, sha256: hex(self.digest.finish().as_ref()) }
    }
}
