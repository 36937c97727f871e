//! People as lines of JSON, one object each.

use std::io;
use std::io::BufRead;
use std::io::Read;

use kernel::secret::Secret;
use serde::Deserialize;

use super::arrival::Arrival;
use super::arrival::Told;
use super::arrival::address;
use super::arrival::at;
use super::arrival::given;
use super::arrival::id;
use super::arrival::name;
use super::fault::LINE_BYTES_MAX;
use super::fault::RowFault;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: Option<TextOrNumber>,
    username: Option<String>,
    email: Option<String>,
    hashed_password: Option<String>,
    full_name: Option<String>,
    tier: Option<String>,
    role: Option<String>,
    scopes: Option<Vec<String>>,
    is_active: Option<bool>,
    is_verified: Option<bool>,
    last_login: Option<TextOrNumber>,
    created_at: Option<TextOrNumber>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TextOrNumber {
    Text(String),
    Number(serde_json::Number),
}

impl TextOrNumber {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

/// Lines, counted from 1; empty ones are left out.
pub(super) struct Lines<R> {
    reader: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn of(reader: R) -> Self {
        Self { reader, number: 0 }
    }

    fn next_line(&mut self) -> io::Result<Option<Told>> {
        loop {
            let mut line = Vec::new();
            let room = LINE_BYTES_MAX as u64 + 2;
            let read = self.reader.by_ref().take(room).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            let is_whole = line.last() == Some(&b'\n');
            while matches!(line.last(), Some(b'\n' | b'\r')) {
                line.pop();
            }
            let is_long = line.len() > LINE_BYTES_MAX;
            if !is_whole {
                self.skip_line()?;
            }
            if !is_long && line.trim_ascii().is_empty() {
                continue;
            }
            let who = if is_long { Err(RowFault::Long) } else { arrival(&line) };
            return Ok(Some(Told { at: format!("line {}", self.number), who }));
        }
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let there = self.reader.fill_buf()?;
            if there.is_empty() {
                return Ok(());
            }
            let end = there.iter().position(|b| *b == b'\n');
            let taken = end.map_or(there.len(), |end| end + 1);
            self.reader.consume(taken);
            if end.is_some() {
                return Ok(());
            }
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<Told>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_line().transpose()
    }
}

fn arrival(line: &[u8]) -> Result<Arrival, RowFault> {
    let line: Line = serde_json::from_slice(line).map_err(|error| RowFault::Json(said(&error)))?;
    let email = address(line.email);
    Ok(Arrival {
        id: line.id.map(|it| id(&it.text())).transpose()?,
        username: name(given(line.username), email.as_deref())?,
        email,
        hash: given(line.hashed_password).map(Secret::new),
        full_name: given(line.full_name),
        tier: given(line.tier),
        role: given(line.role),
        scopes: line.scopes,
        is_active: line.is_active,
        is_verified: line.is_verified,
        last_login: at("last_login", line.last_login.map(TextOrNumber::text))?,
        created_at: at("created_at", line.created_at.map(TextOrNumber::text))?,
    })
}

/// What is wrong, without the value that is there: it may be a hash.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(&*text, |(text, _)| text);
    let is_of_a_value = text.starts_with("invalid type") || text.starts_with("invalid value");
    match text.rsplit_once(", expected ") {
        Some((_, expected)) if is_of_a_value => {
            format!("something else than what is expected: {expected} (column {})", error.column())
        }
        _ if error.is_data() => text.to_owned(),
        _ => format!("no JSON: {text} (column {})", error.column()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: impl AsRef<[u8]>) -> Vec<(String, Result<Arrival, String>)> {
        let lines = Lines::of(text.as_ref()).map(|told| {
            let told = told.unwrap();
            (told.at, told.who.map_err(|fault| fault.to_string()))
        });
        lines.collect()
    }

    #[track_caller]
    fn fault(line: &str) -> String {
        let mut all = read(line);
        assert_eq!(all.len(), 1);
        all.remove(0).1.expect_err(line)
    }

    #[test]
    fn every_line_is_a_person_and_empty_ones_are_nobody() {
        let all = read(
            "{\"username\":\"ann\",\"id\":17,\"created_at\":1735732800}\n\n  \r\n\
             {\"email\":\"bob@example.com\",\"is_active\":false,\"scopes\":[\"a\"],\"tier\":null}",
        );
        let [(one, ann), (four, bob)] = &all[..] else { panic!("{all:?}") };
        assert_eq!((one.as_str(), four.as_str()), ("line 1", "line 4"));
        let (ann, bob) = (ann.as_ref().unwrap(), bob.as_ref().unwrap());
        assert_eq!((&*ann.username, ann.id.as_deref()), ("ann", Some("17")));
        assert_eq!(ann.created_at.unwrap().as_secs(), 1_735_732_800);
        assert_eq!((&*bob.username, bob.is_active), ("bob@example.com", Some(false)));
        assert_eq!((bob.scopes.as_deref(), &bob.tier), (Some(&["a".to_owned()][..]), &None));
    }

    #[test]
    fn an_unknown_key_is_named_with_those_that_are_known() {
        let fault = fault(r#"{"username":"ann","password":"hunter2"}"#);
        assert!(fault.starts_with("unknown field `password`, expected one of `id`"), "{fault}");
        assert!(!fault.contains("hunter2"));
    }

    #[test]
    fn what_is_no_person_is_said_without_what_it_is() {
        for line in [
            r#"{"username":"ann","is_active":"$2b$12$hunter2"}"#,
            r#""$2b$12$hunter2""#,
            r#"{"username":"ann","hashed_password":["$2b$12$hunter2"]}"#,
            r#"{"username":"ann","username":"$2b$12$hunter2"}"#,
            r#"{"username":"ann" "$2b$12$hunter2"}"#,
            r#"{"username":"ann","id":["$2b$12$hunter2"]}"#,
            "{",
        ] {
            let fault = fault(line);
            assert!(!fault.contains("hunter2") && fault.len() < 200, "{fault}");
        }
        assert!(fault(r#"{"id":1}"#).contains("neither a user name nor an e-mail address"));
        let moment = fault(r#"{"username":"ann","created_at":"soon"}"#);
        assert_eq!(moment, "`created_at` is `soon`, which is no moment since 1970");
    }

    #[test]
    fn a_line_of_64_kib_is_the_longest_and_the_one_after_it_is_read() {
        let line = |bytes: usize| {
            let empty = "{\"username\":\"ann\",\"full_name\":\"\"}".len();
            format!("{{\"username\":\"ann\",\"full_name\":\"{}\"}}", "x".repeat(bytes - empty))
        };
        let ends = ["\n", "\r\n", ""];
        for end in ends {
            assert!(read(line(LINE_BYTES_MAX) + end)[0].1.is_ok(), "{end:?}");
        }
        for too_many in [1, 2, 3, LINE_BYTES_MAX] {
            let all = read(line(LINE_BYTES_MAX + too_many) + "\n{\"username\":\"bob\"}\n");
            assert_eq!(all.len(), 2);
            assert!(all[0].1.as_ref().unwrap_err().contains("longer than 65536 bytes"));
            assert_eq!((&*all[1].0, all[1].1.is_ok()), ("line 2", true));
        }
    }
}
