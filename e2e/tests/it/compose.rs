//! The services for development, as far as they can be checked without starting them.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

const COMPOSE: &str = include_str!("../../../docker-compose.dev.yml");
const EXAMPLE: &str = include_str!("../../../.env.example");

/// Reads the part of YAML that the file uses: block mappings, lists of scalars, flow lists,
/// quotes, comments. Anything else fails.
fn parse(text: &str) -> Value {
    let lines: Vec<(usize, String)> = text
        .lines()
        .map(without_comment)
        .filter(|line| !line.trim().is_empty())
        .map(|line| (line.len() - line.trim_start().len(), line.trim().to_owned()))
        .collect();
    let mut rest = &lines[..];
    let value = block(&mut rest);
    assert!(rest.is_empty(), "indentation at `{}`", rest[0].1);
    value
}

fn without_comment(line: &str) -> String {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if before.is_whitespace() => return line[..at].trim_end().to_owned(),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
        before = c;
    }
    line.trim_end().to_owned()
}

fn block(rest: &mut &[(usize, String)]) -> Value {
    let indent = rest[0].0;
    if rest[0].1.starts_with("- ") {
        let mut items = Vec::new();
        while let Some((_, line)) = rest.first().filter(|(at, _)| *at == indent) {
            items.push(scalar(line.strip_prefix("- ").expect("an item of the list")));
            *rest = &rest[1..];
        }
        return Value::Array(items);
    }
    let mut map = Map::new();
    while let Some((_, line)) = rest.first().filter(|(at, _)| *at == indent) {
        let (key, value) = line.split_once(':').unwrap_or_else(|| panic!("no key in `{line}`"));
        assert!(value.is_empty() || value.starts_with(' '), "no key in `{line}`");
        *rest = &rest[1..];
        let deeper = rest.first().is_some_and(|(at, _)| *at > indent);
        let value = match value.trim() {
            "" if deeper => block(rest),
            "" => Value::Null,
            text => scalar(text),
        };
        assert!(map.insert(key.to_owned(), value).is_none(), "`{key}` is there twice");
    }
    Value::Object(map)
}

fn scalar(text: &str) -> Value {
    let unquoted = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(inner) = unquoted('"').or_else(|| unquoted('\'')) {
        return json!(inner);
    }
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => flow_items(inner).iter().map(|item| scalar(item.trim())).collect(),
        None => json!(text),
    }
}

