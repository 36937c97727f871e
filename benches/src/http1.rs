//! As much of HTTP/1.1 as the client and the back end of a measurement need: heads, and bodies of a
//! stated length. They must cost little, since they share a core.

/// The longest head that is read, in bytes.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

const HEAD_END: &[u8] = b"\r\n\r\n";

/// Finds the end of the first head: the index just past its empty line.
///
/// The first `looked_at` bytes were looked at before, when fewer had come.
pub fn head_end(bytes: &[u8], looked_at: usize) -> Option<usize> {
    // The empty line may have begun in what was looked at.
    let from = looked_at.saturating_sub(HEAD_END.len() - 1);
    let found = bytes.get(from..)?.windows(HEAD_END.len()).position(|four| four == HEAD_END)?;
    Some(from + found + HEAD_END.len())
}

/// What the head of an answer says about the connection it came on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerHead {
    /// The status code.
    pub status: u16,
    /// How many bytes of body follow.
    pub body_bytes: usize,
    /// Whether the server will close the connection.
    pub closes: bool,
}

/// An answer that the client of a measurement does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// No status line of HTTP/1.1.
    #[error("no status line of HTTP/1.1")]
    StatusLine,
    /// A body whose length is not stated by one `Content-Length`.
    #[error("a body without a stated length")]
    Length,
}

impl AnswerHead {
    /// Reads a head, from its first byte to its empty line.
    ///
    /// # Errors
    /// [`AnswerError`], for what no server here has a reason to send.
    pub fn parse(head: &[u8]) -> Result<Self, AnswerError> {
        let code = head.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let code = code.and_then(number).ok_or(AnswerError::StatusLine)?;
        let status = u16::try_from(code).map_err(|_| AnswerError::StatusLine)?;
        let (mut length, mut closes) = (None, false);
        for line in head.split(|byte| *byte == b'\n').skip(1) {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") {
                length = Some(number(value).ok_or(AnswerError::Length)?);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                return Err(AnswerError::Length);
            } else if name.eq_ignore_ascii_case(b"connection") {
                closes = value.eq_ignore_ascii_case(b"close");
            }
        }
        // These two have no body (RFC 9112 §6.3).
        let body_bytes = match status {
            204 | 304 => 0,
            _ => length.ok_or(AnswerError::Length)?,
        };
        Ok(Self { status, body_bytes, closes })
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_head_is_found_wherever_the_pieces_break() {
        let bytes = b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /next";
        for looked_at in 0..=26 {
            assert_eq!(head_end(bytes, looked_at), Some(27), "{looked_at}");
        }
        assert_eq!(head_end(&bytes[..26], 0), None);
        assert_eq!(head_end(b"", 0), None);
    }

    #[test]
    fn an_answer_tells_status_length_and_whether_it_is_the_last() {
        let head = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 17\r\nConnection: Close\r\n\r\n";
        let read = AnswerHead { status: 401, body_bytes: 17, closes: true };
        assert_eq!(AnswerHead::parse(head), Ok(read));
        let head = b"HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n";
        let read = AnswerHead { status: 204, body_bytes: 0, closes: false };
        assert_eq!(AnswerHead::parse(head), Ok(read));
    }

    #[test]
    fn a_body_of_unknown_length_is_an_error() {
        for head in [
            &b"HTTP/1.1 200 OK\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        ] {
            assert_eq!(AnswerHead::parse(head), Err(AnswerError::Length));
        }
    }

    #[test]
    fn a_head_that_does_not_begin_with_a_status_line_is_an_error() {
        for head in
            [&b"HTTP/1.0 200 OK\r\n\r\n"[..], b"HTTP/1.1 2x0 OK\r\n\r\n", b"", b"HTTP/1.1 2"]
        {
            assert_eq!(AnswerHead::parse(head), Err(AnswerError::StatusLine));
        }
    }
}
