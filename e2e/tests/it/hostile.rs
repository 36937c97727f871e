//! Bytes that are no request, or two at once: refused, and the connection with them.

use test_support::http1::Request;
use test_support::upstream::Echo;

use crate::scene::Scene;
use crate::scene::token;

/// A request that would be smuggled in.
const INNER: &str = "GET /open/smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

/// A head with a token that is good, so that nothing but its form speaks against it.
fn head(line: &str, headers: &str) -> String {
    format!("{line}\r\nHost: h\r\nAuthorization: Bearer {}\r\n{headers}\r\n\r\n", token())
}

fn get(headers: &str) -> String {
    head("GET /api/x HTTP/1.1", headers)
}

fn post(headers: &str, body: &str) -> String {
    head("POST /api/x HTTP/1.1", headers) + body
}

/// Checks that the bytes are answered with one of `statuses` in the contract's shape, and that
/// nothing else is read from that connection.
#[track_caller]
fn assert_turned_away(scene: &Scene, bytes: impl AsRef<[u8]>, statuses: &[u16]) {
    let bytes = bytes.as_ref();
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).replace('\r', "\\r");
    let mut connection = scene.connect();
    connection.send(bytes);
    let answer = match connection.try_answer() {
        Ok(answer) => answer,
        Err(error) => panic!("no answer ({error}) to {shown}"),
    };
    assert!(statuses.contains(&answer.status), "{answer}\nto {shown}");
    let media_type = answer.header("content-type");
    assert_eq!(media_type, Some("application/problem+json"), "{answer}\nto {shown}");
    let body = answer.json();
    assert!(body["error_code"].is_string() && body["detail"].is_string(), "{answer}\nto {shown}");
    assert!(connection.is_closed_by_the_other_side(), "it stays open after {shown}");
}

#[track_caller]
fn assert_nothing_came_through(scene: &Scene) {
    let seen = scene.upstream.seen();
    assert_eq!(seen.requests, 0, "{:#?}", seen.heads);
    assert_eq!(scene.ask(&Request::get("/api/x").bearer(&token())).status, 200);
}

#[test]
fn a_length_that_is_given_twice_or_not_understood_is_refused() {
    let scene = Scene::usual();
    let chunked = format!("0\r\n\r\n{INNER}");
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: chunked\x0b",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding:",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: chunked,",
    ] {
        assert_turned_away(&scene, post(headers, &chunked), &[400, 501]);
    }
    assert_nothing_came_through(&scene);
}

#[test]
fn a_length_that_is_no_number_or_two_numbers_is_refused() {
    let scene = Scene::usual();
    for value in [
        "+5",
        "-1",
        "0x10",
        "5, 5",
        "5,6",
        "5 5",
        "5;",
        "1e2",
        "5.0",
        "",
        "five",
        "18446744073709551616",
        "99999999999999999999999999",
        "٥",
    ] {
        assert_turned_away(&scene, post(&format!("Content-Length: {value}"), "hello"), &[400]);
    }
    for pair in ["5\r\nContent-Length: 5", "5\r\nContent-Length: 6", "0\r\ncontent-length: 5"] {
        assert_turned_away(&scene, post(&format!("Content-Length: {pair}"), INNER), &[400]);
    }
    assert_nothing_came_through(&scene);
}

#[test]
fn chunks_in_a_request_of_http_1_0_are_refused() {
    let scene = Scene::usual();
    let bytes = head("POST /api/x HTTP/1.0", "Transfer-Encoding: chunked") + "0\r\n\r\n" + INNER;
    assert_turned_away(&scene, bytes, &[400, 501]);
    assert_nothing_came_through(&scene);
}

#[test]
fn a_chunk_that_is_none_ends_the_connection_and_smuggles_nothing() {
    let scene = Scene::usual();
    for chunks in [
        "zz\r\n",
        "-1\r\n",
        "0x0\r\n\r\n",
        "+0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "fffffffffffffffff\r\n",
        "ffffffffffffffff\r\nx\r\n",
        "5 \x0b\r\nhello\r\n0\r\n\r\n",
    ] {
        let mut connection = scene.connect();
        let body = format!("{chunks}{INNER}");
        connection.send(post("Transfer-Encoding: chunked", &body).as_bytes());
        while let Ok(answer) = connection.try_answer() {
            assert!(matches!(answer.status, 400 | 502), "{chunks:?}: {answer}");
        }
        assert!(connection.is_closed_by_the_other_side(), "{chunks:?}");
    }
    assert_eq!(scene.upstream.seen().of("/open/smuggled"), 0);
    assert_eq!(scene.ask(&Request::get("/api/x").bearer(&token())).status, 200);
}

#[test]
fn a_chunk_without_a_size_is_the_last_one_or_none_and_smuggles_nothing() {
    let scene = Scene::usual();
    for chunks in ["\r\n0\r\n\r\n", "\r\n\r\n", "5\r\nhello\r\n\r\n\r\n"] {
        let mut connection = scene.connect();
        let body = format!("{chunks}{INNER}");
        connection.send(post("Transfer-Encoding: chunked", &body).as_bytes());
        while let Ok(answer) = connection.try_answer() {
            if answer.status == 200 {
                let echo = Echo::of_answer(&answer);
                assert_eq!(echo.path(), "/api/x");
                assert!(["", "hello"].contains(&&*echo.body), "{chunks:?}: {answer}");
            } else {
                assert!(matches!(answer.status, 400 | 502), "{chunks:?}: {answer}");
            }
        }
    }
    assert_eq!(scene.upstream.seen().of("/open/smuggled"), 0);
}

