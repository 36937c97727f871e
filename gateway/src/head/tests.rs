//! Heads, whole and in pieces, good and bad.

use proptest::prelude::*;

use super::*;

const BYTES_MAX: usize = 4096;

fn scan(head: &[u8]) -> Result<Option<usize>, Malformed> {
    let head = HeadScan::new(BYTES_MAX).read_on(head)?;
    Ok(head.map(|head| head.bytes))
}

#[track_caller]
fn check(head: &str, outcome: Result<(), Malformed>) {
    let whole = outcome.map(|()| Some(head.len()));
    assert_eq!(scan(head.as_bytes()), whole, "{head:?}");
}

fn with(header: &str) -> String {
    format!("POST /x HTTP/1.1\r\nHost: h\r\n{header}\r\n\r\n")
}

#[test]
fn a_plain_head_is_read_to_its_end_and_no_further() {
    check("GET / HTTP/1.1\r\nHost: a.b:80\r\n\r\n", Ok(()));
    check("M-SEARCH /a?b HTTP/1.0\r\nHOST:[::1]:80\r\nx: \t \r\n\r\n", Ok(()));
    check(&with("Content-Length: 12"), Ok(()));
    check(&with("transfer-encoding: Chunked"), Ok(()));
    let head = "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /second";
    assert_eq!(scan(head.as_bytes()), Ok(Some(head.len() - "GET /second".len())));
}

#[test]
fn a_control_character_is_found_wherever_it_stands_and_a_tab_is_none() {
    for byte in 0..=u8::MAX {
        let plain = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        for at in 0..19 {
            let mut text = *b"exactly 19 letters!";
            text[at] = byte;
            assert_eq!(is_text(&text), plain, "{byte:#x} at {at}");
        }
    }
}

#[test]
fn what_follows_a_head_is_as_long_as_it_says() {
    for (header, body) in [
        ("X: y", Body::Exactly(0)),
        ("Content-Length: 0", Body::Exactly(0)),
        ("Content-Length: 999999999999999999", Body::Exactly(999_999_999_999_999_999)),
        ("Transfer-Encoding: chunked", Body::Chunked),
        ("Upgrade: websocket", Body::Upgrade),
    ] {
        let head = HeadScan::new(BYTES_MAX).read_on(with(header).as_bytes());
        assert_eq!(head.map(|head| head.map(|head| head.body)), Ok(Some(body)), "{header}");
    }
}

#[test]
fn a_length_that_is_said_twice_or_oddly_is_refused() {
    for header in [
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Content-Length: 1\r\nContent-Length: 1",
        "Content-Length: 1, 1",
        "Content-Length: +1",
        "Content-Length: -1",
        "Content-Length: 0x1",
        "Content-Length: 1 1",
        "Content-Length:",
        "Content-Length: 1000000000000000000",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding:",
    ] {
        check(&with(header), Err(Malformed::Framing));
    }
    check(
        "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        Err(Malformed::Framing),
    );
}

#[test]
fn a_head_that_some_parser_would_forgive_is_refused() {
    for header in [
        " folded: x",
        "a: b\r\n folded",
        "a: b\r\n\tfolded",
        "name : x",
        ": x",
        "no colon",
        "na me: x",
        "n\u{e9}: x",
        "a: b\0c",
        "a: b\rc",
        "a: b\x7f",
        "Content-Length : 1",
    ] {
        check(&with(header), Err(Malformed::Syntax));
    }
    for line in [
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /",
        "GET",
        "GET /\tx HTTP/1.1",
        "GET /x\x01 HTTP/1.1",
        "G\u{e9}T / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/0.9",
        "",
    ] {
        check(&format!("{line}\r\nHost: h\r\n\r\n"), Err(Malformed::Syntax));
    }
    check("CONNECT h:22 HTTP/1.1\r\nHost: h\r\n\r\n", Err(Malformed::Connect));
    check("GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", Err(Malformed::Form));
    check("GET /x#y HTTP/1.1\r\nHost: h\r\n\r\n", Err(Malformed::Form));
    check("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", Err(Malformed::Form));
}

