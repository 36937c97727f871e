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
mod tests;
