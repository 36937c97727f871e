//! As much of Redis's protocol (RESP2) as a test needs to ask one thing.

use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;

/// A reply of Redis.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A short text, such as `OK`.
    Simple(String),
    /// An error, such as `ERR unknown command`.
    Error(String),
    /// A whole number.
    Integer(i64),
    /// A value, or none.
    Bulk(Option<String>),
    /// Several replies.
    Array(Vec<Reply>),
}

impl Reply {
    /// The reply that says `text`; equal to it in either of the protocol's two forms.
    pub fn text(text: &str) -> Self {
        Self::Bulk(Some(text.to_owned()))
    }
}

impl PartialEq for Reply {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Simple(a) | Self::Bulk(Some(a)), Self::Simple(b) | Self::Bulk(Some(b))) => {
                a == b
            }
            (Self::Error(a), Self::Error(b)) => a == b,
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Bulk(None), Self::Bulk(None)) => true,
            (Self::Array(a), Self::Array(b)) => a == b,
            _ => false,
        }
    }
}

/// A connection over which one thing is asked after the other.
pub(super) struct Connection<S>(BufReader<S>);

impl<S: Read + Write> Connection<S> {
    pub(super) fn new(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    /// Sends one command and reads its reply.
    pub(super) fn ask(&mut self, words: &[&str]) -> io::Result<Reply> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.0.get_mut().write_all(request.as_bytes())?;
        self.next()
    }

    /// Reads what comes next, asked for or not.
    pub(super) fn next(&mut self) -> io::Result<Reply> {
        read(&mut self.0)
    }
}

fn read(from: &mut impl BufRead) -> io::Result<Reply> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let line = line.strip_suffix("\r\n").ok_or_else(|| malformed(&line))?;
    let Some(kind) = line.get(..1) else {
        return Err(malformed(line));
    };
    let rest = line[1..].to_owned();
    let number = || rest.parse::<i64>().map_err(|_| malformed(line));
    match kind {
        "+" => Ok(Reply::Simple(rest)),
        "-" => Ok(Reply::Error(rest)),
        ":" => Ok(Reply::Integer(number()?)),
        "$" => match usize::try_from(number()?) {
            Ok(length) => read_value(from, length),
            Err(_) => Ok(Reply::Bulk(None)),
        },
        "*" => (0..number()?).map(|_| read(from)).collect::<io::Result<_>>().map(Reply::Array),
        _ => Err(malformed(line)),
    }
}

fn read_value(from: &mut impl BufRead, length: usize) -> io::Result<Reply> {
    let mut value = vec![0; length + 2];
    from.read_exact(&mut value)?;
    value.truncate(length);
    Ok(Reply::Bulk(Some(String::from_utf8_lossy(&value).into_owned())))
}

fn malformed(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("`{line}` is no reply of Redis"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_reply_is_read() {
        let text = "*5\r\n+OK\r\n-ERR no\r\n:-7\r\n$5\r\na\r\nbc\r\n$-1\r\n";
        let expected = Reply::Array(vec![
            Reply::Simple("OK".to_owned()),
            Reply::Error("ERR no".to_owned()),
            Reply::Integer(-7),
            Reply::text("a\r\nbc"),
            Reply::Bulk(None),
        ]);
        assert_eq!(read(&mut text.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn a_closed_connection_and_junk_are_errors() {
        for text in ["", "+OK", "HTTP/1.1 400 Bad Request\r\n", "$5\r\nab"] {
            assert!(read(&mut text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
