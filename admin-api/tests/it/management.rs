use http::StatusCode;
use serde_json::Value;
use serde_json::json;

use crate::support::*;

const NO_SCOPE: &str = "Insufficient permissions. Required scopes: admin";

/// A house with `ann` and `root` in it, and root's token.
async fn managed() -> (House, String) {
    let house = House::with_ann().await;
    let root = house.root().await;
    (house, root.access)
}

async fn id_of(house: &House, name: &str) -> String {
    house.api.users().by_username(name).await.unwrap().unwrap().id
}

async fn create(house: &House, access: &str, body: Value) -> Answer {
    house.manage(bearer(with_json("POST", "/auth/users", &body), access)).await
}

async fn patch(house: &House, access: &str, name: &str, body: Value) -> Answer {
    let path = format!("/auth/users/{}", id_of(house, name).await);
    house.manage(bearer(with_json("PATCH", &path, &body), access)).await
}

async fn list(house: &House, access: &str, query: &str) -> (Vec<String>, Value) {
    let answer = house.manage(bearer(get(&format!("/auth/users?{query}")), access)).await;
    answer.is_ok();
    let body = answer.json();
    let name = |user: &Value| user["username"].as_str().unwrap().to_owned();
    let names = body["users"].as_array().unwrap().iter().map(name).collect();
    (names, body["next_cursor"].clone())
}

#[tokio::test]
async fn an_administrator_adds_a_person_who_can_then_sign_in() {
    let (house, root) = managed().await;
    let body = json!({
        "username": "bob", "password": "nine-swans-on-the-lake", "email": "bob@example.com",
        "full_name": "Bob", "tier": "premium", "role": "editor", "scopes": ["tea"],
    });
    let answer = create(&house, &root, body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let bob = answer.json();
    assert_eq!(answer.header("location"), format!("/auth/users/{}", bob["id"].as_str().unwrap()));
    assert_eq!(answer.header("etag"), "\"0\"");
    assert_eq!((&bob["tier"], &bob["role"]), (&json!("premium"), &json!("editor")));
    assert_eq!(bob["scopes"], json!(["tea"]));
    assert_eq!((&bob["is_active"], &bob["is_verified"]), (&json!(true), &json!(false)));
    assert!(!answer.text.contains("password"), "{}", answer.text);
    let fields = [("username", "bob"), ("password", "nine-swans-on-the-lake")];
    let pair = house.ask(login(&fields)).await.pair();
    assert_eq!(claims(&pair.access)["scopes"], json!(["orders:read", "orders:write", "tea"]));
}

#[tokio::test]
async fn whoever_is_added_with_faults_hears_all_of_them_at_once() {
    let (house, root) = managed().await;
    let body = json!({
        "username": " bob", "password": "password", "email": "bob",
        "tier": "gold", "role": "king", "scopes": ["two words"], "colour": "red",
    });
    let answer = create(&house, &root, body).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let faults = answer.json()["errors"].clone();
    let of = |fault: &Value| fault["loc"][1].as_str().unwrap().to_owned();
    let fields: Vec<_> = faults.as_array().unwrap().iter().map(of).collect();
    assert_eq!(fields, ["colour", "username", "email", "tier", "role", "scopes", "password"]);
    let nothing = create(&house, &root, json!({})).await;
    let names = "Validation error: body.username, body.password";
    nothing.is_problem(422, names, "VALIDATION_ERROR");
}

#[tokio::test]
async fn a_name_that_is_taken_is_a_conflict() {
    let (house, root) = managed().await;
    for name in ["ann", "ann@example.com"] {
        let body = json!({ "username": name, "password": "nine-swans-on-the-lake" });
        let answer = create(&house, &root, body).await;
        let detail = format!("`{name}` is taken, as a user name or an e-mail address");
        answer.is_problem(409, &detail, "CONFLICT");
    }
}

#[tokio::test]
async fn people_are_listed_page_by_page_in_order_of_name() {
    let (house, root) = managed().await;
    for name in ["Bob", "bob", "émile", "zoe"] {
        let body = json!({ "username": name, "password": "nine-swans-on-the-lake" });
        assert_eq!(create(&house, &root, body).await.status, StatusCode::CREATED);
    }
    let mut names = Vec::new();
    let mut query = "limit=4".to_owned();
    loop {
        let (page, next) = list(&house, &root, &query).await;
        names.extend(page);
        let Some(cursor) = next.as_str() else { break };
        query = format!("limit=4&cursor={cursor}");
    }
    assert_eq!(names, ["Bob", "ann", "bob", "root", "zoe", "émile"]);
    let (page, next) = list(&house, &root, "limit=6").await;
    assert_eq!((page.len(), next), (6, Value::Null));
}

#[tokio::test]
async fn people_are_found_by_part_of_a_name_or_address_and_by_what_they_are() {
    let (house, root) = managed().await;
    let body = json!({ "username": "100%_bob", "password": "nine-swans-on-the-lake" });
    create(&house, &root, body).await;
    for (query, names) in [
        ("q=ANN", vec!["ann"]),
        ("q=example.com", vec!["ann"]),
        ("q=Example", vec!["ann"]),
        ("q=0%25_b", vec!["100%_bob"]),
        ("q=%25", vec!["100%_bob"]),
        ("q=!", vec![]),
        ("tier=admin", vec!["root"]),
        ("role=editor", vec!["ann"]),
        ("role=editor&q=root", vec![]),
        ("is_active=false", vec![]),
    ] {
        assert_eq!(list(&house, &root, query).await.0, names, "{query}");
    }
}

#[tokio::test]
async fn a_query_that_means_nothing_is_refused_by_name() {
    let (house, root) = managed().await;
    for (query, name) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("cursor=!", "cursor"),
        ("is_active=maybe", "is_active"),
        ("colour=red", "colour"),
        ("q=a&q=b", "q"),
    ] {
        let answer = house.manage(bearer(get(&format!("/auth/users?{query}")), &root)).await;
        let detail = format!("Validation error: query.{name}");
        answer.is_problem(422, &detail, "VALIDATION_ERROR");
    }
    list(&house, &root, "limit=200").await;
}

