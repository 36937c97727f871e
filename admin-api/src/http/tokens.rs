//! Login, refresh, logout.

use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::extract::State;
use http::HeaderMap;
use kernel::claims::CLAIM_BYTES_MAX;
use kernel::claims::SCOPES_MAX;
use kernel::claims::is_scope;
use kernel::problem::FieldFault;
use kernel::secret::Secret;
use serde::Serialize;
use utoipa::ToSchema;

use super::asked;
use super::bearer;
use super::bodies::Login;
use super::bodies::Logout;
use super::bodies::Refresh;
use super::bodies::RefreshForm;
use super::device_cookie::DeviceCookie;
use super::fields::Fields;
use super::fields::Kind;
use super::fields::Takes;
use super::fields::of_field;
use super::openapi::OAuthError;
use super::openapi::SIGN_IN;
use super::operator::origin_of;
use super::query::Query;
use super::refusal::Refusal;
use crate::people::desk::Desk;
use crate::people::issue::Pair;
use crate::people::logout::LogoutError;
use crate::people::refresh::RefreshRefusal;
use crate::people::sign_in::SignIn;
use crate::people::sign_in::SignInError;
use crate::prefix::Prefix;

/// The answer that carries tokens (RFC 6749 §5.1).
#[derive(Serialize, ToSchema)]
pub(crate) struct Tokens {
    access_token: String,
    refresh_token: String,
    token_type: &'static str,
    expires_in: u64,
}

impl From<Pair> for Tokens {
    fn from(pair: Pair) -> Self {
        Self {
            access_token: pair.access.expose().to_owned(),
            refresh_token: pair.refresh.expose().to_owned(),
            token_type: "bearer",
            expires_in: pair.access_ttl.as_secs(),
        }
    }
}

/// The answer where there is nothing else to say.
#[derive(Serialize, ToSchema)]
pub(crate) struct Message {
    message: &'static str,
}

impl Message {
    pub(super) fn new(message: &'static str) -> Self {
        Self { message }
    }
}

/// Signs somebody in with a password.
#[utoipa::path(
    post,
    path = "/login",
    operation_id = "login",
    tag = SIGN_IN,
    request_body(content = Login, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = Tokens, description = "Signed in"),
        (
            status = 401,
            body = OAuthError,
            content_type = "application/problem+json",
            description = "An unknown user, a wrong password or an inactive user",
        ),
        (status = 422, description = "Fields that are missing or wrong"),
        (status = 429, description = "Too many attempts"),
    ),
)]
pub(crate) async fn login(
    State(desk): State<Arc<Desk>>,
    State(cookie): State<DeviceCookie>,
    request: Request,
) -> Result<(HeaderMap, Json<Tokens>), Refusal> {
    let from = asked::from(request.extensions());
    let origin = origin_of(request.extensions(), None);
    let device = cookie.read(request.headers());
    let fields = Fields::read(request, Takes::Form).await?;
    let said = sign_in_of(&fields, from, device).map_err(Refusal::Fields)?;
    let signed_in = desk.sign_in(said, origin).await?;
    Ok((cookie.leave(&signed_in.device), Json(signed_in.pair.into())))
}

/// All faults at once.
fn sign_in_of(
    fields: &Fields,
    from: Prefix,
    device: Option<Secret>,
) -> Result<SignIn, Vec<FieldFault>> {
    let grant_type = must_be(fields.optional("grant_type"), "password");
    let name = fields.required("username");
    let password = fields.required("password");
    let scopes = fields.optional("scope").and_then(scopes_of);
    match (grant_type, name, password, scopes) {
        (Ok(()), Ok(name), Ok(password), Ok(scopes)) => Ok(SignIn {
            name: name.to_owned(),
            password: Secret::new(password),
            scopes,
            from,
            device,
        }),
        (grant_type, name, password, scopes) => {
            Err([grant_type.err(), name.err(), password.err(), scopes.err()]
                .into_iter()
                .flatten()
                .collect())
        }
    }
}

fn must_be(given: Result<Option<&str>, FieldFault>, expected: &str) -> Result<(), FieldFault> {
    match given? {
        Some(given) if given != expected => {
            Err(of_field("grant_type", &format!("Input should be '{expected}'"), "literal_error"))
        }
        _ => Ok(()),
    }
}

/// Scopes asked for, separated by spaces; nothing but spaces asks for all.
fn scopes_of(text: Option<&str>) -> Result<Option<Vec<String>>, FieldFault> {
    let words: Vec<_> = text.unwrap_or_default().split_ascii_whitespace().collect();
    if words.len() > SCOPES_MAX || words.iter().any(|word| word.len() > CLAIM_BYTES_MAX) {
        let msg = format!("At most {SCOPES_MAX} scopes of at most {CLAIM_BYTES_MAX} bytes");
        return Err(of_field("scope", &msg, "too_long"));
    }
    let asked = !words.is_empty();
    // What cannot be a scope is allowed to nobody; it is not kept either.
    let words = words.into_iter().filter(|word| is_scope(word)).map(str::to_owned).collect();
    Ok(asked.then_some(words))
}

