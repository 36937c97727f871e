//! A real model, as model2vec writes it: the worker gives the vectors that model2vec gives.

use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use serde_json::Value;
use test_support::python::Python;
use test_support::redis::RedisServer;
use test_support::worker::DoorwardWorker;
use test_support::worker::celery_script;

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors")).join(name)
}

/// What a script prints, as JSON; `given` is what it reads.
fn printed(mut script: Command, given: &Value) -> Value {
    script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = script.spawn().unwrap();
    running.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn vectors(of: &Value) -> Vec<Vec<f64>> {
    serde_json::from_value(of.clone()).unwrap()
}

/// The vectors that a worker makes with the model in `directory`.
fn made(directory: &Path, texts: &Value) -> Vec<Vec<f64>> {
    let redis = RedisServer::start();
    let worker = DoorwardWorker::start(&format!(
        "[celery]\nbroker_url = \"{}\"\n[worker]\nmodel = \"{}\"",
        redis.url(),
        directory.display()
    ));
    let made = printed(celery_script(&file("embed.py"), &redis.url()), texts);
    let ready = "embeddings are ready: a model of 32000 tokens, 256 dimensions";
    assert_eq!(worker.log().matches(ready).count(), 1, "{}", worker.log());
    vectors(&made)
}

#[test]
fn of_a_real_model_the_vectors_are_those_of_model2vec() {
    let place = tempfile::tempdir().unwrap();
    let mut script = Python::with(&file("requirements.txt")).script(&file("model.py"));
    script.arg(place.path());
    let theirs = printed(script, &Value::Null);
    // model2vec rounds what it gives as the table is: to ten bits, and to 23.
    for (kind, rounds) in [("plain", 1e-3), ("whole", 1e-5)] {
        let ours = made(&place.path().join(kind), &theirs["texts"]);
        let wanted = vectors(&theirs["vectors"][kind]);
        assert_eq!(ours.len(), wanted.len());
        for (text, (ours, wanted)) in ours.iter().zip(&wanted).enumerate() {
            assert_eq!((ours.len(), wanted.len()), (256, 256));
            let greatest =
                wanted.iter().fold(1.0_f64, |greatest, number| greatest.max(number.abs()));
            for (ours, wanted) in ours.iter().zip(wanted) {
                let apart = (ours - wanted).abs();
                assert!(apart <= rounds * greatest, "{kind}, text {text}: {ours}, not {wanted}");
            }
        }
        let lengths = ours.iter().map(|vector| vector.iter().map(|x| x * x).sum::<f64>().sqrt());
        let empty: Vec<bool> = lengths.map(|length| length == 0.0).collect();
        assert_eq!(empty.iter().filter(|empty| **empty).count(), 1, "{kind}: only of nothing");
    }
}
