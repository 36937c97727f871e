//! The keys that sign, as clients and outsiders meet them while one takes another's place.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::jwks::JwkSet;
use serde_json::Value;
use test_support::doorward::Tokens;
use test_support::http1::Request;
use test_support::wait::wait_until;

use crate::scene::PASSWORD;
use crate::scene::Scene;
use crate::scene::assert_fault;
use crate::scene::assert_revoked;
use crate::tokens::Forged;
use crate::tokens::claims_of;

/// How long an act of the command line may take to be seen, with what a busy machine adds to it.
const SEEN_MAX: Duration = Duration::from_secs(1);

/// How long a rotation may take that waits for nobody but every Doorward.
const ROTATED_MAX: Duration = Duration::from_secs(10);

fn scene() -> Scene {
    let scene = Scene::after("auth.stored_key_alg = \"ES256\"");
    scene.doorward.create_user("ann", "admin", PASSWORD);
    scene
}

fn header(token: &str) -> Value {
    let header = token.split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}

fn kid(token: &str) -> String {
    header(token)["kid"].as_str().unwrap().to_owned()
}

/// The ids of the keys that are published, as an outsider reads them.
fn published(scene: &Scene) -> BTreeSet<String> {
    let answer = scene.ask(&Request::get("/.well-known/jwks.json"));
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    let set = JwkSet::parse(answer.text().as_bytes()).unwrap();
    assert_eq!(set.left_out(), 0, "{answer}");
    set.keys().iter().map(|key| key.kid().to_string()).collect()
}

#[test]
fn no_fresh_token_is_refused_while_keys_are_rotated_under_load() {
    let scene = scene();
    let (seen, ended) = (std::sync::Mutex::new(BTreeSet::new()), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut tokens = scene.doorward.login("ann", PASSWORD);
                while !ended.load(Ordering::SeqCst) {
                    let answer = scene.call(&tokens.access);
                    if answer.status != 200 {
                        ended.store(true, Ordering::SeqCst);
                        panic!("a fresh token was refused: {answer}");
                    }
                    seen.lock().unwrap().insert(kid(&tokens.access));
                    tokens = Tokens::of(&scene.refresh(&tokens.refresh));
                }
            });
        }
        for turns in 2..=3 {
            let rotated = ["key", "rotate", "--published-for", "0s"];
            scene.doorward.must(&rotated);
            wait_until(ROTATED_MAX, || {
                ended.load(Ordering::SeqCst) || seen.lock().unwrap().len() == turns
            });
        }
        ended.store(true, Ordering::SeqCst);
    });
    assert_eq!(seen.lock().unwrap().len(), 3);
}

#[test]
fn a_key_that_the_command_line_makes_is_published_at_once_and_signs_once_it_is_rotated_in() {
    let scene = scene();
    let first = scene.doorward.login("ann", PASSWORD);
    assert_eq!(header(&first.access)["alg"], "ES256");
    assert_eq!(published(&scene), BTreeSet::from([kid(&first.access)]));
    let made = scene.doorward.must(&["key", "generate", "--alg", "EdDSA"]);
    wait_until(SEEN_MAX, || published(&scene).contains(&made));
    assert_eq!(kid(&scene.doorward.login("ann", PASSWORD).access), kid(&first.access));
    let said = scene.doorward.must(&["key", "rotate", "--published-for", "1s"]);
    assert!(said.starts_with(&format!("{made} signs in ")), "{said}");
    wait_until(ROTATED_MAX, || kid(&scene.doorward.login("ann", PASSWORD).access) == made);
    // The one that signed before goes on verifying.
    assert_eq!(scene.call(&first.access).status, 200);
    let list = scene.doorward.must(&["key", "list", "--format", "json"]);
    let list: Vec<Value> = serde_json::from_str(&list).unwrap();
    let state = |kid: &str| list.iter().find(|key| key["kid"] == kid).unwrap()["state"].clone();
    assert_eq!((state(&made), state(&kid(&first.access))), ("active".into(), "retiring".into()));
    assert_eq!(state("env"), "retiring", "of the configuration, it signs no more");
}

#[test]
fn a_distrusted_key_is_refused_everywhere_and_the_sessions_go_on_with_another() {
    let scene = scene();
    let stolen = scene.doorward.login("ann", PASSWORD);
    assert_eq!(scene.call(&stolen.access).status, 200);
    let said = scene.doorward.must(&["key", "revoke", &kid(&stolen.access)]);
    assert!(said.contains("is distrusted"), "{said}");
    wait_until(SEEN_MAX, || scene.call(&stolen.access).status == 401);
    wait_until(SEEN_MAX, || !published(&scene).contains(&kid(&stolen.access)));
    let next = Tokens::of(&scene.refresh(&stolen.refresh));
    assert_ne!(kid(&next.access), kid(&stolen.access));
    assert_eq!(scene.call(&next.access).status, 200);
    let scene = scene.killed_and_restarted();
    assert_eq!(scene.call(&stolen.access).status, 401);
    assert_eq!(scene.call(&next.access).status, 200);
}

