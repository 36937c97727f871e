//! How a Doorward is started, and its command line.

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Output;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::ADMIN_PASSWORD;
use super::Doorward;
use super::SECRET;
use super::is_ready;
use crate::built::program;
use crate::place::free_dir;
use crate::process::Tied;
use crate::process::tied_command;
use crate::wait::START_MAX;
use crate::wait::holds_within;

/// How long an ordinary command of the command line may take.
const COMMAND_MAX: Duration = Duration::from_secs(30);

/// Which part of a Doorward is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Gateway,
    Admin,
}

/// How a Doorward is to be started.
#[derive(Debug, Clone)]
pub struct Builder {
    part: Part,
    dir: Arc<TempDir>,
    data_dir: Option<PathBuf>,
    config: Option<String>,
    upstream: Option<String>,
    public_port: u16,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
}

impl Builder {
    /// Ports of its own, an empty directory, [`ADMIN_PASSWORD`], [`SECRET`].
    pub(super) fn new() -> Self {
        let environment = [("DOORWARD_ADMIN_PASSWORD", ADMIN_PASSWORD), ("JWT_SECRET_KEY", SECRET)];
        Self {
            part: Part::Whole,
            dir: Arc::new(free_dir()),
            data_dir: None,
            config: None,
            upstream: None,
            public_port: 0,
            arguments: Vec::new(),
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        }
    }

    /// Only the gateway.
    #[must_use]
    pub fn gateway(mut self) -> Self {
        self.part = Part::Gateway;
        self
    }

    /// Only the admin API; its public address is the one for gateways.
    #[must_use]
    pub fn admin(mut self) -> Self {
        self.part = Part::Admin;
        self
    }

    /// The configuration file; without one, Doorward runs without.
    #[must_use]
    pub fn config(mut self, text: impl Into<String>) -> Self {
        self.config = Some(text.into());
        self
    }

    /// The text of the configuration file; empty where there is none.
    pub fn config_text(&self) -> String {
        self.config.clone().unwrap_or_default()
    }

    /// The only upstream, by command line.
    #[must_use]
    pub fn upstream(mut self, url: &str) -> Self {
        self.upstream = Some(url.to_owned());
        self
    }

