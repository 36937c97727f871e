//! An OpenID Connect provider, by the authorization code flow (OpenID Connect Core §3.1).

use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use kernel::id_token;
use kernel::id_token::Expected;
use kernel::id_token::IdClaims;
use kernel::id_token::IdTokenError;
use kernel::id_token::PersonClaims;
use kernel::jwks::JwkSet;
use kernel::secret::Secret;
use kernel::time::Timestamp;
use reqwest::Client;
use serde::Deserialize;

use super::attested::Attested;
use super::attested::ProviderError;
use super::discovery;
use super::discovery::ClientAuth;
use super::discovery::Endpoints;
use super::flow::Flow;
use super::line::Line;
use super::messages::accept_json;
use super::messages::basic;
use super::messages::bearer;
use super::messages::of_call;
use super::messages::said;
use super::messages::with_query;
use super::remembered::KEPT_FOR;
use super::remembered::Remembered;
use super::remembered::Unknown;

/// How long a discovery document is not asked for again.
const DOCUMENT_FRESH_FOR: Duration = Duration::from_secs(60 * 60);

/// By how much a provider's clock may differ from ours.
const LEEWAY: Duration = Duration::from_secs(60);

/// Google writes its `iss` in two ways, by its own documentation.
pub(crate) const GOOGLE: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];

/// When a provider that made no sense is worth another try.
const NONSENSE_RETRY_AFTER: Duration = Duration::from_secs(10);

/// An OpenID Connect provider.
pub(crate) struct Oidc {
    /// The first is what its people are known by.
    issuers: Vec<String>,
    client_id: String,
    client_secret: Secret,
    redirect_uri: String,
    scopes: String,
    configured: Configured,
    line: Line,
    endpoints: Remembered<Endpoints>,
    keys: Remembered<JwkSet>,
}

/// What the configuration says of the endpoints; it goes before what is discovered.
struct Configured {
    authorization: Option<String>,
    token: Option<String>,
    userinfo: Option<String>,
    keys: Option<String>,
}

/// The answer of a token endpoint (§3.1.3.3).
#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    id_token: String,
}

impl Oidc {
    /// As configured; nothing is asked yet.
    pub(crate) fn new(
        issuer: &str,
        provider: &config::Provider,
        redirect_uri: String,
        client: Client,
    ) -> Self {
        let is_google = issuer == GOOGLE[0];
        Self {
            issuers: if is_google {
                GOOGLE.map(str::to_owned).to_vec()
            } else {
                vec![issuer.to_owned()]
            },
            client_id: provider.client_id.clone(),
            client_secret: provider.client_secret.clone(),
            redirect_uri,
            scopes: provider.scopes.join(" "),
            configured: Configured {
                authorization: provider.authorization_url.clone(),
                token: provider.token_url.clone(),
                userinfo: provider.userinfo_url.clone(),
                keys: provider.jwks_url.clone(),
            },
            line: Line::new(client),
            endpoints: Remembered::new(DOCUMENT_FRESH_FOR),
            // Only a key that is not among them calls for new ones.
            keys: Remembered::new(KEPT_FOR),
        }
    }

