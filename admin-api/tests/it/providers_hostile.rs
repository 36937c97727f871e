use std::time::Duration;

use kernel::front::CLIENT_ADDRESS;
use serde_json::json;
use test_support::identity_provider::Fault;
use test_support::identity_provider::Twist;
use test_support::identity_provider::query_of;

use crate::browser::*;
use crate::support::*;

#[track_caller]
fn is_bad_state(answer: &Answer) {
    answer.is_problem(400, "Invalid or expired state", "INVALID_STATE");
}

#[track_caller]
fn is_bad_exchange(answer: &Answer) {
    answer.is_problem(400, "Failed to exchange code for token", "PROVIDER_FAILED");
}

#[track_caller]
fn is_bad_person(answer: &Answer) {
    answer.is_problem(400, "Failed to get user info", "PROVIDER_FAILED");
}

#[track_caller]
fn is_unavailable(answer: &Answer) {
    let detail = "Sign-in provider unavailable. Please try again later.";
    answer.is_problem(503, detail, "PROVIDER_UNAVAILABLE");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
}

#[tokio::test]
async fn a_state_is_good_once() {
    let street = Street::new().await;
    for (asked, way) in WAYS.into_iter().enumerate() {
        let browser = street.browser();
        let back = street.provider.visit(&browser.depart(way).await);
        browser.arrive(&back).await.pair();
        is_bad_state(&browser.arrive(&back).await);
        assert_eq!(street.provider.tokens_asked().len(), asked + 1, "{way}");
    }
}

#[tokio::test]
async fn a_state_is_good_in_the_browser_that_set_out_and_no_stranger_uses_it_up() {
    let street = Street::new().await;
    let victim = street.browser();
    let back = street.provider.visit(&victim.depart("google").await);
    let stranger = street.browser();
    is_bad_state(&stranger.arrive(&back).await);
    stranger.depart("google").await;
    is_bad_state(&stranger.arrive(&back).await);
    assert_eq!(street.provider.seen("/token"), 0);
    victim.arrive(&back).await.pair();
}

#[tokio::test]
async fn whoever_is_lured_back_with_anothers_state_is_not_signed_in_as_them() {
    let street = Street::new().await;
    let attacker = street.browser();
    let bait = street.provider.visit(&attacker.depart("google").await);
    is_bad_state(&street.browser().arrive(&bait).await);
    assert_eq!(street.people(), 0);
}

#[tokio::test]
async fn a_state_is_good_for_the_provider_it_was_made_for() {
    let street = Street::new().await;
    let browser = street.browser();
    let back = street.provider.visit(&browser.depart("google").await);
    for way in ["github", "oidc/corp"] {
        let elsewhere = back.replace("/auth/google/", &format!("/auth/{way}/"));
        is_bad_state(&browser.arrive(&elsewhere).await);
    }
    assert_eq!(street.provider.seen("/token"), 0);
    browser.arrive(&back).await.pair();
}

#[tokio::test]
async fn a_state_is_good_for_ten_minutes_and_not_a_millisecond_longer() {
    let street = Street::new().await;
    let browser = street.browser();
    let ten_minutes = Duration::from_secs(600);
    let millisecond = Duration::from_millis(1);
    let back = street.provider.visit(&browser.depart("github").await);
    street.house.hand.forward(ten_minutes - millisecond);
    browser.arrive(&back).await.pair();
    let back = street.provider.visit(&browser.depart("github").await);
    street.house.hand.forward(ten_minutes);
    is_bad_state(&browser.arrive(&back).await);
}

#[tokio::test]
async fn a_state_that_nobody_was_sent_out_with_is_refused_whatever_it_looks_like() {
    let street = Street::new().await;
    let browser = street.browser();
    browser.depart("google").await;
    for state in
        ["x", &"a".repeat(43), &"a".repeat(10_000), "%00", "%27%20OR%201%3D1", "%F0%9F%92%A9"]
    {
        let path = format!("/auth/google/callback?code=a&state={state}");
        is_bad_state(&browser.ask(get(&path)).await);
    }
    let longest = format!("/auth/google/callback?code={}&state=x", "c".repeat(4097));
    is_bad_state(&browser.ask(get(&longest)).await);
}

