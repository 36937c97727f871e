//! Publishers on both databases and a real Redis, killed, stalled and restored.

mod histories;
mod leases;
mod load;

use std::sync::Arc;
use std::time::Duration;

use config::Redis;
use kernel::revocation::Entry;
use kernel::revocation::RevocationSet;
use kernel::revocation::Row;
use kernel::revocation::feed::FeedLost;
use kernel::revocation::feed::RevocationFeed;
use kernel::revocation::follower::Follower;
use kernel::revocation::frame::Message;
use kernel::secret::Secret;
use kernel::time::now;
use stores::redis::connection::Connection;
use stores::redis::stream::follow::follow;
use stores::redis::stream::reader::StreamReader;
use tempfile::TempDir;
use test_support::postgres::PostgresDatabase;
use test_support::redis::RedisServer;
use test_support::redis::Reply;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::store::revocations::record;
use crate::store::sql::Sql;
use crate::store::sql::Tx;
use crate::store::tail::SqlFeed;
use crate::store::values::hex;
use crate::store::values::params;

/// A test of each behaviour, on each database.
macro_rules! on_both {
    ($($behaviour:ident),* $(,)?) => {
        mod in_a_file {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(super::House::in_a_file().await).await;
            })*
        }
        mod at_postgres {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(super::House::at_postgres().await).await;
            })*
        }
    };
}
use on_both;

/// A database that several processes have open, and a Redis.
struct House {
    config: config::Database,
    writer: Database,
    redis: RedisServer,
    _dir: TempDir,
    _postgres: Option<PostgresDatabase>,
}

impl House {
    async fn in_a_file() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::at(config::Database::Sqlite(dir.path().join("doorward.db")), dir, None).await
    }

    async fn at_postgres() -> Self {
        let server = PostgresDatabase::new();
        let config = config::Database::Postgres { url: Secret::new(server.url()) };
        Self::at(config, tempfile::tempdir().unwrap(), Some(server)).await
    }

    async fn at(
        config: config::Database,
        dir: TempDir,
        postgres: Option<PostgresDatabase>,
    ) -> Self {
        let writer = Database::open(&config, now()).await.unwrap();
        Self { config, writer, redis: RedisServer::start(), _dir: dir, _postgres: postgres }
    }

    /// One more process that has the database open.
    fn process(&self) -> Database {
        Database::connect(&self.config).unwrap()
    }

    /// One more admin API that publishes.
    fn publisher(&self, holder: &'static str) -> Publishing {
        self.publisher_over(holder, self.redis.url())
    }

    fn publisher_over(&self, holder: &'static str, url: String) -> Publishing {
        let database = self.process();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stream = stream_at(url);
            let shutdown = async {
                let _ = stopped.await;
            };
            publish(&database, &Clock::wall(), &stream, holder, shutdown).await;
        });
        Publishing { task, stop: Some(stop) }
    }

    /// Writes `count` revocations in one transaction; gives the number of the last.
    async fn write(&self, count: usize) -> u64 {
        write(&self.writer, count).await
    }

    async fn sql(&self, statements: &'static str) {
        self.writer.write(move |tx| tx.batch(statements)).await.unwrap();
    }

    async fn position(&self) -> Position {
        self.writer.read(position).await.unwrap()
    }

    async fn rows(&self) -> Vec<Row> {
        let (mut rows, mut after) = (Vec::new(), 0);
        loop {
            let read = move |sql: &Sql<'_>| rows_after(sql, after, Timestamp::default());
            let more = self.writer.read(read).await.unwrap();
            let Some(last) = more.last() else { return rows };
            after = last.seq;
            rows.extend(more);
        }
    }

    async fn holder(&self) -> String {
        let holder = "SELECT holder FROM revocation_publisher";
        let read = move |sql: &Sql<'_>| sql.row(holder, params![], |row| row.text("holder"));
        self.writer.read(read).await.unwrap().unwrap()
    }

    async fn until_held_by(&self, holder: &str) {
        until("held", async || self.holder().await == holder).await;
    }

    /// Everything that is in the stream of the present log.
    async fn stream(&self) -> Vec<Message> {
        let key = format!("{{doorward:revocations:{}}}", self.position().await.log_id);
        let Ok(Reply::Array(entries)) = self.redis.command(&["XRANGE", &key, "-", "+"]) else {
            return Vec::new();
        };
        let message = |entry: &Reply| {
            let Reply::Array(parts) = entry else { panic!("{entry:?}") };
            let Reply::Array(fields) = &parts[1] else { panic!("{entry:?}") };
            let Reply::Bulk(Some(text)) = &fields[1] else { panic!("{entry:?}") };
            Message::read(text.as_bytes()).unwrap()
        };
        entries.iter().map(message).collect()
    }

    /// The stretches of the frames in the stream.
    async fn stretches(&self) -> Vec<(u64, u64)> {
        let stretch = |message: &Message| match message {
            Message::Frame(frame) => Some((frame.first, frame.last)),
            Message::Heartbeat(_) => None,
        };
        self.stream().await.iter().filter_map(stretch).collect()
    }

    /// Waits until a heartbeat says that the log has come to `last`.
    async fn until_heard(&self, last: u64) {
        let says = |message: &Message| match message {
            Message::Frame(_) => false,
            Message::Heartbeat(heartbeat) => heartbeat.last == last,
        };
        until("heard", async || self.stream().await.iter().any(says)).await;
    }

    /// One more gateway; its feed is the database, until it is cut.
    async fn edge(&self) -> Edge {
        self.edge_over(self.redis.url()).await
    }

    async fn edge_over(&self, url: String) -> Edge {
        let set = Arc::new(RevocationSet::default());
        let (cut, is_cut) = watch::channel(false);
        let feed = Cut { feed: SqlFeed::of(&self.process()), is_cut };
        let reader = StreamReader::open(&Redis::at(Secret::new(url)), None).unwrap();
        let task = tokio::spawn(follow(reader, Follower::new(Arc::clone(&set)), feed, now));
        let edge = Edge { set, task, cut };
        edge.until("ready", |set| set.is_ready()).await;
        edge
    }
}

