//! Tokens: from a text in a header to a [`VerifiedToken`], which exists only if the signature holds.
//!
//! Three-part compact JWS only (RFC 7515 §7.1), strict base64url. Whatever a header says of keys
//! (`jwk`, `jku`, `x5u`, `crit` …) is refused, never followed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde::Deserialize;
use serde::Deserializer;
use serde::de::DeserializeOwned;
use serde::de::IgnoredAny;
use serde::de::Visitor;

use crate::claims::CLAIM_BYTES_MAX;
use crate::claims::ReadClaims;
use crate::claims::RefreshClaims;
use crate::claims::SCOPES_MAX;
use crate::claims::TokenType;
use crate::claims::is_scope;
use crate::keys::KeyRing;
use crate::keys::VerifyingKey;
use crate::time::Timestamp;

/// The longest token, in bytes; servers commonly take no longer line of a header.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// The largest `NumericDate`: integers above 2^53 are not exact in every JSON reader.
pub const NUMERIC_DATE_MAX: u64 = 1 << 53;

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
    let typed: Typed = object(&jws.payload).ok_or(RefreshError::Invalid)?;
    if typed.token_type != TokenType::Refresh {
        return Err(RefreshError::WrongType);
    }
    let claims: RefreshClaims = object(&jws.payload).ok_or(RefreshError::Invalid)?;
    let in_force = now.as_secs() < claims.exp.saturating_add(profile.leeway.as_secs());
    if in_force && claims.iss == *profile.issuer { Ok(claims) } else { Err(RefreshError::Invalid) }
}

struct Jws<'a> {
    signing_input: &'a str,
    payload: Vec<u8>,
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

/// Splits a token and checks its signature with the key that its header names.
fn signed<'a, 'k>(
    token: &'a str,
    keys: &'k KeyRing,
) -> Result<(Jws<'a>, &'k VerifyingKey), TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Shape);
    }
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
    let payload = decode(payload)?;
    let fits = |key: &&VerifyingKey| {
        key.algorithm().as_str() == header.alg
            && header.kid.as_deref().is_none_or(|kid| kid == &**key.kid())
    };
    let mut known = false;
    for key in keys.verifying().iter().filter(fits) {
        known = true;
        if key.verifies(signing_input.as_bytes(), &signature) {
            let jws = Jws { signing_input, payload };
            return Ok((jws, key));
        }
    }
    Err(if known { TokenError::Signature } else { TokenError::UnknownKey })
}

/// Claims as JSON has them. A member of the wrong type, `null` included, is an error.
#[derive(Deserialize)]
struct RawClaims {
    #[serde(default, deserialize_with = "present")]
    sub: Option<Id>,
    #[serde(default, deserialize_with = "present")]
    user_id: Option<Id>,
    #[serde(default, deserialize_with = "present")]
    username: Option<String>,
    #[serde(default, deserialize_with = "present")]
    tier: Option<String>,
    #[serde(default, deserialize_with = "present")]
    scopes: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    scope: Option<String>,
    #[serde(rename = "type", default, deserialize_with = "present")]
    token_type: Option<TokenType>,
    #[serde(default, deserialize_with = "present")]
    iss: Option<String>,
    #[serde(default, deserialize_with = "present")]
    aud: Option<Audience>,
    #[serde(default, deserialize_with = "present")]
    iat: Option<NumericDate>,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<NumericDate>,
    exp: NumericDate,
    #[serde(default, deserialize_with = "present")]
    jti: Option<String>,
    #[serde(default, deserialize_with = "present")]
    sid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    ep: Option<u64>,
}

