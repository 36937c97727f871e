//! A private Postgres.

mod account;
mod shared;
mod wire;

pub use self::shared::PostgresDatabase;
pub use self::wire::Row;

use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::authority::Identity;
use crate::place::free_dir;
use crate::place::free_port;
use crate::postgres::account::server_account;
use crate::process::MissingProgram;
use crate::process::Tied;
use crate::process::User;
use crate::process::find_program;
use crate::process::tied_command;
use crate::wait::START_MAX;
use crate::wait::holds_within;

/// The superuser of a private Postgres; it needs no password.
pub const USER: &str = "doorward";

/// The database that exists at the start.
pub const DATABASE: &str = "postgres";

/// How often another port is tried when somebody took the free one first.
const TRIES_MAX: u32 = 5;

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Where Debian keeps the server's programs, one folder a version.
const DEBIAN_VERSIONS: &str = "/usr/lib/postgresql";

/// "Immediate shutdown": ends at once as in a crash, but leaves no shared memory behind.
const END: Signal = Signal::QUIT;

/// Whether what was committed outlives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disk {
    Synced,
    Unsynced,
}

/// A Postgres of one test's own: on a free port of 127.0.0.1, with a new, empty cluster; ended and
/// removed on drop.
#[derive(Debug)]
pub struct PostgresServer {
    process: Tied,
    port: u16,
    disk: Disk,
    // Last, so that it is removed after the process has ended.
    dir: TempDir,
}

impl PostgresServer {
    /// Makes a new cluster, starts a Postgres on it and waits until it answers. It syncs nothing to
    /// disk: tests survive no power cut.
    ///
    /// # Panics
    /// When Postgres is not installed (the message names the package), or does not answer within
    /// [`START_MAX`] (the message has its log).
    pub fn start() -> Self {
        Self::start_on(Disk::Unsynced, |_, _| ())
    }

    /// The same, with TLS for whoever asks for it; the server proves that it is `identity`.
    ///
    /// # Panics
    /// As [`PostgresServer::start`].
    pub fn start_with_tls(identity: &Identity) -> Self {
        Self::start_on(Disk::Unsynced, |cluster, user| speak_tls(cluster, user, identity))
    }

    /// The same, with every commit on the disk before it is answered, as Postgres comes.
    ///
    /// # Panics
    /// As [`PostgresServer::start`].
    pub fn start_synced() -> Self {
        Self::start_on(Disk::Synced, |_, _| ())
    }

    fn start_on(disk: Disk, prepare: impl FnOnce(&Path, Option<&User>)) -> Self {
        let programs = programs().unwrap_or_else(|missing| panic!("{missing}"));
        // Postgres refuses to run as root.
        let user = server_account();
        let mut dir = make_cluster(&programs, user.as_ref());
        prepare(&dir.path().join("data"), user.as_ref());
        let mut log = String::new();
        for _ in 0..TRIES_MAX {
            match Self::try_start(&programs, user.as_ref(), dir, disk) {
                Ok(server) => return server,
                Err((kept, text)) => (dir, log) = (kept, text),
            }
        }
        panic!("postgres did not start {TRIES_MAX} times; its last log:\n{log}");
    }

    /// Starts once; the error is the log of a Postgres that ended instead of answering.
    fn try_start(
        programs: &Path,
        user: Option<&User>,
        dir: TempDir,
        disk: Disk,
    ) -> Result<Self, (TempDir, String)> {
        let port = free_port();
        let process = run(programs, user, dir.path(), port, disk);
        let mut server = Self { process, port, disk, dir };
        let ended = server.answers_or_ended();
        // Whoever took the port first may be a Postgres too.
        if ended || !server.is_ours() {
            let text = server.log();
            return Err((server.dir, text));
        }
        Ok(server)
    }

    /// Waits for an answer; gives whether the process ended instead.
    fn answers_or_ended(&mut self) -> bool {
        let mut ended = false;
        let answers = holds_within(START_MAX, || {
            ended = self.process.ended().is_some();
            ended || self.query("SELECT 1").is_ok()
        });
        assert!(answers, "postgres does not answer after {START_MAX:?}; its log:\n{}", self.log());
        ended
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Says whether what answers on the port is the process that was started.
    fn is_ours(&self) -> bool {
        let data = self.dir.path().join("data");
        let Ok(rows) = self.query("SHOW data_directory") else {
            return false;
        };
        rows.first()
            .and_then(|row| row.first())
            .and_then(Option::as_deref)
            .is_some_and(|it| Path::new(it) == data)
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address as clients take it, with [`USER`] and [`DATABASE`].
    pub fn url(&self) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{DATABASE}", self.port)
    }

    /// The directory of its Unix socket, as clients take it for a host.
    pub fn socket_dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs statements over a new connection, and returns the rows of all of them, as text.
    ///
    /// # Errors
    /// When the server cannot be reached, does not answer within 10 s, or reports an error.
    pub fn query(&self, statements: &str) -> io::Result<Vec<Row>> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        wire::query(stream, USER, DATABASE, statements)
    }

    /// Ends the server now, as a crash would; clients see closed connections.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Starts a stopped server again, on the same port and with what was in it.
    ///
    /// # Panics
    /// As [`PostgresServer::start`], and when somebody else took the port meanwhile.
    pub fn start_again(&mut self) {
        let programs = programs().unwrap_or_else(|missing| panic!("{missing}"));
        let user = server_account();
        self.process = run(&programs, user.as_ref(), self.dir.path(), self.port, self.disk);
        assert!(!self.answers_or_ended(), "postgres did not start again:\n{}", self.log());
    }
}

