//! One sign-in under way at a provider: what only this browser, and only this once, can know.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::random::NoRandomness;
use kernel::random::unguessable;
use kernel::secret::Secret;
use ring::digest::SHA256;
use ring::digest::digest;

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
    /// [`NoRandomness`].
    pub(crate) fn new() -> Result<Self, NoRandomness> {
        Ok(Self { state: unguessable()?, nonce: unguessable()?, verifier: unguessable()? })
    }

    /// The challenge that belongs to the verifier, for `S256` (RFC 7636 §4.2).
    pub(crate) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier.expose().as_bytes()))
    }
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
}
