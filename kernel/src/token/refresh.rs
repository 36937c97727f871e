//! Refresh tokens: read by the admin API alone.

use serde::Deserialize;

use super::Profile;
use super::jws::object;
use super::jws::signed;
use crate::claims::RefreshClaims;
use crate::claims::TokenType;
use crate::keys::KeyRing;
use crate::time::Timestamp;

/// Why a refresh token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefreshError {
    /// A good token of another type.
    #[error("not a refresh token")]
    WrongType,
    /// Anything else.
    #[error("not a refresh token that holds")]
    Invalid,
}

/// Verifies a refresh token: signature, issuer, type, expiry.
///
/// # Errors
/// [`RefreshError::WrongType`] for an access token whose signature holds, else
/// [`RefreshError::Invalid`].
pub fn verify_refresh(
    token: &str,
    keys: &KeyRing,
    profile: &Profile,
    now: Timestamp,
) -> Result<RefreshClaims, RefreshError> {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        token_type: TokenType,
    }
    let (jws, _) = signed(token, keys).map_err(|_| RefreshError::Invalid)?;
    let claims: Option<RefreshClaims> = object(&jws.payload);
    let claims = claims.filter(|claims| claims.token_type == TokenType::Refresh);
    // An access token has other claims, too, and is told apart all the same.
    let claims = claims.ok_or_else(|| match object(&jws.payload) {
        Some(Typed { token_type: TokenType::Access }) => RefreshError::WrongType,
        Some(Typed { token_type: TokenType::Refresh }) | None => RefreshError::Invalid,
    })?;
    let in_force = now.as_secs() < claims.exp.saturating_add(profile.leeway.as_secs());
    if in_force && claims.iss == *profile.issuer { Ok(claims) } else { Err(RefreshError::Invalid) }
}
