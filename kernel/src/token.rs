//! Tokens: from a text in a header to a [`VerifiedToken`], which exists only if the signature holds.
//!
//! Three-part compact JWS only (RFC 7515 §7.1), strict base64url. Whatever a header says of keys
//! (`jwk`, `jku`, `x5u`, `crit` …) is refused, never followed.

pub(crate) mod jws;

mod key;

mod payload;

mod foreign;

mod refresh;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

pub use self::foreign::ForeignProfile;
pub use self::foreign::ForeignRefusal;
pub use self::foreign::ISSUER_END;
pub use self::foreign::issuer_of;
pub use self::foreign::verify_foreign;
pub use self::jws::TOKEN_BYTES_MAX;
use self::jws::object;
pub use self::jws::said_by;
use self::jws::signed;
pub use self::key::TokenKey;
pub(crate) use self::payload::Audience;
pub use self::payload::NUMERIC_DATE_MAX;
pub(crate) use self::payload::NumericDate;
use self::payload::RawClaims;
pub use self::refresh::RefreshError;
pub use self::refresh::verify_refresh;
use crate::claims::ReadClaims;
use crate::claims::TokenType;
use crate::keys::KeyRing;
use crate::time::Timestamp;

/// What an issuer's tokens must look like.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The `iss` that is ours.
    pub issuer: Arc<str>,
    /// The `aud` that must be among the token's; `None`: not looked at.
    pub audience: Option<Arc<str>>,
    /// Granted on both sides of `nbf` and `exp`, because clocks differ.
    pub leeway: Duration,
    /// The longest that a token may live from `iat`, and go on from now.
    pub lifetime_max: Duration,
    /// Whether tokens of the replaced system, without `iss`, `iat` and `jti`, are taken.
    pub accept_legacy: bool,
}

/// Why a token is not taken. Says nothing of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No three-part compact JWS, or over [`TOKEN_BYTES_MAX`].
    #[error("not a compact JWS of at most {TOKEN_BYTES_MAX} bytes")]
    Shape,
    /// A header with members that we refuse to follow, or none that names an algorithm.
    #[error("a header that is not taken")]
    Header,
    /// No key of that id and algorithm.
    #[error("no key of that id and algorithm")]
    UnknownKey,
    /// A signature that does not hold.
    #[error("a signature that does not hold")]
    Signature,
    /// Claims that are missing, of the wrong type or out of bounds.
    #[error("claims that are missing or of the wrong type")]
    Claims,
    /// Not an access token.
    #[error("not an access token")]
    WrongType,
    /// Another issuer's.
    #[error("another issuer's token")]
    Issuer,
    /// For somebody else.
    #[error("a token for another audience")]
    Audience,
    /// On or after `exp` (RFC 7519 §4.1.4).
    #[error("an expired token")]
    Expired,
    /// Before `nbf` (§4.1.5).
    #[error("a token that does not hold yet")]
    NotYet,
    /// Valid for longer than [`Profile::lifetime_max`].
    #[error("a token that lives too long")]
    Lifetime,
}

/// A token whose signature, issuer, audience and shape hold. Its times are checked by
/// [`VerifiedToken::check_in_force`], anew at every use.
#[derive(Debug)]
pub struct VerifiedToken {
    claims: ReadClaims,
    kid: Arc<str>,
    key: TokenKey,
    session_key: Option<TokenKey>,
    user_key: TokenKey,
}

impl VerifiedToken {
    /// What it says.
    pub fn claims(&self) -> &ReadClaims {
        &self.claims
    }

    /// Which key signed it.
    pub fn kid(&self) -> &Arc<str> {
        &self.kid
    }

    /// What a revocation of it names.
    pub fn key(&self) -> TokenKey {
        self.key
    }

    /// What a revocation of its session names.
    pub fn session_key(&self) -> Option<TokenKey> {
        self.session_key
    }

    /// What a revocation of its user names.
    pub fn user_key(&self) -> TokenKey {
        self.user_key
    }

