//! The table as a feed: against the kernel's suite, and what is its own.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use kernel::revocation::Entry;
use kernel::revocation::conformance::Truth;
use kernel::secret::Secret;
use tempfile::TempDir;
use test_support::postgres::PostgresDatabase;

use super::*;
use crate::store::revocations::record;
use crate::store::sql::Tx;
use crate::store::values::params;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

/// A database, as one or several processes have it open.
struct Table {
    open: Vec<Database>,
    turn: AtomicUsize,
    _dir: TempDir,
    _server: Option<PostgresDatabase>,
}

impl Table {
    /// A file that two processes have open; the first is followed.
    async fn in_a_file() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = config::Database::Sqlite(dir.path().join("doorward.db"));
        Self::at(&[&config, &config], dir, None).await
    }

    async fn in_memory() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::at(&[&config::Database::SqliteMemory], dir, None).await
    }

    /// A Postgres that two processes have open; the first is followed.
    async fn at_postgres() -> Self {
        let server = PostgresDatabase::new();
        let config = config::Database::Postgres { url: Secret::new(server.url()) };
        Self::at(&[&config, &config], tempfile::tempdir().unwrap(), Some(server)).await
    }

    async fn at(
        places: &[&config::Database],
        dir: TempDir,
        server: Option<PostgresDatabase>,
    ) -> Self {
        let mut open = Vec::new();
        for place in places {
            open.push(Database::open(place, NOW).await.unwrap());
        }
        Self { open, turn: AtomicUsize::new(0), _dir: dir, _server: server }
    }

    /// One process writes after the other.
    async fn act<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Tx<'_>) -> Result<T, DbError> + Send + 'static,
    ) -> T {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.open[turn % self.open.len()].write(act).await.unwrap()
    }

    async fn sql(&self, statements: &'static str) {
        self.act(move |tx| tx.batch(statements)).await;
    }
}

impl Truth for Table {
    type Feed = SqlFeed;

    fn feed(&self) -> SqlFeed {
        SqlFeed::of(&self.open[0])
    }

    async fn write(&self, entry: Entry) -> u64 {
        self.act(move |tx| record(tx, &entry, NOW)).await
    }

    async fn restore(&self, log_id: &str, entries: Vec<Entry>) {
        let log_id = log_id.to_owned();
        let restore = move |tx: &Tx<'_>| {
            tx.execute("DELETE FROM revocations", params![])?;
            tx.execute("UPDATE revocation_log SET seq = 0, log_id = ?1", params![log_id])?;
            entries.iter().try_for_each(|entry| record(tx, entry, NOW).map(|_| ()))
        };
        self.act(restore).await;
    }
}

mod in_a_file {
    kernel::revocation_feed_conformance!(super::Table::in_a_file().await);
}

mod at_postgres {
    kernel::revocation_feed_conformance!(super::Table::at_postgres().await);
}

mod in_memory {
    kernel::revocation_feed_conformance!(super::Table::in_memory().await);
}

#[tokio::test]
async fn nothing_is_read_where_nobody_wrote() {
    let table = Table::in_a_file().await;
    table.write(Entry::Key { kid: "k1".to_owned() }).await;
    let mut feed = table.feed();
    let at = feed.position().await.unwrap();
    assert_eq!(at.seq, 1);
    // By the watching connection itself, which its version does not speak of.
    let watcher = &table.open[0];
    let rename = "ALTER TABLE revocation_log RENAME TO gone";
    watcher.watch(|sql| sql.row(rename, params![], |_| Ok(()))).await.unwrap();
    for _ in 0..3 {
        assert_eq!(feed.position().await.unwrap(), at);
    }
    table.sql("UPDATE gone SET seq = 2").await;
    assert!(matches!(feed.position().await, Err(FeedLost::Unreachable(_))));
}

#[tokio::test]
async fn a_transaction_has_the_tables_looked_at_and_a_single_statement_does_not() {
    let table = Table::in_a_file().await;
    let database = &table.open[0];
    let written = database.written();
    let statement = |tx: &Tx<'_>| tx.execute("UPDATE sessions SET access_until = 0", params![]);
    database.write_at_once(statement).await.unwrap();
    assert!(!written.has_changed().unwrap());
    database.write(statement).await.unwrap();
    assert!(written.has_changed().unwrap());
}

#[tokio::test]
async fn after_a_look_that_failed_the_next_one_reads() {
    for (lose, find) in [
        ("ALTER TABLE revocations RENAME TO r", "ALTER TABLE r RENAME TO revocations"),
        ("ALTER TABLE revocation_log RENAME TO l", "ALTER TABLE l RENAME TO revocation_log"),
    ] {
        for table in
            [Table::in_a_file().await, Table::in_memory().await, Table::at_postgres().await]
        {
            let mut feed = table.feed();
            let mut follower = Follower::new(Arc::default());
            follower.catch_up(&mut feed, NOW).await.unwrap();
            table.write(Entry::Key { kid: "k1".to_owned() }).await;
            table.sql(lose).await;
            for _ in 0..2 {
                let error = follower.catch_up(&mut feed, NOW).await.unwrap_err();
                assert!(matches!(error, FeedLost::Unreachable(_)), "{error}");
                assert_eq!(follower.position().unwrap().seq, 0);
            }
            table.sql(find).await;
            follower.catch_up(&mut feed, NOW).await.unwrap();
            assert_eq!(follower.position().unwrap().seq, 1);
        }
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_told_apart_from_a_database_that_is_away() {
    let table = Table::in_a_file().await;
    table.write(Entry::Key { kid: "k1".to_owned() }).await;
    table.sql(r#"UPDATE revocations SET entry = '{"kind":"weather"}'"#).await;
    let error = table.feed().rows_after(0, NOW).await.unwrap_err();
    assert!(matches!(error, FeedLost::Answer(_)), "{error}");
    assert_eq!(
        error.source().unwrap().to_string(),
        "the database holds a row that cannot be read: a revocation"
    );
}
