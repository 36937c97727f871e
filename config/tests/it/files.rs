//! The files beside this crate: they load, and they say all there is to say.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::CERTIFICATE_PEM;
use crate::PRIVATE_PEM;
use crate::SECRET;

const DIRECTORY: &str = env!("CARGO_MANIFEST_DIR");

fn text_of(name: &str) -> String {
    fs::read_to_string(Path::new(DIRECTORY).join(name)).unwrap()
}

/// The annotated file with every commented key taken up: `#key = …`, `#[table]`.
fn all_keys() -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => {
            rest.to_owned()
        }
        _ => line.to_owned(),
    };
    text_of("doorward.toml").lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_annotated_file_loads_as_it_is() {
    let config =
        config::load(&Path::new(DIRECTORY).join("doorward.toml"), &crate::nothing).unwrap();
    assert_eq!(config.upstreams.len(), 1);
    assert_eq!(config.routes.len(), 1);
}

#[test]
fn the_annotated_file_loads_with_every_key_taken_up() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    let key = directory.path().join("key");
    fs::write(&secret, SECRET).unwrap();
    fs::write(&key, PRIVATE_PEM.replace("PRIVATE", "PUBLIC")).unwrap();
    let text = all_keys()
        .replace("/run/secrets/es256.pem", &directory.path().join("private").display().to_string())
        .replace("/etc/doorward/es256.pub.pem", &key.display().to_string());
    fs::write(directory.path().join("private"), PRIVATE_PEM).unwrap();
    let certificate = directory.path().join("certificate");
    fs::write(&certificate, CERTIFICATE_PEM).unwrap();
    let text = ["fleet.pem", "fleet-ca.pem", "redis-ca.pem", "celery-ca.pem"].iter().fold(
        text,
        |text, name| {
            text.replace(&format!("/etc/doorward/{name}"), &certificate.display().to_string())
        },
    );
    let private = directory.path().join("private").display().to_string();
    let text = text.replace("/run/secrets/fleet-key.pem", &private);
    let text = ["db", "redis", "oidc", "smtp", "key-encryption-key", "fleet"]
        .iter()
        .fold(text, |text, name| {
            text.replace(&format!("/run/secrets/{name}"), &secret.display().to_string())
        });
    let variables = [
        ("JWT_SECRET_KEY", SECRET),
        ("CELERY_BROKER_URL", "rediss://r/0"),
        ("GOOGLE_CLIENT_SECRET", "s"),
        ("GITHUB_CLIENT_SECRET", "s"),
    ];
    let config = crate::parse_with(&text, &variables).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.auth.keys.len(), 2);
    assert_eq!(config.routes.len(), 2);
}

#[test]
fn the_annotated_file_names_every_key_of_the_schema_with_its_default() {
    let document = toml::from_str::<toml::Table>(&all_keys()).unwrap();
    let mut written = BTreeMap::<String, Vec<Value>>::new();
    collect(&serde_json::to_value(document).unwrap(), "", &mut written);
    let mut missing = Vec::new();
    compare(&config::schema(), "", &written, &mut missing);
    assert_eq!(missing, Vec::<String>::new(), "not in doorward.toml, or with another default");
}

/// Every value of a document, under its path, with `*` for names and numbers.
fn collect(value: &Value, path: &str, written: &mut BTreeMap<String, Vec<Value>>) {
    written.entry(path.to_owned()).or_default().push(value.clone());
    match value {
        Value::Object(keys) => {
            for (key, value) in keys {
                collect(value, &format!("{path}.{key}"), written);
                // The keys of a table may be fixed or the operator's own; the schema knows which.
                collect(value, &format!("{path}.*"), written);
            }
        }
        Value::Array(items) => {
            for item in items {
                collect(item, &format!("{path}.*"), written);
            }
        }
        _ => {}
    }
}

/// Notes every key of `schema` that is not `written`, or never with its default.
fn compare(
    schema: &Value,
    path: &str,
    written: &BTreeMap<String, Vec<Value>>,
    missing: &mut Vec<String>,
) {
    let Some(values) = written.get(path) else {
        missing.push(path.to_owned());
        return;
    };
    if let Some(default) = schema.get("default")
        && !["[]", "{}"].contains(&default.to_string().as_str())
        && !values.contains(default)
    {
        missing.push(format!("{path} = {default}"));
    }
    for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
        compare(schema, &format!("{path}.{key}"), written, missing);
    }
    for inner in [&schema["items"], &schema["additionalProperties"]] {
        // Items without keys of their own have nothing to be explained.
        let within = format!("{path}.*");
        if inner.get("properties").is_some() || written.contains_key(&within) {
            compare(inner, &within, written, missing);
        }
    }
    // `anyOf` is a reference to a secret: its two forms are explained once, at the top.
    for schema in schema["oneOf"].as_array().into_iter().flatten() {
        compare(schema, path, written, missing);
    }
}

#[test]
fn the_schema_beside_the_file_is_the_schema() {
    let schema = serde_json::from_str::<Value>(&text_of("schema.json")).unwrap();
    assert!(schema == config::schema(), "write it anew: `doorward schema > config/schema.json`");
}

#[test]
fn the_schema_is_of_draft_07_and_closed_at_every_depth() {
    fn closed(schema: &Value) {
        if schema.get("properties").is_some() {
            assert_eq!(schema["additionalProperties"], false, "{schema}");
            assert!(
                schema["description"].as_str().is_some_and(|text| !text.is_empty()),
                "{schema}"
            );
        }
        let inner = schema.as_object().into_iter().flatten().map(|(_, value)| value);
        inner.chain(schema.as_array().into_iter().flatten()).for_each(closed);
    }
    let schema = config::schema();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    closed(&schema);
}

#[test]
fn every_example_loads() {
    let variables = [
        ("JWT_SECRET_KEY", SECRET),
        ("POSTGRES_PASSWORD", "p@ss"),
        ("DOORWARD_SIGNING_SECRET", SECRET),
        ("DOORWARD_PREVIOUS_SECRET", "vT4-kQ8zLw2XnYb7cMh3sJd9FgPa5Ue7"),
        ("REDIS_PASSWORD", "r@ds"),
    ];
    let secrets = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("fleet-token", "vT4-kQ8zLw2XnYb7cMh3sJd9FgPa5Ue8"),
        ("fleet-certificate.pem", CERTIFICATE_PEM),
        ("fleet-key.pem", PRIVATE_PEM),
        ("fleet-ca.pem", CERTIFICATE_PEM),
        ("key-encryption-key", "vT4-kQ8zLw2XnYb7cMh3sJd9FgPa5Ue9"),
    ] {
        fs::write(secrets.path().join(name), text).unwrap();
    }
    let secrets = secrets.path().display().to_string();
    let mut count = 0;
    for entry in fs::read_dir(Path::new(DIRECTORY).join("examples")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let text = text.replace("/run/secrets", &secrets);
        crate::parse_with(&text, &variables).unwrap_or_else(|faults| panic!("{faults}"));
        count += 1;
    }
    assert!(count >= 2);
}

#[test]
fn the_contracts_example_loads() {
    let text = include_str!("contract.toml");
    let variables =
        [("JWT_SECRET_KEY", SECRET), ("GOOGLE_CLIENT_SECRET", "s"), ("DB_PASSWORD", "p")];
    let config = crate::parse_with(text, &variables).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.issuers.len(), 1);
    assert_eq!(config.routes[0].path, config::PathPattern::Prefix("/api/orders".to_owned()));
}
