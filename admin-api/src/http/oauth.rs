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
use serde_json::Value;
use serde_json::json;

use super::bearer;
use super::fields::Fields;
use super::fields::Takes;
use super::oauth_fault::OAuthFault;
use super::operator::origin_of;
use super::refusal::Refusal;
use crate::people::desk::Desk;
use crate::people::inspect::Look;
use crate::people::refresh::RefreshRefusal;
use crate::people::roles::ADMIN;

/// The scope, beside `admin`, with which tokens of others may be looked at.
pub(crate) const INTROSPECT: &str = "introspect";

/// `POST /auth/oauth/token`, with `grant_type=refresh_token` (RFC 6749 §6).
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
    let mut response = Json(json!({
        "access_token": pair.access.expose(),
        "refresh_token": pair.refresh.expose(),
        "token_type": "Bearer",
        "expires_in": pair.access_ttl.as_secs(),
        "scope": pair.scope,
    }))
    .into_response();
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

/// `POST /auth/oauth/revoke` (RFC 7009): whoever holds a token may end it, and one that nobody
/// knows is as good as ended (§2.2).
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

/// `POST /auth/oauth/introspect` (RFC 7662), for callers with the scope `introspect` or `admin`.
pub(crate) async fn introspect(
    State(desk): State<Arc<Desk>>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
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
            let mut answer = json!({
                "active": true,
                "token_type": "Bearer",
                "sub": &*claims.user_id,
                "username": &*claims.username,
                "scope": left.join(" "),
                "exp": claims.expires_at_s,
            });
            for (name, value) in [
                ("iss", claims.issuer.as_deref().map(Value::from)),
                ("iat", claims.issued_at_s.map(Value::from)),
                ("nbf", claims.not_before_s.map(Value::from)),
                ("jti", claims.token_id.as_deref().map(Value::from)),
                ("aud", desk.issuer.profile().audience.as_deref().map(Value::from)),
                ("tier", Some(Value::from(owner.tier.as_str()))),
                ("sid", claims.session.as_deref().map(Value::from)),
            ] {
                // Nothing is said of what the token does not say (§2.2).
                if let Some(value) = value {
                    answer[name] = value;
                }
            }
            answer
        }
        Look::Refresh(claims, None) => json!({
            "active": true,
            "token_type": "refresh_token",
            "sub": claims.sub,
            "iss": claims.iss,
            "iat": claims.iat,
            "exp": claims.exp,
            "sid": claims.sid,
        }),
        // Why not is nobody's business (§2.2).
        Look::Access(_, Err(_)) | Look::Refresh(_, Some(_)) | Look::Other(_) => {
            json!({ "active": false })
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
