//! The image, as far as it can be checked without building it: what is copied, who it runs as, what the
//! program needs there, and that its commands are commands.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use test_support::built::program;
use test_support::doorward::Doorward;
use test_support::place::free_dir;

const DOCKERFILE: &str = include_str!("../../../deploy/Dockerfile");
const IGNORED: &str = include_str!("../../../.dockerignore");

/// Where the image keeps what is to last.
const DATA_DIR: &str = "/var/lib/doorward";

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// One instruction: its name, and what follows in one line.
type Instruction = (String, String);

/// The instructions, stage by stage; each begins with its `FROM`.
fn stages() -> Vec<Vec<Instruction>> {
    let lines = DOCKERFILE.lines().filter(|line| !line.trim_start().starts_with('#'));
    let text = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let mut stages: Vec<Vec<Instruction>> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (name, rest) = line.split_once(' ').unwrap_or_else(|| panic!("`{line}`"));
        if name == "FROM" {
            stages.push(Vec::new());
        }
        let stage = stages.last_mut().unwrap_or_else(|| panic!("before any stage: `{line}`"));
        let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        stage.push((name.to_owned(), rest));
    }
    stages
}

fn build() -> Vec<Instruction> {
    stages().into_iter().next().unwrap()
}

/// The stage that runs.
fn image() -> Vec<Instruction> {
    stages().into_iter().next_back().unwrap()
}

/// What all instructions of that name say in a stage.
fn all(stage: &[Instruction], name: &str) -> Vec<String> {
    stage.iter().filter(|(named, _)| named == name).map(|(_, rest)| rest.clone()).collect()
}

#[track_caller]
fn only(stage: &[Instruction], name: &str) -> String {
    let all = all(stage, name);
    let [one] = &all[..] else { panic!("{name}: {all:?}") };
    one.clone()
}

/// The words of a command in JSON, after whatever stands before it.
fn words(rest: &str) -> Vec<String> {
    serde_json::from_str(&rest[rest.find('[').unwrap()..]).unwrap()
}

/// What is copied from the machine that builds.
fn copied() -> BTreeSet<String> {
    let stages = stages();
    let copies = stages.iter().flat_map(|stage| all(stage, "COPY"));
    let from_here = copies.filter(|rest| !rest.starts_with("--from="));
    let sources = from_here.flat_map(|rest| {
        let mut words: Vec<_> = rest.split(' ').map(str::to_owned).collect();
        words.pop();
        words
    });
    sources.collect()
}

/// Whether .dockerignore keeps a path out: of the lines that fit, the last decides.
fn is_ignored(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let lines = IGNORED.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.fold(false, |ignored, line| {
        let (pattern, ignores) = line.strip_prefix('!').map_or((line, true), |it| (it, false));
        let fits = match pattern.strip_prefix("**/") {
            Some(name) => parts.contains(&name),
            None => pattern == "*" || parts[0] == pattern,
        };
        assert!(!pattern.trim_start_matches("**/").contains('/'), "read otherwise here: {line}");
        if fits { ignores } else { ignored }
    })
}

fn manifest() -> toml::Table {
    fs::read_to_string(workspace().join("Cargo.toml")).unwrap().parse().unwrap()
}

#[test]
fn it_is_built_with_the_workspaces_rust_and_runs_on_the_debian_it_was_built_on() {
    let manifest = manifest();
    let rust = manifest["workspace"]["package"]["rust-version"].as_str().unwrap();
    assert_eq!(only(&build(), "FROM"), format!("rust:{rust}-bookworm AS build"));
    assert_eq!(only(&image(), "FROM"), "debian:bookworm-slim");
    assert_eq!(stages().len(), 2);
}

#[test]
fn what_is_copied_is_there_and_gets_into_the_build() {
    let copied = copied();
    assert!(copied.contains("Cargo.lock"));
    for source in &copied {
        assert!(workspace().join(source).exists(), "there is no {source}");
        assert!(!is_ignored(source), "{source} is kept out");
    }
    for kept in IGNORED.lines().filter_map(|line| line.strip_prefix('!')) {
        assert!(copied.contains(kept), "{kept} is let in, and nobody copies it");
    }
}

#[test]
fn nothing_else_gets_into_the_build_and_no_secret_by_any_way() {
    for path in [
        ".env",
        ".git/config",
        ".doorward/signing-secret",
        "target/debug/doorward",
        "docs/keys.md",
        "deploy/Dockerfile",
        "kernel/target/debug/x",
        "kernel/.env",
        "doorward/.doorward/signing-secret",
        "e2e/clients/node_modules/x",
    ] {
        assert!(is_ignored(path), "{path}");
    }
    for stage in stages() {
        assert!(all(&stage, "ARG").is_empty() && all(&stage, "ADD").is_empty());
        assert!(!all(&stage, "COPY").iter().any(|copy| copy.starts_with(". ")));
        for (name, rest) in stage {
            let rest = rest.to_lowercase();
            for word in ["password", "secret", "token", "private"] {
                assert!(!rest.contains(word), "{name} {rest}");
            }
        }
    }
}

