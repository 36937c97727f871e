//! Changing one's own password, and setting it anew by mail.

use std::time::Duration;

use axum::body::Body;
use config::Environment;
use http::Request;
use serde_json::json;
use test_support::smtp::Manner;
use test_support::smtp::Smtp;

use crate::support::*;

pub(crate) const NEW: &str = "quite another phrase";
const RESET: &str = "/auth/password/reset";
const CONFIRM: &str = "/auth/password/reset/confirm";

fn change(access: &str, current: &str, new: &str) -> Request<Body> {
    let body = json!({ "current_password": current, "new_password": new });
    bearer(json("/auth/password", &body.to_string()), access)
}

fn reset(email: &str) -> Request<Body> {
    json(RESET, &json!({ "email": email }).to_string())
}

pub(crate) fn confirm(token: &str, new: &str) -> Request<Body> {
    json(CONFIRM, &json!({ "token": token, "new_password": new }).to_string())
}

async fn signs_in(house: &House, password: &str) -> bool {
    house.ask(login(&[("username", "ann"), ("password", password)])).await.status == 200
}

pub(crate) fn mail_at(server: &Smtp) -> String {
    format!(
        "[mail]\nsmtp_url = \"smtp://127.0.0.1:{}\"\nfrom = \"doorward@example.com\"\n\
         [auth]\nreset_url = \"https://app.example.com/new-password\"\n",
        server.port()
    )
}

/// A house with ann in it, and a mail server that it knows.
async fn house_with_mail(manner: Manner) -> (House, Smtp) {
    let server = Smtp::start(manner).await;
    let house = House::empty(&mail_at(&server)).await;
    house.add(ann()).await;
    (house, server)
}

/// Asks for a token and reads it from the mail, the `count`th that arrives.
pub(crate) async fn token(house: &House, server: &Smtp, count: usize) -> String {
    assert_eq!(house.ask(reset("ann@example.com")).await.status, 202);
    let taken = server.taken(count).await;
    let text = taken[count - 1].text();
    let link = text.lines().find(|line| line.contains("reset_token=")).unwrap();
    link.split_once("reset_token=").unwrap().1.to_owned()
}

async fn add_bob(house: &House) {
    let email = Some("bob@example.com".to_owned());
    house.add(admin_api::NewUser { username: "bob".to_owned(), email, ..ann() }).await;
}

#[tokio::test]
async fn a_changed_password_ends_all_sessions_and_begins_one_for_the_caller() {
    let house = House::with_ann().await;
    let (here, there) = (house.sign_in().await, house.sign_in().await);
    let answer = house.ask(change(&here.access, PASSWORD, NEW)).await;
    let fresh = answer.pair();
    assert_eq!(answer.json()["token_type"], "bearer");
    assert_ne!(answer.header("set-cookie"), "");
    for old in [&here, &there] {
        house.me(&old.access).await.is_problem(
            401,
            "Could not validate credentials",
            "TOKEN_REVOKED",
        );
        house.refresh(&old.refresh).await.is_invalid_refresh();
    }
    house.me(&fresh.access).await.is_ok();
    house.refresh(&fresh.refresh).await.pair();
    assert!(!signs_in(&house, PASSWORD).await);
    assert!(signs_in(&house, NEW).await);
}

#[tokio::test]
async fn a_new_session_after_a_change_has_no_more_scopes_than_the_one_before() {
    let house = House::with_ann().await;
    let fields = [("username", "ann"), ("password", PASSWORD), ("scope", "orders:read")];
    let pair = house.ask(login(&fields)).await.pair();
    let fresh = house.ask(change(&pair.access, PASSWORD, NEW)).await.pair();
    assert_eq!(claims(&fresh.access)["scope"], "orders:read");
    let again = house.refresh(&fresh.refresh).await.pair();
    assert_eq!(claims(&again.access)["scope"], "orders:read");
}

