//! Payloads that differ from a good one in a member or two.

use crate::keys::Algorithm;
use crate::specimen::NOW;
use crate::specimen::profile;
use crate::specimen::ring_of;
use crate::specimen::token_saying;
use crate::token::Profile;
use crate::token::TokenError;
use crate::token::VerifiedToken;
use crate::token::verify;

/// A good payload, member by member, as JSON.
pub(super) const GOOD: [(&str, &str); 13] = [
    ("sub", r#""u1""#),
    ("user_id", r#""u1""#),
    ("username", r#""ann""#),
    ("tier", r#""free""#),
    ("scopes", r#"["orders:read"]"#),
    ("scope", r#""orders:read""#),
    ("type", r#""access""#),
    ("iss", r#""https://door.example""#),
    ("iat", "1800000000"),
    ("exp", "1800001800"),
    ("jti", r#""t1""#),
    ("sid", r#""s1""#),
    ("ep", "0"),
];

/// Stands for a member that is left out.
pub(super) const ABSENT: &str = "";

/// What turns [`GOOD`] into a token of the replaced system.
pub(super) const LEGACY: [(&str, &str); 6] = [
    ("sub", r#""ann""#),
    ("iss", ABSENT),
    ("iat", ABSENT),
    ("jti", ABSENT),
    ("sid", ABSENT),
    ("ep", ABSENT),
];

/// [`GOOD`] with other values for `changes`, or with members more.
pub(super) fn payload(changes: &[(&str, &str)]) -> String {
    let changed = |name: &str| changes.iter().rev().find(|(other, _)| *other == name);
    let kept = GOOD.iter().map(|member| changed(member.0).unwrap_or(member));
    let added = changes.iter().filter(|(name, _)| GOOD.iter().all(|(other, _)| other != name));
    let members: Vec<String> = kept
        .chain(added)
        .filter(|(_, json)| *json != ABSENT)
        .map(|(name, json)| format!("\"{name}\":{json}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

pub(super) fn legacy(changes: &[(&str, &str)]) -> String {
    payload(&[&LEGACY, changes].concat())
}

pub(super) fn legacy_profile() -> Profile {
    Profile { accept_legacy: true, ..profile() }
}

/// Verifies a well-signed token that says `payload`.
pub(super) fn read_under(profile: &Profile, payload: &str) -> Result<VerifiedToken, TokenError> {
    verify(&token_saying(payload), &ring_of(Algorithm::HS256), profile, NOW)
}

pub(super) fn read(changes: &[(&str, &str)]) -> Result<VerifiedToken, TokenError> {
    read_under(&profile(), &payload(changes))
}

/// What a refusal says of a token; `None` where it is taken.
pub(super) fn refusal(changes: &[(&str, &str)]) -> Option<TokenError> {
    read(changes).err()
}
