//! Passwords: hashed by a few threads of their own, below the priority of the proxy.
//!
//! Whether a person exists, is active, or came from another system cannot be told from the work: a
//! wrong password takes one check of every kind of hash there is ([`kinds`]), whoever it is tried on.
//!
//! Modules in reading order; each uses only those above it.

mod prepared;

pub(crate) mod policy;

mod memory;

pub(crate) mod stored;

pub(crate) mod ours;

mod kinds;

mod shares;

#[cfg(test)]
mod tests;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use kernel::random::NoRandomness;
use kernel::secret::Secret;

use self::kinds::Kinds;
use self::memory::KEPT_FOR;
use self::memory::Memory;
use self::policy::NewPassword;
use self::policy::Policy;
use self::prepared::meant;
use self::shares::Shares;
use self::stored::Stored;
use crate::crew::Crew;
use crate::crew::CrewError;
use crate::crew::Rest;
use crate::prefix::Prefix;

/// The longest password, in bytes; a longer one is wrong, after the same work.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// The shortest password that can be set, in characters, where nothing else is configured
/// (NIST SP 800-63B §3.1.1.2).
pub const PASSWORD_CHARS_MIN: usize = 8;

/// How far below the proxy the hashing threads stand, in steps of `nice`.
const NICENESS: i32 = 10;

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// Too many passwords are waiting to be hashed, or too many of one address.
    #[error("the hashing queue is full")]
    Busy,
    /// The work was given up.
    #[error("the hashing did not finish")]
    Lost,
    /// Nothing for a salt.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// A fault within argon2.
    #[error("argon2 failed")]
    Argon2(#[source] argon2::Error),
}

impl From<CrewError> for HashError {
    fn from(error: CrewError) -> Self {
        match error {
            CrewError::Full => Self::Busy,
            CrewError::Lost => Self::Lost,
        }
    }
}

/// What a check found.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The password is right; `rehashed` where the stored hash is not as we make them now.
    Right {
        /// What to store instead.
        rehashed: Option<Secret>,
    },
    /// It is not.
    Wrong,
}

/// The hashing threads, and the rules for what they hash.
pub(crate) struct Passwords {
    crew: Crew<Arc<Memory>>,
    kinds: Arc<Kinds>,
    shares: Shares,
    policy: Policy,
    done: Arc<AtomicU64>,
}

