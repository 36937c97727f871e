//! The cache of verified tokens: what a signature check costs is paid once per token.
//!
//! Keyed by the whole token, so that no collision can hand over another's claims, and bounded in
//! bytes. A hit says only that the signature held: times, revocation, audience and scopes are
//! checked anew at each use.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use parking_lot::Mutex;

use crate::time::Timestamp;

/// What one entry costs beside its token's text, in bytes: slot, index, claims.
pub const ENTRY_OVERHEAD_BYTES: usize = 768;

const SHARDS: usize = 16;

/// Verified tokens by their text, each with a `V` made from it.
///
/// When a shard is full, the entry that was not asked for since the hand last passed goes first
/// (CLOCK, Corbató 1968), expired ones before any other.
pub struct VerifiedTokens<V> {
    hasher: RandomState,
    shards: Box<[Mutex<Shard<V>>]>,
    shard_bytes_max: usize,
}

struct Shard<V> {
    index: HashTable<u32>,
    slots: Vec<Slot<V>>,
    hand: usize,
    bytes: usize,
    swept_at_s: u64,
}

struct Slot<V> {
    hash: u64,
    token: Box<str>,
    value: Arc<V>,
    expires_at_s: u64,
    asked_for: bool,
}

impl<V> Slot<V> {
    fn bytes(&self) -> usize {
        self.token.len() + ENTRY_OVERHEAD_BYTES
    }
}

impl<V> VerifiedTokens<V> {
    /// An empty cache of at most `bytes_max` bytes; 0 keeps nothing.
    pub fn new(bytes_max: usize) -> Self {
        let shard = || {
            Mutex::new(Shard {
                index: HashTable::new(),
                slots: Vec::new(),
                hand: 0,
                bytes: 0,
                swept_at_s: 0,
            })
        };
        Self {
            hasher: RandomState::default(),
            shards: (0..SHARDS).map(|_| shard()).collect(),
            shard_bytes_max: bytes_max / SHARDS,
        }
    }

    /// What was kept for exactly this text.
    pub fn get(&self, token: &str) -> Option<Arc<V>> {
        let hash = self.hasher.hash_one(token);
        let mut shard = self.shard(hash).lock();
        let Shard { index, slots, .. } = &mut *shard;
        let at = *index.find(hash, |&at| *slots[at as usize].token == *token)?;
        let slot = &mut slots[at as usize];
        slot.asked_for = true;
        Some(Arc::clone(&slot.value))
    }

    /// Keeps `value` for `token` until there is no room or `expires_at_s` has passed.
    pub fn keep(&self, token: &str, value: Arc<V>, expires_at_s: u64, now: Timestamp) {
        let hash = self.hasher.hash_one(token);
        let slot = Slot { hash, token: token.into(), value, expires_at_s, asked_for: false };
        if slot.bytes() > self.shard_bytes_max {
            return;
        }
        let mut shard = self.shard(hash).lock();
        if shard.bytes + slot.bytes() > self.shard_bytes_max {
            shard.sweep(now.as_secs());
        }
        while shard.bytes + slot.bytes() > self.shard_bytes_max {
            shard.evict_one(now.as_secs());
        }
        shard.put(slot);
    }

    /// Forgets everything: the keys or the issuers changed.
    pub fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.index.clear();
            shard.slots.clear();
            shard.hand = 0;
            shard.bytes = 0;
        }
    }

    /// How many tokens it keeps.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().slots.len()).sum()
    }

    /// Whether it keeps none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes it counts as kept; never over the bound.
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().bytes).sum()
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard<V>> {
        &self.shards[(hash >> 60) as usize]
    }
}

impl<V> Shard<V> {
    fn put(&mut self, slot: Slot<V>) {
        let Self { index, slots, .. } = self;
        let hash = slot.hash;
        // Two requests may have verified the same token at once.
        if let Some(&at) = index.find(hash, |&at| slots[at as usize].token == slot.token) {
            slots[at as usize].value = slot.value;
            return;
        }
        self.bytes += slot.bytes();
        let at = slots.len() as u32;
        slots.push(slot);
        index.insert_unique(hash, at, |&at| slots[at as usize].hash);
    }

    /// Drops what has expired, once a second at most: none expires in between.
    fn sweep(&mut self, now_s: u64) {
        if now_s <= self.swept_at_s {
            return;
        }
        self.swept_at_s = now_s;
        let mut at = 0;
        while at < self.slots.len() {
            if self.slots[at].expires_at_s <= now_s {
                self.remove(at);
            } else {
                at += 1;
            }
        }
    }

    fn evict_one(&mut self, now_s: u64) {
        loop {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            let slot = &mut self.slots[self.hand];
            if slot.asked_for && slot.expires_at_s > now_s {
                slot.asked_for = false;
                self.hand += 1;
                continue;
            }
            return self.remove(self.hand);
        }
    }

    fn remove(&mut self, at: usize) {
        let last = self.slots.len() - 1;
        let gone = self.slots.swap_remove(at);
        self.bytes -= gone.bytes();
        if let Ok(entry) = self.index.find_entry(gone.hash, |&i| i as usize == at) {
            entry.remove();
        }
        if at != last {
            let moved = self.slots[at].hash;
            if let Some(i) = self.index.find_mut(moved, |&i| i as usize == last) {
                *i = at as u32;
            }
        }
    }
}

#[cfg(test)]
mod tests;
