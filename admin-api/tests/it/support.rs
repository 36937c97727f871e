//! A house with one admin API in it: a temporary database, a clock in the hand, and a way to ask.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use admin_api::AdminApi;
use admin_api::Clock;
use admin_api::NewUser;
use axum::body::Body;
use axum::body::to_bytes;
use config::Config;
use config::Environment;
use http::HeaderMap;
use http::Request;
use http::StatusCode;
use http::header::AUTHORIZATION;
use http::header::CONTENT_TYPE;
use kernel::keys::Key;
use kernel::keys::KeyRing;
use kernel::keys::LiveKeys;
use kernel::keys::SigningKey;
use kernel::secret::Secret;
use kernel::tier::Tier;
use kernel::time::Timestamp;
use serde_json::Value;
use tower::ServiceExt;

use crate::document::hold_against;
use crate::place::Place;

pub(crate) const SIGNING_SECRET: &str = "0123456789abcdef0123456789abcdef-not-for-production";
pub(crate) const PASSWORD: &str = "correct horse battery staple";

const CONFIG: &str = r#"
environment = "dev"
[roles]
editor = ["orders:read", "orders:write"]
[auth.hashing]
threads = 2
queue_max = 64
"#;

/// The admin API and all it needs.
pub(crate) struct House {
    pub(crate) api: Arc<AdminApi>,
    pub(crate) hand: Hand,
    pub(crate) config: Config,
    pub(crate) place: Place,
}

/// A clock that moves only when it is told to.
#[derive(Clone)]
pub(crate) struct Hand(Arc<AtomicU64>);

impl Hand {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_800_000_000_000)))
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    pub(crate) fn forward(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> Clock {
        let hand = self.clone();
        Clock::new(move || hand.now())
    }
}

pub(crate) fn keys() -> Arc<LiveKeys> {
    let key = SigningKey::hs256("test", &Secret::new(SIGNING_SECRET)).unwrap();
    Arc::new(LiveKeys::new(KeyRing::new(vec![Key::Signing(Box::new(key))]).unwrap()))
}

pub(crate) fn config_at(dir: &Path, more: &str) -> Config {
    let mut config = config::parse("test", &format!("{CONFIG}{more}"), &|_| None)
        .unwrap_or_else(|faults| panic!("{faults}"));
    config.data_dir = dir.to_owned();
    config
}

impl House {
    /// A house with `ann` in it: tier free, role editor, address `ann@example.com`.
    pub(crate) async fn with_ann() -> Self {
        let house = Self::empty("").await;
        house.add(ann()).await;
        house
    }

    pub(crate) async fn empty(more: &str) -> Self {
        Self::of(Environment::Dev, more).await
    }

    pub(crate) async fn of(environment: Environment, more: &str) -> Self {
        Self::opened(Place::new(), environment, more).await
    }

    pub(crate) async fn opened(place: Place, environment: Environment, more: &str) -> Self {
        let mut config = config_at(place.dir(), more);
        config.environment = environment;
        config.database = place.database();
        let hand = Hand::new();
        let api = AdminApi::open(&config, keys(), hand.clock()).await.unwrap();
        Self { api: Arc::new(api), hand, config, place }
    }

    /// Another admin API on the same database, as after a restart or from the command line.
    pub(crate) async fn open_again(&self) -> AdminApi {
        AdminApi::open(&self.config, keys(), self.hand.clock()).await.unwrap()
    }

    pub(crate) async fn add(&self, new: NewUser) {
        self.api.users().create(new).await.unwrap();
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        ask(&self.api, request).await
    }

    /// Asks the listener that is for operators.
    pub(crate) async fn manage(&self, request: Request<Body>) -> Answer {
        ask_of(self.api.management(), request).await
    }

    /// Adds `root`, who may manage others, and signs them in.
    pub(crate) async fn root(&self) -> Pair {
        let root = NewUser {
            role: "admin".to_owned(),
            ..NewUser::new("root", Secret::new(PASSWORD), tier("admin"))
        };
        self.add(root).await;
        self.ask(login(&[("username", "root"), ("password", PASSWORD)])).await.pair()
    }

