//! A request, as bytes.

use super::bearer;

/// The `Host` of every request that names no other.
pub(super) const HOST: &str = "gateway.test";

/// A request to be sent as it is written: nothing is checked, escaped or put in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// A request with any method; `Host` is added when it is sent, unless it was given.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// A GET.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST.
    pub fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    /// Adds a header, after those there are.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a bearer token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &bearer(token))
    }

    /// Adds a body and its length.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Adds a form of plain words: they are not escaped.
    #[must_use]
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let fields: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.header("Content-Type", "application/x-www-form-urlencoded").body(fields.join("&"))
    }

    /// Adds a JSON body.
    #[must_use]
    pub fn json(self, value: &serde_json::Value) -> Self {
        self.header("Content-Type", "application/json").body(value.to_string())
    }

    /// The method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The request line, without its end.
    pub fn line(&self) -> String {
        format!("{} {} HTTP/1.1", self.method, self.target)
    }

    /// What goes over the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut head = format!("{}\r\n", self.line());
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("Host: {HOST}\r\n"));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend(self.body.iter().flatten());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_sent_as_it_was_written() {
        let bytes = Request::post("//a?b").header("x-A", "1").bearer("t").body("hi").to_bytes();
        let text = "POST //a?b HTTP/1.1\r\nHost: gateway.test\r\nx-A: 1\r\nAuthorization: Bearer t\r\n\
            Content-Length: 2\r\n\r\nhi";
        assert_eq!(String::from_utf8(bytes).unwrap(), text);
    }

    #[test]
    fn a_host_that_was_given_stands_alone() {
        let bytes = Request::get("/").header("hOsT", "other").to_bytes();
        assert_eq!(String::from_utf8(bytes).unwrap(), "GET / HTTP/1.1\r\nhOsT: other\r\n\r\n");
    }
}
