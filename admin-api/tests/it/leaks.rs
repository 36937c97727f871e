use std::io;
use std::sync::Arc;
use std::sync::Mutex;

use test_support::identity_provider::CLIENT_SECRET;
use test_support::identity_provider::Fault;
use test_support::identity_provider::query_of;
use test_support::smtp::Manner;
use test_support::smtp::Smtp;
use tracing_subscriber::fmt::MakeWriter;

use crate::browser::*;
use crate::email;
use crate::support::*;

/// Everything that was logged.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

pub(crate) fn listen() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn no_answer_and_no_log_line_holds_a_secret() {
    let (log, _listening) = listen();
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    let mut answers = String::new();
    let mut ask = async |request| {
        let answer = house.ask(request).await;
        answers += &format!("{:?}{}", answer.headers, answer.text);
    };
    ask(login(&[("username", "ann"), ("password", "hunter2-but-longer")])).await;
    ask(login(&[("username", "a secret typed as a name"), ("password", "x")])).await;
    ask(json("/auth/refresh", &format!(r#"{{"x":"{}"#, pair.refresh))).await;
    ask(json("/auth/refresh", &refresh_body(&pair.access))).await;
    ask(bearer(get("/auth/me"), &pair.refresh)).await;
    ask(bearer(post("/auth/logout?all=a+secret+query"), &pair.access)).await;
    ask(bearer(get("/auth/me"), &pair.access)).await;
    ask(bearer(post("/auth/logout"), &pair.access)).await;
    ask(bearer(get("/auth/me"), &pair.access)).await;
    house.execute("DROP TABLE sessions");
    ask(login(&[("username", "ann"), ("password", PASSWORD)])).await;
    house.execute("ALTER TABLE users RENAME TO nobody");
    ask(login(&[("username", "ann"), ("password", PASSWORD)])).await;
    let said = answers + &log.text();
    let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
    for secret in [
        PASSWORD,
        "hunter2-but-longer",
        "a secret",
        "a+secret",
        SIGNING_SECRET,
        &signature(&pair.access),
        &signature(&pair.refresh),
        "$argon2",
        "SELECT",
        "INSERT",
        "hashed_password",
    ] {
        assert!(!said.contains(secret), "`{secret}` in:\n{said}");
    }
}

#[tokio::test]
async fn every_failure_to_authenticate_is_logged_at_warn_with_who_and_which() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    house.ask(bearer(post("/auth/logout"), &pair.access)).await.is_ok();
    for request in [
        login(&[("username", "ann"), ("password", "wrong")]),
        json("/auth/refresh", &refresh_body("x")),
        json("/auth/refresh", &refresh_body(&pair.refresh)),
        json("/auth/refresh", &refresh_body(&pair.access)),
        get("/auth/me"),
        bearer(get("/auth/me"), "a.b.c"),
        bearer(get("/auth/me"), &pair.access),
        post("/auth/logout"),
        bearer(post("/auth/logout?all=1"), &pair.access),
    ] {
        let (log, _listening) = listen();
        let mut request = request;
        let headers = request.headers_mut();
        headers.insert("x-request-id", "r-17".parse().unwrap());
        headers.insert(kernel::front::CLIENT_ADDRESS, "203.0.113.9".parse().unwrap());
        let what = format!("{} {}", request.method(), request.uri().path());
        assert_eq!(house.ask(request).await.status, 401);
        let text = log.text();
        let line = text.lines().find(|line| line.contains(" WARN ")).unwrap_or_default();
        for part in [what.as_str(), "r-17", "203.0.113.9"] {
            assert!(line.contains(part), "`{part}` in:\n{text}");
        }
    }
}

#[tokio::test]
async fn signing_in_at_a_provider_leaves_no_secret_in_an_answer_or_a_log_line() {
    let (log, _listening) = listen();
    let street = Street::new().await;
    let mut answers = String::new();
    let mut keep = |answer: &Answer| answers += &format!("{:?}{}", answer.headers, answer.text);
    let mut secrets = vec![CLIENT_SECRET.to_owned()];
    for way in WAYS {
        for fault in [None, Some(Fault::Status(500)), Some(Fault::Html), Some(Fault::Close)] {
            let browser = street.browser();
            let back = street.provider.visit(&browser.depart(way).await);
            if let Some(fault) = fault {
                street.provider.break_page("/token", fault);
                street.provider.break_page("/login/oauth/access_token", fault);
            }
            let answer = browser.arrive(&back).await;
            street.provider.mend();
            let query = query_of(&back);
            secrets.extend([query["code"].clone(), query["state"].clone()]);
            secrets.extend(browser.jar().into_values());
            match fault {
                None => secrets.push(answer.pair().refresh),
                Some(_) => keep(&answer),
            }
            keep(&browser.arrive(&back).await);
        }
        street.rest();
    }
    let asked = street.provider.tokens_asked();
    secrets.extend(asked.iter().map(|form| form["code_verifier"].clone()));
    secrets.extend(["access-", "gho-"].map(|kind| format!("{kind}1")));
    let said = answers + &log.text();
    assert!(said.contains("signed in by") && said.contains("gave no token"), "{said}");
    for secret in secrets {
        assert!(!said.contains(&secret), "`{secret}` in:\n{said}");
    }
}

#[tokio::test]
async fn a_mailed_token_is_in_no_answer_and_no_log_line_whatever_becomes_of_it() {
    let (log, _listening) = listen();
    let server = Smtp::start(Manner::Polite).await;
    let house = House::empty(&email::mail_at(&server)).await;
    house.add(ann()).await;
    let pair = house.sign_in().await;
    let mut answers = String::new();
    let mut ask = async |request| {
        let answer = house.ask(request).await;
        answers += &format!("{:?}{}", answer.headers, answer.text);
    };
    ask(email::verify(&pair.access)).await;
    let token = email::token_in(&server, 1).await;
    for said in [&*token, &*token, "a token that was made up"] {
        ask(email::confirm(said, &pair.access)).await;
    }
    // Written once the server has taken it, beside all answers.
    while !log.text().contains("was mailed") {
        tokio::task::yield_now().await;
    }
    let said = answers + &log.text();
    assert!(said.contains("verified the address"), "{said}");
    for secret in [&*token, "made up"] {
        assert!(!said.contains(secret), "`{secret}` in:\n{said}");
    }
}

#[tokio::test]
async fn every_failure_at_a_provider_is_logged_at_warn_with_its_reason() {
    let street = Street::new().await;
    for (page, fault, reason) in [
        ("/token", Fault::Status(400), "status 400, `server_error`"),
        ("/token", Fault::Close, "it cannot be reached"),
        ("/jwks", Fault::Html, "not a JWK set"),
    ] {
        let browser = street.browser();
        let back = street.provider.visit(&browser.depart("google").await);
        street.provider.break_page(page, fault);
        let (log, _listening) = listen();
        browser.arrive(&back).await;
        street.provider.mend();
        let text = log.text();
        let line = text.lines().find(|line| line.contains(" WARN ")).unwrap_or_default();
        for part in ["GET /auth/google/callback", reason] {
            assert!(line.contains(part), "`{part}` in:\n{text}");
        }
    }
    let (log, _listening) = listen();
    street.browser().arrive(&format!("{ORIGIN}/auth/google/callback?code=a&state=b")).await;
    assert!(log.text().contains("a state that nobody was sent"), "{}", log.text());
}
