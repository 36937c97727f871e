//! Fetching another issuer's keys.

use outbound::CallError;
use reqwest::Client;
use reqwest::StatusCode;

// The largest set that is read is read whole.
const _: () = assert!(kernel::jwks::JWKS_BYTES_MAX <= outbound::ANSWER_BYTES_MAX);

/// Why no keys were fetched. Holds no URL: a query may hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer, or none that can be read.
    #[error("the issuer gave no answer: {0}")]
    Call(#[from] CallError),
    /// An answer that is no success; a redirect is none.
    #[error("the issuer answered {0}")]
    Status(StatusCode),
    /// No JWK set.
    #[error(transparent)]
    Keys(#[from] kernel::jwks::JwksError),
}

/// The JWK set at `url`, not yet read.
///
/// # Errors
/// [`FetchError::Call`], [`FetchError::Status`].
pub async fn jwks(client: &Client, url: &str) -> Result<Vec<u8>, FetchError> {
    let answer = outbound::call(client.get(url)).await?;
    match answer.status {
        StatusCode::OK => Ok(answer.body),
        status => Err(FetchError::Status(status)),
    }
}
