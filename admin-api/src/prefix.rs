//! Whose neighbours share a count: the prefix of a client's address.

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv6Addr;

/// How many leading bits of an IPv6 address belong to one subscriber.
const V6_BITS: u32 = 64;

/// The part of an address that one subscriber holds: all of IPv4, a /64 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Prefix {
    /// An address, its host part gone.
    Of(IpAddr),
    /// Nobody said where they come from; all of them share one.
    Unknown,
}

impl Prefix {
    /// The prefix of `client`; an IPv4 address within IPv6 is that address.
    pub(crate) fn of(client: Option<IpAddr>) -> Self {
        match client.map(|client| client.to_canonical()) {
            None => Self::Unknown,
            Some(IpAddr::V4(address)) => Self::Of(IpAddr::V4(address)),
            Some(IpAddr::V6(address)) => {
                let network = address.to_bits() >> (128 - V6_BITS) << (128 - V6_BITS);
                Self::Of(IpAddr::V6(Ipv6Addr::from_bits(network)))
            }
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(IpAddr::V4(address)) => write!(f, "{address}/32"),
            Self::Of(IpAddr::V6(address)) => write!(f, "{address}/{V6_BITS}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(client: &str, prefix: &str) {
        assert_eq!(Prefix::of(client.parse().ok()).to_string(), prefix);
    }

    #[test]
    fn a_subscriber_has_one_address_of_ipv4_and_a_64th_of_ipv6() {
        check("192.0.2.7", "192.0.2.7/32");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64");
        check("::ffff:192.0.2.7", "192.0.2.7/32");
        check("", "unknown");
    }
}
