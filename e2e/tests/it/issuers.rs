//! Tokens of other issuers, with keys that are fetched over real HTTP.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use kernel::keys::Algorithm;
use kernel::keys::SigningKey;
use kernel::keys::jwk_set;
use kernel::keys::new_private_key;
use serde_json::Value;
use serde_json::json;
use test_support::http1::Request;
use test_support::wait::wait_until;

use crate::scene::PASSWORD;
use crate::scene::Scene;
use crate::scene::assert_fault;
use crate::scene::assert_revoked;
use crate::tokens::claims_of;
use crate::tokens::now_s;

const THEIRS: &str = "https://login.example/";

/// How long a fetch at the start may take.
const FETCHED_MAX: Duration = Duration::from_secs(5);

/// An issuer: its key, and the site where it is published.
struct Issuer {
    key: SigningKey,
    addr: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    fn start() -> Self {
        let key = key();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let body = jwk_set(&[key.verifying().clone()]).to_string();
        let count = Arc::clone(&asked);
        // It ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = [0; 4096];
                let read = stream.read(&mut head).unwrap_or(0);
                if read == 0 {
                    continue;
                }
                assert!(head.starts_with(b"GET /jwks "));
                count.fetch_add(1, Ordering::SeqCst);
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
                     Connection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        Self { key, addr, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn token(&self, sub: &str, change: impl FnOnce(&mut Value)) -> String {
        token_by(&self.key, sub, change)
    }
}

fn key() -> SigningKey {
    let pem = new_private_key(Algorithm::ES256).unwrap();
    SigningKey::from_pem("theirs-1", Algorithm::ES256, &pem).unwrap()
}

fn token_by(key: &SigningKey, sub: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = json!({
        "iss": THEIRS, "sub": sub, "aud": ["orders"], "iat": now_s(), "exp": now_s() + 600,
        "jti": format!("jti-{sub}"), "scope": "orders:read orders:write", "tier": "admin",
    });
    change(&mut claims);
    key.sign(&claims).unwrap()
}

fn section(addr: SocketAddr) -> String {
    format!(
        "[[issuers]]\nissuer = \"{THEIRS}\"\njwks_url = \"http://{addr}/jwks\"\n\
         audiences = [\"orders\"]"
    )
}

/// A scene that takes tokens of `issuer`, and has its keys.
fn scene(issuer: &Issuer) -> Scene {
    let scene = Scene::with(&section(issuer.addr));
    let keys = format!("doorward_issuer_keys{{issuer=\"{THEIRS}\"}} 1");
    wait_until(FETCHED_MAX, || scene.doorward.metrics().contains(&keys));
    scene
}

#[test]
fn a_token_of_another_issuer_is_taken_and_names_its_bearer_by_issuer_and_subject() {
    let issuer = Issuer::start();
    let scene = scene(&issuer);
    let named = |claims: &mut Value| claims["preferred_username"] = json!("ann");
    let token = issuer.token("s-7", named);
    let echo = scene.echo(&Request::get("/api/x").bearer(&token));
    assert_eq!(echo.header("x-user-id"), Some("https://login.example/#s-7"));
    assert_eq!(echo.header("x-username"), Some("ann"));
    assert_eq!(echo.header("x-user-tier"), Some("admin"));
    assert_eq!(echo.header("x-user-scopes"), Some("orders:read orders:write"));
    assert_eq!(echo.header("x-session-id"), None);
    assert_eq!(scene.ask(&Request::get("/orders").bearer(&token)).status, 200);
    // A second time, out of the cache.
    assert_eq!(scene.call(&token).status, 200);
    // Our own endpoints are for our own people.
    let me = scene.ask(&Request::get("/auth/me").bearer(&token));
    assert_fault(&me, 401, "INVALID_TOKEN");
    // Our own tokens are taken as ever.
    scene.doorward.create_user("ann", "free", PASSWORD);
    assert_eq!(scene.call(&scene.doorward.login("ann", PASSWORD).access).status, 200);
}

#[test]
fn bad_tokens_are_refused_and_a_thousand_of_them_fetch_no_keys() {
    let issuer = Issuer::start();
    let scene = scene(&issuer);
    let forger = key();
    let bad = [
        issuer.token("s", |claims| claims["exp"] = json!(now_s() - 1)),
        issuer.token("s", |claims| claims["aud"] = json!("billing")),
        issuer.token("s", |claims| claims["iss"] = json!("https://login.example")),
        issuer.token("s", |claims| claims["iss"] = json!("doorward")),
        issuer.token("s", |claims| claims["exp"] = json!("soon")),
        token_by(&forger, "s", |_| ()),
    ];
    let line = scene.line();
    for round in 0..1000 {
        let token = &bad[round % bad.len()];
        assert_eq!(line.ask(&Request::get("/api/x").bearer(token)).status, 401, "{token}");
    }
    assert_eq!(scene.reached(), 0);
    assert_eq!(issuer.asked(), 1, "once, at the start");
}

#[test]
fn nobody_at_another_issuer_is_taken_for_a_user_of_ours() {
    let issuer = Issuer::start();
    let scene = scene(&issuer);
    scene.doorward.create_user("ann", "free", PASSWORD);
    let ours = scene.doorward.login("ann", PASSWORD);
    let own = claims_of(&ours.access);
    // Everything that the other issuer can say is as in ours.
    let token = issuer.token(own["sub"].as_str().unwrap(), |claims| {
        for name in ["jti", "sid", "ep", "username", "user_id"] {
            claims[name] = own[name].clone();
        }
    });
    let id = |token: &str| {
        let echo = scene.echo(&Request::get("/api/x").bearer(token));
        echo.header("x-user-id").unwrap().to_owned()
    };
    assert_ne!(id(&token), id(&ours.access));
    scene.doorward.must(&["user", "disable", "ann"]);
    wait_until(Duration::from_secs(1), || scene.call(&ours.access).status == 401);
    assert_eq!(scene.call(&token).status, 200);
    // And the other way about: what is taken back there is not taken back here.
    scene.doorward.must(&["user", "enable", "ann"]);
    let ours = scene.doorward.login("ann", PASSWORD);
    let said = scene.doorward.must(&["token", "revoke", &token]);
    assert!(said.starts_with("the token is revoked; it says that it is one of"), "{said}");
    wait_until(Duration::from_secs(1), || scene.call(&token).status == 401);
    assert_revoked(&scene.call(&token));
    assert_eq!(scene.call(&ours.access).status, 200);
}

#[test]
fn an_issuer_that_cannot_be_reached_is_a_503_for_its_tokens_alone() {
    // A port where nobody listens: it was free a moment ago.
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let scene = Scene::with(&section(addr));
    let failed =
        format!("doorward_issuer_key_fetches_total{{issuer=\"{THEIRS}\",outcome=\"failed\"}} 1");
    wait_until(FETCHED_MAX, || scene.doorward.metrics().contains(&failed));
    let answer = scene.call(&token_by(&key(), "s", |_| ()));
    assert_fault(&answer, 503, "SERVICE_UNAVAILABLE");
    assert_eq!(answer.header("retry-after"), Some("1"));
    scene.doorward.create_user("ann", "free", PASSWORD);
    assert_eq!(scene.call(&scene.doorward.login("ann", PASSWORD).access).status, 200);
    scene
        .doorward
        .wait_for_log("were not fetched: the issuer gave no answer: it cannot be reached");
}
