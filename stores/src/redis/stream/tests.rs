//! The stream against a real Redis.

mod edges;
mod entries;
mod lags;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use config::Redis;
use kernel::revocation::Entry;
use kernel::revocation::Row;
use kernel::revocation::feed::FeedLost;
use kernel::revocation::feed::Position;
use kernel::revocation::feed::ROWS_READ_MAX;
use kernel::revocation::feed::RevocationFeed;
use kernel::revocation::frame::Frame;
use kernel::revocation::frame::Heartbeat;
use kernel::secret::Secret;
use kernel::time::Timestamp;
use kernel::time::now;
use parking_lot::Mutex;
use test_support::redis::RedisServer;
use test_support::redis::Reply;
use tokio::sync::Semaphore;

use super::publisher::Placed;
use super::publisher::StreamPublisher;
use crate::redis::connection::Connection;

const LOG: &str = "a1";
const KEY: &str = "{doorward:revocations:a1}";

/// A log as SQL keeps it, and the feed of it; cheap to clone.
#[derive(Clone)]
struct Log {
    rows: Arc<Mutex<(String, Vec<Row>)>>,
    asked: Arc<AtomicU64>,
    /// Questions are answered while it has permits, and those for rows while this has, too.
    answers: Arc<Semaphore>,
    row_answers: Arc<Semaphore>,
    asked_for_rows: Arc<AtomicU64>,
    is_away: Arc<AtomicU64>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            rows: Arc::new(Mutex::new((LOG.to_owned(), Vec::new()))),
            asked: Arc::default(),
            answers: Arc::new(Semaphore::new(1)),
            row_answers: Arc::new(Semaphore::new(1)),
            asked_for_rows: Arc::default(),
            is_away: Arc::default(),
        }
    }
}

impl Log {
    fn write(&self) -> Row {
        self.write_at(now())
    }

    fn write_at(&self, at: Timestamp) -> Row {
        let rows = &mut self.rows.lock().1;
        let row = Row { at, ..row(rows.len() as u64 + 1) };
        rows.push(row.clone());
        row
    }

    fn write_many(&self, count: usize) -> Vec<Row> {
        (0..count).map(|_| self.write()).collect()
    }

    fn restore(&self, log_id: &str, count: u64) {
        *self.rows.lock() = (log_id.to_owned(), (1..=count).map(row).collect());
    }

    fn last(&self) -> u64 {
        self.rows.lock().1.len() as u64
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    fn asked_for_rows(&self) -> u64 {
        self.asked_for_rows.load(Ordering::Relaxed)
    }

    async fn answer(&self) -> Result<(), FeedLost> {
        let _answers = self.answers.acquire().await;
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.is_away.load(Ordering::Relaxed) {
            0 => Ok(()),
            _ => Err(FeedLost::Unreachable("the test wants it to fail".into())),
        }
    }
}

impl RevocationFeed for Log {
    async fn position(&mut self) -> Result<Position, FeedLost> {
        self.answer().await?;
        let (log_id, rows) = &*self.rows.lock();
        Ok(Position { log_id: log_id.clone(), seq: rows.len() as u64 })
    }

    async fn rows_after(&mut self, after: u64, _: Timestamp) -> Result<Vec<Row>, FeedLost> {
        self.asked_for_rows.fetch_add(1, Ordering::Relaxed);
        let _answers = self.row_answers.acquire().await;
        self.answer().await?;
        let rows = &self.rows.lock().1;
        Ok(rows.iter().filter(|row| row.seq > after).take(ROWS_READ_MAX).cloned().collect())
    }
}

fn row(seq: u64) -> Row {
    let until = now().plus(Duration::from_secs(3600));
    Row { seq, at: now(), entry: Entry::Session { id: format!("session {seq}"), until } }
}

fn frame(rows: &[Row]) -> Frame {
    let [first, .., last] = [&rows[0], &rows[rows.len() - 1]];
    Frame { log_id: LOG.to_owned(), first: first.seq, last: last.seq, rows: rows.to_vec() }
}

fn heartbeat(last: u64, at: Timestamp) -> Heartbeat {
    Heartbeat { log_id: LOG.to_owned(), last, at }
}

fn at_url(url: String) -> Redis {
    Redis::at(Secret::new(url))
}

fn publisher(server: &RedisServer) -> StreamPublisher {
    publisher_at(server.url())
}

fn publisher_at(url: String) -> StreamPublisher {
    let at = at_url(url);
    StreamPublisher::new(&Connection::open(&at, None).expect("a URL"), &at.namespace)
}

/// Asks until Redis can be reached, as it cannot at the very start.
async fn publish(publisher: &StreamPublisher, rows: &[Row]) -> Placed {
    loop {
        if let Ok(placed) = publisher.frame(frame(rows)).await {
            return placed;
        }
        tokio::task::yield_now().await;
    }
}

async fn beat(publisher: &StreamPublisher, last: u64, at: Timestamp) -> Placed {
    loop {
        if let Ok(placed) = publisher.heartbeat(heartbeat(last, at)).await {
            return placed;
        }
        tokio::task::yield_now().await;
    }
}

fn ask(server: &RedisServer, words: &[&str]) -> Reply {
    server.command(words).expect("Redis answers")
}

/// The ids of all entries.
fn ids(server: &RedisServer) -> Vec<String> {
    let Reply::Array(entries) = ask(server, &["XRANGE", KEY, "-", "+"]) else {
        panic!("no stream");
    };
    let id = |entry: &Reply| match entry {
        Reply::Array(parts) => match &parts[0] {
            Reply::Bulk(Some(id)) => id.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    entries.iter().map(id).collect()
}
