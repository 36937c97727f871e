//! The endpoints for OAuth clients: tokens, revocation, introspection.
//!
//! Forms alone; parameters that nobody knows are ignored, one that comes twice is an error
//! (RFC 6749 §3.2); errors as §5.2 has them, with our own members beside.

use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use http::HeaderValue;
use http::StatusCode;
use http::header::PRAGMA;
use kernel::secret::Secret;
use serde::Serialize;
use utoipa::ToSchema;

use super::bearer;
use super::bodies::OAuthToken;
use super::bodies::OAuthTokenRequest;
use super::fields::Fields;
use super::fields::Takes;
use super::oauth_fault::OAuthFault;
use super::openapi::MACHINES;
use super::openapi::OAuthError;
use super::operator::origin_of;
use super::refusal::Refusal;
use crate::people::desk::Desk;
use crate::people::inspect::Look;
use crate::people::refresh::RefreshRefusal;
use crate::people::roles::ADMIN;

/// The scope, beside `admin`, with which tokens of others may be looked at.
pub(crate) const INTROSPECT: &str = "introspect";

/// Tokens, as RFC 6749 §5.1 has them.
#[derive(Serialize, ToSchema)]
pub(crate) struct OAuthTokens {
    access_token: String,
    refresh_token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// Seconds.
    expires_in: u64,
    /// Separated by spaces.
    scope: String,
}

/// What a token is worth here and now (RFC 7662 §2.2). Of one that is worth nothing only that is
/// said, and nothing of what the token itself does not say.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct Introspection {
    active: bool,
    /// `Bearer` or `refresh_token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// Those of the token that its owner is still allowed, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
}

/// Exchanges a refresh token for the next pair, as OAuth clients do (RFC 6749 §6).
#[utoipa::path(
    post,
    path = "/oauth/token",
    operation_id = "oauthToken",
    tag = MACHINES,
    request_body(content = OAuthTokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = OAuthTokens, description = "The next pair"),
        (status = 400, body = OAuthError, description = "What RFC 6749 §5.2 has"),
    ),
)]
pub(crate) async fn token(
    State(desk): State<Arc<Desk>>,
    request: Request,
) -> Result<Response, Refusal> {
    let origin = origin_of(request.extensions(), None);
    let form = form(request).await?;
    if required(&form, "grant_type")? != "refresh_token" {
        return Err(OAuthFault::UnsupportedGrantType.into());
    }
    let refresh = Secret::new(required(&form, "refresh_token")?);
    let scope = form.optional("scope").map_err(|_| repeated("scope"))?;
    let narrowed: Option<Vec<String>> =
        scope.map(|text| text.split_ascii_whitespace().map(str::to_owned).collect());
    let pair = desk.refresh_within(&refresh, narrowed.as_deref(), origin).await;
    let pair = pair.map_err(refused)?;
    let tokens = OAuthTokens {
        access_token: pair.access.expose().to_owned(),
        refresh_token: pair.refresh.expose().to_owned(),
        token_type: "Bearer",
        expires_in: pair.access_ttl.as_secs(),
        scope: pair.scope,
    };
    let mut response = Json(tokens).into_response();
    // RFC 6749 §5.1; `no-store` comes with every answer.
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    Ok(response)
}

fn refused(error: RefreshRefusal) -> Refusal {
    let why = match error {
        RefreshRefusal::WrongType => "an access token in place of a refresh token",
        RefreshRefusal::Token => "the refresh token does not hold",
        RefreshRefusal::Over => "the session is over",
        RefreshRefusal::Reuse => "the refresh token was used before",
        RefreshRefusal::OutOfOrder(error) => return error.into(),
    };
    OAuthFault::InvalidGrant(why).into()
}

/// Ends a token (RFC 7009): whoever holds one may, and one that nobody knows is as good as ended
/// (§2.2).
#[utoipa::path(
    post,
    path = "/oauth/revoke",
    operation_id = "oauthRevoke",
    tag = MACHINES,
    request_body(content = OAuthToken, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "It is worth nothing from now on"),
        (status = 400, body = OAuthError, description = "What RFC 6749 §5.2 has"),
    ),
)]
pub(crate) async fn revoke(
    State(desk): State<Arc<Desk>>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let origin = origin_of(request.extensions(), None);
    let form = form(request).await?;
    let token = Secret::new(required(&form, "token")?);
    desk.take_back(&token, origin).await?;
    Ok(StatusCode::OK)
}

