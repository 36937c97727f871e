//! URLs of database servers: `scheme://user:password@host:port/name?parameters`.
//!
//! Errors never repeat the text, since there may be a password in it.

use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::percent_decode_str;
use percent_encoding::utf8_percent_encode;

/// All that is not unreserved (RFC 3986 §2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The longest URL, in bytes.
const URL_BYTES_MAX: usize = 4096;

/// A server's URL, taken apart and decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerUrl {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    /// A name or address; IPv6 in brackets.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    /// The path without its slash: a database's name or number.
    pub(crate) name: String,
    /// What follows `?`, as written.
    pub(crate) parameters: Option<String>,
}

impl ServerUrl {
    /// Reads what follows `scheme://`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let bad = |why: &str| Err(why.to_owned());
        if text.len() > URL_BYTES_MAX {
            return bad("the URL is longer than 4096 bytes");
        }
        let strange = |c: char| c.is_control() || c == ' ' || c == '\\' || c == '#';
        if text.chars().any(strange) {
            return bad("the URL has a character that must be percent-encoded");
        }
        let (rest, parameters) = match text.split_once('?') {
            Some((rest, parameters)) => (rest, Some(parameters.to_owned())),
            None => (text, None),
        };
        let (authority, name) = rest.split_once('/').unwrap_or((rest, ""));
        if name.contains(['/', '@']) || authority.matches('@').count() > 1 {
            return bad("the URL has a `/` or `@` too many: in a password write `%2F`, `%40`");
        }
        let (user, password, server) = match authority.split_once('@') {
            None => (None, None, authority),
            Some((user, server)) => match user.split_once(':') {
                None => (Some(decoded(user)?), None, server),
                Some((user, password)) => (Some(decoded(user)?), Some(decoded(password)?), server),
            },
        };
        let (host, port) = host_and_port(server)?;
        let user = user.filter(|user| !user.is_empty());
        Ok(Self { user, password, host, port, name: decoded(name)?, parameters })
    }

    /// The URL, percent-encoded.
    pub(crate) fn spell(&self, scheme: &str) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
        let mut url = format!("{scheme}://");
        url.push_str(&self.user.as_deref().map(encoded).unwrap_or_default());
        if let Some(password) = &self.password {
            url.push(':');
            url.push_str(&encoded(password));
        }
        if self.user.is_some() || self.password.is_some() {
            url.push('@');
        }
        url.push_str(&self.host);
        if let Some(port) = self.port {
            url.push_str(&format!(":{port}"));
        }
        url.push('/');
        url.push_str(&encoded(&self.name));
        if let Some(parameters) = &self.parameters {
            url.push('?');
            url.push_str(parameters);
        }
        url
    }
}

/// Reads `host[:port]`.
pub(crate) fn host_and_port(server: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(self::port(port)?)),
        _ => (server, None),
    };
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let good = match inner {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
            !host.is_empty() && host.len() <= 253 && host.bytes().all(plain)
        }
    };
    if !good {
        return Err("there is no host name or address where one belongs".to_owned());
    }
    Ok((host.to_owned(), port))
}

/// Reads a port.
pub(crate) fn port(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let port = text.parse::<u16>().ok().filter(|port| digits && *port > 0);
    port.ok_or_else(|| "the port is not a whole number from 1 to 65535".to_owned())
}

fn decoded(text: &str) -> Result<String, String> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        if !after.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) {
            return Err("the URL has a `%` without two digits; write `%25`".to_owned());
        }
        rest = after;
    }
    let text = percent_decode_str(text).decode_utf8();
    let text = text.map_err(|_| "the URL's percent-encoding is not UTF-8".to_owned())?;
    if text.contains('\0') {
        return Err("the URL has a zero byte in it".to_owned());
    }
    Ok(text.into_owned())
}
