//! Upstreams: which endpoint a request goes to, and how it is reached.

use std::net::SocketAddr;
use std::net::ToSocketAddrs;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use config::Endpoint;
use config::Upstream;
use parking_lot::RwLock;
use pingora::upstreams::peer::HttpPeer;

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
}

/// The endpoints of one upstream, taken in turn.
#[derive(Debug)]
pub struct Pool {
    name: String,
    endpoints: Vec<Endpoint>,
    options: Timeouts,
    peers: RwLock<Vec<HttpPeer>>,
    turn: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
struct Timeouts {
    connect: Duration,
    read: Duration,
}

impl Pool {
    /// The pool of a configured upstream, its names resolved.
    ///
    /// # Errors
    /// [`EndpointError`], the first endpoint that cannot be used.
    pub fn new(upstream: &Upstream) -> Result<Self, EndpointError> {
        let pool = Self {
            name: upstream.name.clone(),
            endpoints: upstream.endpoints.clone(),
            options: Timeouts { connect: upstream.connect_timeout, read: upstream.read_timeout },
            peers: RwLock::default(),
            turn: AtomicUsize::new(0),
        };
        pool.resolve()?;
        Ok(pool)
    }

    /// The pool of the one Unix socket at `path`.
    ///
    /// # Errors
    /// [`EndpointError::SocketPath`].
    pub fn unix(name: &str, path: &Path, read: Duration) -> Result<Self, EndpointError> {
        Self::new(&Upstream {
            name: name.to_owned(),
            endpoints: vec![Endpoint::Unix(path.to_owned())],
            connect_timeout: Duration::from_secs(2),
            read_timeout: read,
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
                host.parse::<std::net::IpAddr>().is_err()
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
                    peers.push(self.tuned(HttpPeer::new(address, true, host.clone())));
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
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found: Vec<_> =
            (bare, port).to_socket_addrs().map_err(|e| unresolved(e.to_string()))?.collect();
        if found.is_empty() {
            return Err(unresolved("the resolver knows none".to_owned()));
        }
        Ok(found)
    }

    fn tuned(&self, mut peer: HttpPeer) -> HttpPeer {
        peer.options.connection_timeout = Some(self.options.connect);
        peer.options.total_connection_timeout = Some(self.options.connect);
        // An answer is waited for while a body is still being sent, so this covers both ways.
        peer.options.read_timeout = Some(self.options.read);
        // Unused connections are bounded by their number; a timer on each would cost every request.
        peer.options.idle_timeout = None;
        peer
    }
}
