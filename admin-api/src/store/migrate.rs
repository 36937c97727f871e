//! Numbered migrations, applied once each and never changed afterwards.

use kernel::time::Timestamp;
use ring::digest::SHA256;
use ring::digest::digest;

use super::fault::DbError;
use super::sql::Room;
use super::sql::Sql;
use super::sql::Tx;
use super::values::hex;
use super::values::params;

/// One step of the schema.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Migration {
    /// Its number; they have no gaps and begin at 1.
    pub(crate) version: i64,
    /// What it adds; the file's name.
    pub(crate) name: &'static str,
    /// What is run.
    pub(crate) sql: &'static str,
}

/// The steps of both databases: equal numbers, names and tables, each in its own words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    pub(crate) sqlite: &'static [Migration],
    pub(crate) postgres: &'static [Migration],
}

impl Steps {
    fn of(self, sql: &Sql<'_>) -> &'static [Migration] {
        sql.either(self.sqlite, self.postgres)
    }
}

macro_rules! steps {
    ($folder:literal: $($version:literal $name:literal),* $(,)?) => {
        &[$(Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../../migrations/", $folder, "/", $name)),
        }),*]
    };
}

macro_rules! both {
    ($($step:tt)*) => {
        Steps { sqlite: steps!("sqlite": $($step)*), postgres: steps!("postgres": $($step)*) }
    };
}

/// All of them, in order.
pub(crate) const STEPS: Steps = both!(
    1 "0001_users.sql",
    2 "0002_sessions.sql",
    3 "0003_revocations.sql",
    4 "0004_passwords.sql",
    5 "0005_providers.sql",
    6 "0006_signing_keys.sql",
    7 "0007_management.sql",
    8 "0008_devices.sql",
    9 "0009_email_verifications.sql",
    10 "0010_removed.sql",
    11 "0011_revocation_publisher.sql",
);

/// A database that this program must not touch.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A step that was applied differs from the one built in.
    #[error(
        "migration {version} (`{name}`) was applied in another form than this program's; \
         the database belongs to another build, so nothing was changed"
    )]
    Changed {
        /// Its number.
        version: i64,
        /// Its name.
        name: String,
    },
    /// The database has steps that this program does not know.
    #[error(
        "the database is at migration {found} and this program knows {known}; \
         run the newer program, or restore a backup made before the upgrade"
    )]
    Newer {
        /// The newest step applied.
        found: i64,
        /// The newest step known here.
        known: i64,
    },
    /// A step that failed; nothing of it remains.
    #[error("migration {version} failed")]
    Failed {
        /// Its number.
        version: i64,
        /// Why.
        #[source]
        source: DbError,
    },
    /// The record of steps could not be read or written.
    #[error("the record of migrations cannot be used")]
    Record(#[from] DbError),
}

/// Brings the database to the last of its steps; does nothing when it is there.
///
/// Everything happens in one transaction that excludes every other writer, so two programs that
/// start at one time do not meet.
///
/// # Errors
/// [`MigrationError`]; the database is then as it was.
pub(crate) fn migrate(tx: &Tx<'_>, steps: Steps, now: Timestamp) -> Result<(), MigrationError> {
    tx.alone_in(Room::Schema)?;
    let steps = steps.of(tx);
    tx.batch(tx.either(SQLITE_RECORD, POSTGRES_RECORD))?;
    let applied = check_applied(&record(tx)?, steps)?;
    for step in steps.iter().filter(|step| step.version > applied) {
        let note = "INSERT INTO schema_migrations (version, name, checksum, applied_at)
                    VALUES (?1, ?2, ?3, ?4)";
        let (version, sum) = (step.version, checksum(step.sql));
        tx.batch_patiently(step.sql)
            .and_then(|()| tx.execute(note, params![version, step.name, sum, now]))
            .map_err(|source| MigrationError::Failed { version, source })?;
    }
    Ok(())
}

/// How a step of this program stands in a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// The step's number.
    pub version: i64,
    /// The step's name.
    pub name: &'static str,
    /// When it was applied; `None`: not yet.
    pub applied_at: Option<Timestamp>,
}

/// How each step stands; changes nothing.
///
/// # Errors
/// [`MigrationError`] where the database belongs to another program.
pub(crate) fn status(sql: &Sql<'_>, steps: Steps) -> Result<Vec<MigrationStatus>, MigrationError> {
    let steps = steps.of(sql);
    let is_there = "SELECT 1 AS one FROM sqlite_schema WHERE name = 'schema_migrations'";
    let is_there =
        sql.either(is_there, "SELECT 1 AS one WHERE to_regclass('schema_migrations') IS NOT NULL");
    let applied = match sql.row(is_there, params![], |_| Ok(()))? {
        Some(()) => record(sql)?,
        None => Vec::new(),
    };
    check_applied(&applied, steps)?;
    let applied_at = |step: &Migration| {
        applied.iter().find(|done| done.version == step.version).map(|done| done.applied_at)
    };
    let standing = |step: &Migration| MigrationStatus {
        version: step.version,
        name: step.name,
        applied_at: applied_at(step),
    };
    Ok(steps.iter().map(standing).collect())
}

/// Writes the record as it is: to see whether anything can be written.
///
/// # Errors
/// [`DbError`].
pub(crate) fn touch(tx: &Tx<'_>) -> Result<(), DbError> {
    tx.execute("UPDATE schema_migrations SET version = version WHERE version = 1", params![])?;
    Ok(())
}

const SQLITE_RECORD: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version    INTEGER NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    checksum   TEXT    NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT";

const POSTGRES_RECORD: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version    bigint  NOT NULL PRIMARY KEY,
    name       text    NOT NULL,
    checksum   text    NOT NULL,
    applied_at bigint  NOT NULL
)";

/// A step that was applied.
struct Applied {
    version: i64,
    name: String,
    checksum: String,
    applied_at: Timestamp,
}

/// What was applied, the newest first.
fn record(sql: &Sql<'_>) -> Result<Vec<Applied>, DbError> {
    let all = "SELECT version, name, checksum, applied_at FROM schema_migrations
               ORDER BY version DESC";
    sql.rows(all, params![], |row| {
        Ok(Applied {
            version: row.int("version")?,
            name: row.text("name")?,
            checksum: row.text("checksum")?,
            applied_at: row.millis("applied_at")?,
        })
    })
}

/// Compares what was applied with what is built in; gives the newest version applied, or 0.
fn check_applied(applied: &[Applied], steps: &[Migration]) -> Result<i64, MigrationError> {
    let known = steps.last().map_or(0, |step| step.version);
    let newest = applied.first().map_or(0, |done| done.version);
    if newest > known {
        return Err(MigrationError::Newer { found: newest, known });
    }
    for done in applied {
        let is_it = |step: &&Migration| step.version == done.version;
        if steps.iter().find(is_it).is_none_or(|step| checksum(step.sql) != done.checksum) {
            let (version, name) = (done.version, done.name.clone());
            return Err(MigrationError::Changed { version, name });
        }
    }
    Ok(newest)
}

fn checksum(sql: &str) -> String {
    hex(digest(&SHA256, sql.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests;
