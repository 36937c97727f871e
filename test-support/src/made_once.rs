//! Directories that take long to make: made once on a machine, and used by every test since.
//!
//! They lie outside the clone, beside what continuous integration builds, so that the next clone
//! finds them. Each is named after what it is made of: whatever changes that, makes another.

use std::fs;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use ring::digest::SHA256;
use ring::digest::digest;

use crate::built;

/// What is in a directory that is whole.
const WHOLE: &str = "whole";

/// How many bytes of a digest are in a name.
const NAME_BYTES: usize = 12;

/// How long a step may take, in seconds: packages are fetched.
const STEP_MAX_S: &str = "600";

/// A directory that is being made.
pub(crate) struct Making {
    directory: PathBuf,
    lock: File,
}

impl Making {
    /// The directory, at first empty.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Begins a step: a command that ends by itself.
    ///
    /// Its standard input is the lock, which so is held while it runs, even if this process is
    /// killed: nobody begins anew while it still writes.
    pub(crate) fn step(&self, program: &Path) -> Command {
        let mut command = Command::new("timeout");
        command.arg(STEP_MAX_S).arg(program).current_dir(&self.directory);
        command.stdin(self.lock.try_clone().expect("there is room for another open file"));
        command
    }
}

/// Finds the directory that `make` makes of `recipe`, and has it made where there is none.
///
/// Of several that come at once, in whatever processes, one makes it and the others wait. What is
/// left of a making that broke off is never used: the next one begins anew. It is made where it
/// stays, because the programs in it may name their own place.
///
/// # Panics
/// When no directory can be written to, or as `make` does.
pub(crate) fn made_once(kind: &str, recipe: &str, make: impl FnOnce(&Making)) -> PathBuf {
    made_once_in(&shelf(), kind, recipe, make)
}

fn made_once_in(shelf: &Path, kind: &str, recipe: &str, make: impl FnOnce(&Making)) -> PathBuf {
    let digest = digest(&SHA256, recipe.as_bytes());
    let name = digest.as_ref().iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}"));
    let directory = shelf.join(format!("{kind}-{}", name.collect::<String>()));
    let whole = directory.join(WHOLE);
    if whole.is_file() {
        return directory;
    }
    let lock = File::create(directory.with_extension("lock")).expect("the shelf can be written to");
    lock.lock().expect("a file can be locked");
    // Holds the lock until all is done; the system takes it back from a process that is killed.
    let making = Making { directory, lock };
    if !whole.is_file() {
        // Where there is none, nothing is left of a making that broke off.
        let _ = fs::remove_dir_all(&making.directory);
        fs::create_dir(&making.directory).expect("nothing is left of a making that broke off");
        make(&making);
        File::create(&whole).expect("the shelf can be written to");
    }
    making.directory
}

/// Where they lie: in the user's cache; where that cannot be written to, beside the programs of
/// this workspace.
fn shelf() -> PathBuf {
    // The shell knows the environment; this crate does not read it. As in `.ci/run`.
    let cache = "printf %s \"${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/doorward\"";
    let cache = Command::new("sh").args(["-c", cache]).output().expect("there is a shell");
    let cache = PathBuf::from(String::from_utf8_lossy(&cache.stdout).into_owned());
    let can_be_written_to = |directory: &PathBuf| {
        fs::create_dir_all(directory).is_ok() && tempfile::tempfile_in(directory).is_ok()
    };
    let found = [cache, built::directory().join("made-once")].into_iter().find(can_be_written_to);
    found.expect("the cache, or the directory of what cargo builds, can be written to")
}

#[cfg(test)]
mod tests {
    use std::fs::TryLockError;
    use std::panic::AssertUnwindSafe;
    use std::panic::catch_unwind;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;
    use std::thread;

    use rustix::process::Pid;
    use rustix::process::Signal;
    use rustix::process::kill_process;

    use super::*;
    use crate::place::free_dir;
    use crate::process::find_program;
    use crate::wait::START_MAX;
    use crate::wait::wait_until;

    #[test]
    fn of_many_that_come_at_once_one_makes_it_and_all_find_it_whole() {
        let (shelf, made) = (free_dir(), AtomicUsize::new(0));
        let make = |making: &Making| {
            made.fetch_add(1, Ordering::SeqCst);
            fs::write(making.directory().join("first"), "1").unwrap();
            thread::yield_now();
            fs::write(making.directory().join("last"), "2").unwrap();
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let directory = made_once_in(shelf.path(), "thing", "a", make);
                    assert_eq!(fs::read_to_string(directory.join("last")).unwrap(), "2");
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }

    /// A making that breaks off, as when the network is away; `act` is what it did before.
    fn break_off<T>(shelf: &Path, act: impl FnOnce(&Making) -> T) -> T {
        let mut seen = None;
        let make = |making: &Making| {
            seen = Some(act(making));
            panic!("the network is away");
        };
        let making = || made_once_in(shelf, "thing", "a", make);
        assert!(catch_unwind(AssertUnwindSafe(making)).is_err());
        seen.unwrap()
    }

    #[test]
    fn what_was_left_half_made_is_not_used_and_nothing_of_it_stays() {
        let shelf = free_dir();
        break_off(shelf.path(), |making| fs::write(making.directory().join("half"), "").unwrap());
        let make = |making: &Making| fs::write(making.directory().join("all"), "").unwrap();
        let directory = made_once_in(shelf.path(), "thing", "a", make);
        assert!(directory.join("all").exists() && !directory.join("half").exists());
    }

    #[test]
    fn nobody_begins_anew_while_a_step_of_a_making_that_broke_off_still_runs() {
        let shelf = free_dir();
        let sleep = find_program("sleep", "coreutils").unwrap();
        let mut step =
            break_off(shelf.path(), |making| making.step(&sleep).arg("600").spawn().unwrap());
        let mut files = fs::read_dir(shelf.path()).unwrap().map(|entry| entry.unwrap().path());
        let lock = File::open(files.find(|path| path.is_file()).unwrap()).unwrap();
        assert!(matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
        kill_process(Pid::from_child(&step), Signal::TERM).unwrap();
        step.wait().unwrap();
        wait_until(START_MAX, || lock.try_lock().is_ok());
    }

    #[test]
    fn another_recipe_makes_another_directory() {
        let shelf = free_dir();
        let of = |kind, recipe| made_once_in(shelf.path(), kind, recipe, |_| {});
        assert_ne!(of("thing", "a"), of("thing", "b"));
        assert_ne!(of("thing", "a"), of("other", "a"));
        made_once_in(shelf.path(), "thing", "a", |_| panic!("it is there"));
    }
}
