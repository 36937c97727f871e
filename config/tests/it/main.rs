//! The configuration as an operator meets it: text in, a configuration or faults out.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

mod checks;
mod faults;
mod files;
mod fleet;
mod overrides;
mod properties;
mod secrets;
mod status;

use config::Config;
use config::Faults;

/// A signing secret that nobody else has.
const SECRET: &str = "vT4-kQ8zLw2XnYb7cMh3sJd9FgPa5Ue6";

/// A PEM file's outside; what is inside is for the kernel to judge.
const PRIVATE_PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n";

/// The same of a certificate.
const CERTIFICATE_PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

/// An environment in which nothing is set.
fn nothing(_: &str) -> Option<String> {
    None
}

/// Parses `text` where nothing is set.
fn parse(text: &str) -> Result<Config, Faults> {
    config::parse("doorward.toml", text, &nothing)
}

/// Parses `text` where these variables are set.
fn parse_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, Faults> {
    let environment = |name: &str| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    config::parse("doorward.toml", text, &environment)
}

/// The faults of `text`, each as `line:column path: message`.
fn faults(text: &str) -> Vec<String> {
    lines(parse(text).expect_err("the text is faulty"))
}

/// The faults of `text` where these variables are set.
fn faults_with(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    lines(parse_with(text, variables).expect_err("the text is faulty"))
}

fn lines(faults: Faults) -> Vec<String> {
    let line = |fault: config::Fault| {
        let place =
            fault.position.map_or_else(|| fault.excerpt.clone(), |(l, c)| format!("{l}:{c}"));
        format!("{place} {}: {}", fault.path, fault.message)
    };
    faults.problems.into_iter().map(line).collect()
}
