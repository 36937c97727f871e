//! The real binary as a worker of Celery tasks, and a client of Celery itself that calls them.

use std::fs;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use tempfile::TempDir;

use crate::built::program;
use crate::place::free_dir;
use crate::process::Tied;
use crate::process::tied_command;
use crate::python::Python;
use crate::wait::START_MAX;
use crate::wait::holds_within;

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/celery/requirements.txt");

/// How long a script of a client may take, in seconds: it may wait for workers that are killed.
const SCRIPT_MAX_S: &str = "240";

/// What a worker says once it takes tasks.
const READY: &str = "a worker called ";

/// A `doorward worker`; killed on drop.
#[derive(Debug)]
pub struct DoorwardWorker {
    process: Tied,
    // Last, so that it is removed after the process has ended.
    dir: TempDir,
}

impl DoorwardWorker {
    /// Starts one with this configuration, and waits until it takes tasks.
    ///
    /// # Panics
    /// When it does not start; its log says why.
    #[track_caller]
    pub fn start(config: &str) -> Self {
        let mut worker = Self::begin(config);
        worker.wait_until_it_takes_tasks();
        worker
    }

    /// The same, without waiting.
    ///
    /// # Panics
    /// When the program was not built.
    pub fn begin(config: &str) -> Self {
        Self::begin_as(&["--config", "doorward.toml", "worker"], config, &[])
    }

    /// Begins what these arguments say, in a directory with this configuration as `doorward.toml`, and with
    /// these variables.
    ///
    /// # Panics
    /// When the program was not built.
    pub fn begin_as(arguments: &[&str], config: &str, variables: &[(&str, &str)]) -> Self {
        let dir = free_dir();
        let file = dir.path().join("doorward.toml");
        fs::write(file, config).expect("a new directory takes a file");
        let log = File::create(dir.path().join("log")).expect("a new directory takes a file");
        let mut command = tied_command(&program("doorward", "doorward"), Signal::KILL, None);
        command.args(arguments).current_dir(dir.path());
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", dir.path());
        command.envs(variables.iter().copied());
        command.stdin(Stdio::null());
        command.stdout(log.try_clone().expect("there is room for another open file")).stderr(log);
        let process = Tied::spawn(command, Signal::KILL).expect("a process can be started");
        Self { process, dir }
    }

    /// Waits until it takes tasks.
    ///
    /// # Panics
    /// When it does not start; its log says why.
    #[track_caller]
    pub fn wait_until_it_takes_tasks(&mut self) {
        let ready =
            holds_within(START_MAX, || self.ended().is_some() || self.log().contains(READY));
        assert!(ready && self.ended().is_none(), "it does not start: {}", self.log());
    }

    /// Waits until it has ended in order, at most so long.
    ///
    /// # Panics
    /// When it goes on, or ends as one that failed; its log says why.
    #[track_caller]
    pub fn ends_in_order(&mut self, within: Duration) {
        let ended = holds_within(within, || self.ended().is_some());
        let succeeded = self.ended().is_some_and(|status| status.success());
        assert!(ended && succeeded, "it does not end in order: {}", self.log());
    }

    /// What it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The process number.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Says how it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Ends it at once, as by `kill -9`.
    pub fn kill(&mut self) {
        self.process.stop();
    }

    /// Asks it to end (SIGTERM).
    pub fn ask_to_go(&self) {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw).expect("a process number");
        // One that ended a moment ago is the test's to find out.
        let _ = kill_process(id, Signal::TERM);
    }
}

/// A script for Celery's own client, which finds the broker at `BROKER`.
pub fn celery_script(script: &Path, broker: &str) -> Command {
    let python = Python::with(Path::new(REQUIREMENTS));
    let mut command = Command::new("timeout");
    command.arg(SCRIPT_MAX_S).arg(python.interpreter()).arg(script);
    // Nothing of the machine's environment, so that no proxy stands between it and Redis.
    command.env_clear().env("PATH", "/usr/bin:/bin").env("BROKER", broker);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
