//! What must never be read anywhere, and what must always be: a line of every failure.

use serde_json::Value;
use serde_json::json;
use test_support::doorward::ADMIN_PASSWORD;
use test_support::doorward::SECRET;
use test_support::doorward::Tokens;
use test_support::http1::Answer;
use test_support::http1::Request;
use test_support::wait::LOG_MAX;
use test_support::wait::wait_until;

use crate::scene::PASSWORD;
use crate::scene::Scene;
use crate::tokens::Forged;

/// Words of our insides, and of nothing that the tests send.
const INSIDES: [&str; 11] = [
    "panicked",
    "a fault in this program",
    "SELECT",
    "INSERT",
    "UPDATE ",
    "SQLITE_",
    "rusqlite",
    "stack backtrace",
    "src/",
    "$argon2",
    ".cargo",
];

/// Passwords and other texts that people might send, none of which is theirs to be repeated.
const TYPED: [&str; 4] =
    ["wrong-horse-battery", "hunter2-hunter2", "typed-by-mistake", "x7-in-a-query"];

/// A session full of failures: what was answered, and what must not be repeated.
struct Session {
    answers: Vec<Answer>,
    secrets: Vec<String>,
}

impl Session {
    fn ask(&mut self, scene: &Scene, request: &Request) -> Answer {
        let answer = scene.ask(request);
        self.answers.push(answer.clone());
        answer
    }

    fn keep(&mut self, tokens: &Tokens) {
        self.secrets.extend([tokens.access.clone(), tokens.refresh.clone()]);
    }

    fn of(scene: &Scene) -> Self {
        let mut session = Self { answers: Vec::new(), secrets: Vec::new() };
        let login = |user: &str, password: &str| {
            Request::post("/auth/login").form(&[("username", user), ("password", password)])
        };
        let tokens = Tokens::of(&session.ask(scene, &login("ann", PASSWORD)));
        session.keep(&tokens);
        let api = Request::get("/api/x?token=x7-in-a-query");
        let forged = Forged::new("u-1", "ann");
        let expired = forged.clone().claim("exp", json!(1)).sign();
        let foreign = forged.sign_with("another-secret-that-is-long-enough-to-sign");
        session.secrets.extend([expired.clone(), foreign.clone()]);
        let refresh =
            |token: &str| Request::post("/auth/refresh").json(&json!({ "refresh_token": token }));
        let malformed = |body: &str| {
            let request = Request::post("/auth/refresh").header("Content-Type", "application/json");
            request.body(body)
        };
        let requests = [
            login("ann", TYPED[0]),
            login("nobody", TYPED[1]),
            login("'%20OR%20'1'='1'%20--", TYPED[0]),
            login("ann%22;%20DROP%20TABLE%20users;%20--", TYPED[1]),
            login("", ""),
            login(&"a".repeat(5000), TYPED[0]),
            login("ann%00", "%ff%fe"),
            api.clone(),
            api.clone().bearer(&expired),
            api.clone().bearer(&foreign),
            api.clone().bearer(TYPED[2]),
            api.clone().bearer(&tokens.refresh),
            api.clone().header("Authorization", "Basic dHlwZWQtYnktbWlzdGFrZQ=="),
            api.clone().bearer(&tokens.access),
            Request::get("/nowhere/'%20OR%20'1'='1").bearer(&tokens.access),
            Request::get("/orders/1").bearer(&tokens.access),
            Request::get("/api/../x").bearer(&tokens.access),
            Request::get("/auth/me").bearer(&foreign),
            Request::get("/auth/me"),
            Request::get("/auth/rate-limit").bearer(&expired),
            refresh(&tokens.access),
            refresh(TYPED[2]),
            malformed("{\"refresh_token\": \"typed-by-mistake"),
            malformed("[\"typed-by-mistake\"]"),
            malformed("{\"refresh_token\": 1e999}"),
            malformed("{\"refresh_token\": \"\\ud800\"}"),
            Request::post("/auth/logout"),
            Request::post("/auth/logout").bearer(&foreign),
            Request::post("/auth/logout").bearer(&tokens.access),
            api.bearer(&tokens.access),
            refresh(&tokens.refresh),
        ];
        for request in &requests {
            session.ask(scene, request);
        }
        session
    }

    fn problems(&self) -> impl Iterator<Item = (u16, String)> {
        self.answers.iter().filter(|answer| answer.status >= 400).map(|answer| {
            let id = answer.json()["request_id"].as_str().unwrap_or_default().to_owned();
            assert!(!id.is_empty(), "{answer}");
            (answer.status, id)
        })
    }
}

fn scene_with_ann() -> Scene {
    let scene = Scene::usual();
    scene.doorward.create_user("ann", "premium", PASSWORD);
    scene
}

