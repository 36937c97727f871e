//! Migrations, on both databases.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use test_support::postgres::PostgresDatabase;

use super::*;
use crate::store::database::Database;
use crate::store::sql::STATEMENT_BUDGET;
use crate::store::values::Value;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A new database, and what must live as long as it.
struct Place {
    database: Database,
    _dir: TempDir,
    _server: Option<PostgresDatabase>,
}

fn sqlite() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let config = config::Database::Sqlite(dir.path().join("doorward.db"));
    let database = Database::connect(&config).unwrap();
    Place { database, _dir: dir, _server: None }
}

fn postgres() -> Place {
    let server = PostgresDatabase::new();
    let config = config::Database::Postgres { url: kernel::secret::Secret::new(server.url()) };
    let database = Database::connect(&config).unwrap();
    Place { database, _dir: tempfile::tempdir().unwrap(), _server: Some(server) }
}

impl Place {
    async fn migrate(&self, steps: Steps) -> Result<(), MigrationError> {
        self.database.write(move |tx| migrate(tx, steps, NOW)).await
    }

    async fn count(&self, table: &'static str) -> i64 {
        let query = format!("SELECT count(*) AS n FROM {table}");
        let count = move |sql: &Sql<'_>| sql.row(&query, params![], |row| row.int("n"));
        self.database.read(count).await.unwrap().unwrap()
    }

    async fn status(&self) -> Vec<MigrationStatus> {
        let status = self.database.read(|sql| Ok(status(sql, STEPS))).await;
        status.unwrap().unwrap()
    }

    /// Tables and columns: name, whether it may be empty, and whether it is of the key.
    async fn schema(&self) -> Vec<String> {
        let sqlite = "SELECT m.name || '.' || c.name || CASE WHEN c.\"notnull\" = 1 THEN '!' ELSE '' END
                          || CASE WHEN c.pk > 0 THEN '*' ELSE '' END
                          || ' ' || CASE lower(c.type) WHEN 'integer' THEN 'number' ELSE 'text' END AS it
                      FROM sqlite_schema m, pragma_table_info(m.name) c
                      WHERE m.type = 'table' ORDER BY m.name, c.name";
        let postgres = "SELECT c.table_name || '.' || c.column_name
                            || CASE WHEN c.is_nullable = 'NO' THEN '!' ELSE '' END
                            || CASE WHEN k.column_name IS NULL THEN '' ELSE '*' END
                            || ' ' || CASE WHEN c.data_type IN ('bigint', 'boolean') THEN 'number' ELSE c.data_type END AS it
                        FROM information_schema.columns c
                        LEFT JOIN information_schema.table_constraints t
                            ON t.table_name = c.table_name AND t.constraint_type = 'PRIMARY KEY'
                        LEFT JOIN information_schema.key_column_usage k
                            ON k.constraint_name = t.constraint_name AND k.column_name = c.column_name
                        WHERE c.table_schema = 'public'
                        ORDER BY c.table_name COLLATE \"C\", c.column_name COLLATE \"C\"";
        self.texts(sqlite, postgres).await
    }

    async fn indexes(&self) -> Vec<String> {
        let sqlite = "SELECT name AS it FROM sqlite_schema
                      WHERE type = 'index' AND name NOT LIKE 'sqlite_%' ORDER BY name";
        let postgres = "SELECT indexname::text AS it FROM pg_indexes WHERE schemaname = 'public'
                            AND indexname NOT LIKE '%_pkey' AND indexname NOT LIKE '%_key'
                        ORDER BY indexname COLLATE \"C\"";
        self.texts(sqlite, postgres).await
    }

