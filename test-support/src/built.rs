//! Where the programs of this workspace are.

use std::path::PathBuf;

/// Finds a program of this workspace beside the test that runs.
///
/// # Panics
/// When it was not built: cargo builds no programs of other packages for a test.
pub fn program(name: &str, package: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a process knows its program");
    // target/debug/deps/it-0123 or target/debug/bare
    let directories = test.ancestors().skip(1).take(2);
    let found = directories.map(|directory| directory.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("`{name}` is not built: cargo build -p {package}"))
}
