//! Who am I?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use super::bearer;
use super::openapi::ACCOUNT;
use super::refusal::Refusal;
use crate::people::desk::Desk;
use crate::store::users::User;

/// A person, to themselves.
#[derive(Serialize, ToSchema)]
pub(crate) struct Me {
    id: String,
    username: String,
    email: Option<String>,
    tier: String,
    is_active: bool,
    full_name: Option<String>,
    role: String,
    /// Those of the token at hand, which may be fewer than allowed.
    scopes: Vec<String>,
    is_verified: bool,
}

impl Me {
    /// `user`, with the scopes at hand.
    pub(crate) fn of(user: User, scopes: Vec<String>) -> Self {
        Self {
            id: user.id,
            username: user.username,
            email: user.email,
            tier: user.tier.to_string(),
            is_active: user.is_active,
            full_name: user.full_name,
            role: user.role,
            scopes,
            is_verified: user.is_verified,
        }
    }
}

/// Says who is asking.
#[utoipa::path(
    get,
    path = "/me",
    operation_id = "me",
    tag = ACCOUNT,
    responses(
        (status = 200, body = Me, description = "Who is asking"),
        (status = 404, description = "The token's user is gone"),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn me(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
) -> Result<Json<Me>, Refusal> {
    let asker = desk.asker(&bearer::required(&headers)?).await?;
    let scopes = asker.token.claims().scopes.iter().map(ToString::to_string).collect();
    Ok(Json(Me::of(asker.user, scopes)))
}
