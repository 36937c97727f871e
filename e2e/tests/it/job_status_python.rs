//! A FastAPI application that reports job status, and reads it with its own model: what docs/status.md
//! says.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use serde_json::json;
use test_support::python::Python;
use test_support::redis::RedisServer;

use crate::documents::shown;
use crate::job_status::Yard;
use crate::scene::PASSWORD;
use crate::scene::Scene;

const DOCUMENT: &str = "status.md";

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/status")).join(name)
}

#[test]
fn an_application_reports_and_its_own_model_reads_the_record() {
    let redis = RedisServer::start();
    let yard = Yard::on(&redis);
    let [commands] = &shown(DOCUMENT, "sh")[..] else { panic!("it shows other commands") };
    for command in commands.lines() {
        let words: Vec<_> = command.split_whitespace().collect();
        let (program, arguments) = words.split_first().expect("a command");
        assert_eq!(*program, "doorward");
        yard.scene.doorward.must_with(("DOORWARD_USER_PASSWORD", PASSWORD), arguments);
    }
    let base = format!("http://{}", yard.scene.doorward.public());
    let mut command = Python::with(&file("requirements.txt")).script(&file("application.py"));
    command.args([&base, &redis.url(), "pipeline", "ann", PASSWORD]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}", output.status);
    let saw: Value = serde_json::from_slice(&output.stdout).unwrap();

    assert_eq!(saw["person_id"], yard.ann_id.as_str());
    assert_eq!(saw["shown"]["resource_id"], 42);
    assert_eq!(saw["shown"]["phase"], "done");
    assert_eq!(saw["shown"]["owner"], yard.ann_id.as_str());
    assert_eq!(saw["first"], saw["shown"]);
    let listed: Vec<_> = saw["mine"]["resources"].as_array().unwrap().iter().collect();
    let names: Vec<_> = listed.iter().map(|shown| &shown["resource_id"]).collect();
    assert_eq!(names, [&json!(13), &json!(42)]);
    // It may not see what it reports on: it is the person's.
    let told = saw["told"].as_array().unwrap();
    let versions: Vec<_> = told.iter().map(|told| told["version"].as_u64().unwrap()).collect();
    assert!(versions.is_sorted(), "{versions:?}");
    for (told, version) in told.iter().zip(&versions) {
        let expected = json!({ "resource_id": 42, "effect": "applied", "version": version });
        assert_eq!(*told, expected);
    }
    assert_eq!(saw["version"], versions[2]);
    assert_eq!(saw["replayed"], json!(versions[1..]));
    assert_eq!(saw["read"]["resource_id"], 13);
    assert_eq!(saw["read"]["overall_status"], "failed");
    assert_eq!(saw["read"]["error_message"], "no nodes");
    assert_eq!(
        saw["read"]["stages"],
        json!({
            "ingestion": "completed", "quality": "completed", "taxonomy": "completed",
            "graph": "failed",
        })
    );
    assert!((86_300..=86_400).contains(&saw["ttl"].as_u64().unwrap()), "{saw}");
}

#[test]
fn the_stages_and_statuses_that_the_document_configures_are_there() {
    let [status] = &shown(DOCUMENT, "toml")[..] else { panic!("it configures other things") };
    let yard = Yard::of(Scene::with(status));
    for (stage, status, overall) in [
        ("fetch", "skipped", "pending"),
        ("parse", "completed", "pending"),
        ("index", "skipped", "completed"),
        ("index", "cancelled", "failed"),
    ] {
        yard.reports("42", stage, status);
        let shown = yard.shown("42");
        assert_eq!(
            (&shown["stages"][stage], &shown["overall_status"]),
            (&status.into(), &overall.into())
        );
    }
    let answer = yard.put("42", "graph", &json!({ "status": "skipped" }));
    assert_eq!(answer.status, 422, "{answer}");
}

#[test]
fn what_the_document_shows_is_what_the_application_does() {
    let application = fs::read_to_string(file("application.py")).unwrap();
    let code = shown(DOCUMENT, "python");
    assert_eq!(code.len(), 5);
    for code in &code {
        assert!(application.contains(code), "in no script:\n{code}");
    }
}
