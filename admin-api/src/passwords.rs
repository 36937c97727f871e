//! Passwords: hashed by a few threads of their own, below the priority of the proxy.
//!
//! Argon2id with 19 MiB, two passes, one lane (OWASP's first choice). Whether a person exists
//! cannot be told from the work: a name that nobody has is checked against a hash that nobody knows.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use argon2::Algorithm;
use argon2::Argon2;
use argon2::Params;
use argon2::Version;
use argon2::password_hash;
use argon2::password_hash::PasswordHasher;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use kernel::secret::Secret;
use ring::rand::SecureRandom;
use ring::rand::SystemRandom;

use crate::crew::Crew;
use crate::crew::CrewError;

/// The longest password, in bytes; a longer one is wrong, after the same work.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// The shortest password that can be set, in characters (NIST SP 800-63B §3.1.1.2).
pub const PASSWORD_CHARS_MIN: usize = 8;

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;

/// How far below the proxy the hashing threads stand, in steps of `nice`.
const NICENESS: i32 = 10;

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// Too many passwords are waiting to be hashed.
    #[error("the hashing queue is full")]
    Busy,
    /// The work was given up.
    #[error("the hashing did not finish")]
    Lost,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// A fault within argon2.
    #[error("argon2 failed")]
    Argon2(#[source] password_hash::Error),
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

/// The hashing threads.
pub(crate) struct Passwords {
    crew: Crew<()>,
    nobodys: Secret,
    done: Arc<AtomicU64>,
}

impl Passwords {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`HashError`] where they cannot be started, or the system gives no random bytes.
    pub(crate) fn start(pool: config::Hashing) -> Result<Self, HashError> {
        let below_the_proxy = || {
            // Linux has a niceness per thread. Not being allowed to step back is no fault.
            let _ = rustix::process::nice(NICENESS);
        };
        let threads = vec![(); pool.threads.max(1)];
        Ok(Self {
            crew: Crew::start("hash", threads, pool.queue_max, below_the_proxy)
                .map_err(|_| HashError::Lost)?,
            nobodys: nobodys()?,
            done: Arc::default(),
        })
    }

    /// Hashes `password` for storage.
    ///
    /// # Errors
    /// [`HashError::Busy`] at once when the queue is full.
    pub(crate) async fn hash(&self, password: Secret) -> Result<Secret, HashError> {
        let done = Arc::clone(&self.done);
        let job = move |(): &mut ()| {
            done.fetch_add(1, Ordering::Relaxed);
            hash(password.expose().as_bytes())
        };
        self.crew.run(job).await?
    }

    /// Checks `password` against a stored hash, or against nobody's.
    ///
    /// The work is the same in every case but one: a right password whose hash is out of date
    /// is hashed once more.
    ///
    /// # Errors
    /// [`HashError::Busy`] at once when the queue is full.
    pub(crate) async fn check(
        &self,
        password: Secret,
        stored: Option<Secret>,
    ) -> Result<Verdict, HashError> {
        let fits = password.expose().len() <= PASSWORD_BYTES_MAX;
        let stored = stored.filter(|_| fits);
        let nobodys = self.nobodys.clone();
        let done = Arc::clone(&self.done);
        let job = move |(): &mut ()| {
            done.fetch_add(1, Ordering::Relaxed);
            match stored.map(|stored| check(&password, &stored)) {
                Some(Err(HashError::Argon2(error))) => {
                    // A hash that cannot be checked is nobody's: no answer tells it apart.
                    tracing::error!(%error, "a stored password hash cannot be checked; its owner cannot sign in");
                }
                Some(verdict) => return verdict,
                None => {}
            }
            check(&password, &nobodys).map(|_| Verdict::Wrong)
        };
        self.crew.run(job).await?
    }

    /// How many passwords were hashed or checked.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Keeps one thread busy until the sender is dropped.
    #[cfg(test)]
    pub(crate) async fn occupy(&self, until: std::sync::mpsc::Receiver<()>) {
        let _ = self.crew.run(move |()| until.recv()).await;
    }
}

fn check(password: &Secret, stored: &Secret) -> Result<Verdict, HashError> {
    let bytes = password.expose().as_bytes();
    let bytes = &bytes[..bytes.len().min(PASSWORD_BYTES_MAX)];
    let stored = PasswordHash::new(stored.expose())
        .map_err(|_| HashError::Argon2(password_hash::Error::PasswordInvalid))?;
    match argon2().verify_password(bytes, &stored) {
        Ok(()) => Ok(Verdict::Right {
            rehashed: if is_current(&stored) { None } else { Some(hash(bytes)?) },
        }),
        Err(password_hash::Error::PasswordInvalid) => Ok(Verdict::Wrong),
        Err(error) => Err(HashError::Argon2(error)),
    }
}