    /// Signs `ann` in.
    pub(crate) async fn sign_in(&self) -> Pair {
        self.ask(login(&[("username", "ann"), ("password", PASSWORD)])).await.pair()
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.ask(json("/auth/refresh", &refresh_body(token))).await
    }

    pub(crate) async fn me(&self, access: &str) -> Answer {
        self.ask(bearer(get("/auth/me"), access)).await
    }

    /// Runs statements as somebody else who has the database open.
    pub(crate) fn execute(&self, statements: &str) {
        self.place.execute(statements);
    }

    pub(crate) fn count(&self, query: &str) -> i64 {
        self.place.count(query)
    }
}

pub(crate) async fn ask(api: &AdminApi, request: Request<Body>) -> Answer {
    ask_of(api.router(), request).await
}

pub(crate) async fn ask_of(routes: axum::Router, request: Request<Body>) -> Answer {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = routes.oneshot(request).await.unwrap();
    let status = response.status();
    let headers = response.headers().clone();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let answer = Answer { status, headers, text: String::from_utf8(body.to_vec()).unwrap() };
    hold_against(&method, &path, &answer);
    answer
}

pub(crate) fn ann() -> NewUser {
    NewUser {
        email: Some("ann@example.com".to_owned()),
        full_name: Some("Ann Example".to_owned()),
        role: "editor".to_owned(),
        ..NewUser::new("ann", Secret::new(PASSWORD), tier("free"))
    }
}

pub(crate) fn tier(name: &str) -> Tier {
    Tier::parse(name).unwrap()
}

/// Both tokens of a session.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pair {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn pair(&self) -> Pair {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        let body = self.json();
        Pair {
            access: body["access_token"].as_str().unwrap().to_owned(),
            refresh: body["refresh_token"].as_str().unwrap().to_owned(),
        }
    }

    /// Checks that it is a whole problem body of this status, detail and code.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, detail: &str, code: &str) {
        let body = self.json();
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(body["status"], status);
        assert_eq!(body["detail"], detail);
        assert_eq!(body["error_code"], code);
        assert_eq!(body["type"], "about:blank");
        assert!(body["title"].is_string());
        assert!(body["instance"].as_str().unwrap().starts_with('/'));
        assert_eq!(body["request_id"], self.header("x-request-id"));
        assert_eq!(self.header("cache-control"), "no-store");
        let challenge = self.header("www-authenticate");
        assert_eq!(challenge.starts_with("Bearer"), status == 401 || !challenge.is_empty());
        assert!(challenge.is_empty() || matches!(status, 401 | 403), "{challenge}");
    }

    #[track_caller]
    pub(crate) fn is_invalid_refresh(&self) {
        self.is_problem(401, "Invalid refresh token", "INVALID_TOKEN");
    }

    #[track_caller]
    pub(crate) fn is_ok(&self) {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
    }
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

pub(crate) fn post(path: &str) -> Request<Body> {
    Request::post(path).body(Body::empty()).unwrap()
}

pub(crate) fn form(path: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    Request::post(path)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(body))
        .unwrap()
}

pub(crate) fn login(fields: &[(&str, &str)]) -> Request<Body> {
    form("/auth/login", fields)
}

pub(crate) fn json(path: &str, body: &str) -> Request<Body> {
    Request::post(path)
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_owned()))
        .unwrap()
}

/// A request with a JSON body, by any method.
pub(crate) fn with_json(method: &str, path: &str, body: &Value) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    request.header(CONTENT_TYPE, "application/json").body(Body::from(body.to_string())).unwrap()
}

/// A request without a body, by any method.
pub(crate) fn bare(method: &str, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
}

pub(crate) fn with_header(
    mut request: Request<Body>,
    name: &'static str,
    value: &str,
) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

pub(crate) fn refresh_body(token: &str) -> String {
    serde_json::json!({ "refresh_token": token }).to_string()
}

pub(crate) fn bearer(mut request: Request<Body>, token: &str) -> Request<Body> {
    let value = format!("Bearer {token}").parse().unwrap();
    request.headers_mut().insert(AUTHORIZATION, value);
    request
}

/// What a token says, unverified.
pub(crate) fn claims(token: &str) -> Value {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
