//! Revocations: what is refused although signature and `exp` are good.
//!
//! The truth is a table with contiguous sequence numbers; feeds carry its rows; every edge keeps
//! them in a [`RevocationSet`] and asks no store about a request. Applying is idempotent and does
//! not depend on order, so feeds may run side by side.

pub mod feed;

pub mod follower;

#[doc(hidden)]
pub mod conformance;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;
use parking_lot::RwLock;
use serde::Deserialize;
use serde::Serialize;

use crate::caller::Caller;
use crate::caller::Override;
use crate::keys::KEYS_MAX;
use crate::tier::Tier;
use crate::time::Timestamp;
use crate::token::TokenKey;
use crate::token::VerifiedToken;

/// The most entries of tokens and sessions that one set holds by default, and the most of users.
pub const ENTRIES_MAX: usize = 4_000_000;

/// The most distrusted keys that one set remembers: 64 generations of a full ring.
pub const DISTRUSTED_KEYS_MAX: usize = 64 * KEYS_MAX;

const SHARDS: usize = 64;

/// One revocation.
///
/// `until` is when the last token that it could match is refused for its age anyway, the leeway
/// included; from then on it may be forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// One token.
    Token {
        /// Which.
        key: TokenKey,
        /// Its `exp`, and the leeway.
        #[serde(with = "millis")]
        until: Timestamp,
    },
    /// All tokens of a session.
    Session {
        /// The session's id.
        id: String,
        /// When its last access token expires.
        #[serde(with = "millis")]
        until: Timestamp,
    },
    /// All tokens of a user from before an epoch.
    UserEpoch {
        /// The user's id.
        user_id: String,
        /// The first epoch that is good again.
        min_epoch: u64,
        /// When the last older token expires.
        #[serde(with = "millis")]
        until: Timestamp,
    },
    /// A user's present tier, scopes and activity, over what the tokens say.
    UserOverride {
        /// The user's id.
        user_id: String,
        /// The tier now, if it changed.
        tier: Option<Tier>,
        /// The scopes now, if they changed.
        scopes: Option<Vec<String>>,
        /// Whether the user may come in at all.
        active: bool,
        /// When the last token from before the change expires.
        #[serde(with = "millis")]
        until: Timestamp,
    },
    /// A key that is no longer trusted.
    Key {
        /// The key's id.
        kid: String,
    },
}

impl Entry {
    /// From when it can refuse nothing any more; `None`: it always can.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Token { until, .. }
            | Self::Session { until, .. }
            | Self::UserEpoch { until, .. }
            | Self::UserOverride { until, .. } => Some(*until),
            Self::Key { .. } => None,
        }
    }
}

/// A revocation with its place in the log: contiguous, from 1, in the order of commits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its place.
    pub seq: u64,
    /// What it says.
    pub entry: Entry,
}

/// Why a token is refused although it is good by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// It, its session, its user's earlier tokens, or its key were revoked.
    #[error("revoked")]
    Revoked,
    /// The set cannot answer: no snapshot yet, or over its bound. Refusing is the safe answer.
    #[error("the revocation set cannot answer")]
    Unavailable,
}

/// All live revocations, in memory; checked on every request without any lock that is ever held
/// for long.
pub struct RevocationSet {
    seeds: (u64, u64),
    marks: Box<[RwLock<HashMap<u64, u32>>]>,
    marks_len: AtomicUsize,
    entries_max: usize,
    users: RwLock<HashMap<TokenKey, UserMark>>,
    users_len: AtomicUsize,
    kids: RwLock<Vec<String>>,
    kids_len: AtomicUsize,
    applied: AtomicU64,
    heard_ms: AtomicU64,
    has_snapshot: AtomicBool,
    overflowed: AtomicBool,
}

#[derive(Clone, Default)]
struct UserMark {
    min_epoch: u64,
    active_seq: u64,
    inactive: bool,
    over: Option<Arc<Override>>,
    until: Timestamp,
}

impl Default for RevocationSet {
    fn default() -> Self {
        Self::with_entries_max(ENTRIES_MAX)
    }
}

impl RevocationSet {
    /// An empty set of at most `entries_max` entries of tokens and sessions, and as many of users;
    /// it answers from the first snapshot on.
    pub fn with_entries_max(entries_max: usize) -> Self {
        let seed = uuid::Uuid::new_v4().as_u64_pair();
        Self {
            seeds: (seed.0 | 1, seed.1 | 1),
            marks: (0..SHARDS).map(|_| RwLock::default()).collect(),
            marks_len: AtomicUsize::new(0),
            entries_max,
            users: RwLock::default(),
            users_len: AtomicUsize::new(0),
            kids: RwLock::default(),
            kids_len: AtomicUsize::new(0),
            applied: AtomicU64::new(0),
            heard_ms: AtomicU64::new(0),
            has_snapshot: AtomicBool::new(false),
            overflowed: AtomicBool::new(false),
        }
    }

