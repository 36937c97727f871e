//! Why the database gave no answer. No text here ever holds a statement.

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
    /// SQLite's own words.
    #[error("the database failed")]
    Sqlite(#[source] rusqlite::Error),
    /// A row that this program cannot have written.
    #[error("the database holds a row that cannot be read: {0}")]
    Row(&'static str),
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

/// The same error without the text of the statement that SQLite could not read.
pub(crate) fn without_statement(error: rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqlInputError { error, msg, .. } => {
            rusqlite::Error::SqliteFailure(error, Some(msg))
        }
        error => error,
    }
}