#[test]
fn keys_survive_a_restart_and_tokens_with_them() {
    let scene = scene();
    let tokens = scene.doorward.login("ann", PASSWORD);
    let scene = scene.killed_and_restarted();
    assert_eq!(scene.call(&tokens.access).status, 200);
    assert_eq!(kid(&scene.doorward.login("ann", PASSWORD).access), kid(&tokens.access));
}

#[test]
fn the_one_key_of_a_configuration_is_not_distrusted_and_the_text_says_what_to_do() {
    let scene = Scene::usual();
    let output = scene.doorward.cli(&["key", "revoke", "env"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("put another key above it in `[[auth.keys]]`"), "{said}");
    assert_eq!(published(&scene), BTreeSet::new());
}

#[test]
fn an_operator_takes_one_token_back_and_sees_that_it_is() {
    let scene = Scene::usual();
    scene.doorward.create_user("ann", "admin", PASSWORD);
    let (gone, kept) =
        (scene.doorward.login("ann", PASSWORD), scene.doorward.login("ann", PASSWORD));
    let inspect = |token: &str| {
        let output = scene.doorward.builder_of_this().cli_with_input(&["token", "inspect"], token);
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        let signature = token.rsplit_once('.').unwrap().1;
        assert!(!String::from_utf8_lossy(&output.stdout).contains(signature), "{shown}");
        (output.status.code(), shown)
    };
    let (code, shown) = inspect(&gone.access);
    assert_eq!((code, &shown["in_force"]), (Some(0), &true.into()), "{shown}");
    assert_eq!(shown["claims"], claims_of(&gone.access));
    assert_eq!(scene.doorward.must(&["token", "revoke", &gone.access]), "the token is revoked");
    wait_until(SEEN_MAX, || scene.call(&gone.access).status == 401);
    assert_revoked(&scene.call(&gone.access));
    assert_eq!(scene.call(&kept.access).status, 200);
    let (code, shown) = inspect(&gone.access);
    assert_eq!((code, &shown["in_force"]), (Some(1), &false.into()), "{shown}");
    let again = scene.doorward.must(&["token", "revoke", &gone.access]);
    assert_eq!(again, "the token was revoked before; nothing was changed");
    let expired = Forged::new("u-1", "ann").claim("exp", 1.into()).sign();
    let said = scene.doorward.must(&["token", "revoke", &expired]);
    assert_eq!(said, "the token has expired; nothing was changed");
    let foreign = Forged::new("u-1", "ann").claim("iss", "https://elsewhere".into()).sign();
    let output = scene.doorward.cli(&["token", "revoke", &foreign]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("it is no token of ours, nor of any of `[[issuers]]`"), "{said}");
}

#[test]
fn machines_find_their_endpoints_and_use_them_through_the_front_door() {
    let scene = Scene::after("listen.public_url = \"https://api.example.com\"");
    scene.doorward.create_user("ann", "free", PASSWORD);
    let found = scene.ask(&Request::get("/.well-known/oauth-authorization-server")).json();
    let path = |name: &str| {
        let url = found[name].as_str().unwrap();
        url.strip_prefix("https://api.example.com").unwrap().to_owned()
    };
    let tokens = scene.doorward.login("ann", PASSWORD);
    let form = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh)];
    let answer = scene.ask(&Request::post(&path("token_endpoint")).form(&form));
    assert_eq!(answer.status, 200, "{answer}");
    let next = Tokens::of(&answer);
    assert_eq!(scene.call(&next.access).status, 200);
    let admin = scene.doorward.login_as_admin();
    let look = || {
        let form = [("token", &*next.access)];
        let request = Request::post(&path("introspection_endpoint")).bearer(&admin.access);
        scene.ask(&request.form(&form)).json()["active"].clone()
    };
    assert_eq!(look(), true);
    let form = [("token", &*next.access)];
    let revoked = scene.ask(&Request::post(&path("revocation_endpoint")).form(&form));
    assert_eq!(revoked.status, 200, "{revoked}");
    // Whoever is told that it is revoked is refused from then on.
    assert_revoked(&scene.call(&next.access));
    assert_eq!(look(), false);
    assert_eq!(scene.ask(&Request::get(&path("jwks_uri"))).status, 200);
    let wrong = scene.ask(&Request::post(&path("token_endpoint")).form(&[("grant_type", "x")]));
    assert_eq!((wrong.status, &wrong.json()["error"]), (400, &"unsupported_grant_type".into()));
    let nobody = scene.ask(&Request::post(&path("introspection_endpoint")).form(&[("token", "x")]));
    assert_fault(&nobody, 401, "NOT_AUTHENTICATED");
}
