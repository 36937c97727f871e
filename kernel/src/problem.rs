//! The one error body: RFC 9457 `application/problem+json`.
//!
//! `detail` is the text that clients of the replaced system read; `error_code` is stable and is
//! what a program should look at.

use http::StatusCode;
use serde::Serialize;

/// The media type of every error body (RFC 9457 §3).
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Stable names of what went wrong. A code once published keeps its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// No credential, or one that is no bearer token.
    NotAuthenticated,
    /// A credential that does not hold.
    InvalidToken,
    /// A token past its `exp`.
    TokenExpired,
    /// A token, session, user or key that was revoked.
    TokenRevoked,
    /// A wrong user name or password.
    InvalidCredentials,
    /// A caller without a scope that is needed.
    Forbidden,
    /// Nothing by that name.
    NotFound,
    /// A resource that is no longer as the request says.
    PreconditionFailed,
    /// A method that the resource does not have.
    MethodNotAllowed,
    /// Something that is there already, or has changed meanwhile.
    Conflict,
    /// A request that is no HTTP, or whose path or framing is ambiguous.
    BadRequest,
    /// Fields that are missing or wrong; see `errors`.
    ValidationError,
    /// A body over its bound.
    PayloadTooLarge,
    /// Headers over their bound.
    HeadersTooLarge,
    /// A body in a media type that the operation does not read.
    UnsupportedMediaType,
    /// A quota that is spent.
    RateLimitExceeded,
    /// The client took too long to send its request.
    RequestTimeout,
    /// Something of ours that has no room just now.
    ServiceUnavailable,
    /// The back end could not be reached or broke off.
    UpstreamUnavailable,
    /// The back end took too long.
    UpstreamTimeout,
    /// A fault of ours.
    InternalError,
    /// Something that is known but not set up here.
    NotConfigured,
    /// A sign-in at a provider that was not begun here, in this browser, lately; or was ended.
    InvalidState,
    /// A code of ours that is none, was used, or is too old.
    InvalidCode,
    /// A provider that did not let somebody in.
    SignInDenied,
    /// A provider that gave no token, or does not say who somebody is.
    ProviderFailed,
    /// A provider that cannot be reached, or is left alone for a while because it could not.
    ProviderUnavailable,
}

impl ErrorCode {
    /// Its name, as bodies, logs and metrics have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAuthenticated => "NOT_AUTHENTICATED",
            Self::InvalidToken => "INVALID_TOKEN",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::TokenRevoked => "TOKEN_REVOKED",
            Self::InvalidCredentials => "INVALID_CREDENTIALS",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::BadRequest => "BAD_REQUEST",
            Self::ValidationError => "VALIDATION_ERROR",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::HeadersTooLarge => "HEADERS_TOO_LARGE",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::RateLimitExceeded => "RATE_LIMIT_EXCEEDED",
            Self::RequestTimeout => "REQUEST_TIMEOUT",
            Self::ServiceUnavailable => "SERVICE_UNAVAILABLE",
            Self::UpstreamUnavailable => "UPSTREAM_UNAVAILABLE",
            Self::UpstreamTimeout => "UPSTREAM_TIMEOUT",
            Self::InternalError => "INTERNAL_ERROR",
            Self::NotConfigured => "NOT_CONFIGURED",
            Self::Conflict => "CONFLICT",
            Self::InvalidState => "INVALID_STATE",
            Self::InvalidCode => "INVALID_CODE",
            Self::SignInDenied => "SIGN_IN_DENIED",
            Self::ProviderFailed => "PROVIDER_FAILED",
            Self::ProviderUnavailable => "PROVIDER_UNAVAILABLE",
        }
    }
}

/// One fault in a request's fields, in the shape that clients of the replaced system read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldFault {
    /// Where: `["body", "username"]`.
    pub loc: Vec<String>,
    /// What is wrong and what would be right.
    pub msg: String,
    /// A stable word for the kind of fault, such as `missing`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A problem, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// A URI for the kind of problem; `about:blank` where the status says it all.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The status' own words.
    pub title: &'static str,
    /// The status, as a number.
    #[serde(serialize_with = "as_number")]
    pub status: StatusCode,
    /// What a person, or a client of the replaced system, reads.
    pub detail: String,
    /// The path that was asked for.
    pub instance: String,
    /// What a program reads.
    pub error_code: ErrorCode,
    /// The id that our log lines of this request carry.
    pub request_id: String,
    /// Faults by field; only on 422.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldFault>,
    /// Names of the quotas that are spent; only on 429.
    #[serde(rename = "violated-policies", skip_serializing_if = "Vec::is_empty")]
    pub violated_policies: Vec<String>,
}

/// The problem type of a spent quota (draft-ietf-httpapi-ratelimit-headers-11).
pub const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

impl Problem {
    /// A problem of `status` whose `detail` is safe to show anyone.
    pub fn new(status: StatusCode, error_code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Unknown"),
            status,
            detail: detail.into(),
            instance: String::new(),
            error_code,
            request_id: String::new(),
            errors: Vec::new(),
            violated_policies: Vec::new(),
        }
    }

    /// Names the request it answers.
    pub fn about(mut self, instance: &str, request_id: &str) -> Self {
        self.instance = instance.to_owned();
        self.request_id = request_id.to_owned();
        self
    }

    /// The body, as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a problem holds only strings and numbers")
    }
}

fn as_number<S: serde::Serializer>(status: &StatusCode, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_u16(status.as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_members_that_old_and_new_clients_read() {
        let problem = Problem::new(
            StatusCode::UNAUTHORIZED,
            ErrorCode::NotAuthenticated,
            "Not authenticated",
        )
        .about("/api/orders", "r1");
        assert_eq!(
            problem.to_json(),
            r#"{"type":"about:blank","title":"Unauthorized","status":401,"detail":"Not authenticated","instance":"/api/orders","error_code":"NOT_AUTHENTICATED","request_id":"r1"}"#
        );
    }
}
