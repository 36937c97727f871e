//! What is served at our own names, and what only looks like one of them.

use serde_json::json;
use test_support::http1::Request;

use crate::scene::PASSWORD;
use crate::scene::Scene;
use crate::scene::assert_fault;
use crate::scene::assert_problem;
use crate::scene::token;
use crate::tokens::Forged;

/// A route for everything that is not ours, open to all: whatever reaches it was not refused.
const REST: &str =
    "[[routes]]\nname = \"rest\"\npath = \"/\"\nupstream = \"echo\"\naccess = \"public\"";

#[test]
fn health_has_the_old_shape_at_both_paths_and_needs_no_token() {
    let scene = Scene::usual();
    for path in [
        "/monitoring/health",
        "/api/monitoring/health",
        "/monitoring/health?strict=1",
        "/monitoring/health?x=y",
    ] {
        let answer = scene.ask(&Request::get(path));
        assert_eq!(answer.status, 200, "{answer}");
        let body = answer.json();
        assert_eq!(body["status"], "healthy");
        assert_eq!(body["message"], "All systems operational");
        assert!(body["timestamp"].as_str().is_some_and(|at| at.contains('T')), "{answer}");
        let components = &body["components"];
        assert_eq!(components["database"]["status"], "healthy");
        assert_eq!(components["api"]["status"], "healthy");
        for name in ["database", "redis", "celery", "api"] {
            assert!(components[name]["status"].is_string(), "{answer}");
            assert!(components[name]["message"].is_string(), "{answer}");
        }
        assert!(components["celery"]["worker_count"].is_u64(), "{answer}");
    }
    assert_eq!(scene.reached(), 0);
}

#[test]
fn health_is_not_limited_and_reads_no_credential() {
    let scene = Scene::usual();
    let line = scene.line();
    for n in 0..150 {
        let authorization = ["Bearer garbage", "Basic eDp5", ""][n % 3];
        let request = Request::get("/monitoring/health").header("Authorization", authorization);
        let answer = line.ask(&request);
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(answer.header("x-ratelimit-limit"), None, "{answer}");
    }
}

#[test]
fn an_unknown_name_under_a_mount_is_404_and_never_forwarded() {
    let scene = Scene::with(REST);
    for path in [
        "/auth",
        "/auth/",
        "/auth/nowhere",
        "/auth/login/x",
        "/auth/Login",
        "/api/auth",
        "/api/auth/nowhere",
        "/status/a/b/c/d/e",
        "/monitoring/health/x",
        "/api/monitoring/health/x",
        "/docs/nowhere/at/all",
        "/openapi.json/x",
        "/.well-known/jwks.json/x",
        "/.well-known/oauth-authorization-server/x",
    ] {
        for request in [Request::get(path), Request::get(path).bearer(&token())] {
            let answer = scene.ask(&request);
            assert_problem(&answer, 404, "NOT_FOUND", "Not Found");
            assert_eq!(answer.json()["instance"], path);
        }
    }
    assert_eq!(scene.reached(), 0);
}

#[test]
fn a_method_that_one_of_our_names_does_not_take_is_405() {
    let scene = Scene::with(REST);
    for (method, path) in [
        ("GET", "/auth/login"),
        ("PUT", "/auth/login"),
        ("GET", "/auth/refresh"),
        ("GET", "/auth/logout"),
        ("POST", "/auth/me"),
        ("DELETE", "/monitoring/health"),
    ] {
        let answer = scene.ask(&Request::new(method, path));
        assert_fault(&answer, 405, "METHOD_NOT_ALLOWED");
        assert!(answer.header("allow").is_some(), "{answer}");
    }
    assert_eq!(scene.reached(), 0);
}

#[test]
fn what_only_begins_like_one_of_our_names_needs_a_token_like_everything_else() {
    let scene = Scene::usual();
    for path in [
        "/docsX",
        "/docs-internal",
        "/authX",
        "/auth-x/login",
        "/authors",
        "/Auth/login",
        "/AUTH/login",
        "/api/authX/login",
        "/api/auth-x",
        "/statusX",
        "/monitoring",
        "/monitoring/",
        "/monitoring/healthX",
        "/monitoring/health.json",
        "/api/monitoring",
        "/openapi.jsonX",
        "/openapi",
        "/.well-known",
        "/.well-known/jwks.jsonX",
        "/.well-known/security.txt",
        "/x/auth/login",
    ] {
        for method in ["GET", "POST"] {
            let answer = scene.ask(&Request::new(method, path));
            assert_problem(&answer, 401, "NOT_AUTHENTICATED", "Not authenticated");
        }
    }
    assert_eq!(scene.reached(), 0);
}

#[test]
fn what_only_begins_like_one_of_our_names_is_forwarded_where_a_route_takes_it() {
    let scene = Scene::with(REST);
    for path in ["/docsX", "/authX/login", "/statusX", "/.well-known/security.txt", "/monitoring"] {
        assert_eq!(scene.echo(&Request::get(path)).path(), path);
    }
}

#[test]
fn a_preflight_is_forwarded_without_a_token_and_without_an_identity() {
    let scene = Scene::usual();
    let preflight = Request::new("OPTIONS", "/api/x")
        .header("Origin", "https://app.example.com")
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "authorization")
        .header("X-User-Id", "1")
        .header("X-User-Tier", "admin");
    let echo = scene.echo(&preflight);
    assert_eq!((echo.method(), echo.path()), ("OPTIONS", "/api/x"));
    assert_eq!(echo.header("origin"), Some("https://app.example.com"));
    for name in ["x-user-id", "x-username", "x-user-tier", "x-user-scopes", "x-session-id"] {
        assert_eq!(echo.header(name), None, "{echo:?}");
    }
}

