//! Who is on the other end of the wire: the client's address, as far as it can be trusted.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// The most hops of a forwarded chain that are looked at.
pub const HOPS_MAX: usize = 32;

/// What a proxy of ours says of a request that it passes on.
#[derive(Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The client: the right-most address in `X-Forwarded-For` that is no proxy of ours. Garbage
    /// in the chain ends the walk at the last address that could be read, at first the peer's.
    pub client: IpAddr,
    /// `X-Forwarded-For` from the client on, the part that our proxies vouch for.
    pub chain: Option<String>,
    /// Whether the client came by TLS.
    pub is_https: bool,
}

impl Forwarded {
    /// Reads what `peer` says; `None` where it is no proxy of ours, and may say nothing.
    pub fn read(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Option<Self> {
        let peer = peer.to_canonical();
        if trusted.is_empty() || !is_trusted(peer, trusted) {
            return None;
        }
        let hops = vouched_hops(headers, trusted);
        let chain: Vec<String> = hops.iter().rev().map(IpAddr::to_string).collect();
        // A proxy that appends puts its own word last.
        let said = headers.get_all("x-forwarded-proto").iter().next_back();
        let proto = said.and_then(|said| said.as_bytes().rsplit(|b| *b == b',').next());
        Some(Self {
            client: hops.last().copied().unwrap_or(peer),
            chain: (!chain.is_empty()).then(|| chain.join(", ")),
            is_https: proto.is_some_and(|proto| proto.trim_ascii() == b"https"),
        })
    }
}

/// The hops that our proxies vouch for, last one first: up to the first that is none of ours.
fn vouched_hops(headers: &HeaderMap, trusted: &[IpNet]) -> Vec<IpAddr> {
    let lines = headers.get_all("x-forwarded-for");
    // Several lines are one list, in order (RFC 9110 §5.3).
    let sent = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|b| *b == b','));
    let mut hops = Vec::new();
    for hop in sent.take(HOPS_MAX) {
        let Some(hop) = std::str::from_utf8(hop).ok().and_then(parse_hop) else {
            break;
        };
        hops.push(hop);
        if !is_trusted(hop, trusted) {
            break;
        }
    }
    hops
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
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

    fn forwarded(peer: &str, lines: &[&str]) -> Option<Forwarded> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_str(line).expect("header"));
        }
        let trusted = ["10.0.0.0/8".parse().expect("net"), "fd00::/8".parse().expect("net")];
        Forwarded::read(peer.parse().expect("peer"), &headers, &trusted)
    }

    fn client(peer: &str, lines: &[&str]) -> String {
        forwarded(peer, lines).map_or(peer.to_owned(), |forwarded| forwarded.client.to_string())
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
        let chain = |peer: &str, line: &str| forwarded(peer, &[line])?.chain;
        let vouched = Some("198.51.100.7, 10.0.0.9".to_owned());
        assert_eq!(chain("10.0.0.1", "1.1.1.1, 198.51.100.7, 10.0.0.9"), vouched);
        assert_eq!(chain("192.0.2.1", "1.1.1.1, 198.51.100.7"), None);
        assert_eq!(chain("10.0.0.1", "unknown"), None);
    }

    #[test]
    fn the_client_is_found_behind_31_proxies_and_behind_one_more_is_not() {
        let behind = |proxies: usize| {
            let line = format!("198.51.100.7{}", ", 10.0.0.9".repeat(proxies));
            client("10.0.0.1", &[&line])
        };
        assert_eq!(behind(HOPS_MAX - 1), "198.51.100.7");
        assert_eq!(behind(HOPS_MAX), "10.0.0.9");
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
