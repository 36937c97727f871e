//! The token in the `Authorization` header (RFC 6750 §2.1).

use http::HeaderMap;
use http::header::AUTHORIZATION;
use kernel::secret::Secret;

use super::refusal::Refusal;

/// The longest `Authorization` header that is read, in bytes.
pub(crate) const AUTHORIZATION_BYTES_MAX: usize = 8 * 1024;

/// The bearer token; `None` where no `Authorization` header came at all.
///
/// # Errors
/// [`Refusal::NotAuthenticated`] for two headers, another scheme, or one too long or malformed.
pub(crate) fn optional(headers: &HeaderMap) -> Result<Option<Secret>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() || value.len() > AUTHORIZATION_BYTES_MAX {
        return Err(Refusal::NotAuthenticated);
    }
    let text = value.to_str().map_err(|_| Refusal::NotAuthenticated)?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            let token = token.trim_matches(' ');
            if token.is_empty() || token.contains([' ', '\t', ',']) {
                return Err(Refusal::NotAuthenticated);
            }
            Ok(Some(Secret::new(token)))
        }
        _ => Err(Refusal::NotAuthenticated),
    }
}

/// The bearer token.
///
/// # Errors
/// As [`optional`], and where no header came.
pub(crate) fn required(headers: &HeaderMap) -> Result<Secret, Refusal> {
    optional(headers)?.ok_or(Refusal::NotAuthenticated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], token: Option<&str>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        let read = required(&headers).ok();
        assert_eq!(read.as_ref().map(Secret::expose), token, "{values:?}");
    }

    #[test]
    fn bearer_is_read_in_any_case() {
        check(&["Bearer a.b.c"], Some("a.b.c"));
        check(&["bEARER  a.b.c"], Some("a.b.c"));
    }

    #[test]
    fn anything_else_is_no_credential() {
        check(&[], None);
        check(&["Bearer"], None);
        check(&["Bearer "], None);
        check(&["Bearer a b"], None);
        check(&["Basic YTpi"], None);
        check(&["Bearer a", "Bearer b"], None);
    }

    #[test]
    fn a_header_of_8_kib_is_the_longest() {
        let token = "a".repeat(AUTHORIZATION_BYTES_MAX - "Bearer ".len());
        check(&[&format!("Bearer {token}")], Some(&token));
        check(&[&format!("Bearer {token}a")], None);
    }
}