#[tokio::test]
async fn two_tabs_of_one_browser_do_not_end_each_other() {
    let street = Street::new().await;
    let browser = street.browser();
    let one = street.provider.visit(&browser.depart("google").await);
    let other = street.provider.visit(&browser.depart("github").await);
    browser.arrive(&one).await.pair();
    browser.arrive(&other).await.pair();
}

#[tokio::test]
async fn a_code_of_anothers_sign_in_is_of_no_use() {
    let street = Street::new().await;
    for way in WAYS {
        let theirs = street.provider.visit(&street.browser().depart(way).await);
        let browser = street.browser();
        let mine = street.provider.visit(&browser.depart(way).await);
        let (theirs, mine) = (query_of(&theirs), query_of(&mine));
        let injected =
            format!("{ORIGIN}/auth/{way}/callback?code={}&state={}", theirs["code"], mine["state"]);
        is_bad_exchange(&browser.arrive(&injected).await);
        assert_eq!(street.people(), 0, "{way}");
    }
}

#[tokio::test]
async fn an_answer_of_another_issuer_is_a_mix_up() {
    let street = Street::new().await;
    street.provider.name_issuer("https://another.example");
    is_bad_state(&street.browser().sign_in("google").await);
    street.provider.name_issuer(&street.provider.url());
    street.browser().sign_in("google").await.pair();
}

#[tokio::test]
async fn an_id_token_that_does_not_hold_lets_nobody_in() {
    let street = Street::new().await;
    for twist in [
        Twist::Nonce,
        Twist::NoNonce,
        Twist::Audience,
        Twist::AuthorizedParty,
        Twist::Issuer,
        Twist::Expired,
        Twist::AlgNone,
        Twist::PublicKeyAsSecret,
        Twist::UnknownKid,
        Twist::Signature,
        Twist::OthersUserinfo,
    ] {
        street.provider.twist(twist);
        is_bad_person(&street.browser().sign_in("google").await);
        assert_eq!(street.people(), 0, "{twist:?}");
    }
    street.provider.twist(Twist::Missing);
    is_bad_exchange(&street.browser().sign_in("google").await);
}

#[tokio::test]
async fn expired_and_forged_id_tokens_have_no_keys_fetched() {
    let street = Street::new().await;
    street.browser().sign_in("google").await.pair();
    assert_eq!(street.provider.seen("/jwks"), 1);
    for twist in [Twist::Expired, Twist::AlgNone, Twist::PublicKeyAsSecret, Twist::Signature] {
        street.provider.twist(twist);
        for _ in 0..10 {
            is_bad_person(&street.browser().sign_in("google").await);
            street.house.hand.forward(Duration::from_secs(1));
        }
    }
    assert_eq!(street.provider.seen("/jwks"), 1);
}

#[tokio::test]
async fn a_new_key_of_the_provider_is_fetched_and_an_unknown_one_once_in_a_cool_down() {
    let street = Street::new().await;
    street.browser().sign_in("google").await.pair();
    street.house.hand.forward(Duration::from_secs(60));
    street.provider.rotate_key("k2");
    street.browser().sign_in("google").await.pair();
    assert_eq!(street.provider.seen("/jwks"), 2);
    street.provider.twist(Twist::UnknownKid);
    for _ in 0..5 {
        is_bad_person(&street.browser().sign_in("google").await);
    }
    assert_eq!(street.provider.seen("/jwks"), 2, "ten seconds have not passed");
    street.house.hand.forward(Duration::from_secs(10));
    is_bad_person(&street.browser().sign_in("google").await);
    is_bad_person(&street.browser().sign_in("google").await);
    assert_eq!(street.provider.seen("/jwks"), 3);
}

