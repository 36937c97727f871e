//! What an OAuth client is told that went wrong (RFC 6749 §5.2).

use kernel::problem::ErrorCode;
use kernel::problem::Problem;
use serde_json::Value;
use serde_json::json;

/// Why an OAuth client gets no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OAuthFault {
    #[error("{0}")]
    InvalidRequest(String),
    #[error("{0}")]
    InvalidGrant(&'static str),
    #[error("the only grant here is refresh_token")]
    UnsupportedGrantType,
}

impl OAuthFault {
    /// The word that clients look at.
    pub(crate) fn error(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidGrant(_) => INVALID_GRANT,
            Self::UnsupportedGrantType => "unsupported_grant_type",
        }
    }

    pub(crate) fn error_code(&self) -> ErrorCode {
        match self {
            Self::InvalidGrant(_) => ErrorCode::InvalidToken,
            Self::InvalidRequest(_) | Self::UnsupportedGrantType => ErrorCode::ValidationError,
        }
    }
}

/// What is said of a password or a refresh token that does not hold.
pub(crate) const INVALID_GRANT: &str = "invalid_grant";

/// The body: what OAuth says of errors, beside what we say of all of them.
pub(crate) fn body(error: &str, problem: &Problem) -> String {
    let mut body = serde_json::to_value(problem).unwrap_or_else(|_| json!({}));
    body["error"] = Value::from(error);
    body["error_description"] = Value::from(&*problem.detail);
    body.to_string()
}
