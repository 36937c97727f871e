//! The services for development, as far as they can be checked without starting them.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

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

#[test]
fn there_are_exactly_two_services_by_default() {
    let services = services();
    let names: Vec<&String> = services.keys().collect();
    assert_eq!(names, ["postgres", "redis"]);
    assert_eq!(services["postgres"]["image"], "postgres:15");
    assert_eq!(services["redis"]["image"], "redis:7");
    assert!(services.values().all(|service| service.get("profiles").is_none()));
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
    for (name, question) in [("postgres", "pg_isready"), ("redis", "redis-cli ping")] {
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

#[test]
fn every_variable_of_the_example_is_read_by_somebody() {
    let mut doorward = String::new();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for room in ["config/src", "doorward/src"] {
        sources(&workspace.join(room), &mut doorward);
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
