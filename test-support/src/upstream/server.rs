//! The server itself: reads HTTP/1.1 by hand and keeps count.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::fmt::Write;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::behaviour::Behaviour;
use super::echo::Echo;
use super::echo::latin1;

/// The longest head that is read, in bytes: far above what the gateway lets through.
const HEAD_BYTES_MAX: usize = 1 << 20;
/// The longest body that is read, in bytes.
const BODY_BYTES_MAX: usize = 64 << 20;
/// How many heads are remembered.
const HEADS_MAX: usize = 256;
/// How many different paths are counted.
const PATHS_MAX: usize = 4096;

struct State {
    tally: Mutex<Tally>,
    released: watch::Sender<bool>,
}

#[derive(Default)]
struct Tally {
    connections: u64,
    requests: u64,
    paths: BTreeMap<String, u64>,
    heads: VecDeque<String>,
}

impl State {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, first_on_connection: bool, path: &str, head: &[u8]) {
        let mut tally = self.tally();
        tally.connections += u64::from(first_on_connection);
        tally.requests += 1;
        if let Some(count) = tally.paths.get_mut(path) {
            *count += 1;
        } else if tally.paths.len() < PATHS_MAX {
            tally.paths.insert(path.to_owned(), 1);
        }
        if tally.heads.len() == HEADS_MAX {
            tally.heads.pop_front();
        }
        tally.heads.push_back(latin1(head));
    }

    fn seen(&self) -> String {
        let tally = self.tally();
        let Tally { connections, requests, paths, heads } = &*tally;
        json!({ "connections": connections, "requests": requests, "paths": paths, "heads": heads })
            .to_string()
    }
}

/// Serves on `listener` for ever.
///
/// # Errors
/// When no more connections can be accepted.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    let state = Arc::new(State { tally: Mutex::default(), released: watch::channel(false).0 });
    loop {
        let (stream, _) = listener.accept().await?;
        // Else an answer waits for the acknowledgement of the one before.
        stream.set_nodelay(true)?;
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            // A connection that breaks is the other side's business.
            let _ = Connection { stream, unread: Vec::new(), counted: false, state }.serve().await;
        });
    }
}

struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
    counted: bool,
    state: Arc<State>,
}

impl Connection {
    async fn serve(mut self) -> io::Result<()> {
        while let Some(head) = self.read_head().await? {
            let bare = Echo::of(&head, b"");
            let behaviour = Behaviour::of(bare.target());
            if !behaviour.is_the_tests_own() {
                self.state.count(!self.counted, bare.path(), &head);
                self.counted = true;
            }
            if behaviour != Behaviour::Stay
                && !bare.all("upgrade").is_empty()
                && bare.all("connection").join(",").to_lowercase().contains("upgrade")
            {
                return self.switch(bare.all("upgrade")[0]).await;
            }
            if bare.all("expect").iter().any(|what| what.eq_ignore_ascii_case("100-continue")) {
                self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            let body = self.read_body(&bare).await?;
            let echo = Echo { body: latin1(&body), ..bare };
            if !self.answer(behaviour, &echo).await? {
                break;
            }
        }
        Ok(())
    }

    /// Answers; says whether the connection goes on.
    async fn answer(&mut self, behaviour: Behaviour, echo: &Echo) -> io::Result<bool> {
        let mut status = 200;
        let mut more_headers = "";
        let body = match behaviour {
            Behaviour::Echo | Behaviour::Stay => echo.to_json().to_string(),
            Behaviour::Slow(wait) => {
                tokio::time::sleep(wait).await;
                echo.to_json().to_string()
            }
            Behaviour::Status(other) => {
                status = other;
                echo.to_json().to_string()
            }
            Behaviour::Bytes(n) => "x".repeat(n),
            Behaviour::SpoofedHeaders => {
                more_headers = SPOOFED;
                echo.to_json().to_string()
            }
            Behaviour::Hold => {
                let mut released = self.state.released.subscribe();
                released.wait_for(|&released| released).await.map_err(io::Error::other)?;
                echo.to_json().to_string()
            }
            Behaviour::Later => {
                if !*self.state.released.borrow() {
                    status = 503;
                }
                echo.to_json().to_string()
            }
            Behaviour::Close => return Ok(false),
            Behaviour::Hang => pending().await,
            Behaviour::Half => {
                self.stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789")
                    .await?;
                return Ok(false);
            }
            Behaviour::Chunked => {
                self.stream.write_all(CHUNKED).await?;
                return Ok(true);
            }
            Behaviour::Seen => self.state.seen(),
            Behaviour::Release => {
                self.state.released.send_replace(true);
                String::new()
            }
        };
        let closes = echo.all("connection").join(",").to_lowercase().contains("close");
        let bodiless = status == 204 || status == 304;
        let mut answer =
            format!("HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n{more_headers}");
        if closes {
            answer.push_str("Connection: close\r\n");
        }
        if !bodiless {
            let _ = write!(answer, "Content-Length: {}\r\n", body.len());
        }
        answer.push_str("\r\n");
        if !bodiless && echo.method() != "HEAD" {
            answer.push_str(&body);
        }
        self.stream.write_all(answer.as_bytes()).await?;
        Ok(!closes)
    }

    /// Agrees to another protocol, in which every byte comes back.
    async fn switch(mut self, protocol: &str) -> io::Result<()> {
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: {protocol}\r\nConnection: Upgrade\r\n\r\n"
        );
        self.stream.write_all(answer.as_bytes()).await?;
        loop {
            if !self.unread.is_empty() {
                let bytes = std::mem::take(&mut self.unread);
                self.stream.write_all(&bytes).await?;
            }
            if !self.read_more().await? {
                return Ok(());
            }
        }
    }

