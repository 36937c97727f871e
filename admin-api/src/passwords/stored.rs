//! Hashes as they lie in the table: our own and those of other systems, read within bounds.
//!
//! | what | from |
//! |---|---|
//! | `$argon2id$…`, also `argon2i` and `argon2d` | ourselves; the PHC string format |
//! | `$2a$`, `$2b$`, `$2y$` | bcrypt, whatever wrote it |
//! | `$bcrypt-sha256$2b,12$…` | passlib before 1.7.3: bcrypt over base64(SHA-256) |
//! | `$bcrypt-sha256$v=2,t=2b,r=12$…` | passlib since: bcrypt over base64(HMAC-SHA-256 under the salt) |
//!
//! A hash names its own price. One that came with an import must not be able to name any price:
//! past the bounds here it is not checked at all.

use argon2::Algorithm;
use argon2::Argon2;
use argon2::Params;
use argon2::Version;
use argon2::password_hash::phc::Output;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::phc::Salt;
use base64::Engine;
use base64::alphabet::BCRYPT;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::GeneralPurposeConfig;
use base64::engine::general_purpose::STANDARD;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::digest;
use ring::hmac;
use subtle::ConstantTimeEq;

use super::memory::Memory;
use super::ours;

/// The highest cost of bcrypt that is checked: some two seconds. A step up doubles it.
pub(crate) const BCRYPT_COST_MAX: u32 = 15;

/// The lowest cost there is.
pub(crate) const BCRYPT_COST_MIN: u32 = 4;

/// The most memory that one check of argon2 may take, in KiB.
pub(crate) const ARGON2_KIB_MAX: u32 = 256 * 1024;

/// The most memory that one check of argon2 may pass over, in KiB: memory times passes.
pub(crate) const ARGON2_KIB_PASSED_MAX: u64 = 1024 * 1024;

/// The most lanes of argon2.
pub(crate) const ARGON2_LANES_MAX: u32 = 16;

/// What bcrypt looks at of a password, in bytes; what follows counts for nothing.
const BCRYPT_BYTES: usize = 72;

/// Old writers left bits set in the last character of a salt that stand for nothing.
const BCRYPT_64: GeneralPurpose = GeneralPurpose::new(
    &BCRYPT,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_encode_padding(false),
);

/// Why a stored hash cannot be checked. Its text shows nothing of the hash but its price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// No kind that is known here.
    #[error("a hash of an unknown kind")]
    Kind,
    /// Of a known kind, and broken.
    #[error("a broken hash")]
    Shape,
    /// Too dear to check.
    #[error("a bcrypt hash of cost {0}; the bounds are {BCRYPT_COST_MIN} and {BCRYPT_COST_MAX}")]
    Cost(u32),
    /// Too dear to check.
    #[error(
        "an argon2 hash of {memory_kib} KiB, {passes} passes, {lanes} lanes; the bounds are \
         {ARGON2_KIB_MAX} KiB, {ARGON2_KIB_PASSED_MAX} KiB over all passes, {ARGON2_LANES_MAX} lanes"
    )]
    Price {
        /// Memory.
        memory_kib: u32,
        /// Passes over it.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
}

/// What checking a hash takes: equal for two hashes if and only if the work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// Argon2 of any variant.
    Argon2 {
        /// Memory.
        memory_kib: u32,
        /// Passes over it.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// Bcrypt, whatever goes before it.
    Bcrypt {
        /// The logarithm of the rounds.
        cost: u32,
    },
}

/// A hash that can be checked.
#[derive(Debug)]
pub(crate) struct Stored(Kind);

#[derive(Debug)]
enum Kind {
    Argon2(Box<OfArgon2>),
    Bcrypt(Bcrypt),
}

#[derive(Debug)]
struct OfArgon2 {
    algorithm: Algorithm,
    argon2: Argon2<'static>,
    salt: Salt,
    output: Output,
}

