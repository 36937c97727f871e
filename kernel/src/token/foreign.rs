//! Tokens of other issuers: verified with their keys, and read into the same claims as ours.
//!
//! Who bears one is known by issuer and subject together, so nobody at another issuer can be taken
//! for a user of ours, whatever subject that issuer gives them.

use std::sync::Arc;

use serde::Deserialize;
use serde::Deserializer;

use super::Profile;
use super::TokenError;
use super::TokenKey;
use super::VerifiedToken;
use super::jws::Jws;
use super::jws::TOKEN_BYTES_MAX;
use super::jws::object;
use super::jws::present;
use super::payload::Audience;
use super::payload::NumericDate;
use super::payload::bounded;
use crate::claims::ReadClaims;
use crate::claims::SCOPES_MAX;
use crate::claims::is_scope;
use crate::keys::VerifyingKey;
use crate::time::Timestamp;

/// Stands between issuer and subject in the id of somebody who is not ours; no configured issuer
/// has one, and no id of ours.
pub const ISSUER_END: char = '#';

/// What another issuer's tokens must look like.
#[derive(Clone, Debug)]
pub struct ForeignProfile {
    /// The exact `iss`.
    pub issuer: Arc<str>,
    /// A token must be meant for one of these.
    pub audiences: Box<[Arc<str>]>,
}

/// Why a token of another issuer is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignRefusal {
    /// Nothing speaks against it but that it names a key that is not known: the issuer may have a
    /// new one.
    #[error("a key that is not known, or not yet")]
    UnknownKid,
    /// Anything else.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Whose token it says it is; only the signature tells whether that is so.
pub fn issuer_of(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Issued {
        iss: String,
    }
    let jws = split(token).ok()?;
    object::<Issued>(&jws.payload).map(|issued| issued.iss)
}

/// Verifies a token of the issuer of `theirs`; leeway and longest life are those of `ours`.
///
/// # Errors
/// [`ForeignRefusal::UnknownKid`] only for a token that could hold if its key were known, so that
/// neither an expired token nor one for somebody else has anybody look for keys.
pub fn verify_foreign(
    token: &str,
    keys: &[VerifyingKey],
    theirs: &ForeignProfile,
    ours: &Profile,
    now: Timestamp,
) -> Result<VerifiedToken, ForeignRefusal> {
    let jws = split(token)?;
    let signed_by = jws.signed_by(keys);
    let is_known = |kid: &str| keys.iter().any(|key| **key.kid() == *kid);
    let kid = match signed_by {
        Ok(key) => Arc::clone(key.kid()),
        Err(TokenError::UnknownKey) if jws.kid().is_some_and(|kid| !is_known(kid)) => "".into(),
        Err(error) => return Err(error.into()),
    };
    let raw: RawForeign = object(&jws.payload).ok_or(TokenError::Claims)?;
    let verified = raw.read(theirs, &kid, jws.signing_input)?;
    verified.check_in_force(ours, now)?;
    // The claims of a token that nobody vouches for end here.
    signed_by.map_err(|_| ForeignRefusal::UnknownKid)?;
    Ok(verified)
}

fn split(token: &str) -> Result<Jws<'_>, TokenError> {
    if token.len() > TOKEN_BYTES_MAX { Err(TokenError::Shape) } else { Jws::split(token) }
}

/// Claims as JSON has them. A member of the wrong type, `null` included, is an error.
#[derive(Deserialize)]
struct RawForeign {
    iss: String,
    sub: String,
    aud: Audience,
    exp: NumericDate,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<NumericDate>,
    #[serde(default, deserialize_with = "present")]
    iat: Option<NumericDate>,
    #[serde(default, deserialize_with = "present")]
    jti: Option<String>,
    /// Ours, which says whether it is an access token.
    #[serde(rename = "type", default, deserialize_with = "present")]
    token_type: Option<String>,
    /// Keycloak's, which says the same.
    #[serde(default, deserialize_with = "present")]
    typ: Option<String>,
    #[serde(default, deserialize_with = "present")]
    preferred_username: Option<String>,
    #[serde(default, deserialize_with = "present")]
    tier: Option<String>,
    /// RFC 9068 §2.2.3.
    #[serde(default, deserialize_with = "present")]
    scope: Option<Words>,
    /// What others call it.
    #[serde(default, deserialize_with = "present")]
    scp: Option<Words>,
}

impl RawForeign {
    fn read(
        self,
        theirs: &ForeignProfile,
        kid: &str,
        signing_input: &str,
    ) -> Result<VerifiedToken, TokenError> {
        if *self.iss != *theirs.issuer {
            return Err(TokenError::Issuer);
        }
        let Audience(audience) = self.aud;
        if !theirs.audiences.iter().any(|ours| audience.iter().any(|aud| **aud == **ours)) {
            return Err(TokenError::Audience);
        }
        let is_access = |kind: &str, expected: &str| kind.eq_ignore_ascii_case(expected);
        if !(self.token_type.as_deref().is_none_or(|kind| is_access(kind, "access"))
            && self.typ.as_deref().is_none_or(|kind| is_access(kind, "bearer")))
        {
            return Err(TokenError::WrongType);
        }
        let subject = bounded(self.sub)?;
        let user_id: Arc<str> = format!("{}{ISSUER_END}{subject}", theirs.issuer).into();
        let Words(scopes) = self.scope.or(self.scp).unwrap_or_default();
        if scopes.len() > SCOPES_MAX || !scopes.iter().all(|scope| is_scope(scope)) {
            return Err(TokenError::Claims);
        }
        let claims = ReadClaims {
            username: self.preferred_username.map_or(Ok(subject), bounded)?,
            tier: self.tier.map(bounded).transpose()?,
            scopes: scopes.into_iter().map(Arc::from).collect(),
            issuer: Some(Arc::clone(&theirs.issuer)),
            issued_at_s: self.iat.map(|NumericDate(s)| s),
            not_before_s: self.nbf.map(|NumericDate(s)| s),
            expires_at_s: self.exp.0,
            token_id: self.jti.map(bounded).transpose()?,
            // Sessions are ours, and so are epochs.
            session: None,
            epoch: None,
            user_id,
        };
        let key = match &claims.token_id {
            Some(jti) => TokenKey::of_id(&theirs.issuer, jti),
            None => TokenKey::of_signing_input(signing_input.as_bytes()),
        };
        Ok(VerifiedToken {
            // With a blank, as no key id of ours has one: distrusting ours must not touch theirs.
            kid: format!("{} {kid}", theirs.issuer).into(),
            key,
            session_key: None,
            user_key: TokenKey::of_user(&claims.user_id),
            claims,
        })
    }
}

/// Words separated by spaces, or a list of them.
#[derive(Default)]
struct Words(Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum TextOrList {
            Text(String),
            List(Vec<String>),
        }
        Ok(Self(match TextOrList::deserialize(deserializer)? {
            TextOrList::Text(text) => text.split_ascii_whitespace().map(str::to_owned).collect(),
            TextOrList::List(list) => list,
        }))
    }
}
