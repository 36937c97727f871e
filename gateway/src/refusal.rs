//! Refusals: the one place that turns an error into an answer. Nothing else knows status codes.

use http::HeaderName;
use http::HeaderValue;
use http::StatusCode;
use http::header::ALLOW;
use http::header::RETRY_AFTER;
use http::header::WWW_AUTHENTICATE;
use kernel::problem::ErrorCode;
use kernel::problem::Problem;
use kernel::problem::QUOTA_EXCEEDED;
use kernel::revocation::RevocationError;
use kernel::token::TokenError;

use crate::auth::AuthError;
use crate::auth::header_text;
use crate::limit::LimitError;
use crate::limit::OverQuota;
use crate::revocation::Stale;
use crate::target::TargetError;

/// Why a request was not forwarded, or came back without an answer.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A path with two readings.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A request that is no HTTP, or is framed in two ways.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Nobody we know.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Somebody we knew.
    #[error(transparent)]
    Revocation(#[from] RevocationError),
    /// Somebody of whom it is not known recently enough.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// A caller who may not do this; holds the scopes that are needed.
    #[error("scopes are missing")]
    Scope(Vec<String>),
    /// No route.
    #[error("no route")]
    NoRoute,
    /// A route without the method; holds those that it has.
    #[error("no such method here")]
    Method(Vec<String>),
    /// A spent quota, or no way to know.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The back end.
    #[error(transparent)]
    Upstream(#[from] UpstreamFault),
    /// A fault of ours.
    #[error("an internal fault")]
    Internal,
}

/// What is wrong with a request before it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not HTTP/1.
    #[error("the request is not well-formed HTTP/1.1")]
    Syntax,
    /// Lines that do not end in CR LF.
    #[error("a header line does not end in CR LF")]
    BareLineFeed,
    /// `Content-Length` and `Transfer-Encoding` both, twice, or not understood.
    #[error("the request's length is given twice or in a way that is not understood")]
    Framing,
    /// No `Host`, or two.
    #[error("a request needs exactly one Host header")]
    Host,
    /// A header over its bound, or too many.
    #[error("the request's header section is too large")]
    HeadersTooLarge,
    /// The header did not come in time.
    #[error("the request's header section did not arrive in time")]
    Slow,
    /// A target that is no path.
    #[error("the request target must begin with `/` and have no fragment")]
    Form,
    /// A tunnel.
    #[error("CONNECT is not served here")]
    Connect,
}

/// What went wrong behind us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamFault {
    /// No connection.
    #[error("the back end cannot be reached")]
    Unreachable,
    /// No connection to the admin API, which may be back in a moment.
    #[error("the admin API cannot be reached just now")]
    AdminAway,
    /// No answer in time.
    #[error("the back end did not answer in time")]
    Late,
    /// An answer that is none.
    #[error("the back end broke off or gave an answer that is no HTTP")]
    Broken,
}

