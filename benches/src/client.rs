//! A connection that asks one thing at a time.

use std::io;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::http1::AnswerHead;
use crate::http1::HEAD_BYTES_MAX;
use crate::http1::head_end;

/// How long an answer may take; programs under valgrind are slow.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A connection to a server, and the last answer that came on it.
pub struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
    body_at: usize,
}

impl Connection {
    /// Connects to `target`.
    ///
    /// # Errors
    /// The system's.
    pub async fn open(target: SocketAddr) -> io::Result<Self> {
        Self::open_from(Ipv4Addr::UNSPECIFIED.into(), target).await
    }

    /// The same from `address` of this machine.
    ///
    /// # Errors
    /// The system's.
    pub async fn open_from(address: IpAddr, target: SocketAddr) -> io::Result<Self> {
        let socket = if target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if !address.is_unspecified() {
            socket.bind((address, 0).into())?;
        }
        let stream = timeout(ANSWER_MAX, socket.connect(target)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(4096), body_at: 0 })
    }

    /// Sends `request` and reads the whole answer.
    ///
    /// # Errors
    /// The system's, and those of an answer that no server here has a reason to send.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<AnswerHead> {
        timeout(ANSWER_MAX, self.exchange(request)).await?
    }

    /// The body of the last answer.
    pub fn body(&self) -> &[u8] {
        &self.answer[self.body_at..]
    }

    /// The last answer, head and body.
    pub fn into_answer(self) -> Vec<u8> {
        self.answer
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<AnswerHead> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        self.body_at = 0;
        let mut looked_at = 0;
        let end = loop {
            self.read_more().await?;
            match head_end(&self.answer, looked_at) {
                Some(end) => break end,
                None if self.answer.len() > HEAD_BYTES_MAX => {
                    return Err(io::Error::other("a head without end"));
                }
                None => looked_at = self.answer.len(),
            }
        };
        self.body_at = end;
        let head = AnswerHead::parse(&self.answer[..end]).map_err(io::Error::other)?;
        while self.answer.len() < end + head.body_bytes {
            self.read_more().await?;
        }
        if self.answer.len() > end + head.body_bytes {
            return Err(io::Error::other("more than one answer"));
        }
        Ok(head)
    }

    async fn read_more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.answer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