/// Says what a token is worth here and now (RFC 7662).
#[utoipa::path(
    post,
    path = "/oauth/introspect",
    operation_id = "oauthIntrospect",
    tag = MACHINES,
    request_body(content = OAuthToken, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = Introspection, description = "What it is worth"),
        (status = 404, description = "The token's user is gone"),
        (status = 400, body = OAuthError, description = "What RFC 6749 §5.2 has"),
    ),
    security(("bearer" = ["introspect"]), ("bearer" = ["admin"])),
)]
pub(crate) async fn introspect(
    State(desk): State<Arc<Desk>>,
    request: Request,
) -> Result<Json<Introspection>, Refusal> {
    let asker = desk.asker(&bearer::required(request.headers())?).await?;
    if !desk.holds(&asker, INTROSPECT) && !desk.holds(&asker, ADMIN) {
        return Err(Refusal::Scope(INTROSPECT));
    }
    let form = form(request).await?;
    let token = Secret::new(required(&form, "token")?);
    Ok(Json(match desk.look_at(&token).await? {
        Look::Access(token, Ok(owner)) => {
            let claims = token.claims();
            // What was taken from its owner since is no longer in it.
            let allowed = desk.roles.allowed(&owner.role, &owner.scopes);
            let left = claims.scopes.iter().map(|scope| &**scope);
            let left: Vec<&str> = left.filter(|scope| allowed.contains(scope)).collect();
            let text = |said: &Option<Arc<str>>| said.as_deref().map(str::to_owned);
            Introspection {
                active: true,
                token_type: Some("Bearer"),
                sub: Some(claims.user_id.to_string()),
                username: Some(claims.username.to_string()),
                scope: Some(left.join(" ")),
                tier: Some(owner.tier.to_string()),
                iss: text(&claims.issuer),
                aud: text(&desk.issuer.profile().audience),
                iat: claims.issued_at_s,
                nbf: claims.not_before_s,
                exp: Some(claims.expires_at_s),
                jti: text(&claims.token_id),
                sid: text(&claims.session),
            }
        }
        Look::Refresh(claims, None) => Introspection {
            active: true,
            token_type: Some("refresh_token"),
            sub: Some(claims.sub),
            iss: Some(claims.iss),
            iat: Some(claims.iat),
            exp: Some(claims.exp),
            sid: Some(claims.sid),
            ..Introspection::default()
        },
        // Why not is nobody's business (§2.2).
        Look::Access(_, Err(_)) | Look::Refresh(_, Some(_)) | Look::Other(_) => {
            Introspection::default()
        }
    }))
}

async fn form(request: Request) -> Result<Fields, Refusal> {
    let form = Fields::read(request, Takes::Form).await.map_err(|refusal| match refusal {
        Refusal::MediaType(_) | Refusal::Fields(_) | Refusal::Body => {
            let expected = "expected a form: application/x-www-form-urlencoded";
            OAuthFault::InvalidRequest(expected.to_owned()).into()
        }
        other => other,
    })?;
    match form.repeated() {
        Some(name) => Err(repeated(name)),
        None => Ok(form),
    }
}

fn required<'a>(form: &'a Fields, name: &str) -> Result<&'a str, Refusal> {
    let missing = || OAuthFault::InvalidRequest(format!("the parameter `{name}` is missing"));
    form.required(name).map_err(|_| missing().into())
}

fn repeated(name: &str) -> Refusal {
    // Not repeated when it is none of ours: a client may have sent anything.
    let known = ["grant_type", "refresh_token", "scope", "token", "token_type_hint", "client_id"];
    OAuthFault::InvalidRequest(match known.contains(&name) {
        true => format!("the parameter `{name}` comes more than once"),
        false => "a parameter comes more than once".to_owned(),
    })
    .into()
}
