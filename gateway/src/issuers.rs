//! Other issuers whose tokens are taken, and their keys.
//!
//! Keys are fetched at the start and from time to time; a request has them fetched only by naming
//! a key that is not known, and then at most once in [`COOL_DOWN`], after success and failure
//! alike: neither an outage nor a flood of bad tokens becomes a flood at the issuer. Keys that were
//! fetched stay good for [`KEPT_FOR`] while the issuer cannot be reached.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foldhash::fast::RandomState;
use kernel::jwks::JwkSet;
use kernel::time::Timestamp;
use kernel::token::ForeignProfile;
use kernel::token::ForeignRefusal;
use kernel::token::Profile;
use kernel::token::VerifiedToken;
use kernel::token::issuer_of;
use kernel::token::verify_foreign;
use parking_lot::Mutex;
use parking_lot::RwLock;
use tokio::sync::Notify;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::fetch::FetchError;

/// How long nothing is fetched again on behalf of a request.
pub const COOL_DOWN: Duration = Duration::from_secs(30);

/// How often keys are fetched although nobody asks: one that its issuer took back must go.
pub const REFRESH_EVERY: Duration = Duration::from_secs(15 * 60);

/// How long keys are good while no newer ones can be fetched.
pub const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a request waits for a fetch, whoever began it.
pub const WAIT_MAX: Duration = Duration::from_secs(1);

/// The other issuers.
#[derive(Default)]
pub struct Issuers {
    all: Vec<Issuer>,
    by_name: HashMap<Box<str>, usize, RandomState>,
}

/// One of them.
pub struct Issuer {
    profile: ForeignProfile,
    url: String,
    keys: RwLock<Kept>,
    /// Raised whenever the keys change.
    version: AtomicU64,
    pace: Mutex<Pace>,
    wanted: Notify,
    /// Changes after each fetch.
    fetched: watch::Sender<()>,
    succeeded: AtomicU64,
    failed: AtomicU64,
}

/// The keys of the last fetch that succeeded.
#[derive(Clone, Default)]
struct Kept {
    keys: Option<Arc<JwkSet>>,
    /// What they were read from.
    body: Vec<u8>,
    at: Option<Instant>,
}

/// Whether a request may have keys fetched.
#[derive(Clone, Copy)]
enum Pace {
    Free,
    UnderWay,
    CoolingUntil(Instant),
}

/// How an issuer stands, for the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerStanding {
    /// Its name.
    pub issuer: Arc<str>,
    /// How many fetches succeeded.
    pub succeeded: u64,
    /// How many did not.
    pub failed: u64,
    /// How many keys are known.
    pub keys: usize,
    /// How long ago they were fetched; `None`: never, or too long ago.
    pub age: Option<Duration>,
}

impl Issuers {
    /// As the configuration has them; no keys yet.
    pub fn new(configured: &[config::Issuer]) -> Self {
        let all: Vec<Issuer> = configured.iter().map(Issuer::new).collect();
        let names = all.iter().enumerate();
        let by_name = names.map(|(index, issuer)| ((*issuer.profile.issuer).into(), index));
        Self { by_name: by_name.collect(), all }
    }

    /// The issuer that `token` says is its own, if it is one of these.
    pub fn of(&self, token: &str) -> Option<usize> {
        if self.all.is_empty() {
            return None;
        }
        self.by_name.get(&*issuer_of(token)?).copied()
    }

    /// All of them, in the order of the configuration.
    pub fn all(&self) -> &[Issuer] {
        &self.all
    }
}

