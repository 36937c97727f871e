//! What a back end sees: the request as it came, less what a client may not say, plus who it is
//! from.
//!
//! Client copies of identity headers go first, on public routes too, in every spelling that some
//! server takes for the same name (CVE-2025-64484). What `Connection` names goes before ours are
//! added, so that it cannot make a later hop drop them (CVE-2026-105299).

use config::Authorization;
use http::HeaderName;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use http::header::CONNECTION;
use http::header::UPGRADE;
use pingora::http::RequestHeader;
use pingora::http::ResponseHeader;
use pingora::prelude::Result;

use kernel::front::CLIENT_ADDRESS;
use kernel::front::FLEET_TOKEN;
use kernel::front::REQUEST_ID;

use crate::auth::Known;
use crate::auth::header_text;
use crate::limit::standing::Standing;

/// The headers that only we may set, lower case.
pub const IDENTITY_HEADERS: [&str; 15] = [
    "x-user-id",
    "x-username",
    "x-user-tier",
    "x-user-scopes",
    "x-session-id",
    REQUEST_ID,
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-real-ip",
    "forwarded",
    CLIENT_ADDRESS,
    FLEET_TOKEN,
];

/// By these some back end or framework is told another caller, address, path or method than those
/// that were decided about, lower case. Nobody sets them on this side, so they go.
pub const FOREIGN_HEADERS: [&str; 18] = [
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-uri",
    "x-remote-user",
    "remote-user",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    // CGI makes `HTTP_PROXY` of it, and libraries obey that (CVE-2016-5385).
    "proxy",
    "x-forwarded-path",
];

/// What is told of a request beside who sent it.
#[derive(Debug)]
pub struct Facts {
    /// `X-Request-Id`.
    pub request_id: HeaderValue,
    /// `traceparent`, where the client sent none that holds.
    pub traceparent: Option<HeaderValue>,
    /// The chain of addresses that trusted proxies vouch for, ours last.
    pub forwarded_for: HeaderValue,
    /// `X-Forwarded-Proto`.
    pub proto: HeaderValue,
    /// The `Host` header.
    pub host: Option<HeaderValue>,
}

/// Removes what a client may not say.
pub fn strip(request: &mut RequestHeader, allow_underscores: bool, authorization: Authorization) {
    let names = request.headers.keys();
    let reserved = names.filter(|name| is_reserved(name.as_str(), allow_underscores));
    let mut doomed: Vec<HeaderName> = reserved.cloned().collect();
    let mut upgrades = false;
    if request.headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = named_in_connection(request).collect();
        // Both are needed (RFC 9110 §7.8); who sends one of them asks for nothing.
        upgrades = named.contains(&UPGRADE) && request.headers.contains_key(UPGRADE);
        doomed.extend(named.into_iter().filter(|name| !NOT_TO_DROP.contains(&name.as_str())));
        doomed.push(CONNECTION);
    }
    if authorization == Authorization::Strip {
        request.remove_header(&AUTHORIZATION);
    }
    for name in doomed {
        request.remove_header(&name);
    }
    if upgrades {
        // A name and a value of ours: it cannot fail.
        let _ = request.insert_header(CONNECTION, "Upgrade");
    }
}

/// The headers that `Connection` says are for this hop alone (RFC 9110 §7.6.1).
fn named_in_connection(request: &RequestHeader) -> impl Iterator<Item = HeaderName> {
    let values = request.headers.get_all(CONNECTION).into_iter();
    let tokens = values.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    tokens.filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
}

/// What `Connection` may not take away: framing, routing, the upgrade itself, and what makes a
/// preflight one.
const NOT_TO_DROP: [&str; 7] = [
    "host",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "connection",
    "origin",
    "access-control-request-method",
];

/// Whether a header of this (lower-case) name stays here: it is ours to set or nobody's, in any
/// spelling; or it has a character that some server reads as `-`. CGI makes `_` of all but letters
/// and digits, so `x.user.id` and `x_user_id` arrive as `x-user-id` does.
fn is_reserved(name: &str, allow_underscores: bool) -> bool {
    let bytes = name.as_bytes();
    let plain =
        |b: &u8| b.is_ascii_alphanumeric() || *b == b'-' || (allow_underscores && *b == b'_');
    if !bytes.iter().all(plain) {
        return true;
    }
    if !matches!(bytes.first(), Some(b'x' | b'f' | b'r' | b't' | b'p')) {
        return false;
    }
    IDENTITY_HEADERS.iter().chain(&FOREIGN_HEADERS).any(|ours| {
        ours.len() == bytes.len()
            && ours.bytes().zip(bytes).all(|(a, &b)| a == b || (a == b'-' && b == b'_'))
    })
}

/// Names the caller to a back end.
///
/// # Errors
/// pingora's, should it refuse a header; none of ours can be refused.
pub fn name_caller(
    request: &mut RequestHeader,
    known: &Known,
    tier: &HeaderValue,
    scopes: Option<HeaderValue>,
) -> Result<()> {
    request.insert_header("X-User-Id", known.user_id.clone())?;
    request.insert_header("X-Username", known.username.clone())?;
    request.insert_header("X-User-Tier", tier.clone())?;
    request.insert_header("X-User-Scopes", scopes.unwrap_or_else(|| known.scopes.clone()))?;
    if let Some(session) = &known.session {
        request.insert_header("X-Session-Id", session.clone())?;
    }
    Ok(())
}

