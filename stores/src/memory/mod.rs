//! Counters in this process's memory.
//!
//! On the hot path of every limited request: one hash, one uncontended lock, no allocation once a
//! subject is known. Keys are spread over shards by their hash, so that threads seldom meet.
//!
//! The number of keys is bounded. A key whose windows have all run empty is dropped as calls
//! come by, a few looked at each time; there is never a scan of everything. When the bound is
//! reached by keys that all still count, a new one takes the place of another: of a few looked at,
//! the one that has used the smallest part of its quota. The forgotten subject may then use that
//! part once more. That is the safe answer: refusing new subjects would let one attacker with many
//! addresses shut everyone out, and dropping the oldest would let him wash his own spent counter
//! away, which here outlasts the nearly unused ones he would flood us with.

mod shard;
pub mod status;
#[cfg(test)]
mod tests;

use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use foldhash::fast::RandomState;
use kernel::limit::Outcome;
use kernel::limit::Quota;
use kernel::limit::QuotaStore;
use kernel::limit::Subject;
use kernel::limit::Tally;
use kernel::lost::StoreLost;
use kernel::time::Timestamp;
use parking_lot::Mutex;
use parking_lot::MutexGuard;

use crate::digest::Digest;
use crate::key::Key;
use crate::memory::shard::Entry;
use crate::memory::shard::Shard;
use crate::memory::shard::Victim;

/// How many keys a store holds unless told otherwise: some 130 MB with one window lightly used.
pub const KEYS_MAX: NonZeroUsize = NonZeroUsize::new(1_000_000).expect("a million is not zero");

const SHARDS_MAX: usize = 256;

/// Fewer shards where there would be fewer keys in each than this.
const KEYS_PER_SHARD_MIN: usize = 64;

/// Buckets looked at, for keys that have run empty, whenever a key comes in.
const SWEPT_PER_NEW_KEY: usize = 8;

/// Buckets looked at in one go by [`MemoryQuotas::sweep`], while their shard is locked.
const SWEPT_PER_LOCK: usize = 256;

/// Counters of requests by subject, in memory.
#[derive(Debug)]
pub struct MemoryQuotas {
    shards: Box<[Padded]>,
    hasher: RandomState,
    keys_max: usize,
    /// Keys held, and places promised to keys about to come in.
    keys: AtomicUsize,
    displaced: AtomicU64,
}

/// A shard on cache lines of its own: two, for processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded(Mutex<Shard>);

impl Default for MemoryQuotas {
    fn default() -> Self {
        Self::new(KEYS_MAX)
    }
}

impl MemoryQuotas {
    /// An empty store of at most `keys_max` keys.
    pub fn new(keys_max: NonZeroUsize) -> Self {
        let shards = (keys_max.get() / KEYS_PER_SHARD_MIN).clamp(1, SHARDS_MAX);
        let shards = 1 << shards.ilog2();
        Self {
            shards: (0..shards).map(|_| Padded::default()).collect(),
            hasher: RandomState::default(),
            keys_max: keys_max.get(),
            keys: AtomicUsize::new(0),
            displaced: AtomicU64::new(0),
        }
    }

