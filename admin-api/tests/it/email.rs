//! Whose an address is, shown by mail.

use std::time::Duration;

use axum::body::Body;
use config::Environment;
use http::Request;
use kernel::front::CLIENT_ADDRESS;
use serde_json::json;
use test_support::smtp::Manner;
use test_support::smtp::Smtp;

use crate::support::*;

const VERIFY: &str = "/auth/email/verify";
const CONFIRM: &str = "/auth/email/verify/confirm";
const PAGE: &str = "https://app.example.com/account";
const FAULT: &str = "Invalid or expired verification token";

pub(crate) fn verify(access: &str) -> Request<Body> {
    bearer(post(VERIFY), access)
}

pub(crate) fn confirm(token: &str, access: &str) -> Request<Body> {
    bearer(json(CONFIRM, &json!({ "token": token }).to_string()), access)
}

pub(crate) fn mail_at(server: &Smtp) -> String {
    format!(
        "[mail]\nsmtp_url = \"smtp://127.0.0.1:{}\"\nfrom = \"doorward@example.com\"\n",
        server.port()
    )
}

/// A house that mails, with ann in it, and the mail server that it knows.
async fn house_with_mail(manner: Manner) -> (House, Smtp) {
    let server = Smtp::start(manner).await;
    let auth = format!("[auth]\nregistration = true\nfrontend_url = \"{PAGE}\"\n");
    let house = House::empty(&format!("{}{auth}", mail_at(&server))).await;
    house.add(ann()).await;
    (house, server)
}

/// The token in the `count`th mail that arrives: behind a link, or on a line of its own.
pub(crate) async fn token_in(server: &Smtp, count: usize) -> String {
    let text = server.taken(count).await[count - 1].text();
    let line = text.lines().find(|line| line.len() >= 43 && !line.contains(' ')).unwrap();
    line.split_once("_token=").map_or(line, |(_, token)| token).to_owned()
}

/// Asks for a token and reads it from the mail, the `count`th that arrives.
async fn token(house: &House, access: &str, server: &Smtp, count: usize) -> String {
    assert_eq!(house.ask(verify(access)).await.status, 202);
    token_in(server, count).await
}

async fn is_verified(house: &House, username: &str) -> bool {
    house.api.users().by_username(username).await.unwrap().unwrap().is_verified
}

async fn add_bob(house: &House) -> Pair {
    let email = Some("bob@example.com".to_owned());
    house.add(admin_api::NewUser { username: "bob".to_owned(), email, ..ann() }).await;
    house.ask(login(&[("username", "bob"), ("password", PASSWORD)])).await.pair()
}

#[tokio::test]
async fn a_mailed_link_verifies_the_address_once_and_ends_no_session() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    let pair = house.sign_in().await;
    let answer = house.ask(verify(&pair.access)).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let message = "If there is an address to verify, a mail is on its way";
    assert_eq!(answer.json(), json!({ "message": message }));
    let token = token_in(&server, 1).await;
    let mail = server.taken(1).await.remove(0);
    assert_eq!(mail.to, ["ann@example.com"]);
    assert!(mail.text().contains(&format!("{PAGE}#verify_token={token}\n")), "{}", mail.text());
    assert!(!is_verified(&house, "ann").await);

    let answer = house.ask(confirm(&token, &pair.access)).await;
    answer.is_ok();
    assert_eq!(answer.json(), json!({ "message": "Email address has been verified" }));
    let me = house.me(&pair.access).await;
    me.is_ok();
    assert_eq!(me.json()["is_verified"], true);
    house.ask(confirm(&token, &pair.access)).await.is_problem(400, FAULT, "INVALID_TOKEN");
}

