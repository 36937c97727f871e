//! A configuration is checked by the same code that starts with it.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;
use test_support::authority::Authority;
use test_support::doorward::Builder;
use test_support::doorward::Doorward;
use test_support::place::free_dir;

use crate::documents::shown;

/// Five faults of different kinds.
const FAULTY: &str = include_str!("../../../config/tests/it/five_faults.toml");

/// Line, column, path and a part of the message of each.
const FAULTS: [(u64, u64, &str, &str); 5] = [
    (3, 1, "listen.pubilc", "unknown key `pubilc`"),
    (5, 14, "auth.access_ttl", "`30` is not a length of time"),
    (10, 8, "routes[0].path", "lies under `/auth`"),
    (12, 41, "routes[0].limits[0].requests", "`0` is not a whole number from 1 to 4294967295"),
    (16, 12, "routes[1].upstream", "no upstream `billing`; there are `orders`"),
];

fn written(builder: &Builder, text: &str) -> String {
    let path = builder.dir().join("checked.toml");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn check(builder: &Builder, file: &str) -> Output {
    builder.cli(&["check", file])
}

#[test]
fn five_faults_of_different_kinds_are_named_with_line_and_column() {
    let builder = Doorward::builder();
    let file = written(&builder, FAULTY);
    let output = check(&builder, &file);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    let said = text(&output.stderr);
    assert!(said.contains(&format!("{file}: 5 problems")), "{said}");
    for (line, column, path, message) in FAULTS {
        let place = format!("{line}:{column} ");
        let named = |fault: &str| {
            fault.trim_start().starts_with(&place)
                && fault.contains(path)
                && fault.contains(message)
        };
        assert!(said.lines().any(named), "no {place} {path}: {message} in\n{said}");
    }
    assert!(said.contains("did you mean `public`?"), "{said}");
}

#[test]
fn faults_are_told_to_programs_as_json() {
    let builder = Doorward::builder();
    let file = written(&builder, FAULTY);
    let output = builder.cli(&["check", &file, "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["file"], *file);
    let problems = found["problems"].as_array().unwrap();
    assert_eq!(problems.len(), FAULTS.len(), "{found:#}");
    for (problem, (line, column, path, message)) in problems.iter().zip(FAULTS) {
        assert_eq!((&problem["line"], &problem["column"]), (&line.into(), &column.into()));
        assert_eq!(problem["path"], path);
        assert!(problem["message"].as_str().is_some_and(|m| m.contains(message)), "{problem}");
    }
    assert_eq!(problems[0]["suggestion"], "public");
}

#[test]
fn a_faulty_file_stops_the_start_with_the_same_words() {
    let builder = Doorward::builder();
    let file = written(&builder, FAULTY);
    let said = text(&check(&builder, &file).stderr);
    let started = builder.clone().argument("--config").argument(&file).try_start();
    let (status, log) = started.map(|_| ()).unwrap_err();
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{log}");
    for line in said.lines().filter(|line| !line.trim().is_empty()) {
        assert!(log.contains(line.trim()), "the start does not say `{line}`:\n{log}");
    }
    assert!(!builder.data_dir().join("run.json").exists(), "it listened");
    assert!(!builder.data_dir().join("doorward.db").exists(), "it opened a database");
}

#[test]
fn every_other_command_refuses_a_faulty_file_as_well() {
    let builder = Doorward::builder().config(FAULTY);
    for arguments in [&["user", "list"][..], &["token", "mint", "--user", "admin"]] {
        let output = builder.cli(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(text(&output.stderr).contains("5 problems"), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "");
    }
    assert!(!builder.data_dir().exists());
}

#[test]
fn a_file_that_is_no_toml_or_not_there_is_one_fault() {
    let builder = Doorward::builder();
    let file = written(&builder, "environment = \"prod\"\n[listen\n");
    let output = check(&builder, &file);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("\n 2:"), "{}", text(&output.stderr));
    let missing = builder.dir().join("missing.toml").display().to_string();
    let output = check(&builder, &missing);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains(&missing) && said.contains("cannot be read"), "{said}");
    let started = builder.clone().argument("--config").argument(&missing).try_start();
    let (status, log) = started.map(|_| ()).unwrap_err();
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{log}");
    assert!(log.contains(&missing), "{log}");
}

#[test]
fn a_secret_in_the_file_is_a_fault_that_does_not_repeat_it() {
    let secret = "c2VjcmV0LW9mLXRoaXMtdGVzdC0wMTIzNDU2Nzg5";
    let builder = Doorward::builder().without_env("JWT_SECRET_KEY");
    let config = format!("[[auth.keys]]\nkid = \"k\"\nalg = \"HS256\"\nsecret = \"{secret}\"\n");
    let file = written(&builder, &config);
    for format in ["text", "json"] {
        let output = builder.cli(&["check", &file, "--format", format]);
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr) + &text(&output.stdout);
        assert!(said.contains("auth.keys[0].secret"), "{said}");
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn a_good_file_is_one_line_and_changes_nothing() {
    let builder = Doorward::builder();
    let file = written(
        &builder,
        "[upstreams.a]\nendpoints = [\"http://127.0.0.1:1\"]\n\
         [[routes]]\nname = \"a\"\npath = \"/\"\nupstream = \"a\"\n",
    );
    let output = check(&builder, &file);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let answer = text(&output.stdout);
    assert_eq!(answer.lines().count(), 1, "{answer}");
    assert!(!builder.data_dir().exists(), "checking a file made a data directory");
    let output = builder.cli(&["check", &file, "--format", "json"]);
    assert!(output.status.success());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["problems"], serde_json::json!([]), "{found}");
}

/// The annotated file and the examples beside it.
fn files_we_ship() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let examples = fs::read_dir(directory.join("examples")).unwrap();
    let mut files: Vec<PathBuf> = examples.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    assert!(!files.is_empty());
    files.push(directory.join("doorward.toml"));
    files
}

#[test]
fn the_files_we_ship_are_good() {
    let authority = Authority::new();
    let identity = authority.certifies(&["admin.internal"]);
    let secrets = free_dir();
    for (name, content) in [
        ("fleet-token", "Qe8Rt2Yw5Ui9Op3As6Df1Gh7Jk4Lz0Xc"),
        ("fleet-certificate.pem", &identity.certificate),
        ("fleet-key.pem", &identity.key),
        ("fleet-ca.pem", &fs::read_to_string(authority.root()).unwrap()),
        ("key-encryption-key", "Nm4Bv8Cx2Za6Sd0Fg5Hj9Kl3Qw7Er1Ty"),
    ] {
        fs::write(secrets.path().join(name), content).unwrap();
    }
    let builder = Doorward::builder()
        .env("REDIS_PASSWORD", "five-otters-under-the-bridge")
        .env("DOORWARD_SIGNING_SECRET", "Zr0Tn5VbM3cYh8sJd1FgPa4kX9w2Lq7e")
        .env("DOORWARD_PREVIOUS_SECRET", "Vb7Mq3Xc9Lk2Zp5Tn8Rw1Yd6Hg4Js0Fa")
        .env("POSTGRES_PASSWORD", "p@ss:word!");
    for file in files_we_ship() {
        // As it is, but for where secrets lie: nobody here may write there.
        let here = secrets.path().join(file.file_name().unwrap());
        let shipped = fs::read_to_string(&file).unwrap();
        let place = secrets.path().display().to_string();
        fs::write(&here, shipped.replace("/run/secrets", &place)).unwrap();
        let output = check(&builder, &here.display().to_string());
        let said = text(&output.stderr);
        assert!(output.status.success(), "{}: {said}", file.display());
    }
}

#[test]
fn what_documents_show_of_a_configuration_is_good() {
    let secrets = free_dir();
    fs::write(secrets.path().join("token"), "Qe8Rt2Yw5Ui9Op3As6Df1Gh7Jk4Lz0Xc").unwrap();
    fs::copy(Authority::new().root(), secrets.path().join("ca.pem")).unwrap();
    let builder = Doorward::builder()
        .env("CELERY_BROKER_URL", "redis://127.0.0.1:6379/3")
        .env("REDIS_PASSWORD", "five-otters-under-the-bridge");
    let documents = [("status.md", 1), ("warm-up.md", 1), ("workers.md", 3), ("kubernetes.md", 2)];
    for (document, pieces) in documents {
        let shown = shown(document, "toml");
        assert_eq!(shown.len(), pieces, "{document}");
        for text in shown {
            // As it is, but for where secrets lie.
            let text = text.replace("/run/fleet", &secrets.path().display().to_string());
            let file = written(&builder, &text);
            let output = check(&builder, &file);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{document}: {text}\n{said}");
            // What stands behind `#` is meant to be taken, too.
            let all = text.replace("\n#", "\n");
            let file = written(&builder, &all);
            let output = check(
                &builder.clone().env("CELERY_RESULT_BACKEND", "redis://127.0.0.1:6379/4"),
                &file,
            );
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{document}: {all}\n{said}");
        }
    }
}

#[test]
fn what_the_document_on_kubernetes_starts_is_there_to_be_started() {
    let document = include_str!("../../../docs/kubernetes.md");
    let values = |key: &'static str| {
        document.lines().filter_map(move |line| line.trim_start().strip_prefix(key))
    };
    let starts: Vec<Vec<String>> =
        values("args: ").map(|list| serde_json::from_str(list).unwrap()).collect();
    let commands: Vec<&str> = starts.iter().map(|arguments| &*arguments[0]).collect();
    assert_eq!(commands, ["gateway", "worker"]);
    let builder = Doorward::builder();
    for arguments in &starts {
        // Each is read before help is given.
        let words = arguments.iter().map(String::as_str).chain(["--help"]);
        let output = builder.cli(&words.collect::<Vec<_>>());
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    }
    let probes: Vec<&str> = values("httpGet: ").collect();
    let path = |path: &str| format!("{{path: {path}, port: ops}}");
    assert_eq!(
        probes,
        ["/startupz", "/readyz", "/livez"].repeat(2).into_iter().map(path).collect::<Vec<_>>()
    );
}
