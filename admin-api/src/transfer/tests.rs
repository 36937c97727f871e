//! Copies between both kinds of databases, in every direction.

use std::collections::BTreeSet;

use kernel::secret::Secret;
use kernel::time::Timestamp;
use tempfile::TempDir;
use test_support::postgres::PostgresServer;

use super::*;
use crate::store::copy::Table;
use crate::store::migrate::Migration;
use crate::store::migrate::migrate;
use crate::store::sql::Tx;
use crate::store::sql::pages::PAGE_ROWS_MAX;
use crate::store::values::Value;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A new database, and what must live as long as it.
struct Place {
    config: config::Database,
    _dir: TempDir,
    _server: Option<PostgresServer>,
}

fn sqlite() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let config = config::Database::Sqlite(dir.path().join("doorward.db"));
    Place { config, _dir: dir, _server: None }
}

fn postgres() -> Place {
    let server = PostgresServer::start();
    // Its keys are in the order of a language, as almost everywhere.
    let create = "CREATE DATABASE doorward LOCALE_PROVIDER icu ICU_LOCALE 'en' TEMPLATE template0";
    server.query(create).unwrap();
    let url = server.url().replace("/postgres", "/doorward");
    assert!(url.ends_with("/doorward"));
    let config = config::Database::Postgres { url: Secret::new(url) };
    Place { config, _dir: tempfile::tempdir().unwrap(), _server: Some(server) }
}

impl Place {
    fn at(self, steps: Steps) -> Self {
        self.write(|tx| migrate(tx, steps, NOW)).unwrap();
        self
    }

    fn write<T, E: From<DbError>>(
        &self,
        act: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let Ok(mut alone) = Alone::to_write(&self.config) else { panic!("it is there") };
        alone.seat.write(act)
    }

    fn run(&self, statements: &str) {
        self.write(|tx| tx.batch(statements)).unwrap();
    }

    fn text(&self, query: &str) -> String {
        let found = self.write(|tx| tx.row(query, &[], |row| row.text("it")));
        found.unwrap().unwrap()
    }

    fn count(&self, table: &str) -> i64 {
        let count = format!("SELECT count(*) AS n FROM {table}");
        let found = self.write(|tx| tx.row(&count, &[], |row| row.int("n")));
        found.unwrap().unwrap()
    }

    /// Many people, in names that languages and bytes put in different orders; one who signed in,
    /// and one who may not any more.
    fn peopled(self) -> Self {
        self.write(|tx| {
            for i in 0..=PAGE_ROWS_MAX {
                let letter = ["a", "B", "-", "ä", "Z", "\u{1f98a}", "_"][i % 7];
                let add =
                    "INSERT INTO users (id, username, full_name, is_active, created_at, updated_at)
                           VALUES (?1, ?2, ?3, ?4, ?5, ?5)";
                let name = format!("{letter}{i}");
                let full_name = (i % 2 == 0).then_some("");
                let of: [Value<'_>; 5] = [
                    name.clone().into(),
                    name.into(),
                    full_name.into(),
                    (i != 3).into(),
                    NOW.into(),
                ];
                tx.execute(add, &of)?;
            }
            tx.batch(
                "INSERT INTO sessions (id, user_id, rotated_at, expires_at, absolute_until,
                                       access_until, epoch, kid, created_at, client, user_agent)
                 VALUES ('s', 'a0', 1, 2, 3, 4, 0, 'k', 1, '192.0.2.7', 'Firefox');
                 INSERT INTO refresh_keys VALUES ('k', 'secret', 1);
                 INSERT INTO revocations VALUES (7, 1, NULL, '{}', NULL);
                 UPDATE revocation_log SET seq = 7",
            )
        })
        .unwrap();
        self
    }
}

fn copied(steps: Steps, from: &Place, to: &Place) -> Result<Vec<CopiedTable>, CopyError> {
    copy_by(steps, Alone::to_read(&from.config)?, Alone::to_write(&to.config)?)
}