impl Passwords {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`HashError`] where they cannot be started, or the system gives no random bytes.
    pub(crate) fn start(pool: config::Hashing, policy: Policy) -> Result<Self, HashError> {
        let below_the_proxy = || {
            // Linux has a niceness per thread. Not being allowed to step back is no fault.
            let _ = rustix::process::nice(NICENESS);
        };
        let threads = pool.threads.max(1);
        let memory = vec![Arc::<Memory>::default(); threads];
        let rest: Rest<Arc<Memory>> = (KEPT_FOR, |memory| memory.give_back(KEPT_FOR));
        let crew = Crew::start("hash", memory, pool.queue_max, below_the_proxy, Some(rest));
        Ok(Self {
            shares: Shares::of(threads + pool.queue_max),
            crew: crew.map_err(|_| HashError::Lost)?,
            kinds: Arc::new(Kinds::ours_alone()?),
            policy,
            done: Arc::default(),
        })
    }

    /// What a new password must be.
    pub(crate) fn policy(&self) -> Policy {
        self.policy
    }

    /// Hashes `password` for storage, for somebody from `from`; `None`: for the house itself.
    ///
    /// # Errors
    /// [`HashError::Busy`] at once when the queue is full.
    pub(crate) async fn hash(
        &self,
        password: NewPassword,
        from: Option<Prefix>,
    ) -> Result<Secret, HashError> {
        let done = Arc::clone(&self.done);
        self.run(from, move |memory| {
            done.fetch_add(1, Ordering::Relaxed);
            ours::hash(password.expose().as_bytes(), memory)
        })
        .await
    }

    /// Checks `password` against a stored hash, or against nobody's, for somebody from `from`.
    ///
    /// The work is the same in every case but one: a right password is found sooner, and hashed
    /// once more where its hash is out of date.
    ///
    /// # Errors
    /// [`HashError::Busy`] at once when the queue is full, or this prefix has its share of it.
    pub(crate) async fn check(
        &self,
        password: Secret,
        stored: Option<Secret>,
        from: Prefix,
    ) -> Result<Verdict, HashError> {
        let (kinds, done) = (Arc::clone(&self.kinds), Arc::clone(&self.done));
        let judge = move |memory: &Memory| judge(&password, stored.as_ref(), &kinds, &done, memory);
        self.run(Some(from), judge).await
    }

    /// Tells which hashes the table has beside ours: any of each kind will do.
    ///
    /// # Errors
    /// [`HashError::NoRandomness`].
    pub(crate) fn table_has(&self, hashes: &[Secret]) -> Result<(), HashError> {
        let works = hashes.iter().filter_map(|hash| Stored::parse(hash.expose()).ok());
        self.kinds.replace(works.map(|stored| stored.work()))
    }

    /// How many hashes were made or checked.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Keeps one thread busy until `until`'s sender is dropped; `begun` hears when it is.
    #[cfg(test)]
    pub(crate) async fn occupy(
        &self,
        begun: tokio::sync::oneshot::Sender<()>,
        until: std::sync::mpsc::Receiver<()>,
    ) {
        let keep = move |_: &mut Arc<Memory>| {
            let _ = begun.send(());
            let _ = until.recv();
        };
        self.crew.run(keep).await.expect("there is room for it");
    }

    async fn run<T: Send + 'static>(
        &self,
        from: Option<Prefix>,
        job: impl FnOnce(&Memory) -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashError> {
        let place = match from {
            Some(prefix) => Some(self.shares.take(prefix).ok_or(HashError::Busy)?),
            None => None,
        };
        let job = move |memory: &mut Arc<Memory>| {
            // Given back when the work is done, not when its client gives up waiting for it.
            let _place = place;
            job(memory)
        };
        self.crew.run(job).await?
    }
}

fn judge(
    password: &Secret,
    stored: Option<&Secret>,
    kinds: &Kinds,
    done: &AtomicU64,
    memory: &Memory,
) -> Result<Verdict, HashError> {
    let stored = stored.and_then(readable);
    if let Some(stored) = &stored {
        kinds.learn(stored.work())?;
    }
    let others = kinds.others_than(stored.as_ref().map(Stored::work));
    let is_of = |stored: &Stored, bytes: &[u8]| {
        done.fetch_add(1, Ordering::Relaxed);
        stored.is_of(bytes, memory)
    };
    let fits = password.expose().len() <= PASSWORD_BYTES_MAX;
    let meant = meant(password);
    for meaning in &meant {
        let bytes = meaning.expose().as_bytes();
        let bytes = &bytes[..bytes.len().min(PASSWORD_BYTES_MAX)];
        if stored.as_ref().is_some_and(|stored| is_of(stored, bytes)) && fits {
            return right(&meant, meaning, stored.as_ref(), memory);
        }
        for nobodys in &others {
            black_box(is_of(nobodys, bytes));
        }
    }
    Ok(Verdict::Wrong)
}

/// A right password is hashed anew where its hash is of another kind or spelling than ours.
fn right(
    meant: &[Secret],
    meaning: &Secret,
    stored: Option<&Stored>,
    memory: &Memory,
) -> Result<Verdict, HashError> {
    let spelled = &meant[0];
    let is_current = stored.is_some_and(Stored::is_current) && meaning == spelled;
    let rehashed = match is_current {
        true => None,
        false => Some(ours::hash(spelled.expose().as_bytes(), memory)?),
    };
    Ok(Verdict::Right { rehashed })
}

/// A hash that cannot be checked is nobody's: no answer tells it apart.
fn readable(stored: &Secret) -> Option<Stored> {
    Stored::parse(stored.expose())
        .inspect_err(|error| {
            tracing::error!(
                "a stored password hash is not checked; its owner cannot sign in: {error}"
            );
        })
        .ok()
}
