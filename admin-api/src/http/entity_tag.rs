//! The version of a resource, as `ETag` and `If-Match` carry it (RFC 9110 §8.8.3, §13.1.1).

use http::HeaderMap;
use http::HeaderValue;
use http::header::IF_MATCH;
use ring::digest::SHA256;
use ring::digest::digest;

use super::refusal::Refusal;
use crate::store::values::hex;

/// The tag of `version`, a number.
pub(crate) fn of(version: u64) -> HeaderValue {
    quoted(&version.to_string())
}

/// The tag of what is written as `text`: the same wherever and whenever that is the same.
pub(crate) fn of_text(text: &str) -> HeaderValue {
    quoted(&hex(digest(&SHA256, text.as_bytes()).as_ref()))
}

fn quoted(digits: &str) -> HeaderValue {
    HeaderValue::try_from(format!("\"{digits}\"")).expect("digits are plain ASCII")
}

/// The version that `If-Match` asks for; `None`: any.
///
/// # Errors
/// [`Refusal::Stale`] for what is no tag of ours, or more than one.
pub(crate) fn asked_for(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let mut given = headers.get_all(IF_MATCH).iter();
    let (Some(value), None) = (given.next(), given.next()) else {
        return if headers.contains_key(IF_MATCH) { Err(Refusal::Stale) } else { Ok(None) };
    };
    match value.to_str().map(str::trim) {
        Ok("*") => Ok(None),
        // What is no tag of ours matches no version.
        Ok(tag) => {
            let number = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            number.and_then(|number| number.parse().ok()).map(Some).ok_or(Refusal::Stale)
        }
        Err(_) => Err(Refusal::Stale),
    }
}
