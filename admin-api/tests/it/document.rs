//! The OpenAPI document as it was reviewed, and answers held against it.

use std::sync::LazyLock;

use http::Method;
use serde_json::Value;

use crate::support::Answer;

/// As it was reviewed.
pub(crate) const REVIEWED: &str = include_str!("../../../docs/openapi.json");

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(REVIEWED).unwrap());

/// The operations that `document` describes: method, path, and what is said of it.
pub(crate) fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "post", "patch", "put", "delete"] {
            if let Some(operation) = item.get(method) {
                found.push((method.to_uppercase(), path.clone(), operation));
            }
        }
    }
    found
}

/// Checks that `answer` to a request is one that the document says the operation gives. What is not
/// an operation is not in it.
pub(crate) fn hold_against(method: &Method, path: &str, answer: &Answer) {
    let path = path.strip_prefix("/api").unwrap_or(path);
    let described = operations(&DOCUMENT);
    let fits = |(known, template, _): &&(String, String, _)| {
        known == method.as_str() && is_of(template, path)
    };
    let Some((_, template, operation)) = described.iter().find(fits) else { return };
    let status = answer.status.as_u16();
    let said = operation["responses"].get(answer.status.as_str());
    // A fault of ours is promised by nobody.
    let said = if status == 500 { Some(&operation["responses"]["default"]) } else { said };
    let said = said.unwrap_or_else(|| {
        panic!("{method} {template}: {status} is not in docs/openapi.json: {}", answer.text)
    });
    let media_type = answer.header("content-type").split(';').next().unwrap_or_default();
    let Some(contents) = said.get("content") else {
        assert_eq!(answer.text, "", "{method} {template}: {status} is to have no body");
        return;
    };
    let content = contents.get(media_type);
    let content = content.unwrap_or_else(|| {
        panic!("{method} {template}: {status} is to have {contents}, and has `{media_type}`")
    });
    let mut schema = content["schema"].clone();
    schema["components"] = DOCUMENT["components"].clone();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<_> = validator
        .iter_errors(&answer.json())
        .map(|fault| format!("{fault} at {}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{method} {template}: {status}: {faults:?}: {}", answer.text);
}

/// Whether `path` is one that `template` stands for.
fn is_of(template: &str, path: &str) -> bool {
    let (mut said, mut asked) = (template.split('/'), path.split('/'));
    loop {
        match (said.next(), asked.next()) {
            (None, None) => return true,
            (Some(said), Some(asked)) if said == asked || said.starts_with('{') => {}
            _ => return false,
        }
    }
}
