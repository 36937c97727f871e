//! Names: of routes and upstreams, keys, roles, scopes, methods.

use std::time::Duration;

use kernel::limit::Quota;
use kernel::tier::Tier;
use serde_json::Value;
use serde_json::json;

use super::parsed;
use crate::read::Node;
use crate::read::Read;
use crate::report::Report;
use crate::report::shown;

/// The longest name of a route, an upstream, a provider or a role, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// The longest free text, in bytes.
const TEXT_BYTES_MAX: usize = 1024;
/// The longest scope, in bytes.
const SCOPE_BYTES_MAX: usize = 128;
/// The longest method, in bytes.
const METHOD_BYTES_MAX: usize = 32;
/// The longest name of a queue, in bytes.
const QUEUE_NAME_BYTES_MAX: usize = 128;
/// The longest beginning of names, in bytes.
const PREFIX_BYTES_MAX: usize = 128;

/// Declares a string type with its rule, written twice: as a check and as a schema's pattern.
macro_rules! name {
    ($(#[doc = $doc:literal])+ $name:ident, $wanted:literal, $schema:tt, $parse:expr) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) struct $name(pub(crate) String);

        impl $name {
            /// Reads the text.
            pub(crate) fn parse(text: &str) -> Result<Self, String> {
                let parse: fn(&str) -> Result<(), String> = $parse;
                parse(text).map(|()| Self(text.to_owned()))
            }
        }

        impl Read for $name {
            fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
                parsed(&node, report, $wanted, Self::parse)
            }

            fn schema() -> Value {
                json!($schema)
            }
        }
    };
}

name!(
    /// A name that may stand in logs and metrics.
    Name, "a name",
    { "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$" },
    |text| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if fits(text, NAME_BYTES_MAX) && text.bytes().all(plain) {
            return Ok(());
        }
        Err(format!("`{}` is no name: use 1 to 64 of A-Z, a-z, 0-9, `_`, `.` and `-`", shown(text)))
    }
);

name!(
    /// The name of a key, as it stands in a token's header.
    Kid, "a key's name",
    { "type": "string", "pattern": "^[A-Za-z0-9_.:=-]{1,64}$" },
    |text| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.:=-".contains(&b);
        if fits(text, NAME_BYTES_MAX) && text.bytes().all(plain) {
            return Ok(());
        }
        Err(format!("`{}` is no key name: use 1 to 64 of A-Z, a-z, 0-9 and `_.:=-`", shown(text)))
    }
);

name!(
    /// A scope: a `scope-token` of RFC 6749 §3.3.
    Scope, "a scope",
    { "type": "string", "pattern": "^[!#-\\[\\]-~]{1,128}$" },
    |text| {
        let plain = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if fits(text, SCOPE_BYTES_MAX) && text.bytes().all(plain) {
            return Ok(());
        }
        Err(format!(
            "`{}` is no scope: use 1 to 128 printable ASCII characters other than space, `\"` and `\\`",
            shown(text)
        ))
    }
);

name!(
    /// A request method, in capitals.
    Method, "a method, such as `\"GET\"`",
    { "type": "string", "pattern": "^[A-Z][A-Z-]{0,31}$" },
    |text| {
        let plain = |b: u8| b.is_ascii_uppercase() || b == b'-';
        if matches!(text, "CONNECT" | "TRACE") {
            return Err(format!("`{text}` is never forwarded"));
        }
        if fits(text, METHOD_BYTES_MAX) && text.bytes().all(plain) && !text.starts_with('-') {
            return Ok(());
        }
        Err(format!("`{}` is no method: methods are in capitals, such as `GET`", shown(text)))
    }
);

name!(
    /// The name of a quota, as it stands in `RateLimit-Policy`.
    QuotaName, "a quota's name",
    { "type": "string", "pattern": "^[a-z0-9_-]{1,32}$" },
    |text| match Quota::new(text, 1, Duration::from_secs(1)) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
);

name!(
    /// Any text of one line.
    Text, "a string",
    { "type": "string", "minLength": 1, "maxLength": 1024 },
    |text| {
        if fits(text, TEXT_BYTES_MAX) && !text.chars().any(char::is_control) {
            return Ok(());
        }
        Err(format!("`{}` is not one line of 1 to 1024 bytes", shown(text)))
    }
);

name!(
    /// A Celery queue's name.
    QueueName, "a queue's name",
    { "type": "string", "pattern": "^[!-~]{1,128}$" },
    |text| {
        if fits(text, QUEUE_NAME_BYTES_MAX) && text.bytes().all(|b| b.is_ascii_graphic()) {
            return Ok(());
        }
        Err(format!("`{}` is no queue's name: use 1 to 128 visible ASCII characters", shown(text)))
    }
);

name!(
    /// What names in a Redis begin with; nothing is something, too.
    Prefix, "what names begin with",
    { "type": "string", "pattern": "^[!-~]{0,128}$" },
    |text| {
        if text.len() <= PREFIX_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic()) {
            return Ok(());
        }
        Err(format!("`{}` begins no name: use at most 128 visible ASCII characters", shown(text)))
    }
);

fn fits(text: &str, bytes_max: usize) -> bool {
    !text.is_empty() && text.len() <= bytes_max
}

impl Read for Tier {
    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        parsed(&node, report, "a tier's name", Self::parse)
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[a-z0-9_-]{1,32}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_scope_token_of_rfc_6749() {
        for text in ["a", "orders:read", "!", "~", "a/b", "x'y"] {
            assert!(Scope::parse(text).is_ok(), "{text}");
        }
        for text in ["", "a b", "a\"b", "a\\b", "ä", "a\tb", "\u{7f}"] {
            assert!(Scope::parse(text).is_err(), "{text}");
        }
        assert!(Scope::parse(&"a".repeat(SCOPE_BYTES_MAX)).is_ok());
        assert!(Scope::parse(&"a".repeat(SCOPE_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_method_is_in_capitals_and_never_connect_or_trace() {
        assert!(Method::parse("GET").is_ok());
        assert!(Method::parse("M-SEARCH").is_ok());
        for text in ["get", "", "GET ", "-", "CONNECT", "TRACE", "G3T"] {
            assert!(Method::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_queue_has_a_visible_name_and_what_names_begin_with_may_be_nothing() {
        assert!(QueueName::parse(&"q".repeat(QUEUE_NAME_BYTES_MAX)).is_ok());
        assert!(QueueName::parse(&"q".repeat(QUEUE_NAME_BYTES_MAX + 1)).is_err());
        assert!(Prefix::parse(&"p".repeat(PREFIX_BYTES_MAX)).is_ok());
        assert!(Prefix::parse(&"p".repeat(PREFIX_BYTES_MAX + 1)).is_err());
        assert!(QueueName::parse("").is_err() && Prefix::parse("").is_ok());
        for text in ["a b", "ä", "a\u{6}\u{16}3"] {
            assert!(QueueName::parse(text).is_err() && Prefix::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_of_64_bytes_is_the_longest() {
        assert!(Name::parse(&"a".repeat(64)).is_ok());
        assert!(Name::parse(&"a".repeat(65)).is_err());
        assert!(Name::parse("").is_err());
        assert!(Name::parse("a b").is_err());
    }
}
