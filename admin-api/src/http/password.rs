//! One's own password: change it, or set it anew by mail.

use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::extract::State;
use http::HeaderMap;
use http::StatusCode;
use kernel::problem::FieldFault;
use kernel::secret::Secret;

use super::asked;
use super::bearer;
use super::bodies::PasswordChange;
use super::bodies::PasswordReset;
use super::bodies::PasswordResetConfirmation;
use super::device_cookie::DeviceCookie;
use super::fields::Fields;
use super::fields::Takes;
use super::fields::all;
use super::fields::of_field;
use super::openapi::ACCOUNT;
use super::operator::origin_of;
use super::refusal::Refusal;
use super::tokens::Message;
use super::tokens::Tokens;
use crate::people::desk::Desk;
use crate::people::password::Change;
use crate::people::password::PasswordError;
use crate::people::person::EMAIL_CHARS_MAX;

/// The longest mailed token that is looked at, in bytes.
pub(crate) const TOKEN_BYTES_MAX: usize = 256;

/// Changes one's own password.
///
/// All sessions end, and a new one begins.
#[utoipa::path(
    post,
    path = "/password",
    operation_id = "changePassword",
    tag = ACCOUNT,
    request_body = PasswordChange,
    responses(
        (status = 200, body = Tokens, description = "Changed; the tokens of the new session"),
        (status = 404, description = "The token's user is gone"),
        (status = 403, description = "Not the present password"),
        (status = 422, description = "Fields that are missing or wrong, or a weak password"),
        (status = 429, description = "Too many attempts"),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn change(
    State(desk): State<Arc<Desk>>,
    State(cookie): State<DeviceCookie>,
    request: Request,
) -> Result<(HeaderMap, Json<Tokens>), Refusal> {
    let access = bearer::required(request.headers())?;
    let from = asked::from(request.extensions());
    let device = cookie.read(request.headers());
    let origin = origin_of(request.extensions(), None);
    let fields = Fields::read(request, Takes::Json).await?;
    let current = fields.required("current_password").map(Secret::new);
    let new = fields.required("new_password").map(Secret::new);
    let unknown = fields.unknown(&["current_password", "new_password"]);
    let (current, new) = match (current, new, unknown) {
        (Ok(current), Ok(new), unknown) if unknown.is_empty() => (current, new),
        (current, new, unknown) => return Err(all([current.err(), new.err()], unknown)),
    };
    let change = Change { access, current, new, from, device };
    let signed_in = desk.change_password(change, origin).await?;
    Ok((cookie.leave(&signed_in.device), Json(signed_in.pair.into())))
}

/// Has a mail sent by which a new password can be set.
///
/// The answer is the same whether or not anybody has the address.
#[utoipa::path(
    post,
    path = "/password/reset",
    operation_id = "requestPasswordReset",
    tag = ACCOUNT,
    request_body = PasswordReset,
    responses(
        (status = 202, body = Message, description = "A mail is on its way, if somebody has the address"),
        (status = 422, description = "Fields that are missing or wrong"),
        (status = 429, description = "Too many attempts"),
        (status = 501, description = "No mail is configured"),
    ),
)]
pub(crate) async fn reset(
    State(desk): State<Arc<Desk>>,
    request: Request,
) -> Result<(StatusCode, Json<Message>), Refusal> {
    let from = asked::from(request.extensions());
    let fields = Fields::read(request, Takes::Json).await?;
    let email = fields.required("email").and_then(|email| at_most(email, "email", EMAIL_CHARS_MAX));
    let unknown = fields.unknown(&["email"]);
    let email = match email {
        Ok(email) if unknown.is_empty() => email,
        email => return Err(all([email.err()], unknown)),
    };
    desk.mail_reset(email, from).await?;
    let message = "If the address is known here, a mail is on its way";
    Ok((StatusCode::ACCEPTED, Json(Message::new(message))))
}

/// Sets a new password by a mailed token.
///
/// All sessions end.
#[utoipa::path(
    post,
    path = "/password/reset/confirm",
    operation_id = "confirmPasswordReset",
    tag = ACCOUNT,
    request_body = PasswordResetConfirmation,
    responses(
        (status = 200, body = Message, description = "Set"),
        (status = 400, description = "A token that does not hold"),
        (status = 422, description = "Fields that are missing or wrong, or a weak password"),
        (status = 429, description = "Too many attempts"),
    ),
)]
pub(crate) async fn confirm(
    State(desk): State<Arc<Desk>>,
    request: Request,
) -> Result<Json<Message>, Refusal> {
    let from = asked::from(request.extensions());
    let origin = origin_of(request.extensions(), None);
    let fields = Fields::read(request, Takes::Json).await?;
    let token = mailed_token(&fields);
    let new = fields.required("new_password").map(Secret::new);
    let unknown = fields.unknown(&["token", "new_password"]);
    let (token, new) = match (token, new, unknown) {
        (Ok(token), Ok(new), unknown) if unknown.is_empty() => (token, new),
        (token, new, unknown) => return Err(all([token.err(), new.err()], unknown)),
    };
    desk.reset_password(&token, &new, from, origin).await?;
    Ok(Json(Message::new("Password has been reset")))
}

/// The token that came in a mail.
///
/// # Errors
/// A fault where it is absent or too long.
pub(super) fn mailed_token(fields: &Fields) -> Result<Secret, FieldFault> {
    fields
        .required("token")
        .and_then(|token| at_most(token, "token", TOKEN_BYTES_MAX))
        .map(Secret::new)
}

fn at_most<'t>(text: &'t str, field: &str, chars_max: usize) -> Result<&'t str, FieldFault> {
    if text.chars().count() <= chars_max {
        return Ok(text);
    }
    Err(of_field(field, &format!("At most {chars_max} characters"), "too_long"))
}

impl From<PasswordError> for Refusal {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Asker(error) => error.into(),
            PasswordError::Weak(weakness) => {
                Self::Fields(vec![of_field("new_password", &weakness.to_string(), "weak_password")])
            }
            PasswordError::Incorrect => Self::WrongCurrentPassword,
            PasswordError::Token => Self::MailedToken("reset"),
            PasswordError::Throttled(error) => Self::throttled("password", error),
            PasswordError::NoPost => Self::NotConfigured("Password reset"),
            PasswordError::PostFull(_) => Self::Busy,
            PasswordError::OutOfOrder(error) => error.into(),
        }
    }
}