async fn write(database: &Database, count: usize) -> u64 {
    let until = now().plus(Duration::from_secs(3600));
    let act = move |tx: &Tx<'_>| {
        let mut last = 0;
        for _ in 0..count {
            let id = hex(&kernel::random::bytes::<8>()?);
            last = record(tx, &Entry::Session { id, until }, now())?;
        }
        Ok::<_, DbError>(last)
    };
    database.write(act).await.unwrap()
}

/// A stream of its own in the Redis at `url`.
fn stream_at(url: String) -> StreamPublisher {
    let at = Redis::at(Secret::new(url));
    StreamPublisher::new(&Connection::open(&at, None).unwrap(), &at.namespace)
}

/// A publisher on a task of its own; killed on drop.
struct Publishing {
    task: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
}

impl Publishing {
    /// As a process that is killed: it says nothing to anybody.
    fn kill(self) {
        self.task.abort();
    }

    /// As a process that is told to end.
    async fn stop(mut self) {
        let stop = self.stop.take().unwrap();
        stop.send(()).unwrap();
        (&mut self.task).await.unwrap();
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A gateway; ended on drop.
struct Edge {
    set: Arc<RevocationSet>,
    task: JoinHandle<()>,
    cut: watch::Sender<bool>,
}

impl Edge {
    async fn until(&self, what: &str, holds: impl Fn(&RevocationSet) -> bool) {
        until(what, async || holds(&self.set)).await;
    }

    /// Waits until `count` revocations are in force.
    async fn holds(&self, count: u64) {
        self.until(&format!("{count} in force"), |set| set.len() as u64 == count).await;
    }

    /// From now on there is nothing but the stream; not before that is heard.
    async fn cut(&self) {
        let heard_at = self.set.heard_at();
        self.until("hearing", |set| set.heard_at() > heard_at).await;
        self.cut.send_replace(true);
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A feed that can be cut off.
struct Cut {
    feed: SqlFeed,
    is_cut: watch::Receiver<bool>,
}

impl Cut {
    fn pass(&self) -> Result<(), FeedLost> {
        match *self.is_cut.borrow() {
            true => Err(FeedLost::Unreachable("the test has cut it".into())),
            false => Ok(()),
        }
    }
}

impl RevocationFeed for Cut {
    async fn position(&mut self) -> Result<Position, FeedLost> {
        self.pass()?;
        self.feed.position().await
    }

    async fn rows_after(&mut self, after: u64, now: Timestamp) -> Result<Vec<Row>, FeedLost> {
        self.pass()?;
        self.feed.rows_after(after, now).await
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(40), wait).await;
    waited.unwrap_or_else(|_| panic!("not {what}"));
}