    /// Reads up to and with the empty line; `None` at the end of the connection.
    async fn read_head(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut searched: usize = 0;
        loop {
            let from = searched.saturating_sub(3);
            if let Some(at) =
                self.unread[from..].windows(4).position(|window| window == b"\r\n\r\n")
            {
                return Ok(Some(self.unread.drain(..from + at + 4).collect()));
            }
            searched = self.unread.len();
            if searched > HEAD_BYTES_MAX || !self.read_more().await? {
                return Ok(None);
            }
        }
    }

    async fn read_body(&mut self, head: &Echo) -> io::Result<Vec<u8>> {
        if head.all("transfer-encoding").iter().any(|coding| coding.eq_ignore_ascii_case("chunked"))
        {
            return self.read_chunks().await;
        }
        match head.all("content-length").first() {
            Some(length) => self.read_exactly(length.parse().map_err(io::Error::other)?).await,
            None => Ok(Vec::new()),
        }
    }

    async fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line().await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            if size == 0 {
                // Trailers, up to the empty line.
                while !self.read_line().await?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.read_exactly(size).await?);
            self.read_line().await?;
        }
    }

    async fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.unread.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..at + 2).collect();
                return Ok(latin1(&line[..at]));
            }
            self.must_read_more().await?;
        }
    }

    async fn read_exactly(&mut self, bytes: usize) -> io::Result<Vec<u8>> {
        if bytes > BODY_BYTES_MAX {
            return Err(io::Error::other("a body that no test sends"));
        }
        while self.unread.len() < bytes {
            self.must_read_more().await?;
        }
        Ok(self.unread.drain(..bytes).collect())
    }

    async fn must_read_more(&mut self) -> io::Result<()> {
        if self.read_more().await? { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Reads what has come; says whether there was anything but the end.
    async fn read_more(&mut self) -> io::Result<bool> {
        Ok(self.stream.read_buf(&mut self.unread).await? > 0)
    }
}

/// An answer in chunks, with a trailer.
const CHUNKED: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
6\r\nhello,\r\n6\r\n world\r\n0\r\nX-Sum: 12\r\n\r\n";

/// What a hostile back end would say about limits and identities.
const SPOOFED: &str = "X-RateLimit-Limit: 7\r\nX-RateLimit-Remaining: 7\r\nX-RateLimit-Reset: 7\r\n\
RateLimit: \"spoofed\";r=7;t=7\r\nRateLimit-Policy: \"spoofed\";q=7;w=7\r\nRetry-After: 7\r\nX-Request-Id: spoofed\r\n\
X-From-Upstream: yes\r\n";