    /// The one way to a [`Caller`]: `token` passes if nothing that names it is revoked.
    ///
    /// # Errors
    /// [`RevocationError::Revoked`]; [`RevocationError::Unavailable`] before the first snapshot
    /// and after the bound was passed.
    pub fn check(&self, token: Arc<VerifiedToken>) -> Result<Caller, RevocationError> {
        if !self.has_snapshot() || self.overflowed.load(Ordering::Relaxed) {
            return Err(RevocationError::Unavailable);
        }
        if self.marks_len.load(Ordering::Acquire) > 0 {
            let session_marked = token.session_key().is_some_and(|key| self.is_marked(key));
            if session_marked || self.is_marked(token.key()) {
                return Err(RevocationError::Revoked);
            }
        }
        if self.kids_len.load(Ordering::Acquire) > 0
            && self.kids.read().iter().any(|kid| **kid == **token.kid())
        {
            return Err(RevocationError::Revoked);
        }
        let mut over = None;
        if self.users_len.load(Ordering::Acquire) > 0
            && let Some(user) = self.users.read().get(&token.user_key())
        {
            // A token of the replaced system has no epoch: it is older than every one.
            let epoch = token.claims().epoch.unwrap_or(0);
            if user.inactive || epoch < user.min_epoch {
                return Err(RevocationError::Revoked);
            }
            over.clone_from(&user.over);
        }
        Ok(Caller::unrevoked(token, over))
    }

    /// Takes in everything that holds at `seq`: a feed's snapshot.
    pub fn apply_snapshot(&self, seq: u64, rows: &[Row], now: Timestamp) {
        self.apply(rows, now);
        self.applied.fetch_max(seq, Ordering::AcqRel);
        self.heard_ms.fetch_max(now.as_millis(), Ordering::AcqRel);
        self.has_snapshot.store(true, Ordering::Release);
    }

    /// Takes in rows of the tail; again, in any order, does no harm.
    pub fn apply(&self, rows: &[Row], now: Timestamp) {
        for row in rows {
            self.apply_one(row, now);
            self.applied.fetch_max(row.seq, Ordering::AcqRel);
        }
    }

    /// Prepares for the rows of another log, whose numbers say nothing of whether its acts came
    /// before or after those of the last one: its word on a user's tier, scopes and activity
    /// counts, however low its number. Everything else that was revoked stays revoked.
    pub fn begin_another_log(&self) {
        for user in self.users.write().values_mut() {
            user.active_seq = 0;
        }
    }

    /// The highest sequence number that was taken in.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// When the set was last known to be complete; the epoch itself before the first snapshot.
    pub fn heard_at(&self) -> Timestamp {
        Timestamp::from_millis(self.heard_ms.load(Ordering::Acquire))
    }

    /// Whether a first snapshot was taken in and the bound holds.
    pub fn is_ready(&self) -> bool {
        self.has_snapshot() && !self.overflowed.load(Ordering::Relaxed)
    }

