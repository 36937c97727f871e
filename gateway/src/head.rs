//! The head of a request, byte by byte: bounded, and with one reading only.
//!
//! What one parser forgives and the next reads otherwise is how a second request is smuggled past
//! the first (CVE-2026-2833, -2835, CVE-2025-4366). So nothing is forgiven: lines end in CR LF, no
//! line is folded, names are followed by their colon, and the length is said once at most.

use crate::refusal::Malformed;

/// The most header lines of one request.
pub const HEADERS_MAX: usize = 128;

/// The longest method, in bytes; the longest that is registered has 17.
pub const METHOD_BYTES_MAX: usize = 32;

/// A head that was read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its length in bytes, the empty line included.
    pub bytes: usize,
    /// What follows.
    pub body: Body,
}

/// How far a request goes beyond its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes; without a body, 0.
    Exactly(u64),
    /// Whoever reads it finds out.
    Chunked,
    /// Another protocol may follow.
    Upgrade,
}

/// Reads a head line by line, as the bytes come in.
#[derive(Debug)]
pub struct HeadScan {
    /// Where the next line begins.
    line: usize,
    /// Up to where the end of that line was looked for.
    searched: usize,
    bytes_max: usize,
    stage: Stage,
    is_http_10: bool,
    headers: usize,
    hosts: usize,
    lengths: usize,
    length: u64,
    codings: usize,
    upgrades: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    RequestLine,
    Headers,
}

impl HeadScan {
    /// Reads a head of at most `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            line: 0,
            searched: 0,
            bytes_max,
            stage: Stage::RequestLine,
            is_http_10: false,
            headers: 0,
            hosts: 0,
            lengths: 0,
            length: 0,
            codings: 0,
            upgrades: 0,
        }
    }

    /// Reads on in `bytes`, all that came so far; gives the head once it is whole.
    ///
    /// # Errors
    /// [`Malformed`], as soon as it shows.
    pub fn read_on(&mut self, bytes: &[u8]) -> Result<Option<Head>, Malformed> {
        while let Some(at) = memchr::memchr(b'\n', &bytes[self.searched..]) {
            let end = self.searched + at;
            if end >= self.bytes_max {
                return Err(Malformed::HeadersTooLarge);
            }
            if end == self.line || bytes[end - 1] != b'\r' {
                return Err(Malformed::BareLineFeed);
            }
            let line = &bytes[self.line..end - 1];
            self.line = end + 1;
            self.searched = end + 1;
            match self.stage {
                Stage::RequestLine => self.request_line(line)?,
                Stage::Headers if line.is_empty() => return self.finish().map(Some),
                Stage::Headers => self.header(line)?,
            }
        }
        self.searched = bytes.len();
        if bytes.len() >= self.bytes_max {
            return Err(Malformed::HeadersTooLarge);
        }
        Ok(None)
    }

    /// `method SP request-target SP HTTP-version` (RFC 9112 §3).
    fn request_line(&mut self, line: &[u8]) -> Result<(), Malformed> {
        let space = memchr::memchr(b' ', line).ok_or(Malformed::Syntax)?;
        let (method, rest) = (&line[..space], &line[space + 1..]);
        let space = memchr::memchr(b' ', rest).ok_or(Malformed::Syntax)?;
        let (target, version) = (&rest[..space], &rest[space + 1..]);
        self.is_http_10 = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ => return Err(Malformed::Syntax),
        };
        let named = (1..=METHOD_BYTES_MAX).contains(&method.len());
        if !named || !is_token(method) || !is_target(target) {
            return Err(Malformed::Syntax);
        }
        if method == b"CONNECT" {
            return Err(Malformed::Connect);
        }
        // A fragment is no part of a target, and the parser behind would drop it silently.
        if target[0] != b'/' || target.contains(&b'#') {
            return Err(Malformed::Form);
        }
        self.stage = Stage::Headers;
        Ok(())
    }

    /// `field-name ":" OWS field-value OWS` (§5), never folded (§5.2).
    fn header(&mut self, line: &[u8]) -> Result<(), Malformed> {
        self.headers += 1;
        if self.headers > HEADERS_MAX {
            return Err(Malformed::HeadersTooLarge);
        }
        let name_bytes = line.iter().take_while(|b| TOKEN[usize::from(**b)]).count();
        let (name, rest) = line.split_at(name_bytes);
        let value = rest.strip_prefix(b":").ok_or(Malformed::Syntax)?;
        if name.is_empty() || !is_text(value) {
            return Err(Malformed::Syntax);
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                self.hosts += 1;
                is_host(value.trim_ascii()).then_some(()).ok_or(Malformed::Host)
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.upgrades += 1;
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                self.lengths += 1;
                self.length = length(value.trim_ascii()).ok_or(Malformed::Framing)?;
                Ok(())
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.codings += 1;
                // Whatever else there is, some back end does not know it.
                let known = value.trim_ascii().eq_ignore_ascii_case(b"chunked");
                (known && !self.is_http_10).then_some(()).ok_or(Malformed::Framing)
            }
            _ => Ok(()),
        }
    }

    fn finish(&self) -> Result<Head, Malformed> {
        if self.hosts != 1 {
            return Err(Malformed::Host);
        }
        if self.lengths + self.codings > 1 {
            return Err(Malformed::Framing);
        }
        let body = match (self.upgrades, self.codings) {
            (0, 0) => Body::Exactly(self.length),
            (0, _) => Body::Chunked,
            _ => Body::Upgrade,
        };
        Ok(Head { bytes: self.line, body })
    }
}

/// `token` (RFC 9110 §5.6.2).
fn is_token(bytes: &[u8]) -> bool {
    bytes.iter().all(|&b| TOKEN[usize::from(b)])
}

/// Something, without blanks and control characters; the rest is for [`target`](crate::target).
fn is_target(bytes: &[u8]) -> bool {
    !bytes.is_empty() && !bytes.iter().fold(false, |found, &b| found | (b <= b' ') | (b == 0x7f))
}

/// No control characters but the tab.
fn is_text(bytes: &[u8]) -> bool {
    let plain = |b: &u8| (*b >= b' ' && *b != 0x7f) || *b == b'\t';
    let (words, rest) = bytes.as_chunks::<8>();
    // A credential is long: eight bytes at a time, and one by one only where a tab may be.
    let of_word =
        |word: &[u8; 8]| !may_hold_controls(u64::from_ne_bytes(*word)) || word.iter().all(plain);
    words.iter().all(of_word) && rest.iter().all(plain)
}

/// Whether one of eight bytes is below the space, or DEL (Mycroft, 1987: a byte less than n borrows
/// into its own upper bit).
fn may_hold_controls(word: u64) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let less = |word: u64, n: u64| word.wrapping_sub(EACH * n) & !word & (EACH << 7);
    (less(word, 0x20) | less(word ^ (EACH * 0x7f), 1)) != 0
}

/// A name or an address and perhaps a port (§7.2), without user, path or anything clever.
fn is_host(value: &[u8]) -> bool {
    let plain =
        |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    !value.is_empty() && value.iter().all(plain)
}

/// Digits alone (§8.6); 18 of them are more than anyone sends, and never overflow.
fn length(value: &[u8]) -> Option<u64> {
    if !(1..=18).contains(&value.len()) || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

static TOKEN: [bool; 256] = {
    let mut token = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        token[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    token
};

#[cfg(test)]
mod tests {
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
}
