//! What a back end says of a request that reached it.

use serde_json::Value;
use serde_json::json;

use crate::http1::Answer;

/// A request as it arrived: nothing is folded, trimmed or decoded. Texts hold one character for each
/// byte (Latin-1), so that no byte is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Echo {
    /// The first line, without its end.
    pub request_line: String,
    /// Names and values, in order; a value has lost the space around it and nothing else.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: String,
}

impl Echo {
    /// Reads a whole head, with its empty line, and the body that followed.
    pub fn of(head: &[u8], body: &[u8]) -> Self {
        let head = latin1(head);
        let mut lines = head.split("\r\n").take_while(|line| !line.is_empty());
        let request_line = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').unwrap_or((line, ""));
                (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
            })
            .collect();
        Self { request_line, headers, body: latin1(body) }
    }

    /// Reads the JSON that a back end answered with.
    ///
    /// # Panics
    /// When it is something else.
    #[track_caller]
    pub fn from_json(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let headers = value["headers"].as_array().unwrap_or_else(|| panic!("no echo but {value}"));
        Self {
            request_line: text(&value["request_line"]),
            headers: headers.iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
            body: text(&value["body"]),
        }
    }

    /// Reads what a back end answered through the gateway.
    ///
    /// # Panics
    /// When it is something else.
    #[track_caller]
    pub fn of_answer(answer: &Answer) -> Self {
        Self::from_json(&answer.json())
    }

    /// The JSON of it.
    pub fn to_json(&self) -> Value {
        json!({ "request_line": self.request_line, "headers": self.headers, "body": self.body })
    }

    /// The method.
    pub fn method(&self) -> &str {
        self.word(0)
    }

    /// The target: path and query.
    pub fn target(&self) -> &str {
        self.word(1)
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    fn word(&self, index: usize) -> &str {
        self.request_line.split(' ').nth(index).unwrap_or_default()
    }

    /// The values of all headers of that name, in any case of letters.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The value of the only header of that name.
    ///
    /// # Panics
    /// When there are several.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{} headers `{name}`: {all:?}", all.len());
        all.first().copied()
    }
}

/// One character for each byte.
pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_order_and_odd_bytes_of_a_request_are_kept() {
        let echo = Echo::of(b"GET /a%20b HTTP/1.1\r\nHOST: x\r\nx-B:  \xff \r\n\r\n", b"\x00\x80");
        assert_eq!(echo.path(), "/a%20b");
        assert_eq!(echo.headers[0], ("HOST".to_owned(), "x".to_owned()));
        assert_eq!(echo.headers[1], ("x-B".to_owned(), "\u{ff}".to_owned()));
        assert_eq!(echo.body, "\0\u{80}");
        assert_eq!(Echo::from_json(&echo.to_json()), echo);
    }
}
