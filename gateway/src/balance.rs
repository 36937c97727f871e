//! Upstreams: which endpoint a request goes to, and how it is reached.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::ToSocketAddrs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use config::Endpoint;
use config::GatewayHalf;
use config::Upstream;
use outbound::NoRoots;
use parking_lot::RwLock;
use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::WrappedX509;
use pingora::utils::tls::parse_x509;

/// The longest Unix socket path, in bytes (`sun_path`, less its terminator).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// An endpoint that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// A name without an address.
    #[error("upstream `{upstream}`: `{host}` has no address: {why}")]
    Unresolved {
        /// Which upstream.
        upstream: String,
        /// The name.
        host: String,
        /// What the resolver said.
        why: String,
    },
    /// A socket path that does not fit.
    #[error(
        "the socket path `{0}` is longer than {SOCKET_PATH_BYTES_MAX} bytes or not plain text; use a shorter one"
    )]
    SocketPath(String),
    /// Certificates that vouch for nobody.
    #[error("`fleet.ca`: {0}")]
    Roots(#[from] NoRoots),
}

/// The endpoints of one upstream, taken in turn.
#[derive(Debug)]
pub struct Pool {
    name: String,
    endpoints: Vec<Endpoint>,
    reach: Reach,
    peers: RwLock<Vec<HttpPeer>>,
    turn: AtomicUsize,
}

/// How the endpoints of a pool are reached.
#[derive(Clone, Debug)]
struct Reach {
    connect: Duration,
    read: Duration,
    /// How long an unused connection is kept; `None`: as long as there is room.
    idle: Option<Duration>,
    /// The certificates that vouch for the servers; `None`: the system's.
    roots: Option<Arc<CaType>>,
    /// Connections are not shared with others of another number.
    group: u64,
}

/// How long connecting to the admin API may take.
const ADMIN_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an unused connection to an admin API elsewhere is kept: it lets go of it later than that,
/// so that none is closed under a request that has just begun.
const ADMIN_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

impl Pool {
    /// The pool of a configured upstream, its names resolved.
    ///
    /// # Errors
    /// [`EndpointError`], the first endpoint that cannot be used.
    pub fn new(upstream: &Upstream) -> Result<Self, EndpointError> {
        let reach = Reach {
            connect: upstream.connect_timeout,
            read: upstream.read_timeout,
            // Unused connections are bounded by their number; a timer on each would cost every
            // request.
            idle: None,
            roots: None,
            group: 0,
        };
        let pool = Self::unresolved(&upstream.name, upstream.endpoints.clone(), reach);
        pool.resolve()?;
        Ok(pool)
    }

    /// The pool of an admin API elsewhere. Where its name has no address yet, there is no endpoint
    /// until it is looked up again.
    ///
    /// # Errors
    /// [`EndpointError::Roots`].
    pub fn apart(name: &str, half: &GatewayHalf, read: Duration) -> Result<Self, EndpointError> {
        let roots = half.ca.as_ref().map(|pem| {
            // Found out here: pingora would panic at the first connection.
            outbound::roots_in(pem.expose())?;
            let all = outbound::certificates_in(pem.expose())?;
            let all = all.iter().map(|der| WrappedX509::new(der.to_vec(), parse_x509));
            Ok::<Arc<CaType>, NoRoots>(all.collect())
        });
        let reach = Reach {
            connect: ADMIN_CONNECT_TIMEOUT,
            read,
            idle: Some(ADMIN_IDLE_TIMEOUT),
            roots: roots.transpose()?,
            group: 1,
        };
        let pool = Self::unresolved(name, vec![half.admin.clone()], reach);
        if let Err(error) = pool.resolve() {
            tracing::warn!("{error}; it is looked up again");
        }
        Ok(pool)
    }

    fn unresolved(name: &str, endpoints: Vec<Endpoint>, reach: Reach) -> Self {
        let (peers, turn) = (RwLock::default(), AtomicUsize::new(0));
        Self { name: name.to_owned(), endpoints, reach, peers, turn }
    }

    /// The pool of the one Unix socket at `path`.
    ///
    /// # Errors
    /// [`EndpointError::SocketPath`].
    pub fn unix(name: &str, path: &Path, read: Duration) -> Result<Self, EndpointError> {
        Self::new(&Upstream {
            name: name.to_owned(),
            endpoints: vec![Endpoint::Unix(path.to_owned())],
            connect_timeout: ADMIN_CONNECT_TIMEOUT,
            read_timeout: read,
            warm_up: None,
        })
    }