#[tokio::test]
async fn a_wrong_present_password_changes_nothing_and_ends_nothing() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    let answer = house.ask(change(&pair.access, "wrong", NEW)).await;
    answer.is_problem(403, "Incorrect current password", "INVALID_CREDENTIALS");
    house.me(&pair.access).await.is_ok();
    assert!(signs_in(&house, PASSWORD).await);
}

#[tokio::test]
async fn the_present_password_cannot_be_guessed_with_a_stolen_token() {
    let house = House::empty(
        "[auth.throttle]\ndevice = [{ name = \"minute\", requests = 2, per = \"1m\" }]",
    )
    .await;
    house.add(ann()).await;
    let pair = house.sign_in().await;
    for expected in [403, 403, 429, 429] {
        let answer = house.ask(change(&pair.access, "wrong", NEW)).await;
        assert_eq!(answer.status, expected);
    }
    assert_eq!(house.ask(change(&pair.access, PASSWORD, NEW)).await.status, 429);
    house.hand.forward(Duration::from_secs(61));
    house.ask(change(&pair.access, PASSWORD, NEW)).await.pair();
}

#[tokio::test]
async fn a_weak_password_is_refused_by_the_rules_and_named() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    for weak in ["short", "password", "ann-2026", "ann@example.com", "nul\u{0}within"] {
        let answer = house.ask(change(&pair.access, PASSWORD, weak)).await;
        answer.is_problem(422, "Validation error: body.new_password", "VALIDATION_ERROR");
        assert_eq!(answer.json()["errors"][0]["type"], "weak_password");
        assert!(!answer.text.contains(&format!("`{weak}`")));
    }
    assert!(signs_in(&house, PASSWORD).await);
}

#[tokio::test]
async fn the_configured_length_is_what_counts() {
    let house = House::empty("[auth]\npassword_chars_min = 15").await;
    house.add(ann()).await;
    let pair = house.sign_in().await;
    let answer = house.ask(change(&pair.access, PASSWORD, "fourteen chars")).await;
    assert_eq!(answer.status, 422);
    assert!(answer.text.contains("has 14 characters; use at least 15"), "{}", answer.text);
    house.ask(change(&pair.access, PASSWORD, "fifteen charss.")).await.pair();
}

#[tokio::test]
async fn whoever_is_not_signed_in_changes_nothing() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    let body = json!({ "current_password": PASSWORD, "new_password": NEW }).to_string();
    let answer = house.ask(json("/auth/password", &body)).await;
    answer.is_problem(401, "Not authenticated", "NOT_AUTHENTICATED");
    house.ask(bearer(post("/auth/logout"), &pair.access)).await.is_ok();
    assert_eq!(house.ask(change(&pair.access, PASSWORD, NEW)).await.status, 401);
    assert!(signs_in(&house, PASSWORD).await);
}

#[tokio::test]
async fn fields_that_are_missing_or_unknown_are_named_all_at_once() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    let ask = async |body: &str| {
        let answer = house.ask(bearer(json("/auth/password", body), &pair.access)).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        answer.json()["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(ask("{}").await, "Validation error: body.current_password, body.new_password");
    let body = r#"{"current_password":"a","newPassword":"b"}"#;
    assert_eq!(ask(body).await, "Validation error: body.new_password, body.newPassword");
    assert_eq!(ask("[]").await, "Validation error: body");
    let form = form("/auth/password", &[("current_password", "a")]);
    assert_eq!(house.ask(bearer(form, &pair.access)).await.status, 415);
}

#[tokio::test]
async fn a_mailed_link_sets_a_new_password_once_and_ends_all_sessions() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    let pair = house.sign_in().await;
    let token = token(&house, &server, 1).await;
    let taken = server.taken(1).await;
    assert_eq!(taken[0].to, ["ann@example.com"]);
    assert!(taken[0].text().contains("https://app.example.com/new-password#reset_token="));

    let answer = house.ask(confirm(&token, NEW)).await;
    answer.is_ok();
    assert_eq!(answer.json(), json!({ "message": "Password has been reset" }));
    assert_eq!(house.me(&pair.access).await.status, 401);
    house.refresh(&pair.refresh).await.is_invalid_refresh();
    assert!(!signs_in(&house, PASSWORD).await);
    assert!(signs_in(&house, NEW).await);

    let replayed = house.ask(confirm(&token, "a third passphrase")).await;
    replayed.is_problem(400, "Invalid or expired reset token", "INVALID_TOKEN");
    assert!(signs_in(&house, NEW).await);
    let ann = house.api.users().by_username("ann").await.unwrap().unwrap();
    assert!(ann.is_verified, "who reads the mail has the address");
}

