//! Where an issuer's endpoints are, by its own word (OpenID Connect Discovery).

use outbound::Answer;
use serde::Deserialize;

/// What stands after an issuer to find its document (§4).
pub(crate) const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// How a client shows its secret (OpenID Connect Core §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    /// In the `Authorization` header.
    Basic,
    /// In the form.
    Post,
}

/// Where an issuer's endpoints are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoints {
    pub(crate) authorization: String,
    pub(crate) token: String,
    pub(crate) userinfo: Option<String>,
    pub(crate) keys: String,
    pub(crate) client_auth: ClientAuth,
}

/// Why a document says nothing that can be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DiscoveryError {
    /// No success.
    #[error("its discovery document was answered with status {0}")]
    Status(u16),
    /// No JSON object with the members that must be there.
    #[error("its discovery document is none")]
    Shape,
    /// Somebody else's (§4.3).
    #[error("its discovery document is that of another issuer")]
    Issuer,
    /// A URL that we would not have been configured with.
    #[error("its discovery document names a URL that is not taken: {0}")]
    Url(String),
    /// No way to show our secret that we know.
    #[error("it takes no client secret, neither as `client_secret_basic` nor `client_secret_post`")]
    ClientAuth,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(default)]
    userinfo_endpoint: Option<String>,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// The URL of the document of `issuer`.
pub(crate) fn url(issuer: &str) -> String {
    format!("{}{WELL_KNOWN}", issuer.trim_end_matches('/'))
}

/// Reads the document of `issuer`.
///
/// # Errors
/// [`DiscoveryError`].
pub(crate) fn read(issuer: &str, answer: &Answer) -> Result<Endpoints, DiscoveryError> {
    if !answer.status.is_success() {
        return Err(DiscoveryError::Status(answer.status.as_u16()));
    }
    let document: Document =
        serde_json::from_slice(&answer.body).map_err(|_| DiscoveryError::Shape)?;
    // To the letter: else one who is believed for one issuer could speak for another.
    if document.issuer != issuer {
        return Err(DiscoveryError::Issuer);
    }
    let safe = |url: String| match config::check_url(&url) {
        Ok(()) => Ok(url),
        Err(why) => Err(DiscoveryError::Url(why)),
    };
    Ok(Endpoints {
        authorization: safe(document.authorization_endpoint)?,
        token: safe(document.token_endpoint)?,
        userinfo: document.userinfo_endpoint.map(safe).transpose()?,
        keys: safe(document.jwks_uri)?,
        client_auth: client_auth(document.token_endpoint_auth_methods_supported.as_deref())?,
    })
}

/// Basic, where it is taken; it is what everybody takes who does not say (§3).
fn client_auth(methods: Option<&[String]>) -> Result<ClientAuth, DiscoveryError> {
    let Some(methods) = methods else { return Ok(ClientAuth::Basic) };
    let takes = |name: &str| methods.iter().any(|method| method == name);
    if takes("client_secret_basic") {
        Ok(ClientAuth::Basic)
    } else if takes("client_secret_post") {
        Ok(ClientAuth::Post)
    } else {
        Err(DiscoveryError::ClientAuth)
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::Value;
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://login.example";

    fn document(changes: &[(&str, Value)]) -> Value {
        let mut document = json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://login.example/authorize",
            "token_endpoint": "https://api.login.example/token",
            "userinfo_endpoint": "https://api.login.example/me",
            "jwks_uri": "https://login.example/keys",
        });
        for (name, value) in changes {
            document[*name] = value.clone();
        }
        document
    }

    fn read_of(document: impl ToString) -> Result<Endpoints, DiscoveryError> {
        let body = document.to_string().into_bytes();
        read(ISSUER, &Answer { status: StatusCode::OK, headers: http::HeaderMap::new(), body })
    }

    #[test]
    fn the_document_is_found_below_the_issuer_with_or_without_its_slash() {
        let found = "https://a.example/x/.well-known/openid-configuration";
        assert_eq!(url("https://a.example/x"), found);
        assert_eq!(url("https://a.example/x/"), found);
    }

    #[test]
    fn a_document_names_the_endpoints() {
        let endpoints = read_of(document(&[])).unwrap();
        assert_eq!(endpoints.token, "https://api.login.example/token");
        assert_eq!(endpoints.userinfo.as_deref(), Some("https://api.login.example/me"));
        assert_eq!(endpoints.client_auth, ClientAuth::Basic);
        let without = read_of(document(&[("userinfo_endpoint", Value::Null)])).unwrap();
        assert_eq!(without.userinfo, None);
    }

    #[test]
    fn a_document_of_another_issuer_is_not_believed() {
        for other in ["https://login.example/", "https://LOGIN.example", "https://evil.example"] {
            let changed = document(&[("issuer", json!(other))]);
            assert_eq!(read_of(changed), Err(DiscoveryError::Issuer), "{other}");
        }
    }

    #[test]
    fn discovered_urls_are_held_to_the_rule_of_configured_ones() {
        for name in ["authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"] {
            for url in ["http://login.example/x", "javascript:alert(1)", "/x", "https://a@b/"] {
                let read = read_of(document(&[(name, json!(url))]));
                assert!(matches!(read, Err(DiscoveryError::Url(_))), "{name} {url}: {read:?}");
            }
            assert!(read_of(document(&[(name, json!("http://127.0.0.1:1/x"))])).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_secret_is_shown_in_a_way_that_the_issuer_takes() {
        let auth = |methods: Value| {
            read_of(document(&[("token_endpoint_auth_methods_supported", methods)]))
                .map(|endpoints| endpoints.client_auth)
        };
        assert_eq!(
            auth(json!(["client_secret_post", "client_secret_basic"])),
            Ok(ClientAuth::Basic)
        );
        assert_eq!(auth(json!(["client_secret_post"])), Ok(ClientAuth::Post));
        assert_eq!(auth(json!(["private_key_jwt", "none"])), Err(DiscoveryError::ClientAuth));
    }

    #[test]
    fn what_is_no_document_is_an_error() {
        for text in ["", "<html></html>", "[]", "{}", "null"] {
            assert_eq!(read_of(text), Err(DiscoveryError::Shape), "{text}");
        }
        let moved =
            Answer { status: StatusCode::FOUND, headers: http::HeaderMap::new(), body: Vec::new() };
        assert_eq!(read(ISSUER, &moved), Err(DiscoveryError::Status(302)));
    }
}
