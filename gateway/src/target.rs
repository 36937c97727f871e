//! The one spelling of a path: what is matched, logged and sent upstream is what was sent to us.
//!
//! Nothing is rewritten. A path that some back end could read in two ways is refused instead
//! (CVE-2019-9901, CVE-2021-43557 and their kin): dot segments, empty segments, encoded slashes
//! and dots, double encodings, matrix parameters, backslashes.

/// The longest request target, in bytes.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;

/// A request target in origin form (RFC 9112 §3.2.1) that has one reading only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    path: &'a str,
    query: Option<&'a str>,
}

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Over [`TARGET_BYTES_MAX`].
    #[error("the request target is longer than {TARGET_BYTES_MAX} bytes")]
    Long,
    /// Absolute, authority or asterisk form.
    #[error("the request target must begin with `/`")]
    Form,
    /// `//`.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `.` or `..`.
    #[error("the path has a dot segment")]
    DotSegment,
    /// A byte that must not stand in a path as it is.
    #[error("the path has a character that must be percent-encoded or is not taken")]
    Character,
    /// `%` without two hexadecimal digits.
    #[error("the path has a `%` that encodes nothing")]
    Encoding,
    /// An encoding of something that needs none, or that a back end might decode into structure.
    #[error("the path has a percent-encoding with two readings")]
    AmbiguousEncoding,
    /// Encoded bytes that are no UTF-8.
    #[error("the path does not decode to UTF-8")]
    Utf8,
    /// A query with a byte that must not stand in it.
    #[error("the query has a character that must be percent-encoded")]
    Query,
}

impl<'a> Target<'a> {
    /// Reads a target; refuses every ambiguous spelling.
    ///
    /// # Errors
    /// [`TargetError`], the first that applies.
    pub fn parse(raw: &'a [u8]) -> Result<Self, TargetError> {
        if raw.len() > TARGET_BYTES_MAX {
            return Err(TargetError::Long);
        }
        if raw.first() != Some(&b'/') {
            return Err(TargetError::Form);
        }
        let path_len = check_path(raw)?;
        let query = raw.get(path_len + 1..);
        if query.is_some_and(|query| !query.iter().all(|&b| b.is_ascii_graphic() && b != b'#')) {
            return Err(TargetError::Query);
        }
        // Both were seen to be ASCII, so neither conversion can fail.
        let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).map_err(|_| TargetError::Utf8);
        Ok(Self { path: text(&raw[..path_len])?, query: query.map(text).transpose()? })
    }

    /// The path, beginning with `/`.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// What follows `?`.
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }
}

/// Checks the path at the start of `raw` and says how long it is.
fn check_path(raw: &[u8]) -> Result<usize, TargetError> {
    let mut at = 0;
    let mut encoded = false;
    while let Some(&byte) = raw.get(at) {
        at += match byte {
            b'?' => break,
            b'/' => {
                check_segment_after(&raw[at + 1..])?;
                1
            }
            b'%' => {
                encoded = true;
                check_encoding(&raw[at + 1..])?;
                3
            }
            _ if PLAIN[byte as usize] => 1,
            _ => return Err(TargetError::Character),
        };
    }
    if encoded && !decodes_to_utf8(&raw[..at]) {
        return Err(TargetError::Utf8);
    }
    Ok(at)
}

/// The segment after a `/` must be neither empty (but at the very end) nor a dot segment.
fn check_segment_after(rest: &[u8]) -> Result<(), TargetError> {
    let ends = |at: usize| matches!(rest.get(at), None | Some(b'/' | b'?'));
    match rest {
        [b'/', ..] => Err(TargetError::EmptySegment),
        [b'.', ..] if ends(1) => Err(TargetError::DotSegment),
        [b'.', b'.', ..] if ends(2) => Err(TargetError::DotSegment),
        _ => Ok(()),
    }
}

fn check_encoding(after_percent: &[u8]) -> Result<(), TargetError> {
    let byte = decoded(after_percent).ok_or(TargetError::Encoding)?;
    let structural = matches!(byte, b'/' | b'\\' | b';' | b'%');
    let needless = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    if structural || needless || byte.is_ascii_control() {
        return Err(TargetError::AmbiguousEncoding);
    }
    Ok(())
}

fn decoded(hex: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*hex.get(at)?).to_digit(16);
    Some((digit(0)? << 4 | digit(1)?) as u8)
}

