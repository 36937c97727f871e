//! Where a house of these tests keeps its people: a Postgres.

use std::io;
use std::path::Path;

use config::Database;
use kernel::secret::Secret;
use tempfile::TempDir;
use test_support::postgres::PostgresDatabase;
use test_support::postgres::PostgresServer;
use test_support::postgres::Row;

/// A new database of one test's own.
pub(crate) struct Place {
    server: Server,
    dir: TempDir,
}

enum Server {
    /// Which others use as well.
    Shared(PostgresDatabase),
    /// Which may be stopped.
    Own(PostgresServer),
}

impl Server {
    fn url(&self) -> String {
        match self {
            Self::Shared(database) => database.url(),
            Self::Own(server) => server.url(),
        }
    }

    fn query(&self, statements: &str) -> io::Result<Vec<Row>> {
        match self {
            Self::Shared(database) => database.query(statements),
            Self::Own(server) => server.query(statements),
        }
    }

    fn own(&mut self) -> &mut PostgresServer {
        match self {
            Self::Own(server) => server,
            Self::Shared(_) => panic!("others use this server"),
        }
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::at(Server::Shared(PostgresDatabase::new()))
    }

    /// At a server that may be stopped.
    pub(crate) fn of_its_own() -> Self {
        Self::at(Server::Own(PostgresServer::start()))
    }

    fn at(server: Server) -> Self {
        Self { server, dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn database(&self) -> Database {
        Database::Postgres { url: Secret::new(self.server.url()) }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs statements over a connection of its own, in one transaction.
    pub(crate) fn execute(&self, statements: &str) {
        self.try_execute(statements).unwrap();
    }

    pub(crate) fn try_execute(&self, statements: &str) -> Result<(), String> {
        let done = self.server.query(&format!("BEGIN; {statements}; COMMIT"));
        done.map(drop).map_err(|e| e.to_string())
    }

    /// The one number that `query` gives.
    pub(crate) fn count(&self, query: &str) -> i64 {
        let rows = self.server.query(query).unwrap();
        rows[0][0].as_deref().unwrap().parse().unwrap()
    }

    /// Ends the server, as a crash would.
    pub(crate) fn stop(&mut self) {
        self.server.own().stop();
    }

    pub(crate) fn start_again(&mut self) {
        self.server.own().start_again();
    }

    /// Keeps everybody else from writing until what it gives is dropped.
    pub(crate) async fn hold_writes(&self) -> impl Sized {
        let client = self.another().await;
        client
            .batch_execute("BEGIN; LOCK TABLE users, sessions, schema_migrations IN EXCLUSIVE MODE")
            .await
            .unwrap();
        client
    }

    /// Somebody else who has the database open.
    pub(crate) async fn another(&self) -> tokio_postgres::Client {
        let config = self.server.url().parse::<tokio_postgres::Config>().unwrap();
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}
