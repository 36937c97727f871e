//! Many write at once.

use std::collections::BTreeMap;
use std::future::Future;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use super::START;
use super::Truth;
use super::edge::Edge;
use super::edge::pause;
use super::entries::session;
use crate::revocation::Entry;

const WRITERS: u64 = 8;

/// Entries each of them writes.
const WRITES: u64 = 12;

/// While an edge follows all the time: no number is given twice or left out, and every row that
/// an act was told of arrives.
pub async fn writers_in_parallel_lose_nothing_and_leave_no_gap(truth: &impl Truth) {
    let mut writers: Vec<_> =
        (0..WRITERS).map(|n| Writer::Writes(Box::pin(write(truth, n)))).collect();
    let mut edge = Edge::new(truth.feed());
    while !poll_fn(|context| Poll::Ready(Writer::all_done(&mut writers, context))).await {
        edge.catch_up(START).await;
        let (rows, _) = edge.all_rows_after(0, START).await;
        assert!(rows.iter().map(|row| row.seq).eq(1..=rows.len() as u64), "a gap");
    }
    edge.catch_up(START).await;

    let all = WRITERS * WRITES;
    let written: BTreeMap<u64, Entry> = writers.into_iter().flat_map(Writer::written).collect();
    assert!(written.keys().copied().eq(1..=all), "each number once: {:?}", written.keys());
    let (rows, _) = edge.all_rows_after(0, START).await;
    let arrived: BTreeMap<u64, Entry> = rows.into_iter().map(|row| (row.seq, row.entry)).collect();
    assert_eq!(arrived, written);
    assert_eq!(edge.set.len() as u64, all);
    assert_eq!(edge.position().map(|at| at.seq), Some(all));
}

async fn write(truth: &impl Truth, writer: u64) -> Vec<(u64, Entry)> {
    let mut written = Vec::new();
    for n in 0..WRITES {
        let entry = session(&format!("{writer}/{n}"));
        written.push((truth.write(entry.clone()).await, entry));
        pause().await;
    }
    written
}

/// Somebody at work beside others in one task: the suite knows no runtime.
enum Writer<W> {
    Writes(Pin<Box<W>>),
    Done(Vec<(u64, Entry)>),
}

impl<W: Future<Output = Vec<(u64, Entry)>>> Writer<W> {
    fn all_done(writers: &mut [Self], context: &mut Context<'_>) -> bool {
        for writer in &mut *writers {
            if let Self::Writes(work) = writer
                && let Poll::Ready(written) = work.as_mut().poll(context)
            {
                *writer = Self::Done(written);
            }
        }
        writers.iter().all(|writer| matches!(writer, Self::Done(_)))
    }

    fn written(self) -> Vec<(u64, Entry)> {
        match self {
            Self::Writes(_) => Vec::new(),
            Self::Done(written) => written,
        }
    }
}
