//! Tiers: the name that decides how much a caller may ask for.

use std::fmt;
use std::sync::Arc;

/// The longest tier name, in bytes.
pub const TIER_BYTES_MAX: usize = 32;

/// A tier's name: 1 to [`TIER_BYTES_MAX`] of `a-z`, `0-9`, `_` and `-`, such as `premium`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tier(Arc<str>);

/// A text that is no tier name.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no tier name: use 1 to {TIER_BYTES_MAX} of a-z, 0-9, `_` and `-`")]
pub struct TierError(String);

impl Tier {
    /// Reads a tier's name.
    ///
    /// # Errors
    /// [`TierError`] for an empty or longer text, or one with other characters.
    pub fn parse(text: &str) -> Result<Self, TierError> {
        let fits = !text.is_empty() && text.len() <= TIER_BYTES_MAX;
        let plain = text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        if fits && plain {
            Ok(Self(text.into()))
        } else {
            Err(TierError(text.chars().take(2 * TIER_BYTES_MAX).collect()))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for Tier {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Tier {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_name_of_32_bytes_is_the_longest() {
        assert!(Tier::parse(&"a".repeat(TIER_BYTES_MAX)).is_ok());
        assert!(Tier::parse(&"a".repeat(TIER_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_tier_name_with_a_space_a_capital_or_nothing_is_refused() {
        for text in ["", "gold plus", "Gold", "gold\n", "gölð"] {
            assert!(Tier::parse(text).is_err(), "{text}");
        }
    }
}
