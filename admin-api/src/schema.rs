//! The schema of a database, for whoever looks after the database itself.

use kernel::time::Timestamp;

use crate::store::alone::Alone;
use crate::store::database::Database;
use crate::store::migrate::MigrationStatus;
use crate::store::migrate::STEPS;
use crate::store::migrate::status;
use crate::store::open::OpenError;
use crate::store::postgres::Server;

/// A database whose schema may be anything.
#[derive(Clone)]
pub struct Schema(Database);

impl Schema {
    /// Checks how a database is named, as far as that is possible without going there.
    ///
    /// # Errors
    /// [`OpenError::Url`], [`OpenError::Certificates`].
    pub fn check_name(database: &config::Database) -> Result<(), OpenError> {
        match database {
            config::Database::Postgres { url } => Server::of(url).map(drop),
            config::Database::Sqlite(_) | config::Database::SqliteMemory => Ok(()),
        }
    }

    /// Opens a database, whatever is in it. A SQLite file is made where there is none.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(database: &config::Database) -> Result<Self, OpenError> {
        Database::connect(database).map(Self)
    }

    /// How each step stands in the database that `database` names; changes nothing, and makes no
    /// file where there is none. Blocks: not for a runtime's thread.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn status(database: &config::Database) -> Result<Vec<MigrationStatus>, OpenError> {
        let Alone { mut seat, place } = Alone::to_read(database)?;
        let standing = seat.snapshot(|sql| status(sql, STEPS));
        standing.map_err(|error| OpenError::migration(&place, error))
    }

    /// Brings the schema up to date, waiting a while for a database that is away.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn migrate(&self, now: Timestamp) -> Result<(), OpenError> {
        self.0.migrate(now).await
    }
}
