//! The door for gateways that run apart: TLS, and bounds for whoever knocks.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::server::graceful::Watcher;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::connection::serve;
use super::seldom::Seldom;

/// The most connections at one time: two for each gateway that waits, and those of its clients.
pub(crate) const CONNECTIONS_MAX: usize = 16_384;

/// How long a TLS handshake may take.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may be without a whole head: while it is idle, and while one arrives.
/// Gateways let go of it sooner.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// The most headers of one request; a gateway lets through fewer, and adds some.
const HEADERS_MAX: usize = 256;

/// The most bytes of a head: the 64 KiB that a gateway lets through by default, and room for what it
/// adds: the fleet's token, addresses, ids and the host once more.
pub(crate) const HEAD_BYTES_MAX: usize = (64 + 16) * 1024;

/// After a connection that could not be accepted; most often there are too many open files.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How long after a connection that was not let in the log speaks of no other.
const QUIET: Duration = Duration::from_secs(60);

/// What cannot be proved with what is configured. Holds no key material.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// No certificate in it.
    #[error("`fleet.certificate` holds no certificate that can be read")]
    Certificate,
    /// No private key in it.
    #[error("`fleet.private_key` holds no private key that can be read")]
    PrivateKey,
    /// The key is not the certificate's, or of a kind that is not known.
    #[error("`fleet.certificate` and `fleet.private_key` cannot be used together")]
    Pair(#[source] rustls::Error),
}

/// How connections are taken in.
#[derive(Clone)]
pub struct FleetDoor {
    tls: Option<TlsAcceptor>,
    bounds: Bounds,
}

/// What whoever knocks is held to.
#[derive(Clone, Copy)]
struct Bounds {
    connections_max: usize,
    handshake_timeout: Duration,
    head_timeout: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            head_timeout: HEAD_TIMEOUT,
        }
    }
}

impl Bounds {
    fn http(self) -> http1::Builder {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX);
        http
    }
}

impl FleetDoor {
    /// A door that proves who is behind it with what `half` has; in the clear without.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn of(half: &config::AdminHalf) -> Result<Self, ProofError> {
        let tls = half.proof.as_ref().map(acceptor).transpose()?;
        Ok(Self { tls, bounds: Bounds::default() })
    }

    /// How many connections it takes in at one time.
    pub fn connections_max(&self) -> usize {
        self.bounds.connections_max
    }

    /// The same door, which takes in no more than `connections` at one time.
    pub fn at_most(mut self, connections: usize) -> Self {
        self.bounds.connections_max = connections.min(self.bounds.connections_max);
        self
    }

    /// Lets gateways in to `routes` until `shutdown`, then finishes what is under way.
    pub(crate) async fn open(
        self,
        listener: TcpListener,
        routes: Router,
        shutdown: impl Future<Output = ()>,
    ) {
        let room = Arc::new(Semaphore::new(self.bounds.connections_max));
        let leaving = GracefulShutdown::new();
        let mut shutdown = pin!(shutdown);
        let (odd, full) = (Seldom::once_in(QUIET), Seldom::once_in(QUIET));
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = listener.accept() => accepted,
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if odd.is_due(Instant::now()) {
                        tracing::warn!(%error, "a gateway's connection could not be accepted");
                    }
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                if full.is_due(Instant::now()) {
                    tracing::warn!(
                        "more than {} connections of gateways: closed",
                        self.bounds.connections_max
                    );
                }
                continue;
            };
            let (door, routes, watcher) = (self.clone(), routes.clone(), leaving.watcher());
            tokio::spawn(async move {
                door.receive(socket, peer, routes, watcher).await;
                drop(place);
            });
        }
        drop(listener);
        leaving.shutdown().await;
    }

    async fn receive(self, socket: TcpStream, peer: SocketAddr, routes: Router, watcher: Watcher) {
        let http = self.bounds.http();
        // Answers are short, and somebody waits for each.
        let _ = socket.set_nodelay(true);
        let Some(tls) = self.tls else {
            return serve(socket, Some(peer), routes, &http, watcher).await;
        };
        match tokio::time::timeout(self.bounds.handshake_timeout, tls.accept(socket)).await {
            Ok(Ok(stream)) => serve(stream, Some(peer), routes, &http, watcher).await,
            Ok(Err(error)) => tracing::debug!(%error, "{peer} came to no agreement on TLS"),
            Err(_) => tracing::debug!("{peer} took too long to agree on TLS"),
        }
    }
}