#[tokio::test]
async fn keys_that_are_known_serve_through_an_outage_of_the_page_they_are_on() {
    let street = Street::new().await;
    street.browser().sign_in("google").await.pair();
    street.provider.break_page("/jwks", Fault::Status(500));
    for hours in [1, 22] {
        street.house.hand.forward(Duration::from_secs(3600 * hours));
        street.provider.set_clock(street.house.hand.now().as_secs());
        street.browser().sign_in("google").await.pair();
    }
    street.house.hand.forward(Duration::from_secs(2 * 3600));
    street.provider.set_clock(street.house.hand.now().as_secs());
    is_bad_person(&street.browser().sign_in("google").await);
}

#[tokio::test]
async fn a_token_endpoint_that_makes_no_sense_is_a_failed_exchange() {
    let street = Street::new().await;
    for (way, page) in [("google", "/token"), ("github", "/login/oauth/access_token")] {
        for fault in [
            Fault::Status(500),
            Fault::Status(400),
            Fault::Html,
            Fault::Huge(300 * 1024),
            Fault::Huge(2),
            Fault::Redirect,
        ] {
            street.provider.break_page(page, fault);
            is_bad_exchange(&street.browser().sign_in(way).await);
            assert_eq!(street.provider.seen("/elsewhere"), 0, "{fault:?}");
            street.rest();
        }
    }
}

#[tokio::test]
async fn a_page_about_somebody_that_makes_no_sense_is_a_failed_look_up() {
    let street = Street::new().await;
    street.provider.twist(Twist::NoEmail);
    for (way, page) in [
        ("google", "/jwks"),
        ("google", "/userinfo"),
        ("github", "/user"),
        ("github", "/user/emails"),
    ] {
        for fault in [Fault::Status(500), Fault::Html, Fault::Huge(300 * 1024), Fault::Redirect] {
            street.provider.break_page(page, fault);
            is_bad_person(&street.browser().sign_in(way).await);
            assert_eq!(street.people(), 0, "{page} {fault:?}");
            street.rest();
        }
    }
}

#[tokio::test]
async fn addresses_that_github_does_not_show_us_are_no_reason_to_keep_somebody_out() {
    let street = Street::new().await;
    street.provider.break_page("/user/emails", Fault::Status(403));
    let me = street.who(&street.browser().sign_in("github").await.pair()).await;
    assert_eq!((&me["username"], &me["email"]), (&json!("ann"), &json!(null)));
}

#[tokio::test]
async fn a_provider_that_hangs_up_or_is_gone_is_unavailable() {
    for (way, page) in [("google", "/token"), ("github", "/login/oauth/access_token")] {
        let mut street = Street::new().await;
        street.provider.break_page(page, Fault::Close);
        is_unavailable(&street.browser().sign_in(way).await);
        let browser = street.browser();
        let back = street.provider.visit(&browser.depart(way).await);
        let browser = browser.jar();
        street.provider.stop();
        is_unavailable(&street.browser_with(browser).arrive(&back).await);
    }
}

#[tokio::test]
async fn a_provider_that_fails_three_times_is_left_alone_for_two_minutes() {
    let street = Street::new().await;
    street.provider.break_page("/login/oauth/access_token", Fault::Status(503));
    for _ in 0..3 {
        is_bad_exchange(&street.browser().sign_in("github").await);
    }
    street.provider.mend();
    let refused = street.browser().sign_in("github").await;
    is_unavailable(&refused);
    assert_eq!(refused.header("retry-after"), "120");
    assert_eq!(street.provider.seen("/login/oauth/access_token"), 3);
    street.browser().sign_in("google").await.pair();
    street.house.hand.forward(Duration::from_secs(120));
    street.browser().sign_in("github").await.pair();
}

#[tokio::test]
async fn codes_that_are_not_taken_do_not_keep_others_out() {
    let street = Street::new().await;
    for _ in 0..5 {
        let browser = street.browser();
        let back = street.provider.visit(&browser.depart("github").await);
        let spoilt = back.replace("code=code-", "code=rubbish-");
        is_bad_exchange(&browser.arrive(&spoilt).await);
    }
    street.browser().sign_in("github").await.pair();
}

