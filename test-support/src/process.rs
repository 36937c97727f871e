//! Processes that end with the test that started them.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::sync::mpsc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;

use crate::wait::holds_within;
use crate::wait::wait_until;

/// How long a process may take to stand still after it was told to.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long a process may take to end after it was asked to, before it is killed.
const END_MAX: Duration = Duration::from_secs(5);

/// A program that the machine lacks.
#[derive(Debug)]
pub struct MissingProgram {
    program: String,
    package: String,
}

impl std::fmt::Display for MissingProgram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { program, package } = self;
        write!(
            f,
            "`{program}` is not installed: `apt-get install {package}`, or `./dev test`, which does"
        )
    }
}

impl std::error::Error for MissingProgram {}

/// Finds `program` on the search path; `package` is the Debian package that has it.
///
/// # Errors
/// [`MissingProgram`] when it is not there.
pub fn find_program(program: &str, package: &str) -> Result<PathBuf, MissingProgram> {
    let missing = || MissingProgram { program: program.to_owned(), package: package.to_owned() };
    // The shell knows the search path; this crate reads no environment.
    let found = Command::new("sh")
        .args(["-c", "command -v -- \"$1\"", "sh", program])
        .output()
        .map_err(|_| missing())?;
    let path = String::from_utf8_lossy(&found.stdout).trim_end().to_owned();
    if found.status.success() && path.starts_with('/') {
        Ok(PathBuf::from(path))
    } else {
        Err(missing())
    }
}

/// A user of the machine to run a process as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Number of the user.
    pub uid: u32,
    /// Number of the user's first group.
    pub gid: u32,
}

/// Builds the command for `program` as a process that ends with this one, by the signal `end`.
///
/// Arguments, directory and streams are added to what is returned; [`Tied::spawn`] starts it. It
/// runs under `setpriv` of util-linux, which asks the kernel to send it `end` when its parent is
/// gone and then becomes the program, so the process number is the program's.
///
/// # Panics
/// When `setpriv` is not installed.
pub fn tied_command(program: &Path, end: Signal, user: Option<&User>) -> Command {
    let setpriv =
        find_program("setpriv", "util-linux").unwrap_or_else(|missing| panic!("{missing}"));
    let mut command = Command::new(setpriv);
    if let Some(User { uid, gid }) = user {
        let [uid, gid] = [format!("--reuid={uid}"), format!("--regid={gid}")];
        command.args([uid, gid, "--clear-groups".to_owned()]);
    }
    command.args(["--pdeathsig", name(end), "--"]).arg(program);
    command
}

/// The name of a signal that ends a process, as `setpriv` takes it.
fn name(end: Signal) -> &'static str {
    match end {
        Signal::KILL => "KILL",
        Signal::TERM => "TERM",
        Signal::INT => "INT",
        Signal::QUIT => "QUIT",
        other => panic!("{other:?} is not a signal that ends a process"),
    }
}

/// A running process; dropping it ends it, and so does the end of this process, even by SIGKILL.
#[derive(Debug)]
pub struct Tied {
    child: Child,
    end: Signal,
}

impl Tied {
    /// Starts a command of [`tied_command`]; `end` is the signal that ends it.
    ///
    /// # Errors
    /// When the machine cannot start another process. A program that is none is a process that
    /// ends at once with 126 or 127.
    pub fn spawn(command: Command, end: Signal) -> io::Result<Self> {
        Ok(Self { child: spawn_from_lasting_thread(command)?, end })
    }

    /// The process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Says how the process ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Makes the process stand still (SIGSTOP), and returns when it does.
    ///
    /// To others it hangs: its connections stay open and are not answered, and the kernel still
    /// takes in new ones for it, until the backlog is full.
    ///
    /// # Panics
    /// When the process has ended.
    #[track_caller]
    pub fn pause(&mut self) {
        assert!(self.ended().is_none(), "a process that has ended cannot be paused");
        self.signal(Signal::STOP);
        wait_until(PAUSE_MAX, || state_of(self.id()) == Some('T'));
    }

    /// Lets a paused process go on (SIGCONT) where it stood.
    pub fn resume(&mut self) {
        if self.ended().is_none() {
            self.signal(Signal::CONT);
        }
    }

