//! The thread that carries bytes to and fro.

use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::thread;
use std::thread::JoinHandle;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio::time::sleep_until;

use super::flow::Conduct;
use super::flow::Count;
use super::flow::Fate;
use super::flow::Flow;
use super::flow::Way;

/// The longest chunk, in bytes.
const CHUNK_BYTES_MAX: usize = 16 << 10;
/// How many chunks of a connection are under way in each direction; more wait at their sender's.
const CHUNKS_MAX: usize = 64;

/// A thread that carries; dropping it closes all that it had open, and returns when that is done.
#[derive(Debug)]
pub(super) struct Carrier {
    /// Dropped to end the thread.
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Carrier {
    pub(super) fn start(
        listener: TcpListener,
        to: watch::Receiver<SocketAddr>,
        conduct: watch::Receiver<Conduct>,
        count: Count,
    ) -> Self {
        let (end, ended) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("there is room for another runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, to, conduct, count) => {}
                    _ = ended => {}
                }
            });
            // The runtime ends here, and with it every connection.
        });
        Self { end: Some(end), thread: Some(thread) }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            // Had it panicked, the test would have missed what it was to carry.
            let _ = thread.join();
        }
    }
}

async fn accept(
    listener: TcpListener,
    to: watch::Receiver<SocketAddr>,
    conduct: watch::Receiver<Conduct>,
    count: Count,
) {
    listener.set_nonblocking(true).expect("a socket takes its options");
    let listener = tokio::net::TcpListener::from_std(listener).expect("it is a listener");
    loop {
        // A client who is gone before he was let in is none.
        let Ok((client, _)) = listener.accept().await else { continue };
        count.carried().connections += 1;
        let (to, conduct, count) = (*to.borrow(), conduct.clone(), count.clone());
        tokio::spawn(async move {
            // Connections break here; that is what this is for.
            let _ = carry(client, to, conduct, &count).await;
        });
    }
}

/// Carries one connection until both sides have hung up, or it breaks.
async fn carry(
    client: TcpStream,
    to: SocketAddr,
    mut conduct: watch::Receiver<Conduct>,
    count: &Count,
) -> io::Result<()> {
    // Nothing reaches the server of a client who comes while all stands still.
    conduct.wait_for(|now| now.flow != Flow::Neither).await.map_err(io::Error::other)?;
    let server = TcpStream::connect(to).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (requests, requests_read) = mpsc::channel(CHUNKS_MAX);
    let (replies, replies_read) = mpsc::channel(CHUNKS_MAX);
    let requests_to = Writer {
        to: to_server,
        way: Way::ToServer,
        conduct: conduct.clone(),
        count,
        has_hole: false,
    };
    let replies_to = Writer { to: to_client, way: Way::ToClient, conduct, count, has_hole: false };
    tokio::try_join!(
        read(from_client, requests),
        read(from_server, replies),
        requests_to.write_all(requests_read),
        replies_to.write_all(replies_read),
    )?;
    Ok(())
}

/// Bytes on their way.
struct Chunk {
    read_at: Instant,
    bytes: Vec<u8>,
}

/// Reads until there is no more; a connection that broke has no more either.
async fn read(mut from: OwnedReadHalf, chunks: mpsc::Sender<Chunk>) -> io::Result<()> {
    loop {
        let mut bytes = vec![0; CHUNK_BYTES_MAX];
        let Ok(length @ 1..) = from.read(&mut bytes).await else { return Ok(()) };
        bytes.truncate(length);
        if chunks.send(Chunk { read_at: Instant::now(), bytes }).await.is_err() {
            return Ok(());
        }
    }
}

/// One direction of one connection.
struct Writer<'a> {
    to: OwnedWriteHalf,
    way: Way,
    conduct: watch::Receiver<Conduct>,
    count: &'a Count,
    /// Whether something was dropped, so that nothing can follow.
    has_hole: bool,
}

impl Writer<'_> {
    /// Writes until there is no more, and passes that on.
    async fn write_all(mut self, mut chunks: mpsc::Receiver<Chunk>) -> io::Result<()> {
        while let Some(Chunk { read_at, bytes }) = self.next(&mut chunks).await {
            self.until_due(read_at).await?;
            self.write(&bytes).await?;
        }
        let way = self.way;
        self.until(|flow| flow.fate(way) == Fate::Carried).await?;
        if self.has_hole {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.to.shutdown().await
    }

    /// The next chunk; none after the last, and none after a hole where it could be carried.
    async fn next(&mut self, chunks: &mut mpsc::Receiver<Chunk>) -> Option<Chunk> {
        let (way, has_hole) = (self.way, self.has_hole);
        tokio::select! {
            biased;
            _ = self.until(|flow| flow.fate(way) == Fate::Carried), if has_hole => None,
            chunk = chunks.recv() => chunk,
        }
    }

    /// Waits for the delay of a chunk to pass, or to become another.
    async fn until_due(&mut self, read_at: Instant) -> io::Result<()> {
        loop {
            let due = read_at + self.conduct.borrow_and_update().delay;
            tokio::select! {
                () = sleep_until(due) => return Ok(()),
                changed = self.conduct.changed() => changed.map_err(io::Error::other)?,
            }
        }
    }

    async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let way = self.way;
        while !bytes.is_empty() {
            self.until(|flow| flow.fate(way) != Fate::Held).await?;
            self.to.writable().await?;
            // Borrowed while it is written: a test that forbids it waits for that moment.
            let now = self.conduct.borrow();
            match now.flow.fate(way) {
                Fate::Held => {}
                Fate::Dropped => {
                    self.has_hole = true;
                    return Ok(());
                }
                Fate::Carried if self.has_hole => return Ok(()),
                Fate::Carried => {
                    let mut carried = self.count.carried();
                    match self.to.try_write(bytes) {
                        Ok(written) => {
                            carried.add(way, written);
                            bytes = &bytes[written..];
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(())
    }

    async fn until(&mut self, holds: impl Fn(Flow) -> bool) -> io::Result<()> {
        let found = self.conduct.wait_for(|now| holds(now.flow)).await;
        found.map(drop).map_err(io::Error::other)
    }
}
