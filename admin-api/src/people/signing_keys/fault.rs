//! Why a key is not made, found or put in another's place.

use kernel::keys::KEYS_MAX;
use kernel::keys::KeyError;
use kernel::revocation::DISTRUSTED_KEYS_MAX;
use kernel::time::Timestamp;

use crate::sealing::SealError;
use crate::store::fault::DbError;

/// Why a key was not made, moved on or distrusted. Each text stands alone, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The database.
    #[error("the database did not do it")]
    Database(#[from] DbError),
    /// A key that cannot be made or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key that cannot be sealed or opened.
    #[error("the key `{kid}` in the database cannot be used: {why}")]
    Sealed {
        /// Which.
        kid: String,
        /// Why.
        why: SealError,
    },
    /// Nothing to seal it under.
    #[error(
        "keys in the database are sealed under `auth.key_encryption_key`, and the configuration has \
         none"
    )]
    NoSeal,
    /// Too many.
    #[error(
        "there are {KEYS_MAX} keys in the database already; rotate, and wait until one retires"
    )]
    Many,
    /// One rotation at a time.
    #[error("a rotation is under way: `{kid}` signs from {}s on", signs_from.as_secs())]
    UnderWay {
        /// Which key is to sign.
        kid: String,
        /// From when.
        signs_from: Timestamp,
    },
    /// No such key.
    #[error("no key `{kid}`; there are {}", .known.join(", "))]
    Unknown {
        /// What was asked for.
        kid: String,
        /// What there is.
        known: Vec<String>,
    },
    /// It signs, and only the configuration says what else could.
    #[error(
        "`{0}` signs, and stands in the configuration: put another key above it in `[[auth.keys]]`, \
         restart, and distrust it then"
    )]
    Signs(String),
    /// It was made in the data directory, and nothing else can sign.
    #[error(
        "`{0}` was made in the data directory, and signs: remove the file `signing-secret` there and \
         restart, and another one is made"
    )]
    Local(String),
    /// Too many distrusted.
    #[error("{DISTRUSTED_KEYS_MAX} keys are distrusted already, and no gateway remembers more")]
    ManyDistrusted,
}
