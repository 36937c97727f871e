//! How much of a request is read, how long it may take, and how many there may be.

use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;
use std::time::Instant;

use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest::test_runner::TestRunner;
use test_support::http1::Answer;
use test_support::http1::Request;
use test_support::wait::START_MAX;
use test_support::wait::wait_until;

use crate::scene::Scene;
use crate::scene::assert_fault;
use crate::scene::token;

const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 128;
const TARGET_BYTES_MAX: usize = 8 * 1024;

/// A request whose head, with its empty line, has exactly so many bytes.
fn of_bytes(bytes: usize) -> Vec<u8> {
    let mut request = Request::get("/api/x").bearer(&token());
    let room = bytes - request.clone().header("X-Last", "").to_bytes().len();
    let line = "X-Fill: \r\n".len();
    for _ in 0..room / 4096 {
        request = request.header("X-Fill", &"f".repeat(4096 - line));
    }
    request.header("X-Last", &"l".repeat(room % 4096)).to_bytes()
}

#[track_caller]
fn answer_and_end(scene: &Scene, bytes: &[u8]) -> Answer {
    let mut connection = scene.connect();
    connection.send(bytes);
    let answer = connection.answer();
    assert!(connection.is_closed_by_the_other_side(), "it stays open: {answer}");
    answer
}

#[test]
fn a_head_of_64_kib_is_read_and_one_byte_more_is_not() {
    let scene = Scene::usual();
    let largest = of_bytes(HEAD_BYTES_MAX);
    assert_eq!(largest.len(), HEAD_BYTES_MAX);
    assert_eq!(scene.ask_raw(&largest).status, 200);
    for bytes in [HEAD_BYTES_MAX + 1, HEAD_BYTES_MAX * 2, HEAD_BYTES_MAX * 16] {
        let answer = answer_and_end(&scene, &of_bytes(bytes));
        assert_fault(&answer, 431, "HEADERS_TOO_LARGE");
    }
    assert_eq!(scene.reached(), 1);
}

#[test]
fn a_head_of_as_many_bytes_as_configured_is_read() {
    let scene = Scene::after("[listen]\nheaders_bytes_max = 2048");
    assert_eq!(scene.ask_raw(of_bytes(2048)).status, 200);
    assert_fault(&answer_and_end(&scene, &of_bytes(2049)), 431, "HEADERS_TOO_LARGE");
}

#[test]
fn a_hundred_and_twenty_eight_headers_are_read_and_one_more_is_not() {
    let scene = Scene::usual();
    let of_headers = |count: usize| {
        let mut request = Request::get("/api/x").bearer(&token());
        // `Host` and `Authorization` are two of them.
        for n in 2..count {
            request = request.header(&format!("X-{n}"), "1");
        }
        request.to_bytes()
    };
    assert_eq!(scene.ask_raw(of_headers(HEADERS_MAX)).status, 200);
    for count in [HEADERS_MAX + 1, HEADERS_MAX * 2, HEADERS_MAX * 20] {
        let answer = answer_and_end(&scene, &of_headers(count));
        assert_fault(&answer, 431, "HEADERS_TOO_LARGE");
    }
    assert_eq!(scene.reached(), 1);
}

#[test]
fn a_target_of_8_kib_is_read_and_one_byte_more_is_not() {
    let scene = Scene::usual();
    let of_target = |bytes: usize| {
        let target = format!("/api/{}", "x".repeat(bytes - "/api/".len()));
        scene.ask(&Request::get(&target).bearer(&token()))
    };
    assert_eq!(of_target(TARGET_BYTES_MAX).status, 200);
    for bytes in [TARGET_BYTES_MAX + 1, TARGET_BYTES_MAX * 3] {
        let answer = of_target(bytes);
        assert_eq!(answer.status, 414, "{answer}");
        assert!(answer.json()["error_code"].is_string(), "{answer}");
    }
    assert_eq!(scene.reached(), 1);
}

#[test]
fn a_header_that_does_not_come_in_time_ends_the_connection() {
    let scene = Scene::after("[listen]\nheader_timeout = \"300ms\"");
    for half in ["G", "GET /api/x HT", "GET /api/x HTTP/1.1\r\nHost: h\r\nX-A"] {
        let mut connection = scene.connect();
        let began = Instant::now();
        connection.send(half.as_bytes());
        assert_fault(&connection.answer(), 408, "REQUEST_TIMEOUT");
        assert!(connection.is_closed_by_the_other_side());
        assert!(began.elapsed() < Duration::from_secs(5), "{half:?}: {:?}", began.elapsed());
    }
    assert_eq!(scene.reached(), 0);
}

