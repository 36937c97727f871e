//! Where mail goes out, and in whose name.

use std::net::IpAddr;

use serde_json::Value;
use serde_json::json;

use super::parsed;
use crate::read::Node;
use crate::read::Read;
use crate::report::Report;
use crate::report::shown;
use crate::server_url::host_and_port;
use crate::types::MailSecurity;

/// The longest sender, in bytes.
const MAILBOX_BYTES_MAX: usize = 320;

/// The submission port (RFC 6409 §3.1).
const PORT: u16 = 587;

/// The submission port with TLS from the start (RFC 8314 §3.3).
const PORT_TLS: u16 = 465;

/// A mail server, and how what is said to it is kept secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SmtpUrl {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) security: MailSecurity,
}

/// A sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mailbox(pub(crate) String);

impl SmtpUrl {
    fn parse(text: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("`{}` {why}", shown(text));
        let (scheme, rest) = text
            .split_once("://")
            .filter(|(scheme, _)| matches!(*scheme, "smtp" | "smtps"))
            .ok_or_else(|| bad("is no `smtp://host:port` or `smtps://host:port`"))?;
        let server = rest.strip_suffix('/').unwrap_or(rest);
        if server.contains(['@', '/', '?', '#', '\\']) || server.contains(char::is_whitespace) {
            return Err(bad(
                "has more than host and port: name and password are keys of their own",
            ));
        }
        let (host, port) =
            host_and_port(server).map_err(|why| bad(&format!("is no URL: {why}")))?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let loopback = bare.eq_ignore_ascii_case("localhost")
            || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let security = match scheme {
            "smtps" => MailSecurity::Tls,
            _ if loopback => MailSecurity::Loopback,
            _ => MailSecurity::StartTls,
        };
        let usual = if scheme == "smtps" { PORT_TLS } else { PORT };
        Ok(Self { host: bare.to_owned(), port: port.unwrap_or(usual), security })
    }
}

impl Mailbox {
    fn parse(text: &str) -> Result<Self, String> {
        let address = match text.strip_suffix('>') {
            Some(named) => named.rsplit_once('<').map_or("", |(_, address)| address),
            None => text,
        };
        let sides = address.rsplit_once('@');
        let has_sides =
            sides.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        let fits = text.len() <= MAILBOX_BYTES_MAX && !text.contains(char::is_control);
        if !has_sides || !fits || address.contains(char::is_whitespace) {
            return Err(format!(
                "`{}` is no sender: write `address@example.com` or `Name <address@example.com>`",
                shown(text)
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Read for SmtpUrl {
    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        parsed(&node, report, "a URL", Self::parse)
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^smtps?://[^/@]+/?$" })
    }
}

impl Read for Mailbox {
    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        parsed(&node, report, "a sender", Self::parse)
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "@", "maxLength": MAILBOX_BYTES_MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, host: &str, port: u16, security: MailSecurity) {
        let read = SmtpUrl::parse(text);
        assert_eq!(read, Ok(SmtpUrl { host: host.to_owned(), port, security }), "{text}");
    }

    #[test]
    fn mail_is_sent_in_the_clear_to_this_machine_alone() {
        check("smtp://mail.example.com", "mail.example.com", 587, MailSecurity::StartTls);
        check("smtp://mail.example.com:25/", "mail.example.com", 25, MailSecurity::StartTls);
        check("smtps://mail.example.com", "mail.example.com", 465, MailSecurity::Tls);
        check("smtp://localhost:1025", "localhost", 1025, MailSecurity::Loopback);
        check("smtp://[::1]:1025", "::1", 1025, MailSecurity::Loopback);
        check("smtps://127.0.0.1", "127.0.0.1", 465, MailSecurity::Tls);
    }

    #[test]
    fn a_url_with_a_password_in_it_or_of_another_kind_is_none() {
        for text in [
            "",
            "mail.example.com",
            "http://mail",
            "smtp://",
            "smtp://u:p@mail",
            "smtp://mail/x",
            "smtp://mail?tls=none",
            "smtp://mail:0",
            "smtp://mail:99999",
            "smtp://a b",
        ] {
            assert!(SmtpUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_sender_is_an_address_with_or_without_a_name() {
        for (text, is_one) in [
            ("doorward@example.com", true),
            ("Doorward <doorward@example.com>", true),
            ("doorward", false),
            ("@example.com", false),
            ("doorward@", false),
            ("a b@example.com", false),
            ("a@b.c\r\nBcc: d@e.f", false),
            ("Doorward doorward@example.com>", false),
        ] {
            assert_eq!(Mailbox::parse(text).is_ok(), is_one, "{text}");
        }
    }
}
