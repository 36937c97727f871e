//! Addresses, networks, host names and endpoints.

use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde_json::Value;
use serde_json::json;

use super::parsed;
use super::urls;
use crate::read::Node;
use crate::read::Read;
use crate::report::Report;
use crate::report::shown;
use crate::types::Endpoint;

/// The longest path of a Unix socket, in bytes (`sun_path` of unix(7), less its final zero).
const SOCKET_PATH_BYTES_MAX: usize = 107;

impl Read for SocketAddr {
    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        parsed(&node, report, "an address and port", |text| {
            text.parse().map_err(|_| {
                let text = shown(text);
                format!(
                    "`{text}` is not an address and port, such as `127.0.0.1:8080` or `[::1]:8080`"
                )
            })
        })
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^.+:[0-9]+$" })
    }
}

impl Read for IpNet {
    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        parsed(&node, report, "a network, such as `\"10.0.0.0/8\"`", network)
    }

    fn schema() -> Value {
        json!({ "type": "string" })
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let network = text.parse::<IpNet>().map_err(|_| {
        format!("`{}` is not a network, such as `10.0.0.0/8`, or an address", shown(text))
    })?;
    if network.prefix_len() == 0 {
        return Err(format!("`{text}` would believe every client's X-Forwarded-For"));
    }
    if network.trunc() != network {
        return Err(format!("`{text}` has bits beyond its prefix; write `{}`", network.trunc()));
    }
    Ok(network)
}

/// A host that a route is for: lower-case, without port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host(pub(crate) String);

impl Host {
    fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        if is_ipv6_literal(&lower) || is_name(&lower) {
            return Ok(Self(lower));
        }
        let right = "a route's host is a bare name or address, such as `api.example.com`, without \
                     scheme, port, wildcard or final dot";
        Err(format!("`{}`: {right}", shown(text)))
    }
}

/// `[` an IPv6 address `]`.
fn is_ipv6_literal(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
}

/// A name of RFC 1123 §2.1 (with `_`, which containers use), or an IPv4 address.
fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let label = |label: &str| {
        let fits = !label.is_empty() && label.len() <= 63;
        fits && label.bytes().all(plain) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

impl Read for Host {
    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        parsed(&node, report, "a host", Self::parse)
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1, "maxLength": 253 })
    }
}

impl Endpoint {
    /// Reads `http://host[:port]`, `https://host[:port]` or `unix:/path`.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path);
        }
        let right = "an endpoint is `http://host:port`, `https://host:port` or `unix:/path`";
        let url = urls::split(text).map_err(|error| format!("{error}; {right}"))?;
        if url.host.is_empty() || url.beyond_origin {
            return Err(format!(
                "`{}` names more than scheme, host and port; {right}",
                shown(text)
            ));
        }
        let host = url.host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if !is_ipv6_literal(url.host) && !is_name(&host) {
            return Err(format!("`{}` names no host; {right}", shown(text)));
        }
        match url.scheme {
            "http" => Ok(Self::Http { host, port: url.port.unwrap_or(80) }),
            _ => Ok(Self::Https { host, port: url.port.unwrap_or(443) }),
        }
    }
}

fn unix(path: &str) -> Result<Endpoint, String> {
    if !path.starts_with('/') || path.ends_with('/') || path.chars().any(char::is_control) {
        let path = shown(path);
        return Err(format!("`unix:{path}` is not an absolute path, such as `unix:/run/app.sock`"));
    }
    if path.len() > SOCKET_PATH_BYTES_MAX {
        return Err(format!("the path is {} bytes long; a socket's may have 107", path.len()));
    }
    Ok(Endpoint::Unix(PathBuf::from(path)))
}

impl Read for Endpoint {
    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        parsed(&node, report, "an endpoint, such as `\"http://10.0.0.5:8000\"`", Self::parse)
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^(https?://|unix:/).+$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_scheme_host_and_port_and_nothing_else() {
        let http = |host: &str, port| Ok(Endpoint::Http { host: host.to_owned(), port });
        assert_eq!(Endpoint::parse("http://10.0.0.5:8000"), http("10.0.0.5", 8000));
        assert_eq!(Endpoint::parse("http://Orders"), http("orders", 80));
        assert_eq!(Endpoint::parse("http://[::1]:80/"), http("::1", 80));
        let https = Endpoint::Https { host: "a.b".to_owned(), port: 443 };
        assert_eq!(Endpoint::parse("https://a.b"), Ok(https));
        assert_eq!(Endpoint::parse("unix:/run/a.sock"), Ok(Endpoint::Unix("/run/a.sock".into())));
        for text in [
            "",
            "orders",
            "orders:80",
            "http://",
            "http://:80",
            "http://a:0",
            "http://a:65536",
            "http://a:",
            "http://a/x",
            "http://a?x",
            "http://a#x",
            "http://u:p@a",
            "ftp://a",
            "http://a b",
            "http://ä",
            "unix:",
            "unix:run",
            "unix:/run/",
            "http://[::1",
            "http://a..b",
            "http://a\\b",
            "http:///x",
        ] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_in_an_endpoint_is_not_repeated() {
        let error = Endpoint::parse("http://ann:hunter2@orders:80").unwrap_err();
        assert!(!error.contains("hunter2") && error.contains("user"), "{error}");
    }

    #[test]
    fn a_socket_path_of_107_bytes_is_the_longest() {
        let path = |length: usize| format!("unix:/{}", "a".repeat(length - 1));
        assert!(Endpoint::parse(&path(SOCKET_PATH_BYTES_MAX)).is_ok());
        assert!(Endpoint::parse(&path(SOCKET_PATH_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_network_without_a_prefix_is_one_address_and_all_addresses_are_none() {
        assert_eq!(network("10.1.2.3").unwrap().to_string(), "10.1.2.3/32");
        assert_eq!(network("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(
            network("10.0.0.1/8").unwrap_err(),
            "`10.0.0.1/8` has bits beyond its prefix; write `10.0.0.0/8`"
        );
        for text in ["0.0.0.0/0", "::/0", "", "10.0.0.0/33", "lan"] {
            assert!(network(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_is_lower_cased_and_has_no_port_wildcard_or_final_dot() {
        assert_eq!(Host::parse("API.Example.com"), Ok(Host("api.example.com".to_owned())));
        assert!(Host::parse("[::1]").is_ok());
        for text in ["", "a:80", "*.a", "a.", "http://a", "a/b", "a b", "-a", "ä.de", "[::1]:80"] {
            assert!(Host::parse(text).is_err(), "{text}");
        }
    }
}
