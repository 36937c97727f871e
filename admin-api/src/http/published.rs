//! What is published for machines: the keys that verify our tokens, and where our endpoints are.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use kernel::keys::jwk_set;
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::MACHINES;
use super::refusal::Refusal;
use crate::people::desk::Desk;
use crate::people::signing_keys::JWKS_MAX_AGE;

/// Where our endpoints are (RFC 8414 §2).
#[derive(Serialize, ToSchema)]
pub(crate) struct Metadata {
    issuer: String,
    token_endpoint: String,
    token_endpoint_auth_methods_supported: Vec<&'static str>,
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    jwks_uri: String,
    /// Passwords are for our own login, never for a client of somebody else's (RFC 9700 §2.4).
    grant_types_supported: Vec<&'static str>,
    /// Needed by RFC 8414 §2, and empty: there is no authorization endpoint.
    response_types_supported: Vec<&'static str>,
}

/// The keys that verify our access tokens (RFC 7517 §5).
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the published document: the kernel writes them")]
pub(crate) struct JwkSet {
    /// One object for each public key: pending, active and retiring ones.
    #[schema(value_type = Vec<Object>)]
    keys: Vec<()>,
}

/// Publishes the keys that verify our access tokens; no secrets (RFC 7517 §5).
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    operation_id = "jwks",
    tag = MACHINES,
    responses((status = 200, body = JwkSet, description = "The keys")),
)]
pub(crate) async fn jwks(State(desk): State<Arc<Desk>>) -> Response {
    cached(jwk_set(desk.issuer.keys().ring().verifying()))
}

/// Publishes where our endpoints are (RFC 8414 §3).
///
/// All URLs are made of `listen.public_url`, never of what a request says; without one there is
/// nothing to publish.
#[utoipa::path(
    get,
    path = "/.well-known/oauth-authorization-server",
    operation_id = "oauthMetadata",
    tag = MACHINES,
    responses(
        (status = 200, body = Metadata, description = "Where our endpoints are"),
        (status = 404, description = "No `listen.public_url` is configured"),
    ),
)]
pub(crate) async fn metadata(State(desk): State<Arc<Desk>>) -> Result<Response, Refusal> {
    let base = desk.public_url.as_deref().ok_or(Refusal::NotFound)?;
    Ok(cached(Metadata {
        issuer: desk.issuer.profile().issuer.to_string(),
        token_endpoint: format!("{base}/auth/oauth/token"),
        token_endpoint_auth_methods_supported: vec!["none"],
        revocation_endpoint: format!("{base}/auth/oauth/revoke"),
        revocation_endpoint_auth_methods_supported: vec!["none"],
        introspection_endpoint: format!("{base}/auth/oauth/introspect"),
        introspection_endpoint_auth_methods_supported: vec!["Bearer"],
        jwks_uri: format!("{base}/.well-known/jwks.json"),
        grant_types_supported: vec!["refresh_token"],
        response_types_supported: Vec::new(),
    }))
}

fn cached(body: impl Serialize) -> Response {
    let mut response = Json(body).into_response();
    let max_age = format!("public, max-age={}", JWKS_MAX_AGE.as_secs());
    if let Ok(value) = HeaderValue::from_str(&max_age) {
        response.headers_mut().insert(CACHE_CONTROL, value);
    }
    response
}