    /// The issuer by which its people are known.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuers[0]
    }

    /// Whether `iss`, which came back with the browser, is this provider's (RFC 9207 §2.4).
    pub(crate) fn is_issuer(&self, iss: &str) -> bool {
        self.issuers.iter().any(|issuer| issuer == iss)
    }

    /// Where the browser comes back to.
    pub(crate) fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Where the browser is sent.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`] where that has to be discovered first, and cannot.
    pub(crate) async fn authorization_url(
        &self,
        flow: &Flow,
        now: Timestamp,
    ) -> Result<String, ProviderError> {
        let endpoints = self.endpoints(now).await?;
        let parameters = [
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", &self.scopes),
            ("state", flow.state.expose()),
            ("nonce", flow.nonce.expose()),
            ("code_challenge", &flow.challenge()),
            ("code_challenge_method", "S256"),
        ];
        Ok(with_query(&endpoints.authorization, &parameters))
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
        let endpoints = self.endpoints(now).await?;
        let tokens = self.exchange(&endpoints, code, flow, now).await?;
        let claims = self.check(&endpoints, &tokens.id_token, flow, now).await?;
        let person = match &endpoints.userinfo {
            // An id token may say no more than who it is.
            Some(url) if claims.person.email.is_none() => {
                let told = self.userinfo(url, &tokens.access_token, &claims.subject, now).await?;
                completed(claims.person, told)
            }
            _ => claims.person,
        };
        let nick = person.preferred_username;
        let verified = person.email.filter(|_| person.email_verified);
        Ok(Attested {
            issuer: self.issuer().to_owned(),
            subject: claims.subject,
            nick: nick.or_else(|| verified.as_deref().map(local_part)),
            verified_email: verified,
            full_name: person.name,
        })
    }

    async fn exchange(
        &self,
        endpoints: &Endpoints,
        code: &Secret,
        flow: &Flow,
        now: Timestamp,
    ) -> Result<Tokens, ProviderError> {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", flow.verifier.expose()),
        ];
        let mut headers = accept_json();
        match endpoints.client_auth {
            ClientAuth::Basic => {
                let value = basic(&self.client_id, &self.client_secret);
                headers.insert(AUTHORIZATION, value);
            }
            ClientAuth::Post => {
                form.push(("client_id", &self.client_id));
                form.push(("client_secret", self.client_secret.expose()));
            }
        }
        let answer = self.line.post(&endpoints.token, headers, &form, now).await;
        let answer = answer.map_err(|error| of_call(error, ProviderError::Exchange))?;
        if !answer.status.is_success() {
            return Err(ProviderError::Exchange(said(&answer)));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|_| ProviderError::Exchange("no tokens in the answer".to_owned()))
    }

    /// Checks the id token, with new keys if it names one that is not known.
    async fn check(
        &self,
        endpoints: &Endpoints,
        token: &str,
        flow: &Flow,
        now: Timestamp,
    ) -> Result<IdClaims, ProviderError> {
        let verify = |keys: &JwkSet| {
            let expected = Expected {
                issuers: &self.issuers,
                client_id: &self.client_id,
                nonce: flow.nonce.expose(),
                leeway: LEEWAY,
            };
            id_token::verify(token, keys, expected, now)
        };
        let suffices = |keys: &JwkSet| verify(keys) != Err(IdTokenError::UnknownKey);
        let keys = self.keys.read(now, suffices, self.ask_for_keys(&endpoints.keys, now)).await;
        verify(&*keys.map_err(unknown)?).map_err(|error| ProviderError::Person(error.to_string()))
    }

    async fn ask_for_keys(&self, url: &str, now: Timestamp) -> Result<JwkSet, ProviderError> {
        let answer = self.line.get(url, accept_json(), now).await;
        let answer = answer.map_err(|error| of_call(error, ProviderError::Person))?;
        if !answer.status.is_success() {
            let why = format!("its keys were answered with status {}", answer.status.as_u16());
            return Err(ProviderError::Person(why));
        }
        JwkSet::parse(&answer.body).map_err(|error| ProviderError::Person(error.to_string()))
    }

    async fn userinfo(
        &self,
        url: &str,
        access_token: &str,
        subject: &str,
        now: Timestamp,
    ) -> Result<PersonClaims, ProviderError> {
        let person = |why: &str| ProviderError::Person(why.to_owned());
        let mut headers = accept_json();
        headers.insert(
            AUTHORIZATION,
            bearer(access_token).ok_or_else(|| person("an access token that is none"))?,
        );
        let answer = self.line.get(url, headers, now).await;
        let answer = answer.map_err(|error| of_call(error, ProviderError::Person))?;
        if !answer.status.is_success() {
            return Err(ProviderError::Person(said(&answer)));
        }
        let told = id_token::userinfo(&answer.body)
            .ok_or_else(|| person("its userinfo endpoint says nothing of anybody"))?;
        if told.subject != subject {
            // §5.3.4: else somebody else's token could be slipped in.
            return Err(person("its userinfo endpoint speaks of somebody else"));
        }
        Ok(told.person)
    }

    /// Where to ask what: as configured, else as discovered.
    async fn endpoints(&self, now: Timestamp) -> Result<Endpoints, ProviderError> {
        let Configured { authorization, token, userinfo, keys } = &self.configured;
        if let (Some(authorization), Some(token), Some(keys)) = (authorization, token, keys) {
            return Ok(Endpoints {
                authorization: authorization.clone(),
                token: token.clone(),
                userinfo: userinfo.clone(),
                keys: keys.clone(),
                client_auth: ClientAuth::Basic,
            });
        }
        let found = self.endpoints.read(now, |_| true, self.discover(now)).await;
        let found: Arc<Endpoints> = found.map_err(unknown)?;
        let or = |configured: &Option<String>, found: &String| {
            configured.clone().unwrap_or_else(|| found.clone())
        };
        Ok(Endpoints {
            authorization: or(authorization, &found.authorization),
            token: or(token, &found.token),
            userinfo: userinfo.clone().or_else(|| found.userinfo.clone()),
            keys: or(keys, &found.keys),
            client_auth: found.client_auth,
        })
    }

    async fn discover(&self, now: Timestamp) -> Result<Endpoints, ProviderError> {
        let nonsense =
            |why: String| ProviderError::Unavailable { why, retry_after: NONSENSE_RETRY_AFTER };
        let answer = self.line.get(&discovery::url(self.issuer()), accept_json(), now).await;
        let answer = answer.map_err(|error| of_call(error, nonsense))?;
        discovery::read(self.issuer(), &answer).map_err(|error| nonsense(error.to_string()))
    }
}

fn unknown(unknown: Unknown<ProviderError>) -> ProviderError {
    match unknown {
        Unknown::Failed(error) => error,
        Unknown::Wait(retry_after) => ProviderError::Unavailable {
            why: "it was asked a moment ago, in vain".to_owned(),
            retry_after,
        },
    }
}

/// `told`, where the id token said nothing. Address and word on it are of one source.
fn completed(said: PersonClaims, told: PersonClaims) -> PersonClaims {
    PersonClaims {
        email: told.email,
        email_verified: told.email_verified,
        name: said.name.or(told.name),
        preferred_username: said.preferred_username.or(told.preferred_username),
    }
}

/// What stands before the `@`.
fn local_part(email: &str) -> String {
    email.rsplit_once('@').map_or(email, |(local, _)| local).to_owned()
}