/// Exchanges a refresh token for the next pair.
///
/// The token is taken from a JSON body, a form, or else the `Authorization` header.
#[utoipa::path(
    post,
    path = "/refresh",
    operation_id = "refresh",
    tag = SIGN_IN,
    request_body(content(
        (Refresh = "application/json"),
        (RefreshForm = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 200, body = Tokens, description = "The next pair"),
        (
            status = 401,
            body = OAuthError,
            content_type = "application/problem+json",
            description = "A refresh token that does not hold",
        ),
        (status = 422, description = "No refresh token, or fields that are wrong"),
    ),
)]
pub(crate) async fn refresh(
    State(desk): State<Arc<Desk>>,
    request: Request,
) -> Result<Json<Tokens>, Refusal> {
    let borne = bearer::optional(request.headers());
    let origin = origin_of(request.extensions(), None);
    let fields = Fields::read(request, Takes::FormOrJson).await?;
    none_but(&fields, &["refresh_token"])?;
    let field = |fault| Refusal::Fields(vec![fault]);
    if fields.kind == Kind::Form {
        fields.required("grant_type").map_err(field)?;
        must_be(fields.optional("grant_type"), "refresh_token").map_err(field)?;
    }
    // A client that adds its access token to every request means the one in the body.
    let token = match fields.optional("refresh_token").map_err(field)? {
        Some(token) => Secret::new(token),
        None => borne
            .map_err(|_| Refusal::RefreshToken("a malformed credential"))?
            .ok_or_else(|| field(of_field("refresh_token", "Field required", "missing")))?,
    };
    Ok(Json(desk.refresh(&token, origin).await?.into()))
}

/// Logs out, here or everywhere.
///
/// The access token may have expired.
#[utoipa::path(
    post,
    path = "/logout",
    operation_id = "logout",
    tag = SIGN_IN,
    params(("all" = Option<bool>, Query, description = "End all sessions of this user")),
    request_body(content(
        (Logout = "application/json"),
        (Logout = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 200, body = Message, description = "Logged out"),
        (status = 401, description = "An access token that is not ours, or was revoked"),
        (status = 422, description = "Fields that are wrong"),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn logout(
    State(desk): State<Arc<Desk>>,
    request: Request,
) -> Result<Json<Message>, Refusal> {
    let access = bearer::required(request.headers())?;
    let everywhere =
        Query::of(request.uri()).flag("all").map_err(|fault| Refusal::Fields(vec![fault]))?;
    let origin = origin_of(request.extensions(), None);
    let fields = Fields::read(request, Takes::FormOrJson).await?;
    none_but(&fields, &["refresh_token"])?;
    let refresh = fields
        .optional("refresh_token")
        .map_err(|fault| Refusal::Fields(vec![fault]))?
        .map(Secret::new);
    if everywhere {
        desk.log_out_everywhere(&access, origin).await?;
    } else {
        desk.log_out(&access, refresh.as_ref(), origin).await?;
    }
    Ok(Json(Message::new("Successfully logged out")))
}

/// Checks that a JSON body has no fields but `known` ones. A form may (RFC 6749 §3.2).
fn none_but(fields: &Fields, known: &[&str]) -> Result<(), Refusal> {
    let others = if fields.kind == Kind::Json { fields.unknown(known) } else { Vec::new() };
    if others.is_empty() { Ok(()) } else { Err(Refusal::Fields(others)) }
}

impl From<SignInError> for Refusal {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Incorrect | SignInError::Changed => Self::WrongPassword,
            SignInError::Throttled(error) => Self::throttled("login", error),
            SignInError::OutOfOrder(error) => error.into(),
        }
    }
}

impl From<RefreshRefusal> for Refusal {
    fn from(error: RefreshRefusal) -> Self {
        match error {
            RefreshRefusal::WrongType => Self::WrongTokenType,
            RefreshRefusal::Token => Self::RefreshToken("a refresh token that does not hold"),
            RefreshRefusal::Over => Self::RefreshToken("a refresh token of a session that is over"),
            RefreshRefusal::Reuse => Self::RefreshToken("a refresh token that was used before"),
            RefreshRefusal::OutOfOrder(error) => error.into(),
        }
    }
}

impl From<LogoutError> for Refusal {
    fn from(error: LogoutError) -> Self {
        match error {
            LogoutError::Token => Self::InvalidToken,
            LogoutError::Revoked => Self::RevokedToken,
            LogoutError::OutOfOrder(error) => error.into(),
        }
    }
}
