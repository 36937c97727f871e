//! Where the programs of this workspace are.

use std::path::Path;
use std::path::PathBuf;

/// Finds a program of this workspace beside the test that runs.
///
/// # Panics
/// When it was not built: cargo builds no programs of other packages for a test.
pub fn program(name: &str, package: &str) -> PathBuf {
    let test = test();
    // target/debug/deps/it-0123 or target/debug/bare
    let directories = test.ancestors().skip(1).take(2);
    let found = directories.map(|directory| directory.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("`{name}` is not built: cargo build -p {package}"))
}

/// The directory of the test that runs, or of the program.
pub(crate) fn directory() -> PathBuf {
    test().parent().map(Path::to_owned).expect("a program is in a directory")
}

fn test() -> PathBuf {
    std::env::current_exe().expect("a process knows its program")
}