#[test]
fn a_copy_has_everything_and_a_log_id_of_its_own_whichever_way_it_goes() {
    let first = sqlite().at(STEPS).peopled();
    let mut from = &first;
    let log_id = |place: &Place| place.text("SELECT log_id AS it FROM revocation_log");
    let places = [postgres(), postgres(), sqlite(), sqlite()].map(|place| place.at(STEPS));
    let mut seen = BTreeSet::from([log_id(&first)]);
    let mut sums = None;
    for to in &places {
        seen.insert(log_id(to));
        let tables = copied(STEPS, from, to).unwrap();
        assert!(tables.iter().all(|table| table.read == table.written));
        let rows = |name: &str| tables.iter().find(|table| table.name == name).unwrap().read.rows;
        assert_eq!(rows("users"), PAGE_ROWS_MAX as u64 + 1);
        assert_eq!((rows("sessions"), rows("revocations"), rows("revocation_log")), (1, 1, 1));
        assert_eq!(*sums.get_or_insert(tables.clone()), tables, "it is the same after each copy");
        assert_eq!(to.text("SELECT user_id AS it FROM sessions"), "a0");
        assert_eq!(to.text("SELECT client || user_agent AS it FROM sessions"), "192.0.2.7Firefox");
        assert_eq!(to.count("users WHERE is_active"), PAGE_ROWS_MAX as i64);
        assert_eq!(to.count("revocation_log WHERE seq = 7"), 1);
        seen.insert(log_id(to));
        from = to;
    }
    assert_eq!(seen.len(), 1 + 2 * places.len(), "an id that was there before: {seen:?}");
}

/// The steps, and one that somebody adds later.
fn later() -> Steps {
    let with = |steps: &[Migration], sql| -> &'static [Migration] {
        let mut steps = steps.to_vec();
        steps.push(Migration { version: 1 + steps.len() as i64, name: "later", sql });
        steps.leak()
    };
    Steps {
        sqlite: with(
            STEPS.sqlite,
            "CREATE TABLE moons (planet TEXT NOT NULL REFERENCES planets (name), number INTEGER NOT NULL,
                                 \"order\" TEXT, PRIMARY KEY (planet, number)) STRICT;
             CREATE TABLE planets (name TEXT NOT NULL PRIMARY KEY, has_rings INTEGER NOT NULL) STRICT;",
        ),
        postgres: with(
            STEPS.postgres,
            "CREATE TABLE planets (name text NOT NULL PRIMARY KEY, has_rings boolean NOT NULL);
             CREATE TABLE moons (planet text NOT NULL REFERENCES planets (name), number bigint NOT NULL,
                                 \"order\" text, PRIMARY KEY (planet, number));",
        ),
    }
}

#[test]
fn a_table_that_a_later_migration_adds_is_copied_after_those_it_refers_to() {
    let from = sqlite().at(later());
    from.run(
        "INSERT INTO planets VALUES ('Saturn', 1), ('Mars', 0);
         INSERT INTO moons VALUES ('Saturn', 10, NULL), ('Saturn', 9, 'x'), ('Mars', 1, '')",
    );
    for to in [postgres(), sqlite()] {
        let to = to.at(later());
        let tables = copied(later(), &from, &to).unwrap();
        assert!(tables.iter().any(|table| table.name == "moons" && table.written.rows == 3));
        assert_eq!(to.text("SELECT name AS it FROM planets WHERE has_rings"), "Saturn");
        assert_eq!(to.count("moons WHERE \"order\" IS NULL AND number = 10"), 1);
    }
}

