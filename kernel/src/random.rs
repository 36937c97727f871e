//! What nobody can guess: random bytes of the system, and secrets made of them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SecureRandom;
use ring::rand::SystemRandom;

use crate::secret::Secret;

/// How many characters an [`unguessable`] secret has: 256 bits in base64url.
pub const UNGUESSABLE_CHARS: usize = 43;

/// There are no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandomness;

/// `N` random bytes.
///
/// # Errors
/// [`NoRandomness`].
pub fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// A secret of [`UNGUESSABLE_CHARS`] of A-Z, a-z, 0-9, `-` and `_`.
///
/// # Errors
/// [`NoRandomness`].
pub fn unguessable() -> Result<Secret, NoRandomness> {
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes::<32>()?)))
}

/// Whether `text` has the looks of an [`unguessable`] secret.
pub fn looks_unguessable(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    text.len() == UNGUESSABLE_CHARS && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_secrets_are_alike_and_all_look_like_it() {
        let all: Vec<_> = (0..5).map(|_| unguessable().unwrap()).collect();
        let different: std::collections::HashSet<_> = all.iter().map(Secret::expose).collect();
        assert_eq!(different.len(), all.len());
        assert!(all.iter().all(|secret| looks_unguessable(secret.expose())));
        let one = "a".repeat(UNGUESSABLE_CHARS);
        assert!(looks_unguessable(&one));
        for text in [&one[1..], &format!("{one}a"), &one.replacen('a', "=", 1), ""] {
            assert!(!looks_unguessable(text), "{text}");
        }
    }
}
