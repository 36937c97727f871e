//! How far a key has come, and what is told of it.

use std::fmt;

use kernel::keys::Algorithm;
use kernel::time::Timestamp;

use crate::store::signing_keys::KeptKey;

/// How far a key has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Verifies, and does not sign yet.
    Pending,
    /// Signs and verifies.
    Active,
    /// Verifies what it signed before.
    Retiring,
    /// Verifies nothing more.
    Retired,
    /// Nothing that it signed is believed, in force or not.
    Distrusted,
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Distrusted => "distrusted",
        })
    }
}

/// A key, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// Its id.
    pub kid: String,
    /// What it is for.
    pub algorithm: Algorithm,
    /// How far it has come.
    pub state: KeyState,
    /// Whether new tokens are signed with it.
    pub signs: bool,
    /// Whether it stands in the configuration, not in the database.
    pub is_configured: bool,
    /// When it signs, where that is yet to come.
    pub signs_from: Option<Timestamp>,
    /// Until when it verifies, where that is known.
    pub verifies_until: Option<Timestamp>,
}

/// What a rotation brings about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The key that is to sign.
    pub kid: String,
    /// From when.
    pub signs_from: Timestamp,
    /// Whether it will: where the configuration says `auth.stored_key_alg`.
    pub is_to_sign: bool,
    /// The key whose place it takes, and until when that one goes on verifying.
    pub predecessor: Option<(String, Timestamp)>,
}

impl KeptKey {
    /// How far it has come by `now`.
    pub(super) fn state(&self, now: Timestamp) -> KeyState {
        let has_come = |moment: Option<Timestamp>| moment.is_some_and(|moment| moment <= now);
        match () {
            () if has_come(self.retired_from) => KeyState::Retired,
            () if has_come(self.retiring_from) => KeyState::Retiring,
            () if has_come(self.active_from) => KeyState::Active,
            () => KeyState::Pending,
        }
    }
}
