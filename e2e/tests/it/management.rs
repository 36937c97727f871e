//! People are managed on the ops listener, and what is done to them holds at the front door.

use serde_json::Value;
use serde_json::json;
use test_support::http1;
use test_support::http1::Answer;
use test_support::http1::Request;
use test_support::wait::START_MAX;
use test_support::wait::wait_until;

use crate::scene::PASSWORD;
use crate::scene::Scene;
use crate::scene::assert_problem;
use crate::scene::assert_revoked;

fn manage(scene: &Scene, request: &Request) -> Answer {
    http1::ask(scene.doorward.ops(), request)
}

/// The person called `name`, as administrators see them.
fn person(scene: &Scene, root: &str, name: &str) -> Value {
    let found = Request::get(&format!("/auth/users?q={name}")).bearer(root);
    manage(scene, &found).json()["users"][0].clone()
}

fn change(scene: &Scene, root: &str, name: &str, change: &Value) -> Answer {
    let id = person(scene, root, name)["id"].as_str().unwrap().to_owned();
    let request = Request::new("PATCH", &format!("/auth/users/{id}")).bearer(root).json(change);
    manage(scene, &request)
}

#[test]
fn an_administrator_adds_somebody_who_then_calls_through() {
    let scene = Scene::usual();
    let root = scene.doorward.login_as_admin().access;
    let body = json!({ "username": "ann", "password": PASSWORD, "role": "editor" });
    let created = manage(&scene, &Request::post("/auth/users").bearer(&root).json(&body));
    assert_eq!(created.status, 201, "{created}");
    let ann = scene.doorward.login("ann", PASSWORD);
    assert_eq!(scene.ask(&Request::get("/orders/1").bearer(&ann.access)).status, 200);
}

#[test]
fn scopes_that_are_taken_away_are_gone_from_tokens_already_issued() {
    let scene = Scene::usual();
    let root = scene.doorward.login_as_admin().access;
    let body = json!({ "username": "ann", "password": PASSWORD, "role": "editor" });
    manage(&scene, &Request::post("/auth/users").bearer(&root).json(&body));
    let ann = scene.doorward.login("ann", PASSWORD);
    let orders = || scene.ask(&Request::get("/orders/1").bearer(&ann.access));
    assert_eq!(orders().status, 200);
    assert_eq!(change(&scene, &root, "ann", &json!({ "role": "user" })).status, 200);
    wait_until(START_MAX, || orders().status == 403);
    assert_eq!(scene.call(&ann.access).status, 200, "the token itself still holds");
    assert_eq!(change(&scene, &root, "ann", &json!({ "role": "editor" })).status, 200);
    wait_until(START_MAX, || orders().status == 200);
}

#[test]
fn whoever_is_deleted_is_refused_at_the_door() {
    let scene = Scene::usual();
    let root = scene.doorward.login_as_admin().access;
    scene.doorward.create_user("ann", "free", PASSWORD);
    let ann = scene.doorward.login("ann", PASSWORD);
    assert_eq!(scene.call(&ann.access).status, 200);
    let id = person(&scene, &root, "ann")["id"].as_str().unwrap().to_owned();
    let delete = Request::new("DELETE", &format!("/auth/users/{id}")).bearer(&root);
    assert_eq!(manage(&scene, &delete).status, 204);
    wait_until(START_MAX, || scene.call(&ann.access).status == 401);
    assert_revoked(&scene.call(&ann.access));
}

#[test]
fn management_is_not_at_the_front_door_and_not_for_everybody() {
    let scene = Scene::usual();
    let root = scene.doorward.login_as_admin().access;
    scene.doorward.create_user("ann", "free", PASSWORD);
    let ann = scene.doorward.login("ann", PASSWORD);
    for path in ["/auth/users", "/auth/audit"] {
        let request = Request::get(path).bearer(&root);
        assert_problem(&scene.ask(&request), 404, "NOT_FOUND", "Not Found");
        let nobody = manage(&scene, &Request::get(path));
        assert_problem(&nobody, 401, "NOT_AUTHENTICATED", "Not authenticated");
        let refused = manage(&scene, &Request::get(path).bearer(&ann.access));
        let detail = "Insufficient permissions. Required scopes: admin";
        assert_problem(&refused, 403, "FORBIDDEN", detail);
        assert_eq!(manage(&scene, &Request::get(path).bearer(&root)).status, 200);
    }
}

#[test]
fn a_client_of_the_ops_listener_cannot_say_who_it_is() {
    let scene = Scene::usual();
    let root = scene.doorward.login_as_admin().access;
    let body = json!({ "username": "ann", "password": PASSWORD });
    let create = Request::post("/auth/users").bearer(&root).json(&body);
    manage(&scene, &create.header("X-Doorward-Client", "203.0.113.9"));
    let audit = Request::get("/auth/audit?action=user.created").bearer(&root);
    let newest = manage(&scene, &audit).json()["acts"][0].clone();
    assert_eq!((&newest["target_name"], &newest["client"]), (&json!("ann"), &json!("127.0.0.1")));
}
