//! The token in an `Authorization` header (RFC 6750 §2.1): read alike wherever one is read.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The longest `Authorization` header, in bytes.
pub const AUTHORIZATION_BYTES_MAX: usize = 8 * 1024;

/// Two headers, one that is too long, another scheme than `Bearer`, or no single token behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a credential that is no bearer token")]
pub struct MalformedCredential;

/// The bearer token among `headers`; `None` where no credential was sent at all.
///
/// # Errors
/// [`MalformedCredential`]: what is sent must hold, and is never taken for nothing
/// (CVE-2026-25748).
pub fn token(headers: &HeaderMap) -> Result<Option<&str>, MalformedCredential> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() || value.len() > AUTHORIZATION_BYTES_MAX {
        return Err(MalformedCredential);
    }
    let (scheme, token) = value.as_bytes().split_at_checked(6).ok_or(MalformedCredential)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") || token.first() != Some(&b' ') {
        return Err(MalformedCredential);
    }
    let token = token.trim_ascii();
    // More than one word, or a list of them; whether this one is a token is for its reader to say.
    if token.is_empty() || memchr::memchr3(b' ', b'\t', b',', token).is_some() {
        return Err(MalformedCredential);
    }
    std::str::from_utf8(token).map(Some).map_err(|_| MalformedCredential)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(values: &[&str], read: Result<Option<&str>, MalformedCredential>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(token(&headers), read, "{values:?}");
    }

    #[test]
    fn the_scheme_is_read_without_case_and_the_token_whole() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER a.b.c", "Bearer   a.b.c "] {
            check(&[value], Ok(Some("a.b.c")));
        }
        check(&[], Ok(None));
    }

    #[test]
    fn a_malformed_credential_is_refused_never_anonymous() {
        for values in [
            &["Basic dXNlcjpwYXNz"][..],
            &["Bearer"],
            &["Bearer "],
            &["a.b.c"],
            &["Bearer a.b.c x"],
            &["Bearer a.b.c,d"],
            &["Bearera.b.c"],
            &["Bearer\ta.b.c"],
            &["Bearer a.b\tc"],
            &["Bearer a.b.c", "Bearer a.b.c"],
            &[""],
        ] {
            check(values, Err(MalformedCredential));
        }
    }

    #[test]
    fn a_header_of_8_kib_is_the_longest() {
        let longest = "a".repeat(AUTHORIZATION_BYTES_MAX - "Bearer ".len());
        check(&[&format!("Bearer {longest}")], Ok(Some(&longest)));
        check(&[&format!("Bearer {longest}a")], Err(MalformedCredential));
    }
}
