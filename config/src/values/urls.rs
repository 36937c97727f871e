//! URLs that clients or we ourselves are sent to: absolute, and not in the clear but to this machine.

use std::net::IpAddr;

use http::Uri;
use serde_json::Value;
use serde_json::json;

use super::parsed;
use crate::read::Node;
use crate::read::Read;
use crate::report::Report;
use crate::report::shown;

/// The longest URL, in bytes.
const URL_BYTES_MAX: usize = 2048;

/// The parts of an `http` or `https` URL without user or fragment.
pub(super) struct Split<'u> {
    pub(super) scheme: &'u str,
    /// With brackets around an IPv6 address.
    pub(super) host: &'u str,
    pub(super) port: Option<u16>,
    /// Whether there is a path other than `/`, or a query.
    pub(super) beyond_origin: bool,
}

/// Takes an `http` or `https` URL apart.
pub(super) fn split(text: &str) -> Result<Split<'_>, String> {
    let bad = |why: &str| Err(format!("`{}` {why}", shown(text)));
    let Some((scheme, rest)) = text.split_once("://") else {
        return bad("is not an absolute URL");
    };
    if scheme != "http" && scheme != "https" {
        return bad("is not an `http` or `https` URL");
    }
    if text.len() > URL_BYTES_MAX {
        return bad("is longer than 2048 bytes");
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        return bad("has a user or password in it");
    }
    if path.contains('#') {
        return bad("has a fragment");
    }
    // The strict reader of the `http` crate refuses spaces, controls, `\` and what is not ASCII.
    if text.contains('\\') || text.parse::<Uri>().is_err() {
        return bad("is not a URL");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => match port.parse::<u16>() {
            Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => {
                (host, Some(number))
            }
            _ => return bad("has no port from 1 to 65535 after its colon"),
        },
        _ => (authority, None),
    };
    if host.is_empty() {
        return bad("names no host");
    }
    Ok(Split { scheme, host, port, beyond_origin: !matches!(path, "" | "/") })
}

/// Takes a URL apart that must be `https`, or lead to this very machine.
fn split_safe(text: &str) -> Result<Split<'_>, String> {
    let url = split(text)?;
    let bare = url.host.trim_start_matches('[').trim_end_matches(']');
    let address_is_loopback = bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let loopback = address_is_loopback || bare.eq_ignore_ascii_case("localhost");
    if url.scheme == "http" && !loopback {
        let text = shown(text);
        return Err(format!("`{text}` is in the clear: use `https`; `http` is for loopback only"));
    }
    Ok(url)
}

/// An absolute URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebUrl(pub(crate) String);

/// Scheme, host and port, without a final slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin(pub(crate) String);

impl WebUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        split_safe(text).map(|_| Self(text.to_owned()))
    }
}

impl Origin {
    fn parse(text: &str) -> Result<Self, String> {
        if split_safe(text)?.beyond_origin {
            let text = shown(text);
            return Err(format!("`{text}` has a path: write scheme, host and port only"));
        }
        Ok(Self(text.trim_end_matches('/').to_ascii_lowercase()))
    }
}

impl Read for WebUrl {
    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        parsed(&node, report, "a URL", Self::parse)
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^https?://", "maxLength": URL_BYTES_MAX })
    }
}

impl Read for Origin {
    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        parsed(&node, report, "a URL", Self::parse)
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^https?://[^/]+/?$", "maxLength": URL_BYTES_MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_https_or_leads_to_this_machine() {
        for text in [
            "https://app.example.com",
            "https://a/b?c=d",
            "http://localhost:3000/x",
            "http://127.0.0.1:1",
            "http://[::1]:3000",
            "https://[::1]/",
        ] {
            assert!(WebUrl::parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "/x",
            "//a",
            "app.example.com",
            "javascript:alert(1)",
            "http://example.com",
            "http://localhost.example.com",
            "https://u:p@a",
            "https://a#b",
            "https://a\\b",
            "https://",
            "https://a b",
            "HTTPS://a",
            "https://a:99999",
            "https:///x",
            "https://a@b/",
            "http://127.0.0.1@evil.example/",
        ] {
            assert!(WebUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_origin_has_no_path_and_loses_its_final_slash() {
        assert_eq!(Origin::parse("https://A.b/").map(|origin| origin.0), Ok("https://a.b".into()));
        assert!(Origin::parse("https://a/b").is_err());
        assert!(Origin::parse("https://a?b").is_err());
    }
}
