//! The line to a provider: HTTP calls, until it has failed too often.

use std::time::Duration;

use http::HeaderMap;
use kernel::time::Timestamp;
use outbound::Answer;
use reqwest::Client;
use reqwest::RequestBuilder;

use super::breaker::Breaker;

/// Why there is no answer, or none that can be read. Holds no URL: queries hold secrets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The breaker is open.
    #[error("it failed several times and is left alone for {}s more", .0.as_secs())]
    LeftAlone(Duration),
    #[error(transparent)]
    Failed(#[from] outbound::CallError),
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
        let answer = outbound::call(request).await;
        match &answer {
            // A code that the provider does not take is no fault of the provider's: else whoever
            // sends enough of them would keep everybody out.
            Ok(answer) if !answer.status.is_server_error() => self.breaker.succeeded(),
            Ok(_) | Err(_) => self.breaker.failed(now),
        }
        Ok(answer?)
    }
}

#[cfg(test)]
mod tests;
