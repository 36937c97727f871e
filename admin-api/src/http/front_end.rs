//! The one place that a browser is sent on to after it signed in: the configured front end.

use axum::response::IntoResponse;
use axum::response::Response;
use http::HeaderName;
use http::HeaderValue;
use http::StatusCode;
use http::header::LOCATION;
use kernel::secret::Secret;

use crate::people::arrivals::Welcome;
use crate::people::issue::Pair;
use crate::providers::messages::with_query;

/// A front end, and what it is told.
#[derive(Debug, Default)]
pub(crate) struct FrontEnd {
    url: Option<String>,
    wants_tokens: bool,
}

impl FrontEnd {
    /// As configured.
    pub(crate) fn of(auth: &config::Auth) -> Self {
        Self { url: auth.frontend_url.clone(), wants_tokens: auth.frontend_tokens_in_query }
    }

    /// What somebody gets who is let in.
    pub(crate) fn welcome(&self) -> Welcome {
        if self.url.is_some() && !self.wants_tokens { Welcome::Code } else { Welcome::Session }
    }

    /// Sends the browser on with a code for its tokens; the front end knows its own flow by
    /// `state`. `None` where there is no front end, as in all that follow.
    pub(crate) fn with_code(&self, code: &Secret, state: &Secret) -> Option<Response> {
        self.sent(&[("code", code.expose()), ("state", state.expose())])
    }

    /// Sends the browser on with the tokens themselves.
    pub(crate) fn with_tokens(&self, pair: &Pair) -> Option<Response> {
        let expires_in = pair.access_ttl.as_secs().to_string();
        self.sent(&[
            ("access_token", pair.access.expose()),
            ("refresh_token", pair.refresh.expose()),
            ("token_type", "bearer"),
            ("expires_in", &expires_in),
        ])
    }

    /// Sends the browser on with the word that an account at `provider` was linked.
    pub(crate) fn with_link(&self, provider: &str, state: &Secret) -> Option<Response> {
        self.sent(&[("linked", provider), ("state", state.expose())])
    }

    fn sent(&self, parameters: &[(&str, &str)]) -> Option<Response> {
        let location = with_query(self.url.as_deref()?, parameters);
        let mut location = HeaderValue::try_from(location).ok()?;
        location.set_sensitive(true);
        let no_referrer = HeaderValue::from_static("no-referrer");
        let headers =
            [(LOCATION, location), (HeaderName::from_static("referrer-policy"), no_referrer)];
        Some((StatusCode::TEMPORARY_REDIRECT, headers).into_response())
    }
}
