//! What the database alone costs at a refresh: the one statement that moves a session to its next
//! generation, committed as durably as Doorward does, and nothing else.
//!
//! The connection is settled as Doorward's, the table is the one that it made, and the statement is
//! its own; `--as-asked-by` proves the latter.

mod postgres;
mod sqlite;

use anyhow::ensure;
use benches::lanes::measure;
use clap::Parser;
use mimalloc::MiMalloc;

/// Doorward's allocator: a better one must not look like a smaller refresh.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// `store::sessions::rotate` of the admin API.
const SWAP: &str = "
UPDATE sessions
SET generation = generation + 1, rotated_at = ?3, kid = ?6,
    expires_at = CASE WHEN absolute_until < ?7 THEN absolute_until ELSE ?7 END,
    access_until = CASE WHEN access_until > ?4 THEN access_until ELSE ?4 END
WHERE id = ?1 AND generation = ?2 AND ended_at IS NULL AND absolute_until > ?3
    AND EXISTS (SELECT 1 FROM users
                WHERE users.id = user_id AND users.is_active AND users.epoch = ?5)
RETURNING id, user_id, generation, rotated_at, expires_at, absolute_until, access_until, epoch, kid,
    asked_scopes, created_at, ended_at, client, user_agent,
    (SELECT username FROM users WHERE users.id = user_id) AS owner_name,
    (SELECT tier FROM users WHERE users.id = user_id) AS owner_tier,
    (SELECT role FROM users WHERE users.id = user_id) AS owner_role,
    (SELECT scopes FROM users WHERE users.id = user_id) AS owner_scopes";

/// Makes the sessions called ?1 and a number from 1 to ?2, of the user ?3, as of ?4, until ?5.
const FILL: &str = "
WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < ?2)
INSERT INTO sessions (id, user_id, generation, rotated_at, expires_at, absolute_until, access_until,
    epoch, kid, created_at)
SELECT ?1 || i, users.id, 0, ?4, ?5, ?5, ?5, users.epoch, 'measured', ?4
FROM numbers CROSS JOIN users WHERE users.username = ?3";

/// How long what a refresh gives is good for; it has to be later each time.
const TTL_MS: i64 = 30 * 60 * 1000;

/// The key that signs; it is not asked for here.
const KID: &str = "measured";

/// Moves sessions to their next generation, straight in the database. Prints `name=value` lines.
#[derive(Parser)]
struct Options {
    /// The database that Doorward made: a path, or a URL of Postgres.
    #[arg(long)]
    database: String,
    /// How many statements are counted.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// How many come before them.
    #[arg(long, default_value_t = 0)]
    warm_up: u32,
    /// How many sessions, each with a connection; a file has one writer.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    connections: u32,
    /// How many other sessions are put into the table first.
    #[arg(long, default_value_t = 0)]
    others: u32,
    /// The name by which somebody is connected to Postgres whose last statement on sessions must be
    /// this very one.
    #[arg(long)]
    as_asked_by: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let Options { requests, warm_up, .. } = options;
    if options.database.contains("://") {
        measure(postgres::lanes(&options).await?, warm_up, requests).await
    } else {
        ensure!(options.connections == 1, "a file of SQLite has one writer");
        measure(vec![sqlite::lane(&options)?], warm_up, requests).await
    }
}

/// A session, as far as the next swap has to know it.
struct Turn {
    id: String,
    generation: i64,
    epoch: i64,
}

/// A prefix of ids that nobody had before.
fn new_ids() -> anyhow::Result<String> {
    let random = u64::from_be_bytes(kernel::random::bytes()?);
    Ok(format!("{random:016x}-"))
}

fn now_ms() -> i64 {
    kernel::time::now().as_millis() as i64
}
