//! The house is built in one direction: a room uses only those before it in reading order, and a
//! crate only those below it. Rust itself would allow both to go round in circles.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What each crate may be built on, of ours.
const CRATES: [(&str, &[&str]); 9] = [
    ("kernel", &[]),
    ("config", &["kernel"]),
    ("stores", &["kernel", "config"]),
    ("outbound", &[]),
    ("gateway", &["kernel", "config", "stores", "outbound"]),
    ("admin-api", &["kernel", "config", "stores", "outbound"]),
    (
        "doorward",
        &["kernel", "config", "stores", "outbound", "gateway", "admin-api", "embedding", "worker"],
    ),
    ("embedding", &["kernel"]),
    ("worker", &["kernel", "config", "stores"]),
];

/// A source file says this of its modules; then it is held to it.
const PROMISE: &str = "Modules in reading order";

fn sources_below(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// A file without its tests: they may look at anything.
fn without_tests(path: &Path) -> String {
    let is_test = path.iter().any(|part| part == "tests" || part == "tests.rs");
    if is_test {
        return String::new();
    }
    let text = fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

/// The modules that a file declares, in order.
fn modules_of(text: &str) -> Vec<&str> {
    let declared = text.lines().filter_map(|line| {
        let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        line.strip_prefix("mod ")?.strip_suffix(';')
    });
    declared.filter(|name| *name != "tests").collect()
}

/// The modules among `modules` that `text` names, as children of the module at `prefix`.
fn used<'m>(text: &str, prefix: &str, modules: &[&'m str]) -> Vec<&'m str> {
    let named = |module: &&&str| {
        let path = format!("{prefix}{module}");
        text.match_indices(&path).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + path.len()..].chars().next();
            let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            !word(before) && before != Some(':') && !word(after)
        })
    };
    modules.iter().filter(named).copied().collect()
}

/// Lines of code alone: what a comment names, it does not use.
fn code(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_module_uses_only_those_above_it() {
    let mut all = Vec::new();
    for (name, _) in CRATES.iter().chain(&[("test-support", &[][..])]) {
        sources_below(&Path::new(ROOT).join(name).join("src"), &mut all);
    }
    let mut promises = 0;
    let mut faults = Vec::new();
    for parent in &all {
        let text = fs::read_to_string(parent).unwrap();
        if !text.contains(PROMISE) {
            continue;
        }
        promises += 1;
        let directory = parent.parent().unwrap();
        let is_root = directory.ends_with("src");
        let modules = modules_of(&text);
        assert!(modules.len() > 1, "{} promises an order of nothing", parent.display());
        for (place, module) in modules.iter().enumerate() {
            let alone = directory.join(format!("{module}.rs"));
            let mut files = Vec::new();
            sources_below(&directory.join(module), &mut files);
            for file in files.iter().chain([&alone]).filter(|file| file.is_file()) {
                let text = code(&without_tests(file));
                let below = &modules[place + 1..];
                let mut named = match is_root {
                    true => used(&text, "crate::", below),
                    false => {
                        let room = directory.file_name().unwrap().to_string_lossy();
                        used(&text, &format!("crate::{room}::"), below)
                    }
                };
                if *file == alone {
                    named.extend(used(&text, "super::", below));
                }
                for later in named {
                    faults.push(format!(
                        "{}: `{module}` uses `{later}`, which comes later",
                        file.display()
                    ));
                }
            }
        }
    }
    assert!(promises >= 7, "only {promises} files promise an order");
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn a_crate_is_built_only_on_those_below_it() {
    for (name, allowed) in CRATES {
        let manifest = fs::read_to_string(Path::new(ROOT).join(name).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let dependencies = manifest["dependencies"].as_table().unwrap();
        for (other, _) in CRATES {
            let built_on = dependencies.contains_key(other);
            assert!(!built_on || allowed.contains(&other), "`{name}` is built on `{other}`");
        }
    }
}

#[test]
fn only_the_rooms_at_the_wire_know_the_proxy_engine() {
    let mut files = Vec::new();
    for (name, _) in CRATES {
        sources_below(&Path::new(ROOT).join(name).join("src"), &mut files);
    }
    let may = ["forward.rs", "balance.rs", "wire.rs", "visit.rs", "proxy.rs", "door.rs"];
    for file in files {
        let at_the_wire = file.parent().unwrap().ends_with("gateway/src")
            && may.iter().any(|name| file.ends_with(name));
        let knows = code(&without_tests(&file)).contains("pingora::");
        assert!(!knows || at_the_wire, "{} names pingora", file.display());
    }
}

#[test]
fn the_kernel_opens_no_socket_file_or_database() {
    let mut files = Vec::new();
    sources_below(&Path::new(ROOT).join("kernel/src"), &mut files);
    for file in files.iter().filter(|file| !file.iter().any(|part| part == "conformance")) {
        // Loading waits, and time runs meanwhile: of tokio, it has that and nothing else.
        let waits = file.iter().any(|part| part == "warm_up" || part == "warm_up.rs");
        let text = code(&without_tests(file));
        let text = match waits {
            true => ["task", "sync", "time"]
                .iter()
                .fold(text, |text, part| text.replace(&format!("tokio::{part}::"), "")),
            false => text,
        };
        for foreign in ["std::fs", "TcpStream", "TcpListener", "UnixStream", "tokio::", "rusqlite"]
        {
            assert!(!text.contains(foreign), "{} names {foreign}", file.display());
        }
    }
}
