//! What a token says, read strictly.
//!
//! A claim of the wrong JSON type is an error, never an absent claim (CVE-2026-25537).

use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

/// The longest user id, user name, tier, issuer, audience, session id, token id or scope, in bytes.
pub const CLAIM_BYTES_MAX: usize = 255;

/// The most scopes one token may carry.
pub const SCOPES_MAX: usize = 64;

/// The most bytes of all scopes together that we put into a token: they stand in it twice, and it
/// may have [`TOKEN_BYTES_MAX`](crate::token::TOKEN_BYTES_MAX) with the longest of signatures.
pub const SCOPES_BYTES_MAX: usize = 1536;

/// A scope-token (RFC 6749 §3.3): visible ASCII without `"` and `\`.
pub fn is_scope(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    !text.is_empty() && text.len() <= CLAIM_BYTES_MAX && text.bytes().all(plain)
}

/// Whether a token of ours can carry `scopes`: [`SCOPES_MAX`] of [`SCOPES_BYTES_MAX`].
pub fn scopes_fit<'a>(scopes: impl ExactSizeIterator<Item = &'a str>) -> bool {
    scopes.len() <= SCOPES_MAX && scopes.map(str::len).sum::<usize>() <= SCOPES_BYTES_MAX
}

/// What kind of token it is: the `type` claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// Lets a caller through the gateway.
    Access,
    /// Is exchanged for the next pair at the admin API; never lets anyone through.
    Refresh,
}

/// The claims of a token that we sign, in the order in which they are written.
///
/// Times are whole seconds since the epoch (`NumericDate`, RFC 7519 §2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// The subject: the user's id (§4.1.2).
    pub sub: String,
    /// The user's id again, under the name that back ends of the replaced system read.
    pub user_id: String,
    /// The user's name.
    pub username: String,
    /// The tier's name.
    pub tier: String,
    /// What the caller may do, as a list.
    pub scopes: Vec<String>,
    /// The same, separated by spaces (RFC 9068 §2.2.3).
    pub scope: String,
    /// Access or refresh.
    #[serde(rename = "type")]
    pub token_type: TokenType,
    /// Who issued it (§4.1.1).
    pub iss: String,
    /// For whom (§4.1.3); left out where none is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
    /// When it was issued (§4.1.6).
    pub iat: u64,
    /// From when it no longer holds (§4.1.4).
    pub exp: u64,
    /// Its own id (§4.1.7).
    pub jti: String,
    /// The session it belongs to.
    pub sid: String,
    /// The user's epoch: raised to end all that came before.
    pub ep: u64,
}

/// The claims of a refresh token: fields of the session's row and nothing else, so that racing
/// refreshes of one generation get the same successor, to the byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshClaims {
    /// Who issued it.
    pub iss: String,
    /// The user's id.
    pub sub: String,
    /// The session.
    pub sid: String,
    /// The session's generation: raised by one at each refresh.
    #[serde(rename = "gen")]
    pub generation: u64,
    /// The user's epoch.
    pub ep: u64,
    /// When this generation began, in seconds.
    pub iat: u64,
    /// When this generation expires, in seconds.
    pub exp: u64,
    /// Always [`TokenType::Refresh`].
    #[serde(rename = "type")]
    pub token_type: TokenType,
}

/// The claims of an access token after reading, before anything was checked but their shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadClaims {
    /// `user_id`; a token with `sub` alone is not taken.
    pub user_id: Arc<str>,
    /// `username`.
    pub username: Arc<str>,
    /// `tier`.
    pub tier: Option<Arc<str>>,
    /// `scopes`, else `scope`.
    pub scopes: Vec<Arc<str>>,
    /// `iss`.
    pub issuer: Option<Arc<str>>,
    /// `iat`.
    pub issued_at_s: Option<u64>,
    /// `nbf`.
    pub not_before_s: Option<u64>,
    /// `exp`.
    pub expires_at_s: u64,
    /// `jti`.
    pub token_id: Option<Arc<str>>,
    /// `sid`.
    pub session: Option<Arc<str>>,
    /// `ep`.
    pub epoch: Option<u64>,
}
