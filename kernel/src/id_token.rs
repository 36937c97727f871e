//! Id tokens: what an OpenID provider says of somebody who has just signed in there (OpenID Connect
//! Core §2, §3.1.3.7).
//!
//! Nothing of the token decides how it is checked: the algorithm is the key's, and the keys are
//! those that its issuer publishes.

use std::time::Duration;

use serde::Deserialize;
use serde::Deserializer;

use crate::jwks::JwkSet;
use crate::time::Timestamp;
use crate::token::Audience;
use crate::token::NumericDate;
use crate::token::TokenError;
use crate::token::jws::key_named_by;
use crate::token::jws::object;
use crate::token::jws::present;
use crate::token::jws::signed_by;

/// The longest id token, in bytes; some carry the names of all groups that somebody is in.
pub const ID_TOKEN_BYTES_MAX: usize = 32 * 1024;

/// The longest `sub`, in bytes (OpenID Connect Core §2).
pub const SUBJECT_BYTES_MAX: usize = 255;

/// The longest of the claims that describe somebody, in bytes.
pub const PROFILE_BYTES_MAX: usize = 1024;

/// What an id token must say to be taken.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The spellings of its issuer; one, but for providers that cannot make up their mind.
    pub issuers: &'a [String],
    /// Our own name at the provider: whom it must be for.
    pub client_id: &'a str,
    /// The nonce that was sent there.
    pub nonce: &'a str,
    /// By how much the two clocks may differ.
    pub leeway: Duration,
}

/// What a provider says of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdClaims {
    /// Who they are there: never given to anybody else (§2).
    pub subject: String,
    /// What can change, and is theirs to change.
    pub person: PersonClaims,
}

/// The claims that describe somebody (§5.1), from an id token or the userinfo endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PersonClaims {
    /// The e-mail address.
    #[serde(default, deserialize_with = "profile_text")]
    pub email: Option<String>,
    /// Whether the provider knows that the address is theirs; only a plain yes is one.
    #[serde(default, deserialize_with = "yes")]
    pub email_verified: bool,
    /// The whole name.
    #[serde(default, deserialize_with = "profile_text")]
    pub name: Option<String>,
    /// What they like to be called there.
    #[serde(default, deserialize_with = "profile_text")]
    pub preferred_username: Option<String>,
}

/// Why an id token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// It names a key that is not in the set: the provider may have a new one.
    #[error("an id token of a key that is not among the provider's")]
    UnknownKey,
    /// Shape, header, algorithm or signature.
    #[error("an id token that does not hold")]
    Token(#[source] TokenError),
    /// Claims that are missing, of the wrong type or out of bounds.
    #[error("an id token with claims that are missing or of the wrong type")]
    Claims,
    /// Another issuer's.
    #[error("an id token of another issuer")]
    Issuer,
    /// For somebody else.
    #[error("an id token for another client")]
    Audience,
    /// On or after `exp`, before `nbf`, or issued in the future.
    #[error("an id token that is not in force")]
    Times,
    /// Made for another sign-in.
    #[error("an id token with another nonce")]
    Nonce,
}

/// Checks an id token and reads what it says.
///
/// # Errors
/// [`IdTokenError`], the first that applies: shape, header, key, signature, JSON of the claims,
/// issuer, audience and authorized party, times, nonce, subject.
pub fn verify(
    token: &str,
    keys: &JwkSet,
    expected: Expected<'_>,
    now: Timestamp,
) -> Result<IdClaims, IdTokenError> {
    if token.len() > ID_TOKEN_BYTES_MAX {
        return Err(IdTokenError::Token(TokenError::Shape));
    }
    let (jws, _) = signed_by(token, keys.keys()).map_err(|error| match error {
        TokenError::UnknownKey if names_unknown_key(token, keys) => IdTokenError::UnknownKey,
        error => IdTokenError::Token(error),
    })?;
    let claims: RawClaims = object(&jws.payload).ok_or(IdTokenError::Claims)?;
    if !expected.issuers.contains(&claims.iss) {
        return Err(IdTokenError::Issuer);
    }
    claims.check_audience(expected.client_id)?;
    claims.check_times(expected.leeway, now)?;
    if claims.nonce.as_deref() != Some(expected.nonce) {
        return Err(IdTokenError::Nonce);
    }
    let person = object(&jws.payload).ok_or(IdTokenError::Claims)?;
    Ok(IdClaims { subject: subject(claims.sub).ok_or(IdTokenError::Claims)?, person })
}

