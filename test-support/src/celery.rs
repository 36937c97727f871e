//! Workers of Celery, as they are: real ones, in Python.

use std::fs;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use tempfile::TempDir;

use crate::place::free_dir;
use crate::process::Tied;
use crate::process::tied_command;
use crate::python::Python;
use crate::wait::START_MAX;
use crate::wait::holds_within;

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/celery");

/// Which Celery it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// The oldest whose workers are promised to be seen.
    Oldest,
    /// The newest that is known.
    Newest,
}

impl Release {
    /// Its number, as its workers say it.
    pub fn version(self) -> &'static str {
        match self {
            Self::Oldest => "5.4.0",
            Self::Newest => "5.7.0",
        }
    }

    fn requirements(self) -> &'static str {
        match self {
            Self::Oldest => "requirements-oldest.txt",
            Self::Newest => "requirements.txt",
        }
    }
}

/// What carries out a worker's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Processes of their own, one here: the worker itself goes on answering.
    Prefork,
    /// The worker itself, which meanwhile says nothing.
    Solo,
}

/// How a worker is to be started.
#[derive(Clone, Debug)]
pub struct CelerySetup {
    broker: String,
    keyprefix: String,
    has_fanout_prefix: bool,
    release: Release,
    pool: Pool,
    has_remote_control: bool,
    /// A module of another name than `app`, and its text.
    program: Option<(String, String)>,
}

/// A worker that runs; killed on drop.
///
/// It has two tasks: `app.add`, which adds two numbers, and `app.busy`, which takes that many seconds.
#[derive(Debug)]
pub struct CeleryWorker {
    name: String,
    process: Tied,
    // Last, so that it is removed after the process has ended.
    dir: TempDir,
}

impl CelerySetup {
    /// A worker with processes, of the newest Celery, for the broker at `broker`, a URL, which is the result back end, too.
    pub fn at(broker: &str) -> Self {
        Self {
            broker: broker.to_owned(),
            keyprefix: String::new(),
            has_fanout_prefix: true,
            release: Release::Newest,
            pool: Pool::Prefork,
            has_remote_control: true,
            program: None,
        }
    }

    /// One whose keys begin with `keyprefix`.
    #[must_use]
    pub fn keyprefix(self, keyprefix: &str) -> Self {
        Self { keyprefix: keyprefix.to_owned(), ..self }
    }

    /// One whose channels do not begin with the number of the database (`fanout_prefix` is `False`).
    #[must_use]
    pub fn without_fanout_prefix(self) -> Self {
        Self { has_fanout_prefix: false, ..self }
    }

    /// One of this Celery.
    #[must_use]
    pub fn release(self, release: Release) -> Self {
        Self { release, ..self }
    }

    /// One that carries out tasks so.
    #[must_use]
    pub fn pool(self, pool: Pool) -> Self {
        Self { pool, ..self }
    }

    /// One that cannot be asked anything.
    #[must_use]
    pub fn without_remote_control(self) -> Self {
        Self { has_remote_control: false, ..self }
    }

    /// One of another application: the module `name`, which says `text`. Of the above it knows the
    /// broker alone, as `CELERY_BROKER_URL`, which Celery it is, and what carries out its tasks.
    #[must_use]
    pub fn program(self, name: &str, text: &str) -> Self {
        Self { program: Some((name.to_owned(), text.to_owned())), ..self }
    }

    /// Starts a worker called `name`, such as `w1@host`, and waits until it takes tasks.
    ///
    /// # Panics
    /// As [`Python::with`], and when it does not start; its log says why.
    pub fn start(&self, name: &str) -> CeleryWorker {
        let directory = Path::new(DIRECTORY);
        let python = Python::with(&directory.join(self.release.requirements()));
        let dir = free_dir();
        let log = File::create(dir.path().join("log")).expect("a new directory takes a file");
        let mut command = tied_command(&python.interpreter(), Signal::KILL, None);
        let pool = match self.pool {
            Pool::Prefork => "prefork",
            Pool::Solo => "solo",
        };
        let module = match &self.program {
            None => "app",
            Some((module, text)) => {
                let file = dir.path().join(format!("{module}.py"));
                fs::write(file, text).expect("a new directory takes a file");
                module
            }
        };
        command.args(["-m", "celery", "-A", module, "worker", "--hostname", name]);
        command.args(["--pool", pool, "--concurrency", "1", "--loglevel", "INFO"]);
        command.current_dir(dir.path());
        // Nothing of the machine's environment, so that no proxy stands between it and Redis.
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", dir.path());
        command.env("PYTHONPATH", directory).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("CELERY_BROKER_URL", &self.broker);
        command.env("BROKER", &self.broker).env("KEYPREFIX", &self.keyprefix);
        let on = |is_on: bool| if is_on { "on" } else { "off" };
        command.env("FANOUT_PREFIX", on(self.has_fanout_prefix));
        command.env("REMOTE_CONTROL", on(self.has_remote_control));
        command.stdin(Stdio::null());
        command.stdout(log.try_clone().expect("there is room for another open file")).stderr(log);
        let process = Tied::spawn(command, Signal::KILL).expect("a process can be started");
        let mut worker = CeleryWorker { name: name.to_owned(), process, dir };
        let mut ended = None;
        let is_ready = holds_within(START_MAX, || {
            ended = worker.process.ended();
            ended.is_some() || worker.log().contains(" ready.")
        });
        assert!(ended.is_none(), "{name} does not start: {ended:?}; its log:\n{}", worker.log());
        assert!(is_ready, "{name} is not ready after {START_MAX:?}; its log:\n{}", worker.log());
        worker
    }
}

impl CeleryWorker {
    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Has it stand still (SIGSTOP); its connections stay open.
    ///
    /// # Panics
    /// When it has ended.
    #[track_caller]
    pub fn pause(&mut self) {
        self.process.pause();
    }

    /// Lets it go on where it stood.
    pub fn resume(&mut self) {
        self.process.resume();
    }

    /// Ends it at once, as by `kill -9`: it says nothing to anybody. What it had started ends a moment
    /// later.
    pub fn kill(&mut self) {
        self.process.stop();
    }

    /// Asks it to go (SIGTERM): it says so to everybody, and finishes what it is at.
    ///
    /// # Panics
    /// When it has ended.
    pub fn ask_to_go(&mut self) {
        assert!(self.process.ended().is_none(), "a worker that has ended cannot be asked to go");
        let id = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        let _ = kill_process(id.expect("a process has a number"), Signal::TERM);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::RedisServer;
    use crate::wait::wait_until;

    #[test]
    fn a_worker_takes_tasks_stands_still_and_ends() {
        let redis = RedisServer::start();
        let mut worker = CelerySetup::at(&redis.url()).start("w1@here");
        assert!(worker.log().contains("w1@here ready."), "{}", worker.log());
        worker.pause();
        worker.resume();
        worker.ask_to_go();
        wait_until(START_MAX, || worker.process.ended().is_some());
    }
}
