//! The database, behind threads that wait for it: of SQLite one writes and a few read, each with
//! a connection of its own; at Postgres each does both, with one of a pool.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kernel::secret::Secret;
use kernel::time::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use super::fault::DbError;
use super::migrate::MigrationError;
use super::migrate::STEPS;
use super::migrate::migrate;
use super::open::OpenError;
use super::open::connect;
use super::open::connect_memory;
use super::open::prepare_file;
use super::postgres::PATIENCE;
use super::postgres::Server;
use super::seat::Seat;
use super::sql::SCHEMA_BUDGET;
use super::sql::Sql;
use super::sql::Tx;
use crate::crew::Crew;

/// The place of a database in memory.
const MEMORY: &str = ":memory:";

/// How many writes may wait for their turn.
pub(crate) const WRITES_WAITING_MAX: usize = 256;

/// How many reads may wait for their turn.
pub(crate) const READS_WAITING_MAX: usize = 1024;

/// How many threads read SQLite.
pub(crate) const READERS: usize = 4;

/// How many threads, and connections, speak to Postgres, beside the one that watches.
pub(crate) const SPEAKERS: usize = 8;

/// How long to wait before each further attempt to reach a database at the start.
const ATTEMPTS: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// An open database; cheap to clone.
#[derive(Clone)]
pub(crate) struct Database {
    writer: Arc<Crew<Seat>>,
    readers: Arc<Crew<Seat>>,
    watcher: Arc<Crew<Seat>>,
    written: watch::Sender<()>,
    place: Arc<str>,
}

impl Database {
    /// Opens the database that `config` names and brings its schema up to date.
    ///
    /// # Errors
    /// [`OpenError`], for the operator.
    pub(crate) async fn open(config: &config::Database, now: Timestamp) -> Result<Self, OpenError> {
        let database = Self::connect(config)?;
        database.migrate(now).await?;
        Ok(database)
    }

    /// Opens the database that `config` names, whatever is in it. That of Postgres may be away.
    ///
    /// # Errors
    /// [`OpenError`], for the operator.
    pub(crate) fn connect(config: &config::Database) -> Result<Self, OpenError> {
        match config {
            config::Database::Sqlite(path) => Self::file(path),
            config::Database::SqliteMemory => Self::memory(),
            config::Database::Postgres { url } => Self::postgres(url),
        }
    }