#[test]
fn the_tables_are_those_that_postgres_has_and_their_values_of_the_kinds_that_are_copied() {
    let place = postgres().at(STEPS);
    let columns = place.write(|tx| {
        let all = "SELECT table_name::text AS it, data_type::text AS kind,
                       coalesce(column_default LIKE 'nextval%', false) OR is_identity = 'YES' AS counts
                   FROM information_schema.columns WHERE table_schema = 'public'";
        tx.rows(all, &[], |row| Ok((row.text("it")?, row.text("kind")?, row.flag("counts")?)))
    });
    let columns: Vec<(String, String, bool)> = columns.map_err(|e: DbError| e).unwrap();
    let tables = tables(STEPS).unwrap();
    let ours: BTreeSet<String> = tables.iter().map(|table| table.name().to_owned()).collect();
    let theirs = columns.iter().map(|(table, ..)| table.clone());
    let theirs: BTreeSet<String> = theirs.filter(|name| name != "schema_migrations").collect();
    assert_eq!(ours, theirs);
    for (table, kind, counts) in &columns {
        assert!(["text", "bigint", "boolean"].contains(&&**kind), "{table} has a {kind}");
        // Its next number would be one that a copied row has.
        assert!(!counts, "{table} counts by itself");
    }
    assert!(tables.iter().all(Table::has_key));
}

#[test]
fn nobody_is_copied_over_and_the_database_is_named() {
    let from = sqlite().at(STEPS).peopled();
    for to in [sqlite(), postgres()] {
        let to = to.at(STEPS);
        to.run(
            "INSERT INTO users (id, username, created_at, updated_at) VALUES ('1', 'eve', 1, 1)",
        );
        let error = copied(STEPS, &from, &to).unwrap_err().to_string();
        assert!(error.contains("has people already"), "{error}");
        assert!(error.contains("doorward"), "it is named: {error}");
        assert_eq!(to.count("users"), 1);
    }
}

#[test]
fn a_schema_that_lacks_steps_is_neither_read_nor_written() {
    let (whole, empty) = (sqlite().at(STEPS), sqlite());
    empty.run("SELECT 1");
    for (from, to) in [(&whole, &empty), (&empty, &whole)] {
        let error = copied(STEPS, from, to).unwrap_err();
        assert!(matches!(error, CopyError::Behind(_)), "{error}");
        assert!(error.to_string().contains("doorward db migrate"), "{error}");
    }
}

#[test]
fn a_source_that_is_not_there_is_not_made() {
    let (nowhere, to) = (sqlite(), sqlite().at(STEPS));
    let error = copied(STEPS, &nowhere, &to).unwrap_err();
    assert!(matches!(error, CopyError::Open(OpenError::Missing(_))), "{error}");
    let config::Database::Sqlite(path) = &nowhere.config else { panic!("it is a file") };
    assert!(!path.exists());
}

#[test]
fn a_copy_that_fails_half_way_leaves_nothing() {
    let (from, to) = (sqlite().at(STEPS).peopled(), postgres().at(STEPS));
    // Postgres has no text with a zero byte.
    from.run("UPDATE sessions SET ended_by = 'a' || char(0)");
    let log_id = to.text("SELECT log_id AS it FROM revocation_log");
    let error = copied(STEPS, &from, &to).unwrap_err();
    let CopyError::Table { table, .. } = &error else { panic!("{error}") };
    assert_eq!(table, "sessions");
    assert_eq!((to.count("users"), to.count("refresh_keys")), (0, 0));
    assert_eq!(to.text("SELECT log_id AS it FROM revocation_log"), log_id);
}

#[test]
fn a_database_that_keeps_something_else_than_it_was_given_is_found_out() {
    let (from, to) = (sqlite().at(STEPS).peopled(), sqlite().at(STEPS));
    to.run(
        "CREATE TRIGGER louder AFTER INSERT ON users WHEN NEW.username = 'a0'
         BEGIN UPDATE users SET full_name = 'A0' WHERE id = NEW.id; END",
    );
    let error = copied(STEPS, &from, &to).unwrap_err();
    let CopyError::Differs(tables) = &error else { panic!("{error}") };
    let differ = tables.iter().filter(|table| table.read != table.written);
    assert_eq!(differ.map(|table| &*table.name).collect::<Vec<_>>(), ["users"]);
    assert_eq!(to.count("users"), 0);
}