#[derive(Debug)]
struct Bcrypt {
    cost: u32,
    salt: [u8; 16],
    digest: [u8; 23],
    before: Before,
}

/// What a password goes through before bcrypt.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    Sha256,
    HmacSha256,
}

impl Stored {
    /// Reads a hash.
    ///
    /// # Errors
    /// [`Unreadable`] for unknown kinds, broken hashes, and those past the bounds.
    pub(crate) fn parse(text: &str) -> Result<Self, Unreadable> {
        if text.starts_with("$argon2") {
            return argon2_of(text).map(Self);
        }
        let bcrypt = match text.strip_prefix("$bcrypt-sha256$") {
            Some(rest) => passlib_of(rest)?,
            None => crypt_of(text)?,
        };
        Ok(Self(Kind::Bcrypt(bcrypt)))
    }

    /// A hash that takes `work` to check, and that no password is known for.
    pub(crate) fn of_nobody(work: Work, random: &[u8; 48]) -> Result<Self, Unreadable> {
        let (salt, output) = random.split_at(16);
        match work {
            Work::Argon2 { memory_kib, passes, lanes } => {
                let (salt, output) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(output));
                Self::parse(&format!(
                    "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${output}"
                ))
            }
            Work::Bcrypt { cost } => {
                let salt = BCRYPT_64.encode(salt);
                let output = BCRYPT_64.encode(&output[..23]);
                Self::parse(&format!("$2b${cost:02}${salt}{output}"))
            }
        }
    }

    /// What checking it takes.
    pub(crate) fn work(&self) -> Work {
        match &self.0 {
            Kind::Argon2(argon2) => argon2.work(),
            Kind::Bcrypt(bcrypt) => Work::Bcrypt { cost: bcrypt.cost },
        }
    }

    /// Whether it is as we make them now.
    pub(crate) fn is_current(&self) -> bool {
        match &self.0 {
            Kind::Argon2(argon2) => {
                argon2.algorithm == Algorithm::Argon2id && argon2.work() == ours::WORK
            }
            Kind::Bcrypt(_) => false,
        }
    }

    /// Whether it is that of `password`.
    pub(super) fn is_of(&self, password: &[u8], memory: &Memory) -> bool {
        match &self.0 {
            Kind::Argon2(argon2) => argon2.is_of(password, memory),
            Kind::Bcrypt(bcrypt) => bcrypt.is_of(password),
        }
    }
}

fn argon2_of(text: &str) -> Result<Kind, Unreadable> {
    let hash = PasswordHash::new(text).map_err(|_| Unreadable::Shape)?;
    let params = Params::try_from(&hash).map_err(|_| Unreadable::Shape)?;
    let (memory_kib, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    let passed_kib = u64::from(memory_kib) * u64::from(passes);
    if memory_kib > ARGON2_KIB_MAX || passed_kib > ARGON2_KIB_PASSED_MAX || lanes > ARGON2_LANES_MAX
    {
        return Err(Unreadable::Price { memory_kib, passes, lanes });
    }
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).map_err(|_| Unreadable::Shape)?;
    let version = hash.version.map(Version::try_from).transpose();
    let version = version.map_err(|_| Unreadable::Shape)?.unwrap_or_default();
    let (Some(salt), Some(output)) = (hash.salt, hash.hash) else {
        return Err(Unreadable::Shape);
    };
    let argon2 = Argon2::new(algorithm, version, params);
    Ok(Kind::Argon2(Box::new(OfArgon2 { algorithm, argon2, salt, output })))
}

/// `$2b$12$` + 22 characters of salt + 31 of digest.
fn crypt_of(text: &str) -> Result<Bcrypt, Unreadable> {
    let known = ["$2a$", "$2b$", "$2y$"].iter().find_map(|prefix| text.strip_prefix(prefix));
    let (cost, rest) = known.ok_or(Unreadable::Kind)?.split_once('$').ok_or(Unreadable::Shape)?;
    if cost.len() != 2 {
        return Err(Unreadable::Shape);
    }
    let (salt, digest) = rest.split_at_checked(22).ok_or(Unreadable::Shape)?;
    Bcrypt::of(cost, salt, digest, Before::Nothing)
}