fn flow_items(inner: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut quote = None;
    for c in inner.chars() {
        match (quote, c) {
            (None, ',') => items.push(String::new()),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
        if let Some(item) = items.last_mut().filter(|_| c != ',' || quote.is_some()) {
            item.push(c);
        }
    }
    items
}

/// The variables of a text and their defaults, `${NAME:-default}`; `None` without one.
fn variables(text: &str) -> BTreeMap<String, Option<String>> {
    let references = text.split("${").skip(1).filter_map(|rest| rest.split('}').next());
    let pair = |reference: &str| match reference.split_once(":-") {
        Some((name, default)) => (name.to_owned(), Some(default.to_owned())),
        None => (reference.to_owned(), None),
    };
    references.map(pair).collect()
}

/// The file without its comments, in which a variable may be spoken of.
fn code() -> String {
    COMPOSE.lines().map(without_comment).collect::<Vec<_>>().join("\n")
}

fn services() -> Map<String, Value> {
    parse(COMPOSE)["services"].as_object().unwrap().clone()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn the_reader_reads_what_the_file_uses() {
    let text = "# c\na:\n  b: 'x # y: z' # c\n  c:\n    - \"1:2\"\n    - ${V:-w}\nd: [\"e\", 'f, \"g\"']\nh:\n";
    let expected = json!({
        "a": { "b": "x # y: z", "c": ["1:2", "${V:-w}"] }, "d": ["e", "f, \"g\""], "h": null,
    });
    assert_eq!(parse(text), expected);
}

/// Whether a service is there only where it is asked for.
fn is_of_the_demo(service: &Value) -> bool {
    match texts(&service["profiles"])[..] {
        [] => false,
        ["demo"] => true,
        _ => panic!("{service}"),
    }
}

/// The services of the demo that are Doorward at work.
fn doorwards() -> Map<String, Value> {
    let of_the_demo = services().into_iter().filter(|(_, service)| is_of_the_demo(service));
    of_the_demo.filter(|(name, _)| name != "secrets").collect()
}

#[test]
fn there_are_exactly_two_services_by_default() {
    let services = services();
    let by_default = services.iter().filter(|(_, service)| !is_of_the_demo(service));
    let names: Vec<&String> = by_default.map(|(name, _)| name).collect();
    assert_eq!(names, ["postgres", "redis"]);
    assert_eq!(services["postgres"]["image"], "postgres:15");
    assert_eq!(services["redis"]["image"], "redis:7");
}

#[test]
fn the_demo_is_a_fleet_and_an_echo_of_one_image_that_is_built_here() {
    let names: Vec<String> = doorwards().keys().cloned().collect();
    assert_eq!(names, ["admin", "echo", "gateway-1", "gateway-2"]);
    let services = services();
    let secrets = &services["secrets"];
    assert!(is_of_the_demo(secrets));
    assert_eq!(secrets["build"], json!({ "context": ".", "dockerfile": "deploy/Dockerfile" }));
    for (name, service) in doorwards() {
        assert_eq!(service["image"], secrets["image"], "{name}");
        assert_eq!(service["pull_policy"], "never", "{name}: nobody else has that image");
        assert!(service.get("build").is_none(), "{name} is built twice");
    }
}

#[test]
fn who_waits_for_another_waits_for_something_that_comes() {
    let services = services();
    let mut waits = BTreeSet::new();
    for (name, service) in &services {
        for (other, how) in service["depends_on"].as_object().into_iter().flatten() {
            let Some(service) = services.get(other) else { panic!("{name}: no `{other}`") };
            let is_asked = service["healthcheck"]["test"].is_array();
            let fits = match how["condition"].as_str().unwrap_or_default() {
                "service_healthy" => is_asked,
                "service_completed_successfully" => other == "secrets",
                "service_started" => other == "echo",
                _ => false,
            };
            assert!(fits, "{name} waits for {other}: {how}");
            waits.insert((name.as_str(), other.as_str()));
        }
    }
    // What ends is waited for by somebody who stays: else `up --wait` takes its end for a failure.
    for wait in [("admin", "secrets"), ("admin", "postgres"), ("gateway-1", "redis")] {
        assert!(waits.contains(&wait), "{wait:?}");
    }
    // A name that nobody has yet keeps a gateway from starting.
    assert!(waits.contains(&("gateway-1", "echo")));
}

#[test]
fn the_gateways_of_the_demo_are_alike_but_for_their_ports() {
    let services = services();
    let [one, other] = ["gateway-1", "gateway-2"].map(|name| {
        let mut service = services[name].clone();
        let ports = service.as_object_mut().unwrap().remove("ports").unwrap();
        let [port] = texts(&ports)[..] else { panic!("{ports}") };
        (service, port.to_owned())
    });
    assert_eq!(one.0, other.0);
    assert_eq!(one.1, "127.0.0.1:${GATEWAY_1_PORT:-8080}:8080");
    assert_eq!(other.1, "127.0.0.1:${GATEWAY_2_PORT:-8081}:8080");
}

#[test]
fn doorward_has_no_rights_in_the_demo_and_writes_to_its_data_directory_alone() {
    for (name, service) in doorwards() {
        assert_eq!(service["read_only"], "true", "{name}");
        assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(texts(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        for key in ["user", "privileged", "cap_add", "network_mode", "pid", "ipc"] {
            assert!(service.get(key).is_none(), "{name}: {key}");
        }
        let volumes = texts(&service["volumes"]);
        let writable = volumes.into_iter().filter(|volume| !volume.ends_with(":ro"));
        let writable = writable.map(|volume| volume.rsplit(':').next().unwrap());
        let writable = writable.chain(texts(&service["tmpfs"]).into_iter().map(|place| {
            let (place, options) = place.split_once(':').unwrap_or((place, ""));
            assert!(options.contains("mode=0700") && options.contains("uid=65532"), "{options}");
            place
        }));
        let expected: &[&str] = if name == "echo" { &[] } else { &["/var/lib/doorward"] };
        assert_eq!(writable.collect::<Vec<_>>(), expected, "{name}");
    }
}

/// What stands between quotes after `before`, everywhere in `text`.
fn quoted_after<'t>(text: &'t str, before: &str) -> Vec<&'t str> {
    let rests = text.split(before).skip(1);
    rests.map(|rest| rest.split('"').next().unwrap_or_default()).collect()
}

#[test]
fn the_demo_runs_the_examples_and_has_every_name_and_secret_that_stands_in_them() {
    let services = services();
    let mut names: BTreeSet<&str> = services.keys().map(String::as_str).collect();
    for service in services.values() {
        names.extend(texts(&service["networks"]["default"]["aliases"]));
    }
    for (name, part) in [("admin", "admin"), ("gateway-1", "gateway"), ("gateway-2", "gateway")] {
        let service = &services[name];
        let file = format!("./config/examples/fleet-{part}.toml");
        let volumes = texts(&service["volumes"]);
        let inside = "/etc/doorward/doorward.toml";
        assert!(volumes.contains(&&*format!("{file}:{inside}:ro")), "{volumes:?}");
        assert_eq!(texts(&service["command"]), [part, "--config", inside]);
        assert!(volumes.contains(&&*format!("{part}-secrets:/run/secrets:ro")), "{volumes:?}");
        let text = fs::read_to_string(workspace().join(file)).unwrap();
        for variable in quoted_after(&text, "{ env = \"") {
            assert!(service["environment"][variable].is_string(), "{name}: {variable}");
        }
        for path in quoted_after(&text, "{ file = \"") {
            let made = include_str!("../../../deploy/demo/secrets.sh");
            let base = path.strip_prefix("/run/secrets/").expect("it is where secrets are");
            assert!(made.contains(&format!("\"$work/{base}\"")), "{name}: nobody makes {path}");
        }
        for key in ["admin_url = \"https://", "url = \"redis://", "endpoints = [\"http://"] {
            for place in quoted_after(&text, key) {
                let host = place.split(':').next().unwrap();
                assert!(names.contains(host), "{name}: nobody is called {host}");
            }
        }
    }
    let variable = |name: &str| services["admin"]["environment"][name].as_str().unwrap().to_owned();
    assert_eq!(variable("POSTGRES_SERVER"), "postgres", "in place of the file's");
    for name in ["POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"] {
        assert_eq!(variable(name), services["postgres"]["environment"][name]);
    }
    let [script, _, _] = texts(&services["secrets"]["volumes"])[..] else { panic!("a script") };
    assert_eq!(script, "./deploy/demo/secrets.sh:/secrets.sh:ro");
    let words = texts(&services["secrets"]["entrypoint"]);
    assert_eq!(words, ["/bin/sh", "/secrets.sh", "/admin", "/gateway", "admin.internal"]);
}

#[test]
fn redis_forgets_nothing_and_asks_for_a_password() {
    let services = services();
    let command = texts(&services["redis"]["command"]);
    let value_of = |option: &str| {
        let at = command.iter().position(|word| *word == option);
        at.and_then(|at| command.get(at + 1)).copied().unwrap_or_default()
    };
    assert_eq!(value_of("--maxmemory-policy"), "noeviction");
    assert_eq!(value_of("--appendonly"), "yes");
    assert!(value_of("--requirepass").starts_with("${REDIS_PASSWORD:-"), "{command:?}");
    assert!(value_of("--maxmemory").starts_with("${"), "{command:?}");
}

#[test]
fn each_service_is_asked_whether_it_is_well() {
    for (name, question) in [
        ("postgres", "pg_isready"),
        ("redis", "redis-cli ping"),
        ("admin", "doorward healthcheck"),
        ("gateway-1", "doorward healthcheck"),
        ("gateway-2", "doorward healthcheck"),
    ] {
        let check = services()[name]["healthcheck"].clone();
        let test = texts(&check["test"]);
        assert!(matches!(test.first(), Some(&("CMD" | "CMD-SHELL"))), "{name}: {check}");
        assert!(test.join(" ").contains(question), "{name}: {check}");
        for key in ["interval", "timeout", "retries"] {
            assert!(check[key].is_string(), "{name} has no {key}: {check}");
        }
    }
}

#[test]
fn each_service_keeps_its_data_in_a_named_volume() {
    let declared = parse(COMPOSE)["volumes"].as_object().unwrap().clone();
    let mut used = BTreeSet::new();
    for (name, path) in [("postgres", "/var/lib/postgresql/data"), ("redis", "/data")] {
        let volumes = services()[name]["volumes"].clone();
        let [volume] = texts(&volumes)[..] else { panic!("{name}: {volumes}") };
        let (volume, target) = volume.split_once(':').unwrap();
        assert_eq!(target, path);
        assert!(!volume.contains(['/', '.']), "{volume} is a directory, no named volume");
        used.insert(volume.to_owned());
    }
    let of_the_demo = services();
    for service in of_the_demo.values().filter(|service| is_of_the_demo(service)) {
        let sources = texts(&service["volumes"]).into_iter().filter_map(|it| it.split(':').next());
        used.extend(sources.filter(|source| !source.starts_with('.')).map(str::to_owned));
    }
    assert_eq!(declared.keys().cloned().collect::<BTreeSet<_>>(), used);
}

#[test]
fn ports_and_credentials_come_from_the_environment_with_defaults() {
    let services = services();
    for (name, port) in
        [("postgres", "${POSTGRES_PORT:-5432}:5432"), ("redis", "${REDIS_PORT:-6379}:6379")]
    {
        let ports = services[name]["ports"].clone();
        assert_eq!(texts(&ports), [format!("127.0.0.1:{port}")], "on this machine only");
    }
    for (name, service) in &services {
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:$"), "{name}: {port}");
        }
    }
    let postgres = services["postgres"]["environment"].as_object().unwrap();
    for name in ["POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"] {
        let value = postgres[name].as_str().unwrap_or_default();
        assert!(value.starts_with(&format!("${{{name}:-")), "{name}: {value}");
    }
    for (name, default) in variables(&code()) {
        assert!(default.is_some_and(|default| !default.is_empty()), "{name} has no default");
    }
}

/// The variables of the example, with their values and whether a comment stands right above.
fn example() -> BTreeMap<&'static str, (&'static str, bool)> {
    let mut found = BTreeMap::new();
    let mut above = "";
    for line in EXAMPLE.lines() {
        if let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            let explained = above.starts_with("# ") && !above.starts_with("# ---");
            assert!(found.insert(name, (value, explained)).is_none(), "{name} is there twice");
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "`{line}` is no variable");
        }
        above = line;
    }
    found
}

#[test]
fn every_variable_is_explained_in_the_example_with_its_default() {
    let example = example();
    for (name, default) in variables(&code()) {
        let (value, _) = example.get(&*name).unwrap_or_else(|| panic!("{name} is not explained"));
        assert_eq!(Some(*value), default.as_deref(), "{name}");
    }
    for (name, (_, explained)) in &example {
        assert!(explained, "nothing is said of {name}");
    }
}

/// All Rust sources below a directory of the workspace, in one text.
fn sources(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn every_variable_of_the_example_is_read_by_somebody() {
    let mut doorward = String::new();
    for room in ["config/src", "doorward/src"] {
        sources(&workspace().join(room), &mut doorward);
    }
    let in_compose = variables(&code());
    for name in example().keys() {
        let is_read = in_compose.contains_key(*name) || doorward.contains(&format!("\"{name}\""));
        assert!(is_read, "nobody reads {name}");
    }
}

#[test]
fn the_example_holds_no_secret_that_signs() {
    assert_eq!(example()["JWT_SECRET_KEY"].0, "");
    assert_eq!(example()["DOORWARD_ADMIN_PASSWORD"].0, "");
}
