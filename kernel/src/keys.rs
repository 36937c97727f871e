//! Keys, each bound to exactly one algorithm, and the ring of them that a process trusts.
//!
//! The algorithm always comes from the key, never from a token: that is what keeps an RSA public
//! key from being used as an HMAC secret (RFC 8725 §3.1).

mod jwk;

mod live;

mod ring;

mod signing;

mod verifying;

use std::sync::Arc;

pub use self::jwk::jwk_set;
pub use self::live::LiveKeys;
pub use self::live::Stored;
pub use self::ring::Key;
pub use self::ring::KeyRing;
pub use self::signing::SigningKey;
pub use self::signing::new_private_key;
pub use self::verifying::VerifyingKey;
pub use crate::algorithm::Algorithm;

/// The shortest HMAC secret that may sign, in bytes (RFC 7518 §3.2).
pub const HMAC_SECRET_BYTES_MIN: usize = 32;

/// The most keys that a configuration may name, and the most that are kept elsewhere.
pub const KEYS_MAX: usize = 16;

/// The longest key id, in bytes.
pub const KID_BYTES_MAX: usize = 64;

/// A key that cannot be used. Never holds key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// An HMAC secret too short to sign with.
    #[error("the secret of key `{kid}` has {bytes} bytes; use at least {HMAC_SECRET_BYTES_MIN}")]
    ShortSecret {
        /// Which key.
        kid: String,
        /// How long it is.
        bytes: usize,
    },
    /// A text that is no key for its algorithm.
    #[error("key `{kid}` is no {algorithm} key: {why}")]
    Malformed {
        /// Which key.
        kid: String,
        /// What it should be a key for.
        algorithm: Algorithm,
        /// What is wrong with it.
        why: String,
    },
    /// A key id that is empty, too long or not plain.
    #[error("`{0}` is no key id: use 1 to {KID_BYTES_MAX} visible ASCII characters")]
    Kid(String),
    /// Two keys with one id.
    #[error("two keys have the id `{0}`; ids must differ")]
    SameKid(String),
    /// No key at all, or too many.
    #[error("{0} keys; use 1 to {KEYS_MAX}")]
    Count(usize),
    /// The first key can only verify.
    #[error("the first key, `{0}`, signs, so it needs a secret or a private key")]
    CannotSign(String),
    /// No key for this algorithm is made here.
    #[error("{0} keys are not made here; use ES256 or EdDSA")]
    NotMade(Algorithm),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// The signature could not be made.
    #[error("signing with key `{0}` failed")]
    Signing(String),
}

fn parse_kid(kid: &str) -> Result<Arc<str>, KeyError> {
    let fits = !kid.is_empty() && kid.len() <= KID_BYTES_MAX;
    if fits && kid.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(kid.into())
    } else {
        Err(KeyError::Kid(kid.chars().take(2 * KID_BYTES_MAX).collect()))
    }
}

#[cfg(test)]
mod tests;