/// Reads the answer of a userinfo endpoint (§5.3.2): who it is about, and what it says of them.
///
/// The subject must be compared with the id token's: the answer is not signed.
pub fn userinfo(json: &[u8]) -> Option<IdClaims> {
    #[derive(Deserialize)]
    struct About {
        sub: String,
    }
    let About { sub } = object(json)?;
    Some(IdClaims { subject: subject(sub)?, person: object(json)? })
}

#[derive(Deserialize)]
struct RawClaims {
    iss: String,
    sub: String,
    aud: Audience,
    #[serde(default, deserialize_with = "present")]
    azp: Option<String>,
    exp: NumericDate,
    iat: NumericDate,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<NumericDate>,
    #[serde(default, deserialize_with = "present")]
    nonce: Option<String>,
}

impl RawClaims {
    /// For us, and handed to nobody but us (§3.1.3.7, steps 3 to 5).
    fn check_audience(&self, client_id: &str) -> Result<(), IdTokenError> {
        let Audience(audience) = &self.aud;
        let for_us = audience.iter().any(|aud| aud == client_id);
        let authorized = match self.azp.as_deref() {
            Some(azp) => azp == client_id,
            None => audience.len() == 1,
        };
        if for_us && authorized { Ok(()) } else { Err(IdTokenError::Audience) }
    }

    fn check_times(&self, leeway: Duration, now: Timestamp) -> Result<(), IdTokenError> {
        let (now_s, leeway_s) = (now.as_secs(), leeway.as_secs());
        let over = now_s >= self.exp.0.saturating_add(leeway_s);
        let begins = [Some(&self.iat), self.nbf.as_ref()].into_iter().flatten();
        let early = begins.into_iter().any(|begin| now_s.saturating_add(leeway_s) < begin.0);
        if over || early { Err(IdTokenError::Times) } else { Ok(()) }
    }
}

/// Whether a new key of the provider could be what is missing: a kid that the set does not have,
/// and an algorithm that a set can have a key for.
fn names_unknown_key(token: &str, keys: &JwkSet) -> bool {
    let Some((algorithm, kid)) = key_named_by(token) else { return false };
    let published = matches!(algorithm.as_str(), "RS256" | "PS256" | "ES256" | "EdDSA");
    published && !keys.has(&kid)
}

/// Bounded, and plain: it is a key in the database.
fn subject(text: String) -> Option<String> {
    let fits = (1..=SUBJECT_BYTES_MAX).contains(&text.len());
    (fits && !text.chars().any(char::is_control)).then_some(text)
}

/// A text within [`PROFILE_BYTES_MAX`]; `null`, nothing and too much are nothing: it is no more than
/// a description, and providers do send `null`.
fn profile_text<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(d)?;
    Ok(text.filter(|text| (1..=PROFILE_BYTES_MAX).contains(&text.len())))
}

/// `true`, or the text `"true"` that some providers write; `null` is no.
fn yes<'de, D: Deserializer<'de>>(d: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Said {
        Plainly(bool),
        AsText(String),
    }
    Ok(match Option::<Said>::deserialize(d)? {
        Some(Said::Plainly(verified)) => verified,
        Some(Said::AsText(text)) => text == "true",
        None => false,
    })
}

#[cfg(test)]
mod tests;