    /// The proof that it is in force at `now`, for the revocation set.
    ///
    /// # Errors
    /// As [`check_in_force`](Self::check_in_force).
    pub fn in_force(
        self: &Arc<Self>,
        profile: &Profile,
        now: Timestamp,
    ) -> Result<InForce, TokenError> {
        self.check_in_force(profile, now)?;
        Ok(InForce(Arc::clone(self)))
    }

    /// Checks that it is in force at `now`, give or take `profile.leeway`.
    ///
    /// # Errors
    /// [`TokenError::Expired`] on or after `exp`, [`TokenError::NotYet`] before `nbf`,
    /// [`TokenError::Lifetime`] where `exp` is further off, from `iat` or from `now`, than
    /// `profile.lifetime_max`.
    pub fn check_in_force(&self, profile: &Profile, now: Timestamp) -> Result<(), TokenError> {
        let now_s = now.as_secs();
        let leeway_s = profile.leeway.as_secs();
        let claims = &self.claims;
        if now_s >= claims.expires_at_s.saturating_add(leeway_s) {
            return Err(TokenError::Expired);
        }
        if claims.not_before_s.is_some_and(|nbf| now_s.saturating_add(leeway_s) < nbf) {
            return Err(TokenError::NotYet);
        }
        let cap_s = profile.lifetime_max.as_secs().saturating_add(leeway_s);
        if claims.expires_at_s > now_s.saturating_add(cap_s) {
            return Err(TokenError::Lifetime);
        }
        // Measured from now alone, a token that lives too long would be let in towards its end,
        // when the revocations of its user are forgotten already.
        let life_s = claims.issued_at_s.map(|iat| claims.expires_at_s.saturating_sub(iat));
        if life_s.is_some_and(|life_s| life_s > profile.lifetime_max.as_secs()) {
            return Err(TokenError::Lifetime);
        }
        Ok(())
    }
}

/// A verified token that was in force when it was looked at: nothing but whether it was revoked is
/// left to ask.
#[derive(Clone, Debug)]
pub struct InForce(Arc<VerifiedToken>);

impl InForce {
    pub(crate) fn into_token(self) -> Arc<VerifiedToken> {
        self.0
    }
}

impl Deref for InForce {
    type Target = VerifiedToken;

    fn deref(&self) -> &VerifiedToken {
        &self.0
    }
}

/// Verifies an access token.
///
/// # Errors
/// [`TokenError`], the first that applies: shape, header, key, signature, JSON of the claims,
/// type, issuer, audience, values of the claims, times.
pub fn verify(
    token: &str,
    keys: &KeyRing,
    profile: &Profile,
    now: Timestamp,
) -> Result<VerifiedToken, TokenError> {
    let verified = verify_even_if_expired(token, keys, profile)?;
    verified.check_in_force(profile, now)?;
    Ok(verified)
}

/// Verifies everything of an access token but its times: who logs out may be late.
///
/// # Errors
/// As [`verify`], without those of time.
pub fn verify_even_if_expired(
    token: &str,
    keys: &KeyRing,
    profile: &Profile,
) -> Result<VerifiedToken, TokenError> {
    let (jws, key) = signed(token, keys)?;
    let raw: RawClaims = object(&jws.payload).ok_or(TokenError::Claims)?;
    if raw.token_type != Some(TokenType::Access) {
        return Err(TokenError::WrongType);
    }
    let claims = raw.read(profile)?;
    let token_key = match (&claims.token_id, &claims.issuer) {
        (Some(jti), issuer) => TokenKey::of_id(issuer.as_deref().unwrap_or_default(), jti),
        (None, _) => TokenKey::of_signing_input(jws.signing_input.as_bytes()),
    };
    Ok(VerifiedToken {
        kid: Arc::clone(key.kid()),
        key: token_key,
        session_key: claims.session.as_deref().map(TokenKey::of_session),
        user_key: TokenKey::of_user(&claims.user_id),
        claims,
    })
}

#[cfg(test)]
mod tests;