/// `2b,12$salt$digest` or `v=2,t=2b,r=12$salt$digest`.
fn passlib_of(text: &str) -> Result<Bcrypt, Unreadable> {
    let parts: Vec<&str> = text.split('$').collect();
    let [settings, salt, digest] = parts[..] else {
        return Err(Unreadable::Shape);
    };
    let (cost, before) = match settings.split(',').collect::<Vec<_>>()[..] {
        ["2a" | "2b", cost] => (cost, Before::Sha256),
        ["v=2", "t=2b", cost] => {
            (cost.strip_prefix("r=").ok_or(Unreadable::Shape)?, Before::HmacSha256)
        }
        _ => return Err(Unreadable::Shape),
    };
    // Here a cost is written without a leading zero.
    if cost.starts_with('0') {
        return Err(Unreadable::Shape);
    }
    Bcrypt::of(cost, salt, digest, before)
}

impl OfArgon2 {
    fn work(&self) -> Work {
        let params = self.argon2.params();
        Work::Argon2 {
            memory_kib: params.m_cost(),
            passes: params.t_cost(),
            lanes: params.p_cost(),
        }
    }

    fn is_of(&self, password: &[u8], memory: &Memory) -> bool {
        let expected = self.output.as_bytes();
        let mut output = [0; Output::MAX_LENGTH];
        let output = &mut output[..expected.len()];
        let hashed = memory.hash(&self.argon2, password, &self.salt, output);
        hashed.is_ok() && bool::from(output.ct_eq(expected))
    }
}

impl Bcrypt {
    fn of(cost: &str, salt: &str, digest: &str, before: Before) -> Result<Self, Unreadable> {
        let digits = (1..=2).contains(&cost.len()) && cost.bytes().all(|b| b.is_ascii_digit());
        let cost = if digits { cost.parse().ok() } else { None };
        let cost: u32 = cost.ok_or(Unreadable::Shape)?;
        if !(BCRYPT_COST_MIN..=BCRYPT_COST_MAX).contains(&cost) {
            return Err(Unreadable::Cost(cost));
        }
        let bytes = |text: &str| BCRYPT_64.decode(text).map_err(|_| Unreadable::Shape);
        Ok(Self {
            cost,
            salt: bytes(salt)?.try_into().map_err(|_| Unreadable::Shape)?,
            digest: bytes(digest)?.try_into().map_err(|_| Unreadable::Shape)?,
            before,
        })
    }

    fn is_of(&self, password: &[u8]) -> bool {
        match self.before {
            Before::Nothing => self.is_of_key(password),
            Before::Sha256 => {
                let key = digest::digest(&digest::SHA256, password);
                self.is_of_key(STANDARD.encode(key).as_bytes())
            }
            Before::HmacSha256 => {
                // The key is the salt as it is written, not as it is meant.
                let salt = BCRYPT_64.encode(self.salt);
                let salt = hmac::Key::new(hmac::HMAC_SHA256, salt.as_bytes());
                let key = hmac::sign(&salt, password);
                self.is_of_key(STANDARD.encode(key).as_bytes())
            }
        }
    }

    /// A zero byte ends a key that is short enough to have an end. One within the password is a
    /// byte like any other, as for Python's bcrypt; passlib never made a hash of such a password.
    fn is_of_key(&self, key: &[u8]) -> bool {
        let mut ended = [0; BCRYPT_BYTES];
        let taken = key.len().min(BCRYPT_BYTES);
        ended[..taken].copy_from_slice(&key[..taken]);
        let ended = &ended[..BCRYPT_BYTES.min(taken + 1)];
        let output = bcrypt::bcrypt(self.cost, self.salt, ended);
        output[..self.digest.len()].ct_eq(&self.digest).into()
    }
}
