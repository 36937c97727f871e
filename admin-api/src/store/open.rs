//! From a path to open connections, or one clear paragraph.

use std::fs::OpenOptions;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::ErrorCode;
use rusqlite::OpenFlags;

use super::fault::DbError;
use super::fault::PostgresFault;
use super::fault::without_statement;
use super::migrate::MigrationError;
use crate::sealing::SealError;

/// How long one connection waits for another process' write before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the admin API cannot open. Each text stands alone, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory of the database file is not there, or no directory.
    #[error(
        "the data directory `{}` is not there; create it, or name another with `--data-dir` or \
         `[database] url`",
        .0.display()
    )]
    NoDirectory(PathBuf),
    /// The file cannot be read, written or created.
    #[error(
        "the database file `{}` cannot be opened; check who owns it and its directory, and that the \
         disk is not mounted read-only",
        path.display()
    )]
    NotUsable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// There is no file to read from.
    #[error("there is no database file `{}`", .0.display())]
    Missing(PathBuf),
    /// The file is there, and is no SQLite database.
    #[error(
        "`{}` is no SQLite database; move it away, or name another file in `[database] url`",
        .0.display()
    )]
    NotADatabase(PathBuf),
    /// The database gave no answer.
    #[error("the database `{place}` gave no answer")]
    Database {
        /// Which one.
        place: String,
        /// Why.
        #[source]
        source: DbError,
    },
    /// A secret that is kept there is sealed, and does not open.
    #[error("a secret in the database `{place}` cannot be used")]
    Sealed {
        /// Which database.
        place: String,
        /// Why.
        #[source]
        source: SealError,
    },
    /// The Postgres server could not be reached, however often it was tried.
    #[error(
        "the database at `{place}` could not be reached in {tries} attempts; see to it that Postgres \
         runs there and that this machine may connect, or correct `[database] url`"
    )]
    Unreachable {
        /// Host, port and database.
        place: String,
        /// How often it was tried.
        tries: usize,
        /// What came of the last one.
        #[source]
        source: PostgresFault,
    },
    /// The Postgres server is there, and does not let us in.
    #[error(
        "the database at `{place}` refuses the connection; check user, password and database in \
         `[database]`"
    )]
    Refused {
        /// Host, port and database.
        place: String,
        /// In Postgres' own words.
        #[source]
        source: PostgresFault,
    },
    /// The keys in the database.
    #[error("the keys that sign cannot be used")]
    SigningKeys(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A Postgres URL that means nothing.
    #[error("`[database] url` cannot be used: {0}")]
    Url(String),
    /// The certificates that a Postgres URL names.
    #[error("the certificates in `{}`, named by `sslrootcert`, cannot be used", path.display())]
    Certificates {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process holds the database for too long.
    #[error(
        "the database `{}` is locked by another process; end that process, or wait until it is done",
        .0.display()
    )]
    Locked(PathBuf),
    /// The schema does not fit this program.
    #[error("the database `{place}` cannot be used by this program")]
    Migration {
        /// Which one.
        place: String,
        /// Why.
        #[source]
        source: MigrationError,
    },
    /// Anything else SQLite says.
    #[error("the database `{}` cannot be used", path.display())]
    Sqlite {
        /// Which file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// The system gives no more threads.
    #[error("a thread could not be started")]
    Thread(#[source] io::Error),
    /// The refresh key in the database cannot be used.
    #[error("the keys that sign refresh tokens cannot be used")]
    Keys(#[source] kernel::keys::KeyError),
    /// No connections can be made to the providers that people sign in by.
    #[error("connections to `[auth.oauth]` providers cannot be made")]
    Tls(#[source] reqwest::Error),
    /// The password hash that stands in for people who do not exist could not be made.
    #[error("the password hash is not available")]
    Hash(#[source] crate::passwords::HashError),
    /// Mail cannot be sent as `[mail]` says.
    #[error("mail cannot be sent as `[mail]` says")]
    Mail(#[source] crate::mail::MailError),
}

impl OpenError {
    pub(crate) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        let source = without_statement(source);
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase(path),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked(path),
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::NotUsable { path, source: io::Error::other(source) }
            }
            _ => Self::Sqlite { path, source },
        }
    }

    /// Of a database that is open.
    pub(crate) fn database(place: &str, source: DbError) -> Self {
        match source {
            DbError::Sqlite(source) => Self::sqlite(Path::new(place), source),
            source => Self::Database { place: place.to_owned(), source },
        }
    }

    /// Of a schema that is brought up to date.
    pub(crate) fn migration(place: &str, source: MigrationError) -> Self {
        match source {
            MigrationError::Record(source) => Self::database(place, source),
            source => Self::Migration { place: place.to_owned(), source },
        }
    }
}

/// Sees to it that `path` is a file that only its owner can read, making an empty one if need be.
pub(crate) fn prepare_file(path: &Path) -> Result<(), OpenError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        return Err(OpenError::NoDirectory(directory.to_owned()));
    }
    let not_usable = |source| OpenError::NotUsable { path: path.to_owned(), source };
    // SQLite would make the file with the umask's mode; its companions copy the mode of the file.
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(not_usable)?;
    let mode = file.metadata().map_err(not_usable)?.permissions().mode();
    if mode & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600)).map_err(not_usable)?;
    }
    Ok(())
}

/// Opens one connection to the prepared file at `path`.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    settle(Connection::open_with_flags(path, flags)?)
}

/// Opens one connection to the file at `path` that can change nothing.
pub(crate) fn connect_to_read(path: &Path) -> Result<Connection, OpenError> {
    if !path.is_file() {
        return Err(OpenError::Missing(path.to_owned()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        // Found out here, rather than in the middle of what it is read for.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    });
    opened.map_err(|error| OpenError::sqlite(path, error))
}

/// Opens a connection to a database of its own in memory.
pub(crate) fn connect_memory() -> rusqlite::Result<Connection> {
    settle(Connection::open_in_memory()?)
}

fn settle(connection: Connection) -> rusqlite::Result<Connection> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Answers one row, the mode reached; memory stays in memory.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // An act that was answered outlives a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}
