//! One part of the keys, under one lock.

use std::num::NonZeroU32;

use hashbrown::HashTable;
use kernel::limit::Outcome;
use kernel::limit::Quota;
use kernel::limit::Tally;
use kernel::time::Timestamp;

use crate::key::KeptKey;
use crate::key::Key;

/// After how many calls to a shard a few of its buckets are looked at, new keys or not.
const CALLS_PER_SWEEP: u32 = 64;

/// How many buckets then are.
const SWEPT_PER_PASS: usize = 4;

/// How many keys are compared to find one that makes room.
const CANDIDATES: usize = 8;

/// Keys and their counters, and a cursor that goes round them.
#[derive(Debug, Default)]
pub(super) struct Shard {
    table: HashTable<Box<Entry>>,
    cursor: usize,
    calls: u32,
}

/// One key and its counters; boxed, so that a table with room to grow costs little.
#[derive(Debug)]
pub(super) struct Entry {
    name: KeptKey,
    /// Of the window used most, when last a call was admitted.
    used_percent: u8,
    pub(super) tally: Tally,
}

/// What kind of key made room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    /// One that had run empty.
    Empty,
    /// One that still counted.
    Counting,
}

impl Entry {
    /// An entry for `key`, with nothing used.
    pub(super) fn of(key: &Key<'_>) -> Box<Self> {
        Box::new(Self { name: key.kept(), used_percent: 0, tally: Tally::new() })
    }

    pub(super) fn key(&self) -> Key<'_> {
        self.name.key()
    }

    pub(super) fn acquire(
        &mut self,
        quotas: &[Quota],
        cost: NonZeroU32,
        now: Timestamp,
    ) -> Outcome {
        let outcome = self.tally.acquire(quotas, cost, now);
        if outcome.admitted {
            let used = outcome.windows().iter().map(|w| {
                let (limit, left) = (u64::from(w.limit), u64::from(w.remaining));
                ((limit - left) * 100 / limit) as u8
            });
            self.used_percent = used.max().unwrap_or_default();
        }
        outcome
    }
}

impl Shard {
    pub(super) fn find(&mut self, hash: u64, key: &Key<'_>) -> Option<&mut Entry> {
        let entry = self.table.find_mut(hash, |entry| entry.key() == *key)?;
        Some(&mut **entry)
    }

    /// Adds a key that is not there yet.
    pub(super) fn insert(&mut self, hash: u64, entry: Box<Entry>, rehash: impl Fn(&Entry) -> u64) {
        self.table.insert_unique(hash, entry, |entry| rehash(entry));
    }

    /// Notes that a call comes by; every now and then, sweeps a little. Says how many keys went.
    pub(super) fn pass(&mut self, now: Timestamp) -> usize {
        self.calls = self.calls.wrapping_add(1);
        if self.calls.is_multiple_of(CALLS_PER_SWEEP) {
            return self.sweep(SWEPT_PER_PASS, now);
        }
        0
    }

    /// Looks at the next few buckets and drops the keys that have run empty; says how many.
    pub(super) fn sweep(&mut self, buckets: usize, now: Timestamp) -> usize {
        let mut dropped = 0;
        for _ in 0..buckets.min(self.buckets()) {
            let bucket = self.advance();
            match self.table.get_bucket_mut(bucket) {
                Some(entry) if now >= entry.tally.empty_from() => {
                    self.remove(bucket);
                    dropped += 1;
                }
                Some(entry) => entry.tally.release_empty(now),
                None => {}
            }
        }
        dropped
    }

    /// Drops one key: the next that has run empty, or else the one least used of the next few;
    /// of equals, the one to run empty first.
    pub(super) fn displace(&mut self, now: Timestamp) -> Option<Victim> {
        let mut least: Option<((u8, Timestamp), usize)> = None;
        let mut candidates = 0;
        for _ in 0..self.buckets() {
            let bucket = self.advance();
            let Some(entry) = self.table.get_bucket(bucket) else {
                continue;
            };
            let empty_from = entry.tally.empty_from();
            if now >= empty_from {
                self.remove(bucket);
                return Some(Victim::Empty);
            }
            let rank = ((entry.used_percent, empty_from), bucket);
            least = least.map_or(Some(rank), |least| Some(least.min(rank)));
            candidates += 1;
            if candidates == CANDIDATES {
                break;
            }
        }
        let (_, bucket) = least?;
        self.remove(bucket);
        Some(Victim::Counting)
    }

    #[cfg(test)]
    pub(super) fn keys(&self) -> usize {
        self.table.len()
    }

    /// What the keys cost, the allocator's own apart.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        let entries = self
            .table
            .iter()
            .map(|entry| size_of::<Entry>() + entry.name.heap_bytes() + entry.tally.heap_bytes());
        self.table.allocation_size() + entries.sum::<usize>()
    }

    /// How many places the table has, taken or not.
    pub(super) fn buckets(&self) -> usize {
        self.table.num_buckets()
    }

    fn advance(&mut self) -> usize {
        let bucket = self.cursor;
        self.cursor = (bucket + 1) % self.buckets().max(1);
        bucket
    }

    fn remove(&mut self, bucket: usize) {
        if let Ok(entry) = self.table.get_bucket_entry(bucket) {
            entry.remove();
        }
    }
}
