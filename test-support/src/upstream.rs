//! A back end that tells what it got, byte for byte.
//!
//! It runs as a process of its own (the program `upstream` of this package), speaks plain HTTP/1.1
//! without any library that would tidy up what it reads, and answers with [`Echo`] as JSON. A
//! segment anywhere in the path chooses how it behaves: see [`behaviour`].

pub mod behaviour;

pub mod echo;

pub mod server;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::io::BufReader;
use std::net::SocketAddr;
use std::process::Stdio;

use rustix::process::Signal;

use crate::built::program;
use crate::http1;
use crate::http1::Request;
use crate::process::Tied;
use crate::process::tied_command;

pub use echo::Echo;

/// A running back end; dropping it ends it.
#[derive(Debug)]
pub struct Upstream {
    addr: SocketAddr,
    process: Tied,
}

/// What a back end has counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Connections that sent at least one byte, other than those of the test itself.
    pub connections: u64,
    /// Requests, in total.
    pub requests: u64,
    /// Requests by path, without the query.
    pub paths: BTreeMap<String, u64>,
    /// The last heads, oldest first, byte for byte (each byte one character).
    pub heads: Vec<String>,
}

impl Upstream {
    /// Starts a back end on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When the program was not built or does not start.
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    /// Starts a back end that listens on `addr`.
    ///
    /// # Panics
    /// When the program was not built or does not start.
    pub fn start_at(addr: &str) -> Self {
        let mut command = tied_command(&program("upstream", "test-support"), Signal::KILL, None);
        let (output, input) = std::io::pipe().expect("a pipe can be made");
        command.arg(addr).stdin(Stdio::null()).stdout(input);
        let process = Tied::spawn(command, Signal::KILL).expect("the upstream program starts");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("the upstream names its port");
        let port: u16 = line.trim().parse().unwrap_or_else(|_| panic!("no port but `{line}`"));
        let mut addr: SocketAddr = addr.parse().expect("an address");
        addr.set_port(port);
        Self { addr, process }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its URL, as a configuration names it.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What it has counted so far; asking is not counted.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn seen(&self) -> Seen {
        let answer = http1::ask(self.addr, &Request::get("/__seen"));
        let seen = answer.json();
        let number = |name: &str| seen[name].as_u64().expect("a count");
        let paths = seen["paths"].as_object().expect("counts by path");
        let heads = seen["heads"].as_array().expect("a list of heads");
        Seen {
            connections: number("connections"),
            requests: number("requests"),
            paths: paths.iter().map(|(path, n)| (path.clone(), n.as_u64().unwrap_or(0))).collect(),
            heads: heads.iter().filter_map(|head| head.as_str().map(str::to_owned)).collect(),
        }
    }

    /// Lets go of the requests that wait at `/hold`, and answers well at `/later`, now and from now on.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn release(&self) {
        assert_eq!(http1::ask(self.addr, &Request::get("/__release")).status, 200);
    }

    /// Stops it.
    pub fn stop(&mut self) {
        self.process.stop();
    }
}

impl Seen {
    /// How many requests came for `path`.
    pub fn of(&self, path: &str) -> u64 {
        self.paths.get(path).copied().unwrap_or(0)
    }
}
