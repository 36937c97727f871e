//! Numbered migrations, applied once each and never changed afterwards.

use kernel::time::Timestamp;
use ring::digest::SHA256;
use ring::digest::digest;
use rusqlite::Connection;
use rusqlite::TransactionBehavior;
use rusqlite::params;

use super::fault::without_statement;
use super::values::Millis;
use super::values::hex;

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

/// All of them, in order.
pub(crate) const SQLITE: &[Migration] = &[
    Migration {
        version: 1,
        name: "0001_users.sql",
        sql: include_str!("../../../migrations/sqlite/0001_users.sql"),
    },
    Migration {
        version: 2,
        name: "0002_sessions.sql",
        sql: include_str!("../../../migrations/sqlite/0002_sessions.sql"),
    },
    Migration {
        version: 3,
        name: "0003_revocations.sql",
        sql: include_str!("../../../migrations/sqlite/0003_revocations.sql"),
    },
];

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
        source: rusqlite::Error,
    },
    /// The record of steps could not be read or written.
    #[error("the record of migrations cannot be used")]
    Record(#[from] rusqlite::Error),
}

/// Brings the database to the last of `steps`; does nothing when it is there.
///
/// Everything happens in one transaction that excludes every other writer, so two programs that
/// start at one time do not meet.
///
/// # Errors
/// [`MigrationError`]; the database is then as it was.
pub(crate) fn migrate(
    connection: &mut Connection,
    steps: &[Migration],
    now: Timestamp,
) -> Result<(), MigrationError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_migrations (
             version    INTEGER NOT NULL PRIMARY KEY,
             name       TEXT    NOT NULL,
             checksum   TEXT    NOT NULL,
             applied_at INTEGER NOT NULL
         ) STRICT",
    )?;
    let applied = check_applied(&tx, steps)?;
    for step in steps.iter().filter(|step| step.version > applied) {
        tx.execute_batch(step.sql)
            .and_then(|()| {
                tx.execute(
                    "INSERT INTO schema_migrations (version, name, checksum, applied_at)
                     VALUES (?1, ?2, ?3, ?4)",
                    params![step.version, step.name, checksum(step.sql), Millis(now)],
                )
            })
            .map_err(|source| MigrationError::Failed {
                version: step.version,
                source: without_statement(source),
            })?;
    }
    Ok(tx.commit()?)
}

/// Compares what was applied with what is built in; gives the newest version applied, or 0.
fn check_applied(connection: &Connection, steps: &[Migration]) -> Result<i64, MigrationError> {
    let mut rows = connection
        .prepare("SELECT version, name, checksum FROM schema_migrations ORDER BY version DESC")?;
    let applied = rows
        .query_map([], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let known = steps.last().map_or(0, |step| step.version);
    let newest = applied.first().map_or(0, |(version, ..)| *version);
    if newest > known {
        return Err(MigrationError::Newer { found: newest, known });
    }
    for (version, name, sum) in applied {
        let same = steps.iter().any(|step| step.version == version && checksum(step.sql) == sum);
        if !same {
            return Err(MigrationError::Changed { version, name });
        }
    }
    Ok(newest)
}

fn checksum(sql: &str) -> String {
    hex(digest(&SHA256, sql.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn memory() -> Connection {
        Connection::open_in_memory().unwrap()
    }

    #[test]
    fn migrating_twice_is_migrating_once() {
        let mut db = memory();
        migrate(&mut db, SQLITE, NOW).unwrap();
        migrate(&mut db, SQLITE, NOW).unwrap();
        let count: i64 =
            db.query_row("SELECT count(*) FROM schema_migrations", [], |r| r.get(0)).unwrap();
        assert_eq!(count, SQLITE.len() as i64);
    }

    #[test]
    fn a_database_of_a_newer_program_is_refused_by_name() {
        let mut db = memory();
        migrate(&mut db, SQLITE, NOW).unwrap();
        let error = migrate(&mut db, &SQLITE[..1], NOW).unwrap_err().to_string();
        assert!(error.contains("at migration 3 and this program knows 1"), "{error}");
    }

    #[test]
    fn a_migration_applied_in_another_form_is_refused_by_name() {
        let mut db = memory();
        migrate(&mut db, SQLITE, NOW).unwrap();
        let mut changed = SQLITE.to_vec();
        changed[1].sql = "SELECT 1";
        let error = migrate(&mut db, &changed, NOW).unwrap_err().to_string();
        assert!(error.contains("migration 2 (`0002_sessions.sql`)"), "{error}");
    }

    #[test]
    fn a_failing_migration_leaves_nothing_behind() {
        let mut db = memory();
        let mut steps = SQLITE.to_vec();
        steps.push(Migration {
            version: 4,
            name: "0004_broken.sql",
            sql: "CREATE TABLE half (a INTEGER); CREATE TABLE broken (",
        });
        assert!(matches!(
            migrate(&mut db, &steps, NOW),
            Err(MigrationError::Failed { version: 4, .. })
        ));
        let tables: i64 =
            db.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0)).unwrap();
        assert_eq!(tables, 0);
    }

    #[test]
    fn both_databases_have_the_same_migrations_and_all_are_built_in() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
        let names = |database: &str| {
            let mut names: Vec<String> = std::fs::read_dir(root.join(database))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        let built_in: Vec<_> = SQLITE.iter().map(|step| step.name.to_owned()).collect();
        assert_eq!(names("sqlite"), built_in);
        assert_eq!(names("postgres"), built_in);
        for (i, step) in SQLITE.iter().enumerate() {
            assert_eq!(step.version, i as i64 + 1);
            assert!(step.name.starts_with(&format!("{:04}_", step.version)));
        }
    }

    #[test]
    fn both_databases_get_the_same_tables_and_columns() {
        let words = |database: &str| -> Vec<String> {
            SQLITE
                .iter()
                .flat_map(|step| {
                    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                        .join("../migrations")
                        .join(database)
                        .join(step.name);
                    columns(&std::fs::read_to_string(path).unwrap())
                })
                .collect()
        };
        assert_eq!(words("sqlite"), words("postgres"));
    }

    /// The first two words of each line that is no comment: names, without types.
    fn columns(sql: &str) -> Vec<String> {
        sql.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("--") && !line.starts_with(')'))
            .map(|line| {
                let take = if line.starts_with("CREATE") { 3 } else { 1 };
                line.split_whitespace().take(take).collect::<Vec<_>>().join(" ")
            })
            .collect()
    }
}