#[test]
fn what_only_looks_like_a_preflight_needs_a_token_like_all_others() {
    let scene = Scene::usual();
    let preflight = || {
        Request::new("OPTIONS", "/api/x")
            .header("Origin", "https://app.example.com")
            .header("Access-Control-Request-Method", "POST")
    };
    for request in [
        preflight().body("{\"delete\":\"everything\"}"),
        preflight().header("Transfer-Encoding", "chunked").header("Connection", "close"),
        preflight().header("Connection", "Upgrade").header("Upgrade", "websocket"),
        preflight().header("Cookie", "session=1"),
        preflight().bearer("not.a.token"),
    ] {
        let answer = scene.ask(&request);
        assert_eq!(answer.status, 401, "{}: {answer}", request.line());
    }
    assert_eq!(scene.reached(), 0);
    let named = scene.echo(&preflight().bearer(&token()));
    assert_eq!(named.header("x-user-id"), Some("u-1"));
    let dropping = preflight().header("Connection", "origin, access-control-request-method");
    let echo = scene.echo(&dropping);
    assert_eq!(echo.header("origin"), Some("https://app.example.com"), "still a preflight there");
    assert_eq!(echo.header("access-control-request-method"), Some("POST"));
}

#[test]
fn a_preflight_passes_only_where_a_route_takes_it() {
    let scene = Scene::usual();
    let preflight = |path: &str| {
        Request::new("OPTIONS", path)
            .header("Origin", "https://app.example.com")
            .header("Access-Control-Request-Method", "GET")
    };
    for path in ["/orders/1", "/nowhere"] {
        let answer = scene.ask(&preflight(path));
        assert_problem(&answer, 401, "NOT_AUTHENTICATED", "Not authenticated");
    }
    assert_eq!(scene.reached(), 0);
}

#[test]
fn any_other_options_needs_a_token() {
    let scene = Scene::usual();
    let origin = ("Origin", "https://app.example.com");
    let method = ("Access-Control-Request-Method", "GET");
    for headers in [&[][..], &[origin], &[method]] {
        let mut request = Request::new("OPTIONS", "/api/x");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = scene.ask(&request);
        assert_problem(&answer, 401, "NOT_AUTHENTICATED", "Not authenticated");
        assert_eq!(scene.echo(&request.bearer(&token())).header("x-user-id"), Some("u-1"));
    }
    let get = Request::get("/api/x").header(origin.0, origin.1).header(method.0, method.1);
    assert_eq!(scene.ask(&get).status, 401, "only OPTIONS is a preflight");
    assert_eq!(scene.reached(), 3);
}

#[test]
fn who_one_is_has_the_old_members_at_both_mounts() {
    let scene = Scene::usual();
    scene.doorward.create_user("ann", "premium", PASSWORD);
    let tokens = scene.doorward.login("ann", PASSWORD);
    for path in ["/auth/me", "/api/auth/me"] {
        let me = scene.ask(&Request::get(path).bearer(&tokens.access));
        assert_eq!(me.status, 200, "{me}");
        let body = me.json();
        assert_eq!(body["username"], "ann");
        assert_eq!((&body["tier"], &body["is_active"]), (&json!("premium"), &json!(true)));
        assert!(body["id"].is_string() && body.get("email").is_some(), "{me}");
        let stranger = scene.ask(&Request::get(path));
        assert_problem(&stranger, 401, "NOT_AUTHENTICATED", "Not authenticated");
        let gone = scene.ask(&Request::get(path).bearer(&Forged::new("u-9", "gone").sign()));
        assert_problem(&gone, 404, "NOT_FOUND", "User not found");
    }
}

#[test]
fn only_the_endpoint_reads_the_credential_on_our_own_names() {
    let scene = Scene::usual();
    scene.doorward.create_user("ann", "free", PASSWORD);
    let fields = [("username", "ann"), ("password", PASSWORD)];
    for authorization in ["Bearer garbage", "Basic eDp5", "", "Bearer a b"] {
        let login = Request::post("/auth/login").header("Authorization", authorization);
        let answer = scene.ask(&login.form(&fields));
        assert_eq!(answer.status, 200, "{answer}");
    }
}

#[test]
fn fields_that_are_missing_or_malformed_are_a_422_that_names_them() {
    let scene = Scene::usual();
    let answer = scene.ask(&Request::post("/auth/login").form(&[("username", "ann")]));
    assert_fault(&answer, 422, "VALIDATION_ERROR");
    let errors = answer.json()["errors"].clone();
    assert_eq!(errors[0]["loc"], json!(["body", "password"]), "{answer}");
    assert_eq!(errors[0]["type"], "missing", "{answer}");
    assert!(errors[0]["msg"].is_string(), "{answer}");
    for body in ["{", "[]", "null", "{\"refresh_token\": 7}", "\u{0}", ""] {
        let request = Request::post("/auth/refresh").header("Content-Type", "application/json");
        let answer = scene.ask(&request.body(body));
        assert_fault(&answer, 422, "VALIDATION_ERROR");
        assert!(answer.json()["errors"].is_array(), "{answer}");
    }
    let other = Request::post("/auth/login").header("Content-Type", "text/plain").body("x");
    assert_fault(&scene.ask(&other), 415, "UNSUPPORTED_MEDIA_TYPE");
    let large = Request::post("/auth/refresh").header("Content-Type", "application/json");
    let answer = scene.ask(&large.body(vec![b' '; 65 * 1024]));
    assert_fault(&answer, 413, "PAYLOAD_TOO_LARGE");
}
