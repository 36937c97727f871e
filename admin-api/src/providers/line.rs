//! The line to a provider: HTTP calls with bounds in time, bytes and patience.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::StatusCode;
use kernel::jwks::JWKS_BYTES_MAX;
use kernel::time::Timestamp;
use reqwest::Client;
use reqwest::RequestBuilder;
use reqwest::redirect::Policy;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;

use super::breaker::Breaker;

/// How long one call may take, from connecting to the last byte.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The largest body that is read, in bytes.
pub(crate) const ANSWER_BYTES_MAX: usize = JWKS_BYTES_MAX;

/// What we call ourselves; GitHub answers nobody who does not say.
const USER_AGENT: &str = concat!("Doorward/", env!("CARGO_PKG_VERSION"));

/// Why there is no answer, or none that can be read. Holds no URL: queries hold secrets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The breaker is open.
    #[error("it failed several times and is left alone for {}s more", .0.as_secs())]
    LeftAlone(Duration),
    /// No connection, no answer in time, or one that broke off.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// Over [`ANSWER_BYTES_MAX`].
    #[error("an answer of more than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
}

/// What a provider answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

/// A provider that is called.
pub(crate) struct Line {
    client: Client,
    breaker: Breaker,
}

impl Line {
    /// A line of its own, over the connections of `client`.
    pub(crate) fn new(client: Client) -> Self {
        Self { client, breaker: Breaker::default() }
    }

    /// GETs `url`.
    ///
    /// # Errors
    /// [`CallError`]; an answer of any status is none.
    pub(crate) async fn get(
        &self,
        url: &str,
        headers: HeaderMap,
        now: Timestamp,
    ) -> Result<Answer, CallError> {
        self.call(self.client.get(url).headers(headers), now).await
    }

    /// POSTs a form to `url`.
    ///
    /// # Errors
    /// [`CallError`]; an answer of any status is none.
    pub(crate) async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        form: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<Answer, CallError> {
        self.call(self.client.post(url).headers(headers).form(form), now).await
    }

    async fn call(&self, request: RequestBuilder, now: Timestamp) -> Result<Answer, CallError> {
        self.breaker.pass(now).map_err(CallError::LeftAlone)?;
        let answer = read(request).await;
        match &answer {
            // A code that the provider does not take is no fault of the provider's: else whoever
            // sends enough of them would keep everybody out.
            Ok(answer) if !answer.status.is_server_error() => self.breaker.succeeded(),
            Ok(_) | Err(_) => self.breaker.failed(now),
        }
        answer
    }
}

async fn read(request: RequestBuilder) -> Result<Answer, CallError> {
    let unreachable = |error: reqwest::Error| CallError::Unreachable(cause(error.without_url()));
    let mut response = request.send().await.map_err(unreachable)?;
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(unreachable)? {
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(CallError::TooLarge);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answer { status: response.status(), body })
}

/// The error and all that it comes from.
fn cause(error: reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// What makes connections to providers; cheap to clone.
///
/// Redirects are not followed: an answer that leads elsewhere would take codes and secrets there.
/// Proxies of the environment are not used, so that it says nothing about where they go either.
///
/// # Errors
/// Where the TLS library has no use for its settings.
pub(crate) fn client() -> Result<Client, reqwest::Error> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    let (_, unread) = roots.add_parsable_certificates(native.certs);
    if roots.is_empty() || unread > 0 || !native.errors.is_empty() {
        tracing::warn!(
            "{} root certificates of the system can be used and {} cannot: providers whose \
             certificate needs one of the others cannot be reached",
            roots.len(),
            unread + native.errors.len()
        );
    }
    // Given by name: what the process has installed globally, or has not, makes no difference.
    let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(USER_AGENT)
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(CALL_TIMEOUT)
        .build()
}

#[cfg(test)]
mod tests;