#[test]
fn a_line_that_ends_in_a_line_feed_alone_is_refused_at_once() {
    for head in ["GET / HTTP/1.1\n", "\n", "GET / HTTP/1.1\r\nHost: h\n"] {
        assert_eq!(scan(head.as_bytes()), Err(Malformed::BareLineFeed), "{head:?}");
    }
}

#[test]
fn a_request_has_one_plain_host() {
    for headers in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host:\r\n",
        "Host: a@b\r\n",
        "Host: a/b\r\n",
        "Host: a b\r\n",
    ] {
        check(&format!("GET / HTTP/1.1\r\n{headers}\r\n"), Err(Malformed::Host));
    }
}

#[test]
fn a_request_of_128_headers_is_the_largest() {
    let of = |headers: usize| {
        let more: String = (1..headers).map(|n| format!("x{n}: y\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: h\r\n{more}\r\n")
    };
    check(&of(HEADERS_MAX), Ok(()));
    check(&of(HEADERS_MAX + 1), Err(Malformed::HeadersTooLarge));
}

#[test]
fn a_method_of_32_bytes_is_the_longest() {
    let of = |bytes: usize| format!("{} / HTTP/1.1\r\nHost: h\r\n\r\n", "M".repeat(bytes));
    check(&of(METHOD_BYTES_MAX), Ok(()));
    check(&of(METHOD_BYTES_MAX + 1), Err(Malformed::Syntax));
}

#[test]
fn a_head_of_its_bound_is_read_and_one_byte_more_is_not() {
    let of = |bytes: usize| {
        let bare = "GET / HTTP/1.1\r\nHost: h\r\nx: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: h\r\nx: {}\r\n\r\n", "a".repeat(bytes - bare))
    };
    check(&of(BYTES_MAX), Ok(()));
    check(&of(BYTES_MAX + 1), Err(Malformed::HeadersTooLarge));
    let endless = "G".repeat(BYTES_MAX);
    assert_eq!(scan(&endless.as_bytes()[..BYTES_MAX - 1]), Ok(None));
    assert_eq!(scan(endless.as_bytes()), Err(Malformed::HeadersTooLarge));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn it_does_not_matter_in_which_pieces_a_head_comes(
        headers in prop::collection::vec("[a-z]{1,4}: ?[a-z]{0,5}", 0..6),
        cuts in prop::collection::vec(1_usize..120, 0..6),
        spoil in prop::option::of((0_usize..80, any::<u8>())),
    ) {
        let mut head = "GET /x HTTP/1.1\r\nHost: h\r\n".to_owned();
        for header in &headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        let mut head = format!("{head}\r\n").into_bytes();
        if let Some((at, byte)) = spoil {
            let at = at % head.len();
            head[at] = byte;
        }
        let at_once = scan(&head);
        let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < head.len()).collect();
        cuts.sort_unstable();
        cuts.push(head.len());
        let mut in_pieces = HeadScan::new(BYTES_MAX);
        let mut outcome = Ok(None);
        for cut in cuts {
            outcome = in_pieces.read_on(&head[..cut]).map(|head| head.map(|head| head.bytes));
            if outcome != Ok(None) {
                break;
            }
        }
        // Which of several faults is found first may depend on it.
        prop_assert_eq!(outcome.ok(), at_once.ok());
    }

    #[test]
    fn whatever_is_taken_the_parser_behind_takes_too_and_ends_it_there(
        head in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            "(GET|PUT) /[ -~\u{80}-\u{ff}]{0,12} HTTP/1\\.[01]\r\n(Host: h\r\n)([!-~]{1,8}:[ -~\t]{0,9}\r\n){0,4}\r\n"
                .prop_map(String::into_bytes),
        ],
    ) {
        if let Ok(Some(end)) = scan(&head) {
            let mut headers = [httparse::EMPTY_HEADER; 256];
            let mut request = httparse::Request::new(&mut headers);
            prop_assert_eq!(request.parse(&head).ok(), Some(httparse::Status::Complete(end)));
        }
    }
}
