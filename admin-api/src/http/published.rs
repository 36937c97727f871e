//! What is published for machines: the keys that verify our tokens, and where our endpoints are.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use kernel::keys::jwk_set;
use serde_json::json;

use super::refusal::Refusal;
use crate::people::desk::Desk;
use crate::people::signing_keys::JWKS_MAX_AGE;

/// `GET /.well-known/jwks.json` (RFC 7517 §5): pending, active and retiring keys; no secrets.
pub(crate) async fn jwks(State(desk): State<Arc<Desk>>) -> Response {
    cached(jwk_set(desk.issuer.keys().ring().verifying()))
}

/// `GET /.well-known/oauth-authorization-server` (RFC 8414 §3).
///
/// All URLs are made of `listen.public_url`, never of what a request says; without one there is
/// nothing to publish.
pub(crate) async fn metadata(State(desk): State<Arc<Desk>>) -> Result<Response, Refusal> {
    let base = desk.public_url.as_deref().ok_or(Refusal::NotFound)?;
    Ok(cached(json!({
        "issuer": &*desk.issuer.profile().issuer,
        "token_endpoint": format!("{base}/auth/oauth/token"),
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint": format!("{base}/auth/oauth/revoke"),
        "revocation_endpoint_auth_methods_supported": ["none"],
        "introspection_endpoint": format!("{base}/auth/oauth/introspect"),
        "introspection_endpoint_auth_methods_supported": ["Bearer"],
        "jwks_uri": format!("{base}/.well-known/jwks.json"),
        // Passwords are for our own login, never for a client of somebody else's (RFC 9700 §2.4).
        "grant_types_supported": ["refresh_token"],
        // Needed by RFC 8414 §2, and empty: there is no authorization endpoint.
        "response_types_supported": [],
    })))
}

fn cached(body: serde_json::Value) -> Response {
    let mut response = Json(body).into_response();
    let max_age = format!("public, max-age={}", JWKS_MAX_AGE.as_secs());
    if let Ok(value) = HeaderValue::from_str(&max_age) {
        response.headers_mut().insert(CACHE_CONTROL, value);
    }
    response
}