#[tokio::test]
async fn a_verified_address_is_noted_and_by_whom() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    let root = house.root().await;
    let pair = house.sign_in().await;
    let token = token(&house, &pair.access, &server, 1).await;
    house.ask(confirm(&token, &pair.access)).await.is_ok();
    let list = get("/auth/audit?action=email.verified");
    let acts = house.manage(bearer(list, &root.access)).await.json()["acts"].clone();
    assert_eq!(acts.as_array().unwrap().len(), 1);
    let (actor, target) = (&acts[0]["actor_name"], &acts[0]["target_name"]);
    assert_eq!(
        (actor, target, &acts[0]["outcome"]),
        (&json!("ann"), &json!("ann"), &json!("success"))
    );
}

#[tokio::test]
async fn without_a_front_end_the_link_leads_to_where_clients_find_us() {
    let server = Smtp::start(Manner::Polite).await;
    let listen = "[listen]\npublic_url = \"https://api.example.com\"\n";
    let house = House::of(Environment::Prod, &format!("{}{listen}", mail_at(&server))).await;
    house.add(ann()).await;
    let pair = house.sign_in().await;
    token(&house, &pair.access, &server, 1).await;
    let text = server.taken(1).await[0].text();
    assert!(text.contains("https://api.example.com#verify_token="), "{text}");
}

#[tokio::test]
async fn of_twenty_uses_of_one_link_at_once_one_counts() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    let pair = house.sign_in().await;
    let token = token(&house, &pair.access, &server, 1).await;
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (router, request) = (house.api.router(), confirm(&token, &pair.access));
        racing.spawn(async move {
            use tower::ServiceExt;
            router.oneshot(request).await.unwrap().status().as_u16()
        });
    }
    let statuses = racing.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
}

#[tokio::test]
async fn a_token_is_good_for_a_day() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    let day = Duration::from_secs(24 * 60 * 60);
    let first = token(&house, &house.sign_in().await.access, &server, 1).await;
    house.hand.forward(day);
    let pair = house.sign_in().await;
    house.ask(confirm(&first, &pair.access)).await.is_problem(400, FAULT, "INVALID_TOKEN");
    let second = token(&house, &pair.access, &server, 2).await;
    house.hand.forward(day - Duration::from_secs(1));
    let pair = house.sign_in().await;
    house.ask(confirm(&second, &pair.access)).await.is_ok();
}

#[tokio::test]
async fn a_token_verifies_the_address_that_it_was_mailed_to_and_no_other() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    let pair = house.sign_in().await;
    let token = token(&house, &pair.access, &server, 1).await;
    house.execute("UPDATE users SET email = 'other@example.com' WHERE username = 'ann'");
    house.ask(confirm(&token, &pair.access)).await.is_problem(400, FAULT, "INVALID_TOKEN");
    // Her former address is somebody else's by now.
    let bob = add_bob(&house).await;
    house.execute("UPDATE users SET email = 'ann@example.com' WHERE username = 'bob'");
    house.ask(confirm(&token, &bob.access)).await.is_problem(400, FAULT, "INVALID_TOKEN");
    assert!(!is_verified(&house, "ann").await && !is_verified(&house, "bob").await);
    house.me(&bob.access).await.is_ok();
}

#[tokio::test]
async fn a_token_of_somebody_who_is_kept_out_is_good_once_they_are_let_in() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    let before = house.sign_in().await;
    let token = token(&house, &before.access, &server, 1).await;
    house.api.users().disable("ann").await.unwrap();
    assert_eq!(house.ask(confirm(&token, &before.access)).await.status, 401);
    house.api.users().enable("ann").await.unwrap();
    let pair = house.sign_in().await;
    house.ask(confirm(&token, &pair.access)).await.is_ok();
}

#[tokio::test]
async fn whoever_reads_a_letter_that_they_did_not_ask_for_confirms_nobodys_account() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    // A stranger has registered with an address that is Ann's.
    let stranger = add_bob(&house).await;
    house.execute("UPDATE users SET email = NULL WHERE username = 'ann'");
    house.execute("UPDATE users SET email = 'ann@example.com' WHERE username = 'bob'");
    let token = token(&house, &stranger.access, &server, 1).await;
    let ann = house.sign_in().await;
    house.ask(confirm(&token, &ann.access)).await.is_problem(400, FAULT, "INVALID_TOKEN");
    let signed_out = json(CONFIRM, &json!({ "token": token }).to_string());
    house.ask(signed_out).await.is_problem(401, "Not authenticated", "NOT_AUTHENTICATED");
    assert!(!is_verified(&house, "bob").await);
}

