//! The accounts of all subjects, by name, bounded.

use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use kernel::limit::Quota;
use kernel::limit::Subject;
use parking_lot::Mutex;

use crate::digest::Digest;
use crate::key::Key;
use crate::redis::quotas::RedisQuotas;
use crate::shared::account::Account;

const SHARDS: usize = 256;

/// An account that nobody has used for so long, and that holds no tokens, is closed.
pub(super) const IDLE_AFTER: Duration = Duration::from_secs(60);

/// How many accounts are looked at to find one that makes room.
const CANDIDATES: usize = 16;

/// All accounts.
#[derive(Debug)]
pub(super) struct Ledger {
    shards: Box<[Padded]>,
    hasher: RandomState,
    per_shard_max: usize,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded(Mutex<Shard>);

#[derive(Debug, Default)]
struct Shard {
    table: HashTable<Box<Account>>,
    cursor: usize,
}

impl Ledger {
    /// An empty one of at most about `accounts_max` accounts.
    pub(super) fn new(accounts_max: NonZeroUsize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Padded::default()).collect(),
            hasher: RandomState::default(),
            per_shard_max: accounts_max.get().div_ceil(SHARDS).max(1),
        }
    }

    /// Does something with the account of `subject`, which is opened where there is none.
    pub(super) fn with<R>(
        &self,
        subject: &Subject<'_>,
        up: Duration,
        act: impl FnOnce(&mut Account) -> R,
    ) -> R {
        let digest = Digest::if_long(subject);
        let key = Key::of(subject, digest.as_ref());
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash).lock();
        if let Some(account) = shard.table.find_mut(hash, |account| account.name.key() == key) {
            return act(account);
        }
        if shard.table.len() >= self.per_shard_max {
            shard.make_room(up);
        }
        let mut account = Box::new(Account::new(key.kept()));
        let result = act(&mut account);
        shard.table.insert_unique(hash, account, |a| self.hasher.hash_one(a.name.key()));
        result
    }

    /// Reads the account of `subject`, if there is one.
    pub(super) fn read<R>(
        &self,
        subject: &Subject<'_>,
        look: impl FnOnce(&Account) -> R,
    ) -> Option<R> {
        let digest = Digest::if_long(subject);
        let key = Key::of(subject, digest.as_ref());
        let hash = self.hasher.hash_one(key);
        let shard = self.shard(hash).lock();
        shard.table.find(hash, |account| account.name.key() == key).map(|account| look(account))
    }

    /// Closes accounts that nobody uses.
    pub(super) fn sweep(&self, up: Duration) {
        for Padded(shard) in &self.shards {
            shard.lock().table.retain(|account| !account.is_idle(up, IDLE_AFTER));
        }
    }

    /// Takes all tokens out: whose, by their name in `store`, of which quotas, and how many.
    pub(super) fn close(
        &self,
        store: &RedisQuotas,
        up: Duration,
    ) -> Vec<(String, Arc<[Quota]>, u32)> {
        let mut open = Vec::new();
        for Padded(shard) in &self.shards {
            for account in shard.lock().table.iter_mut() {
                if let Some((quotas, left)) = account.close(up) {
                    open.push((store.name_of_key(&account.name.key()), quotas, left));
                }
            }
        }
        open
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        &self.shards[(hash >> 40) as usize % SHARDS].0
    }
}

impl Shard {
    /// Closes one account: one of a few that holds no tokens, if there is one. Tokens that are lost
    /// with it stay counted, so the subject gets less, and never more.
    fn make_room(&mut self, up: Duration) {
        let buckets = self.table.num_buckets();
        let (mut chosen, mut candidates) = (None, 0);
        for _ in 0..buckets {
            let bucket = self.cursor;
            self.cursor = (bucket + 1) % buckets.max(1);
            let Some(account) = self.table.get_bucket(bucket) else { continue };
            candidates += 1;
            // An answer that is still to come must find the account that it was asked for.
            if !account.is_asking() {
                chosen = chosen.or(Some(bucket));
            }
            if account.is_idle(up, Duration::ZERO) {
                chosen = Some(bucket);
                break;
            }
            if candidates == CANDIDATES {
                break;
            }
        }
        if let Some(Ok(entry)) = chosen.map(|bucket| self.table.get_bucket_entry(bucket)) {
            entry.remove();
        }
    }
}