fn acceptor(proof: &config::Proof) -> Result<TlsAcceptor, ProofError> {
    let chain = CertificateDer::pem_slice_iter(proof.certificate.expose().as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(|_| ProofError::Certificate)?;
    if chain.is_empty() {
        return Err(ProofError::Certificate);
    }
    let key = PrivateKeyDer::from_pem_slice(proof.private_key.expose().as_bytes());
    let key = key.map_err(|_| ProofError::PrivateKey)?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key);
    let config = config.map_err(|error| match error {
        rustls::Error::InvalidCertificate(_) => ProofError::Certificate,
        error => ProofError::Pair(error),
    });
    Ok(TlsAcceptor::from(Arc::new(config?)))
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use kernel::secret::Secret;
    use test_support::authority::Authority;
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    use tokio::sync::oneshot;

    use super::*;

    const BRIEF: Duration = Duration::from_millis(50);

    /// A door that greets whoever comes in; open until the sender is gone.
    async fn open(tls: bool, bounds: Bounds) -> (SocketAddr, oneshot::Sender<()>) {
        let identity = Authority::new().certifies(&["127.0.0.1"]);
        let proof = config::Proof {
            certificate: Secret::new(identity.certificate),
            private_key: Secret::new(identity.key),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let door = FleetDoor { tls: tls.then(|| acceptor(&proof).unwrap()), bounds };
        let routes = Router::new().route("/", get(async || "hello"));
        let (close, closed) = oneshot::channel::<()>();
        tokio::spawn(door.open(listener, routes, async {
            let _ = closed.await;
        }));
        (here, close)
    }

    /// What the other side says to `said` until it closes the connection.
    async fn heard(stream: &mut TcpStream, said: &str) -> String {
        let mut answer = String::new();
        if stream.write_all(said.as_bytes()).await.is_ok() {
            let _ = stream.read_to_string(&mut answer).await;
        }
        answer
    }

    async fn ask(stream: &mut TcpStream, headers: usize) -> String {
        let mut request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".to_owned();
        (2..headers).for_each(|n| request.push_str(&format!("X-{n}: y\r\n")));
        heard(stream, &format!("{request}\r\n")).await
    }

    #[tokio::test]
    async fn as_many_as_there_is_room_for_are_let_in_and_one_more_when_one_has_left() {
        let bounds = Bounds { connections_max: 2, ..Bounds::default() };
        let (here, _open) = open(false, bounds).await;
        let connect = || async { TcpStream::connect(here).await.unwrap() };
        let (mut first, mut second) = (connect().await, connect().await);
        // Only a head shows that it was let in; it is not finished yet.
        first.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        second.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        assert_eq!(ask(&mut connect().await, 2).await, "");
        assert!(heard(&mut first, "Host: x\r\nConnection: close\r\n\r\n").await.ends_with("hello"));
        let again = async {
            while !ask(&mut connect().await, 2).await.ends_with("hello") {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(HANDSHAKE_TIMEOUT, again).await.unwrap();
    }

    #[test]
    fn a_door_takes_in_fewer_where_there_is_less_room_and_never_more() {
        let door = FleetDoor { tls: None, bounds: Bounds::default() };
        assert_eq!(door.clone().at_most(CONNECTIONS_MAX + 1).connections_max(), CONNECTIONS_MAX);
        assert_eq!(door.at_most(CONNECTIONS_MAX - 1).connections_max(), CONNECTIONS_MAX - 1);
    }

    #[tokio::test]
    async fn who_does_not_begin_to_speak_tls_or_to_ask_is_sent_away() {
        let bounds = Bounds { handshake_timeout: BRIEF, head_timeout: BRIEF, ..Bounds::default() };
        for tls in [true, false] {
            let (here, _open) = open(tls, bounds).await;
            let mut silent = TcpStream::connect(here).await.unwrap();
            let end = tokio::time::timeout(HANDSHAKE_TIMEOUT, heard(&mut silent, "")).await;
            assert_eq!(end.unwrap(), "");
        }
    }

    #[tokio::test]
    async fn a_head_has_at_most_80_kib() {
        let (here, _open) = open(false, Bounds::default()).await;
        let (begin, end) = ("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: ", "\r\n\r\n");
        let fits = "x".repeat(HEAD_BYTES_MAX - begin.len() - end.len());
        let mut stream = TcpStream::connect(here).await.unwrap();
        let answer = heard(&mut stream, &format!("{begin}{fits}{end}")).await;
        assert!(answer.ends_with("hello"), "{answer}");
        // Refused as soon as there is no room for an end; what is sent beyond might break off the
        // answer.
        let mut stream = TcpStream::connect(here).await.unwrap();
        let answer = heard(&mut stream, &format!("{begin}{fits}xxxx")).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }

    #[tokio::test]
    async fn a_request_has_at_most_256_headers() {
        let (here, _open) = open(false, Bounds::default()).await;
        for (headers, status) in [(HEADERS_MAX, "200 OK"), (HEADERS_MAX + 1, "431 ")] {
            let answer = ask(&mut TcpStream::connect(here).await.unwrap(), headers).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{headers}: {answer}");
        }
    }
}
