//! HTTP calls to other servers: sign-in providers, issuers of tokens, and from a gateway to its admin
//! API. Each is bounded in time and bytes, and goes to nobody but whom was meant.
//!
//! TLS is ring's; it trusts the root certificates of the system, or those alone that are given.
//! Redirects are not followed: an answer that leads elsewhere would take codes and secrets there.
//! Proxies of the environment are not used: nobody has said that they may see these calls.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::ClientBuilder;
use reqwest::RequestBuilder;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// How long one call may take, from connecting to the last byte.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long connecting may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The largest body that is read, in bytes.
pub const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// What we call ourselves; GitHub answers nobody who does not say.
const USER_AGENT: &str = concat!("Doorward/", env!("CARGO_PKG_VERSION"));

/// Why there is no answer, or none that can be read. Holds no URL: queries hold secrets.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection, no answer in time, or one that broke off.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// Over [`ANSWER_BYTES_MAX`].
    #[error("an answer of more than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
}

impl CallError {
    fn unreachable(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(next) = cause {
            text = format!("{text}: {next}");
            cause = next.source();
        }
        Self::Unreachable(text)
    }
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// Its status, whatever it is.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, whole.
    pub body: Vec<u8>,
}

/// Sends `request`, which was made by a [`client`], and reads the whole answer.
///
/// # Errors
/// [`CallError`]; an answer of any status is none.
pub async fn call(request: RequestBuilder) -> Result<Answer, CallError> {
    let mut response = request.send().await.map_err(CallError::unreachable)?;
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(CallError::unreachable)? {
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(CallError::TooLarge);
        }
        body.extend_from_slice(&piece);
    }
    let headers = std::mem::take(response.headers_mut());
    Ok(Answer { status: response.status(), headers, body })
}

/// Sends `request`, which was made by a [`client`], and reads no more than how it is answered.
///
/// # Errors
/// [`CallError::Unreachable`].
pub async fn status(request: RequestBuilder) -> Result<StatusCode, CallError> {
    let response = request.send().await.map_err(CallError::unreachable)?;
    Ok(response.status())
}

/// What makes connections; cheap to clone. It trusts whom the system does.
///
/// # Errors
/// Where the TLS library has no use for its settings.
pub fn client() -> Result<Client, reqwest::Error> {
    client_trusting(roots_of_the_system())
}

/// What makes connections to those alone whom `roots` vouch for; cheap to clone.
///
/// # Errors
/// Where the TLS library has no use for its settings.
pub fn client_trusting(roots: RootCertStore) -> Result<Client, reqwest::Error> {
    builder(roots).build()
}

/// What makes connections to the Unix socket at `path`, whatever host a URL names.
///
/// # Errors
/// Where the TLS library has no use for its settings.
pub fn client_at(path: &Path) -> Result<Client, reqwest::Error> {
    builder(RootCertStore::empty()).unix_socket(path).build()
}

fn builder(roots: RootCertStore) -> ClientBuilder {
    Client::builder()
        .tls_backend_preconfigured(tls_trusting(roots))
        .user_agent(USER_AGENT)
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(CALL_TIMEOUT)
}

/// TLS with those alone whom `roots` vouch for.
pub fn tls_trusting(roots: RootCertStore) -> ClientConfig {
    // Given by name: what the process has installed globally, or has not, makes no difference.
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A text that holds no certificates which could vouch for anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it holds no certificate in PEM form that can be read and vouch for others")]
pub struct NoRoots;

/// The root certificates in `pem`, all of them.
///
/// # Errors
/// [`NoRoots`] where there are none, or one that cannot be used.
pub fn roots_in(pem: &str) -> Result<RootCertStore, NoRoots> {
    let mut roots = RootCertStore::empty();
    for root in certificates_in(pem)? {
        roots.add(root).map_err(|_| NoRoots)?;
    }
    Ok(roots)
}

/// The certificates in `pem`, in their order; at least one.
///
/// # Errors
/// [`NoRoots`].
pub fn certificates_in(pem: &str) -> Result<Vec<CertificateDer<'static>>, NoRoots> {
    let all = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    all.ok().filter(|all| !all.is_empty()).ok_or(NoRoots)
}

/// The root certificates that this system trusts, and that can be read.
pub fn roots_of_the_system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    let (usable, unusable) = roots.add_parsable_certificates(native.certs);
    if usable == 0 || unusable > 0 || !native.errors.is_empty() {
        tracing::warn!(
            "{usable} root certificates of the system can be used and {} cannot: servers whose \
             certificate needs one of the others cannot be reached",
            unusable + native.errors.len()
        );
    }
    roots
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::net::UnixListener;

    use super::*;

    /// What comes of a call that is answered with `answer`.
    async fn called(answer: String) -> Result<Answer, CallError> {
        call(request(answer).await).await
    }

    /// A request that is answered with `answer`.
    async fn request(answer: String) -> RequestBuilder {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/jwks?secret=hunter2", listener.local_addr().expect("bound"));
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        });
        client().expect("a client").get(url)
    }

    fn answer(status: &str, bytes: usize) -> String {
        let body = "x".repeat(bytes);
        format!("HTTP/1.1 {status}\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n{body}")
    }

    #[tokio::test]
    async fn a_body_of_256_kib_is_the_largest() {
        let fits = called(answer("200 OK", ANSWER_BYTES_MAX)).await.expect("answered");
        assert_eq!(fits.body.len(), ANSWER_BYTES_MAX);
        let larger = called(answer("200 OK", ANSWER_BYTES_MAX + 1)).await;
        assert!(matches!(larger, Err(CallError::TooLarge)), "{larger:?}");
    }

    #[tokio::test]
    async fn a_status_is_heard_whatever_comes_after_it() {
        // More than is read, and than ever comes.
        let endless = format!("HTTP/1.1 503 Busy\r\nContent-Length: {}\r\n\r\n", u32::MAX);
        for answer in [endless, answer("503 Busy", ANSWER_BYTES_MAX + 1)] {
            let answered = status(request(answer).await).await.expect("answered");
            assert_eq!(answered, StatusCode::SERVICE_UNAVAILABLE);
        }
    }

    #[tokio::test]
    async fn a_server_at_a_unix_socket_is_asked_whatever_the_url_names() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(answer("204 No Content", 0).as_bytes()).await;
        });
        let client = client_at(&path).expect("a client");
        let answered = call(client.get("http://nobody.invalid/warm")).await.expect("an answer");
        assert_eq!(answered.status, StatusCode::NO_CONTENT);
    }

    #[test]
    fn a_text_without_certificates_vouches_for_nobody() {
        let nonsense = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        for text in ["", "no PEM", nonsense, "-----BEGIN CERTIFICATE-----\n"] {
            assert_eq!(roots_in(text).err(), Some(NoRoots), "{text}");
        }
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let elsewhere = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\
                         Content-Length: 0\r\n\r\n";
        let redirected = called(elsewhere.to_owned()).await.expect("answered");
        assert_eq!(redirected.status, StatusCode::FOUND);
    }

    #[tokio::test]
    async fn no_error_holds_the_url() {
        for answer in [String::new(), "nonsense".to_owned(), answer("200 OK", 9)[..45].to_owned()] {
            let error = called(answer.clone()).await.expect_err(&answer).to_string();
            assert!(
                error.starts_with("it cannot be reached") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
