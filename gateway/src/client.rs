//! Who is on the other end of the wire: the client's address, as far as it can be trusted.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// The most hops of a forwarded chain that are looked at.
pub const HOPS_MAX: usize = 32;

/// The client's address: the peer's, or, where the peer is a trusted proxy, the right-most address
/// in `X-Forwarded-For` that is not one itself. Garbage in the chain ends the walk at the last
/// address that could be read.
pub fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer.to_canonical();
    if trusted.is_empty() || !is_trusted(client, trusted) {
        return client;
    }
    let lines = headers.get_all("x-forwarded-for");
    // Several lines are one list, in order (RFC 9110 §5.3).
    let hops = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|b| *b == b','));
    for hop in hops.take(HOPS_MAX) {
        let Some(hop) = std::str::from_utf8(hop).ok().and_then(parse_hop) else {
            break;
        };
        client = hop;
        if !is_trusted(client, trusted) {
            break;
        }
    }
    client
}

/// The part of `X-Forwarded-For` that a trusted peer vouches for: from the client's own address
/// on, as [`address`] found it. Nothing where the peer is no proxy of ours.
pub fn vouched_chain(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Option<String> {
    if trusted.is_empty() || !is_trusted(peer.to_canonical(), trusted) {
        return None;
    }
    let mut chain = Vec::new();
    let lines = headers.get_all("x-forwarded-for");
    let hops = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|b| *b == b','));
    for hop in hops.take(HOPS_MAX) {
        let Some(hop) = std::str::from_utf8(hop).ok().and_then(parse_hop) else {
            break;
        };
        chain.push(hop.to_string());
        if !is_trusted(hop, trusted) {
            break;
        }
    }
    chain.reverse();
    (!chain.is_empty()).then(|| chain.join(", "))
}

/// Whether `address` is one of our own proxies.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

fn parse_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok();
    // Some proxies add the port.
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|addr| addr.ip()));
    address.map(|address| address.to_canonical())
}

/// The key under which an address is limited: v4 as it is, v6 by its /64, since one customer is
/// given at least that much.
pub fn limit_key(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) >> 64 << 64)),
    }
}

/// Where no address is known (a Unix peer that named none): all such clients are one.
pub const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_str(line).expect("header"));
        }
        let trusted = ["10.0.0.0/8".parse().expect("net"), "fd00::/8".parse().expect("net")];
        address(peer.parse().expect("peer"), &headers, &trusted).to_string()
    }

    #[test]
    fn an_untrusted_peer_cannot_choose_its_address() {
        assert_eq!(client("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
    }

    #[test]
    fn behind_trusted_proxies_the_right_most_untrusted_hop_counts() {
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 198.51.100.7, 10.0.0.9"]), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &["1.1.1.1", "198.51.100.7, 10.0.0.9"]), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["10.0.0.2"]), "10.0.0.2");
        assert_eq!(client("fd00::1", &["[2001:db8::7]:443"]), "2001:db8::7");
        assert_eq!(client("fd00::1", &["[2001:db8::7]"]), "2001:db8::7");
        assert_eq!(client("10.0.0.1", &["198.51.100.7:5555"]), "198.51.100.7");
    }

    #[test]
    fn only_what_trusted_proxies_vouch_for_is_passed_on() {
        let chain = |peer: &str, line: &str| {
            let mut headers = HeaderMap::new();
            headers.append("x-forwarded-for", HeaderValue::from_str(line).expect("header"));
            let trusted = ["10.0.0.0/8".parse().expect("net")];
            vouched_chain(peer.parse().expect("peer"), &headers, &trusted)
        };
        let vouched = Some("198.51.100.7, 10.0.0.9".to_owned());
        assert_eq!(chain("10.0.0.1", "1.1.1.1, 198.51.100.7, 10.0.0.9"), vouched);
        assert_eq!(chain("192.0.2.1", "1.1.1.1, 198.51.100.7"), None);
        assert_eq!(chain("10.0.0.1", "unknown"), None);
    }

    #[test]
    fn garbage_in_the_chain_falls_back_to_the_last_good_hop() {
        assert_eq!(client("10.0.0.1", &["198.51.100.7, unknown"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["unknown, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &["198.51.100.7, , 10.0.0.3"]), "10.0.0.3");
    }

    #[test]
    fn a_v4_address_in_v6_clothes_is_the_v4_address() {
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
    }

    #[test]
    fn a_v6_client_is_limited_by_its_64_bits() {
        let key = |text: &str| limit_key(text.parse().expect("address"));
        assert_eq!(key("2001:db8:1:2:3:4:5:6"), key("2001:db8:1:2:ffff::1"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    }

    proptest! {
        #[test]
        fn rotating_the_left_of_the_chain_changes_nothing(left in "[ -~]{0,40}") {
            let line = format!("{left}, 198.51.100.7, 10.0.0.9");
            prop_assert_eq!(client("10.0.0.1", &[&line]), "198.51.100.7");
        }
    }
}