impl Issuer {
    fn new(configured: &config::Issuer) -> Self {
        Self {
            profile: ForeignProfile {
                issuer: configured.issuer.as_str().into(),
                audiences: configured.audiences.iter().map(|aud| aud.as_str().into()).collect(),
            },
            url: configured.jwks_url.clone(),
            keys: RwLock::default(),
            version: AtomicU64::new(0),
            pace: Mutex::new(Pace::Free),
            wanted: Notify::new(),
            fetched: watch::Sender::new(()),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// Where its keys are.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Raised whenever its keys change.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether any keys are known.
    pub fn has_keys(&self) -> bool {
        self.keys.read().keys.is_some()
    }

    /// Verifies a token of this issuer; gives the version of the keys that vouch for it as well.
    ///
    /// # Errors
    /// [`ForeignRefusal`].
    pub fn verify(
        &self,
        token: &str,
        ours: &Profile,
        now: Timestamp,
    ) -> Result<(VerifiedToken, u64), ForeignRefusal> {
        let (keys, version) = {
            let kept = self.keys.read();
            (kept.keys.clone(), self.version())
        };
        let keys = keys.as_deref().map_or(&[][..], JwkSet::keys);
        Ok((verify_foreign(token, keys, &self.profile, ours, now)?, version))
    }

    /// Has the keys fetched, unless that was done a moment ago; waits for it, but not for long.
    /// Gives whether there was a fetch to wait for, and it is over.
    pub async fn look_for_keys(&self) -> bool {
        let mut fetched = self.fetched.subscribe();
        if !self.want() {
            return false;
        }
        let waited = tokio::time::timeout(WAIT_MAX, fetched.changed()).await;
        matches!(waited, Ok(Ok(())))
    }

    /// Fetches the keys with `fetch`: at once, then whenever they are wanted or old.
    pub async fn keep<F>(&self, fetch: impl Fn() -> F)
    where
        F: Future<Output = Result<Vec<u8>, FetchError>>,
    {
        self.want();
        loop {
            tokio::select! {
                () = self.wanted.notified() => {}
                () = tokio::time::sleep(self.due_in()) => {
                    // Wanted by the time of day; what a request began meanwhile is the same.
                    *self.pace.lock() = Pace::UnderWay;
                }
            }
            let outcome = fetch().await;
            self.note(outcome);
        }
    }

    /// Whether a fetch is under way, be it begun here.
    fn want(&self) -> bool {
        let mut pace = self.pace.lock();
        match *pace {
            Pace::UnderWay => true,
            Pace::CoolingUntil(until) if Instant::now() < until => false,
            Pace::Free | Pace::CoolingUntil(_) => {
                *pace = Pace::UnderWay;
                self.wanted.notify_one();
                true
            }
        }
    }

    /// When to fetch although nobody asks: no later than the keys become too old.
    fn due_in(&self) -> Duration {
        let left = self.keys.read().at.map(|at| KEPT_FOR.saturating_sub(at.elapsed()));
        // What is too old already is not fetched more often for it.
        left.filter(|left| !left.is_zero()).map_or(REFRESH_EVERY, |left| left.min(REFRESH_EVERY))
    }

    fn note(&self, outcome: Result<Vec<u8>, FetchError>) {
        let read = outcome.and_then(|body| {
            let keys = JwkSet::parse(&body)?;
            Ok((body, keys))
        });
        let issuer = &self.profile.issuer;
        match read {
            Ok((body, keys)) => {
                self.succeeded.fetch_add(1, Ordering::Relaxed);
                self.take_over(body, keys);
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                // At most once in the cool-down, so no flood of lines either.
                tracing::warn!(issuer = %issuer, "the keys of `{issuer}` were not fetched: {error}");
                self.forget_what_is_too_old();
            }
        }
        *self.pace.lock() = Pace::CoolingUntil(Instant::now() + COOL_DOWN);
        self.fetched.send_replace(());
    }

    fn take_over(&self, body: Vec<u8>, keys: JwkSet) {
        let issuer = &self.profile.issuer;
        let mut kept = self.keys.write();
        kept.at = Some(Instant::now());
        if kept.keys.is_some() && kept.body == body {
            return;
        }
        tracing::info!(
            issuer = %issuer,
            "`{issuer}` has {} keys that we verify with, and {} others",
            keys.keys().len(),
            keys.left_out()
        );
        *kept = Kept { keys: Some(Arc::new(keys)), body, at: kept.at };
        // Under the lock: whoever takes the new keys takes the new version with them.
        self.version.fetch_add(1, Ordering::Release);
    }

    fn forget_what_is_too_old(&self) {
        let mut kept = self.keys.write();
        if kept.keys.is_some() && kept.at.is_none_or(|at| at.elapsed() >= KEPT_FOR) {
            let issuer = &self.profile.issuer;
            tracing::error!(issuer = %issuer, "the keys of `{issuer}` are too old, and are used no more");
            *kept = Kept::default();
            self.version.fetch_add(1, Ordering::Release);
        }
    }

    /// How it stands.
    pub fn standing(&self) -> IssuerStanding {
        let kept = self.keys.read();
        IssuerStanding {
            issuer: Arc::clone(&self.profile.issuer),
            succeeded: self.succeeded.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            keys: kept.keys.as_ref().map_or(0, |keys| keys.keys().len()),
            age: kept.at.map(|at| at.elapsed()),
        }
    }
}

#[cfg(test)]
mod tests;
