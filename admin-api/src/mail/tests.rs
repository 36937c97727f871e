use test_support::smtp::Manner;
use test_support::smtp::Smtp;

use super::*;

fn mailer(server: &Smtp, security: MailSecurity, credentials: Option<(&str, &str)>) -> Mailer {
    Mailer::new(&config::Mail {
        host: "127.0.0.1".to_owned(),
        port: server.port(),
        security,
        from: "Doorward <doorward@example.com>".to_owned(),
        credentials: credentials.map(|(name, password)| (name.to_owned(), Secret::new(password))),
    })
    .unwrap()
}

fn letter(to: &str) -> Letter {
    Letter { to: to.to_owned(), subject: "A subject", text: Secret::new("Line one\n\n.\nLine two") }
}

#[tokio::test]
async fn a_letter_arrives_as_it_was_written_from_whom_it_says_it_is() {
    let server = Smtp::start(Manner::Polite).await;
    let mailer = mailer(&server, MailSecurity::Loopback, None);
    mailer.send(&letter("ann@example.com")).await.unwrap();
    let taken = server.taken(1).await;
    assert_eq!(taken[0].from, "doorward@example.com");
    assert_eq!(taken[0].to, ["ann@example.com"]);
    assert_eq!(taken[0].header("From"), "Doorward <doorward@example.com>");
    assert_eq!(taken[0].header("To"), "ann@example.com");
    assert_eq!(taken[0].header("Subject"), "A subject");
    assert_eq!(taken[0].text().trim_end(), "Line one\n\n.\nLine two");
}

#[tokio::test]
async fn a_server_that_is_busy_gets_the_letter_a_moment_later() {
    let server = Smtp::start(Manner::BusyAtFirst).await;
    mailer(&server, MailSecurity::Loopback, None).send(&letter("ann@example.com")).await.unwrap();
    assert_eq!(server.taken(1).await.len(), 1);
}

#[tokio::test]
async fn a_letter_that_is_refused_for_good_is_not_sent_again() {
    let server = Smtp::start(Manner::Refusing).await;
    let mailer = mailer(&server, MailSecurity::Loopback, None);
    let error = mailer.send(&letter("ann@example.com")).await.unwrap_err();
    assert!(matches!(error, MailError::Server(_)), "{error:?}");
    assert_eq!(server.callers(), 1);
}

#[tokio::test]
async fn a_server_that_offers_no_tls_is_told_no_password_and_no_letter() {
    let server = Smtp::start(Manner::Polite).await;
    let mailer = mailer(&server, MailSecurity::StartTls, Some(("doorward", "smtp-password")));
    let error = mailer.send(&letter("ann@example.com")).await.unwrap_err();
    assert!(matches!(error, MailError::Server(_)), "{error:?}");
    let heard = server.all_heard();
    assert!(heard.contains("EHLO"), "{heard}");
    assert!(!heard.contains("AUTH") && !heard.contains("MAIL"), "{heard}");
}

#[tokio::test]
async fn our_name_and_password_are_told_to_the_server_that_asks() {
    let server = Smtp::start(Manner::Polite).await;
    let mailer = mailer(&server, MailSecurity::Loopback, Some(("doorward", "smtp-password")));
    mailer.send(&letter("ann@example.com")).await.unwrap();
    // base64 of \0doorward\0smtp-password (RFC 4616 §2).
    assert!(server.all_heard().contains("AUTH PLAIN AGRvb3J3YXJkAHNtdHAtcGFzc3dvcmQ="));
}

#[tokio::test]
async fn an_address_with_more_in_it_than_an_address_is_not_written_to() {
    let server = Smtp::start(Manner::Polite).await;
    let mailer = mailer(&server, MailSecurity::Loopback, None);
    for to in ["", "ann", "a@b.c\r\nBcc: d@e.f", "Ann <ann@example.com>", "a@b.c, d@e.f"] {
        let error = mailer.send(&letter(to)).await.unwrap_err();
        assert!(matches!(error, MailError::Address(_)), "{to:?}: {error:?}");
        assert!(!error.to_string().contains("Line one"));
    }
    assert_eq!(server.callers(), 0);
}

#[test]
fn the_sender_is_an_address() {
    let mail = config::Mail {
        host: "127.0.0.1".to_owned(),
        port: 1,
        security: MailSecurity::Loopback,
        from: "not an address@".to_owned(),
        credentials: None,
    };
    assert!(matches!(Mailer::new(&mail), Err(MailError::Address(_))));
}
