//! The providers that are configured, by name.

use std::collections::BTreeMap;
use std::fmt;

use kernel::secret::Secret;
use kernel::time::Timestamp;

use super::attested::Attested;
use super::attested::ProviderError;
use super::flow::Flow;
use super::github::Github;
use super::oidc::Oidc;

/// A provider's name: what stands after `/auth/` in its paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    /// `google`
    Google,
    /// `github`
    Github,
    /// `oidc/…`
    Oidc(String),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Google => f.write_str("google"),
            Self::Github => f.write_str("github"),
            Self::Oidc(name) => write!(f, "oidc/{name}"),
        }
    }
}

/// One of them.
pub(crate) enum Provider {
    /// Of OpenID Connect.
    Oidc(Box<Oidc>),
    /// GitHub.
    Github(Box<Github>),
}

impl Provider {
    /// What its people are told apart from others' by.
    pub(crate) fn issuer(&self) -> &str {
        match self {
            Self::Oidc(oidc) => oidc.issuer(),
            Self::Github(github) => github.issuer(),
        }
    }

    /// Where the browser comes back to.
    pub(crate) fn redirect_uri(&self) -> &str {
        match self {
            Self::Oidc(oidc) => oidc.redirect_uri(),
            Self::Github(github) => github.redirect_uri(),
        }
    }

    /// Whether an answer that says it is of `iss` is this provider's (RFC 9207 §2.4).
    pub(crate) fn is_issuer(&self, iss: &str) -> bool {
        match self {
            Self::Oidc(oidc) => oidc.is_issuer(iss),
            // It has no issuer that it would call itself by.
            Self::Github(_) => true,
        }
    }

    /// Where the browser is sent.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`].
    pub(crate) async fn authorization_url(
        &self,
        flow: &Flow,
        now: Timestamp,
    ) -> Result<String, ProviderError> {
        match self {
            Self::Oidc(oidc) => oidc.authorization_url(flow, now).await,
            Self::Github(github) => Ok(github.authorization_url(flow)),
        }
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
        match self {
            Self::Oidc(oidc) => oidc.identify(code, flow, now).await,
            Self::Github(github) => github.identify(code, flow, now).await,
        }
    }
}

/// All that are configured.
#[derive(Default)]
pub(crate) struct Providers(BTreeMap<Name, Provider>);

impl Providers {
    /// As configured; none of them is asked anything yet.
    ///
    /// # Errors
    /// Where no TLS client can be made.
    pub(crate) fn new(
        oauth: &config::OAuth,
        listen: &config::Listen,
    ) -> Result<Self, reqwest::Error> {
        let config::OAuth { google, github, oidc } = oauth;
        if google.is_none() && github.is_none() && oidc.is_empty() {
            return Ok(Self::default());
        }
        let client = outbound::client()?;
        let origin = listen.origin().unwrap_or_default();
        let comes_back = |name: &Name, provider: &config::Provider| {
            let configured = provider.redirect_uri.clone();
            configured.unwrap_or_else(|| format!("{origin}/auth/{name}/callback"))
        };
        let of_oidc = |name: Name, provider: &config::Provider| {
            let issuer = provider.issuer.as_deref().unwrap_or_default();
            let redirect_uri = comes_back(&name, provider);
            let oidc = Oidc::new(issuer, provider, redirect_uri, client.clone());
            (name, Provider::Oidc(Box::new(oidc)))
        };
        let of_github = |provider: &config::Provider| {
            let redirect_uri = comes_back(&Name::Github, provider);
            let github = Github::new(provider, redirect_uri, client.clone())?;
            Some((Name::Github, Provider::Github(Box::new(github))))
        };
        let google = google.iter().map(|provider| of_oidc(Name::Google, provider));
        let oidc = oidc.iter().map(|(name, provider)| of_oidc(Name::Oidc(name.clone()), provider));
        let github = github.iter().filter_map(of_github);
        Ok(Self(google.chain(oidc).chain(github).collect()))
    }

    /// The provider of that name.
    pub(crate) fn find(&self, name: &Name) -> Option<&Provider> {
        self.0.get(name)
    }

    /// The issuers by whose word people can sign in.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(Provider::issuer)
    }
}
