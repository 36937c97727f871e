use std::time::Duration;

use test_support::identity_provider::Person;
use test_support::identity_provider::query_of;

use crate::browser::*;
use crate::support::*;

const FRONT_END: &str = "https://app.example.com/signed-in?theme=dark";

async fn street(more: &str) -> Street {
    Street::with(&format!("[auth]\nfrontend_url = \"{FRONT_END}\"\n{more}")).await
}

fn exchange(code: &str) -> http::Request<axum::body::Body> {
    json("/auth/exchange", &serde_json::json!({ "code": code }).to_string())
}

/// Signs in; gives the code that the front end gets.
async fn code_of(street: &Street) -> String {
    let answer = street.browser().sign_in("google").await;
    query_of(answer.header("location"))["code"].clone()
}

#[track_caller]
fn is_bad_code(answer: &Answer) {
    answer.is_problem(400, "Invalid or expired code", "INVALID_CODE");
}

#[tokio::test]
async fn the_browser_goes_on_to_the_front_end_with_a_code_and_no_token() {
    let street = street("").await;
    for (way, name) in PEOPLE {
        street.provider.seat(Person::called(name));
        let sessions = street.house.count("SELECT count(*) FROM sessions");
        let browser = street.browser();
        let url = browser.depart(way).await;
        let state = query_of(&url)["state"].clone();
        let answer = browser.arrive(&street.provider.visit(&url)).await;
        assert_eq!(answer.status, 307, "{}", answer.text);
        let location = answer.header("location");
        assert!(location.starts_with(&format!("{FRONT_END}&code=")), "{location}");
        let query = query_of(location);
        let names: Vec<_> = query.keys().map(String::as_str).collect();
        assert_eq!(names, ["code", "state", "theme"]);
        assert_eq!(query["state"], state, "the front end knows its own flow by it");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.text, "");
        assert_eq!(street.house.count("SELECT count(*) FROM sessions"), sessions, "not yet");
        let pair = street.house.ask(exchange(&query["code"])).await.pair();
        assert_eq!(street.who(&pair).await["username"], name);
        street.house.refresh(&pair.refresh).await.pair();
    }
}

#[tokio::test]
async fn a_code_is_good_once_and_in_a_form_as_well() {
    let street = street("").await;
    let code = code_of(&street).await;
    street.house.ask(form("/api/auth/exchange", &[("code", &code)])).await.pair();
    is_bad_code(&street.house.ask(exchange(&code)).await);
    for code in ["", "x", &"a".repeat(43)] {
        let answer = street.house.ask(exchange(code)).await;
        match code {
            "" => answer.is_problem(422, "Validation error: body.code", "VALIDATION_ERROR"),
            _ => is_bad_code(&answer),
        }
    }
    let session_count = street.house.count("SELECT count(*) FROM sessions");
    assert_eq!(session_count, 1);
}

#[tokio::test]
async fn twenty_exchanges_of_one_code_at_once_open_one_session() {
    let street = street("").await;
    let code = code_of(&street).await;
    let asks: Vec<_> = (0..20)
        .map(|_| {
            let (api, request) = (street.house.api.clone(), exchange(&code));
            tokio::spawn(async move { ask(&api, request).await.status.as_u16() })
        })
        .collect();
    let mut good = 0;
    for asked in asks {
        match asked.await.unwrap() {
            200 => good += 1,
            status => assert_eq!(status, 400),
        }
    }
    assert_eq!(good, 1);
}

#[tokio::test]
async fn a_code_is_good_for_a_minute_and_not_a_millisecond_longer() {
    let street = street("").await;
    let minute = Duration::from_secs(60);
    let code = code_of(&street).await;
    street.house.hand.forward(minute - Duration::from_millis(1));
    street.house.ask(exchange(&code)).await.pair();
    let code = code_of(&street).await;
    street.house.hand.forward(minute);
    is_bad_code(&street.house.ask(exchange(&code)).await);
}

#[tokio::test]
async fn a_code_is_of_no_use_to_whoever_was_disabled_or_logged_out_everywhere_since() {
    let street = street("").await;
    let pair = street.house.ask(exchange(&code_of(&street).await)).await.pair();
    let code = code_of(&street).await;
    street.house.ask(bearer(post("/auth/logout?all=1"), &pair.access)).await.is_ok();
    is_bad_code(&street.house.ask(exchange(&code)).await);
    let code = code_of(&street).await;
    street.house.api.users().disable("ann").await.unwrap();
    let answer = street.house.ask(exchange(&code)).await;
    answer.is_problem(401, "Could not validate credentials", "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn what_goes_wrong_is_no_redirect() {
    let street = street("").await;
    street.provider.deny();
    let answer = street.browser().sign_in("google").await;
    answer.is_problem(400, "Sign-in was denied at the provider", "SIGN_IN_DENIED");
}

#[tokio::test]
async fn no_parameter_leads_the_browser_anywhere_else() {
    let street = street("").await;
    let browser = street.browser();
    let more =
        "next=https://evil.example&redirect_uri=https://evil.example&frontend_url=//evil.example";
    let answer = browser.ask(get(&format!("/auth/google?{more}"))).await;
    let back = street.provider.visit(&where_to(&answer));
    let answer = browser.ask(get(&format!("{}&{more}", path_of(&back)))).await;
    assert_eq!(answer.status, 307);
    assert!(answer.header("location").starts_with(FRONT_END), "{}", answer.header("location"));
    assert!(!answer.header("location").contains("evil"));
}

#[tokio::test]
async fn tokens_stand_in_the_query_only_where_the_configuration_says_so() {
    let street = street("frontend_tokens_in_query = true\n").await;
    let answer = street.browser().sign_in("github").await;
    assert_eq!(answer.status, 307);
    let query = query_of(answer.header("location"));
    assert_eq!((query["token_type"].as_str(), query["expires_in"].as_str()), ("bearer", "1800"));
    let pair =
        Pair { access: query["access_token"].clone(), refresh: query["refresh_token"].clone() };
    assert_eq!(street.who(&pair).await["username"], "ann");
    assert!(!query.contains_key("code"));
}

#[tokio::test]
async fn whoever_links_an_account_goes_on_to_the_front_end_as_well() {
    let street = street("").await;
    let pair = street.house.ask(exchange(&code_of(&street).await)).await.pair();
    street.provider.seat(Person::called("nick"));
    let answer = street.browser().link("github", &pair.access).await;
    assert_eq!(answer.status, 307);
    let query = query_of(answer.header("location"));
    let names: Vec<_> = query.keys().map(String::as_str).collect();
    assert_eq!(names, ["linked", "state", "theme"]);
    assert_eq!(query["linked"], "github");
}