fn decodes_to_utf8(path: &[u8]) -> bool {
    let mut bytes = Vec::with_capacity(path.len());
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        let (byte, width) = match byte {
            b'%' => (decoded(&path[at + 1..]).unwrap_or_default(), 3),
            _ => (byte, 1),
        };
        bytes.push(byte);
        at += width;
    }
    std::str::from_utf8(&bytes).is_ok()
}

/// What may stand in a path as it is: `pchar` (RFC 3986 §3.3) without `;` and `%`.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        plain[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b','
                    | b'='
                    | b':'
                    | b'@'
            );
        byte += 1;
    }
    plain
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plain_path_and_its_query_are_taken_as_they_are() {
        let target = Target::parse(b"/api/orders/7?a=b%2Fc&d=%00").expect("plain");
        assert_eq!(target.path(), "/api/orders/7");
        assert_eq!(target.query(), Some("a=b%2Fc&d=%00"));
        assert_eq!(Target::parse(b"/").expect("plain").query(), None);
        assert!(Target::parse("/caf%C3%A9/%20x/".as_bytes()).is_ok());
        assert!(Target::parse(b"/.well-known/jwks.json").is_ok());
        assert!(Target::parse(b"/...").is_ok());
    }

    #[test]
    fn every_ambiguous_spelling_is_refused() {
        for (raw, why) in [
            ("//x", TargetError::EmptySegment),
            ("/a//b", TargetError::EmptySegment),
            ("/a/./b", TargetError::DotSegment),
            ("/a/..", TargetError::DotSegment),
            ("/a/../b", TargetError::DotSegment),
            ("/..?x", TargetError::DotSegment),
            ("/a%2fb", TargetError::AmbiguousEncoding),
            ("/a%2Fb", TargetError::AmbiguousEncoding),
            ("/a%5cb", TargetError::AmbiguousEncoding),
            ("/%2e%2e/b", TargetError::AmbiguousEncoding),
            ("/%61dmin", TargetError::AmbiguousEncoding),
            ("/a%252fb", TargetError::AmbiguousEncoding),
            ("/a%00", TargetError::AmbiguousEncoding),
            ("/a%0d%0a", TargetError::AmbiguousEncoding),
            ("/a%3bb", TargetError::AmbiguousEncoding),
            ("/a;b", TargetError::Character),
            ("/a\\b", TargetError::Character),
            ("/a#b", TargetError::Character),
            ("/caf\u{e9}", TargetError::Character),
            ("/a%zz", TargetError::Encoding),
            ("/a%2", TargetError::Encoding),
            ("/a%ff", TargetError::Utf8),
            ("/a?b#c", TargetError::Query),
            ("http://other/admin", TargetError::Form),
            ("*", TargetError::Form),
            ("", TargetError::Form),
        ] {
            assert_eq!(Target::parse(raw.as_bytes()), Err(why), "{raw}");
        }
    }

    #[test]
    fn a_target_of_8192_bytes_is_the_longest() {
        let of = |bytes: usize| format!("/{}", "a".repeat(bytes - 1)).into_bytes();
        assert!(Target::parse(&of(TARGET_BYTES_MAX)).is_ok());
        assert_eq!(Target::parse(&of(TARGET_BYTES_MAX + 1)), Err(TargetError::Long));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn what_is_taken_is_what_was_sent(raw in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(target) = Target::parse(&raw) {
                let mut again = target.path().to_owned();
                if let Some(query) = target.query() {
                    again.push('?');
                    again.push_str(query);
                }
                prop_assert_eq!(again.as_bytes(), &raw[..]);
                prop_assert!(!target.path().contains("//"));
                prop_assert!(!target.path().split('/').any(|s| s == "." || s == ".."));
            }
        }

        #[test]
        fn no_decoding_of_a_taken_path_adds_structure(raw in "(/|%|2|e|E|f|F|5|c|C|\\.|a|;|\\\\){1,24}") {
            let raw = format!("/{raw}");
            if let Ok(target) = Target::parse(raw.as_bytes()) {
                let mut decoded_path = String::new();
                let bytes = target.path().as_bytes();
                let mut at = 0;
                while at < bytes.len() {
                    if bytes[at] == b'%' {
                        decoded_path.push(char::from(decoded(&bytes[at + 1..]).expect("taken")));
                        at += 3;
                    } else {
                        decoded_path.push(char::from(bytes[at]));
                        at += 1;
                    }
                }
                let slashes = |s: &str| s.bytes().filter(|b| *b == b'/').count();
                prop_assert_eq!(slashes(&decoded_path), slashes(target.path()));
                prop_assert!(!decoded_path.contains(['\\', ';', '%']));
            }
        }
    }
}
