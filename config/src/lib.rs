//! Turns TOML into typed, validated configuration.
//!
//! Text → `File` (every value with its place) → [`Config`]. All faults are found at once. This crate
//! knows nothing of sockets, pingora or Redis; it reads the one file it is given, and the files
//! that secret references name.

mod build;
mod database;
mod fault;
mod file;
mod overrides;
mod read;
mod report;
mod section;
mod server_url;
mod suggest;
mod types;
mod values;

use std::fs;
use std::io::Read as _;
use std::path::Path;

use serde_json::json;
use toml::de::DeTable;
use toml::de::DeValue;

pub use fault::Fault;
pub use fault::Faults;
pub use types::*;

use crate::file::File;
use crate::read::Node;
use crate::read::Read;
use crate::report::At;
use crate::report::Report;

/// Reads an environment variable; `None` when it is unset or empty.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The largest configuration file, in bytes.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What a Doorward does that was given no file: every path, for callers with a token, to one
/// upstream, whose endpoint the command line usually replaces.
const EMBEDDED: &str = r#"
[upstreams.default]
endpoints = ["http://127.0.0.1:8000"]
[[routes]]
name = "default"
path = "/"
upstream = "default"
access = "token"
"#;

/// Reads and checks the file at `path`.
///
/// # Errors
/// [`Faults`] with everything that is wrong; a file that cannot be read is one fault.
pub fn load(path: &Path, environment: Variables<'_>) -> Result<Config, Faults> {
    let name = path.display().to_string();
    let text = fs::File::open(path).and_then(|file| {
        let mut text = String::new();
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map(|_| text)
    });
    match text {
        Ok(text) => parse(&name, &text, environment),
        Err(error) => Err(Faults::whole(&name, format!("the file cannot be read: {error}"))),
    }
}

/// Checks the configuration `text`; `name` is what faults call it.
///
/// # Errors
/// [`Faults`] with everything that is wrong.
pub fn parse(name: &str, text: &str, environment: Variables<'_>) -> Result<Config, Faults> {
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Faults::whole(name, "the file is larger than 4 MiB".to_owned()));
    }
    let mut report = Report::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What a broken document says is guesswork; judging it would only add false faults.
        for error in errors {
            report.syntax(error.span(), error.message());
        }
        return Err(report.into_faults(name));
    }
    let root = DeValue::Table(document.into_inner());
    let config = read_and_build(&root, environment, &mut report);
    match config {
        Some(config) if report.is_clean() => Ok(config),
        _ => Err(report.into_faults(name)),
    }
}

fn read_and_build(
    root: &DeValue<'_>,
    environment: Variables<'_>,
    report: &mut Report<'_>,
) -> Option<Config> {
    let mut file = File::read(Node { value: root, at: At::root() }, report)?;
    overrides::apply(&mut file, environment, report);
    build::config(file, environment, report)
}

/// The configuration of a Doorward that was given no file.
///
/// One upstream `default`, at 127.0.0.1:8000 until the caller changes it, takes every path from
/// callers with a token. Everything else is as in an empty file, with `data_dir` as given.
///
/// # Errors
/// [`Faults`] of environment variables.
pub fn embedded(environment: Variables<'_>, data_dir: &Path) -> Result<Config, Faults> {
    let mut config = parse("the environment", EMBEDDED, environment)?;
    config.move_data_dir(data_dir);
    Ok(config)
}

/// Checks a URL that was not configured but discovered, by the rule for configured ones: absolute,
/// and `https`, or `http` to this very machine.
///
/// # Errors
/// What is wrong with it, with the URL itself in backticks.
pub fn check_url(text: &str) -> Result<(), String> {
    values::WebUrl::parse(text).map(|_| ())
}

/// The JSON Schema (draft-07) of the file.
pub fn schema() -> serde_json::Value {
    let mut schema = File::schema();
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("doorward.toml");
    schema
}