fn lines(scene: &Scene) -> Vec<Value> {
    scene.doorward.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The lines of the access log.
fn access_lines(scene: &Scene) -> Vec<Value> {
    lines(scene).into_iter().filter(|line| line["duration_us"].is_u64()).collect()
}

fn warnings(scene: &Scene) -> Vec<String> {
    let is_warning =
        |line: &Value| line["level"].as_str().is_some_and(|l| l.eq_ignore_ascii_case("warn"));
    lines(scene).into_iter().filter(is_warning).map(|line| line.to_string()).collect()
}

#[test]
fn every_failure_to_authenticate_is_counted_and_warned_of() {
    let scene = scene_with_ann();
    let session = Session::of(&scene);
    let failures: Vec<String> =
        session.problems().filter(|(status, _)| *status == 401).map(|(_, id)| id).collect();
    assert!(failures.len() >= 15, "only {} failures", failures.len());
    wait_until(LOG_MAX, || {
        let warnings = warnings(&scene);
        failures.iter().all(|id| warnings.iter().any(|line| line.contains(id)))
    });
    assert_eq!(scene.metric("doorward_auth_failures_total"), failures.len() as u64);
}

#[test]
fn the_access_log_has_one_line_for_each_request() {
    let scene = scene_with_ann();
    let session = Session::of(&scene);
    wait_until(LOG_MAX, || access_lines(&scene).len() >= session.answers.len());
    let lines = access_lines(&scene);
    assert_eq!(lines.len(), session.answers.len(), "{lines:#?}");
    for (status, id) in session.problems() {
        let of_it: Vec<&Value> = lines.iter().filter(|line| line["request_id"] == *id).collect();
        assert_eq!(of_it.len(), 1, "{id}");
        assert_eq!(of_it[0]["status"], status, "{}", of_it[0]);
        // What one of our own endpoints refuses, the admin API refuses.
        let refused_here = !of_it[0]["path"].as_str().is_some_and(|p| p.starts_with("/auth/"));
        assert!(!refused_here || of_it[0]["refusal"].is_string(), "{}", of_it[0]);
    }
    for line in &lines {
        for (name, is_text) in [
            ("ts_ms", false),
            ("level", true),
            ("request_id", true),
            ("method", true),
            ("path", true),
            ("status", false),
            ("duration_us", false),
            ("route", true),
            ("user_id", true),
            ("client", true),
            ("bytes_sent", false),
        ] {
            assert_eq!(line[name].is_string(), is_text, "`{name}` of {line}");
            assert_eq!(line[name].is_u64(), !is_text, "`{name}` of {line}");
        }
    }
}

#[test]
fn no_secret_and_nothing_of_our_insides_is_read_anywhere() {
    let scene = scene_with_ann();
    let session = Session::of(&scene);
    wait_until(LOG_MAX, || access_lines(&scene).len() >= session.answers.len());
    let mut secrets = session.secrets.clone();
    // A token is not even recognised by a part of it.
    secrets.extend(session.secrets.iter().filter_map(|t| Some(t.rsplit_once('.')?.1.to_owned())));
    secrets.extend([SECRET, ADMIN_PASSWORD, PASSWORD].map(str::to_owned));
    secrets.extend(TYPED.map(str::to_owned));
    let health = scene.ask(&Request::get("/monitoring/health")).text();
    let mut places = vec![
        ("the log", scene.doorward.log()),
        ("standard output", scene.doorward.builder_of_this().stdout()),
        ("the metrics", scene.doorward.metrics()),
        ("/readyz", scene.doorward.ask_ops("/readyz?verbose").text()),
        ("health", health),
    ];
    // The first answer hands out tokens; the others of that kind echo a request.
    let refusals = session.answers.iter().filter(|answer| answer.status >= 400);
    places.extend(refusals.map(|answer| ("an answer", answer.to_string())));
    for (place, text) in &places {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{place} holds `{secret}`:\n{text}");
        }
        for word in INSIDES {
            assert!(!text.contains(word), "{place} holds `{word}`:\n{text}");
        }
    }
}

#[test]
fn a_line_of_the_log_is_one_line_whatever_was_sent() {
    let scene = scene_with_ann();
    let login = |user: &str| {
        Request::post("/auth/login").form(&[("username", user), ("password", "wrong-wrong")])
    };
    scene.ask(&login("eve%0a{\"level\":\"error\",\"injected\":1}"));
    scene.ask(&Request::get("/api/%22%7D%7B%22").bearer(&Forged::new("u\"}", "e").sign()));
    scene.ask(&Request::get("/api/x").header("User-Agent", "\"} {\"injected\":1}"));
    wait_until(LOG_MAX, || access_lines(&scene).len() >= 3);
    assert_eq!(access_lines(&scene).len(), 3);
    assert!(lines(&scene).iter().all(|line| line.get("injected").is_none()));
}