    /// Listens for clients on this port of 127.0.0.1, in place of any that is free.
    #[must_use]
    pub fn public_port(mut self, port: u16) -> Self {
        self.public_port = port;
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Takes an environment variable away.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    /// Adds an argument to `doorward run`, or what is run in its place.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Keeps its data elsewhere than in the test's own directory.
    #[must_use]
    pub fn data_at(mut self, directory: &Path) -> Self {
        self.data_dir = Some(directory.to_owned());
        self
    }

    /// The directory of its data.
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| self.dir.path().join("data"))
    }

    /// The test's own directory, which is also the working directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// All log lines so far.
    pub fn log(&self) -> String {
        fs::read(self.dir.path().join("stderr.log"))
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// What it wrote to standard output so far.
    pub fn stdout(&self) -> String {
        fs::read_to_string(self.dir.path().join("stdout.log")).unwrap_or_default()
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    #[track_caller]
    pub fn start(self) -> Doorward {
        match self.try_start() {
            Ok(doorward) => doorward,
            Err((status, log)) => panic!("doorward did not start: {status:?}\n{log}"),
        }
    }

    /// Starts it and waits until it has said where it listens, ready or not.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn start_unready(self) -> Doorward {
        match self.try_start_until(|_| true) {
            Ok(doorward) => doorward,
            Err((status, log)) => panic!("doorward did not start: {status:?}\n{log}"),
        }
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// How it ended instead (`None`: it still ran, but was not ready in time), and its log.
    ///
    /// # Panics
    /// When the program was not built.
    pub fn try_start(self) -> Result<Doorward, (Option<ExitStatus>, String)> {
        self.try_start_until(is_ready)
    }

    /// Starts it and waits until it has written down where it listens, and `is_there` says so of its
    /// ops listener.
    fn try_start_until(
        self,
        is_there: impl Fn(SocketAddr) -> bool,
    ) -> Result<Doorward, (Option<ExitStatus>, String)> {
        let facts = self.data_dir().join("run.json");
        // That of the start before.
        let _ = fs::remove_file(&facts);
        let mut command = tied_command(&program("doorward", "doorward"), Signal::KILL, None);
        let (part, listen) = match self.part {
            Part::Whole => ("run", "--listen"),
            Part::Gateway => ("gateway", "--listen"),
            Part::Admin => ("admin", "--fleet-listen"),
        };
        command.args([part, "--ops-listen", "127.0.0.1:0"]);
        command.args([listen, &format!("127.0.0.1:{}", self.public_port)]);
        self.place(&mut command);
        if let Some(url) = &self.upstream {
            command.args(["--upstream", url]);
        }
        command.args(&self.arguments);
        command.stdin(Stdio::null());
        command.stdout(self.append("stdout.log")).stderr(self.append("stderr.log"));
        let mut process = Tied::spawn(command, Signal::KILL).expect("doorward can be run");
        let mut addresses = None;
        let mut ended = None;
        holds_within(START_MAX, || {
            ended = process.ended();
            addresses = addresses.or_else(|| addresses_in(&facts));
            ended.is_some() || addresses.is_some_and(|(_, ops)| is_there(ops))
        });
        match addresses {
            Some((public, ops)) if ended.is_none() && is_there(ops) => {
                Ok(Doorward { process, builder: self, public, ops })
            }
            _ => Err((ended, self.log())),
        }
    }

    /// Runs a command of the command line on the same data and configuration.
    ///
    /// # Panics
    /// When it cannot be run, or takes too long.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        self.cli_with_input(arguments, "")
    }

    /// The same, with `input` on standard input.
    ///
    /// # Panics
    /// When it cannot be run, or takes too long.
    pub fn cli_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new("timeout");
        command
            .arg(COMMAND_MAX.as_secs().to_string())
            .arg(program("doorward", "doorward"))
            .args(arguments);
        self.place(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("doorward can be run");
        // A command that reads nothing may be gone by now.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
        child.wait_with_output().expect("doorward can be run")
    }

    /// The same, for a command that must succeed; returns its standard output without the last line end.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn must(&self, arguments: &[&str]) -> String {
        succeeded(arguments, &self.cli(arguments))
    }

    /// Creates a user of `tier`, with that password.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn create_user(&self, name: &str, tier: &str, password: &str) {
        let arguments = ["user", "create", name, "--tier", tier];
        let told = self.clone().env("DOORWARD_USER_PASSWORD", password);
        succeeded(&arguments, &told.cli(&arguments));
    }

    /// Directory, configuration and environment, for any command.
    fn place(&self, command: &mut Command) {
        command.arg("--data-dir").arg(self.data_dir());
        if let Some(text) = &self.config {
            let path = self.dir.path().join("doorward.toml");
            fs::write(&path, text).expect("the test's directory can be written to");
            command.arg("--config").arg(path);
        }
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.dir.path())
            .envs(&self.environment);
        command.current_dir(self.dir.path());
    }

    fn append(&self, name: &str) -> File {
        let path = self.dir.path().join(name);
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("the test's directory can be written to")
    }
}

#[track_caller]
fn succeeded(arguments: &[&str], output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "doorward {arguments:?}: {}\n{said}", output.status);
    String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
}

/// The public and the ops address that a running Doorward wrote down.
fn addresses_in(facts: &Path) -> Option<(SocketAddr, SocketAddr)> {
    let facts: Value = serde_json::from_slice(&fs::read(facts).ok()?).ok()?;
    let public = facts["public"][0].as_str().or(facts["fleet"].as_str())?;
    Some((public.parse().ok()?, facts["ops"].as_str()?.parse().ok()?))
}
