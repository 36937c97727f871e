//! The log of revocations over a real socket, from a real admin API to a gateway's feed, against the
//! suite that every feed must pass.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use admin_api::AdminApi;
use admin_api::Clock;
use admin_api::FleetDoor;
use config::Config;
use gateway::fleet::feed::HttpFeed;
use gateway::fleet::line::Line;
use kernel::keys::Key;
use kernel::keys::KeyRing;
use kernel::keys::LiveKeys;
use kernel::keys::SigningKey;
use kernel::revocation::Entry;
use kernel::revocation::conformance::Truth;
use kernel::revocation::feed::FeedLost;
use kernel::revocation::feed::Position;
use kernel::revocation::feed::RevocationFeed;
use kernel::revocation::follower::Follower;
use kernel::secret::Secret;
use kernel::time::Timestamp;
use rusqlite::Connection;
use rusqlite::params;
use tempfile::TempDir;
use test_support::postgres::PostgresDatabase;
use test_support::wait::wait_until;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

const TOKEN: &str = "tG7-mW3kLx9QvBn5RsYc2HfJd8ZpUa4E";

/// When the acts of the tests are committed.
const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

/// How long an admin API that has just started may take to delete what is old.
const SWEPT_WITHIN: Duration = Duration::from_secs(30);

/// Where the rows are, for an act of another process than the admin API's.
enum Rows {
    Sqlite(Connection),
    Postgres(PostgresDatabase),
}

/// An admin API at work, the database behind it, and a line to it.
struct Apart {
    rows: parking_lot::Mutex<Rows>,
    line: Line,
    other_line: Line,
    turn: AtomicUsize,
    _closes: watch::Sender<bool>,
    _dir: TempDir,
}

impl Apart {
    async fn on_sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("doorward.db");
        let database = format!("url = \"sqlite://{}\"", path.display());
        let open = move || Rows::Sqlite(Connection::open(path).unwrap());
        Self::on(dir, &database, open).await
    }

    async fn on_postgres() -> Self {
        let database = PostgresDatabase::new();
        let url = format!("url = \"{}\"", database.url());
        Self::on(tempfile::tempdir().unwrap(), &url, || Rows::Postgres(database)).await
    }

    async fn on(dir: TempDir, database: &str, rows: impl FnOnce() -> Rows) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let config = config(&format!(
            "data_dir = \"{}\"\n[database]\n{database}\n[fleet]\ntoken = \"{TOKEN}\"\n\
             listen = \"{here}\"\nadmin_url = \"http://{here}\"\n",
            dir.path().display()
        ));
        let key = SigningKey::hs256("k1", &Secret::new(TOKEN)).unwrap();
        let ring = KeyRing::new(vec![Key::Signing(Box::new(key))]).unwrap();
        let keys = Arc::new(LiveKeys::new(ring));
        let api = Arc::new(AdminApi::open(&config, keys, Clock::wall()).await.unwrap());
        let mut rows = rows();
        rows.add_a_very_old_one();
        let fleet = config.fleet.unwrap();
        let half = fleet.admin.unwrap();
        let door = FleetDoor::of(&half).unwrap();
        let (closes, closed) = watch::channel(false);
        let end = |mut closed: watch::Receiver<bool>| async move {
            let _ = closed.wait_for(|closed| *closed).await;
        };
        let (looking, looked_until) = (Arc::clone(&api), end(closed.clone()));
        tokio::spawn(async move { looking.look_out(looked_until).await });
        tokio::spawn(api.serve_fleet(door, half.token, listener, end(closed)));
        // Rows of the suite are old by the wall's clock: the sweep at the start is not for them.
        wait_until(SWEPT_WITHIN, || !rows.has_a_very_old_one());
        let half = fleet.gateway.unwrap();
        let line = || Line::new(&half).unwrap();
        Self {
            rows: parking_lot::Mutex::new(rows),
            line: line(),
            other_line: line(),
            turn: AtomicUsize::new(0),
            _closes: closes,
            _dir: dir,
        }
    }
}

fn config(text: &str) -> Config {
    config::parse("test.toml", &format!("environment = \"dev\"\n{text}"), &|_| None).unwrap()
}

impl Rows {
    /// A row that no number counts, and that the next sweep deletes.
    fn add_a_very_old_one(&mut self) {
        let add = "INSERT INTO revocations (seq, at, until, entry) VALUES (0, 0, 0, '')";
        match self {
            Self::Sqlite(connection) => connection.execute_batch(add).unwrap(),
            Self::Postgres(database) => drop(database.query(add).unwrap()),
        }
    }

    fn has_a_very_old_one(&mut self) -> bool {
        let find = "SELECT seq FROM revocations WHERE seq = 0";
        match self {
            Self::Sqlite(connection) => connection.prepare(find).unwrap().exists([]).unwrap(),
            Self::Postgres(database) => !database.query(find).unwrap().is_empty(),
        }
    }

    /// One act: the counter raised and a row added, in a transaction.
    fn record(&mut self, entry: &Entry) -> u64 {
        let json = serde_json::to_string(entry).unwrap();
        let until = entry.until().map(Timestamp::as_millis);
        let at = NOW.as_millis();
        match self {
            Self::Sqlite(connection) => {
                connection.busy_timeout(Duration::from_secs(5)).unwrap();
                let tx = connection
                    .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
                    .unwrap();
                let raise = "UPDATE revocation_log SET seq = seq + 1 RETURNING seq";
                let seq: i64 = tx.query_row(raise, params![], |row| row.get(0)).unwrap();
                let add = "INSERT INTO revocations (seq, at, until, entry) VALUES (?1, ?2, ?3, ?4)";
                let until = until.map(|until| until as i64);
                tx.execute(add, params![seq, at as i64, until, json]).unwrap();
                tx.commit().unwrap();
                seq as u64
            }
            Self::Postgres(database) => {
                let rows = database.query(&statement(entry)).unwrap();
                rows[0][0].as_deref().unwrap().parse().unwrap()
            }
        }
    }