/// The arguments of a Postgres on the cluster in `dir`.
fn settings(dir: &Path, port: u16, disk: Disk) -> Vec<String> {
    let dir = dir.display().to_string();
    let mut arguments = vec![];
    arguments.extend(["-D", "data", "-p", &port.to_string(), "-k", &dir].map(str::to_owned));
    let unsynced: &[_] = match disk {
        Disk::Synced => &[],
        Disk::Unsynced => &["fsync=off", "full_page_writes=off"],
    };
    for setting in ["listen_addresses=127.0.0.1", "shared_buffers=16MB"].iter().chain(unsynced) {
        arguments.extend(["-c".to_owned(), (*setting).to_owned()]);
    }
    arguments
}

/// Starts a Postgres on the cluster in `dir`.
fn run(programs: &Path, user: Option<&User>, dir: &Path, port: u16, disk: Disk) -> Tied {
    let mut command = tied_command(&programs.join("postgres"), END, user);
    command
        .args(settings(dir, port, disk))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(dir.join("log")).expect("a new directory takes a file"));
    Tied::spawn(command, END).expect("a process can be started")
}

/// Finds the directory of the newest Postgres on this machine.
fn programs() -> Result<PathBuf, MissingProgram> {
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = fs::read_dir(DEBIAN_VERSIONS)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("bin/postgres").exists())
        .max_by_key(|path| version(path));
    if let Some(newest) = newest {
        return Ok(newest.join("bin"));
    }
    let postgres = find_program("postgres", "postgresql")?;
    // Elsewhere a link may lead to it; initdb lies beside the real one.
    let postgres = postgres.canonicalize().unwrap_or(postgres);
    Ok(postgres.parent().map(Path::to_owned).unwrap_or_default())
}

/// Makes a new cluster in `data` of a new directory that belongs to `user`.
fn make_cluster(programs: &Path, user: Option<&User>) -> TempDir {
    let dir = free_dir();
    give(dir.path(), user);
    let made = tied_command(&programs.join("initdb"), Signal::KILL, user)
        .args(["-D", "data", "-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C"])
        .args(["--no-sync", "--no-instructions"])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output()
        .expect("setpriv was found a moment ago");
    assert!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
    dir
}

/// Gives what is at `path` to `user`.
fn give(path: &Path, user: Option<&User>) {
    if let Some(User { uid, gid }) = user {
        std::os::unix::fs::chown(path, Some(*uid), Some(*gid)).expect("root may give things away");
    }
}

/// Has the Postgres of `cluster` speak TLS.
fn speak_tls(cluster: &Path, user: Option<&User>, identity: &Identity) {
    identity.write_into(cluster);
    for name in ["server.crt", "server.key"] {
        give(&cluster.join(name), user);
    }
    // Postgres uses no key that others may read.
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(cluster.join("server.key"), private).unwrap();
    let mut settings =
        OpenOptions::new().append(true).open(cluster.join("postgresql.conf")).unwrap();
    settings.write_all(b"ssl = on\n").unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Authority;

    fn text(value: &str) -> Row {
        vec![Some(value.to_owned())]
    }

    #[test]
    fn two_servers_side_by_side_do_not_see_each_other() {
        let one = PostgresServer::start();
        let other = PostgresServer::start();
        assert_ne!(one.port(), other.port());
        one.query("CREATE TABLE people (name text); INSERT INTO people VALUES ('ada'), (NULL)")
            .unwrap();
        assert_eq!(
            one.query("SELECT name FROM people ORDER BY name").unwrap(),
            [text("ada"), vec![None]]
        );
        let error = other.query("SELECT name FROM people").unwrap_err();
        assert!(error.to_string().contains("42P01"), "{error}");
    }

    #[test]
    fn a_server_speaks_utf8_and_has_a_socket() {
        let server = PostgresServer::start();
        assert_eq!(server.query("SHOW server_encoding").unwrap(), [text("UTF8")]);
        assert!(server.socket_dir().join(format!(".s.PGSQL.{}", server.port())).exists());
    }

    #[test]
    fn a_server_speaks_tls_where_it_has_an_identity() {
        let setting = |server: &PostgresServer| server.query("SHOW ssl").unwrap();
        let identity = Authority::new().certifies(&["localhost"]);
        assert_eq!(setting(&PostgresServer::start_with_tls(&identity)), [text("on")]);
        assert_eq!(setting(&PostgresServer::start()), [text("off")]);
    }

    #[test]
    fn a_synced_server_answers_when_it_is_on_the_disk_and_any_other_sooner() {
        let told = |server: PostgresServer| server.query("SHOW fsync; SHOW full_page_writes");
        assert_eq!(told(PostgresServer::start_synced()).unwrap(), [text("on"), text("on")]);
        assert_eq!(told(PostgresServer::start()).unwrap(), [text("off"), text("off")]);
    }

    #[test]
    fn a_server_that_starts_again_has_what_was_in_it() {
        let mut server = PostgresServer::start();
        server.query("CREATE TABLE people (name text); INSERT INTO people VALUES ('ada')").unwrap();
        server.stop();
        server.start_again();
        assert_eq!(server.query("SELECT name FROM people").unwrap(), [text("ada")]);
    }

    #[test]
    fn a_stopped_server_cannot_be_reached_and_leaves_nothing() {
        let mut server = PostgresServer::start();
        let dir = server.socket_dir().to_owned();
        server.stop();
        assert!(server.query("SELECT 1").is_err());
        drop(server);
        assert!(!dir.exists());
    }
}
