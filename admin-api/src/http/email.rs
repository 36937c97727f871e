//! One's own e-mail address: shown to be one's own, by mail.

use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::extract::State;
use http::StatusCode;

use super::asked;
use super::bearer;
use super::bodies::EmailVerification;
use super::fields::Fields;
use super::fields::Takes;
use super::fields::all;
use super::openapi::ACCOUNT;
use super::operator::origin_of;
use super::password::mailed_token;
use super::refusal::Refusal;
use super::tokens::Message;
use crate::people::desk::Desk;
use crate::people::email::EmailError;

/// Has a mail sent by which one's own address can be verified.
///
/// The answer is the same where it is verified already, and nothing is sent then.
#[utoipa::path(
    post,
    path = "/email/verify",
    operation_id = "requestEmailVerification",
    tag = ACCOUNT,
    responses(
        (status = 202, body = Message, description = "A mail is on its way, if there is an address to verify"),
        (status = 401, description = "No access token that holds"),
        (status = 404, description = "The token's user is gone"),
        (status = 429, description = "Too many attempts"),
        (status = 501, description = "No mail is configured"),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn verify(
    State(desk): State<Arc<Desk>>,
    request: Request,
) -> Result<(StatusCode, Json<Message>), Refusal> {
    let from = asked::from(request.extensions());
    desk.mail_verification(&bearer::required(request.headers())?, from).await?;
    let message = "If there is an address to verify, a mail is on its way";
    Ok((StatusCode::ACCEPTED, Json(Message::new(message))))
}

/// Verifies one's own address by a mailed token.
#[utoipa::path(
    post,
    path = "/email/verify/confirm",
    operation_id = "confirmEmailVerification",
    tag = ACCOUNT,
    request_body = EmailVerification,
    responses(
        (status = 200, body = Message, description = "Verified"),
        (status = 400, description = "A token that does not hold, or is not this user's"),
        (status = 404, description = "The token's user is gone"),
        (status = 422, description = "Fields that are missing or wrong"),
        (status = 429, description = "Too many attempts"),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn confirm(
    State(desk): State<Arc<Desk>>,
    request: Request,
) -> Result<Json<Message>, Refusal> {
    let access = bearer::required(request.headers())?;
    let from = asked::from(request.extensions());
    let origin = origin_of(request.extensions(), None);
    let fields = Fields::read(request, Takes::Json).await?;
    let unknown = fields.unknown(&["token"]);
    let token = match mailed_token(&fields) {
        Ok(token) if unknown.is_empty() => token,
        token => return Err(all([token.err()], unknown)),
    };
    desk.verify_email(&access, &token, from, origin).await?;
    Ok(Json(Message::new("Email address has been verified")))
}

impl From<EmailError> for Refusal {
    fn from(error: EmailError) -> Self {
        match error {
            EmailError::Asker(error) => error.into(),
            EmailError::Token => Self::MailedToken("verification"),
            EmailError::Throttled(error) => Self::throttled("email", error),
            EmailError::NoPost => Self::NotConfigured("Email verification"),
            EmailError::PostFull(_) => Self::Busy,
            EmailError::OutOfOrder(error) => error.into(),
        }
    }
}
