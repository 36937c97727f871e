//! The public listener: takes connections in, reads each head within its bounds, and hands it to
//! the proxy; sees to it that all have left before the house is closed.
//!
//! Architecture Invariant: the proxy behind meets no head that [`head`](crate::head) did not read
//! to its end, so what is malformed gets our answer, and never a second reading.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use http::header::CONTENT_TYPE;
use kernel::problem::MEDIA_TYPE;
use parking_lot::Mutex;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use pingora::time::timeout;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::access_log::Line;
use crate::head::Head;
use crate::head::HeadScan;
use crate::metrics::Counted;
use crate::proxy::Proxy;
use crate::refusal::Malformed;
use crate::refusal::Refusal;
use crate::request_id::RequestId;
use crate::roster::Name;
use crate::roster::Roster;
use crate::snapshot::Snapshot;
use crate::wire::Wire;

/// How many connections to back ends are kept for reuse.
pub const IDLE_UPSTREAM_CONNECTIONS_MAX: usize = 4096;

/// How often a request may be tried: an endpoint that refuses is followed by the next one.
pub const TRIES_MAX: usize = 16;

/// How much of what a refused client goes on sending is read and thrown away, in bytes, so that
/// its end of the connection is not reset before it has read the answer.
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// For how long.
const LINGER_MAX: Duration = Duration::from_secs(1);

/// After a connection that could not be accepted; most often there are too many open files.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How long connections must have been accepted without a failure for the next one to be news.
const OUTAGE_OVER_AFTER: Duration = Duration::from_secs(60);

/// What a connection is held to.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How long a whole head may take.
    pub header_timeout: Duration,
    /// How long a connection may be idle between two requests.
    pub idle_timeout: Duration,
    /// The longest head, in bytes.
    pub headers_bytes_max: usize,
    /// The most connections at one time.
    pub connections_max: usize,
}

impl From<&config::Listen> for Bounds {
    fn from(listen: &config::Listen) -> Self {
        Self {
            header_timeout: listen.header_timeout,
            idle_timeout: listen.idle_timeout,
            headers_bytes_max: listen.headers_bytes_max,
            connections_max: listen.connections_max,
        }
    }
}

/// The door for clients.
pub struct Door {
    proxy: Arc<HttpProxy<Proxy>>,
    snapshot: Arc<Snapshot>,
    bounds: Bounds,
    closing: watch::Receiver<bool>,
    roster: Arc<Roster>,
    outage: Outage,
}

/// Connections that could not be accepted: when that was the last time, at any listener.
#[derive(Default)]
struct Outage(Mutex<Option<Instant>>);

impl Outage {
    /// Notes a failure at `now`; whether it is the first of an outage.
    fn begins(&self, now: Instant) -> bool {
        let before = self.0.lock().replace(now);
        before.is_none_or(|last| now.saturating_duration_since(last) >= OUTAGE_OVER_AFTER)
    }
}

impl Door {
    /// A door before `snapshot`; it lets nobody in any more once `closing` says so.
    pub fn new(snapshot: Arc<Snapshot>, bounds: Bounds, closing: watch::Receiver<bool>) -> Self {
        let conf = ServerConf {
            upstream_keepalive_pool_size: IDLE_UPSTREAM_CONNECTIONS_MAX,
            max_retries: TRIES_MAX,
            ..ServerConf::default()
        };
        let mut proxy = HttpProxy::new(Proxy::new(Arc::clone(&snapshot)), Arc::new(conf));
        proxy.handle_init_modules();
        let roster = Arc::new(Roster::default());
        let outage = Outage::default();
        Self { proxy: Arc::new(proxy), snapshot, bounds, closing, roster, outage }
    }

    /// Lets clients in from `listener` until the door closes.
    pub async fn open(self: Arc<Self>, listener: TcpListener) {
        let mut closing = self.closing.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => self.let_in(socket, peer),
                Err(error) => {
                    if self.outage.begins(Instant::now()) {
                        tracing::warn!(
                            %error,
                            "a connection could not be accepted; it goes on being tried, and is not \
                             said again while it fails"
                        );
                    }
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                }
            }
        }
    }

    /// How many connections are open.
    pub fn inside(&self) -> usize {
        self.roster.inside()
    }

    /// Sends away who is silent for too long, for as long as it runs. Without it nobody is.
    pub async fn keep_moving(&self) {
        Arc::clone(&self.roster).keep().await;
    }

    /// Tells everybody that the house is closing: nothing new is begun, and who only waits leaves.
    pub async fn close(&self) {
        self.roster.close();
        self.proxy.http_cleanup().await;
    }

    fn let_in(self: &Arc<Self>, socket: TcpStream, peer: SocketAddr) {
        let metrics = &self.snapshot.metrics;
        let Some(name) = self.roster.enter(self.bounds.connections_max) else {
            metrics.connections_refused.inc();
            return;
        };
        metrics.connections.inc();
        // Else a short answer waits for the acknowledgement of the one before.
        let _ = socket.set_nodelay(true);
        let placed = name.placed();
        let guest = Guest { door: Arc::clone(self), name, peer };
        let task = tokio::spawn(guest.stay(Box::new(Wire::new(socket, peer))));
        Name::belongs_to(&placed, task.abort_handle());
    }
}

