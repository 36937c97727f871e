//! Bodies of every size and framing, and requests in a row on one connection.

use test_support::http1::Request;
use test_support::upstream::Echo;

use crate::scene::Scene;
use crate::scene::assert_problem;
use crate::scene::token;

const LARGE: usize = 8 * 1024 * 1024;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Plain letters, so that the echo of them is no longer than they are.
fn letters(bytes: usize) -> String {
    ('a'..='z').cycle().take(bytes).collect()
}

#[test]
fn eight_mebibytes_arrive_at_the_back_end_whole() {
    let scene = Scene::patient("");
    let body = letters(LARGE);
    let echo = scene.echo(&Request::post("/api/up").bearer(&token()).body(body.clone()));
    assert!(echo.body == body, "{} bytes arrived", echo.body.len());
    assert_eq!(echo.header("content-length"), Some(LARGE.to_string().as_str()));
}

#[test]
fn eight_mebibytes_in_chunks_arrive_at_the_back_end_whole() {
    let scene = Scene::patient("");
    let body = letters(LARGE);
    let mut bytes =
        Request::post("/api/up").bearer(&token()).header("Transfer-Encoding", "chunked").to_bytes();
    for chunk in body.as_bytes().chunks(65_537) {
        bytes.extend(format!("{:X}\r\n", chunk.len()).bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    let answer = scene.ask_raw(bytes);
    assert_eq!(answer.status, 200, "{} bytes of an answer", answer.body.len());
    assert!(Echo::of_answer(&answer).body == body);
}

#[test]
fn eight_mebibytes_arrive_at_the_client_whole() {
    let scene = Scene::patient("");
    let answer = scene.ask(&Request::get(&format!("/api/bytes?n={LARGE}")).bearer(&token()));
    assert_eq!((answer.status, answer.body.len()), (200, LARGE));
    assert!(answer.body.iter().all(|&byte| byte == b'x'));
}

#[test]
fn whoever_sends_a_large_body_without_a_token_reads_the_refusal() {
    let scene = Scene::usual();
    let answer = scene.ask(&Request::post("/api/up").body(letters(LARGE)));
    assert_problem(&answer, 401, "NOT_AUTHENTICATED", "Not authenticated");
    assert_eq!(scene.reached(), 0);
}

#[test]
fn the_body_of_a_refused_request_is_not_read_as_the_next_request() {
    let scene = Scene::usual();
    let mut connection = scene.connect();
    let inner = Request::get("/open/smuggled").to_bytes();
    let answer = connection.ask(&Request::post("/api/x").body(inner.clone()));
    assert_problem(&answer, 401, "NOT_AUTHENTICATED", "Not authenticated");
    let next = connection.ask(&Request::get("/api/x").bearer(&token()));
    assert_eq!(Echo::of_answer(&next).path(), "/api/x");
    let mut chunked = Request::post("/api/x").header("Transfer-Encoding", "chunked").to_bytes();
    chunked.extend(format!("{:x}\r\n", inner.len()).bytes());
    chunked.extend(inner);
    chunked.extend(b"\r\n0\r\n\r\n");
    let answer = scene.ask_raw(chunked);
    assert_problem(&answer, 401, "NOT_AUTHENTICATED", "Not authenticated");
    assert_eq!(scene.upstream.seen().of("/open/smuggled"), 0);
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on() {
    let scene = Scene::usual();
    let mut connection = scene.connect();
    let whole = Request::post("/api/up")
        .bearer(&token())
        .header("Expect", "100-continue")
        .body("hello")
        .to_bytes();
    let (head, body) = whole.split_at(whole.len() - "hello".len());
    connection.send(head);
    assert_eq!(connection.read_exactly(CONTINUE.len()).unwrap(), CONTINUE);
    connection.send(body);
    let answer = connection.answer();
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(Echo::of_answer(&answer).body, "hello");
}

#[test]
fn a_client_that_asks_first_is_refused_before_it_sends_anything() {
    let scene = Scene::usual();
    let mut connection = scene.connect();
    let head = Request::post("/api/up")
        .header("Expect", "100-continue")
        .header("Content-Length", "1000000");
    connection.send(&head.to_bytes());
    let first = connection.read_exactly("HTTP/1.1 401".len()).unwrap();
    assert_eq!(String::from_utf8_lossy(&first), "HTTP/1.1 401");
    assert_eq!(scene.reached(), 0);
}

#[test]
fn an_answer_to_head_has_no_body_and_the_connection_goes_on() {
    let scene = Scene::usual();
    let mut connection = scene.connect();
    let head = connection.ask(&Request::new("HEAD", "/api/bytes?n=1000").bearer(&token()));
    assert_eq!((head.status, head.number("content-length")), (200, 1000), "{head}");
    let get = connection.ask(&Request::get("/api/bytes?n=10").bearer(&token()));
    assert_eq!((get.status, get.text().as_str()), (200, "xxxxxxxxxx"), "{get}");
}

#[test]
fn a_refusal_of_head_has_no_body_either() {
    let scene = Scene::usual();
    let mut connection = scene.connect();
    let head = connection.ask(&Request::new("HEAD", "/api/x"));
    assert_eq!(head.status, 401, "{head}");
    assert_eq!(head.header("www-authenticate"), Some("Bearer"));
    assert!(head.number("content-length") > 0, "{head}");
    let answer = connection.ask(&Request::get("/api/x").bearer(&token()));
    assert_eq!(answer.status, 200, "{answer}");
}

#[test]
fn requests_sent_in_a_row_are_answered_in_order_until_the_connection_is_closed() {
    let scene = Scene::usual();
    let mut connection = scene.connect();
    let mut bytes = Vec::new();
    for n in 0..10 {
        bytes.extend(Request::get(&format!("/api/{n}")).bearer(&token()).to_bytes());
    }
    connection.send(&bytes);
    let mut answered = 0;
    while answered < 10
        && let Ok(answer) = connection.try_answer()
    {
        assert_eq!(Echo::of_answer(&answer).path(), format!("/api/{answered}"));
        answered += 1;
    }
    assert!(answered >= 1, "not even the first request was answered");
    assert_eq!(scene.reached(), answered);
}

#[test]
fn each_request_in_a_row_needs_a_token_of_its_own() {
    let scene = Scene::usual();
    let mut connection = scene.connect();
    let mut bytes = Vec::new();
    for n in 0..6 {
        let request = Request::post(&format!("/api/{n}")).body("x");
        let request = if n % 2 == 0 { request.bearer(&token()) } else { request };
        bytes.extend(request.to_bytes());
    }
    connection.send(&bytes);
    let mut statuses = Vec::new();
    while statuses.len() < 6
        && let Ok(answer) = connection.try_answer()
    {
        statuses.push(answer.status);
    }
    assert!([200, 401, 200, 401, 200, 401].starts_with(&statuses), "{statuses:?}");
    assert!(!statuses.is_empty(), "not even the first request was answered");
    let seen = scene.upstream.seen();
    assert_eq!([seen.of("/api/1"), seen.of("/api/3"), seen.of("/api/5")], [0, 0, 0]);
}

#[test]
fn a_request_of_http_1_0_is_served_and_its_connection_closed() {
    let scene = Scene::usual();
    let mut connection = scene.connect();
    let token = token();
    let request = format!(
        "GET /api/x HTTP/1.0\r\nHost: gateway.test\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    connection.send(request.as_bytes());
    let answer = connection.answer();
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(Echo::of_answer(&answer).header("x-user-id"), Some("u-1"));
    assert!(connection.is_closed_by_the_other_side());
}
