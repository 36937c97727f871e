//! Passwords through the whole product: attempts counted by the client's own address, devices known
//! by their cookie, and a new password by a mail that arrives.

use std::net::IpAddr;

use serde_json::json;
use test_support::http1::Answer;
use test_support::http1::Connection;
use test_support::http1::Request;
use test_support::smtp::Manner;
use test_support::smtp::Smtp;
use tokio::runtime::Runtime;

use crate::scene::PASSWORD;
use crate::scene::Scene;
use crate::scene::assert_fault;
use crate::scene::assert_problem;

const TIGHT: &str = r#"
[auth.throttle]
account = [{ name = "minute", requests = 6, per = "1m" }]
pair = [{ name = "minute", requests = 3, per = "1m" }]
"#;

fn scene() -> Scene {
    let scene = Scene::with(TIGHT);
    scene.doorward.create_user("ann", "free", PASSWORD);
    scene
}

fn login(name: &str, password: &str) -> Request {
    Request::post("/auth/login").form(&[("username", name), ("password", password)])
}

/// Asks from the address 127.0.0.`host` of this machine.
#[track_caller]
fn ask_from(scene: &Scene, host: u8, request: &Request) -> Answer {
    Connection::open_from(IpAddr::from([127, 0, 0, host]), scene.doorward.public()).ask(request)
}

#[track_caller]
fn assert_throttled(answer: &Answer) {
    assert_fault(answer, 429, "RATE_LIMIT_EXCEEDED");
    assert!((1..=61).contains(&answer.number("retry-after")), "{answer}");
    assert_eq!(answer.json()["violated-policies"], json!(["login"]), "{answer}");
}

#[test]
fn attempts_count_by_the_clients_own_address_whatever_it_says_of_itself() {
    let scene = scene();
    let spoofed = |index: usize| {
        login("ann", "wrong")
            .header("X-Forwarded-For", &format!("192.0.2.{index}"))
            .header("X-Doorward-Client", &format!("192.0.2.{index}"))
    };
    for index in 0..3 {
        let answer = ask_from(&scene, 2, &spoofed(index));
        assert_problem(&answer, 401, "INVALID_CREDENTIALS", "Incorrect username or password");
    }
    assert_throttled(&ask_from(&scene, 2, &spoofed(3)));
    assert_eq!(ask_from(&scene, 3, &login("ann", PASSWORD)).status, 200);
}

#[test]
fn an_owner_comes_in_on_a_known_device_and_another_one_after_an_unlock() {
    let scene = scene();
    let known = ask_from(&scene, 2, &login("ann", PASSWORD));
    assert_eq!(known.status, 200, "{known}");
    let cookie = known.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    for host in [3, 4] {
        for _ in 0..3 {
            assert_eq!(ask_from(&scene, host, &login("ann", "wrong")).status, 401);
        }
    }
    assert_throttled(&ask_from(&scene, 2, &login("ann", PASSWORD)));
    let with_cookie = login("ann", PASSWORD).header("Cookie", &format!("a=b; {cookie}"));
    assert_eq!(ask_from(&scene, 2, &with_cookie).status, 200);
    assert_eq!(scene.doorward.must(&["user", "unlock", "ann"]).trim(), "ann may try again");
    assert_eq!(ask_from(&scene, 3, &login("ann", PASSWORD)).status, 200);
}

#[test]
fn a_mail_that_arrives_sets_a_new_password_and_ends_what_was_open() {
    let runtime = Runtime::new().unwrap();
    let mails = runtime.block_on(Smtp::start(Manner::Polite));
    let scene = Scene::with(&format!(
        "[auth]\nregistration = true\nreset_url = \"https://app.example.com/new\"\n\
         [mail]\nsmtp_url = \"smtp://127.0.0.1:{}\"\nfrom = \"doorward@example.com\"\n",
        mails.port()
    ));
    let ann = json!({ "username": "ann", "email": "ann@example.com", "password": PASSWORD });
    let registered = scene.ask(&Request::post("/api/auth/register").json(&ann));
    assert_eq!(registered.status, 201, "{registered}");
    let tokens = scene.doorward.login("ann", PASSWORD);
    assert_eq!(scene.call(&tokens.access).status, 200);

    let path = "/auth/password/reset";
    let asked = scene.ask(&Request::post(path).json(&json!({ "email": "ann@example.com" })));
    assert_eq!(asked.status, 202, "{asked}");
    let mail = runtime.block_on(mails.taken(1)).remove(0).text();
    let token = mail.split_once("#reset_token=").unwrap().1.lines().next().unwrap();
    let set = |token: &str, password: &str| {
        let body = json!({ "token": token, "new_password": password });
        scene.ask(&Request::post("/auth/password/reset/confirm").json(&body))
    };
    let answer = set(token, "nine otters on the bank");
    assert_eq!(answer.status, 200, "{answer}");

    assert_eq!(scene.call(&tokens.access).status, 401, "refused at the proxied routes at once");
    let again = set(token, "ten otters on the bank");
    assert_problem(&again, 400, "INVALID_TOKEN", "Invalid or expired reset token");
    assert_eq!(scene.ask(&login("ann", PASSWORD)).status, 401);
    let fresh = scene.doorward.login("ann", "nine otters on the bank");
    assert_eq!(scene.call(&fresh.access).status, 200);
    let log = scene.doorward.log();
    assert!(!log.contains(token) && !log.contains("otters"), "{log}");
}