#[test]
fn a_header_line_that_is_none_is_refused() {
    let scene = Scene::usual();
    for line in [
        "X-A: 1\r\n folded",
        "X-A: 1\r\n\tfolded",
        "X-A:\r\n 1",
        "X-A : 1",
        "X-A\t: 1",
        "Content-Length : 5",
        "Transfer-Encoding : chunked",
        "X A: 1",
        "X(A): 1",
        "X-\u{e9}: 1",
        ": 1",
        "X-A",
        "X-A\r\nX-B: 1",
        "X-A: 1\r2",
        "X-A: 1\rX-B: 2",
        "X-A: 1\u{0}2",
        "X-\u{0}A: 1",
        "X-A: 1\u{1}2",
        "X-A: 1\u{7f}2",
        "X-A: 1\nX-B: 2",
        "X-A: 1\n",
        "\"X-A\": 1",
    ] {
        assert_turned_away(&scene, get(line), &[400]);
    }
    let first =
        format!("GET /api/x HTTP/1.1\r\n Host: h\r\nAuthorization: Bearer {}\r\n\r\n", token());
    assert_turned_away(&scene, first, &[400]);
    assert_nothing_came_through(&scene);
}

#[test]
fn a_request_line_that_is_none_is_refused() {
    let scene = Scene::usual();
    for line in [
        "GET /api/x HTTP/0.9",
        "GET /api/x HTTP/2.0",
        "GET /api/x HTTP/1.2",
        "GET /api/x HTTP/3",
        "GET /api/x HTTP/11",
        "GET /api/x HTTP/1.",
        "GET /api/x HTTP/1.1x",
        "GET /api/x HTTP/01.1",
        "GET /api/x http/1.1",
        "GET /api/x Http/1.1",
        "GET /api/x HTTPS/1.1",
        "GET /api/x FTP/1.1",
        "GET /api/x",
        "GET /api/x ",
        "GET",
        "GET  /api/x HTTP/1.1",
        "GET /api/x  HTTP/1.1",
        "GET /api/x y HTTP/1.1",
        "GET\t/api/x\tHTTP/1.1",
        "GET\t/api/x HTTP/1.1",
        "GET /api/x\tHTTP/1.1",
        "GET /api/x HTTP/1.1\t",
        " GET /api/x HTTP/1.1",
        "G(T /api/x HTTP/1.1",
        "G\u{0}T /api/x HTTP/1.1",
        "GET /api/\u{0}x HTTP/1.1",
        "GET /api/x\rHTTP/1.1",
        "/api/x HTTP/1.1",
        "PRI * HTTP/2.0",
    ] {
        assert_turned_away(&scene, head(line, "X-A: 1"), &[400, 501, 505]);
    }
    assert_nothing_came_through(&scene);
}

#[test]
fn lines_that_end_in_a_line_feed_alone_are_refused() {
    let scene = Scene::after("[listen]\nheader_timeout = \"2s\"");
    let whole = get("X-A: 1");
    assert_turned_away(&scene, whole.replace("\r\n", "\n"), &[400, 408]);
    assert_turned_away(&scene, whole.replacen("\r\n", "\n", 1), &[400]);
    assert_turned_away(&scene, whole.replacen("h\r\n", "h\n", 1), &[400]);
    assert_turned_away(&scene, whole.replace("\r\n\r\n", "\n\n"), &[400, 408]);
    assert_turned_away(&scene, whole.replace("\r\n\r\n", "\n\r\n"), &[400, 408]);
    assert_turned_away(&scene, whole.replace("\r\n", "\r"), &[400, 408]);
    assert_nothing_came_through(&scene);
}

#[test]
fn an_empty_line_in_front_is_skipped_or_refused_and_hides_nothing() {
    let scene = Scene::usual();
    for lead in ["\r\n", "\r\n\r\n"] {
        let answer = scene.ask_raw(format!("{lead}{}", get("X-A: 1")));
        assert!(matches!(answer.status, 200 | 400), "{answer}");
        let answer = scene.ask_raw(format!("{lead}GET /api/x HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert!(matches!(answer.status, 401 | 400), "{answer}");
    }
}

#[test]
fn a_request_needs_exactly_one_host() {
    let scene = Scene::usual();
    let authorization = format!("Authorization: Bearer {}\r\n", token());
    for hosts in ["", "Host: a\r\nHost: a\r\n", "Host: a\r\nhost: b\r\n", "Host: a, b\r\n"] {
        let bytes = format!("GET /api/x HTTP/1.1\r\n{hosts}{authorization}\r\n");
        assert_turned_away(&scene, bytes, &[400]);
    }
    assert_nothing_came_through(&scene);
}

#[test]
fn a_tunnel_is_not_opened() {
    let scene = Scene::usual();
    for target in ["127.0.0.1:22", "gateway.test:443", "/api/x", "http://127.0.0.1/", "*"] {
        let bytes = head(&format!("CONNECT {target} HTTP/1.1"), "X-A: 1") + INNER;
        assert_turned_away(&scene, bytes, &[400, 405, 501]);
    }
    assert_nothing_came_through(&scene);
}

#[test]
fn the_preface_of_another_protocol_is_refused() {
    let scene = Scene::after("[listen]\nheader_timeout = \"500ms\"");
    for preface in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nGET /api/x HTTP/1.1\r\nHost: h\r\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        let mut connection = scene.connect();
        connection.send(preface);
        while let Ok(answer) = connection.try_answer() {
            assert!(matches!(answer.status, 400 | 408 | 501 | 505), "{preface:?}: {answer}");
        }
        assert!(connection.is_closed_by_the_other_side(), "{preface:?}");
    }
    assert_nothing_came_through(&scene);
}
