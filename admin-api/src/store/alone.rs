//! One connection on the caller's own thread, for long work that is done alone.

use std::path::Path;
use std::sync::Arc;

use super::database::Database;
use super::open::OpenError;
use super::open::connect;
use super::open::connect_memory;
use super::open::connect_to_read;
use super::open::prepare_file;
use super::postgres::AS_IT_IS;
use super::postgres::Server;
use super::seat::Seat;

/// A connection, and where it leads. What is done with it blocks: never on a runtime's thread.
pub(crate) struct Alone {
    pub(crate) seat: Seat,
    /// As an operator may read it.
    pub(crate) place: Arc<str>,
}

impl Alone {
    /// To a database that is there, for nothing but reading.
    ///
    /// # Errors
    /// [`OpenError`]; a server that is away shows itself at the first question.
    pub(crate) fn to_read(config: &config::Database) -> Result<Self, OpenError> {
        Self::open(config, connect_to_read)
    }

    /// To a database that is written to; a SQLite file is made where there is none.
    ///
    /// # Errors
    /// As [`Alone::to_read`].
    pub(crate) fn to_write(config: &config::Database) -> Result<Self, OpenError> {
        Self::open(config, |path| {
            prepare_file(path)?;
            connect(path).map_err(|error| OpenError::sqlite(path, error))
        })
    }

    fn open(
        config: &config::Database,
        file: impl FnOnce(&Path) -> Result<rusqlite::Connection, OpenError>,
    ) -> Result<Self, OpenError> {
        let place = Database::place_of(config)?;
        let seat = match config {
            config::Database::Sqlite(path) => Seat::Sqlite(file(path)?),
            config::Database::SqliteMemory => {
                let only = connect_memory();
                Seat::Sqlite(only.map_err(|error| OpenError::sqlite(Path::new(&*place), error))?)
            }
            config::Database::Postgres { url } => {
                Seat::Postgres(Server::of(url)?.pool(1, AS_IT_IS)?)
            }
        };
        Ok(Self { seat, place })
    }
}
