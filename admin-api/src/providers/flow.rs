//! One sign-in under way at a provider: what only this browser, and only this once, can know.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::secret::Secret;
use ring::digest::SHA256;
use ring::digest::digest;
use ring::error::Unspecified;
use ring::rand::SecureRandom;
use ring::rand::SystemRandom;

/// How many characters an [`unguessable`] text has: 256 bits in base64url.
pub(crate) const UNGUESSABLE_CHARS: usize = 43;

/// The secrets of one sign-in at a provider.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    /// Comes back with the browser (RFC 6749 §10.12).
    pub(crate) state: Secret,
    /// Comes back in the id token (OpenID Connect Core §15.5.2).
    pub(crate) nonce: Secret,
    /// Proves at the provider that the code is ours (RFC 7636).
    pub(crate) verifier: Secret,
}

impl Flow {
    /// A new one.
    ///
    /// # Errors
    /// Where the system gives no random bytes.
    pub(crate) fn new() -> Result<Self, Unspecified> {
        Ok(Self { state: unguessable()?, nonce: unguessable()?, verifier: unguessable()? })
    }

    /// The challenge that belongs to the verifier, for `S256` (RFC 7636 §4.2).
    pub(crate) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier.expose().as_bytes()))
    }
}

/// A text that nobody can guess: [`UNGUESSABLE_CHARS`] of A-Z, a-z, 0-9, `-` and `_`.
///
/// # Errors
/// Where the system gives no random bytes.
pub(crate) fn unguessable() -> Result<Secret, Unspecified> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes)?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

/// Whether `text` has the looks of an [`unguessable`] one.
pub(crate) fn looks_unguessable(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    text.len() == UNGUESSABLE_CHARS && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_standard() {
        // RFC 7636 appendix B.
        let secret = || Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        let flow = Flow { state: secret(), nonce: secret(), verifier: secret() };
        assert_eq!(flow.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn no_two_secrets_are_alike_and_all_look_like_it() {
        let (one, other) = (Flow::new().unwrap(), Flow::new().unwrap());
        let all = [&one.state, &one.nonce, &one.verifier, &other.state, &other.nonce];
        let different: std::collections::HashSet<_> = all.iter().map(|s| s.expose()).collect();
        assert_eq!(different.len(), all.len());
        assert!(all.iter().all(|secret| looks_unguessable(secret.expose())));
        let one = "a".repeat(UNGUESSABLE_CHARS);
        assert!(looks_unguessable(&one));
        for text in [&one[1..], &format!("{one}a"), &one.replacen('a', "=", 1), ""] {
            assert!(!looks_unguessable(text), "{text}");
        }
    }
}
