//! A client's connection, as pingora meets it: a socket that gathers what is written until it is
//! flushed, so that a short answer leaves in one piece, and that ends each request where its head
//! said it would, so that nobody takes the next one for a part of it.
//!
//! pingora's own listener would do this too, but it reads no head within our bounds and answers
//! what is malformed in its own words.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use bytes::BytesMut;
use http::HeaderValue;
use pingora::protocols::GetProxyDigest;
use pingora::protocols::GetSocketDigest;
use pingora::protocols::GetTimingDigest;
use pingora::protocols::Peek;
use pingora::protocols::Shutdown;
use pingora::protocols::SocketDigest;
use pingora::protocols::Ssl;
use pingora::protocols::TimingDigest;
use pingora::protocols::UniqueID;
use pingora::protocols::UniqueIDType;
use pingora::protocols::raw_connect::ProxyDigest;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio::time::sleep;

use crate::auth::header_text;
use crate::head::Body;
use crate::head::Head;

/// How much is gathered before it is written in any case, in bytes: an answer's head and a short
/// body.
pub const GATHERED_BYTES_MAX: usize = 8 * 1024;

/// How long a client may take not a byte of an answer before it is given up.
pub const STALL_MAX: Duration = Duration::from_secs(60);

/// How long a body may come as slowly as it likes.
pub const BODY_GRACE: Duration = Duration::from_secs(30);

/// How fast it must come after that, on the whole, in bytes a second.
pub const BODY_BYTES_PER_SECOND_MIN: u64 = 100;

/// Room for a head of usual size.
const HEAD_BYTES_USUAL: usize = 2048;

/// A client's connection.
#[derive(Debug)]
pub struct Wire {
    socket: TcpStream,
    /// What was read and belongs to nobody yet: the head under way, or requests sent ahead.
    ahead: BytesMut,
    /// How much more of the socket belongs to the request that was handed over.
    rest: Rest,
    gathered: Vec<u8>,
    written: usize,
    /// Until when some of what waits must have been taken.
    stalled: Option<Pin<Box<Sleep>>>,
    body: BodyPace,
    digest: Arc<SocketDigest>,
    peer: HeaderValue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Bytes(u64),
    Chunks,
    Anything,
}

impl Wire {
    /// Takes charge of a connection from `peer`.
    pub fn new(socket: TcpStream, peer: SocketAddr) -> Self {
        let digest = SocketDigest::from_raw_fd(socket.as_raw_fd());
        // Known already: pingora would ask the system for it.
        let _ = digest.peer_addr.set(Some(peer.into()));
        Self {
            socket,
            ahead: BytesMut::new(),
            rest: Rest::Bytes(0),
            gathered: Vec::new(),
            written: 0,
            stalled: None,
            body: BodyPace::default(),
            digest: Arc::new(digest),
            peer: header_text(&peer.ip().to_canonical().to_string()),
        }
    }

    /// The peer's address as text, written once for all requests.
    pub fn peer(&self) -> &HeaderValue {
        &self.peer
    }

    /// What came and belongs to no request yet.
    pub fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Reads more of what belongs to no request yet; 0 at the end of the connection.
    ///
    /// # Errors
    /// The socket's.
    pub async fn read_ahead(&mut self) -> io::Result<usize> {
        if self.ahead.is_empty() {
            self.ahead = BytesMut::with_capacity(HEAD_BYTES_USUAL);
        } else if self.ahead.capacity() == self.ahead.len() {
            self.ahead.reserve(HEAD_BYTES_USUAL);
        }
        self.socket.read_buf(&mut self.ahead).await
    }

    /// Hands over a request: its head, with as much of its body as came, and from now on nothing
    /// of the socket but the rest of it.
    pub fn hand_over(&mut self, head: Head) -> BytesMut {
        let came = self.ahead.len() - head.bytes;
        let (bytes, rest) = match head.body {
            Body::Chunked => (self.ahead.len(), Rest::Chunks),
            Body::Upgrade => (self.ahead.len(), Rest::Anything),
            Body::Exactly(length) => {
                let with_head = usize::try_from(length).unwrap_or(usize::MAX).min(came);
                (head.bytes + with_head, Rest::Bytes(length - with_head as u64))
            }
        };
        self.rest = rest;
        self.body = BodyPace::default();
        if bytes == self.ahead.len() {
            // Nothing to share the memory with.
            return mem::take(&mut self.ahead);
        }
        self.ahead.split_to(bytes)
    }