    /// Another history: the log emptied and called `log_id`, and `entries` recorded in it.
    fn replace(&mut self, log_id: &str, entries: &[Entry]) {
        let empty = format!(
            "DELETE FROM revocations; UPDATE revocation_log SET seq = 0, log_id = '{log_id}';"
        );
        match self {
            Self::Sqlite(connection) => {
                // Thousands of acts: nobody waits for the disk after each.
                let begin = "PRAGMA synchronous = OFF; BEGIN IMMEDIATE";
                connection.execute_batch(&format!("{begin}; {empty} COMMIT")).unwrap();
                for entry in entries {
                    self.record(entry);
                }
            }
            Self::Postgres(database) => {
                let acts: Vec<String> = entries.iter().map(statement).collect();
                database.query(&format!("{empty}{}", acts.join(";"))).unwrap();
            }
        }
    }
}

/// One act, in a single statement of Postgres.
fn statement(entry: &Entry) -> String {
    let json = serde_json::to_string(entry).unwrap().replace('\'', "''");
    let until = entry.until().map(|until| until.as_millis().to_string());
    let until = until.unwrap_or_else(|| "NULL".to_owned());
    let at = NOW.as_millis();
    format!(
        "WITH raised AS (UPDATE revocation_log SET seq = seq + 1 RETURNING seq)
         INSERT INTO revocations (seq, at, until, entry)
         SELECT seq, {at}, {until}, '{json}' FROM raised RETURNING seq"
    )
}

impl Truth for Apart {
    type Feed = HttpFeed;

    fn feed(&self) -> HttpFeed {
        // Two gateways, in turn.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let line = if turn.is_multiple_of(2) { &self.line } else { &self.other_line };
        HttpFeed::new(line.clone())
    }

    async fn write(&self, entry: Entry) -> u64 {
        self.rows.lock().record(&entry)
    }

    async fn restore(&self, log_id: &str, entries: Vec<Entry>) {
        self.rows.lock().replace(log_id, &entries);
    }
}

fn run<B: Future>(behaviour: B) -> B::Output {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(behaviour)
}

mod on_sqlite {
    kernel::revocation_feed_conformance!(super::Apart::on_sqlite().await, super::run);
}

mod on_postgres {
    kernel::revocation_feed_conformance!(super::Apart::on_postgres().await, super::run);
}

#[test]
fn a_row_is_told_with_the_time_of_its_act() {
    run(async {
        let apart = Apart::on_postgres().await;
        let mut feed = apart.feed();
        let mut follower = Follower::new(Arc::default());
        let entry = || Entry::Key { kid: "it's k1".to_owned() };
        for seq in 1..=2 {
            assert_eq!(apart.write(entry()).await, seq);
            follower.catch_up(&mut feed, NOW).await.unwrap();
            assert_eq!(follower.position().unwrap().seq, seq);
        }
        let rows = feed.rows_after(1, NOW).await.unwrap();
        assert_eq!((rows[0].seq, rows[0].at, &rows[0].entry), (2, NOW, &entry()));
    });
}

/// Far longer than an answer takes, and less than is waited for news.
const AT_ONCE: Duration = Duration::from_secs(8);

#[test]
fn news_end_the_wait_and_without_news_it_ends_by_itself() {
    run(async {
        let apart = Apart::on_sqlite().await;
        let mut feed = apart.feed();
        let here = feed.position().await.unwrap();
        let wait = kernel::fleet::WAIT_MAX;
        let elsewhere = Position { seq: here.seq + 7, ..here.clone() };
        let told = timeout(AT_ONCE, feed.wait_for_news(&elsewhere, wait)).await.unwrap();
        assert_eq!(told.unwrap(), here);
        let waiting = async { feed.wait_for_news(&here, wait).await.unwrap().seq };
        let act = async {
            tokio::task::yield_now().await;
            apart.write(Entry::Key { kid: "k1".to_owned() }).await
        };
        let (told, written) = timeout(AT_ONCE, async { tokio::join!(waiting, act) }).await.unwrap();
        assert_eq!(told, written);
        let (here, briefly) = (Position { seq: written, ..here }, Duration::from_millis(20));
        assert_eq!(feed.wait_for_news(&here, briefly).await.unwrap(), here);
    });
}

#[test]
fn a_feed_without_anybody_at_the_other_end_is_lost_and_one_that_is_not_known_says_so() {
    run(async {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let gone = config(&format!("[fleet]\ntoken = \"{TOKEN}\"\nadmin_url = \"http://{free}\""));
        let gone = gone.fleet.unwrap();
        let line = Line::new(gone.gateway.as_ref().unwrap()).unwrap();
        let lost = HttpFeed::new(line).position().await.unwrap_err();
        assert!(matches!(lost, FeedLost::Unreachable(_)), "{lost}");

        let apart = Apart::on_sqlite().await;
        let there = format!("{:?}", apart.line);
        assert!(!there.contains(TOKEN), "{there}");
        let Some((_, url)) = there.split_once("http://") else { unreachable!() };
        let url = url.split('"').next().unwrap();
        let other = TOKEN.replace('t', "T");
        let text = format!("[fleet]\ntoken = \"{other}\"\nadmin_url = \"http://{url}\"");
        let stranger = config(&text).fleet.unwrap();
        let line = Line::new(stranger.gateway.as_ref().unwrap()).unwrap();
        let refused = HttpFeed::new(line).position().await.unwrap_err();
        assert!(matches!(refused, FeedLost::Answer(_)), "{refused}");
    });
}
