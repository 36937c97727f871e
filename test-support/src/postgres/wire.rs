//! As much of Postgres's protocol (version 3) as a test needs to ask one thing.

use std::io;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;

/// The columns of one row, as text; `None` is NULL.
pub type Row = Vec<Option<String>>;

/// Version 3.0, as the start message says it.
const PROTOCOL: u32 = 3 << 16;

/// A longer message than any test's answer means that the other side speaks something else.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Signs in without a password, runs `statements`, and returns their rows.
pub(super) fn query(
    stream: impl Read + Write,
    user: &str,
    database: &str,
    statements: &str,
) -> io::Result<Vec<Row>> {
    let mut stream = BufReader::new(stream);
    let mut hello = PROTOCOL.to_be_bytes().to_vec();
    for text in ["user", user, "database", database, ""] {
        hello.extend_from_slice(text.as_bytes());
        hello.push(0);
    }
    stream.get_mut().write_all(&with_length(&hello)?)?;
    rows_until_ready(&mut stream)?;

    let mut question = vec![b'Q'];
    question.extend(with_length(&[statements.as_bytes(), &[0]].concat())?);
    stream.get_mut().write_all(&question)?;
    let rows = rows_until_ready(&mut stream)?;
    // Goodbye; that the server left first is no fault of the answer.
    let _ = stream.get_mut().write_all(&[b'X', 0, 0, 0, 4]);
    Ok(rows)
}

/// Puts the length, which counts itself, before `body`.
fn with_length(body: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(body.len() + 4).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes(), body].concat())
}

/// Reads messages up to ReadyForQuery, and returns the rows among them.
fn rows_until_ready(stream: &mut impl Read) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut error = None;
    loop {
        let mut head = [0; 5];
        // A FATAL error is followed by the end of the connection, not by ReadyForQuery.
        match (stream.read_exact(&mut head), error.take()) {
            (Ok(()), earlier) => error = earlier,
            (Err(_), Some(earlier)) => return Err(earlier),
            (Err(gone), None) => return Err(gone),
        }
        let [kind, length @ ..] = head;
        let length = (u32::from_be_bytes(length) as usize)
            .checked_sub(4)
            .filter(|it| *it <= MESSAGE_BYTES_MAX);
        let mut body = vec![0; length.ok_or_else(|| malformed("length"))?];
        stream.read_exact(&mut body)?;
        match kind {
            b'Z' => return error.map_or(Ok(rows), Err),
            b'E' => error = Some(io::Error::other(error_text(&body))),
            b'D' => rows.push(row(&body).ok_or_else(|| malformed("row"))?),
            b'R' if body != [0; 4] => return Err(malformed("wish for a password")),
            // Parameters, notices, row descriptions, ends of statements.
            _ => {}
        }
    }
}

/// Reads DataRow: a count of columns, then each with its length, -1 for NULL.
fn row(body: &[u8]) -> Option<Row> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut row = Row::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            row.push(None);
            rest = after;
            continue;
        };
        let (value, after) = after.split_at_checked(length)?;
        row.push(Some(String::from_utf8_lossy(value).into_owned()));
        rest = after;
    }
    Some(row)
}

/// Puts severity, code and text of an ErrorResponse in one line.
fn error_text(body: &[u8]) -> String {
    let fields = body.split(|byte| *byte == 0).filter_map(|field| field.split_first());
    let wanted = fields.filter(|(kind, _)| matches!(kind, b'S' | b'C' | b'M'));
    wanted.map(|(_, text)| String::from_utf8_lossy(text)).collect::<Vec<_>>().join(" ")
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("unexpected {what} from what should be Postgres"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind], with_length(body).unwrap().as_slice()].concat()
    }

    fn read(messages: &[Vec<u8>]) -> io::Result<Vec<Row>> {
        rows_until_ready(&mut messages.concat().as_slice())
    }

    #[test]
    fn rows_are_read_with_null_apart_from_empty() {
        let data = [&[0, 3][..], &[0, 0, 0, 2], b"ab", &[0, 0, 0, 0], &[255; 4]].concat();
        let rows = read(&[message(b'T', b"x"), message(b'D', &data), message(b'Z', b"I")]).unwrap();
        assert_eq!(rows, [vec![Some("ab".to_owned()), Some(String::new()), None]]);
    }

    #[test]
    fn an_error_is_told_whether_or_not_the_server_goes_on() {
        let error = message(b'E', b"SFATAL\0C57P03\0Mstarting up\0\0");
        for messages in [vec![error.clone()], vec![error, message(b'Z', b"I")]] {
            assert_eq!(read(&messages).unwrap_err().to_string(), "FATAL 57P03 starting up");
        }
    }

    #[test]
    fn cut_and_foreign_messages_are_errors() {
        for bytes in [&b""[..], b"Z\0\0", b"Z\0\0\0\x00", b"HTTP/1.1 400 Bad", b"D\0\0\0\x06\0\x01"]
        {
            assert!(rows_until_ready(&mut &*bytes).is_err(), "{bytes:?}");
        }
    }
}
