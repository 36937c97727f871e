//! Why the database gave no answer. No text here ever holds a statement or a row's value.

use std::fmt;

use kernel::random::NoRandomness;
use rusqlite::ErrorCode;
use tokio_postgres::error::SqlState;

use crate::crew::CrewError;

/// Why the database gave no answer. Its text never reaches a client.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// Too many are waiting.
    #[error("the database queue is full")]
    Busy,
    /// The work was given up.
    #[error("the database work did not finish")]
    Lost,
    /// The server cannot be reached, or did not answer in time.
    #[error("the database cannot be reached")]
    Unreachable(#[source] PostgresFault),
    /// SQLite's own words.
    #[error("the database failed")]
    Sqlite(#[source] rusqlite::Error),
    /// Postgres' own words.
    #[error("the database failed")]
    Postgres(#[source] PostgresFault),
    /// Nothing for a secret.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// A row that this program cannot have written.
    #[error("the database holds a row that cannot be read: {0}")]
    Row(&'static str),
}

impl DbError {
    /// Whether the same may work a moment later: the database is away, full or busy, and nothing
    /// is wrong with what it was asked.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Busy | Self::Lost | Self::Unreachable(_) => true,
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                        | ErrorCode::DiskFull
                        | ErrorCode::SystemIoFailure
                        | ErrorCode::CannotOpen
                )
            ),
            // Two transactions stood in each other's way, and one was rolled back.
            Self::Postgres(fault) => matches!(
                &fault.code,
                Some(code) if [
                    SqlState::T_R_DEADLOCK_DETECTED,
                    SqlState::T_R_SERIALIZATION_FAILURE,
                    SqlState::LOCK_NOT_AVAILABLE,
                    SqlState::QUERY_CANCELED,
                ].contains(code)
            ),
            Self::NoRandomness(_) | Self::Row(_) => false,
        }
    }
}

impl From<CrewError> for DbError {
    fn from(error: CrewError) -> Self {
        match error {
            CrewError::Full => Self::Busy,
            CrewError::Lost => Self::Lost,
        }
    }
}

impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(without_statement(error))
    }
}

impl From<tokio_postgres::Error> for DbError {
    fn from(error: tokio_postgres::Error) -> Self {
        let fault = PostgresFault::of(&error);
        match &fault.code {
            // Postgres answered, and goes on answering.
            Some(code) if !PostgresFault::is_of_the_server(code) => Self::Postgres(fault),
            Some(_) => Self::Unreachable(fault),
            None if error.is_closed() || fault.is_of_the_wire => Self::Unreachable(fault),
            None => Self::Postgres(fault),
        }
    }
}

/// What Postgres, or the way to it, says: without the detail, which would quote a row.
#[derive(Debug)]
pub struct PostgresFault {
    code: Option<SqlState>,
    is_of_the_wire: bool,
    message: String,
}

impl PostgresFault {
    /// That an answer took longer than it may.
    pub(crate) fn late() -> Self {
        Self::of_the_wire("no answer in time")
    }

    /// That the way to the server is the fault.
    pub(crate) fn of_the_wire(message: impl Into<String>) -> Self {
        Self { code: None, is_of_the_wire: true, message: message.into() }
    }

    fn of(error: &tokio_postgres::Error) -> Self {
        if let Some(error) = error.as_db_error() {
            let message = error.message().to_owned();
            return Self { code: Some(error.code().clone()), is_of_the_wire: false, message };
        }
        let mut message = error.to_string();
        let mut is_of_the_wire = false;
        let mut cause = std::error::Error::source(error);
        while let Some(next) = cause {
            is_of_the_wire |= next.is::<std::io::Error>();
            message = format!("{message}: {next}");
            cause = next.source();
        }
        Self { code: None, is_of_the_wire, message }
    }

    /// Whether it speaks of the server's state (shutting down, starting up, out of room) and not
    /// of what it was asked.
    fn is_of_the_server(code: &SqlState) -> bool {
        ["08", "53", "57P", "58"].iter().any(|class| code.code().starts_with(class))
    }

    /// Whether somebody else held what was asked for, for as long as we wait for that.
    pub(crate) fn is_held(&self) -> bool {
        self.code.as_ref() == Some(&SqlState::LOCK_NOT_AVAILABLE)
    }

    /// Whether the server knows the caller and has the database, so that trying again may help.
    pub(crate) fn may_pass(&self) -> bool {
        self.code.as_ref().is_none_or(Self::is_of_the_server)
    }
}

impl fmt::Display for PostgresFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "{} ({})", self.message, code.code()),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for PostgresFault {}

/// The same error without the text of the statement that SQLite could not read.
pub(crate) fn without_statement(error: rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqlInputError { error, msg, .. } => {
            rusqlite::Error::SqliteFailure(error, Some(msg))
        }
        error => error,
    }
}
