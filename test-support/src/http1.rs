//! A client that sends exactly the bytes it is given, and reads exactly one answer.
//!
//! Real clients refuse to send what an attacker sends; this one does not look.

mod answer;

mod request;

use std::io;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::IpAddr;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;

use tokio::net::TcpSocket;

pub use answer::Answer;
pub use request::Request;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// One connection, kept until it is dropped.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// The value of an `Authorization` header for `token`.
pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Sends one request on a connection of its own.
///
/// # Panics
/// When there is no whole answer.
#[track_caller]
pub fn ask(addr: SocketAddr, request: &Request) -> Answer {
    Connection::open(addr).ask(request)
}

/// Sends bytes on a connection of their own.
///
/// # Panics
/// When there is no whole answer.
#[track_caller]
pub fn ask_raw(addr: SocketAddr, bytes: &[u8]) -> Answer {
    let mut connection = Connection::open(addr);
    connection.send(bytes);
    connection.answer()
}

impl Connection {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens there.
    #[track_caller]
    pub fn open(addr: SocketAddr) -> Self {
        Self::try_open(addr).unwrap_or_else(|error| panic!("connecting to {addr}: {error}"))
    }

    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn try_open(addr: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&addr, ANSWER_MAX)?)
    }

    /// Connects from an address of this machine, such as 127.0.0.2.
    ///
    /// # Panics
    /// When nobody listens there, or the address is not this machine's.
    #[track_caller]
    pub fn open_from(from: IpAddr, addr: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let connect = async {
            let socket = if from.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.bind((from, 0).into())?;
            socket.connect(addr).await?.into_std()
        };
        let stream = runtime.and_then(|runtime| runtime.block_on(connect)).and_then(|stream| {
            stream.set_nonblocking(false)?;
            Self::over(stream)
        });
        stream.unwrap_or_else(|error| panic!("connecting from {from} to {addr}: {error}"))
    }

    fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// The address this side has.
    ///
    /// # Panics
    /// When the connection broke.
    pub fn local_addr(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket has an address")
    }

    /// Sends bytes. That the other side stopped listening is no error here: it may have answered.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Sends a request and reads its answer.
    ///
    /// # Panics
    /// When there is no whole answer.
    #[track_caller]
    pub fn ask(&mut self, request: &Request) -> Answer {
        match self.try_ask(request) {
            Ok(answer) => answer,
            Err(error) => panic!("no answer to `{}`: {error}", request.line()),
        }
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub fn try_ask(&mut self, request: &Request) -> io::Result<Answer> {
        self.send(&request.to_bytes());
        self.try_answer_to(request.method())
    }

    /// Reads the answer to a request that was sent before; not for HEAD.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        match self.try_answer() {
            Ok(answer) => answer,
            Err(error) => {
                panic!("no answer: {error}; read so far: {}", String::from_utf8_lossy(&self.unread))
            }
        }
    }

    /// Reads the answer to a request that was sent before; not for HEAD.
    ///
    /// # Errors
    /// When there is none, or none that is whole.
    pub fn try_answer(&mut self) -> io::Result<Answer> {
        self.try_answer_to("")
    }

    fn try_answer_to(&mut self, method: &str) -> io::Result<Answer> {
        loop {
            let head = self.read_head()?;
            let mut answer = Answer::of_head(&head)?;
            // An interim answer is followed by the real one.
            if (100..200).contains(&answer.status) && answer.status != 101 {
                continue;
            }
            answer.body = self.read_body(&answer, method)?;
            return Ok(answer);
        }
    }

    /// Reads the head of an answer whose body is read piece by piece.
    ///
    /// # Errors
    /// When there is none.
    pub fn head(&mut self) -> io::Result<Answer> {
        Answer::of_head(&self.read_head()?)
    }

    /// Reads the next chunk of a chunked body, as soon as it is there; an empty one is the last.
    ///
    /// # Errors
    /// When there is none.
    pub fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let line = self.read_line()?;
        let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        let chunk = self.read_exactly(size)?;
        self.read_line()?;
        Ok(chunk)
    }

    /// Reads exactly `n` bytes of whatever protocol was agreed.
    ///
    /// # Errors
    /// When fewer come.
    pub fn read_exactly(&mut self, n: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < n {
            self.read_more()?;
        }
        Ok(self.unread.drain(..n).collect())
    }

    /// Whether the other side closes the connection, having sent nothing more.
    pub fn is_closed_by_the_other_side(&mut self) -> bool {
        if !self.unread.is_empty() {
            return false;
        }
        match self.read_more() {
            Ok(()) => false,
            Err(error) => {
                matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)
            }
        }
    }

    fn read_head(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                return Ok(self.unread.drain(..at + 4).collect());
            }
            self.read_more()?;
        }
    }

    fn read_body(&mut self, answer: &Answer, method: &str) -> io::Result<Vec<u8>> {
        if method == "HEAD" || matches!(answer.status, 101 | 204 | 304) {
            return Ok(Vec::new());
        }
        if answer
            .header("transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
        {
            return self.read_chunks();
        }
        match answer.header("content-length") {
            Some(length) => self.read_exactly(length.parse().map_err(io::Error::other)?),
            None => Ok(self.read_to_end()),
        }
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line()?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            if size == 0 {
                while !self.read_line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.read_exactly(size)?);
            self.read_line()?;
        }
    }

    fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.unread.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..at + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            self.read_more()?;
        }
    }

    fn read_to_end(&mut self) -> Vec<u8> {
        while self.read_more().is_ok() {}
        std::mem::take(&mut self.unread)
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    self.unread.extend_from_slice(&piece[..n]);
                    return Ok(());
                }
                // A process that was stopped and goes on, as a busy machine's may be.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