#[test]
fn whoever_registers_verifies_the_address_by_a_mail_that_arrives() {
    let runtime = Runtime::new().unwrap();
    let mails = runtime.block_on(Smtp::start(Manner::Polite));
    let scene = Scene::with(&format!(
        "[auth]\nregistration = true\nfrontend_url = \"https://app.example.com/\"\n\
         [mail]\nsmtp_url = \"smtp://127.0.0.1:{}\"\nfrom = \"doorward@example.com\"\n",
        mails.port()
    ));
    let ann = json!({ "username": "ann", "email": "ann@example.com", "password": PASSWORD });
    let registered = scene.ask(&Request::post("/auth/register").json(&ann));
    assert_eq!(registered.status, 201, "{registered}");
    let mail = runtime.block_on(mails.taken(1)).remove(0).text();
    let token = mail.split_once("/#verify_token=").unwrap().1.lines().next().unwrap();
    let tokens = scene.doorward.login("ann", PASSWORD);
    let confirm = Request::post("/api/auth/email/verify/confirm").json(&json!({ "token": token }));
    assert_eq!(scene.ask(&confirm).status, 401, "whoever reads the mail is not yet its owner");
    let confirm = confirm.bearer(&tokens.access);
    let answer = scene.ask(&confirm);
    assert_eq!(answer.status, 200, "{answer}");
    let again = scene.ask(&confirm);
    assert_problem(&again, 400, "INVALID_TOKEN", "Invalid or expired verification token");

    let me = scene.ask(&Request::get("/auth/me").bearer(&tokens.access));
    assert_eq!(me.json()["is_verified"], true, "{me}");
    let asked = scene.ask(&Request::post("/auth/email/verify").bearer(&tokens.access));
    assert_eq!(asked.status, 202, "{asked}");
    let log = scene.doorward.log();
    assert!(!log.contains(token), "{log}");
}

#[test]
fn a_session_says_from_which_address_and_device_it_was_begun() {
    let scene = scene();
    let phone = login("ann", PASSWORD).header("User-Agent", "Phone/1.0 (in a pocket)");
    // A client's own word for where it is does not count.
    let phone = phone.header("X-Forwarded-For", "203.0.113.9");
    let answer = ask_from(&scene, 2, &phone);
    assert_eq!(answer.status, 200, "{answer}");
    let access = answer.json()["access_token"].as_str().unwrap().to_owned();
    let listed = scene.ask(&Request::get("/auth/sessions").bearer(&access)).json();
    assert_eq!(listed["sessions"][0]["client"], "127.0.0.2", "{listed}");
    assert_eq!(listed["sessions"][0]["user_agent"], "Phone/1.0 (in a pocket)", "{listed}");
}

#[test]
fn a_changed_password_lets_its_owner_go_on_and_nobody_else() {
    let scene = scene();
    let (here, there) =
        (scene.doorward.login("ann", PASSWORD), scene.doorward.login("ann", PASSWORD));
    let body = json!({ "current_password": PASSWORD, "new_password": "eleven herons at dusk" });
    let answer = scene.ask(&Request::post("/auth/password").bearer(&here.access).json(&body));
    assert_eq!(answer.status, 200, "{answer}");
    let fresh = answer.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(scene.call(&fresh).status, 200);
    for old in [&here, &there] {
        assert_eq!(scene.call(&old.access).status, 401);
    }
}
