//! Signing in at a provider, through the gateway and back.

use serde_json::json;
use test_support::doorward::Tokens;
use test_support::http1::Answer;
use test_support::http1::Request;
use test_support::identity_provider::IdentityProvider;
use test_support::identity_provider::query_of;
use test_support::upstream::Echo;

use crate::scene::Scene;
use crate::scene::assert_problem;

const ORIGIN: &str = "http://127.0.0.1:8080";

fn provider() -> IdentityProvider {
    IdentityProvider::start(kernel::time::now().as_secs())
}

/// A scene whose people can sign in at `provider`; `auth` is what else `[auth]` says.
fn scene(provider: &IdentityProvider, auth: &str) -> Scene {
    Scene::after(&format!(
        "environment = \"dev\"\n[listen]\npublic_url = \"{ORIGIN}\"\n[auth]\n{auth}\n\
         [auth.oauth.google]\n{}[auth.oauth.github]\n{}",
        provider.as_oidc(),
        provider.as_github()
    ))
}

/// There and back, with the cookie that a browser would keep.
fn sign_in(scene: &Scene, provider: &IdentityProvider, way: &str) -> Answer {
    let departure = scene.ask(&Request::get(&format!("/auth/{way}")));
    assert_eq!(departure.status, 200, "{departure}");
    let url = departure.json()["authorization_url"].as_str().unwrap().to_owned();
    let cookie = departure.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let back = provider.visit(&url);
    let target = back.strip_prefix(ORIGIN).unwrap();
    scene.ask(&Request::get(target).header("Cookie", &cookie))
}

#[test]
fn somebody_who_signs_in_at_a_provider_is_let_through_and_known_behind() {
    let provider = provider();
    let scene = scene(&provider, "");
    // The second time by another provider that has verified the same address: the same person.
    for way in ["google", "github"] {
        let answer = sign_in(&scene, &provider, way);
        assert_eq!(answer.status, 200, "{answer}");
        let called = scene.call(&Tokens::of(&answer).access);
        assert_eq!(called.status, 200, "{called}");
        assert_eq!(Echo::from_json(&called.json()).header("x-username"), Some("ann"), "{way}");
    }
}

#[test]
fn a_browser_is_led_to_the_provider_and_on_to_the_front_end() {
    let provider = provider();
    let scene = scene(&provider, "frontend_url = \"https://app.example.com/signed-in\"");
    let page = Request::get("/auth/github").header("Accept", "text/html,*/*;q=0.8");
    let departure = scene.ask(&page);
    assert_eq!(departure.status, 302, "{departure}");
    assert!(departure.header("location").unwrap().starts_with(&provider.url()));
    let answer = sign_in(&scene, &provider, "github");
    assert_eq!(answer.status, 307, "{answer}");
    let location = answer.header("location").unwrap().to_owned();
    assert!(location.starts_with("https://app.example.com/signed-in?code="), "{location}");
    let exchange = Request::post("/auth/exchange");
    let exchanged = scene.ask(&exchange.json(&json!({ "code": query_of(&location)["code"] })));
    assert_eq!(exchanged.status, 200, "{exchanged}");
    assert_eq!(scene.call(&Tokens::of(&exchanged).access).status, 200);
}

#[test]
fn accounts_are_seen_and_unlinked_through_the_gateway() {
    let provider = provider();
    let scene = scene(&provider, "");
    sign_in(&scene, &provider, "google");
    let tokens = Tokens::of(&sign_in(&scene, &provider, "github"));
    let listed = scene.ask(&Request::get("/auth/accounts").bearer(&tokens.access));
    assert_eq!(listed.status, 200, "{listed}");
    let accounts = listed.json()["accounts"].as_array().unwrap().clone();
    assert_eq!(accounts.len(), 2, "{listed}");
    let statuses = accounts.iter().map(|account| {
        let path = format!("/auth/accounts/{}", account["id"].as_str().unwrap());
        scene.ask(&Request::new("DELETE", &path).bearer(&tokens.access)).status
    });
    assert_eq!(statuses.collect::<Vec<_>>(), [204, 409], "the last one stays");
}

#[test]
fn tokens_in_a_query_are_warned_about_at_the_start() {
    let provider = provider();
    let url = "frontend_url = \"https://app.example.com/signed-in\"";
    let quiet = scene(&provider, url);
    assert!(!quiet.doorward.log().contains("frontend_tokens_in_query"));
    let loud = scene(&provider, &format!("{url}\nfrontend_tokens_in_query = true"));
    loud.doorward.wait_for_log("`auth.frontend_tokens_in_query` sends tokens in URLs");
    let answer = sign_in(&loud, &provider, "google");
    assert_eq!(answer.status, 307, "{answer}");
    let query = query_of(answer.header("location").unwrap());
    assert_eq!(loud.call(&query["access_token"]).status, 200);
}

#[test]
fn a_provider_that_is_gone_is_a_503_and_the_rest_goes_on() {
    let mut provider = provider();
    let scene = scene(&provider, "");
    let tokens = Tokens::of(&sign_in(&scene, &provider, "google"));
    let departure = scene.ask(&Request::get("/auth/google"));
    let url = departure.json()["authorization_url"].as_str().unwrap().to_owned();
    let cookie = departure.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let back = provider.visit(&url);
    provider.stop();
    let target = back.strip_prefix(ORIGIN).unwrap();
    let answer = scene.ask(&Request::get(target).header("Cookie", &cookie));
    let detail = "Sign-in provider unavailable. Please try again later.";
    assert_problem(&answer, 503, "PROVIDER_UNAVAILABLE", detail);
    assert_eq!(scene.call(&tokens.access).status, 200);
}