/// All Rust sources below a directory.
fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_members_of_the_workspace_are_copied_and_whatever_their_sources_include() {
    let copied = copied();
    let manifest = manifest();
    let root = workspace().canonicalize().unwrap();
    for member in manifest["workspace"]["members"].as_array().unwrap() {
        let member = member.as_str().unwrap();
        assert!(copied.contains(member), "{member}");
        let mut files = Vec::new();
        sources(&root.join(member).join("src"), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for macro_name in ["include_str!(", "include_bytes!(", "include!("] {
                for rest in text.split(macro_name).skip(1) {
                    // The first text: of one that is put together, the folder.
                    let path = rest.split('"').nth(1).unwrap_or_default();
                    let path = file.parent().unwrap().join(path).canonicalize().unwrap();
                    let inside = path.strip_prefix(&root).unwrap();
                    let top = inside.iter().next().unwrap().to_str().unwrap();
                    assert!(copied.contains(top), "{}: {}", file.display(), inside.display());
                }
            }
        }
    }
}

#[test]
fn it_runs_as_nobody_who_owns_its_data_and_nothing_else() {
    let image = image();
    let user = only(&image, "USER");
    let (uid, gid) = user.split_once(':').unwrap();
    assert!([uid, gid].iter().all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{user}");
    let owned = format!("install --directory --owner={uid} --group={gid} --mode=0700 {DATA_DIR}");
    assert!(all(&image, "RUN").contains(&owned));
    assert_eq!(only(&image, "VOLUME"), DATA_DIR);
    assert!(all(&image, "COPY").iter().all(|copy| !copy.contains("--chown")));
    let at = |name: &str| image.iter().position(|(named, _)| named == name).unwrap();
    let last_run = image.iter().rposition(|(name, _)| name == "RUN").unwrap();
    assert!(last_run < at("USER") && at("USER") < at("ENTRYPOINT"));
    let run = all(&image, "RUN").join("\n");
    assert!(run.contains("--no-install-recommends ca-certificates &&"), "{run}");
    for example in ["fleet-admin.toml", "fleet-gateway.toml"] {
        let text = fs::read_to_string(workspace().join("config/examples").join(example)).unwrap();
        let file: toml::Table = text.parse().unwrap();
        assert_eq!(file["data_dir"].as_str(), Some(DATA_DIR), "{example}");
    }
}

#[test]
fn its_labels_say_what_the_workspace_says() {
    let label = only(&image(), "LABEL");
    let manifest = manifest();
    let package = &manifest["workspace"]["package"];
    for (name, key) in [("version", "version"), ("licenses", "license")] {
        let value = package[key].as_str().unwrap();
        let expected = format!("org.opencontainers.image.{name}=\"{value}\"");
        assert!(label.contains(&expected), "{label}");
    }
    assert!(label.contains(&format!("base.name=\"docker.io/library/{}\"", only(&image(), "FROM"))));
}

#[test]
fn the_program_needs_no_library_that_the_image_lacks() {
    let output = Command::new("ldd").arg(program("doorward", "doorward")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let name = |line: &str| {
        let path = line.split_whitespace().next().unwrap_or_default().to_owned();
        path.rsplit('/').next().unwrap_or_default().to_owned()
    };
    // All of them are libc6's and libgcc-s1's, which no Debian can be without.
    let known = ["linux-vdso.so.1", "libgcc_s.so.1", "libm.so.6", "libc.so.6"];
    for library in text.lines().map(name) {
        let is_known = known.contains(&&*library) || library.starts_with("ld-linux-");
        assert!(is_known, "`{library}` in\n{text}");
    }
    assert!(text.contains("libc.so.6"), "{text}");
}

#[test]
fn its_commands_are_commands() {
    let image = image();
    assert_eq!(words(&only(&image, "ENTRYPOINT")), ["doorward"]);
    let start = words(&only(&image, "CMD"));
    let health = words(&only(&image, "HEALTHCHECK"));
    assert_eq!(health.first().map(String::as_str), Some("doorward"));
    let doorward = program("doorward", "doorward");
    for arguments in [&start[..], &health[1..]] {
        let output = Command::new(&doorward).args(arguments).arg("--help").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(arguments.iter().any(|word| word == DATA_DIR), "{arguments:?}");
    }
    assert!(start.iter().any(|word| word == "0.0.0.0:8080"), "{start:?}");
    assert_eq!(only(&image, "EXPOSE"), "8080 9180 9443");

    // The question for its health, with another data directory.
    let ask = |place: &Path| {
        let place = place.display().to_string();
        let arguments = health[1..].iter().map(|word| word.replace(DATA_DIR, &place));
        Command::new(&doorward).env_clear().args(arguments).output().unwrap().status
    };
    let mut running = Doorward::builder().start();
    let place = running.data_dir();
    assert_eq!(ask(&place).code(), Some(0));
    assert_eq!(ask(free_dir().path()).code(), Some(1), "nothing runs there");
    running.sigterm_and_wait();
    assert_eq!(ask(&place).code(), Some(1), "it has ended");
}

#[test]
fn what_is_built_is_what_is_copied_out_of_the_build() {
    let build = build();
    let run = all(&build, "RUN").join("\n");
    let line = "cargo install --locked --path doorward --root /out";
    assert!(run.ends_with(line), "{run}");
    assert!(run.contains("--no-install-recommends cmake &&"), "{run}");
    assert_eq!(only(&build, "WORKDIR"), "/src");
    assert!(run.contains("--mount=type=cache,target=/src/target "), "{run}");
    let out = all(&image(), "COPY");
    let program = "--from=build /out/bin/doorward /usr/local/bin/doorward";
    assert!(out.iter().any(|copy| copy == program), "{out:?}");
}
