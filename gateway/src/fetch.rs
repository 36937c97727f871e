//! Fetching another issuer's keys: one GET, bounded in time and bytes, that follows nobody.

use std::sync::Arc;
use std::time::Duration;

use kernel::jwks::JWKS_BYTES_MAX;
use reqwest::Client;
use reqwest::StatusCode;
use reqwest::redirect::Policy;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;

/// How long a fetch may take, from connecting to the last byte.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Why no keys were fetched. Holds no URL: a query may hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection, no answer in time, or one that broke off.
    #[error("the issuer cannot be reached: {0}")]
    Unreachable(String),
    /// An answer that is no success; a redirect is none.
    #[error("the issuer answered {0}")]
    Status(StatusCode),
    /// Over [`JWKS_BYTES_MAX`].
    #[error("the issuer's keys are more than {JWKS_BYTES_MAX} bytes")]
    TooLarge,
    /// No JWK set.
    #[error(transparent)]
    Keys(#[from] kernel::jwks::JwksError),
}

/// What makes connections to issuers. Proxies of the environment are not used: it says nothing of
/// where keys come from.
///
/// # Errors
/// Where the TLS library has no use for its settings.
pub fn client() -> Result<Client, reqwest::Error> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    let (usable, unusable) = roots.add_parsable_certificates(native.certs);
    if usable == 0 || unusable > 0 || !native.errors.is_empty() {
        tracing::warn!(
            "{usable} root certificates of the system can be used and {} cannot: issuers whose \
             certificate needs one of the others cannot be reached",
            unusable + native.errors.len()
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
        .user_agent(concat!("Doorward/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .timeout(FETCH_TIMEOUT)
        .build()
}

/// The body at `url`.
///
/// # Errors
/// [`FetchError`].
pub async fn body(client: &Client, url: &str) -> Result<Vec<u8>, FetchError> {
    let unreachable = |error: reqwest::Error| FetchError::Unreachable(cause(error.without_url()));
    let mut response = client.get(url).send().await.map_err(unreachable)?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(unreachable)? {
        if body.len() + piece.len() > JWKS_BYTES_MAX {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
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

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    /// What comes of a fetch that is answered with `answer`.
    async fn fetched(answer: String) -> Result<Vec<u8>, FetchError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/jwks?secret=hunter2", listener.local_addr().expect("bound"));
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        });
        body(&client().expect("a client"), &url).await
    }

    fn answer(status: &str, bytes: usize) -> String {
        let body = "x".repeat(bytes);
        format!("HTTP/1.1 {status}\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n{body}")
    }

    #[tokio::test]
    async fn a_body_of_256_kib_is_the_largest() {
        let fits = fetched(answer("200 OK", JWKS_BYTES_MAX)).await.expect("fetched");
        assert_eq!(fits.len(), JWKS_BYTES_MAX);
        let larger = fetched(answer("200 OK", JWKS_BYTES_MAX + 1)).await;
        assert!(matches!(larger, Err(FetchError::TooLarge)), "{larger:?}");
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed_and_no_error_holds_the_url() {
        let elsewhere = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\
                         Content-Length: 0\r\n\r\n";
        for answer in [elsewhere.to_owned(), answer("500 Oh", 0), "nonsense".to_owned()] {
            let error = fetched(answer.clone()).await.expect_err(&answer).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let redirected = fetched(elsewhere.to_owned()).await;
        assert!(matches!(redirected, Err(FetchError::Status(StatusCode::FOUND))), "{redirected:?}");
    }
}
