//! Python with packages of its own: programs that others wrote, as they are.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use crate::made_once::made_once;
use crate::process::find_program;

/// How long a script may take, in seconds.
pub(crate) const SCRIPT_MAX_S: &str = "60";

/// A virtual environment: Python, and the packages of one requirements file.
#[derive(Debug)]
pub struct Python {
    directory: PathBuf,
}

impl Python {
    /// With the packages that the file at `requirements` names.
    ///
    /// All of them are in the file, those that others need as well, each as `name==version`: what
    /// runs is chosen by nobody else. They are fetched once on a machine, by pip as it is set up
    /// there.
    ///
    /// # Panics
    /// When Python or its module `venv` is missing, when the file leaves a version open, or when
    /// pip cannot install what it names.
    pub fn with(requirements: &Path) -> Self {
        let wanted = fs::read_to_string(requirements).expect("the requirements file can be read");
        let open = open_in(&wanted);
        let shown = requirements.display();
        assert!(open.is_empty(), "{shown}: {open:?}: expected `name==version`");
        let python = find_program("python3", "python3-venv").unwrap_or_else(|e| panic!("{e}"));
        // A virtual environment is of one Python.
        let version = done(Command::new(&python).arg("--version"), "Python does not start");
        let directory = made_once("python", &format!("{version}{wanted}"), |making| {
            let missing = "`apt-get install python3-venv`, or `./dev test`, which does";
            done(making.step(&python).args(["-m", "venv", "."]), missing);
            let pip = |arguments: &[&str]| {
                let mut command = making.step(&interpreter(making.directory()));
                command.args(["-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check"]);
                command.args(arguments);
                command
            };
            // Wheels alone: nothing is compiled, and no package's own code runs to install it.
            let copy = making.directory().join("requirements.txt");
            fs::write(&copy, &wanted).expect("a directory that is being made can be written to");
            let mut install = pip(&["install", "--no-deps", "--only-binary=:all:"]);
            let install = install.arg("--requirement").arg(copy);
            done(install, "pip could not install the packages");
            done(&mut pip(&["check"]), "the packages do not fit together");
        });
        Self { directory }
    }

    /// The interpreter, for a process that lasts:
    /// see [`tied_command`](crate::process::tied_command).
    pub fn interpreter(&self) -> PathBuf {
        interpreter(&self.directory)
    }

    /// Runs a script that ends by itself; arguments and environment are added to what is returned.
    ///
    /// Nothing of the machine's environment reaches it, so that no proxy that is set up there
    /// stands between it and a server on 127.0.0.1.
    pub fn script(&self, script: &Path) -> Command {
        let mut command = Command::new("timeout");
        command.arg(SCRIPT_MAX_S).arg(self.interpreter()).arg(script);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &self.directory);
        command
    }

    /// A file or directory of an installed package, by its path from `site-packages`.
    ///
    /// # Panics
    /// When it is not there.
    pub(crate) fn file_of_package(&self, path: &str) -> PathBuf {
        let versions = fs::read_dir(self.directory.join("lib")).expect("Python has packages");
        let mut found = versions
            .flatten()
            .map(|version| version.path().join("site-packages").join(path))
            .filter(|file| file.exists());
        found.next().unwrap_or_else(|| panic!("no `{path}` in any package"))
    }
}

fn interpreter(directory: &Path) -> PathBuf {
    directory.join("bin/python")
}

/// The lines that leave a version open.
fn open_in(requirements: &str) -> Vec<&str> {
    let packages = requirements.lines().map(str::trim);
    let packages = packages.filter(|line| !line.is_empty() && !line.starts_with('#'));
    packages.filter(|line| !line.contains("==") || line.contains('*')).collect()
}

/// Runs a command to its end, and returns what it printed.
///
/// # Panics
/// When it fails; `why` says what that means.
#[track_caller]
pub(crate) fn done(command: &mut Command, why: &str) -> String {
    let output = command.output().expect("the program can be run");
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{why}: {command:?}: {}\n{}", output.status, said.concat());
    said[0].clone().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::free_dir;

    #[test]
    fn a_version_that_is_left_open_is_named() {
        let requirements = "# why\none==1.0\ntwo>=2\n\nthree\nfour==4.*\n";
        assert_eq!(open_in(requirements), ["two>=2", "three", "four==4.*"]);
    }

    #[test]
    fn a_script_runs_in_an_environment_of_its_own() {
        let dir = free_dir();
        let [requirements, script] = ["none.txt", "script.py"].map(|name| dir.path().join(name));
        fs::write(&requirements, "# nothing but Python\n").unwrap();
        fs::write(
            &script,
            "import os, sys\nprint(sys.prefix, sys.argv[1], os.environ.get('CARGO'))",
        )
        .unwrap();
        let python = Python::with(&requirements);
        let said = done(python.script(&script).arg("word"), "the script runs");
        assert_eq!(said.trim(), format!("{} word None", python.directory.display()));
    }
}
