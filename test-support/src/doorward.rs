//! The real binary, started for one test.
//!
//! It gets a directory, ports and an environment of its own: nothing of the machine's reaches it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::process::Output;
use std::time::Duration;
use std::time::Instant;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;

mod builder;

pub use self::builder::Builder;
use crate::http1;
use crate::http1::Answer;
use crate::http1::Request;
use crate::process::Tied;
use crate::wait::LOG_MAX;
use crate::wait::START_MAX;
use crate::wait::holds_within;
use crate::wait::wait_until;

/// The password of the first administrator, `admin`.
pub const ADMIN_PASSWORD: &str = "nine-lanterns-on-the-quay";

/// The secret that signs, so that tests can sign too. 32 bytes or more, and used nowhere else.
pub const SECRET: &str = "5f1c6c0e9f7b4b7ea9d80b7d3c2b16e4d6a7";

/// A running Doorward; dropping it kills it.
#[derive(Debug)]
pub struct Doorward {
    process: Tied,
    builder: Builder,
    public: SocketAddr,
    ops: SocketAddr,
}

/// What a login answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// Lets its bearer through.
    pub access: String,
    /// Is exchanged for the next pair.
    pub refresh: String,
}

impl Doorward {
    /// Begins to describe one: ports of its own, an empty directory, [`ADMIN_PASSWORD`], [`SECRET`].
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Where clients connect.
    pub fn public(&self) -> SocketAddr {
        self.public
    }

    /// Where probes and metrics are.
    pub fn ops(&self) -> SocketAddr {
        self.ops
    }

    /// Whether it is ready for requests.
    pub fn is_ready(&self) -> bool {
        is_ready(self.ops)
    }

    /// The process number.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The directory of its data.
    pub fn data_dir(&self) -> PathBuf {
        self.builder.data_dir()
    }

    /// Sends one request to the public listener, on a connection of its own.
    ///
    /// # Panics
    /// When there is no whole answer.
    #[track_caller]
    pub fn ask(&self, request: &Request) -> Answer {
        http1::ask(self.public, request)
    }

    /// Sends a GET to the ops listener.
    ///
    /// # Panics
    /// When there is no whole answer.
    #[track_caller]
    pub fn ask_ops(&self, target: &str) -> Answer {
        http1::ask(self.ops, &Request::get(target))
    }

    /// Signs somebody in.
    ///
    /// # Panics
    /// When that is refused.
    #[track_caller]
    pub fn login(&self, user: &str, password: &str) -> Tokens {
        let answer = self
            .ask(&Request::post("/auth/login").form(&[("username", user), ("password", password)]));
        assert_eq!(answer.status, 200, "{answer}");
        Tokens::of(&answer)
    }

    /// Signs the first administrator in.
    ///
    /// # Panics
    /// When that is refused.
    #[track_caller]
    pub fn login_as_admin(&self) -> Tokens {
        self.login("admin", ADMIN_PASSWORD)
    }

    /// Runs a command of the command line on the same data and configuration.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        self.builder.cli(arguments)
    }

    /// The same, for a command that must succeed; returns its standard output without the last line end.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn must(&self, arguments: &[&str]) -> String {
        self.builder.must(arguments)
    }

    /// The same, with the variable `name` set to `value` besides.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn must_with(&self, (name, value): (&str, &str), arguments: &[&str]) -> String {
        self.builder.clone().env(name, value).must(arguments)
    }

    /// Makes an access token for `user`; `more` are further arguments of `token mint`.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn mint(&self, user: &str, more: &[&str]) -> String {
        let token = self.must(&[&["token", "mint", "--user", user], more].concat());
        assert_eq!(token.split('.').count(), 3, "a token and nothing else: {token}");
        token
    }

    /// Creates a user of `tier`, with that password.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn create_user(&self, name: &str, tier: &str, password: &str) {
        self.builder.create_user(name, tier, password);
    }

    /// All log lines so far, of this start and those before.
    pub fn log(&self) -> String {
        self.builder.log()
    }

    /// Waits until the log holds `text`: lines are written by a thread of their own, so that an
    /// answer may be there before them.
    ///
    /// # Panics
    /// When it does not in [`LOG_MAX`].
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        assert!(
            holds_within(LOG_MAX, || self.log().contains(text)),
            "no `{text}` in {}",
            self.log()
        );
    }

    /// The metrics, as text.
    ///
    /// # Panics
    /// When they are not served.
    #[track_caller]
    pub fn metrics(&self) -> String {
        let answer = self.ask_ops("/metrics");
        assert_eq!(answer.status, 200, "{answer}");
        answer.text()
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw).expect("a process number");
        // One that ended a moment ago is the test's to find out.
        let _ = kill_process(id, Signal::TERM);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    #[track_caller]
    pub fn wait_for_end(&mut self, deadline: Duration) -> ExitStatus {
        let mut status = None;
        wait_until(deadline, || {
            status = self.process.ended();
            status.is_some()
        });
        status.expect("it has ended")
    }

    /// Asks it to end and waits for that; returns how it ended and how long it took.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn sigterm_and_wait(&mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        self.terminate();
        let status = self.wait_for_end(START_MAX);
        (status, began.elapsed())
    }

    /// Kills it without a warning; gives what it was started with, to be started at the same public
    /// port again.
    pub fn kill(mut self) -> Builder {
        self.process.stop();
        self.builder.clone().public_port(self.public.port())
    }

    /// Kills it without a warning, and starts another one on what is left.
    ///
    /// # Panics
    /// When it does not start again.
    #[track_caller]
    pub fn kill_and_restart(mut self) -> Self {
        self.process.stop();
        self.builder.clone().start()
    }

    /// What it was started with.
    pub fn builder_of_this(&self) -> &Builder {
        &self.builder
    }
}

impl Tokens {
    /// Reads the answer to a login or a refresh.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn of(answer: &Answer) -> Self {
        let body = answer.json();
        let text = |name: &str| match body[name].as_str() {
            Some(text) => text.to_owned(),
            None => panic!("no `{name}` in {answer}"),
        };
        Self { access: text("access_token"), refresh: text("refresh_token") }
    }
}

fn is_ready(ops: SocketAddr) -> bool {
    http1::Connection::try_open(ops)
        .and_then(|mut connection| connection.try_ask(&Request::get("/readyz")))
        .is_ok_and(|answer| answer.status == 200)
}
