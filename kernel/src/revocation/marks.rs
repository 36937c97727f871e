//! Marks of revoked tokens and sessions: 64 bits and an expiry each, looked up on every request.

use std::num::NonZeroU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use parking_lot::RwLock;

mod sorted;

use self::sorted::Sorted;
use crate::time::Timestamp;
use crate::token::TokenKey;

const SHARDS: usize = 64;

/// At most so many marks, spread over shards so that no lock is held for long.
pub(super) struct Marks {
    seeds: (u64, u64),
    shards: Box<[RwLock<Sorted>]>,
    len: AtomicUsize,
    max: usize,
}

impl Marks {
    /// Room for `max`.
    pub(super) fn new(max: usize) -> Self {
        let seed = uuid::Uuid::new_v4().as_u64_pair();
        Self {
            seeds: (seed.0 | 1, seed.1 | 1),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            len: AtomicUsize::new(0),
            max,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Whether there is room for one more.
    pub(super) fn has_room(&self) -> bool {
        self.len() < self.max
    }

    /// Whether `key` is marked.
    pub(super) fn contains(&self, key: TokenKey) -> bool {
        let mark = self.fingerprint(key);
        self.shards[shard_of(mark)].read().contains(mark)
    }

    /// Marks `key` until `until`; gives `false` where there is no room.
    pub(super) fn put(&self, key: TokenKey, until: Timestamp) -> bool {
        // Rounded up: an entry may outlive its token, never the other way about.
        let until_s = u32::try_from(until.as_secs().saturating_add(1)).unwrap_or(u32::MAX);
        let mark = self.fingerprint(key);
        let mut shard = self.shards[shard_of(mark)].write();
        if let Some(known) = shard.get_mut(mark) {
            *known = (*known).max(until_s);
            return true;
        }
        // Counted under the shard's lock, here and in `forget_expired`: who finds the count at 0
        // looks for nothing, so it must never lag behind what is held.
        let more = |len| (len < self.max).then_some(len + 1);
        let has_room = self.len.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok();
        if has_room {
            shard.insert(mark, until_s);
        }
        has_room
    }

    /// Forgets those of long ago.
    pub(super) fn forget_expired(&self, now: Timestamp) {
        for shard in &self.shards {
            let mut shard = shard.write();
            let before = shard.len();
            shard.retain(|until_s| u64::from(until_s) > now.as_secs());
            self.len.fetch_sub(before - shard.len(), Ordering::AcqRel);
        }
    }

    /// 64 bits under secret seeds: nobody outside can choose two keys that share one, and a false
    /// refusal has probability n / 2^64.
    fn fingerprint(&self, key: TokenKey) -> NonZeroU64 {
        let (high, low) = key.halves();
        let product = u128::from(high ^ self.seeds.0) * u128::from(low ^ self.seeds.1);
        let mark = (product >> 64) as u64 ^ product as u64 ^ high.rotate_left(32);
        // 0 is no mark.
        NonZeroU64::new(mark).unwrap_or(NonZeroU64::MIN)
    }
}

fn shard_of(mark: NonZeroU64) -> usize {
    (mark.get() >> 58) as usize
}