fn is_current(stored: &PasswordHash) -> bool {
    let params = Params::try_from(stored);
    stored.algorithm == Algorithm::Argon2id.ident()
        && params.is_ok_and(|p| (p.m_cost(), p.t_cost(), p.p_cost()) == (MEMORY_KIB, PASSES, LANES))
}

fn hash(password: &[u8]) -> Result<Secret, HashError> {
    let mut salt = [0; SALT_BYTES];
    random(&mut salt)?;
    let hash = argon2().hash_password_with_salt(password, &salt).map_err(HashError::Argon2)?;
    Ok(Secret::new(hash.to_string()))
}

/// A hash that no password is known for: of our parameters, so that it takes as long to check.
fn nobodys() -> Result<Secret, HashError> {
    let (mut salt, mut output) = ([0; SALT_BYTES], [0; Params::DEFAULT_OUTPUT_LEN]);
    random(&mut salt)?;
    random(&mut output)?;
    let (salt, output) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(output));
    let parameters = format!("m={MEMORY_KIB},t={PASSES},p={LANES}");
    Ok(Secret::new(format!("$argon2id$v=19${parameters}${salt}${output}")))
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .expect("the constants above are within argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn random(bytes: &mut [u8]) -> Result<(), HashError> {
    SystemRandom::new().fill(bytes).map_err(|_| HashError::NoRandomness)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: config::Hashing = config::Hashing { threads: 1, queue_max: 4 };

    async fn verdict(password: &str, stored: Option<Secret>) -> Verdict {
        let passwords = Passwords::start(POOL).unwrap();
        let verdict = passwords.check(Secret::new(password), stored).await;
        assert_eq!(passwords.done(), 1);
        verdict.unwrap()
    }

    #[test]
    fn a_hash_is_argon2id_with_19_mib_two_passes_and_one_lane() {
        let hash = hash(b"correct horse").unwrap();
        assert!(hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    }

    #[tokio::test]
    async fn a_right_password_is_right_and_is_not_hashed_again() {
        let stored = hash(b"correct horse").unwrap();
        let right = verdict("correct horse", Some(stored)).await;
        assert!(matches!(right, Verdict::Right { rehashed: None }));
    }

    #[tokio::test]
    async fn a_password_hashed_more_cheaply_is_hashed_anew() {
        let cheap =
            Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).unwrap());
        let stored = cheap.hash_password_with_salt(b"correct horse", b"0123456789abcdef");
        let stored = Secret::new(stored.unwrap().to_string());
        let Verdict::Right { rehashed: Some(new) } = verdict("correct horse", Some(stored)).await
        else {
            panic!("not rehashed")
        };
        assert!(new.expose().contains("m=19456"));
    }

    #[tokio::test]
    async fn nobody_has_a_password() {
        assert!(matches!(verdict("", None).await, Verdict::Wrong));
    }

    #[tokio::test]
    async fn a_hash_of_an_unknown_kind_is_as_much_work_as_any() {
        for stored in [
            "",
            "$5$rounds=5000$usesomesillystri$KqJWpanXZHKq2BOB43TSaY",
            "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
            "$argon2id$v=19$m=19456,t=2,p=1",
            "$argon2id$v=19$m=1,t=0,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
        ] {
            let verdict = verdict("correct horse", Some(Secret::new(stored))).await;
            assert!(matches!(verdict, Verdict::Wrong), "{stored}");
        }
    }

    #[test]
    fn nobodys_hash_takes_as_long_to_check_as_one_of_ours() {
        let (nobodys, ours) = (nobodys().unwrap(), hash(b"correct horse").unwrap());
        let cost = |hash: &Secret| {
            let hash = PasswordHash::new(hash.expose()).unwrap();
            assert!(is_current(&hash));
            hash.hash.map(|output| output.as_bytes().len())
        };
        assert_eq!(cost(&nobodys), cost(&ours));
    }

    #[tokio::test]
    async fn a_password_of_1024_bytes_is_the_longest() {
        let longest = "a".repeat(PASSWORD_BYTES_MAX);
        let stored = hash(longest.as_bytes()).unwrap();
        let right = verdict(&longest, Some(stored.clone())).await;
        assert!(matches!(right, Verdict::Right { .. }));
        let longer = format!("{longest}a");
        assert!(matches!(verdict(&longer, Some(stored)).await, Verdict::Wrong));
    }
}