/// One connection.
struct Guest {
    door: Arc<Door>,
    name: Name,
    peer: SocketAddr,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.door.snapshot.metrics.connections.dec();
    }
}

impl Guest {
    /// Request after request, until one side has enough.
    async fn stay(self, mut wire: Box<Wire>) {
        // A connection that was just made is expected to say something at once.
        let mut patience = self.door.bounds.header_timeout;
        loop {
            let head = match self.read_head(&mut wire, patience).await {
                Ok(Some(head)) => head,
                Ok(None) => return,
                Err(malformed) => return self.turn_away(wire, malformed).await,
            };
            let proxy = &self.door.proxy;
            let served = proxy.process_new_http(session(wire, head), &self.door.closing);
            let Some(reused) = served.await else { return };
            let (stream, _) = reused.consume();
            wire = match stream.into_any().downcast() {
                Ok(wire) => wire,
                // What was handed over is what comes back.
                Err(_) => return,
            };
            patience = self.door.bounds.idle_timeout;
        }
    }

    /// Reads the next head; `None` where the client has left, or nothing came in time, or the
    /// door closes.
    async fn read_head(
        &self,
        wire: &mut Wire,
        patience: Duration,
    ) -> Result<Option<Head>, Malformed> {
        let mut scan = HeadScan::new(self.door.bounds.headers_bytes_max);
        if wire.ahead().is_empty() {
            if !self.name.waits(patience) {
                return Ok(None);
            }
            let read = wire.read_ahead().await;
            if !self.name.is_busy() || !matches!(read, Ok(1..)) {
                return Ok(None);
            }
        }
        if let Some(head) = scan.read_on(wire.ahead())? {
            return Ok(Some(head));
        }
        let rest = async {
            while let Ok(1..) = wire.read_ahead().await {
                if let Some(head) = scan.read_on(wire.ahead())? {
                    return Ok(Some(head));
                }
            }
            Ok(None)
        };
        timeout(self.door.bounds.header_timeout, rest).await.unwrap_or(Err(Malformed::Slow))
    }

    /// Answers what is no request, and closes the connection: where the next one would begin,
    /// nobody can tell.
    async fn turn_away(&self, mut wire: Box<Wire>, malformed: Malformed) {
        let (at, began) = (kernel::time::now(), Instant::now());
        let id = RequestId::next();
        let client = self.peer.ip().to_canonical().to_string();
        let refusal = Refusal::from(malformed);
        let problem = refusal.answer("", id.as_str()).problem;
        let body = problem.to_json();
        let head = format!(
            "HTTP/1.1 {} {}\r\n{CONTENT_TYPE}: {MEDIA_TYPE}\r\nContent-Length: {}\r\n\
             X-Request-Id: {}\r\nConnection: close\r\n\r\n",
            problem.status.as_str(),
            problem.title,
            body.len(),
            id.as_str(),
        );
        let answer = async {
            wire.write_all(head.as_bytes()).await?;
            wire.write_all(body.as_bytes()).await?;
            wire.flush().await
        };
        let sent = matches!(timeout(LINGER_MAX, answer).await, Ok(Ok(())));
        let status = if sent { problem.status.as_u16() } else { 0 };
        let metrics = &self.door.snapshot.metrics;
        metrics.refused(&refusal);
        metrics.request_done(Counted::Nowhere, status, began.elapsed());
        let kept = self.door.snapshot.access_log.write(&Line {
            at,
            level: "info",
            request_id: id.as_str(),
            method: "",
            path: "",
            status,
            took: began.elapsed(),
            route: "",
            user_id: "",
            client: &client,
            bytes_sent: body.len(),
            refusal: refusal.code().as_str(),
        });
        if !kept {
            metrics.log_lines_dropped.inc();
        }
        linger(wire).await;
    }
}

/// A request as pingora is to meet it: nothing of the connection but this one.
fn session(mut wire: Box<Wire>, head: Head) -> ServerSession {
    let request = wire.hand_over(head);
    let mut session = ServerSession::new_http1(wire);
    session.set_pipelined_prefix(request);
    session
}

/// Closes our side, and reads on for a while: bytes that nobody reads would reset the connection,
/// and with it the answer that is still on its way.
async fn linger(mut wire: Box<Wire>) {
    wire.give_up();
    // The client may be gone already, and then there is nobody to be polite to.
    let _ = wire.shutdown().await;
    let drain = async {
        let mut bytes = vec![0; 16 * 1024];
        let mut left = LINGER_BYTES_MAX;
        while let Ok(read @ 1..) = wire.read(&mut bytes).await {
            left = left.saturating_sub(read);
            if left == 0 {
                return;
            }
        }
    };
    let _ = timeout(LINGER_MAX, drain).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_said_once_however_often_it_fails_and_again_when_it_was_over() {
        let (outage, mut now) = (Outage::default(), Instant::now());
        assert!(outage.begins(now));
        for _ in 0..1_000 {
            now += OUTAGE_OVER_AFTER - Duration::from_nanos(1);
            assert!(!outage.begins(now));
        }
        now += OUTAGE_OVER_AFTER;
        assert!(outage.begins(now));
        assert!(!outage.begins(now));
    }
}
