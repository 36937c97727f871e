//! The ring of keys that a process trusts.

use super::KEYS_MAX;
use super::KeyError;
use super::SigningKey;
use super::VerifyingKey;

/// A key as it stands in the configuration.
#[derive(Clone, Debug)]
pub enum Key {
    /// Signs and verifies.
    Signing(Box<SigningKey>),
    /// Only verifies.
    Verifying(VerifyingKey),
}

/// The keys that a process trusts: the first signs, all verify.
#[derive(Clone, Debug)]
pub struct KeyRing {
    pub(super) signing: Box<SigningKey>,
    pub(super) verifying: Vec<VerifyingKey>,
}

impl KeyRing {
    /// Puts `keys` on a ring; the first signs, all verify.
    ///
    /// # Errors
    /// [`KeyError::Count`] for none or over [`KEYS_MAX`], [`KeyError::SameKid`],
    /// [`KeyError::CannotSign`] where the first only verifies.
    pub fn new(keys: Vec<Key>) -> Result<Self, KeyError> {
        if keys.is_empty() || keys.len() > KEYS_MAX {
            return Err(KeyError::Count(keys.len()));
        }
        Self::of(keys)
    }

    /// Puts `keys` on a ring, none of which has to sign, and before them `own`, which does: as many
    /// of others as fit on a ring, and one more.
    ///
    /// # Errors
    /// [`KeyError::Count`] for over [`KEYS_MAX`] beside `own`, [`KeyError::SameKid`].
    pub fn beside(own: SigningKey, mut keys: Vec<Key>) -> Result<Self, KeyError> {
        if keys.len() > KEYS_MAX {
            return Err(KeyError::Count(keys.len()));
        }
        keys.insert(0, Key::Signing(Box::new(own)));
        Self::of(keys)
    }

    fn of(keys: Vec<Key>) -> Result<Self, KeyError> {
        let mut verifying: Vec<VerifyingKey> = Vec::with_capacity(keys.len());
        let mut signing = None;
        for key in keys {
            let verifier = match key {
                Key::Signing(key) => {
                    let verifier = key.verifying().clone();
                    if verifying.is_empty() {
                        signing = Some(key);
                    }
                    verifier
                }
                Key::Verifying(key) => key,
            };
            if verifying.iter().any(|known| known.kid() == verifier.kid()) {
                return Err(KeyError::SameKid(verifier.kid().to_string()));
            }
            verifying.push(verifier);
        }
        let first = verifying[0].kid().to_string();
        Ok(Self { signing: signing.ok_or(KeyError::CannotSign(first))?, verifying })
    }

    /// The key that signs.
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// All keys, in the order of the configuration, then those that are kept elsewhere.
    pub fn verifying(&self) -> &[VerifyingKey] {
        &self.verifying
    }
}
