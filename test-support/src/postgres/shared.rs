//! One Postgres for all the tests of a run, with a new database for each of them.
//!
//! A runner may start a process for every test, and a server for each would take far longer than
//! the test. The first test that needs it starts it; it ends with the runner, which is the parent
//! of all of them.

use std::env;
use std::fs;
use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use rustix::process::Pid;

use super::ANSWER_MAX;
use super::DATABASE;
use super::Disk;
use super::Row;
use super::USER;
use super::account::server_account;
use super::make_cluster;
use super::programs;
use super::settings;
use super::wire;
use crate::place::free_port;
use crate::process::find_program;
use crate::wait::START_MAX;
use crate::wait::holds_within;

/// Keeps the server (`$4` and what follows) going as long as the runner (`$1`) lives, and tidies
/// up what it leaves (`$2`, `$3`).
const KEEPER: &str = r#"
runner=$1; cluster=$2; place=$3; shift 3
"$@" & server=$!
while kill -0 "$runner" && kill -0 "$server"; do sleep 0.5; done 2>/dev/null
kill -QUIT "$server" 2>/dev/null
wait "$server"
rm -rf "$cluster" "$place"
"#;

/// How many tests may be connected at one time, with all the connections of each.
const CONNECTIONS_MAX: u32 = 400;

/// A new, empty database of one test's own, at a server that it shares with the others of its run.
///
/// It is not deleted at the end, but goes with the server.
#[derive(Debug)]
pub struct PostgresDatabase {
    port: u16,
    name: String,
}

impl PostgresDatabase {
    /// Makes a database, and starts the server where no other test has.
    ///
    /// # Panics
    /// As [`super::PostgresServer::start`].
    #[expect(
        clippy::new_without_default,
        reason = "starting a server is nothing to be had by default"
    )]
    pub fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let port = port_of_run();
        loop {
            let number = MADE.fetch_add(1, Ordering::Relaxed);
            let name = format!("test_{}_{number}", std::process::id());
            match ask(port, DATABASE, &format!("CREATE DATABASE {name}")) {
                Ok(_) => return Self { port, name },
                // An earlier process of the run had the number that this one has now.
                Err(error) if error.to_string().contains("already exists") => {}
                Err(error) => panic!("no database `{name}`: {error}"),
            }
        }
    }

    /// The address as clients take it.
    pub fn url(&self) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{}", self.port, self.name)
    }

    /// Runs statements over a new connection, and returns the rows of all of them, as text.
    ///
    /// # Errors
    /// As [`super::PostgresServer::query`].
    pub fn query(&self, statements: &str) -> io::Result<Vec<Row>> {
        ask(self.port, &self.name, statements)
    }
}

fn ask(port: u16, database: &str, statements: &str) -> io::Result<Vec<Row>> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    wire::query(stream, USER, database, statements)
}

/// The port of the server of this run, which is started if need be.
fn port_of_run() -> u16 {
    let runner = runner();
    let place = env::temp_dir().join(format!("dw-run-{runner}-{}", born(runner)));
    fs::create_dir_all(&place).expect("temporary files can be made");
    let lock = File::create(place.join("lock")).expect("a new directory takes a file");
    lock.lock().expect("a file can be locked");
    let known = fs::read_to_string(place.join("port")).ok().and_then(|text| text.parse().ok());
    let port = known.filter(|port| ask(*port, DATABASE, "SELECT 1").is_ok());
    port.unwrap_or_else(|| {
        let port = start(&place, runner);
        fs::write(place.join("port"), port.to_string()).expect("a new directory takes a file");
        port
    })
}

/// The process that runs the tests: the parent of this one, or this one where it has none.
fn runner() -> u32 {
    let parent = rustix::process::getppid().filter(|parent| !parent.is_init());
    parent.map_or_else(std::process::id, |parent: Pid| parent.as_raw_nonzero().get() as u32)
}

/// When a process began, in the kernel's own unit: a number may be given to another process later.
fn born(process: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name in brackets may have spaces; the 20th word after it is the start (proc(5)).
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.split_whitespace().nth(19).unwrap_or("0").to_owned()
}

fn start(place: &Path, runner: u32) -> u16 {
    let found = programs().unwrap_or_else(|missing| panic!("{missing}"));
    let user = server_account();
    let cluster = make_cluster(&found, user.as_ref()).keep();
    let port = free_port();
    let mut server: Vec<String> = Vec::new();
    if let Some(user) = &user {
        let setpriv = find_program("setpriv", "util-linux").unwrap_or_else(|m| panic!("{m}"));
        server.push(text(&setpriv));
        server.push(format!("--reuid={}", user.uid));
        server.push(format!("--regid={}", user.gid));
        server.extend(["--clear-groups".to_owned(), "--".to_owned()]);
    }
    server.push(text(&found.join("postgres")));
    server.extend(settings(&cluster, port, Disk::Unsynced));
    server.extend(["-c".to_owned(), format!("max_connections={CONNECTIONS_MAX}")]);
    let setsid = find_program("setsid", "util-linux").unwrap_or_else(|m| panic!("{m}"));
    let log = File::create(place.join("log")).expect("a new directory takes a file");
    // A session of its own: a runner that ends a test ends all of the test's group.
    Command::new(setsid)
        .args(["--fork", "sh", "-c", KEEPER, "keeper", &runner.to_string()])
        .args([&text(&cluster), &text(place)])
        .args(server)
        .current_dir(&cluster)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .status()
        .expect("a process can be started");
    let answers = holds_within(START_MAX, || ask(port, DATABASE, "SELECT 1").is_ok());
    let said = fs::read_to_string(place.join("log")).unwrap_or_default();
    assert!(answers, "postgres does not answer after {START_MAX:?}; its log:\n{said}");
    port
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_share_a_server_and_do_not_see_each_other() {
        let (one, other) = (PostgresDatabase::new(), PostgresDatabase::new());
        assert_eq!(one.port, other.port);
        one.query("CREATE TABLE people (name text)").unwrap();
        assert!(other.query("SELECT name FROM people").is_err());
        assert!(one.query("SELECT name FROM people").unwrap().is_empty());
    }
}