#[tokio::test]
async fn an_issuer_whose_document_cannot_be_used_is_unavailable() {
    let street = Street::new().await;
    for (name, value) in [
        ("issuer", json!("https://another.example")),
        ("token_endpoint", json!("http://login.example/token")),
        ("jwks_uri", json!("file:///etc/passwd")),
        ("authorization_endpoint", json!("javascript:alert(1)")),
        ("token_endpoint_auth_methods_supported", json!(["private_key_jwt"])),
    ] {
        street.provider.publish(name, value);
        is_unavailable(&street.house.ask(get("/auth/oidc/corp")).await);
        street.rest();
    }
    let page = "/.well-known/openid-configuration";
    let seen = street.provider.seen(page);
    street.provider.break_page(page, Fault::Status(500));
    for _ in 0..20 {
        is_unavailable(&street.house.ask(get("/auth/oidc/corp")).await);
    }
    assert_eq!(street.provider.seen(page), seen + 1);
}

#[tokio::test]
async fn a_secret_is_shown_in_the_form_where_the_issuer_takes_it_there_alone() {
    let street = Street::new().await;
    street.browser().sign_in("google").await.pair();
    street.provider.publish("token_endpoint_auth_methods_supported", json!(["client_secret_post"]));
    street.browser().sign_in("oidc/corp").await.pair();
    let asked = street.provider.tokens_asked();
    assert!(!asked[0].contains_key("client_secret"), "{asked:?}");
    assert!(asked[1].contains_key("client_secret"), "{asked:?}");
}

#[tokio::test]
async fn browsers_that_never_come_back_take_a_bounded_room() {
    let street = Street::new().await;
    let fill = |number: u32| {
        format!(
            "INSERT INTO oauth_flows (state_hash, browser_hash, provider, nonce, verifier, expires_at)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {number})
             SELECT 's' || i, 'b', 'google', '', '', {} FROM n",
            street.house.hand.now().as_millis() + 1000
        )
    };
    street.house.execute(&fill(100_000 - 1));
    street.house.ask(get("/auth/google")).await.is_ok();
    let full = street.house.ask(get("/auth/google")).await;
    full.is_problem(503, "Service busy. Please try again later.", "SERVICE_UNAVAILABLE");
    street.house.hand.forward(Duration::from_secs(1));
    street.house.ask(get("/auth/google")).await.is_ok();
}

#[tokio::test]
async fn one_address_does_not_take_the_room_of_all() {
    let more = "[auth.throttle]\nprovider = [{ name = \"quarter\", requests = 2, per = \"15m\" }]";
    let street = Street::with(more).await;
    let depart = async |address: &str| {
        let request = with_header(get("/auth/google"), CLIENT_ADDRESS, address);
        street.house.ask(request).await
    };
    for _ in 0..2 {
        depart("192.0.2.1").await.is_ok();
    }
    let third = depart("192.0.2.1").await;
    assert_eq!(third.status, 429, "{}", third.text);
    depart("192.0.2.2").await.is_ok();
    let wait = third.header("retry-after").parse().unwrap();
    street.house.hand.forward(Duration::from_secs(wait));
    depart("192.0.2.1").await.is_ok();
}

#[tokio::test]
async fn twenty_returns_at_once_of_somebody_new_make_one_person() {
    let street = Street::new().await;
    let browser = street.browser();
    let mut returns = Vec::new();
    for _ in 0..20 {
        let url = browser.depart("github").await;
        returns.push(street.provider.visit(&url));
    }
    let asks: Vec<_> = returns
        .iter()
        .map(|back| {
            let (api, request) = (street.house.api.clone(), browser.request(path_of(back)));
            tokio::spawn(async move { ask(&api, request).await.pair() })
        })
        .collect();
    for asked in asks {
        asked.await.unwrap();
    }
    assert_eq!(street.people(), 1);
    assert_eq!(street.house.count("SELECT count(*) FROM oauth_accounts"), 1);
}