#[tokio::test]
async fn of_twenty_uses_of_one_link_at_once_one_counts() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    let token = token(&house, &server, 1).await;
    let mut racing = tokio::task::JoinSet::new();
    for i in 0..20 {
        let (router, request) =
            (house.api.router(), confirm(&token, &format!("passphrase of {i}")));
        racing.spawn(async move {
            use tower::ServiceExt;
            router.oneshot(request).await.unwrap().status().as_u16()
        });
    }
    let statuses = racing.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
}

#[tokio::test]
async fn an_address_that_nobody_has_gets_the_same_answer_and_no_mail() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    add_bob(&house).await;
    house.api.users().disable("bob").await.unwrap();
    let mut met = Vec::new();
    for email in ["nobody@example.com", "bob@example.com", "no address", "ann@example.com"] {
        let before = house.api.passwords_hashed();
        let mut request = reset(email);
        request.headers_mut().insert("x-request-id", "r1".parse().unwrap());
        let answer = house.ask(request).await;
        assert_eq!(answer.status, 202, "{email}: {}", answer.text);
        assert_eq!(house.api.passwords_hashed(), before);
        met.push((answer.text, answer.headers));
    }
    met.dedup();
    assert_eq!(met.len(), 1, "{met:?}");
    // They are seen to in order, so the first to arrive is the only one there is.
    assert_eq!(server.taken(1).await[0].to, ["ann@example.com"]);
    assert_eq!(house.count("SELECT count(*) FROM password_resets"), 1);
}

#[tokio::test]
async fn the_answer_does_not_wait_for_the_mail_server() {
    let (house, _server) = house_with_mail(Manner::Silent).await;
    for email in ["ann@example.com", "nobody@example.com"] {
        let asked = tokio::time::timeout(Duration::from_secs(5), house.ask(reset(email)));
        assert_eq!(asked.await.unwrap().status, 202);
    }
}

#[tokio::test]
async fn a_token_is_good_for_half_an_hour() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    let first = token(&house, &server, 1).await;
    house.hand.forward(Duration::from_secs(30 * 60));
    let late = house.ask(confirm(&first, NEW)).await;
    late.is_problem(400, "Invalid or expired reset token", "INVALID_TOKEN");
    let second = token(&house, &server, 2).await;
    house.hand.forward(Duration::from_secs(30 * 60 - 1));
    house.ask(confirm(&second, NEW)).await.is_ok();
}

#[tokio::test]
async fn whoever_reads_the_database_has_no_token() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    let token = token(&house, &server, 1).await;
    let stored = format!("SELECT count(*) FROM password_resets WHERE token_hash LIKE '%{token}%'");
    assert_eq!(house.count(&stored), 0);
    assert_eq!(
        house.count("SELECT count(*) FROM password_resets WHERE length(token_hash) = 64"),
        1
    );
}

#[tokio::test]
async fn a_changed_password_makes_mailed_tokens_worthless() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    let token = token(&house, &server, 1).await;
    let pair = house.sign_in().await;
    house.ask(change(&pair.access, PASSWORD, NEW)).await.pair();
    assert_eq!(house.ask(confirm(&token, "a third passphrase")).await.status, 400);
}