#[tokio::test]
async fn a_token_for_a_password_verifies_nothing_by_itself_and_the_other_way_about() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    let pair = house.sign_in().await;
    let to_verify = token(&house, &pair.access, &server, 1).await;
    let reset = json("/auth/password/reset", &json!({ "email": "ann@example.com" }).to_string());
    assert_eq!(house.ask(reset).await.status, 202);
    let to_reset = token_in(&server, 2).await;
    house.ask(confirm(&to_reset, &pair.access)).await.is_problem(400, FAULT, "INVALID_TOKEN");
    let body = json!({ "token": to_verify, "new_password": "quite another phrase" });
    let set = json("/auth/password/reset/confirm", &body.to_string());
    house.ask(set).await.is_problem(400, "Invalid or expired reset token", "INVALID_TOKEN");
    house.me(&pair.access).await.is_ok();
    house.ask(confirm(&to_verify, &pair.access)).await.is_ok();
}

#[tokio::test]
async fn a_changed_password_leaves_a_link_for_the_address_good_and_one_use_ends_them_all() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    let pair = house.sign_in().await;
    let first = token(&house, &pair.access, &server, 1).await;
    let second = token(&house, &pair.access, &server, 2).await;
    let body = json!({ "current_password": PASSWORD, "new_password": "quite another phrase" });
    let change = bearer(with_json("POST", "/auth/password", &body), &pair.access);
    let pair = house.ask(change).await.pair();
    house.ask(confirm(&first, &pair.access)).await.is_ok();
    house.ask(confirm(&second, &pair.access)).await.is_problem(400, FAULT, "INVALID_TOKEN");
    assert_eq!(house.count("SELECT count(*) FROM email_verifications"), 0);
}

