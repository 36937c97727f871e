//! My sessions: where am I signed in, and no longer.

use std::sync::Arc;

use axum::Json;
use axum::extract::Path;
use axum::extract::Request;
use axum::extract::State;
use http::HeaderMap;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::bearer;
use super::moments::written;
use super::openapi::ACCOUNT;
use super::operator::origin_of;
use super::refusal::Refusal;
use crate::people::audit::Actor;
use crate::people::desk::Desk;
use crate::store::sessions::Session;

/// All sessions of one person that are alive.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionList {
    sessions: Vec<Shown>,
}

/// One session.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
struct Shown {
    id: String,
    /// Whether it is the one that asks.
    current: bool,
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was refreshed the last time.
    #[schema(format = DateTime)]
    refreshed_at: String,
    /// When it ends, if it is not refreshed before.
    #[schema(format = DateTime)]
    expires_at: String,
    /// The address that it was begun from; `null`: not known.
    client: Option<String>,
    /// The `User-Agent` that it was begun with, at most 256 characters of it; `null`: not known.
    user_agent: Option<String>,
}

/// The list of `sessions`, of which `current` is the one that asks.
pub(crate) fn of_sessions(sessions: Vec<Session>, current: Option<&str>) -> SessionList {
    let shown = |session: Session| Shown {
        current: current == Some(&session.id),
        created_at: written(session.created_at),
        refreshed_at: written(session.rotated_at),
        expires_at: written(session.expires_at),
        client: session.client,
        user_agent: session.user_agent,
        id: session.id,
    };
    SessionList { sessions: sessions.into_iter().map(shown).collect() }
}

/// Lists one's own sessions, the newest first.
#[utoipa::path(
    get,
    path = "/sessions",
    operation_id = "listSessions",
    tag = ACCOUNT,
    responses(
        (status = 200, body = SessionList, description = "Those that are alive"),
        (status = 404, description = "The token's user is gone"),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn mine(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
) -> Result<Json<SessionList>, Refusal> {
    let asker = desk.asker(&bearer::required(&headers)?).await?;
    let sessions = desk.sessions_of(asker.user.id).await?;
    Ok(Json(of_sessions(sessions, asker.token.claims().session.as_deref())))
}

/// Ends one of one's own sessions.
#[utoipa::path(
    delete,
    path = "/sessions/{id}",
    operation_id = "endSession",
    tag = ACCOUNT,
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 204, description = "Ended"),
        (status = 404, description = "No such session of this user"),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn end(
    State(desk): State<Arc<Desk>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let (parts, _) = request.into_parts();
    let access = bearer::required(&parts.headers)?;
    let asker = desk.asker(&access).await?;
    let origin = origin_of(&parts.extensions, Some(Actor::from(&asker.user)));
    match desk.end_own_session(&asker, &access, id, origin).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Refusal::NotFound),
    }
}
