//! Compact JWS (RFC 7515 §7.1): three parts of strict base64url, and a signature that holds.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::Deserializer;
use serde::de::DeserializeOwned;
use serde::de::IgnoredAny;

use super::TokenError;
use crate::bearer::AUTHORIZATION_BYTES_MAX;
use crate::keys::KeyRing;
use crate::keys::VerifyingKey;

/// The longest token, in bytes: the longest that a header can carry to us.
pub const TOKEN_BYTES_MAX: usize = AUTHORIZATION_BYTES_MAX - "Bearer ".len();

/// A token taken apart, whoever signed it.
pub(crate) struct Jws<'a> {
    pub(crate) signing_input: &'a str,
    pub(crate) payload: Vec<u8>,
    header: JoseHeader,
    signature: Vec<u8>,
}

/// The header members that we read, and those that we refuse to see.
#[derive(Deserialize)]
struct JoseHeader {
    alg: String,
    #[serde(default, deserialize_with = "present")]
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    typ: Option<String>,
    // A member named here would have us fetch, unpack, or trust what the sender chose
    // (RFC 8725 §3.10), or understand what we do not (`crit`, RFC 7515 §4.1.11).
    #[serde(default, deserialize_with = "present")]
    crit: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    jwk: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    jku: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    x5u: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    x5c: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    enc: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    zip: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    b64: Option<IgnoredAny>,
}

impl JoseHeader {
    fn is_plain(&self) -> bool {
        let refused = [
            &self.crit, &self.jwk, &self.jku, &self.x5u, &self.x5c, &self.enc, &self.zip, &self.b64,
        ];
        let typ_fits = self.typ.as_deref().is_none_or(|typ| {
            typ.eq_ignore_ascii_case("jwt")
                || typ.eq_ignore_ascii_case("at+jwt")
                || typ.eq_ignore_ascii_case("application/at+jwt")
        });
        typ_fits && refused.iter().all(|member| member.is_none())
    }
}

impl<'a> Jws<'a> {
    /// Takes a token apart, whose length the caller has bounded.
    ///
    /// # Errors
    /// [`TokenError::Shape`], [`TokenError::Header`].
    pub(super) fn split(token: &'a str) -> Result<Self, TokenError> {
        let (signing_input, signature) = token.rsplit_once('.').ok_or(TokenError::Shape)?;
        let (header, payload) = signing_input.split_once('.').ok_or(TokenError::Shape)?;
        if payload.contains('.') {
            return Err(TokenError::Shape);
        }
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Shape);
        let header: JoseHeader = object(&decode(header)?).ok_or(TokenError::Header)?;
        if !header.is_plain() {
            return Err(TokenError::Header);
        }
        let signature = decode(signature)?;
        Ok(Self { signing_input, payload: decode(payload)?, header, signature })
    }

    /// Which key the header names, if it names any.
    pub(super) fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Checks the signature with the key that the header names.
    ///
    /// # Errors
    /// [`TokenError::UnknownKey`], [`TokenError::Signature`].
    pub(super) fn signed_by<'k>(
        &self,
        keys: &'k [VerifyingKey],
    ) -> Result<&'k VerifyingKey, TokenError> {
        let fits = |key: &&VerifyingKey| {
            key.algorithm().as_str() == self.header.alg
                && self.kid().is_none_or(|kid| kid == &**key.kid())
        };
        let mut known = false;
        for key in keys.iter().filter(fits) {
            known = true;
            if key.verifies(self.signing_input.as_bytes(), &self.signature) {
                return Ok(key);
            }
        }
        Err(if known { TokenError::Signature } else { TokenError::UnknownKey })
    }
}

/// Splits a token and checks its signature with the key that its header names.
pub(super) fn signed<'a, 'k>(
    token: &'a str,
    keys: &'k KeyRing,
) -> Result<(Jws<'a>, &'k VerifyingKey), TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Shape);
    }
    signed_by(token, keys.verifying())
}

/// The same with any `keys`, for a token whose length the caller has bounded.
pub(crate) fn signed_by<'a, 'k>(
    token: &'a str,
    keys: &'k [VerifyingKey],
) -> Result<(Jws<'a>, &'k VerifyingKey), TokenError> {
    let jws = Jws::split(token)?;
    let key = jws.signed_by(keys)?;
    Ok((jws, key))
}

/// The algorithm and the key id that a token's header names, unverified; `None` where it does not
/// name both.
pub(crate) fn key_named_by(token: &str) -> Option<(String, String)> {
    let (header, _) = token.split_once('.')?;
    let header: JoseHeader = object(&URL_SAFE_NO_PAD.decode(header).ok()?)?;
    Some((header.alg, header.kid?))
}

/// The header and the claims of a token, whoever signed it and whatever they say: to be shown to
/// somebody, never to be believed. `None` where it is no compact JWS.
pub fn said_by(token: &str) -> Option<(serde_json::Value, serde_json::Value)> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let (signing_input, _) = token.rsplit_once('.')?;
    let (header, claims) = signing_input.split_once('.')?;
    let read = |part: &str| object(&URL_SAFE_NO_PAD.decode(part).ok()?);
    Some((read(header)?, read(claims)?))
}

/// Reads a JSON object (RFC 7515 §4, RFC 7519 §3), which may hold no member of `T` twice.
pub(crate) fn object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    // serde would also take an array, as the members' values in the order of `T`'s fields.
    let is_object = json.trim_ascii_start().starts_with(b"{");
    is_object.then(|| serde_json::from_slice(json).ok()).flatten()
}

/// Deserializes a member that is there as what it must be; `null` is not absent.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    d: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(d).map(Some)
}
