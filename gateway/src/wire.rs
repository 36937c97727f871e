//! A client's connection, as pingora meets it: a socket that gathers what is written until it is
//! flushed, so that a short answer leaves in one piece.
//!
//! pingora's own listener would do this too, but it reads no head within our bounds and answers
//! what is malformed in its own words.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use async_trait::async_trait;
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
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

/// How much is gathered before it is written in any case, in bytes: an answer's head and a short
/// body.
pub const GATHERED_BYTES_MAX: usize = 8 * 1024;

/// A client's connection.
#[derive(Debug)]
pub struct Wire {
    socket: TcpStream,
    gathered: Vec<u8>,
    written: usize,
    digest: Arc<SocketDigest>,
}

impl Wire {
    /// Takes charge of a connection from `peer`.
    pub fn new(socket: TcpStream, peer: SocketAddr) -> Self {
        let digest = SocketDigest::from_raw_fd(socket.as_raw_fd());
        // Known already: pingora would ask the system for it.
        let _ = digest.peer_addr.set(Some(peer.into()));
        Self { socket, gathered: Vec::new(), written: 0, digest: Arc::new(digest) }
    }

    /// Writes what was gathered.
    fn poll_gathered(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.gathered.len() {
            let rest = &self.gathered[self.written..];
            match ready!(Pin::new(&mut self.socket).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.written += n,
            }
        }
        self.written = 0;
        // Given back: an idle connection holds no memory that it does not use.
        self.gathered = Vec::new();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, into)
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
            return Pin::new(&mut self.socket).poll_write(cx, bytes);
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
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).await;
        let (socket, peer) = listener.accept().await.expect("connected");
        (Wire::new(socket, peer), client.expect("connected"))
    }

    #[tokio::test]
    async fn whatever_is_written_in_whatever_pieces_arrives_in_order() {
        let (mut wire, mut client) = pair().await;
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
        let sent = bytes.clone();
        let writing = tokio::spawn(async move {
            let mut rest = &sent[..];
            for size in
                [1, 100, 5000, GATHERED_BYTES_MAX - 1, GATHERED_BYTES_MAX, 60_000].iter().cycle()
            {
                let (piece, more) = rest.split_at((*size).min(rest.len()));
                wire.write_all(piece).await.expect("written");
                rest = more;
                if rest.is_empty() {
                    break;
                }
            }
            AsyncWriteExt::shutdown(&mut wire).await.expect("shut down");
        });
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.expect("read");
        writing.await.expect("written");
        assert!(received == bytes);
    }

    #[tokio::test]
    async fn the_peer_is_known_without_asking_the_system() {
        let (wire, client) = pair().await;
        let digest = wire.get_socket_digest().expect("digest");
        let peer = digest.peer_addr.get().and_then(Option::as_ref).and_then(|a| a.as_inet());
        assert_eq!(peer.copied(), client.local_addr().ok());
    }
}