/// An answer of ours.
#[derive(Debug)]
pub struct Answer {
    /// The body.
    pub problem: Problem,
    /// Headers beside the body's.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Target(TargetError::Long) => StatusCode::URI_TOO_LONG,
            Self::Malformed(Malformed::HeadersTooLarge) => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::Malformed(Malformed::Slow) => StatusCode::REQUEST_TIMEOUT,
            Self::Malformed(Malformed::Connect) => StatusCode::NOT_IMPLEMENTED,
            Self::Target(_) | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Auth(AuthError::NoKeys) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Auth(_) | Self::Revocation(RevocationError::Revoked) => StatusCode::UNAUTHORIZED,
            Self::Scope(_) => StatusCode::FORBIDDEN,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Limit(LimitError::OverQuota(_)) => StatusCode::TOO_MANY_REQUESTS,
            Self::Revocation(RevocationError::Unavailable)
            | Self::Stale(Stale)
            | Self::Limit(LimitError::Store(_))
            | Self::Upstream(UpstreamFault::AdminAway) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Upstream(UpstreamFault::Late) => StatusCode::GATEWAY_TIMEOUT,
            Self::Upstream(UpstreamFault::Unreachable | UpstreamFault::Broken) => {
                StatusCode::BAD_GATEWAY
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable name of what went wrong.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Target(TargetError::Long) | Self::Malformed(Malformed::HeadersTooLarge) => {
                ErrorCode::HeadersTooLarge
            }
            Self::Malformed(Malformed::Slow) => ErrorCode::RequestTimeout,
            Self::Malformed(Malformed::Connect) => ErrorCode::MethodNotAllowed,
            Self::Target(_) | Self::Malformed(_) => ErrorCode::BadRequest,
            Self::Auth(AuthError::Missing | AuthError::Malformed(_)) => ErrorCode::NotAuthenticated,
            Self::Auth(AuthError::Token(TokenError::Expired)) => ErrorCode::TokenExpired,
            Self::Auth(AuthError::Token(_)) => ErrorCode::InvalidToken,
            Self::Auth(AuthError::NoKeys) => ErrorCode::ServiceUnavailable,
            Self::Revocation(RevocationError::Revoked) => ErrorCode::TokenRevoked,
            Self::Scope(_) => ErrorCode::Forbidden,
            Self::NoRoute => ErrorCode::NotFound,
            Self::Method(_) => ErrorCode::MethodNotAllowed,
            Self::Limit(LimitError::OverQuota(_)) => ErrorCode::RateLimitExceeded,
            Self::Revocation(RevocationError::Unavailable)
            | Self::Stale(Stale)
            | Self::Limit(LimitError::Store(_)) => ErrorCode::ServiceUnavailable,
            Self::Upstream(UpstreamFault::Late) => ErrorCode::UpstreamTimeout,
            Self::Upstream(_) => ErrorCode::UpstreamUnavailable,
            Self::Internal => ErrorCode::InternalError,
        }
    }

    /// Whether it is a failure to authenticate, which is logged at warn and counted.
    pub fn is_auth_failure(&self) -> bool {
        match self {
            Self::Auth(AuthError::NoKeys) => false,
            Self::Auth(_) | Self::Revocation(RevocationError::Revoked) => true,
            _ => false,
        }
    }

    /// How long a spent quota stays spent, with the rest of how the caller stands.
    pub fn over_quota(&self) -> Option<&OverQuota> {
        match self {
            Self::Limit(LimitError::OverQuota(over)) => Some(over),
            _ => None,
        }
    }

    /// The answer, for a request to `path` with the id `request_id`.
    pub fn answer(&self, path: &str, request_id: &str) -> Answer {
        let mut problem = Problem::new(self.status(), self.code(), self.detail());
        let mut headers = Vec::new();
        match self {
            Self::Auth(AuthError::NoKeys) => {
                headers.push((RETRY_AFTER, HeaderValue::from_static("1")));
            }
            Self::Auth(error) => headers.push((WWW_AUTHENTICATE, challenge(error))),
            Self::Revocation(RevocationError::Revoked) => {
                headers.push((WWW_AUTHENTICATE, HeaderValue::from_static(INVALID_TOKEN)));
            }
            Self::Scope(required) => {
                let scope = required.join(" ");
                let text = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
                headers.push((WWW_AUTHENTICATE, header_text(&text)));
            }
            Self::Method(allowed) => headers.push((ALLOW, header_text(&allowed.join(", ")))),
            Self::Limit(LimitError::OverQuota(over)) => {
                problem.kind = QUOTA_EXCEEDED;
                problem.violated_policies.clone_from(&over.violated);
                if let Some(seconds) = over.retry_after_s {
                    headers.push((RETRY_AFTER, HeaderValue::from(seconds)));
                }
            }
            Self::Revocation(RevocationError::Unavailable)
            | Self::Stale(Stale)
            | Self::Limit(LimitError::Store(_))
            | Self::Upstream(UpstreamFault::AdminAway) => {
                headers.push((RETRY_AFTER, HeaderValue::from_static("1")));
            }
            Self::Target(_)
            | Self::Malformed(_)
            | Self::NoRoute
            | Self::Upstream(_)
            | Self::Internal => {}
        }
        Answer { problem: problem.about(path, request_id), headers }
    }

    fn detail(&self) -> String {
        match self {
            Self::Auth(AuthError::Missing | AuthError::Malformed(_)) => {
                "Not authenticated".to_owned()
            }
            Self::Auth(AuthError::Token(_)) | Self::Revocation(RevocationError::Revoked) => {
                "Could not validate credentials".to_owned()
            }
            Self::Auth(AuthError::NoKeys) => {
                "The keys of the token's issuer cannot be had just now".to_owned()
            }
            Self::Scope(required) => {
                let list = required.join(", ");
                format!("Insufficient permissions. Required scopes: {list}")
            }
            Self::NoRoute => "Not Found".to_owned(),
            Self::Method(_) => "Method Not Allowed".to_owned(),
            Self::Limit(LimitError::OverQuota(_)) => {
                "Rate limit exceeded. Please try again later.".to_owned()
            }
            Self::Limit(LimitError::Store(_)) => "Limits cannot be checked just now".to_owned(),
            Self::Revocation(RevocationError::Unavailable) | Self::Stale(Stale) => {
                "Revocations cannot be checked just now".to_owned()
            }
            Self::Target(error) => error.to_string(),
            Self::Malformed(error) => error.to_string(),
            Self::Upstream(error) => error.to_string(),
            Self::Internal => "Internal Server Error".to_owned(),
        }
    }
}

const INVALID_TOKEN: &str = "Bearer error=\"invalid_token\"";

/// RFC 6750 §3: no error code where no credential came.
fn challenge(error: &AuthError) -> HeaderValue {
    HeaderValue::from_static(match error {
        AuthError::Missing => "Bearer",
        AuthError::Malformed(_) => "Bearer error=\"invalid_request\"",
        AuthError::Token(TokenError::Expired) => {
            "Bearer error=\"invalid_token\", error_description=\"the token has expired\""
        }
        AuthError::Token(_) | AuthError::NoKeys => INVALID_TOKEN,
    })
}
