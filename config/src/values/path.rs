//! Paths of routes: canonical, and never ours.

use kernel::front;
use serde_json::Value;
use serde_json::json;

use super::parsed;
use crate::read::Node;
use crate::read::Read;
use crate::report::Report;
use crate::report::shown;
use crate::types::PathPattern;

/// The longest path of a route, in bytes.
const PATH_BYTES_MAX: usize = 1024;

/// What a path may have beside letters and digits: `pchar` of RFC 3986 §3.3 without `%` and `;`,
/// which allow two spellings of one path.
const SIGNS: &str = "-._~!$&'()*+,=:@/";

impl PathPattern {
    /// Reads `/segment/prefix`, or `=/exact`.
    ///
    /// # Errors
    /// What makes the path one that no request can have, or that several spellings have.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (path, exact) = match text.strip_prefix('=') {
            Some(path) => (path, true),
            None => (text, false),
        };
        let bad = |why: &str| Err(format!("`{}` {why}", shown(text)));
        if !path.starts_with('/') {
            return bad("does not begin with `/`");
        }
        if path.len() > PATH_BYTES_MAX {
            return bad(&format!("is longer than {PATH_BYTES_MAX} bytes"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || SIGNS.contains(c);
        if let Some(odd) = path.chars().find(|c| !plain(*c)) {
            let odd = odd.escape_default();
            return bad(&format!("has `{odd}` in it: use letters, digits and `{SIGNS}`"));
        }
        if path.contains("//") {
            return bad("has an empty segment `//`");
        }
        if path.split('/').any(|segment| segment == "." || segment == "..") {
            return bad("has a segment `.` or `..`");
        }
        if exact {
            return Ok(Self::Exact(path.to_owned()));
        }
        match path.strip_suffix('/') {
            None | Some("") => Ok(Self::Prefix(path.to_owned())),
            Some(stem) => bad(&format!("ends with `/`: `{stem}` covers all below it")),
        }
    }

    /// The path itself.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(path) | Self::Prefix(path) => path,
        }
    }
}

impl std::fmt::Display for PathPattern {
    /// As it is written in the file.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "={path}"),
            Self::Prefix(path) => f.write_str(path),
        }
    }
}

impl Read for PathPattern {
    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        parsed(&node, report, "a path, such as `\"/api\"`", Self::parse)
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^=?/", "maxLength": PATH_BYTES_MAX + 1 })
    }
}

/// What a server is asked for: a path, and a query if need be (`origin-form`, RFC 9112 §3.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target(pub(crate) String);

impl Target {
    fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!("`{}` does not begin with `/`", shown(text)));
        }
        if text.len() > PATH_BYTES_MAX {
            return Err(format!("`{}` is longer than {PATH_BYTES_MAX} bytes", shown(text)));
        }
        match text.chars().find(|c| !c.is_ascii_graphic() || *c == '#') {
            Some(odd) => Err(format!("`{}` has `{}` in it", shown(text), odd.escape_default())),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl Read for Target {
    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        parsed(&node, report, "a path, such as `\"/health\"`", Self::parse)
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^/", "maxLength": PATH_BYTES_MAX })
    }
}

/// The mount on which a route with this path would never be reached.
pub(crate) fn overlapping_mount(path: &PathPattern) -> Option<&'static str> {
    let between_halves = front::is_between_halves(path.as_str()).then_some(front::BETWEEN_HALVES);
    front::mount_of(path.as_str()).or(between_halves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_exact_or_a_prefix_of_whole_segments() {
        assert_eq!(
            PathPattern::parse("/api/orders"),
            Ok(PathPattern::Prefix("/api/orders".into()))
        );
        assert_eq!(PathPattern::parse("/"), Ok(PathPattern::Prefix("/".into())));
        assert_eq!(PathPattern::parse("=/"), Ok(PathPattern::Exact("/".into())));
        assert_eq!(PathPattern::parse("=/a/"), Ok(PathPattern::Exact("/a/".into())));
    }

    #[test]
    fn what_a_server_is_asked_for_is_a_path_and_perhaps_a_query() {
        for text in ["/", "/warm-up", "/a//b/", "/a%20b?model=x&y", "/a;b"] {
            assert_eq!(Target::parse(text), Ok(Target(text.to_owned())));
        }
        for text in ["", "warm-up", "http://a/b", "/a b", "/a#b", "/ä", "/a\nb"] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
        assert!(Target::parse(&format!("/{}", "a".repeat(PATH_BYTES_MAX - 1))).is_ok());
        assert!(Target::parse(&format!("/{}", "a".repeat(PATH_BYTES_MAX))).is_err());
    }

    #[test]
    fn a_path_with_two_spellings_is_refused() {
        for text in [
            "", "api", "=api", "//", "/a//b", "/a/.", "/./a", "/a/../b", "/..", "/a%20b", "/a\\b",
            "/a?b", "/a#b", "/a;b", "/a b", "/ä", "/a\n", "/a/", "==/a", "/{id}", "/<a>",
        ] {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
        assert!(PathPattern::parse(&format!("/{}", "a".repeat(PATH_BYTES_MAX - 1))).is_ok());
        assert!(PathPattern::parse(&format!("/{}", "a".repeat(PATH_BYTES_MAX))).is_err());
    }
}