#[test]
fn a_connection_on_which_nothing_comes_is_closed_without_a_word() {
    let scene = Scene::after("[listen]\nheader_timeout = \"300ms\"");
    assert!(scene.connect().is_closed_by_the_other_side());
}

#[test]
fn a_header_that_comes_drop_by_drop_has_no_more_time_than_any_other() {
    let scene = Scene::after("[listen]\nheader_timeout = \"500ms\"");
    let mut stream = TcpStream::connect(scene.doorward.public()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    stream.write_all(b"GET /api/x HTTP/1.1\r\nHost: h\r\nX-A: ").unwrap();
    let began = Instant::now();
    wait_until(Duration::from_secs(5), || {
        let is_over = stream.write_all(b"a").is_err();
        let answered = match stream.read(&mut [0; 64]) {
            Ok(_) => true,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        };
        is_over || answered
    });
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
    assert_eq!(scene.reached(), 0);
}

#[test]
fn a_connection_too_many_is_closed_and_there_is_room_again_when_one_ends() {
    let scene = Scene::after("[listen]\nconnections_max = 4");
    let request = Request::get("/api/x").bearer(&token());
    let mut connections: Vec<_> = (0..4).map(|_| scene.connect()).collect();
    for connection in &mut connections {
        assert_eq!(connection.ask(&request).status, 200);
    }
    assert_eq!(scene.metric("doorward_connections"), 4);
    let error = scene.connect().try_ask(&request).unwrap_err();
    let closed = matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset);
    assert!(closed, "{error}");
    assert_eq!(scene.metric("doorward_connections_refused_total"), 1);
    for connection in &mut connections {
        assert_eq!(connection.ask(&request).status, 200);
    }
    connections.pop();
    wait_until(START_MAX, || scene.connect().try_ask(&request).is_ok_and(|a| a.status == 200));
}

#[test]
fn an_idle_connection_is_closed_after_its_time() {
    let scene = Scene::after("[listen]\nidle_timeout = \"300ms\"");
    let mut connection = scene.connect();
    assert_eq!(connection.ask(&Request::get("/api/x").bearer(&token())).status, 200);
    let began = Instant::now();
    assert!(connection.is_closed_by_the_other_side());
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(5), "{took:?}");
}

/// What attackers put together.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "GET ",
        "POST ",
        "OPTIONS ",
        "/api/x",
        "/",
        "*",
        " HTTP/1.1",
        " HTTP/1.0",
        " HTTP/2.0",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        "\0",
        " ",
        "\t",
        ":",
        ": ",
        ",",
        "Host: h\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 18446744073709551615\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Connection: upgrade, authorization\r\n",
        "Upgrade: foo\r\n",
        "Upgrade: h2c\r\n",
        "Expect: 100-continue\r\n",
        "Authorization: Bearer a.b.c\r\n",
        "0\r\n\r\n",
        "ffffffffffffffff\r\n",
        "5\r\nhello\r\n",
        "hello",
        "\u{e9}",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

/// A request with a few bytes changed, added or taken away.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let whole = Request::post("/api/x").header("X-A", "1").bearer("a.b.c").body("hello").to_bytes();
    let damage = (any::<prop::sample::Index>(), any::<u8>(), 0..3_u8);
    prop::collection::vec(damage, 1..8).prop_map(move |damages| {
        let mut bytes = whole.clone();
        for (at, byte, kind) in damages {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

#[test]
fn whatever_bytes_are_sent_it_goes_on_serving_and_lets_nothing_through() {
    let scene = Scene::after("[listen]\nheader_timeout = \"2s\"");
    let anything = prop_oneof![prop::collection::vec(any::<u8>(), 0..600), pieces(), damaged()];
    TestRunner::new(Config::with_cases(600))
        .run(&anything, |bytes| {
            let mut connection = scene.connect();
            connection.send(&bytes);
            connection.finish();
            while let Ok(answer) = connection.try_answer() {
                prop_assert!((400..=505).contains(&answer.status), "{}", answer);
                prop_assert_ne!(answer.status, 500, "{}", answer);
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(scene.reached(), 0);
    assert_eq!(scene.doorward.ask_ops("/readyz").status, 200);
    assert_eq!(scene.ask(&Request::get("/api/x").bearer(&token())).status, 200);
    let log = scene.doorward.log();
    for fault in ["panicked", "a fault in this program"] {
        assert!(!log.contains(fault), "{log}");
    }
}