    fn file(path: &Path) -> Result<Self, OpenError> {
        prepare_file(path)?;
        let seat = || connect(path).map(Seat::Sqlite).map_err(|e| OpenError::sqlite(path, e));
        // The first one alone turns the file into a database that several may have open.
        let writer = vec![seat()?];
        let readers = (0..READERS).map(|_| seat()).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            writer: crew("db-write", writer, WRITES_WAITING_MAX)?,
            readers: crew("db-read", readers, READS_WAITING_MAX)?,
            watcher: crew("db-watch", vec![seat()?], WRITES_WAITING_MAX)?,
            written: watch::Sender::new(()),
            place: path.display().to_string().into(),
        })
    }

    /// A database in memory belongs to its one connection, so one thread does everything.
    fn memory() -> Result<Self, OpenError> {
        let only = connect_memory().map_err(|e| OpenError::sqlite(Path::new(MEMORY), e))?;
        let only = crew("db", vec![Seat::Sqlite(only)], READS_WAITING_MAX)?;
        Ok(Self {
            writer: Arc::clone(&only),
            readers: Arc::clone(&only),
            watcher: only,
            written: watch::Sender::new(()),
            place: MEMORY.into(),
        })
    }

    fn postgres(url: &Secret) -> Result<Self, OpenError> {
        let server = Server::of(url)?;
        let place = server.place.as_str().into();
        let pool = server.pool(SPEAKERS + 1, PATIENCE)?;
        let seats = |count| vec![(); count].iter().map(|()| Seat::Postgres(pool.clone())).collect();
        let speakers = crew("db", seats(SPEAKERS), READS_WAITING_MAX)?;
        let watcher = crew("db-watch", seats(1), WRITES_WAITING_MAX)?;
        let database = Self {
            writer: Arc::clone(&speakers),
            readers: speakers,
            watcher,
            written: watch::Sender::new(()),
            place,
        };
        Ok(database)
    }

    /// Brings the schema up to date, waiting a while for a database that is away, and for another
    /// program that is at it as long as a step may take.
    ///
    /// # Errors
    /// [`OpenError`], for the operator.
    pub(crate) async fn migrate(&self, now: Timestamp) -> Result<(), OpenError> {
        let mut waits = ATTEMPTS.iter();
        let began = Instant::now();
        loop {
            let migrated = self.write(move |tx| migrate(tx, STEPS, now)).await;
            match migrated {
                Ok(()) => return Ok(()),
                // The server lets nobody wait for long, so it is asked again, and waits again.
                Err(MigrationError::Record(DbError::Postgres(fault)))
                    if fault.is_held() && began.elapsed() < SCHEMA_BUDGET =>
                {
                    tracing::warn!(
                        "somebody else holds the schema of the database at `{}`: waiting",
                        self.place
                    );
                }
                Err(MigrationError::Record(DbError::Unreachable(fault))) => {
                    let place = self.place.to_string();
                    if !fault.may_pass() {
                        return Err(OpenError::Refused { place, source: fault });
                    }
                    let Some(wait) = waits.next() else {
                        let tries = ATTEMPTS.len() + 1;
                        return Err(OpenError::Unreachable { place, tries, source: fault });
                    };
                    tracing::warn!(
                        "the database at `{place}` is away: {fault}; the next attempt is in {}ms",
                        wait.as_millis()
                    );
                    tokio::time::sleep(*wait).await;
                }
                Err(error) => return Err(OpenError::migration(&self.place, error)),
            }
        }
    }

    /// Where the database that `config` names is, as an operator may read it.
    ///
    /// # Errors
    /// [`OpenError::Url`], [`OpenError::Certificates`].
    pub(crate) fn place_of(config: &config::Database) -> Result<Arc<str>, OpenError> {
        Ok(match config {
            config::Database::Sqlite(path) => path.display().to_string().into(),
            config::Database::SqliteMemory => MEMORY.into(),
            config::Database::Postgres { url } => Server::of(url)?.place.into(),
        })
    }

    /// Where it is, as an operator may read it.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Runs `act` in a transaction of its own, which is committed if `act` succeeds.
    ///
    /// # Errors
    /// What `act` gives, after which nothing was changed; [`DbError`] of the database itself.
    pub(crate) async fn write<T, E>(
        &self,
        act: impl FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let outcome = self.writer.run(move |seat| seat.write(act)).await.map_err(DbError::from)?;
        if outcome.is_ok() {
            self.written.send_replace(());
        }
        outcome
    }

    /// Runs `act`, which is one statement and needs no transaction around it.
    ///
    /// Nobody is woken by it: whoever follows the tables looks for revocations and keys, and either
    /// takes a transaction. Refreshes would have them look several times each.
    ///
    /// # Errors
    /// As [`Database::write`].
    pub(crate) async fn write_at_once<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        self.writer.run(move |seat| seat.write_at_once(act)).await?
    }

    /// Runs `look` on one of the readers.
    ///
    /// # Errors
    /// What `look` gives; [`DbError`] of the database itself.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Sql<'_>) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        self.readers.run(move |seat| seat.read(look)).await?
    }

    /// Runs `look` on the connection that does nothing but watch, so that the version of the data
    /// there speaks of every other connection.
    ///
    /// # Errors
    /// As [`Database::read`].
    pub(crate) async fn watch<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Sql<'_>) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        self.watcher.run(move |seat| seat.read(look)).await?
    }

    /// Changes after each transaction of this process that wrote.
    pub(crate) fn written(&self) -> watch::Receiver<()> {
        self.written.subscribe()
    }
}

fn crew(name: &str, seats: Vec<Seat>, waiting_max: usize) -> Result<Arc<Crew<Seat>>, OpenError> {
    Crew::start(name, seats, waiting_max, || (), None).map(Arc::new).map_err(OpenError::Thread)
}