/// States the facts of a request to a back end.
///
/// # Errors
/// As [`name_caller`].
pub fn state_facts(request: &mut RequestHeader, facts: Facts) -> Result<()> {
    request.insert_header("X-Request-Id", facts.request_id)?;
    if let Some(traceparent) = facts.traceparent {
        request.insert_header("traceparent", traceparent)?;
    }
    request.insert_header("X-Forwarded-For", facts.forwarded_for)?;
    request.insert_header("X-Forwarded-Proto", facts.proto)?;
    if let Some(host) = facts.host {
        request.insert_header("X-Forwarded-Host", host)?;
    }
    Ok(())
}

/// Tells a client how it stands with its quota; an upstream's own words on that are replaced.
///
/// # Errors
/// As [`name_caller`].
pub fn state_standing(response: &mut ResponseHeader, standing: Standing) -> Result<()> {
    response.insert_header("X-RateLimit-Limit", number(standing.limit))?;
    response.insert_header("X-RateLimit-Remaining", number(standing.remaining))?;
    response.insert_header("X-RateLimit-Reset", number(standing.reset_s))?;
    match standing.fields {
        Some((policy, limit)) => {
            response.insert_header("RateLimit-Policy", policy)?;
            response.insert_header("RateLimit", limit)?;
        }
        None => {
            response.remove_header("RateLimit-Policy");
            response.remove_header("RateLimit");
        }
    }
    Ok(())
}

fn number(number: impl itoa::Integer) -> HeaderValue {
    let mut digits = itoa::Buffer::new();
    match digits.format(number) {
        "0" => HeaderValue::from_static("0"),
        digits => HeaderValue::from_str(digits).unwrap_or_else(|_| HeaderValue::from_static("0")),
    }
}

/// The chain for `X-Forwarded-For`: what trusted proxies said, then the peer itself.
pub fn forwarded_for(said: Option<&str>, peer: &HeaderValue) -> HeaderValue {
    match said {
        None => peer.clone(),
        Some(said) => header_text(&format!("{said}, {}", peer.to_str().unwrap_or_default())),
    }
}

/// Whether a `traceparent` is one (W3C Trace Context §3.2): version 00, lower-case hexadecimal,
/// neither id zero.
pub fn is_traceparent(value: &[u8]) -> bool {
    let hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let some = |part: &[u8]| hex(part) && part.iter().any(|b| *b != b'0');
    value.len() == 55
        && value.starts_with(b"00-")
        && value[35] == b'-'
        && value[52] == b'-'
        && some(&value[3..35])
        && some(&value[36..52])
        && hex(&value[53..55])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(headers: &[(&str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).expect("request");
        for (name, value) in headers {
            request.append_header((*name).to_owned(), (*value).to_owned()).expect("header");
        }
        request
    }

    fn names(request: &RequestHeader) -> Vec<String> {
        request.headers.keys().map(|name| name.as_str().to_owned()).collect()
    }

    #[test]
    fn what_connection_names_is_gone_before_ours_is_added() {
        let mut request = request(&[
            ("Connection", "x-user-id, X-Custom, keep-alive, host"),
            ("Host", "h"),
            ("X-User-Id", "1"),
            ("X-Custom", "2"),
        ]);
        strip(&mut request, false, Authorization::Strip);
        assert_eq!(names(&request), ["host"]);
    }

    #[test]
    fn an_upgrade_keeps_its_connection_header_and_nothing_else_in_it() {
        let mut request =
            request(&[("Connection", "Upgrade, x-user-id"), ("Upgrade", "websocket")]);
        strip(&mut request, false, Authorization::Strip);
        assert_eq!(
            request.headers.get(CONNECTION).map(HeaderValue::as_bytes),
            Some(&b"Upgrade"[..])
        );
    }

    #[test]
    fn an_upgrade_that_connection_does_not_name_is_none() {
        for headers in
            [&[("Upgrade", "websocket")][..], &[("Upgrade", "x"), ("Connection", "close")]]
        {
            let mut request = request(headers);
            strip(&mut request, false, Authorization::Strip);
            assert_eq!(request.headers.get(CONNECTION), None);
        }
    }

    #[test]
    fn authorization_goes_or_stays_as_the_route_says() {
        let mut stripped = request(&[("Authorization", "Bearer x")]);
        let mut kept = stripped.clone();
        strip(&mut stripped, false, Authorization::Strip);
        strip(&mut kept, false, Authorization::Original);
        assert_eq!(names(&stripped), [""; 0]);
        assert_eq!(names(&kept), ["authorization"]);
    }

    #[test]
    fn a_traceparent_is_taken_only_if_it_is_one() {
        let good = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_traceparent(good));
        assert!(!is_traceparent(&good[..54]));
        assert!(!is_traceparent(b"00-00000000000000000000000000000000-b7ad6b7169203331-01"));
        assert!(!is_traceparent(b"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_spelling_of_an_identity_header_passes(
            name in prop::sample::select([&IDENTITY_HEADERS[..], &FOREIGN_HEADERS].concat()),
            capitals in any::<u64>(),
            others in any::<u64>(),
            other in prop::sample::select(b"_.!#$%&'*+^`|~".to_vec()),
            allow in any::<bool>(),
        ) {
            let spelled: String = name
                .chars()
                .enumerate()
                .map(|(i, c)| match c {
                    '-' if others >> i & 1 == 1 => char::from(other),
                    c if capitals >> i & 1 == 1 => c.to_ascii_uppercase(),
                    c => c,
                })
                .collect();
            let mut request = request(&[(&spelled, "spoofed"), ("X-Other", "stays")]);
            strip(&mut request, allow, Authorization::Strip);
            prop_assert_eq!(names(&request), ["x-other"]);
        }
    }
}
