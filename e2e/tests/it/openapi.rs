//! What can be asked is published, on the front door and for operators.

use serde_json::Value;
use test_support::http1;
use test_support::http1::Answer;
use test_support::http1::Request;

use crate::scene::Scene;
use crate::tokens::Forged;

fn has(document: &Answer, path: &str) -> bool {
    document.json()["paths"].get(path).is_some()
}

#[test]
fn whoever_comes_reads_what_clients_may_ask_and_operators_what_they_may() {
    let scene = Scene::usual();
    let clients = scene.ask(&Request::get("/openapi.json"));
    assert_eq!(clients.status, 200);
    assert!(has(&clients, "/auth/login") && !has(&clients, "/auth/users"));
    let operators = http1::ask(scene.doorward.ops(), &Request::get("/openapi.json"));
    assert!(has(&operators, "/auth/users") && !has(&operators, "/auth/login"));
    assert_eq!(scene.reached(), 0);
}

#[test]
fn what_the_gateway_answers_itself_is_as_the_document_says() {
    let scene = Scene::usual();
    let document = scene.ask(&Request::get("/openapi.json")).json();
    let token = Forged::new("u-1", "ann").tier("free").sign();
    let answer = scene.ask(&Request::get("/auth/rate-limit").bearer(&token)).json();
    let names = |object: &Value| object.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let said = |schema: &str| names(&document["components"]["schemas"][schema]["properties"]);
    assert_eq!(names(&answer), said("RateLimit"));
    assert_eq!(names(&answer["policies"][0]), said("RateLimitPolicy"));
}

#[test]
fn the_page_to_read_it_comes_whole_through_the_front_door() {
    let scene = Scene::usual();
    let page = scene.ask(&Request::get("/docs").header("Accept", "text/html"));
    assert_eq!((page.status, page.header("location")), (308, Some("/docs/")));
    let page = scene.ask(&Request::get("/docs/"));
    assert_eq!(page.status, 200, "{page}");
    let script = scene.ask(&Request::get("/docs/swagger-ui-bundle.js"));
    assert_eq!(script.status, 200);
    assert!(script.body.len() > 1_000_000, "{} bytes", script.body.len());
    assert_eq!(scene.reached(), 0);
}
