//! How long a revocation takes from the answer to its act to a gateway, by Redis alone; and what it
//! costs an admin API to look for some while there are none.
//!
//! Everything runs in this process but Redis and the database. Prints `name=value` lines.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use admin_api::AdminApi;
use admin_api::Clock;
use admin_api::NewUser;
use anyhow::Context;
use benches::cpu;
use clap::Parser;
use config::Redis;
use kernel::keys::Key;
use kernel::keys::KeyRing;
use kernel::keys::LiveKeys;
use kernel::keys::SigningKey;
use kernel::random;
use kernel::revocation::RevocationSet;
use kernel::revocation::Row;
use kernel::revocation::feed::FeedLost;
use kernel::revocation::feed::Position;
use kernel::revocation::feed::RevocationFeed;
use kernel::revocation::follower::Follower;
use kernel::secret::Secret;
use kernel::tier::Tier;
use kernel::time::Timestamp;
use kernel::time::now;
use stores::redis::connection::Connection;
use stores::redis::stream::follow::follow;
use stores::redis::stream::publisher::StreamPublisher;
use stores::redis::stream::reader::StreamReader;
use test_support::postgres::PostgresServer;
use test_support::redis::RedisServer;

/// How often it is looked whether a gateway has it, from outside the runtime that carries it.
const LOOK_EVERY: Duration = Duration::from_micros(50);

/// Measures revocations on their way.
#[derive(Parser)]
struct Options {
    /// How many are made, one after the other.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    revocations: u32,
    /// For how long nothing is revoked, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    idle: u64,
    /// On a Postgres, synced to disk as it comes; otherwise on a SQLite file.
    #[arg(long)]
    postgres: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let redis = RedisServer::start();
    let postgres = options.postgres.then(PostgresServer::start_synced);
    let dir = std::env::temp_dir().join(format!("doorward-revocations-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let database = match &postgres {
        Some(server) => config::Database::Postgres { url: Secret::new(server.url()) },
        None => config::Database::Sqlite(dir.join("doorward.db")),
    };
    let measured = measure(&options, database, &redis, postgres.as_ref());
    std::fs::remove_dir_all(&dir)?;
    measured
}

fn measure(
    options: &Options,
    database: config::Database,
    redis: &RedisServer,
    postgres: Option<&PostgresServer>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let log_id = |text: Option<String>| text.context("a database has one log");
    let api = Arc::new(runtime.block_on(open(database.clone()))?);
    let log_id = log_id(match (&database, postgres) {
        (config::Database::Sqlite(path), _) => log_id_in(path)?,
        (_, Some(server)) => {
            let rows = server.query("SELECT log_id FROM revocation_log")?;
            rows.into_iter().next().and_then(|mut row| row.swap_remove(0))
        }
        _ => None,
    })?;
    let set = Arc::new(RevocationSet::default());
    let at = Redis::at(Secret::new(redis.url()));
    let publishing = Arc::clone(&api);
    let connection = {
        let _entered = runtime.enter();
        Connection::open(&at, None)?
    };
    let stream = StreamPublisher::new(&connection, &at.namespace);
    runtime.spawn(async move {
        publishing.publish_revocations(&stream, std::future::pending()).await;
    });
    let reader = {
        let _entered = runtime.enter();
        StreamReader::open(&at, None)?
    };
    let once = Once(Some(Position { log_id, seq: 0 }));
    runtime.spawn(follow(reader, Follower::new(Arc::clone(&set)), once, now));
    await_until(|| set.is_ready());
    let heard_at = set.heard_at();
    await_until(|| set.heard_at() > heard_at);

    let mut took = Vec::new();
    for n in 0..options.revocations {
        let tier = Tier::parse(if n % 2 == 0 { "premium" } else { "free" })?;
        let before = set.applied();
        runtime.block_on(api.users().set_tier("ann", tier))?;
        let answered = Instant::now();
        await_until(|| set.applied() > before);
        took.push(answered.elapsed());
        // At every moment of the time between two flushes.
        std::thread::sleep(Duration::from_micros(20_000 + u64::from(n) * 7_919 % 10_000));
    }
    took.sort_unstable();
    for (name, part) in [("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)] {
        let at = (took.len() * part).div_ceil(100) - 1;
        println!("applied_{name}_us={}", took[at].as_micros());
    }

    let questions = || postgres.map(transactions).transpose();
    let (asked, worked) = (questions()?, cpu::time_of(std::process::id())?);
    std::thread::sleep(Duration::from_secs(options.idle));
    let worked = cpu::time_of(std::process::id())?.saturating_sub(worked);
    println!("idle_cpu_ms_per_s={:.1}", worked.as_secs_f64() * 1e3 / options.idle as f64);
    if let (Some(before), Some(after)) = (asked, questions()?) {
        println!("idle_transactions_per_s={:.1}", (after - before) as f64 / options.idle as f64);
    }
    runtime.shutdown_background();
    Ok(())
}

async fn open(database: config::Database) -> anyhow::Result<AdminApi> {
    let mut config = config::parse("measured", "environment = \"dev\"", &|_| None)?;
    config.database = database;
    let key = SigningKey::hs256("measured", &random::unguessable()?)?;
    let keys = LiveKeys::new(KeyRing::new(vec![Key::Signing(Box::new(key))])?);
    let api = AdminApi::open(&config, Arc::new(keys), Clock::wall()).await?;
    let ann = NewUser::new("ann", random::unguessable()?, Tier::parse("free")?);
    api.users().create(ann).await?;
    Ok(api)
}

fn log_id_in(path: &PathBuf) -> anyhow::Result<Option<String>> {
    let connection = rusqlite::Connection::open(path)?;
    Ok(connection.query_row("SELECT log_id FROM revocation_log", [], |row| row.get(0))?)
}

/// How many transactions the Postgres has seen; a statement by itself is one.
fn transactions(server: &PostgresServer) -> anyhow::Result<i64> {
    let rows = server.query(
        "SELECT pg_stat_clear_snapshot(); SELECT sum(xact_commit)::text FROM pg_stat_database",
    )?;
    let text =
        rows.into_iter().last().and_then(|mut row| row.swap_remove(0)).context("it counts them")?;
    Ok(text.parse()?)
}

/// Waits, outside of the runtime; gives up after half a minute.
fn await_until(holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < Duration::from_secs(30), "it does not arrive");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A feed that answers once, so that whatever arrives later has come by Redis.
struct Once(Option<Position>);

impl RevocationFeed for Once {
    async fn position(&mut self) -> Result<Position, FeedLost> {
        self.0.take().ok_or_else(|| FeedLost::Unreachable("it answers once".into()))
    }

    async fn rows_after(&mut self, _: u64, _: Timestamp) -> Result<Vec<Row>, FeedLost> {
        Ok(Vec::new())
    }
}
