//! Where a house of these tests keeps its people: a SQLite file.

use std::path::Path;

use config::Database;
use tempfile::TempDir;

/// A new database of one test's own.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn database(&self) -> Database {
        Database::Sqlite(self.dir().join("doorward.db"))
    }

    pub(crate) fn dir(&self) -> &Path {
        self.0.path()
    }

    /// Runs statements over a connection of its own, in one transaction.
    pub(crate) fn execute(&self, statements: &str) {
        self.try_execute(statements).unwrap();
    }

    pub(crate) fn try_execute(&self, statements: &str) -> Result<(), String> {
        let connection = rusqlite::Connection::open(self.dir().join("doorward.db")).unwrap();
        connection.execute_batch(&format!("BEGIN; {statements}; COMMIT")).map_err(|e| e.to_string())
    }

    /// The one number that `query` gives.
    pub(crate) fn count(&self, query: &str) -> i64 {
        let connection = rusqlite::Connection::open(self.dir().join("doorward.db")).unwrap();
        connection.query_row(query, [], |row| row.get(0)).unwrap()
    }

    /// Keeps everybody else from writing until what it gives is dropped.
    pub(crate) async fn hold_writes(&self) -> impl Sized {
        let connection = rusqlite::Connection::open(self.dir().join("doorward.db")).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        connection
    }
}
