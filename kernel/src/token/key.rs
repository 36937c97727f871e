//! What stands for a token, a session or a user where they are revoked.

use std::fmt;

use ring::digest;
use serde::Deserialize;
use serde::Deserializer;

/// Sixteen bytes that stand for a token, a session or a user, derived by SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenKey([u8; 16]);

impl TokenKey {
    /// The key of the token `jti` of `issuer`.
    pub fn of_id(issuer: &str, jti: &str) -> Self {
        Self::digest(b"J", &[issuer.as_bytes(), jti.as_bytes()])
    }

    /// The key of a token without `jti`: of its signing input, so that a second signature over
    /// the same claims does not escape.
    pub fn of_signing_input(input: &[u8]) -> Self {
        Self::digest(b"H", &[input])
    }

    /// The key of a session.
    pub fn of_session(sid: &str) -> Self {
        Self::digest(b"S", &[sid.as_bytes()])
    }

    /// The key of a user.
    pub fn of_user(user_id: &str) -> Self {
        Self::digest(b"U", &[user_id.as_bytes()])
    }

    fn digest(domain: &[u8], parts: &[&[u8]]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(domain);
        for part in parts {
            // The length first: ("ab", "c") must not be ("a", "bc").
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut key = [0; 16];
        key.copy_from_slice(&context.finish().as_ref()[..16]);
        Self(key)
    }

    /// The two halves, uniformly distributed.
    pub fn halves(self) -> (u64, u64) {
        let number = u128::from_be_bytes(self.0);
        ((number >> 64) as u64, number as u64)
    }
}

impl fmt::Display for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl serde::Serialize for TokenKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TokenKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Digits only: `from_str_radix` takes a sign as well.
        let plain = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u128::from_str_radix(&text, 16).ok().filter(|_| plain);
        number
            .map(|n| Self(n.to_be_bytes()))
            .ok_or_else(|| serde::de::Error::custom("expected 32 hexadecimal digits"))
    }
}
