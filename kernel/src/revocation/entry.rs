//! What a revocation says, as feeds carry it.

use serde::Deserialize;
use serde::Serialize;

use crate::tier::Tier;
use crate::time::Timestamp;
use crate::token::TokenKey;

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
        /// The tier that counts now; `None` leaves it to the tokens.
        tier: Option<Tier>,
        /// All the scopes that the user may have now, of which a token keeps those it has; `None`
        /// leaves them to the tokens.
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
    /// When its act was committed, by the clock of the process that did it.
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// What it says.
    pub entry: Entry,
}

/// A moment as milliseconds since the epoch.
pub(super) mod millis {
    use serde::Deserialize;
    use serde::Deserializer;
    use serde::Serializer;

    use crate::time::Timestamp;

    pub(in crate::revocation) fn serialize<S: Serializer>(
        t: &Timestamp,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.serialize_u64(t.as_millis())
    }

    pub(in crate::revocation) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Timestamp, D::Error> {
        u64::deserialize(d).map(Timestamp::from_millis)
    }
}
