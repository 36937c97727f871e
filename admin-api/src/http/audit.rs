//! Management: what was done.

use axum::Json;
use axum::extract::RawQuery;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::moments::written;
use super::openapi::MANAGEMENT;
use super::operator::Operator;
use super::refusal::Refusal;
use super::selection::Selection;
use super::selection::page_of;
use super::users::PAGE_ROWS;
use super::users::PAGE_ROWS_MAX;
use crate::people::users::Users;
use crate::store::audit::Act;
use crate::store::audit::ActFilter;

/// One act, to whoever looks into what happened.
#[derive(Serialize, ToSchema)]
#[schema(as = Act)]
pub(crate) struct Noted {
    id: String,
    #[schema(format = DateTime)]
    at: String,
    action: String,
    outcome: String,
    actor_id: Option<String>,
    actor_name: Option<String>,
    target_id: Option<String>,
    target_name: Option<String>,
    request_id: Option<String>,
    client: Option<String>,
    detail: Option<String>,
}

impl From<Act> for Noted {
    fn from(act: Act) -> Self {
        Self {
            id: act.id,
            at: written(act.at),
            action: act.action,
            outcome: act.outcome,
            actor_id: act.actor_id,
            actor_name: act.actor_name,
            target_id: act.target_id,
            target_name: act.target_name,
            request_id: act.request_id,
            client: act.client,
            detail: act.detail,
        }
    }
}

/// One page of the audit log, the newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditPage {
    acts: Vec<Noted>,
    /// What to ask for to get the acts before; `null`: there are none.
    next_cursor: Option<String>,
}

/// Lists what was done, the newest first.
#[utoipa::path(
    get,
    path = "/audit",
    operation_id = "listAuditLog",
    tag = MANAGEMENT,
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "How many; 50 where it is not said"),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
        ("actor_id" = Option<String>, Query, description = "Only what this user did"),
        ("target_id" = Option<String>, Query, description = "Only what was done to this user"),
        ("action" = Option<String>, Query, description = "Only this, such as `user.created`"),
    ),
    responses(
        (status = 200, body = AuditPage, description = "A page"),
        (status = 404, description = "The token's user is gone"),
        (status = 422, description = "Parameters that are wrong"),
    ),
    security(("bearer" = ["admin"])),
)]
pub(crate) async fn audit(
    _: Operator,
    State(users): State<Users>,
    RawQuery(query): RawQuery,
) -> Result<Json<AuditPage>, Refusal> {
    let query =
        Selection::of(query.as_deref(), &["limit", "cursor", "actor_id", "target_id", "action"])?;
    let limit = query.limit(PAGE_ROWS, PAGE_ROWS_MAX)?;
    let owned = |name| query.text(name).map(str::to_owned);
    let filter = ActFilter {
        before: owned("cursor"),
        actor_id: owned("actor_id"),
        target_id: owned("target_id"),
        action: owned("action"),
    };
    let acts = users.acts(filter, limit + 1).await?;
    let (acts, next_cursor) = page_of(acts, limit, |act| act.id.clone());
    Ok(Json(AuditPage { acts: acts.into_iter().map(Noted::from).collect(), next_cursor }))
}
