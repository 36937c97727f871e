//! The database: one thread that writes, a few that read, each with a connection of its own.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use kernel::time::Timestamp;
use rusqlite::Connection;
use rusqlite::Transaction;
use rusqlite::TransactionBehavior;
use tokio::sync::watch;

use super::fault::DbError;
use super::migrate::SQLITE;
use super::migrate::migrate;
use super::open::OpenError;
use super::open::connect;
use super::open::connect_memory;
use super::open::prepare_file;
use crate::crew::Crew;

/// How many writes may wait for their turn.
pub(crate) const WRITES_WAITING_MAX: usize = 256;

/// How many reads may wait for their turn.
pub(crate) const READS_WAITING_MAX: usize = 1024;

/// How many threads read.
pub(crate) const READERS: usize = 4;

/// An open database; cheap to clone.
#[derive(Clone)]
pub(crate) struct Database {
    writer: Arc<Crew<Connection>>,
    readers: Arc<Crew<Connection>>,
    watcher: Arc<Crew<Connection>>,
    written: watch::Sender<()>,
}

impl Database {
    /// Opens the file that `config` names and brings its schema up to date.
    ///
    /// # Errors
    /// [`OpenError`], for the operator.
    pub(crate) fn open(config: &config::Database, now: Timestamp) -> Result<Self, OpenError> {
        match config {
            config::Database::Sqlite(path) => Self::open_file(path, now),
            config::Database::SqliteMemory => Self::open_memory(now),
            config::Database::Postgres { .. } => Err(OpenError::NotSqlite),
        }
    }

    fn open_file(path: &Path, now: Timestamp) -> Result<Self, OpenError> {
        prepare_file(path)?;
        let fault = |source| OpenError::sqlite(path, source);
        let mut writer = connect(path).map_err(fault)?;
        migrate(&mut writer, SQLITE, now).map_err(|e| OpenError::migration(path, e))?;
        let readers =
            (0..READERS).map(|_| connect(path)).collect::<Result<Vec<_>, _>>().map_err(fault)?;
        let watcher = connect(path).map_err(fault)?;
        let start = |name, connections, waiting_max| {
            let crew = Crew::start(name, connections, waiting_max, || ());
            crew.map(Arc::new).map_err(OpenError::Thread)
        };
        Ok(Self {
            writer: start("db-write", vec![writer], WRITES_WAITING_MAX)?,
            readers: start("db-read", readers, READS_WAITING_MAX)?,
            watcher: start("db-watch", vec![watcher], WRITES_WAITING_MAX)?,
            written: watch::Sender::new(()),
        })
    }

    /// A database in memory belongs to its one connection, so one thread does everything.
    fn open_memory(now: Timestamp) -> Result<Self, OpenError> {
        let name = PathBuf::from(":memory:");
        let mut only = connect_memory().map_err(|e| OpenError::sqlite(&name, e))?;
        migrate(&mut only, SQLITE, now).map_err(|e| OpenError::migration(&name, e))?;
        let crew = Crew::start("db", vec![only], READS_WAITING_MAX, || ());
        let crew = Arc::new(crew.map_err(OpenError::Thread)?);
        Ok(Self {
            writer: Arc::clone(&crew),
            readers: Arc::clone(&crew),
            watcher: crew,
            written: watch::Sender::new(()),
        })
    }

    /// Runs `act` in a transaction of its own, which is committed if `act` succeeds.
    ///
    /// # Errors
    /// What `act` gives, after which nothing was changed; [`DbError`] of the database itself.
    pub(crate) async fn write<T, E>(
        &self,
        act: impl FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let outcome = self
            .writer
            .run(move |connection| {
                // IMMEDIATE: a transaction that reads before it writes would fail at the write
                // if another process wrote in between.
                let tx = connection
                    .transaction_with_behavior(TransactionBehavior::Immediate)
                    .map_err(DbError::from)?;
                let done = act(&tx)?;
                tx.commit().map_err(DbError::from)?;
                Ok(done)
            })
            .await
            .map_err(DbError::from)?;
        if outcome.is_ok() {
            self.written.send_replace(());
        }
        outcome
    }

    /// Runs `look` on one of the readers.
    ///
    /// # Errors
    /// What `look` gives; [`DbError`] of the database itself.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        self.readers.run(move |connection| look(connection)).await?
    }

    /// Runs `look` on the connection that does nothing but watch, so that `PRAGMA data_version`
    /// there speaks of every other connection.
    pub(crate) async fn watch<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        self.watcher.run(move |connection| look(connection)).await?
    }

    /// Changes after each write by this process.
    pub(crate) fn written(&self) -> watch::Receiver<()> {
        self.written.subscribe()
    }
}