    /// How many entries it holds, those included that may be forgotten.
    pub fn len(&self) -> usize {
        let marks = self.marks_len.load(Ordering::Relaxed);
        marks + self.users_len.load(Ordering::Relaxed) + self.kids_len.load(Ordering::Relaxed)
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what no token can match any more at `now`. Run it now and then.
    pub fn forget_expired(&self, now: Timestamp) {
        for shard in &self.marks {
            let mut shard = shard.write();
            let before = shard.len();
            shard.retain(|_, until_s| u64::from(*until_s) > now.as_secs());
            self.marks_len.fetch_sub(before - shard.len(), Ordering::AcqRel);
        }
        let mut users = self.users.write();
        users.retain(|_, user| user.until > now);
        self.users_len.store(users.len(), Ordering::Release);
    }

    /// After the bound was passed: whether enough has expired for everything to be taken in anew.
    /// Where it has, the set answers nothing until the next whole snapshot.
    pub fn start_over(&self, now: Timestamp) -> bool {
        if !self.overflowed.load(Ordering::Acquire) {
            return false;
        }
        self.forget_expired(now);
        let has_room = self.marks_len.load(Ordering::Acquire) < self.entries_max
            && self.users_len.load(Ordering::Acquire) < self.entries_max
            && self.kids_len.load(Ordering::Acquire) < DISTRUSTED_KEYS_MAX;
        if has_room {
            // In this order: at no instant does it answer for entries that it lost.
            self.has_snapshot.store(false, Ordering::Release);
            self.overflowed.store(false, Ordering::Release);
        }
        has_room
    }

    fn has_snapshot(&self) -> bool {
        self.has_snapshot.load(Ordering::Acquire)
    }

    fn apply_one(&self, row: &Row, now: Timestamp) {
        match &row.entry {
            Entry::Token { key, until } => self.mark(*key, *until, now),
            Entry::Session { id, until } => self.mark(TokenKey::of_session(id), *until, now),
            Entry::UserEpoch { user_id, min_epoch, until } => {
                self.mark_user(user_id, *until, now, |user| {
                    user.min_epoch = user.min_epoch.max(*min_epoch);
                })
            }
            Entry::UserOverride { user_id, tier, scopes, active, until } => {
                self.mark_user(user_id, *until, now, |user| {
                    // The later act counts, whichever of them arrives last.
                    if row.seq >= user.active_seq {
                        user.active_seq = row.seq;
                        user.inactive = !active;
                        user.over = Some(Arc::new(Override {
                            tier: tier.clone(),
                            scopes: scopes
                                .as_ref()
                                .map(|list| list.iter().map(|s| Arc::from(s.as_str())).collect()),
                        }));
                    }
                })
            }
            Entry::Key { kid } => self.distrust(kid),
        }
    }

    fn mark(&self, key: TokenKey, until: Timestamp, now: Timestamp) {
        if until <= now {
            return;
        }
        // Rounded up: an entry may outlive its token, never the other way about.
        let until_s = u32::try_from(until.as_secs().saturating_add(1)).unwrap_or(u32::MAX);
        let mark = self.fingerprint(key);
        if self.put(mark, until_s) {
            return;
        }
        self.forget_expired(now);
        if !self.put(mark, until_s) {
            self.overflowed.store(true, Ordering::Relaxed);
        }
    }

    /// Gives `false` where there is no room.
    fn put(&self, mark: u64, until_s: u32) -> bool {
        let mut shard = self.marks[shard_of(mark)].write();
        if let Some(known) = shard.get_mut(&mark) {
            *known = (*known).max(until_s);
            return true;
        }
        // Counted under the shard's lock, here and in `forget_expired`: `check` looks for nothing
        // where the count is 0, so it must never lag behind what is held.
        let more = |len| (len < self.entries_max).then_some(len + 1);
        let has_room =
            self.marks_len.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok();
        if has_room {
            shard.insert(mark, until_s);
        }
        has_room
    }

    fn mark_user(
        &self,
        user_id: &str,
        until: Timestamp,
        now: Timestamp,
        change: impl FnOnce(&mut UserMark),
    ) {
        let key = TokenKey::of_user(user_id);
        let mut users = self.users.write();
        if !users.contains_key(&key) {
            // An old row that comes again must not stand where a later one was forgotten.
            if until <= now {
                return;
            }
            if users.len() >= self.entries_max {
                users.retain(|_, user| user.until > now);
                self.users_len.store(users.len(), Ordering::Release);
            }
            if users.len() >= self.entries_max {
                self.overflowed.store(true, Ordering::Relaxed);
                return;
            }
        }
        let user = users.entry(key).or_default();
        user.until = user.until.max(until);
        change(user);
        self.users_len.store(users.len(), Ordering::Release);
    }

    fn distrust(&self, kid: &str) {
        let mut kids = self.kids.write();
        if !kids.iter().any(|known| known == kid) {
            if kids.len() >= DISTRUSTED_KEYS_MAX {
                self.overflowed.store(true, Ordering::Relaxed);
                return;
            }
            kids.push(kid.to_owned());
        }
        self.kids_len.store(kids.len(), Ordering::Release);
    }

    fn is_marked(&self, key: TokenKey) -> bool {
        let mark = self.fingerprint(key);
        self.marks[shard_of(mark)].read().contains_key(&mark)
    }

    /// 64 bits under secret seeds: nobody outside can choose two keys that share one, and a false
    /// refusal has probability n / 2^64.
    fn fingerprint(&self, key: TokenKey) -> u64 {
        let (high, low) = key.halves();
        let product = u128::from(high ^ self.seeds.0) * u128::from(low ^ self.seeds.1);
        (product >> 64) as u64 ^ product as u64 ^ high.rotate_left(32)
    }
}

fn shard_of(mark: u64) -> usize {
    (mark >> 58) as usize
}

mod millis {
    use serde::Deserialize;
    use serde::Deserializer;
    use serde::Serializer;

    use crate::time::Timestamp;

    pub(super) fn serialize<S: Serializer>(t: &Timestamp, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(t.as_millis())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Timestamp, D::Error> {
        u64::deserialize(d).map(Timestamp::from_millis)
    }
}

#[cfg(test)]
mod tests;