#[tokio::test]
async fn made_up_tokens_are_refused() {
    let (house, _server) = house_with_mail(Manner::Polite).await;
    let pair = house.sign_in().await;
    for token in ["a", "' OR 1=1 --", &"a".repeat(256)] {
        house.ask(confirm(token, &pair.access)).await.is_problem(400, FAULT, "INVALID_TOKEN");
    }
    let longer = house.ask(confirm(&"a".repeat(257), &pair.access)).await;
    longer.is_problem(422, "Validation error: body.token", "VALIDATION_ERROR");
    let missing = house.ask(bearer(json(CONFIRM, r#"{"tokn":"a"}"#), &pair.access)).await;
    missing.is_problem(422, "Validation error: body.token, body.tokn", "VALIDATION_ERROR");
}

#[tokio::test]
async fn one_address_tries_twenty_made_up_tokens_an_hour_and_good_ones_do_not_count() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    let pair = house.sign_in().await;
    let token = token(&house, &pair.access, &server, 1).await;
    // One of the twenty was the request for the mail.
    for _ in 0..18 {
        assert_eq!(house.ask(confirm("made up", &pair.access)).await.status, 400);
    }
    house.ask(confirm(&token, &pair.access)).await.is_ok();
    assert_eq!(house.ask(confirm("made up", &pair.access)).await.status, 400);
    let answer = house.ask(confirm("made up", &pair.access)).await;
    assert_eq!(answer.status, 429, "{}", answer.text);
    assert_eq!(answer.json()["violated-policies"], json!(["email"]));
}

#[tokio::test]
async fn where_there_is_nothing_to_verify_the_answer_is_the_same_and_nothing_is_sent() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    let bob = add_bob(&house).await;
    let pair = house.sign_in().await;
    let mut met = Vec::new();
    for state in ["is_verified = TRUE", "email = NULL"] {
        house.execute(&format!("UPDATE users SET {state} WHERE username = 'ann'"));
        met.push(house.ask(verify(&pair.access)).await);
    }
    met.push(house.ask(verify(&bob.access)).await);
    let said: Vec<_> = met.iter().map(|answer| (answer.status.as_u16(), &answer.text)).collect();
    assert!(said.iter().all(|answer| *answer == said[2] && answer.0 == 202), "{said:?}");
    // They are seen to in order, so the first to arrive is the only one there is.
    assert_eq!(server.taken(1).await[0].to, ["bob@example.com"]);
    assert_eq!(house.count("SELECT count(*) FROM email_verifications"), 1);
}

#[tokio::test]
async fn nobody_who_is_not_signed_in_has_a_mail_sent() {
    let (house, _server) = house_with_mail(Manner::Polite).await;
    let pair = house.sign_in().await;
    house.ask(post(VERIFY)).await.is_problem(401, "Not authenticated", "NOT_AUTHENTICATED");
    house.ask(bearer(post("/auth/logout"), &pair.access)).await.is_ok();
    let refused = house.ask(verify(&pair.access)).await;
    refused.is_problem(401, "Could not validate credentials", "TOKEN_REVOKED");
    assert_eq!(house.count("SELECT count(*) FROM email_verifications"), 0);
}

#[tokio::test]
async fn without_mail_or_an_address_for_links_nobody_is_promised_anything() {
    let server = Smtp::start(Manner::Polite).await;
    let reset_alone = format!("{}[auth]\nreset_url = \"{PAGE}\"\n", mail_at(&server));
    let page_alone = format!("[auth]\nfrontend_url = \"{PAGE}\"\n");
    for more in ["", &page_alone, &mail_at(&server), &reset_alone] {
        let house = House::of(Environment::Prod, more).await;
        house.add(ann()).await;
        let answer = house.ask(verify(&house.sign_in().await.access)).await;
        answer.is_problem(501, "Email verification not configured", "NOT_CONFIGURED");
    }
}

#[tokio::test]
async fn three_mails_an_hour_reach_one_address_whatever_they_are_for() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    let pair = house.sign_in().await;
    let reset = || json("/auth/password/reset", r#"{"email":"ann@example.com"}"#);
    assert_eq!(house.ask(reset()).await.status, 202);
    for _ in 0..2 {
        assert_eq!(house.ask(verify(&pair.access)).await.status, 202);
    }
    let fourth = house.ask(verify(&pair.access)).await;
    assert_eq!(fourth.status, 429, "{}", fourth.text);
    assert_eq!(fourth.json()["violated-policies"], json!(["email"]));
    assert_ne!(fourth.header("retry-after"), "");
    assert_eq!(house.ask(reset()).await.status, 202, "which says nothing, and sends nothing");
    let bob = add_bob(&house).await;
    assert_eq!(house.ask(verify(&bob.access)).await.status, 202);
    let taken = server.taken(4).await;
    assert_eq!(taken.last().unwrap().to, ["bob@example.com"]);
}

#[tokio::test]
async fn one_address_asks_for_twenty_mails_an_hour_whoever_asks_from_there() {
    let (house, _server) = house_with_mail(Manner::Polite).await;
    let pair = house.sign_in().await;
    house.execute("UPDATE users SET is_verified = TRUE");
    for _ in 0..20 {
        assert_eq!(house.ask(verify(&pair.access)).await.status, 202);
    }
    assert_eq!(house.ask(verify(&pair.access)).await.status, 429);
    let elsewhere = with_header(verify(&pair.access), CLIENT_ADDRESS, "192.0.2.7");
    assert_eq!(house.ask(elsewhere).await.status, 202);
}

#[tokio::test]
async fn whoever_reads_the_database_has_no_token() {
    let (house, server) = house_with_mail(Manner::Polite).await;
    let token = token(&house, &house.sign_in().await.access, &server, 1).await;
    let rows = "SELECT count(*) FROM email_verifications WHERE";
    assert_eq!(house.count(&format!("{rows} token_hash LIKE '%{token}%'")), 0);
    assert_eq!(house.count(&format!("{rows} length(token_hash) = 64")), 1);
}