#[tokio::test]
async fn a_change_is_told_to_the_next_token_and_to_the_audit_log() {
    let (house, root) = managed().await;
    let pair = house.sign_in().await;
    let change = json!({ "tier": "premium", "role": "user", "scopes": ["tea"] });
    let answer = patch(&house, &root, "ann", change).await;
    answer.is_ok();
    assert_eq!(answer.header("etag"), "\"1\"");
    assert_eq!(answer.json()["tier"], "premium");
    let next = house.refresh(&pair.refresh).await.pair();
    let said = claims(&next.access);
    assert_eq!((&said["tier"], &said["scopes"]), (&json!("premium"), &json!(["tea"])));
    let acts = house.manage(bearer(get("/auth/audit?action=user.changed"), &root)).await.json();
    let act = &acts["acts"][0];
    assert_eq!((&act["actor_name"], &act["target_name"]), (&json!("root"), &json!("ann")));
    let detail = "tier: `free` to `premium`; role: `editor` to `user`; scopes: `` to `tea`";
    assert_eq!(act["detail"], detail);
}

#[tokio::test]
async fn a_new_address_is_not_verified_unless_that_is_said() {
    let (house, root) = managed().await;
    let verified = patch(&house, &root, "ann", json!({ "is_verified": true })).await;
    assert_eq!(verified.json()["is_verified"], true);
    let moved = patch(&house, &root, "ann", json!({ "email": "ann@example.org" })).await.json();
    assert_eq!(
        (&moved["email"], &moved["is_verified"]),
        (&json!("ann@example.org"), &json!(false))
    );
    let gone =
        patch(&house, &root, "ann", json!({ "email": null, "full_name": null })).await.json();
    assert_eq!((&gone["email"], &gone["full_name"]), (&Value::Null, &Value::Null));
    let taken = patch(&house, &root, "ann", json!({ "email": "root" })).await;
    assert_eq!(taken.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_change_of_what_somebody_else_changed_meanwhile_is_refused() {
    let (house, root) = managed().await;
    let path = format!("/auth/users/{}", id_of(&house, "ann").await);
    let seen = house.manage(bearer(get(&path), &root)).await.header("etag").to_owned();
    let change = |etag: &str, tier: &str| {
        let request = with_json("PATCH", &path, &json!({ "tier": tier }));
        with_header(bearer(request, &root), "if-match", etag)
    };
    house.manage(change(&seen, "premium")).await.is_ok();
    let late = house.manage(change(&seen, "free")).await;
    late.is_problem(412, "The resource was changed meanwhile", "PRECONDITION_FAILED");
    for tag in ["\"x\"", "0", "W/\"1\""] {
        assert_eq!(house.manage(change(tag, "free")).await.status, 412, "{tag}");
    }
    house.manage(change("*", "free")).await.is_ok();
    let delete = with_header(bearer(bare("DELETE", &path), &root), "if-match", &seen);
    assert_eq!(house.manage(delete).await.status, 412);
}

#[tokio::test]
async fn whoever_is_kept_out_is_out_and_comes_back_with_a_new_sign_in_alone() {
    let (house, root) = managed().await;
    let pair = house.sign_in().await;
    patch(&house, &root, "ann", json!({ "is_active": false })).await.is_ok();
    house.me(&pair.access).await.is_problem(401, "Could not validate credentials", "TOKEN_REVOKED");
    house.refresh(&pair.refresh).await.is_invalid_refresh();
    patch(&house, &root, "ann", json!({ "is_active": true })).await.is_ok();
    house.refresh(&pair.refresh).await.is_invalid_refresh();
    house.sign_in().await;
}

#[tokio::test]
async fn whoever_is_deleted_is_gone_with_all_that_was_theirs() {
    let (house, root) = managed().await;
    let pair = house.sign_in().await;
    let path = format!("/auth/users/{}", id_of(&house, "ann").await);
    let delete = || bearer(bare("DELETE", &path), &root);
    assert_eq!(house.manage(delete()).await.status, StatusCode::NO_CONTENT);
    house.manage(delete()).await.is_problem(404, "User not found", "NOT_FOUND");
    house.me(&pair.access).await.is_problem(404, "User not found", "NOT_FOUND");
    house.refresh(&pair.refresh).await.is_invalid_refresh();
    assert_eq!(house.count("SELECT count(*) FROM sessions"), 1, "that of root");
    assert_eq!(house.count("SELECT seq FROM revocation_log"), 1, "edges were told");
    house.add(ann()).await;
}

#[tokio::test]
async fn sessions_of_somebody_are_seen_and_ended_all_at_once() {
    let (house, root) = managed().await;
    let pair = house.sign_in().await;
    let path = format!("/auth/users/{}/sessions", id_of(&house, "ann").await);
    let seen = house.manage(bearer(get(&path), &root)).await.json();
    assert_eq!(seen["sessions"][0]["id"], claims(&pair.access)["sid"]);
    let end = house.manage(bearer(bare("DELETE", &path), &root)).await;
    assert_eq!(end.status, StatusCode::NO_CONTENT);
    house.me(&pair.access).await.is_problem(401, "Could not validate credentials", "TOKEN_REVOKED");
    house.refresh(&pair.refresh).await.is_invalid_refresh();
    house.sign_in().await;
}

#[tokio::test]
async fn the_last_administrator_stays_one() {
    let (house, root) = managed().await;
    let detail = "`root` is the last administrator; make somebody else one before";
    for change in [json!({ "role": "user" }), json!({ "is_active": false })] {
        patch(&house, &root, "root", change).await.is_problem(409, detail, "CONFLICT");
    }
    let path = format!("/auth/users/{}", id_of(&house, "root").await);
    let delete = || bearer(bare("DELETE", &path), &root);
    house.manage(delete()).await.is_problem(409, detail, "CONFLICT");
    patch(&house, &root, "ann", json!({ "role": "admin" })).await.is_ok();
    assert_eq!(house.manage(delete()).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn nobody_manages_without_the_scope_or_after_losing_it() {
    let (house, root) = managed().await;
    let ann = house.sign_in().await;
    let users = || get("/auth/users");
    house.manage(users()).await.is_problem(401, "Not authenticated", "NOT_AUTHENTICATED");
    house.manage(bearer(users(), &ann.access)).await.is_problem(403, NO_SCOPE, "FORBIDDEN");
    let fields = [("username", "root"), ("password", PASSWORD), ("scope", "nothing")];
    let scopeless = house.ask(login(&fields)).await.pair();
    let refused = house.manage(bearer(users(), &scopeless.access)).await;
    refused.is_problem(403, NO_SCOPE, "FORBIDDEN");
    patch(&house, &root, "ann", json!({ "role": "admin" })).await.is_ok();
    patch(&house, &root, "root", json!({ "role": "user" })).await.is_ok();
    house.manage(bearer(users(), &root)).await.is_problem(403, NO_SCOPE, "FORBIDDEN");
}

#[tokio::test]
async fn management_is_not_where_clients_come_unless_it_is_exposed() {
    let (house, root) = managed().await;
    for path in ["/auth/users", "/api/auth/users", "/auth/audit", "/auth/users/x/sessions"] {
        house.ask(bearer(get(path), &root)).await.is_problem(404, "Not Found", "NOT_FOUND");
    }
    let house = House::empty("[listen]\nexpose_management = true").await;
    let root = house.root().await;
    for path in ["/auth/users", "/api/auth/users", "/auth/audit"] {
        house.ask(bearer(get(path), &root.access)).await.is_ok();
    }
}
