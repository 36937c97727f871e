use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::thread;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use outbound::ANSWER_BYTES_MAX;
use outbound::CALL_TIMEOUT;
use outbound::CallError::TooLarge;
use outbound::CallError::Unreachable;
use outbound::client;
use test_support::identity_provider::Fault;
use test_support::identity_provider::IdentityProvider;

use super::super::breaker::FAILURES_MAX;
use super::super::breaker::OPEN_FOR;
use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn line() -> Line {
    Line::new(client().unwrap())
}

async fn get(line: &Line, provider: &IdentityProvider) -> Result<Answer, CallError> {
    line.get(&format!("{}/jwks", provider.url()), HeaderMap::new(), NOW).await
}

#[tokio::test]
async fn an_answer_of_256_kib_is_the_largest() {
    let provider = IdentityProvider::start(NOW.as_secs());
    let line = line();
    provider.break_page("/jwks", Fault::Huge(ANSWER_BYTES_MAX));
    assert_eq!(get(&line, &provider).await.unwrap().body.len(), ANSWER_BYTES_MAX);
    provider.break_page("/jwks", Fault::Huge(ANSWER_BYTES_MAX + 1));
    assert!(matches!(get(&line, &provider).await, Err(CallError::Failed(TooLarge))));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let provider = IdentityProvider::start(NOW.as_secs());
    provider.break_page("/jwks", Fault::Redirect);
    assert_eq!(get(&line(), &provider).await.unwrap().status, 302);
    assert_eq!(provider.seen("/elsewhere"), 0);
}

#[tokio::test]
async fn a_provider_that_hangs_up_or_is_gone_is_unreachable_and_its_url_is_not_repeated() {
    let mut provider = IdentityProvider::start(NOW.as_secs());
    provider.break_page("/jwks", Fault::Close);
    let line = line();
    assert!(matches!(get(&line, &provider).await, Err(CallError::Failed(Unreachable(_)))));
    provider.stop();
    let url = format!("{}/jwks?secret-in-a-query", provider.url());
    let error = line.get(&url, HeaderMap::new(), NOW).await.unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn a_provider_that_says_nothing_is_given_up_after_five_seconds() {
    let provider = IdentityProvider::start(NOW.as_secs());
    provider.break_page("/jwks", Fault::Hang);
    let url = format!("{}/jwks", provider.url());
    let begun = tokio::time::Instant::now();
    let answer = tokio::spawn(async move { line().get(&url, HeaderMap::new(), NOW).await });
    while provider.seen("/jwks") == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // It was asked: from here on only the clock moves.
    tokio::time::pause();
    let answer = answer.await.unwrap();
    assert!(matches!(answer, Err(CallError::Failed(Unreachable(_)))), "{answer:?}");
    let elapsed = begun.elapsed();
    assert!((CALL_TIMEOUT..2 * CALL_TIMEOUT).contains(&elapsed), "{elapsed:?}");
}

#[tokio::test]
async fn three_failures_in_a_row_leave_a_provider_alone_for_two_minutes() {
    let provider = IdentityProvider::start(NOW.as_secs());
    let line = line();
    provider.break_page("/jwks", Fault::Status(500));
    for _ in 0..FAILURES_MAX {
        assert_eq!(get(&line, &provider).await.unwrap().status, 500);
    }
    provider.mend();
    assert!(matches!(get(&line, &provider).await, Err(CallError::LeftAlone(OPEN_FOR))));
    assert_eq!(provider.seen("/jwks"), u64::from(FAILURES_MAX));
    let url = format!("{}/jwks", provider.url());
    let later = NOW.plus(OPEN_FOR);
    assert_eq!(line.get(&url, HeaderMap::new(), later).await.unwrap().status, 200);
}

#[tokio::test]
async fn codes_that_are_not_taken_do_not_open_the_breaker() {
    let provider = IdentityProvider::start(NOW.as_secs());
    let line = line();
    let url = format!("{}/token", provider.url());
    let headers = || HeaderMap::from_iter([(AUTHORIZATION, "Basic x".parse().unwrap())]);
    for _ in 0..2 * FAILURES_MAX {
        let answer = line.post(&url, headers(), &[("code", "rubbish")], NOW).await;
        assert_eq!(answer.unwrap().status, 401);
    }
    assert_eq!(get(&line, &provider).await.unwrap().status, 200);
}

#[tokio::test]
async fn we_say_who_we_are_since_github_answers_nobody_else() {
    let provider = IdentityProvider::start(NOW.as_secs());
    let url = format!("{}/user", provider.url());
    let answer = line().get(&url, HeaderMap::new(), NOW).await.unwrap();
    assert_eq!(answer.status, 401, "not 403, as without a User-Agent");
}

#[tokio::test]
async fn https_begins_with_a_handshake_and_somebody_without_one_is_not_spoken_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/jwks", listener.local_addr().unwrap());
    let hello = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = [0; 2];
        stream.read_exact(&mut hello).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        hello
    });
    let answer = line().get(&url, HeaderMap::new(), NOW).await;
    assert!(matches!(answer, Err(CallError::Failed(Unreachable(_)))), "{answer:?}");
    // A handshake record of TLS (RFC 8446 §5.1).
    assert_eq!(hello.join().unwrap(), [0x16, 0x03]);
}

#[test]
fn no_library_is_made_the_processs_own() {
    client().unwrap();
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
}
