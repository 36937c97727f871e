//! A private Redis, alone, with replicas, or as a cluster.

mod cluster;
mod replication;
mod resp;
mod setup;
mod subscriber;

pub use self::cluster::RedisCluster;
pub use self::resp::Reply;
pub use self::setup::RedisSetup;
pub use self::subscriber::Subscriber;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use self::resp::Connection;
use self::setup::OWNER;
use crate::authority::Identity;
use crate::link::Link;
use crate::place::HeldPort;
use crate::place::free_dir;
use crate::process::Tied;
use crate::process::find_program;
use crate::process::tied_command;
use crate::wait::START_MAX;
use crate::wait::holds_within;

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A Redis of one test's own: on a port of 127.0.0.1 that stays its own, and on a Unix socket;
/// ended on drop.
#[derive(Debug)]
pub struct RedisServer {
    process: Tied,
    port: HeldPort,
    setup: RedisSetup,
    // Last, so that it is removed after the process has ended.
    dir: TempDir,
}

impl RedisServer {
    /// Starts a Redis as [`RedisSetup`] is at first, and waits until it answers.
    ///
    /// # Panics
    /// When `redis-server` is not installed (the message names the package), or does not answer
    /// within [`START_MAX`] (the message has its log).
    pub fn start() -> Self {
        RedisSetup::default().start()
    }

    /// Starts a Redis with further settings, such as `&["--appendonly", "yes"]`.
    ///
    /// # Panics
    /// As [`RedisServer::start`].
    pub fn start_with(settings: &[&str]) -> Self {
        RedisSetup::default().settings(settings).start()
    }

    /// Starts a Redis that speaks TLS, and proves that it is `identity`.
    ///
    /// # Panics
    /// As [`RedisServer::start`]; also when this Redis was built without TLS.
    pub fn start_with_tls(identity: &Identity) -> Self {
        RedisSetup::default().tls(identity).start()
    }

    /// A Redis that is to be set up otherwise.
    pub fn setup() -> RedisSetup {
        RedisSetup::default()
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The port, with its host.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// The address as clients take it, with their credentials and database 0.
    pub fn url(&self) -> String {
        self.setup.url(self.port())
    }

    /// The same for clients that come over `link`.
    pub fn url_over(&self, link: &Link) -> String {
        self.setup.url(link.port())
    }

    /// The path of its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// Sends one command over a new connection and returns the reply.
    ///
    /// It is sent over the Unix socket by a user of the tests' own who may do everything, whatever
    /// clients must prove.
    ///
    /// # Errors
    /// When the server cannot be reached, or answers nothing or no RESP within 10 s. A reply that
    /// reports an error is a [`Reply::Error`].
    pub fn command(&self, words: &[&str]) -> io::Result<Reply> {
        self.connect()?.ask(words)
    }

    fn connect(&self) -> io::Result<Connection<UnixStream>> {
        let stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        let mut connection = Connection::new(stream);
        let [owner, password] = OWNER;
        match connection.ask(&["AUTH", owner, password])? {
            Reply::Error(refused) => Err(io::Error::other(refused)),
            _ => Ok(connection),
        }
    }

    /// The value of a field of `INFO`, such as `connected_clients`; none where there is no such
    /// field, or no answer.
    pub fn info(&self, field: &str) -> Option<String> {
        let Ok(Reply::Bulk(Some(info))) = self.command(&["INFO", "everything"]) else {
            return None;
        };
        let mut fields = info.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(name, _)| *name == field).map(|(_, value)| value.to_owned())
    }

    /// How often the server carried out `command`, such as `evalsha`, by scripts as well; since it was started
    /// or `CONFIG RESETSTAT`.
    ///
    /// # Panics
    /// When the server gives no answer.
    pub fn calls(&self, command: &str) -> u64 {
        // Where it never did there is no such line, nor where there is no answer.
        assert!(self.command(&["PING"]).is_ok(), "Redis gives no answer");
        let calls = self.info(&format!("cmdstat_{command}"));
        let calls =
            calls.as_deref().and_then(|stat| stat.strip_prefix("calls=")?.split(',').next());
        calls.map_or(0, |calls| calls.parse().expect("a number of calls"))
    }

    /// Ends the server now, as a crash would; clients see closed connections, and refusals after
    /// that.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Starts it again on the same port, with the same settings; one that still runs is stopped
    /// first.
    ///
    /// What was in it is lost, scripts too, unless its settings have it kept on disk.
    ///
    /// # Panics
    /// As [`RedisServer::start`].
    pub fn restart(&mut self) {
        self.stop();
        self.process = self.setup.run(self.dir.path(), self.port());
        self.wait_until_it_answers();
    }

    /// Has it hang: connections stay open, new ones are let in by the system, and nothing is
    /// answered until [`RedisServer::resume`].
    ///
    /// # Panics
    /// When it was stopped.
    #[track_caller]
    pub fn pause(&mut self) {
        self.process.pause();
    }

    /// Has a paused server go on, with what it was sent meanwhile.
    pub fn resume(&mut self) {
        self.process.resume();
    }

    fn wait_until_it_answers(&mut self) {
        let mut ended = None;
        let answers = holds_within(START_MAX, || {
            ended = self.process.ended();
            ended.is_some() || self.command(&["PING"]).is_ok_and(|it| it == Reply::text("PONG"))
        });
        let log = || fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        assert!(ended.is_none(), "redis-server does not start: {ended:?}; its log:\n{}", log());
        assert!(answers, "redis-server does not answer after {START_MAX:?}; its log:\n{}", log());
    }
}

impl RedisSetup {
    /// Starts it, and waits until it answers.
    ///
    /// # Panics
    /// As [`RedisServer::start`].
    pub fn start(self) -> RedisServer {
        let dir = free_dir();
        let port = HeldPort::new();
        let process = self.run(dir.path(), port.number());
        let mut server = RedisServer { process, port, setup: self, dir };
        server.wait_until_it_answers();
        server
    }

    fn run(&self, dir: &Path, port: u16) -> Tied {
        let program = find_program("redis-server", "redis-server")
            .unwrap_or_else(|missing| panic!("{missing}"));
        let log = fs::File::create(dir.join("log")).expect("a new directory takes a file");
        let mut command = tied_command(&program, Signal::KILL, None);
        command
            .args(self.prepare(dir, port))
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("there is room for another open file"))
            .stderr(log);
        Tied::spawn(command, Signal::KILL).expect("a process can be started")
    }
}

#[cfg(test)]
mod tests;