    /// Throws away what came ahead, and lets the rest be read to its end.
    pub fn give_up(&mut self) {
        self.ahead = BytesMut::new();
        self.rest = Rest::Anything;
    }

    /// Nothing more is taken just now: gives up after [`STALL_MAX`] without a byte.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL_MAX)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// After a request's last byte: whether the client has left meanwhile; never the next request.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            return Poll::Pending;
        }
        let mut byte = [0];
        match ready!(self.socket.poll_peek(cx, &mut ReadBuf::new(&mut byte))) {
            Ok(0) => Poll::Ready(Ok(())),
            // Woken by nothing but the answer: who sends ahead is not watched for leaving.
            Ok(_) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Writes what was gathered.
    fn poll_gathered(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.gathered.len() {
            let rest = &self.gathered[self.written..];
            match Pin::new(&mut self.socket).poll_write(cx, rest)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(n) => {
                    self.written += n;
                    self.stalled = None;
                }
                Poll::Pending => return self.poll_stalled(cx),
            }
        }
        self.written = 0;
        // Given back: an idle connection holds no memory that it does not use.
        self.gathered = Vec::new();
        Poll::Ready(Ok(()))
    }
}

/// How fast a body comes.
#[derive(Debug, Default)]
struct BodyPace {
    began: Option<Instant>,
    bytes: u64,
}

impl BodyPace {
    /// Notes that more came.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] where it comes so slowly that it only holds a connection.
    fn more(&mut self, bytes: usize) -> io::Result<()> {
        let began = *self.began.get_or_insert_with(Instant::now);
        self.bytes += bytes as u64;
        let took = began.elapsed();
        if took > BODY_GRACE && self.bytes < took.as_secs() * BODY_BYTES_PER_SECOND_MIN {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let left = match self.rest {
            Rest::Anything => return Pin::new(&mut self.socket).poll_read(cx, into),
            Rest::Chunks => {
                ready!(Pin::new(&mut self.socket).poll_read(cx, into))?;
                return Poll::Ready(self.body.more(into.filled().len() - before));
            }
            Rest::Bytes(0) => return self.poll_gone(cx),
            Rest::Bytes(left) => left,
        };
        if into.remaining() as u64 <= left {
            ready!(Pin::new(&mut self.socket).poll_read(cx, into))?;
        } else {
            // Less than there is room for, so the cast loses nothing.
            let mut some = ReadBuf::new(into.initialize_unfilled_to(left as usize));
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut some))?;
            let read = some.filled().len();
            into.advance(read);
        }
        let read = into.filled().len() - before;
        self.rest = Rest::Bytes(left - read as u64);
        Poll::Ready(self.body.more(read))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.gathered.len() + bytes.len() > GATHERED_BYTES_MAX {
            ready!(self.poll_gathered(cx))?;
        }
        if bytes.len() >= GATHERED_BYTES_MAX {
            let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
            if written.is_pending() {
                return self.poll_stalled(cx).map(|stalled| stalled.map(|()| 0));
            }
            self.stalled = None;
            return written;
        }
        if self.gathered.capacity() == 0 {
            self.gathered.reserve_exact(bytes.len().next_power_of_two().max(2048));
        }
        self.gathered.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.gathered.is_empty() {
            ready!(self.poll_gathered(cx))?;
        }
        // A TCP socket has nothing of its own to flush.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Wire {
    async fn shutdown(&mut self) {
        // The client may be gone, and then there is nothing to tell it.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Wire {
    fn id(&self) -> UniqueIDType {
        self.socket.as_raw_fd()
    }
}

impl Ssl for Wire {}

impl Peek for Wire {}

impl GetTimingDigest for Wire {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Wire {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Wire {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

#[cfg(test)]
mod tests;
