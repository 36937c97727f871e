//! A private Redis.

mod resp;

pub use self::resp::Reply;

use std::fs;
use std::io;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::place::free_dir;
use crate::place::free_port;
use crate::process::Tied;
use crate::process::find_program;
use crate::process::tied_command;
use crate::wait::START_MAX;
use crate::wait::holds_within;

/// How often another port is tried when somebody took the free one first.
const TRIES_MAX: u32 = 5;

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A Redis of one test's own: on a free port of 127.0.0.1, keeping nothing on disk, evicting
/// nothing; ended on drop.
#[derive(Debug)]
pub struct RedisServer {
    process: Tied,
    port: u16,
    // Last, so that it is removed after the process has ended.
    dir: TempDir,
}

impl RedisServer {
    /// Starts a Redis and waits until it answers.
    ///
    /// # Panics
    /// When `redis-server` is not installed (the message names the package), or does not answer
    /// within [`START_MAX`] (the message has its log).
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a Redis with further settings, such as `&["--appendonly", "yes"]`.
    ///
    /// # Panics
    /// As [`RedisServer::start`].
    pub fn start_with(settings: &[&str]) -> Self {
        let mut log = String::new();
        for _ in 0..TRIES_MAX {
            match Self::try_start(settings) {
                Ok(server) => return server,
                Err(text) => log = text,
            }
        }
        panic!("redis-server did not start {TRIES_MAX} times; its last log:\n{log}");
    }

    /// Starts once; the error is the log of a Redis that ended instead of answering.
    fn try_start(settings: &[&str]) -> Result<Self, String> {
        let program = find_program("redis-server", "redis-server")
            .unwrap_or_else(|missing| panic!("{missing}"));
        let dir = free_dir();
        let port = free_port();
        let log = dir.path().join("log");
        let mut command = tied_command(&program, Signal::KILL, None);
        command
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--daemonize", "no"])
            .args(["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"])
            .args(["--unixsocket", "socket", "--unixsocketperm", "700"])
            .args(settings)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(fs::File::create(&log).expect("a new directory takes a file"))
            .stderr(Stdio::null());
        let process = Tied::spawn(command, Signal::KILL).expect("a process can be started");
        let mut server = Self { process, port, dir };
        let mut ended = false;
        let answers = holds_within(START_MAX, || {
            ended = server.process.ended().is_some();
            // Whoever took the port first may be a Redis too: ours only counts while it lives.
            ended || server.command(&["PING"]).is_ok_and(|reply| reply == Reply::text("PONG"))
        });
        let text = || fs::read_to_string(&log).unwrap_or_default();
        assert!(answers, "redis-server does not answer after {START_MAX:?}; its log:\n{}", text());
        if ended || !server.is_ours() { Err(text()) } else { Ok(server) }
    }

    /// Says whether what answers on the port is the process that was started.
    fn is_ours(&self) -> bool {
        let Ok(Reply::Bulk(Some(info))) = self.command(&["INFO", "server"]) else {
            return false;
        };
        info.lines().any(|line| line.trim() == format!("process_id:{}", self.process.id()))
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address as clients take it, with database 0.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// The path of its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// Sends one command over a new connection and returns the reply.
    ///
    /// # Errors
    /// When the server cannot be reached, or answers nothing or no RESP within 10 s. A reply that
    /// reports an error is a [`Reply::Error`].
    pub fn command(&self, words: &[&str]) -> io::Result<Reply> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        resp::call(stream, words)
    }

    /// Ends the server now, as a crash would; clients see closed connections.
    pub fn stop(&mut self) {
        self.process.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_servers_side_by_side_do_not_see_each_other() {
        let one = RedisServer::start();
        let other = RedisServer::start();
        assert_ne!(one.port(), other.port());
        assert_eq!(one.command(&["SET", "key", "text with\r\nbreaks"]).unwrap(), Reply::text("OK"));
        assert_eq!(one.command(&["GET", "key"]).unwrap(), Reply::text("text with\r\nbreaks"));
        assert_eq!(other.command(&["GET", "key"]).unwrap(), Reply::Bulk(None));
    }

    #[test]
    fn settings_are_as_promised_and_can_be_added_to() {
        let server = RedisServer::start_with(&["--maxmemory", "64mb"]);
        for (setting, value) in
            [("maxmemory-policy", "noeviction"), ("maxmemory", "67108864"), ("save", "")]
        {
            let reply = server.command(&["CONFIG", "GET", setting]).unwrap();
            assert_eq!(reply, Reply::Array(vec![Reply::text(setting), Reply::text(value)]));
        }
        assert!(server.socket().exists());
    }

    #[test]
    fn a_stopped_server_cannot_be_reached() {
        let mut server = RedisServer::start();
        server.stop();
        assert!(server.command(&["PING"]).is_err());
    }
}
