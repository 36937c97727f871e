//! The self-test of the cryptography, run before anything is served.
//!
//! A key that cannot sign what it verifies is better found out before the listener opens.

use std::sync::Arc;
use std::time::Duration;

use crate::claims::Claims;
use crate::claims::TokenType;
use crate::keys::KeyRing;
use crate::time::Timestamp;
use crate::token::Profile;
use crate::token::TokenError;
use crate::token::verify;

/// What the self-test found.
#[derive(Debug, thiserror::Error)]
pub enum SelfTestError {
    /// The configured key could not sign.
    #[error(transparent)]
    Signing(#[from] crate::keys::KeyError),
    /// What was signed did not verify.
    #[error("a token signed with key `{0}` does not verify: {1}")]
    Rejected(String, TokenError),
    /// What was tampered with did verify.
    #[error("a token signed with key `{0}` verifies after its signature was changed")]
    Forged(String),
}

/// Signs a token with the ring's signing key, verifies it, and sees a changed one refused.
///
/// # Errors
/// [`SelfTestError`]; nothing may be served then.
pub fn run(keys: &KeyRing, now: Timestamp) -> Result<(), SelfTestError> {
    let kid = || keys.signing().kid().to_owned();
    let profile = Profile {
        issuer: Arc::from("self-test"),
        audience: None,
        leeway: Duration::ZERO,
        lifetime_max: Duration::from_secs(60),
        accept_legacy: false,
    };
    let token = keys.signing().sign(&claims(now.as_secs()))?;
    verify(&token, keys, &profile, now).map_err(|e| SelfTestError::Rejected(kid(), e))?;
    // The first character of the signature: all of its bits count.
    let at = token.rfind('.').map_or(0, |dot| dot + 1);
    let other = if token[at..].starts_with('A') { "B" } else { "A" };
    let forged = format!("{}{other}{}", &token[..at], &token[at + 1..]);
    match verify(&forged, keys, &profile, now) {
        Err(TokenError::Signature) => Ok(()),
        _ => Err(SelfTestError::Forged(kid())),
    }
}

fn claims(now_s: u64) -> Claims {
    let text = || "self-test".to_owned();
    Claims {
        sub: text(),
        user_id: text(),
        username: text(),
        tier: "free".to_owned(),
        scopes: Vec::new(),
        scope: String::new(),
        token_type: TokenType::Access,
        iss: text(),
        aud: None,
        iat: now_s,
        exp: now_s + 30,
        jti: text(),
        sid: text(),
        ep: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Algorithm;
    use crate::keys::Key;
    use crate::specimen::NOW;
    use crate::specimen::hs256;
    use crate::specimen::ring_of;
    use crate::specimen::signing_key;
    use crate::token::NUMERIC_DATE_MAX;

    #[test]
    fn a_ring_of_any_algorithm_passes_at_any_time_of_day() {
        for algorithm in Algorithm::ALL {
            for now in [NOW, Timestamp::default(), Timestamp::from_millis(NOW.as_millis() + 999)] {
                let outcome = run(&ring_of(algorithm), now);
                assert!(outcome.is_ok(), "{algorithm}: {outcome:?}");
            }
        }
    }

    #[test]
    fn a_ring_with_other_keys_beside_the_first_passes() {
        let first = Key::Signing(Box::new(signing_key("k1", Algorithm::ES256)));
        let second = Key::Signing(Box::new(signing_key("k2", Algorithm::ES256)));
        let keys = KeyRing::new(vec![first, second, hs256("old", "short")]).unwrap();
        assert!(run(&keys, NOW).is_ok());
    }

    #[test]
    fn a_signature_that_changes_each_time_is_seen_refused_each_time() {
        let keys = ring_of(Algorithm::ES256);
        for _ in 0..256 {
            assert!(run(&keys, NOW).is_ok());
        }
    }

    #[test]
    fn a_token_that_does_not_verify_fails_the_test_and_says_why() {
        let error = run(&ring_of(Algorithm::HS256), Timestamp::from_secs(NUMERIC_DATE_MAX));
        assert_eq!(
            error.unwrap_err().to_string(),
            "a token signed with key `k1` does not verify: claims that are missing or of the \
             wrong type"
        );
    }
}
