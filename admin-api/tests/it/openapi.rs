use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::path::Path;

use http::Method;
use http::StatusCode;
use serde_json::Value;
use serde_json::json;

use crate::document::REVIEWED;
use crate::document::hold_against;
use crate::document::operations;
use crate::support::*;

const EXPOSED: &str = "[listen]\nexpose_management = true";

async fn document_of(house: &House) -> Value {
    let answer = house.ask(get("/openapi.json")).await;
    answer.is_ok();
    answer.json()
}

fn paths_of(document: &Value) -> BTreeSet<String> {
    document["paths"].as_object().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn the_document_is_the_one_that_was_reviewed() {
    let house = House::empty(EXPOSED).await;
    let served = serde_json::to_string_pretty(&document_of(&house).await).unwrap() + "\n";
    if served != REVIEWED {
        let there = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openapi.json");
        std::fs::write(&there, served).unwrap();
        panic!(
            "what is served is {}: review it, and copy it to docs/openapi.json",
            there.display()
        );
    }
}

#[tokio::test]
async fn it_is_openapi_3_1_and_every_operation_has_a_name_of_its_own() {
    let house = House::empty(EXPOSED).await;
    let document = document_of(&house).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let operations = operations(&document);
    let names: BTreeSet<_> =
        operations.iter().map(|(.., said)| said["operationId"].as_str().unwrap()).collect();
    assert_eq!(names.len(), operations.len());
    for (method, path, said) in operations {
        assert!(said["summary"].is_string(), "{method} {path}");
    }
}

#[tokio::test]
async fn whatever_it_points_to_is_in_it() {
    let house = House::empty(EXPOSED).await;
    let document = document_of(&house).await;
    let text = document.to_string();
    let targets = text.split(r##""$ref":"#"##).skip(1);
    let mut count = 0;
    for target in targets {
        let pointer = target.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
        count += 1;
    }
    assert!(count > 50, "{count}");
}

#[tokio::test]
async fn management_is_in_it_only_where_it_is_served() {
    let exposed = paths_of(&document_of(&House::empty(EXPOSED).await).await);
    let house = House::empty("").await;
    let clients = paths_of(&document_of(&house).await);
    let operators = paths_of(&house.manage(get("/openapi.json")).await.json());
    assert!(clients.is_disjoint(&operators));
    assert_eq!(clients.union(&operators).cloned().collect::<BTreeSet<_>>(), exposed);
    assert!(operators.contains("/auth/users/{id}"));
}

#[tokio::test]
async fn a_body_has_the_fields_that_its_handler_takes_and_needs() {
    let house = House::empty(&format!("{EXPOSED}\n[auth]\nregistration = true")).await;
    let root = house.root().await;
    let document = document_of(&house).await;
    let mut seen = 0;
    for (method, path, said) in operations(&document) {
        let Some(contents) = said.pointer("/requestBody/content") else { continue };
        for (media_type, content) in contents.as_object().unwrap() {
            // OAuth endpoints and forms pass over what they do not know (RFC 6749 §3.2).
            let is_strict = media_type == "application/json";
            let schema = resolved(&document, &content["schema"]);
            let known = schema["properties"].as_object().unwrap();
            let needed = schema.get("required").and_then(Value::as_array);
            let needed: BTreeSet<_> =
                needed.into_iter().flatten().map(|name| name.as_str().unwrap()).collect();
            let send = async |fields: Vec<(&str, &str)>| {
                let at = path.replace("{id}", "x").replace("{stage}", "graph");
                let request = if is_strict {
                    let body: serde_json::Map<_, _> = fields
                        .iter()
                        .map(|(name, value)| ((*name).to_owned(), json!(value)))
                        .collect();
                    with_json(&method, &at, &Value::from(body))
                } else {
                    form(&at, &fields)
                };
                // A session that nothing ends before it is asked about.
                let access = if path == "/auth/logout" { "x" } else { &root.access };
                house.ask(bearer(request, access)).await
            };
            if path != "/auth/logout"
                && path != "/auth/refresh"
                && !path.contains("/oauth/")
                && method == "POST"
            {
                let without = send(vec![("", "")]).await;
                let missing = faults_of(&without, "missing");
                assert_eq!(
                    missing,
                    needed.iter().map(|&name| name.to_owned()).collect(),
                    "{method} {path}"
                );
                seen += 1;
            }
            if is_strict && path != "/auth/logout" {
                let all = known.keys().map(|name| (name.as_str(), "\u{1}")).collect::<Vec<_>>();
                let unknown = faults_of(&send(all).await, "extra_forbidden");
                assert_eq!(unknown, BTreeSet::new(), "{method} {path}");
                seen += 1;
            }
        }
    }
    assert!(seen > 12, "{seen}");
}

#[tokio::test]
async fn every_answer_in_these_tests_is_held_against_it() {
    let house = House::empty("").await;
    let answer = house.ask(get("/auth/me")).await;
    let holds = |answer: Answer| {
        let check = || hold_against(&Method::GET, "/api/auth/me", &answer);
        catch_unwind(AssertUnwindSafe(check)).is_ok()
    };
    let such = |status: StatusCode, text: &str| {
        let (headers, text) = (answer.headers.clone(), text.to_owned());
        holds(Answer { status, headers, text })
    };
    assert!(such(answer.status, &answer.text), "as it came");
    assert!(!such(StatusCode::CONFLICT, &answer.text), "a status that is not in it");
    assert!(!such(StatusCode::OK, &answer.text), "a media type that is not in it");
    assert!(!such(answer.status, "{}"), "a body of another shape");
}

/// The fields that an answer finds fault with, for the reason `kind`.
fn faults_of(answer: &Answer, kind: &str) -> BTreeSet<String> {
    if answer.status != StatusCode::UNPROCESSABLE_ENTITY {
        return BTreeSet::new();
    }
    let faults = answer.json()["errors"].as_array().unwrap().clone();
    let of_kind = faults.iter().filter(|fault| fault["type"] == kind);
    of_kind.map(|fault| fault["loc"][1].as_str().unwrap().to_owned()).collect()
}

fn resolved<'d>(document: &'d Value, schema: &Value) -> &'d Value {
    document.pointer(&schema["$ref"].as_str().unwrap()[1..]).unwrap()
}

#[tokio::test]
async fn a_page_shows_it_with_nothing_from_elsewhere() {
    let house = House::empty("").await;
    for shown in [house.ask(get("/docs")).await, house.manage(get("/docs")).await] {
        assert_eq!(shown.status, StatusCode::PERMANENT_REDIRECT);
        assert_eq!(shown.header("location"), "/docs/");
    }
    let page = house.ask(get("/docs/")).await;
    page.is_ok();
    assert_eq!(page.header("content-type"), "text/html");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    assert!(!page.text.contains("//"), "{}", page.text);
    let named = page.text.split(['"']).filter(|text| text.starts_with("./"));
    let files: BTreeSet<_> = named.map(|name| name[2..].to_owned()).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files.iter().filter(|file| !file.ends_with(".png")) {
        let answer = house.ask(get(&format!("/docs/{file}"))).await;
        answer.is_ok();
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    let set_up = house.ask(get("/docs/swagger-initializer.js")).await;
    assert!(set_up.text.contains("/openapi.json"), "{}", set_up.text);
    let elsewhere = set_up.text.matches("http").count();
    assert_eq!(elsewhere, 0, "{}", set_up.text);
    for path in ["/docs/nowhere", "/docs/../Cargo.toml", "/docs/%2e%2e/x", "/docs/index.html/x"] {
        house.ask(get(path)).await.is_problem(404, "Not Found", "NOT_FOUND");
    }
}
