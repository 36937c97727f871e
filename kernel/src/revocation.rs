//! Revocations: what is refused although signature and `exp` are good.
//!
//! The truth is a table with contiguous sequence numbers; feeds carry its rows; every edge keeps
//! them in a [`RevocationSet`] and asks no store about a request. Applying is idempotent and does
//! not depend on order, so feeds may run side by side.

mod entry;

mod marks;

pub mod feed;

pub mod frame;

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

pub use self::entry::Entry;
pub use self::entry::Row;
use self::marks::Marks;
use crate::caller::Caller;
use crate::caller::Override;
use crate::keys::KEYS_MAX;
use crate::time::Timestamp;
use crate::token::InForce;
use crate::token::TokenKey;

/// The most entries of tokens and sessions that one set holds by default, and the most of users.
pub const ENTRIES_MAX: usize = 4_000_000;

/// The most distrusted keys that one set remembers: 64 generations of a full ring.
pub const DISTRUSTED_KEYS_MAX: usize = 64 * KEYS_MAX;

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
    marks: Marks,
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
        Self {
            marks: Marks::new(entries_max),
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
    pub fn check(&self, token: InForce) -> Result<Caller, RevocationError> {
        if !self.has_snapshot() || self.overflowed.load(Ordering::Relaxed) {
            return Err(RevocationError::Unavailable);
        }
        if self.marks.len() > 0 {
            let session_marked = token.session_key().is_some_and(|key| self.marks.contains(key));
            if session_marked || self.marks.contains(token.key()) {
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
        self.heard_ms.store(now.as_millis(), Ordering::Release);
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

    /// Notes that the set was complete at `at`, if that is news.
    pub(crate) fn was_complete(&self, at: Timestamp) {
        self.heard_ms.fetch_max(at.as_millis(), Ordering::AcqRel);
    }

    /// Whether a first snapshot was taken in and the bound holds.
    pub fn is_ready(&self) -> bool {
        self.has_snapshot() && !self.overflowed.load(Ordering::Relaxed)
    }

    /// How many entries it holds, those included that may be forgotten.
    pub fn len(&self) -> usize {
        self.marks.len()
            + self.users_len.load(Ordering::Relaxed)
            + self.kids_len.load(Ordering::Relaxed)
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what no token can match any more at `now`. Run it now and then.
    pub fn forget_expired(&self, now: Timestamp) {
        self.marks.forget_expired(now);
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
        let has_room = self.marks.has_room()
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
        // Once something was lost everything is read anew, so nothing is gained by looking for room
        // at every row that follows.
        if self.marks.put(key, until) || self.overflowed.load(Ordering::Relaxed) {
            return;
        }
        self.forget_expired(now);
        if !self.marks.put(key, until) {
            self.overflowed.store(true, Ordering::Relaxed);
        }
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
            if users.len() >= self.entries_max && !self.overflowed.load(Ordering::Relaxed) {
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
}

#[cfg(test)]
mod tests;
