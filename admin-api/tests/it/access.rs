//! Who may do what: every operation, asked by everybody. An operation without a row fails.

use std::collections::BTreeSet;

use axum::body::Body;
use http::Request;
use serde_json::json;

use crate::document::operations;
use crate::support::*;

/// An operation, and the status that nobody, ann, bob and an administrator get; `{ann}` is her id,
/// `{session}` one of her sessions. What is not about who asks (a body that is missing, a provider
/// that is not configured) is the same for all.
type Row = (&'static str, &'static str, [u16; 4]);

/// Where clients come. An empty body is sent.
const FOR_CLIENTS: &[Row] = &[
    ("POST", "/login", [422, 422, 422, 422]),
    // Without a token in the body the header counts: an access token is of the wrong type.
    ("POST", "/refresh", [422, 401, 401, 401]),
    ("POST", "/logout", [401, 200, 200, 200]),
    ("GET", "/me", [401, 200, 200, 200]),
    ("POST", "/oauth/token", [400, 400, 400, 400]),
    ("POST", "/oauth/revoke", [400, 400, 400, 400]),
    ("POST", "/oauth/introspect", [401, 403, 403, 400]),
    ("POST", "/password", [401, 422, 422, 422]),
    ("POST", "/password/reset", [422, 422, 422, 422]),
    ("POST", "/password/reset/confirm", [422, 422, 422, 422]),
    // bob has no address, and gets the same answer.
    ("POST", "/email/verify", [401, 202, 202, 202]),
    ("POST", "/email/verify/confirm", [401, 422, 422, 422]),
    ("POST", "/register", [403, 403, 403, 403]),
    ("GET", "/google", [501, 501, 501, 501]),
    ("GET", "/github", [501, 501, 501, 501]),
    ("GET", "/oidc/{name}", [404, 404, 404, 404]),
    ("GET", "/google/callback", [501, 501, 501, 501]),
    ("GET", "/github/callback", [501, 501, 501, 501]),
    ("GET", "/oidc/{name}/callback", [404, 404, 404, 404]),
    ("POST", "/exchange", [422, 422, 422, 422]),
    ("GET", "/accounts", [401, 200, 200, 200]),
    ("DELETE", "/accounts/{id}", [401, 404, 404, 404]),
    ("GET", "/sessions", [401, 200, 200, 200]),
    ("DELETE", "/sessions/{id}", [401, 204, 404, 404]),
    ("GET", "/status/resources", [401, 200, 200, 200]),
    ("GET", "/status/resources/{id}", [401, 404, 404, 404]),
    ("PUT", "/status/resources/{id}/stages/{stage}", [401, 403, 403, 403]),
    ("GET", "/status/resources/{id}/events", [401, 404, 404, 404]),
    ("GET", "/monitoring/health", [200, 200, 200, 200]),
    ("GET", "/.well-known/jwks.json", [200, 200, 200, 200]),
    ("GET", "/.well-known/oauth-authorization-server", [404, 404, 404, 404]),
];

/// What the gateway answers in front of us.
const AT_THE_EDGE: (&str, &str) = ("GET", "/rate-limit");

/// Where operators come. An empty JSON object is sent.
const FOR_OPERATORS: &[Row] = &[
    ("GET", "/users", [401, 403, 403, 200]),
    ("POST", "/users", [401, 403, 403, 422]),
    ("GET", "/users/{id}", [401, 403, 403, 200]),
    ("PATCH", "/users/{id}", [401, 403, 403, 200]),
    ("DELETE", "/users/{id}", [401, 403, 403, 204]),
    ("POST", "/users/{id}/unlock", [401, 403, 403, 204]),
    ("GET", "/users/{id}/sessions", [401, 403, 403, 200]),
    ("DELETE", "/users/{id}/sessions", [401, 403, 403, 204]),
    ("GET", "/audit", [401, 403, 403, 200]),
    ("GET", "/workers", [401, 403, 403, 200]),
];

/// The operations that are served there: they are in the document, since it is made of the routes.
async fn served(routes: axum::Router) -> BTreeSet<(String, String)> {
    let document = ask_of(routes, get("/openapi.json")).await.json();
    let here = |path: String| path.strip_prefix("/auth").unwrap_or(&path).to_owned();
    operations(&document).into_iter().map(|(method, path, _)| (method, here(path))).collect()
}

fn rows(table: &[Row]) -> BTreeSet<(String, String)> {
    table.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect()
}

#[tokio::test]
async fn every_operation_has_a_row() {
    let house = House::empty("").await;
    let mut for_clients = served(house.api.router()).await;
    let (method, path) = AT_THE_EDGE;
    assert!(for_clients.remove(&(method.to_owned(), path.to_owned())));
    assert_eq!(for_clients, rows(FOR_CLIENTS));
    assert_eq!(served(house.api.management()).await, rows(FOR_OPERATORS));
}

/// A house with ann, bob and root in it, and what each of them shows.
async fn callers(house: &House) -> [Option<String>; 4] {
    let sign_in = async |name: &str| {
        let fields = [("username", name), ("password", PASSWORD)];
        Some(house.ask(login(&fields)).await.pair().access)
    };
    [None, sign_in("ann").await, sign_in("bob").await, sign_in("root").await]
}

async fn house() -> House {
    let house = House::with_ann().await;
    house.root().await;
    let secret = kernel::secret::Secret::new(PASSWORD);
    house.add(admin_api::NewUser::new("bob", secret, tier("free"))).await;
    house
}

fn asked(request: Request<Body>, token: Option<&String>) -> Request<Body> {
    match token {
        Some(token) => bearer(request, token),
        None => request,
    }
}

#[tokio::test]
async fn each_client_may_do_what_the_table_says() {
    for (method, path, expected) in FOR_CLIENTS {
        let house = house().await;
        let session = claims(&house.sign_in().await.access)["sid"].as_str().unwrap().to_owned();
        let is_elsewhere =
            ["/.well-known", "/monitoring", "/status"].iter().any(|mount| path.starts_with(mount));
        let mount = if is_elsewhere { "" } else { "/auth" };
        let id = if path.starts_with("/sessions") { session.as_str() } else { "x" };
        let at = format!("{mount}{}", path.replace("{id}", id).replace("{name}", "x"));
        let at = at.replace("{stage}", "graph");
        let callers = callers(&house).await;
        // The owner last: what is ended by them is gone for the others.
        for i in [0, 2, 3, 1] {
            let request = asked(bare(method, &at), callers[i].as_ref());
            let answer = house.ask(request).await;
            assert_eq!(answer.status, expected[i], "{method} {path} by {i}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn each_operation_of_management_is_for_administrators_alone() {
    for (method, path, expected) in FOR_OPERATORS {
        let house = house().await;
        let ann = house.api.users().by_username("ann").await.unwrap().unwrap().id;
        let at = format!("/auth{}", path.replace("{id}", &ann));
        let callers = callers(&house).await;
        for i in 0..4 {
            let request = with_json(method, &at, &json!({}));
            let answer = house.manage(asked(request, callers[i].as_ref())).await;
            assert_eq!(answer.status, expected[i], "{method} {path} by {i}: {}", answer.text);
        }
    }
}