#[tokio::test]
async fn a_token_is_worthless_once_the_address_is_somebody_elses_or_its_owner_is_kept_out() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    let first = token(&house, &server, 1).await;
    house.execute("UPDATE users SET email = 'other@example.com'");
    assert_eq!(house.ask(confirm(&first, NEW)).await.status, 400);
    house.execute("UPDATE users SET email = 'ann@example.com'");
    house.api.users().disable("ann").await.unwrap();
    assert_eq!(house.ask(confirm(&first, NEW)).await.status, 400);
    house.api.users().enable("ann").await.unwrap();
    house.ask(confirm(&first, NEW)).await.is_ok();
}

#[tokio::test]
async fn a_weak_password_does_not_use_up_the_token() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    let token = token(&house, &server, 1).await;
    // More than the tokens that one address may make up.
    for _ in 0..21 {
        let weak = house.ask(confirm(&token, "password")).await;
        weak.is_problem(422, "Validation error: body.new_password", "VALIDATION_ERROR");
    }
    house.ask(confirm(&token, NEW)).await.is_ok();
}

#[tokio::test]
async fn made_up_tokens_are_refused() {
    let (house, _server) = house_with_mail(Manner::Polite).await;
    for token in ["a", "' OR 1=1 --", &"a".repeat(256)] {
        let answer = house.ask(confirm(token, NEW)).await;
        answer.is_problem(400, "Invalid or expired reset token", "INVALID_TOKEN");
    }
    let longer = house.ask(confirm(&"a".repeat(257), NEW)).await;
    longer.is_problem(422, "Validation error: body.token", "VALIDATION_ERROR");
    let missing = house.ask(json(CONFIRM, "{}")).await;
    missing.is_problem(422, "Validation error: body.token, body.new_password", "VALIDATION_ERROR");
}

#[tokio::test]
async fn three_mails_an_hour_reach_one_address_and_a_fourth_gets_the_same_answer() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    add_bob(&house).await;
    for _ in 0..5 {
        assert_eq!(house.ask(reset("ann@example.com")).await.status, 202);
    }
    house.ask(reset("bob@example.com")).await;
    let taken = server.taken(4).await;
    let to: Vec<_> = taken.iter().map(|letter| letter.to[0].as_str()).collect();
    assert_eq!(to, ["ann@example.com", "ann@example.com", "ann@example.com", "bob@example.com"]);
}

#[tokio::test]
async fn one_address_cannot_have_mail_sent_to_everybody() {
    let (house, _server) = house_with_mail(Manner::Polite).await;
    let mut statuses = Vec::new();
    for i in 0..21 {
        statuses.push(house.ask(reset(&format!("user-{i}@example.com"))).await.status.as_u16());
    }
    assert_eq!(statuses[..20], [202; 20]);
    assert_eq!(statuses[20], 429);
}

#[tokio::test]
async fn a_locked_out_owner_comes_in_by_mail() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    while house.ask(login(&[("username", "ann"), ("password", "wrong")])).await.status != 429 {}
    assert!(!signs_in(&house, PASSWORD).await);
    let token = token(&house, &server, 1).await;
    house.ask(confirm(&token, NEW)).await.is_ok();
    assert!(signs_in(&house, NEW).await);
}

#[tokio::test]
async fn without_mail_or_an_address_for_links_nobody_is_promised_anything() {
    let mail = "[mail]\nsmtp_url = \"smtp://127.0.0.1\"\nfrom = \"a@b.c\"";
    for more in ["", "[auth]\nreset_url = \"https://app.example.com/\"", mail] {
        let house = House::of(Environment::Prod, more).await;
        let answer = house.ask(reset("ann@example.com")).await;
        answer.is_problem(501, "Password reset not configured", "NOT_CONFIGURED");
    }
}

#[tokio::test]
async fn an_address_past_255_characters_is_not_looked_for() {
    let (house, _server) = house_with_mail(Manner::Polite).await;
    let address = |chars: usize| format!("{}@b", "a".repeat(chars - 2));
    assert_eq!(house.ask(reset(&address(255))).await.status, 202);
    let longer = house.ask(reset(&address(256))).await;
    longer.is_problem(422, "Validation error: body.email", "VALIDATION_ERROR");
}