    /// How many endpoints there are: so often a failed connection is worth another try.
    pub fn endpoints(&self) -> usize {
        self.peers.read().len()
    }

    /// The endpoint whose turn it is.
    pub fn next(&self) -> Option<Box<HttpPeer>> {
        let peers = self.peers.read();
        let turn = match peers.len() {
            0 | 1 => 0,
            many => self.turn.fetch_add(1, Ordering::Relaxed) % many,
        };
        peers.get(turn).cloned().map(Box::new)
    }

    /// Looks all names up again; on failure the last known addresses go on being used.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn resolve(&self) -> Result<(), EndpointError> {
        let mut peers = Vec::new();
        for endpoint in &self.endpoints {
            self.add(endpoint, &mut peers)?;
        }
        *self.peers.write() = peers;
        Ok(())
    }

    /// Whether an address may change, since a name stands for it.
    pub fn has_names(&self) -> bool {
        self.endpoints.iter().any(|endpoint| match endpoint {
            Endpoint::Http { host, .. } | Endpoint::Https { host, .. } => {
                unbracketed(host).parse::<IpAddr>().is_err()
            }
            Endpoint::Unix(_) => false,
        })
    }

    fn add(&self, endpoint: &Endpoint, peers: &mut Vec<HttpPeer>) -> Result<(), EndpointError> {
        match endpoint {
            Endpoint::Http { host, port } => {
                for address in self.addresses(host, *port)? {
                    peers.push(self.tuned(HttpPeer::new(address, false, String::new())));
                }
            }
            Endpoint::Https { host, port } => {
                for address in self.addresses(host, *port)? {
                    let name = unbracketed(host).to_owned();
                    peers.push(self.tuned(HttpPeer::new(address, true, name)));
                }
            }
            Endpoint::Unix(path) => {
                let bad = || EndpointError::SocketPath(path.display().to_string());
                let text = path.to_str().ok_or_else(bad)?;
                if text.len() > SOCKET_PATH_BYTES_MAX {
                    return Err(bad());
                }
                let peer = HttpPeer::new_uds(text, false, String::new()).map_err(|_| bad())?;
                peers.push(self.tuned(peer));
            }
        }
        Ok(())
    }

    fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, EndpointError> {
        let unresolved = |why: String| EndpointError::Unresolved {
            upstream: self.name.clone(),
            host: host.to_owned(),
            why,
        };
        let found = (unbracketed(host), port).to_socket_addrs();
        let found: Vec<_> = found.map_err(|e| unresolved(e.to_string()))?.collect();
        if found.is_empty() {
            return Err(unresolved("the resolver knows none".to_owned()));
        }
        Ok(found)
    }

    fn tuned(&self, mut peer: HttpPeer) -> HttpPeer {
        peer.options.connection_timeout = Some(self.reach.connect);
        peer.options.total_connection_timeout = Some(self.reach.connect);
        // An answer is waited for while a body is still being sent, so this covers both ways.
        peer.options.read_timeout = Some(self.reach.read);
        peer.options.idle_timeout = self.reach.idle;
        peer.options.ca.clone_from(&self.reach.roots);
        peer.group_key = self.reach.group;
        peer
    }
}

/// A host as a server's certificate names it: of an IPv6 address the brackets belong to the URL
/// (RFC 3986 §3.2.2).
fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(url: &str) -> Pool {
        let second = Duration::from_secs(1);
        let endpoints = vec![Endpoint::parse(url).unwrap()];
        let (name, connect_timeout, read_timeout) = ("up".to_owned(), second, second);
        let warm_up = None;
        Pool::new(&Upstream { name, endpoints, connect_timeout, read_timeout, warm_up }).unwrap()
    }

    #[test]
    fn a_server_at_an_ipv6_address_is_held_to_that_address_without_brackets() {
        for (url, name) in [
            ("https://[2001:db8::7]:8443", "2001:db8::7"),
            ("https://192.0.2.7", "192.0.2.7"),
            ("https://localhost", "localhost"),
        ] {
            assert_eq!(pool(url).next().unwrap().sni, name, "{url}");
        }
    }

    #[test]
    fn an_address_is_no_name_that_would_have_to_be_looked_up_again() {
        for (url, has_names) in
            [("https://[::1]", false), ("http://127.0.0.1", false), ("http://localhost", true)]
        {
            assert_eq!(pool(url).has_names(), has_names, "{url}");
        }
    }
}
