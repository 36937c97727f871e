//! TLS to the servers that Doorward itself calls, by the roots that the machine trusts: mail is given
//! to whom it is meant for and to nobody else, and a database must prove who it is.

use serde_json::json;
use test_support::authority::Authority;
use test_support::doorward::Builder;
use test_support::doorward::Doorward;
use test_support::http1;
use test_support::http1::Request;
use test_support::postgres::PostgresServer;
use test_support::smtp::Smtp;
use tokio::runtime::Runtime;

use crate::scene::PASSWORD;

/// What a mail server is told as our password, and as base64 with our name (RFC 4616 §2).
const SMTP_PASSWORD: &str = "smtp-password";
const CREDENTIALS: &str = "AUTH PLAIN AGRvb3J3YXJkAHNtdHAtcGFzc3dvcmQ=";

/// Leads to this very machine on Linux, and is not among the addresses that mail may go to without TLS.
const HOST: &str = "0.0.0.0";

/// A Doorward that trusts the roots of `authority` alone, and sends mail by `smtp`.
fn sends_by(smtp: &str, authority: &Authority) -> Doorward {
    let config = format!(
        "environment = \"dev\"\n[auth]\n\
         reset_url = \"https://app.example.com/new\"\n\
         [mail]\nsmtp_url = \"{smtp}\"\nfrom = \"doorward@example.com\"\n\
         username = \"doorward\"\npassword = {{ env = \"SMTP_PASSWORD\" }}\n"
    );
    let doorward = trusting(Doorward::builder().config(config), authority);
    let doorward = doorward.env("SMTP_PASSWORD", SMTP_PASSWORD).start();
    let root = doorward.login_as_admin().access;
    let ann = json!({ "username": "ann", "email": "ann@example.com", "password": PASSWORD });
    let added = Request::post("/auth/users").bearer(&root).json(&ann);
    let added = http1::ask(doorward.ops(), &added);
    assert_eq!(added.status, 201, "{added}");
    doorward
}

/// The roots of the machine, as OpenSSL and whoever does as it does look for them.
fn trusting(doorward: Builder, authority: &Authority) -> Builder {
    doorward.env("SSL_CERT_FILE", &authority.root().display().to_string())
}

/// Has a mail sent to ann.
#[track_caller]
fn ask_for_mail(doorward: &Doorward) {
    let path = "/auth/password/reset";
    let asked = doorward.ask(&Request::post(path).json(&json!({ "email": "ann@example.com" })));
    assert_eq!(asked.status, 202, "{asked}");
}

/// A mail arrives, and the password was heard.
#[track_caller]
fn assert_arrives(runtime: &Runtime, doorward: &Doorward, server: &Smtp) {
    ask_for_mail(doorward);
    let taken = runtime.block_on(server.taken(1));
    assert_eq!(taken[0].to, ["ann@example.com"]);
    assert!(taken[0].text().contains("#reset_token="), "{}", taken[0].text());
    assert!(server.all_heard().contains(CREDENTIALS), "{}", server.all_heard());
}

/// A mail is not sent, because of `why`; neither it nor the password was told to anybody.
#[track_caller]
fn assert_kept_back(doorward: &Doorward, server: &Smtp, why: &str) {
    ask_for_mail(doorward);
    doorward.wait_for_log("mail was not taken");
    assert!(doorward.log().contains(why), "{}", doorward.log());
    assert!(server.callers() > 0);
    let heard = server.all_heard();
    assert!(!heard.contains("AUTH") && !heard.contains("MAIL"), "{heard}");
}

#[test]
fn a_mail_arrives_by_starttls_and_nothing_but_starttls_is_said_before() {
    let (runtime, authority) = (Runtime::new().unwrap(), Authority::new());
    let server = runtime.block_on(Smtp::start_with_starttls(&authority.certifies(&[HOST])));
    let doorward = sends_by(&format!("smtp://{HOST}:{}", server.port()), &authority);
    assert_arrives(&runtime, &doorward, &server);
    let overheard = server.overheard();
    let verbs: Vec<_> = overheard.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(verbs, ["EHLO", "STARTTLS"], "{overheard}");
}

#[test]
fn a_mail_arrives_by_tls_from_the_first_byte() {
    let (runtime, authority) = (Runtime::new().unwrap(), Authority::new());
    let server = runtime.block_on(Smtp::start_with_tls(&authority.certifies(&["localhost"])));
    let doorward = sends_by(&format!("smtps://localhost:{}", server.port()), &authority);
    assert_arrives(&runtime, &doorward, &server);
    assert_eq!(server.overheard(), "");
}

#[test]
fn no_mail_is_sent_to_a_server_that_cannot_prove_who_it_is() {
    let (runtime, trusted) = (Runtime::new().unwrap(), Authority::new());
    let stranger = Authority::new().certifies(&[HOST, "localhost"]);
    let another = trusted.certifies(&["mail.example.com"]);
    for (identity, why) in
        [(stranger, "UnknownIssuer"), (another, "certificate not valid for name")]
    {
        let server = runtime.block_on(Smtp::start_with_starttls(&identity));
        let doorward = sends_by(&format!("smtp://{HOST}:{}", server.port()), &trusted);
        assert_kept_back(&doorward, &server, why);
        let server = runtime.block_on(Smtp::start_with_tls(&identity));
        let doorward = sends_by(&format!("smtps://localhost:{}", server.port()), &trusted);
        assert_kept_back(&doorward, &server, why);
    }
}

#[test]
fn a_database_proves_who_it_is_by_the_roots_of_the_machine() {
    let authority = Authority::new();
    let server = PostgresServer::start_with_tls(&authority.certifies(&["localhost"]));
    let place = server.url().replace("127.0.0.1", "localhost").replace("postgres://", "");
    for url in [
        format!("postgres://{place}?sslmode=verify-full"),
        format!("postgres://{place}?sslmode=verify-full&sslrootcert=system"),
        format!("postgresql+asyncpg://{place}?ssl=verify-full"),
    ] {
        let config = format!("environment = \"dev\"\n[database]\nurl = \"{url}\"\n");
        let doorward = trusting(Doorward::builder().config(config), &authority).start();
        doorward.login_as_admin();
        let ours = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                    WHERE application_name = 'doorward'";
        assert_eq!(server.query(ours).unwrap(), [[Some("t".to_owned())]], "{url}");
    }
}
