//! The one place that turns errors into answers.

use std::time::Duration;

use axum::response::IntoResponse;
use axum::response::Response;
use http::HeaderValue;
use http::StatusCode;
use http::header::ALLOW;
use http::header::CONTENT_TYPE;
use http::header::RETRY_AFTER;
use http::header::WWW_AUTHENTICATE;
use kernel::front::FLEET_CHALLENGE;
use kernel::problem::ErrorCode;
use kernel::problem::FieldFault;
use kernel::problem::MEDIA_TYPE;
use kernel::problem::Problem;
use kernel::problem::QUOTA_EXCEEDED;

use super::not_let_in::NotLetIn;
use super::oauth_fault;
use super::oauth_fault::INVALID_GRANT;
use super::oauth_fault::OAuthFault;
use crate::people::asker::AskerError;
use crate::people::desk::OutOfOrder;
use crate::people::throttle::Throttled;
use crate::store::fault::DbError;

/// Why a request is not served. What it says is for the log; the client reads [`Refusal::detail`].
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("no token of the fleet, or another")]
    NotOfTheFleet,
    #[error("no bearer token, or a malformed one")]
    NotAuthenticated,
    #[error("an access token that does not hold")]
    InvalidToken,
    #[error("an expired access token")]
    ExpiredToken,
    #[error("a revoked access token")]
    RevokedToken,
    #[error("an unknown user, a wrong password or an inactive user")]
    WrongPassword,
    #[error("not the present password")]
    WrongCurrentPassword,
    #[error("a mailed {0} token that does not hold")]
    MailedToken(&'static str),
    #[error("nobody may register")]
    RegistrationClosed,
    #[error("a user name or an e-mail address that is taken")]
    Taken,
    #[error("{0} is not configured")]
    NotConfigured(&'static str),
    #[error("too many attempts")]
    Throttled { policy: &'static str, wait: Duration },
    #[error("an access token in place of a refresh token")]
    WrongTokenType,
    #[error("{0}")]
    RefreshToken(&'static str),
    #[error("an access token without the scope `{0}`")]
    Scope(&'static str),
    #[error("{0}")]
    OAuth(#[from] OAuthFault),
    #[error("the token's user is gone")]
    UserGone,
    #[error(transparent)]
    NotLetIn(NotLetIn),
    #[error("nothing by that name")]
    NotFound,
    #[error("{0}")]
    Conflict(String),
    #[error("a version that is no longer so")]
    Stale,
    #[error("a method that is not offered")]
    Method,
    #[error("fields that are missing or wrong")]
    Fields(Vec<FieldFault>),
    #[error("a body over its bound")]
    TooLarge,
    #[error("a body of another media type")]
    MediaType(&'static str),
    #[error("a body that broke off")]
    Body,
    #[error("a body that did not come in time")]
    SlowBody,
    #[error("the store of job status is away: {0}")]
    StatusAway(String),
    #[error("no room just now")]
    Busy,
    #[error("it took too long")]
    TooSlow,
    #[error("a fault of ours")]
    Internal,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotOfTheFleet
            | Self::NotAuthenticated
            | Self::InvalidToken
            | Self::ExpiredToken
            | Self::RevokedToken
            | Self::WrongPassword
            | Self::WrongTokenType
            | Self::RefreshToken(_) => StatusCode::UNAUTHORIZED,
            Self::WrongCurrentPassword | Self::RegistrationClosed | Self::Scope(_) => {
                StatusCode::FORBIDDEN
            }
            Self::Taken => StatusCode::CONFLICT,
            Self::NotConfigured(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Throttled { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NotLetIn(not_let_in) => not_let_in.status(),
            Self::UserGone | Self::NotFound => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Stale => StatusCode::PRECONDITION_FAILED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Fields(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body | Self::MailedToken(_) | Self::OAuth(_) => StatusCode::BAD_REQUEST,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::StatusAway(_) | Self::Busy | Self::TooSlow => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_code(&self) -> ErrorCode {
        match self {
            Self::NotOfTheFleet | Self::NotAuthenticated => ErrorCode::NotAuthenticated,
            Self::InvalidToken | Self::WrongTokenType | Self::RefreshToken(_) => {
                ErrorCode::InvalidToken
            }
            Self::ExpiredToken => ErrorCode::TokenExpired,
            Self::RevokedToken => ErrorCode::TokenRevoked,
            Self::WrongPassword => ErrorCode::InvalidCredentials,
            Self::WrongCurrentPassword => ErrorCode::InvalidCredentials,
            Self::MailedToken(_) => ErrorCode::InvalidToken,
            Self::RegistrationClosed => ErrorCode::Forbidden,
            Self::Taken => ErrorCode::Conflict,
            Self::NotConfigured(_) => ErrorCode::NotConfigured,
            Self::Throttled { .. } => ErrorCode::RateLimitExceeded,
            Self::NotLetIn(not_let_in) => not_let_in.error_code(),
            Self::Scope(_) => ErrorCode::Forbidden,
            Self::OAuth(fault) => fault.error_code(),
            Self::UserGone | Self::NotFound => ErrorCode::NotFound,
            Self::Conflict(_) => ErrorCode::Conflict,
            Self::Stale => ErrorCode::PreconditionFailed,
            Self::Method => ErrorCode::MethodNotAllowed,
            Self::Fields(_) => ErrorCode::ValidationError,
            Self::TooLarge => ErrorCode::PayloadTooLarge,
            Self::MediaType(_) => ErrorCode::UnsupportedMediaType,
            Self::Body => ErrorCode::BadRequest,
            Self::SlowBody => ErrorCode::RequestTimeout,
            Self::StatusAway(_) | Self::Busy | Self::TooSlow => ErrorCode::ServiceUnavailable,
            Self::Internal => ErrorCode::InternalError,
        }
    }

    /// What the client reads; the strings of the replaced system where it had one.
    fn detail(&self) -> String {
        match self {
            Self::NotOfTheFleet | Self::NotAuthenticated => "Not authenticated".to_owned(),
            Self::InvalidToken | Self::ExpiredToken | Self::RevokedToken => {
                "Could not validate credentials".to_owned()
            }
            Self::WrongPassword => "Incorrect username or password".to_owned(),
            Self::WrongTokenType => "Invalid token type".to_owned(),
            Self::RefreshToken(_) => "Invalid refresh token".to_owned(),
            Self::WrongCurrentPassword => "Incorrect current password".to_owned(),
            Self::MailedToken(kind) => format!("Invalid or expired {kind} token"),
            Self::RegistrationClosed => "Registration is closed".to_owned(),
            Self::Taken => "Username or email already registered".to_owned(),
            Self::NotConfigured(what) => format!("{what} not configured"),
            Self::Throttled { .. } => "Rate limit exceeded. Please try again later.".to_owned(),
            Self::NotLetIn(not_let_in) => not_let_in.detail(),
            Self::Scope(scope) => format!("Insufficient permissions. Required scopes: {scope}"),
            Self::OAuth(fault) => fault.to_string(),
            Self::UserGone => "User not found".to_owned(),
            Self::NotFound => "Not Found".to_owned(),
            Self::Conflict(why) => why.clone(),
            Self::Stale => "The resource was changed meanwhile".to_owned(),
            Self::Method => "Method Not Allowed".to_owned(),
            Self::Fields(faults) => {
                let names: Vec<_> = faults.iter().map(|fault| fault.loc.join(".")).collect();
                format!("Validation error: {}", names.join(", "))
            }
            Self::TooLarge => "Request body too large".to_owned(),
            Self::MediaType(expected) => format!("Unsupported media type; send {expected}"),
            Self::Body => "The request body could not be read".to_owned(),
            Self::SlowBody => "The request took too long to arrive".to_owned(),
            Self::StatusAway(_) => {
                "Job status is not available. Please try again later.".to_owned()
            }
            Self::Busy | Self::TooSlow => "Service busy. Please try again later.".to_owned(),
            Self::Internal => "Internal Server Error".to_owned(),
        }
    }

    /// The challenge that every 401 carries (RFC 6750 §3).
    fn challenge(&self) -> Option<&'static str> {
        match self {
            // RFC 9110 §11.6.1 wants a challenge with every 401; this one is for no client.
            Self::NotOfTheFleet => Some(FLEET_CHALLENGE),
            Self::NotAuthenticated | Self::WrongPassword => Some("Bearer"),
            Self::NotLetIn(_) => (self.status() == StatusCode::UNAUTHORIZED).then_some("Bearer"),
            Self::InvalidToken
            | Self::RevokedToken
            | Self::WrongTokenType
            | Self::RefreshToken(_) => Some(r#"Bearer error="invalid_token""#),
            Self::ExpiredToken => Some(
                r#"Bearer error="invalid_token", error_description="The access token expired""#,
            ),
            // RFC 6750 §3.1.
            Self::Scope(_) => Some(r#"Bearer error="insufficient_scope""#),
            Self::WrongCurrentPassword
            | Self::MailedToken(_)
            | Self::RegistrationClosed
            | Self::Taken
            | Self::NotConfigured(_)
            | Self::Throttled { .. }
            | Self::UserGone
            | Self::OAuth(_)
            | Self::NotFound
            | Self::Conflict(_)
            | Self::Stale
            | Self::Method
            | Self::Fields(_)
            | Self::TooLarge
            | Self::MediaType(_)
            | Self::Body
            | Self::SlowBody
            | Self::StatusAway(_)
            | Self::Busy
            | Self::TooSlow
            | Self::Internal => None,
        }
    }

    /// What OAuth calls it (RFC 6749 §5.2).
    fn oauth_error(&self) -> Option<&'static str> {
        match self {
            Self::OAuth(fault) => Some(fault.error()),
            // OAuth clients come to `/auth/login` and `/auth/refresh` as well, and some take any
            // object without `error` for tokens, whatever the status.
            Self::WrongPassword | Self::WrongTokenType | Self::RefreshToken(_) => {
                Some(INVALID_GRANT)
            }
            _ => None,
        }
    }

    /// When to come back: in whole seconds, and late enough.
    fn retry_after_s(&self) -> Option<u64> {
        let whole = |wait: Duration| (wait.as_millis() as u64).div_ceil(1000).max(1);
        match self {
            Self::Throttled { wait, .. } => Some(whole(*wait)),
            Self::NotLetIn(not_let_in) => not_let_in.retry_after().map(whole),
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => Some(1),
            _ => None,
        }
    }

    /// Of somebody who came too often, by the count that is called `policy`.
    pub(crate) fn throttled(policy: &'static str, error: Throttled) -> Self {
        match error {
            Throttled::For(wait) => Self::Throttled { policy, wait },
            Throttled::Uncounted(error) => OutOfOrder::from(error).into(),
        }
    }

    /// What to make of an error that axum answered by itself.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::Method,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            StatusCode::SERVICE_UNAVAILABLE => Self::Busy,
            status if status.is_client_error() => Self::Body,
            _ => Self::Internal,
        }
    }

    /// The answer, about the request to `instance` called `request_id`.
    pub(crate) fn answer(
        &self,
        instance: &str,
        request_id: &str,
        allow: Option<HeaderValue>,
    ) -> Response {
        let mut problem = Problem::new(self.status(), self.error_code(), self.detail())
            .about(instance, request_id);
        if let Self::Fields(faults) = self {
            problem.errors.clone_from(faults);
        }
        if let Self::Throttled { policy, .. } = self {
            problem.kind = QUOTA_EXCEEDED;
            problem.violated_policies = vec![(*policy).to_owned()];
        }
        let body = match self.oauth_error() {
            Some(error) => oauth_fault::body(error, &problem),
            None => problem.to_json(),
        };
        let media_type = match self {
            // As OAuth clients look for it (RFC 6749 §5.2).
            Self::OAuth(_) => "application/json",
            _ => MEDIA_TYPE,
        };
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Some(challenge) = self.challenge() {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(wait_s) = self.retry_after_s() {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait_s));
        }
        if let Some(allow) = allow {
            headers.insert(ALLOW, allow);
        }
        response
    }

    /// Whether it is somebody's failure to show who they are.
    pub(crate) fn is_of_authentication(&self) -> bool {
        match self {
            Self::NotLetIn(not_let_in) => not_let_in.is_of_authentication(),
            Self::WrongCurrentPassword
            | Self::MailedToken(_)
            | Self::OAuth(OAuthFault::InvalidGrant(_)) => true,
            _ => matches!(self.status(), StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS),
        }
    }
}

/// Hands the refusal to the envelope, which alone knows the request's path and id.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<OutOfOrder> for Refusal {
    /// Logs the fault: this is where it is handled.
    fn from(error: OutOfOrder) -> Self {
        if error.is_passing() {
            tracing::warn!("not served just now: {error}: {}", root(&error));
            return Self::Busy;
        }
        tracing::error!("{error}: {}", root(&error));
        Self::Internal
    }
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        OutOfOrder::from(error).into()
    }
}

impl From<AskerError> for Refusal {
    fn from(error: AskerError) -> Self {
        match error {
            AskerError::Token => Self::InvalidToken,
            AskerError::Expired => Self::ExpiredToken,
            AskerError::Revoked => Self::RevokedToken,
            AskerError::Gone => Self::UserGone,
            AskerError::OutOfOrder(error) => error.into(),
        }
    }
}

/// The innermost cause. A database's texts name tables and columns, never values.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