    /// Counts `cost` requests, if all `quotas` have room: [`QuotaStore::acquire`] without waiting.
    pub fn acquire_now(
        &self,
        subject: Subject<'_>,
        quotas: &[Quota],
        cost: NonZeroU32,
        now: Timestamp,
    ) -> Outcome {
        if quotas.is_empty() {
            return Outcome::new(true, []);
        }
        let digest = Digest::if_long(&subject);
        let key = Key::of(&subject, digest.as_ref());
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash).lock();
        self.forget(shard.pass(now));
        match shard.find(hash, &key) {
            Some(entry) => entry.acquire(quotas, cost, now),
            None => self.admit_first(shard, hash, &key, (quotas, cost, now)),
        }
    }

    /// Takes back an admitted call: [`QuotaStore::refund`] without waiting.
    pub fn refund_now(
        &self,
        subject: Subject<'_>,
        quotas: &[Quota],
        cost: NonZeroU32,
        now: Timestamp,
    ) {
        let digest = Digest::if_long(&subject);
        let key = Key::of(&subject, digest.as_ref());
        let hash = self.hasher.hash_one(key);
        if let Some(entry) = self.shard(hash).lock().find(hash, &key) {
            entry.tally.refund(quotas, cost, now);
        }
    }

    /// Says how `subject` stands, changing nothing: [`QuotaStore::peek`] without waiting.
    pub fn peek_now(&self, subject: Subject<'_>, quotas: &[Quota], now: Timestamp) -> Outcome {
        let digest = Digest::if_long(&subject);
        let seen = self.peek_key(&Key::of(&subject, digest.as_ref()), quotas, now);
        seen.unwrap_or_else(|| Tally::new().peek(quotas, now))
    }

    /// The same for the subject of `key`; `None` where nothing is counted of it.
    pub(crate) fn peek_key(
        &self,
        key: &Key<'_>,
        quotas: &[Quota],
        now: Timestamp,
    ) -> Option<Outcome> {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash).lock();
        shard.find(hash, key).map(|entry| entry.tally.peek(quotas, now))
    }

    /// Drops every key whose windows have run empty at `now`.
    ///
    /// Calls do this as they come by; a timer may do it for a store that nobody calls. No shard is
    /// locked for longer than a few microseconds.
    pub fn sweep(&self, now: Timestamp) {
        for Padded(shard) in &self.shards {
            let mut seen = 0;
            loop {
                let mut shard = shard.lock();
                self.forget(shard.sweep(SWEPT_PER_LOCK, now));
                seen += SWEPT_PER_LOCK;
                if seen >= shard.buckets() {
                    break;
                }
            }
        }
    }

    /// How many keys are held.
    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// How many keys had to make room while they still counted; if this grows, the maximum of keys
    /// is too low for the traffic.
    pub fn displaced(&self) -> u64 {
        self.displaced.load(Ordering::Relaxed)
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        &self.shards[self.home(hash)].0
    }

    /// The shard's index, from bits of the hash that the table inside does not look at.
    fn home(&self, hash: u64) -> usize {
        (hash >> 40) as usize & (self.shards.len() - 1)
    }

    fn forget(&self, keys: usize) {
        if keys > 0 {
            self.keys.fetch_sub(keys, Ordering::Relaxed);
        }
    }

    /// The first call of a subject; a refused one leaves nothing behind.
    fn admit_first<'a>(
        &'a self,
        mut shard: MutexGuard<'a, Shard>,
        hash: u64,
        key: &Key<'_>,
        (quotas, cost, now): (&[Quota], NonZeroU32, Timestamp),
    ) -> Outcome {
        let mut entry = Entry::of(key);
        let outcome = entry.acquire(quotas, cost, now);
        if !outcome.admitted {
            return outcome;
        }
        self.forget(shard.sweep(SWEPT_PER_NEW_KEY, now));
        let mut promised = self.promise() || self.displace(&mut shard, now);
        while !promised {
            // The store is full, and none of it is in this shard: room is made in another one,
            // and never with two locks held.
            drop(shard);
            let others = (1..self.shards.len()).map(|i| self.home(hash) ^ i);
            promised = { others }.any(|i| self.displace(&mut self.shards[i].0.lock(), now));
            promised = promised || self.promise();
            shard = self.shard(hash).lock();
        }
        if let Some(entry) = shard.find(hash, key) {
            // Someone else let the subject in while the lock was away.
            self.forget(1);
            return entry.acquire(quotas, cost, now);
        }
        shard.insert(hash, entry, |entry| self.hasher.hash_one(entry.key()));
        outcome
    }

    /// Claims a place for one key more, if there is one.
    fn promise(&self) -> bool {
        let one_more = |keys| (keys < self.keys_max).then_some(keys + 1);
        let claimed = self.keys.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        claimed.is_ok()
    }

    /// Claims the place of a key in this shard, if it holds any.
    fn displace(&self, shard: &mut Shard, now: Timestamp) -> bool {
        match shard.displace(now) {
            Some(Victim::Empty) => true,
            Some(Victim::Counting) => {
                self.displaced.fetch_add(1, Ordering::Relaxed);
                true
            }
            None => false,
        }
    }
}

impl QuotaStore for MemoryQuotas {
    async fn acquire(
        &self,
        subject: Subject<'_>,
        quotas: &[Quota],
        cost: NonZeroU32,
        now: Timestamp,
    ) -> Result<Outcome, StoreLost> {
        Ok(self.acquire_now(subject, quotas, cost, now))
    }

    async fn refund(
        &self,
        subject: Subject<'_>,
        quotas: &[Quota],
        cost: NonZeroU32,
        now: Timestamp,
    ) -> Result<(), StoreLost> {
        self.refund_now(subject, quotas, cost, now);
        Ok(())
    }

    async fn peek(
        &self,
        subject: Subject<'_>,
        quotas: &[Quota],
        now: Timestamp,
    ) -> Result<Outcome, StoreLost> {
        Ok(self.peek_now(subject, quotas, now))
    }
}