impl RawClaims {
    fn read(self, profile: &Profile) -> Result<ReadClaims, TokenError> {
        let legacy = self.iss.is_none() && self.jti.is_none();
        if !(legacy && profile.accept_legacy) {
            match self.iss.as_deref() {
                Some(iss) if *iss == *profile.issuer => {}
                _ => return Err(TokenError::Issuer),
            }
            if self.jti.is_none() || self.iat.is_none() {
                return Err(TokenError::Claims);
            }
        }
        let audience = self.aud.map(|Audience(list)| list).unwrap_or_default();
        if let Some(ours) = &profile.audience
            && !(legacy && audience.is_empty())
            && !audience.iter().any(|aud| **aud == **ours)
        {
            return Err(TokenError::Audience);
        }
        let username = self.username.ok_or(TokenError::Claims)?;
        // A token that names two different people is nobody's.
        let user_id = match (self.user_id, self.sub) {
            (Some(Id(user_id)), None) => user_id,
            (Some(Id(user_id)), Some(Id(sub))) if user_id == sub => user_id,
            // The replaced system put the name there.
            (Some(Id(user_id)), Some(Id(sub))) if legacy && sub == username => user_id,
            _ => return Err(TokenError::Claims),
        };
        let scopes = match (self.scopes, self.scope) {
            (Some(list), _) => list,
            (None, Some(text)) => {
                text.split(' ').filter(|s| !s.is_empty()).map(str::to_owned).collect()
            }
            (None, None) => Vec::new(),
        };
        if scopes.len() > SCOPES_MAX || !scopes.iter().all(|scope| is_scope(scope)) {
            return Err(TokenError::Claims);
        }
        Ok(ReadClaims {
            user_id: bounded(user_id)?,
            username: bounded(username)?,
            tier: self.tier.map(bounded).transpose()?,
            scopes: scopes.into_iter().map(Arc::from).collect(),
            issuer: self.iss.map(bounded).transpose()?,
            audience: audience.into_iter().map(Arc::from).collect(),
            issued_at_s: self.iat.map(|NumericDate(s)| s),
            not_before_s: self.nbf.map(|NumericDate(s)| s),
            expires_at_s: self.exp.0,
            token_id: self.jti.map(bounded).transpose()?,
            session: self.sid.map(bounded).transpose()?,
            epoch: self.ep,
        })
    }
}

/// Not empty, within [`CLAIM_BYTES_MAX`], no control characters: it goes into a header.
fn bounded(text: String) -> Result<Arc<str>, TokenError> {
    if text.is_empty() || text.len() > CLAIM_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(TokenError::Claims);
    }
    Ok(text.into())
}

/// Reads a JSON object (RFC 7515 §4, RFC 7519 §3), which may hold no member of `T` twice.
fn object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    // serde would also take an array, as the members' values in the order of `T`'s fields.
    let is_object = json.trim_ascii_start().starts_with(b"{");
    is_object.then(|| serde_json::from_slice(json).ok()).flatten()
}

/// Deserializes a member that is there as what it must be; `null` is not absent.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<T>, D::Error> {
    T::deserialize(d).map(Some)
}

/// Whole seconds, 0 to [`NUMERIC_DATE_MAX`]; no text, no fraction.
struct NumericDate(u64);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = u64::deserialize(deserializer)?;
        if seconds > NUMERIC_DATE_MAX {
            return Err(serde::de::Error::custom("a time past all bounds"));
        }
        Ok(Self(seconds))
    }
}

/// A text, or an integer as the replaced system wrote them.
struct Id(String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;
        impl Visitor<'_> for IdVisitor {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a whole number")
            }
            fn visit_str<E>(self, text: &str) -> Result<Id, E> {
                Ok(Id(text.to_owned()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Id, E> {
                Ok(Id(number.to_string()))
            }
        }
        deserializer.deserialize_any(IdVisitor)
    }
}

/// One text or a list of them (RFC 7519 §4.1.3), at most [`SCOPES_MAX`].
struct Audience(Vec<String>);

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum OneOrMany {
            One(String),
            Many(Vec<String>),
        }
        let list = match OneOrMany::deserialize(deserializer)? {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(list) => list,
        };
        if list.len() > SCOPES_MAX || list.iter().any(|aud| aud.len() > CLAIM_BYTES_MAX) {
            return Err(serde::de::Error::custom("too many audiences, or too long"));
        }
        Ok(Self(list))
    }
}

#[cfg(test)]
mod tests;