    async fn texts(&self, sqlite: &'static str, postgres: &'static str) -> Vec<String> {
        let none: &[Value<'_>] = &[];
        let texts =
            move |sql: &Sql<'_>| sql.rows(sql.either(sqlite, postgres), none, |row| row.text("it"));
        self.database.read(texts).await.unwrap()
    }
}

#[tokio::test]
async fn both_databases_get_the_same_schema() {
    let (sqlite, postgres) = (sqlite(), postgres());
    sqlite.migrate(STEPS).await.unwrap();
    postgres.migrate(STEPS).await.unwrap();
    let schema = sqlite.schema().await;
    assert!(schema.contains(&"users.id!* text".to_owned()), "{schema:?}");
    assert!(schema.contains(&"users.email text".to_owned()), "{schema:?}");
    assert_eq!(schema, postgres.schema().await);
    assert_eq!(sqlite.indexes().await, postgres.indexes().await);
}

#[tokio::test]
async fn migrating_twice_is_migrating_once() {
    for place in [sqlite(), postgres()] {
        assert!(place.status().await.iter().all(|step| step.applied_at.is_none()));
        place.migrate(STEPS).await.unwrap();
        place.migrate(STEPS).await.unwrap();
        assert_eq!(place.count("schema_migrations").await, STEPS.sqlite.len() as i64);
        assert!(place.status().await.iter().all(|step| step.applied_at == Some(NOW)));
    }
}

#[tokio::test]
async fn programs_that_start_at_one_time_migrate_once() {
    for place in [sqlite(), postgres()] {
        let several = (0..6).map(|_| {
            let database = place.database.clone();
            tokio::spawn(async move { database.migrate(NOW).await })
        });
        for one in several.collect::<Vec<_>>() {
            one.await.unwrap().unwrap();
        }
        assert_eq!(place.count("schema_migrations").await, STEPS.sqlite.len() as i64);
    }
}

/// The steps with a change, in both.
fn changed(change: impl Fn(&mut Vec<Migration>)) -> Steps {
    let changed = |steps: &[Migration]| -> &'static [Migration] {
        let mut steps = steps.to_vec();
        change(&mut steps);
        steps.leak()
    };
    Steps { sqlite: changed(STEPS.sqlite), postgres: changed(STEPS.postgres) }
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused_by_name() {
    for place in [sqlite(), postgres()] {
        place.migrate(STEPS).await.unwrap();
        let older = changed(|steps| steps.truncate(1));
        let error = place.migrate(older).await.unwrap_err().to_string();
        let newest = STEPS.sqlite.len();
        assert!(
            error.contains(&format!("at migration {newest} and this program knows 1")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_migration_applied_in_another_form_is_refused_by_name() {
    for place in [sqlite(), postgres()] {
        place.migrate(STEPS).await.unwrap();
        let other = changed(|steps| steps[1].sql = "SELECT 1");
        let error = place.migrate(other).await.unwrap_err().to_string();
        assert!(error.contains("migration 2 (`0002_sessions.sql`)"), "{error}");
    }
}

#[tokio::test]
async fn a_failing_migration_leaves_nothing_behind() {
    for place in [sqlite(), postgres()] {
        let broken = changed(|steps| {
            steps.push(Migration {
                version: 1 + steps.len() as i64,
                name: "broken",
                sql: "CREATE TABLE half (a INTEGER); CREATE TABLE broken (",
            });
        });
        let error = place.migrate(broken).await.unwrap_err();
        assert!(matches!(error, MigrationError::Failed { .. }), "{error}");
        assert_eq!(place.schema().await, [""; 0]);
    }
}

#[tokio::test]
async fn a_step_may_take_longer_than_any_other_statement() {
    let place = postgres();
    let long = changed(|steps| {
        steps.push(Migration {
            version: 1 + steps.len() as i64,
            name: "long",
            sql: "CREATE TABLE told AS SELECT current_setting('statement_timeout') AS it;
                  SELECT pg_sleep(5.2)",
        });
    });
    assert!(STATEMENT_BUDGET < Duration::from_millis(5_200));
    place.migrate(long).await.unwrap();
    assert_eq!(place.texts("", "SELECT it FROM told").await, ["0"], "the server waits as well");
    let now = "SELECT current_setting('statement_timeout') AS it";
    assert_eq!(place.texts("", now).await, ["6s"], "and for nothing else");
}

#[test]
fn every_migration_of_the_folder_is_built_in() {
    for (folder, steps) in [("sqlite", STEPS.sqlite), ("postgres", STEPS.postgres)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(folder);
        let mut names: Vec<_> = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let built_in: Vec<_> = steps.iter().map(|step| step.name.to_owned()).collect();
        assert_eq!(names, built_in);
        for (i, step) in steps.iter().enumerate() {
            assert_eq!(step.version, i as i64 + 1);
            assert!(step.name.starts_with(&format!("{:04}_", step.version)));
        }
    }
}
