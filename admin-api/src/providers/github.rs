//! GitHub: OAuth 2.0 with habits of its own.
//!
//! It says 200 to codes that it does not take, with an `error` in the body; it answers forms unless
//! JSON is asked for; it has no id tokens, so who somebody is must be asked; people can take
//! another's abandoned name, never another's number; and which address is theirs is a third
//! question.

use http::HeaderMap;
use http::HeaderValue;
use http::StatusCode;
use http::header::ACCEPT;
use http::header::AUTHORIZATION;
use kernel::secret::Secret;
use kernel::time::Timestamp;
use outbound::Answer;
use reqwest::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::attested::Attested;
use super::attested::ProviderError;
use super::flow::Flow;
use super::line::Line;
use super::messages::accept_json;
use super::messages::bearer;
use super::messages::of_call;
use super::messages::said;
use super::messages::with_query;

/// The version of the interface that is spoken.
const API_VERSION: &str = "2022-11-28";

/// GitHub, or a GitHub Enterprise Server.
pub(crate) struct Github {
    issuer: String,
    client_id: String,
    client_secret: Secret,
    redirect_uri: String,
    scopes: String,
    authorization_url: String,
    token_url: String,
    user_url: String,
    emails_url: String,
    line: Line,
}

/// The answer of the token endpoint, of either kind.
#[derive(Deserialize)]
struct Tokens {
    access_token: Option<String>,
    error: Option<String>,
}

/// Somebody on GitHub.
#[derive(Deserialize)]
struct Account {
    id: u64,
    login: String,
    #[serde(default)]
    name: Option<String>,
}

/// One of their addresses.
#[derive(Deserialize)]
struct Address {
    email: String,
    primary: bool,
    verified: bool,
}

impl Github {
    /// As configured; `None` where a URL is missing, which GitHub has no discovery for.
    pub(crate) fn new(
        provider: &config::Provider,
        redirect_uri: String,
        client: Client,
    ) -> Option<Self> {
        let authorization_url = provider.authorization_url.clone()?;
        let issuer = provider.issuer.clone();
        Some(Self {
            issuer: issuer.unwrap_or_else(|| origin(&authorization_url).to_owned()),
            client_id: provider.client_id.clone(),
            client_secret: provider.client_secret.clone(),
            redirect_uri,
            scopes: provider.scopes.join(" "),
            authorization_url,
            token_url: provider.token_url.clone()?,
            user_url: provider.userinfo_url.clone()?,
            emails_url: provider.emails_url.clone()?,
            line: Line::new(client),
        })
    }

    /// What its people are told apart from others' by.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Where the browser comes back to.
    pub(crate) fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Where the browser is sent.
    pub(crate) fn authorization_url(&self, flow: &Flow) -> String {
        let parameters = [
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", &self.scopes),
            ("state", flow.state.expose()),
            ("code_challenge", &flow.challenge()),
            ("code_challenge_method", "S256"),
        ];
        with_query(&self.authorization_url, &parameters)
    }

    /// Who came back with `code`.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub(crate) async fn identify(
        &self,
        code: &Secret,
        flow: &Flow,
        now: Timestamp,
    ) -> Result<Attested, ProviderError> {
        let token = self.exchange(code, flow, now).await?;
        let account: Account = read(&self.ask(&self.user_url, &token, now).await?)?;
        let addresses = self.ask(&self.emails_url, &token, now).await?;
        let addresses: Vec<Address> = match addresses.status {
            // Not allowed to see them: then there are none.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Vec::new(),
            _ => read(&addresses)?,
        };
        let theirs = addresses.into_iter().find(|address| address.primary && address.verified);
        Ok(Attested {
            issuer: self.issuer.clone(),
            subject: account.id.to_string(),
            verified_email: theirs.map(|address| address.email),
            nick: Some(account.login),
            full_name: account.name.filter(|name| !name.is_empty()),
        })
    }

    async fn exchange(
        &self,
        code: &Secret,
        flow: &Flow,
        now: Timestamp,
    ) -> Result<Secret, ProviderError> {
        let form = [
            ("client_id", self.client_id.as_str()),
            ("client_secret", self.client_secret.expose()),
            ("code", code.expose()),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", flow.verifier.expose()),
        ];
        let answer = self.line.post(&self.token_url, accept_json(), &form, now).await;
        let answer = answer.map_err(|error| of_call(error, ProviderError::Exchange))?;
        if !answer.status.is_success() {
            return Err(ProviderError::Exchange(said(&answer)));
        }
        match serde_json::from_slice(&answer.body) {
            Ok(Tokens { access_token: Some(token), error: None }) => Ok(Secret::new(token)),
            _ => Err(ProviderError::Exchange(said(&answer))),
        }
    }

    async fn ask(
        &self,
        url: &str,
        token: &Secret,
        now: Timestamp,
    ) -> Result<Answer, ProviderError> {
        let why = || ProviderError::Person("an access token that is none".to_owned());
        let headers = HeaderMap::from_iter([
            (ACCEPT, HeaderValue::from_static("application/vnd.github+json")),
            (AUTHORIZATION, bearer(token.expose()).ok_or_else(why)?),
            (
                http::HeaderName::from_static("x-github-api-version"),
                HeaderValue::from_static(API_VERSION),
            ),
        ]);
        let answer = self.line.get(url, headers, now).await;
        answer.map_err(|error| of_call(error, ProviderError::Person))
    }
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, ProviderError> {
    if !answer.status.is_success() {
        return Err(ProviderError::Person(said(answer)));
    }
    let why = "an answer of another shape";
    serde_json::from_slice(&answer.body).map_err(|_| ProviderError::Person(why.to_owned()))
}

/// Scheme, host and port of a URL that was checked.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?']).map_or(url.len(), |at| host + at);
    &url[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_people_of_two_installations_are_told_apart_by_their_origin() {
        for (url, expected) in [
            ("https://github.com/login/oauth/authorize", "https://github.com"),
            ("https://ghe.example:8443/login/oauth/authorize?a=/", "https://ghe.example:8443"),
            ("https://ghe.example?a", "https://ghe.example"),
            ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ] {
            assert_eq!(origin(url), expected);
        }
    }
}
