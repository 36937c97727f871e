//! The payload of an access token: claims as JSON has them, read strictly.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::Visitor;

use super::Profile;
use super::TokenError;
use super::jws::present;
use crate::claims::CLAIM_BYTES_MAX;
use crate::claims::ReadClaims;
use crate::claims::SCOPES_MAX;
use crate::claims::TokenType;
use crate::claims::is_scope;

/// The largest `NumericDate`: integers above 2^53 are not exact in every JSON reader.
pub const NUMERIC_DATE_MAX: u64 = 1 << 53;

/// Claims as JSON has them. A member of the wrong type, `null` included, is an error.
#[derive(Deserialize)]
pub(super) struct RawClaims {
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
    pub(super) token_type: Option<TokenType>,
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
    /// Holds the claims against `profile` and their bounds; says nothing of times.
    pub(super) fn read(self, profile: &Profile) -> Result<ReadClaims, TokenError> {
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
pub(super) fn bounded(text: String) -> Result<Arc<str>, TokenError> {
    if text.is_empty() || text.len() > CLAIM_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(TokenError::Claims);
    }
    Ok(text.into())
}

/// Whole seconds, 0 to [`NUMERIC_DATE_MAX`]; no text, no fraction.
pub(crate) struct NumericDate(pub(crate) u64);

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
pub(crate) struct Audience(pub(crate) Vec<String>);

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
