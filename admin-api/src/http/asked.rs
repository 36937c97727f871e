//! Who asks for what: the request as log lines and problem bodies name it.

use std::net::IpAddr;

use http::HeaderMap;
use http::request::Parts;
use uuid::Uuid;

/// The header in which the gateway says where the client is. Only the gateway reaches the socket
/// on which it is believed.
pub const CLIENT_HEADER: &str = "x-doorward-client";

/// The header that carries the request's id.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// The longest request id that is taken over, in bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// The request, for those who write about it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: http::Method,
    /// The path, without the query: that may hold anything.
    pub(crate) path: String,
    pub(crate) request_id: String,
    pub(crate) client: Option<IpAddr>,
}

impl Asked {
    /// Reads it off the request; gives it an id where it has none that is fit to be repeated.
    pub(crate) fn of(parts: &Parts) -> Self {
        let id = text(&parts.headers, REQUEST_ID_HEADER).filter(|id| is_fit(id));
        Self {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            request_id: id.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned),
            client: text(&parts.headers, CLIENT_HEADER).and_then(|text| text.parse().ok()),
        }
    }

    /// The client's address, as log lines have it.
    pub(crate) fn client(&self) -> String {
        self.client.map_or_else(|| "unknown".to_owned(), |client| client.to_string())
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn is_fit(id: &str) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}
