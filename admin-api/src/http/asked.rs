//! Who asks for what: the request as log lines and problem bodies name it.

use std::net::IpAddr;

use http::Extensions;
use http::HeaderMap;
use http::HeaderValue;
use http::header::USER_AGENT;
use http::request::Parts;
use kernel::front;
use uuid::Uuid;

use crate::prefix::Prefix;

/// The request, for those who write about it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: http::Method,
    /// The path, without the query: that may hold anything.
    pub(crate) path: String,
    pub(crate) request_id: String,
    pub(crate) client: Option<IpAddr>,
    pub(crate) user_agent: Option<HeaderValue>,
}

impl Asked {
    /// Reads it off the request; gives it an id where it has none that is fit to be repeated.
    pub(crate) fn of(parts: &Parts) -> Self {
        let id = text(&parts.headers, front::REQUEST_ID)
            .filter(|id| front::is_request_id(id.as_bytes()));
        Self {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            request_id: id.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned),
            client: text(&parts.headers, front::CLIENT_ADDRESS).and_then(|text| text.parse().ok()),
            user_agent: parts.headers.get(USER_AGENT).cloned(),
        }
    }

    /// The client's address, as log lines have it.
    pub(crate) fn client(&self) -> String {
        self.client.map_or_else(|| "unknown".to_owned(), |client| client.to_string())
    }
}

/// Where a request comes from, for counts that neighbours share.
pub(crate) fn from(extensions: &Extensions) -> Prefix {
    Prefix::of(extensions.get::<Asked>().and_then(|asked| asked.client))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
