//! Where a house of these tests keeps its people: a Postgres.

use std::path::Path;

use config::Database;
use kernel::secret::Secret;
use tempfile::TempDir;
use test_support::postgres::PostgresServer;

/// A new database of one test's own.
pub(crate) struct Place {
    server: PostgresServer,
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { server: PostgresServer::start(), dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn database(&self) -> Database {
        Database::Postgres { url: Secret::new(self.server.url()) }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs statements over a connection of its own, in one transaction.
    pub(crate) fn execute(&self, statements: &str) {
        self.server.query(&format!("BEGIN; {statements}; COMMIT")).unwrap();
    }

    /// The one number that `query` gives.
    pub(crate) fn count(&self, query: &str) -> i64 {
        let rows = self.server.query(query).unwrap();
        rows[0][0].as_deref().unwrap().parse().unwrap()
    }

    /// Ends the server, as a crash would.
    pub(crate) fn stop(&mut self) {
        self.server.stop();
    }

    pub(crate) fn start_again(&mut self) {
        self.server.start_again();
    }

    /// Keeps everybody else from writing until what it gives is dropped.
    pub(crate) async fn hold_writes(&self) -> impl Sized {
        let config = self.server.url().parse::<tokio_postgres::Config>().unwrap();
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("BEGIN; LOCK TABLE users, sessions IN EXCLUSIVE MODE").await.unwrap();
        client
    }
}
