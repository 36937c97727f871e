//! One question to the admin API, and its answer.

use std::time::Duration;

use config::GatewayHalf;
use http::HeaderMap;
use http::HeaderValue;
use http::header::IF_NONE_MATCH;
use kernel::front::FLEET_TOKEN;
use outbound::Answer;
use outbound::CALL_TIMEOUT;
use outbound::CallError;
use outbound::NoRoots;
use reqwest::Client;
use reqwest::StatusCode;

// The most rows that are sent in one answer are read in one.
const _: () = assert!(kernel::fleet::ROWS_BYTES_MAX <= outbound::ANSWER_BYTES_MAX);

/// Why there is no line to an admin API.
#[derive(Debug, thiserror::Error)]
pub enum NoLine {
    /// Certificates that vouch for nobody.
    #[error("`fleet.ca`: {0}")]
    Roots(#[from] NoRoots),
    /// The TLS library has no use for its settings.
    #[error("other servers cannot be reached from here")]
    Client(#[from] reqwest::Error),
}

/// Why the admin API gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// No answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It does not know us.
    #[error("it does not take our token: is `fleet.token` the same there and here?")]
    Token,
    /// It cannot answer just now, or answers something else.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// An answer that cannot be read.
    #[error("its answer cannot be read: {0}")]
    Body(String),
}

impl LineError {
    /// Whether the admin API, or what it needs, is away: nothing is wrong with what it says.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Call(CallError::Unreachable(_)) => true,
            Self::Status(status) => status.is_server_error(),
            Self::Call(CallError::TooLarge) | Self::Token | Self::Body(_) => false,
        }
    }
}

/// A line to the admin API; cheap to clone.
#[derive(Clone, Debug)]
pub struct Line {
    client: Client,
    base: String,
    token: HeaderValue,
}

impl Line {
    /// The line that `half` describes.
    ///
    /// # Errors
    /// [`NoLine`].
    pub fn new(half: &GatewayHalf) -> Result<Self, NoLine> {
        let client = match &half.ca {
            Some(pem) => outbound::client_trusting(outbound::roots_in(pem.expose())?)?,
            None => outbound::client()?,
        };
        Ok(Self { client, base: half.admin_url.clone(), token: token_header(half) })
    }

    /// Asks for `path` with `query`; the answer may take `wait` and the time of a call. With `known`,
    /// an answer like that one is 304.
    ///
    /// # Errors
    /// [`LineError`], for every status but 200 and 304 too.
    pub async fn ask(
        &self,
        path: &str,
        query: &[(&str, String)],
        known: Option<&HeaderValue>,
        wait: Duration,
    ) -> Result<Answer, LineError> {
        let mut headers = HeaderMap::new();
        headers.insert(FLEET_TOKEN, self.token.clone());
        if let Some(known) = known {
            headers.insert(IF_NONE_MATCH, known.clone());
        }
        let request = self.client.get(format!("{}{path}", self.base)).query(query);
        let request = request.headers(headers).timeout(wait + CALL_TIMEOUT);
        let answer = outbound::call(request).await?;
        match answer.status {
            StatusCode::OK | StatusCode::NOT_MODIFIED => Ok(answer),
            StatusCode::UNAUTHORIZED => Err(LineError::Token),
            status => Err(LineError::Status(status)),
        }
    }
}

/// The fleet's token as a header's value, which no log shows.
pub fn token_header(half: &GatewayHalf) -> HeaderValue {
    // The configuration lets nothing else pass.
    let mut token =
        HeaderValue::from_str(half.token.expose()).expect("a token of the fleet is visible ASCII");
    token.set_sensitive(true);
    token
}