    /// Sends a signal. A process that ended a moment ago is not an error.
    fn signal(&self, signal: Signal) {
        // Callers made sure that it was not yet waited for, so that the number cannot belong to
        // another process.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Ends the process now, also a paused one, and returns when it is gone.
    pub fn stop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        self.signal(self.end);
        // No signal but SIGKILL reaches a process that stands still.
        self.signal(Signal::CONT);
        if !holds_within(END_MAX, || self.ended().is_some()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The state of a process, as a letter of proc_pid_stat(5); none when it is gone.
fn state_of(id: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name before it stands in brackets, and may itself have some.
    stat.rsplit_once(") ")?.1.chars().next()
}

type Order = (Command, Sender<io::Result<Child>>);

/// Starts a process from a thread that lasts as long as this process.
///
/// The kernel sends the parent-death signal when the *thread* that started the child ends; were it
/// the thread of one test, a server that several tests share would die with the first of them.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                // Who asked waits for the answer, or has panicked.
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, answered) = mpsc::channel();
    spawner.send((command, answer)).map_err(io::Error::other)?;
    answered.recv().map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;
    use crate::wait::START_MAX;

    fn sleeper() -> Tied {
        sleeper_ended_by(Signal::KILL)
    }

    fn sleeper_ended_by(end: Signal) -> Tied {
        let sleep = find_program("sleep", "coreutils").unwrap();
        let mut command = tied_command(&sleep, end, None);
        command.arg("600").stdout(Stdio::null());
        Tied::spawn(command, end).unwrap()
    }

    /// The command line of a process; empty when it has ended.
    fn command_line(id: u32) -> String {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).into_owned()
    }

    /// Says whether a process has become the sleeper that it was started to be.
    fn sleeps(id: u32) -> bool {
        let line = command_line(id);
        line.contains("sleep") && !line.contains("pdeathsig")
    }

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let missing = find_program("no-such-program", "some-package").unwrap_err();
        let text = missing.to_string();
        assert!(
            text.contains("no-such-program") && text.contains("apt-get install some-package"),
            "{text}"
        );
    }

    #[test]
    fn a_process_ends_when_dropped() {
        let process = sleeper();
        let id = process.id();
        wait_until(START_MAX, || sleeps(id));
        drop(process);
        assert_eq!(command_line(id), "");
    }

    #[test]
    fn a_paused_process_stands_still_until_it_is_resumed() {
        let mut process = sleeper();
        wait_until(START_MAX, || sleeps(process.id()));
        process.pause();
        assert_eq!(state_of(process.id()), Some('T'));
        process.resume();
        wait_until(START_MAX, || state_of(process.id()) == Some('S'));
        assert_eq!(process.ended(), None);
    }

    #[test]
    fn a_paused_process_ends_when_dropped_by_whatever_signal() {
        for end in [Signal::KILL, Signal::TERM] {
            let mut process = sleeper_ended_by(end);
            wait_until(START_MAX, || sleeps(process.id()));
            process.pause();
            process.stop();
            let by = std::os::unix::process::ExitStatusExt::signal(&process.ended().unwrap());
            assert_eq!(by, Some(end.as_raw()));
        }
    }

    #[test]
    fn a_process_outlives_the_thread_that_asked_for_it() {
        let process = thread::spawn(sleeper).join().unwrap();
        wait_until(START_MAX, || sleeps(process.id()));
        assert!(!holds_within(Duration::from_millis(100), || !sleeps(process.id())));
    }

    #[test]
    fn a_process_ends_when_its_parent_is_killed() {
        // A shell starts a tied process, tells its number, and is killed.
        let setpriv = find_program("setpriv", "util-linux").unwrap();
        let script = format!("{} --pdeathsig KILL -- sleep 600 & echo $!; wait", setpriv.display());
        let mut shell =
            Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(shell.stdout.take().unwrap()), &mut line)
            .unwrap();
        let id: u32 = line.trim().parse().unwrap();
        wait_until(START_MAX, || sleeps(id));
        shell.kill().unwrap();
        shell.wait().unwrap();
        wait_until(START_MAX, || command_line(id).is_empty());
    }
}
