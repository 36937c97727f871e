//! A log in memory and its feed, against the suite that every feed must pass.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use parking_lot::Mutex;

use crate::revocation::Entry;
use crate::revocation::Row;
use crate::revocation::conformance::Truth;
use crate::revocation::feed::FeedLost;
use crate::revocation::feed::Position;
use crate::revocation::feed::ROWS_READ_MAX;
use crate::revocation::feed::RevocationFeed;
use crate::specimen::NOW;
use crate::time::Timestamp;

crate::revocation_feed_conformance!(MemoryLog::default(), to_its_end);

#[derive(Clone, Default)]
pub(super) struct MemoryLog(Arc<Mutex<(String, Vec<Row>)>>);

impl Truth for MemoryLog {
    type Feed = Self;

    fn feed(&self) -> Self {
        self.clone()
    }

    async fn write(&self, entry: Entry) -> u64 {
        let (_, rows) = &mut *self.0.lock();
        let seq = rows.len() as u64 + 1;
        rows.push(Row { seq, at: NOW, entry });
        seq
    }

    async fn restore(&self, log_id: &str, entries: Vec<Entry>) {
        let rows = entries.into_iter().zip(1..).map(|(entry, seq)| Row { seq, at: NOW, entry });
        *self.0.lock() = (log_id.to_owned(), rows.collect());
    }
}

impl RevocationFeed for MemoryLog {
    async fn position(&mut self) -> Result<Position, FeedLost> {
        let (log_id, rows) = &*self.0.lock();
        Ok(Position { log_id: log_id.clone(), seq: rows.len() as u64 })
    }

    async fn rows_after(&mut self, after: u64, now: Timestamp) -> Result<Vec<Row>, FeedLost> {
        let (_, rows) = &*self.0.lock();
        let live = |row: &&Row| row.entry.until().is_none_or(|until| until > now);
        let rows = rows.iter().filter(|row| row.seq > after).filter(live);
        Ok(rows.take(ROWS_READ_MAX).cloned().collect())
    }
}

/// Runs what waits for nothing outside.
pub(super) fn to_its_end<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
