//! The schema of a database, for whoever looks after the database itself.

use kernel::time::Timestamp;

use crate::store::database::Database;
use crate::store::migrate::MigrationError;
use crate::store::migrate::STEPS;
use crate::store::migrate::Standing;
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

    /// How each step stands; changes nothing.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn status(&self) -> Result<Vec<Standing>, OpenError> {
        let fault = |error| OpenError::migration(self.0.place(), error);
        let seen = self.0.read(|sql| Ok(status(sql, STEPS))).await;
        seen.map_err(MigrationError::from).map_err(fault)?.map_err(fault)
    }

    /// Brings the schema up to date, waiting a while for a database that is away.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn migrate(&self, now: Timestamp) -> Result<(), OpenError> {
        self.0.migrate(now).await
    }
}
