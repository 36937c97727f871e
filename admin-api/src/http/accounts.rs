//! The accounts at providers by which I can sign in.

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
use super::not_let_in::NotLetIn;
use super::openapi::ACCOUNT;
use super::operator::origin_of;
use super::refusal::Refusal;
use crate::people::accounts::UnlinkError;
use crate::people::audit::Actor;
use crate::people::desk::Desk;
use crate::store::oauth_accounts::Account;

/// An account, to its owner.
#[derive(Serialize, ToSchema)]
pub(crate) struct LinkedAccount {
    id: String,
    provider: String,
    issuer: String,
    email: Option<String>,
    #[schema(format = DateTime)]
    linked_at: String,
    #[schema(format = DateTime)]
    last_used_at: String,
}

/// The ways in that somebody has.
#[derive(Serialize, ToSchema)]
pub(crate) struct Accounts {
    accounts: Vec<LinkedAccount>,
    has_password: bool,
}

impl From<Account> for LinkedAccount {
    fn from(account: Account) -> Self {
        Self {
            id: account.id,
            provider: account.provider,
            issuer: account.issuer,
            email: account.email,
            linked_at: written(account.linked_at),
            last_used_at: written(account.last_used_at),
        }
    }
}

/// Lists the accounts at providers by which one can sign in.
#[utoipa::path(
    get,
    path = "/accounts",
    operation_id = "listAccounts",
    tag = ACCOUNT,
    responses(
        (status = 200, body = Accounts, description = "The ways in"),
        (status = 404, description = "The token's user is gone"),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn list(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
) -> Result<Json<Accounts>, Refusal> {
    let asker = desk.asker(&bearer::required(&headers)?).await?;
    let ways_in = desk.ways_in(asker.user.id).await?;
    Ok(Json(Accounts {
        accounts: ways_in.accounts.into_iter().map(LinkedAccount::from).collect(),
        has_password: ways_in.has_password,
    }))
}

/// Unlinks an account at a provider.
#[utoipa::path(
    delete,
    path = "/accounts/{id}",
    operation_id = "unlinkAccount",
    tag = ACCOUNT,
    params(("id" = String, Path, description = "The account")),
    responses(
        (status = 204, description = "Unlinked"),
        (status = 404, description = "No such account of this user"),
        (status = 409, description = "The last way in"),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn unlink(
    State(desk): State<Arc<Desk>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let asker = desk.asker(&bearer::required(request.headers())?).await?;
    let origin = origin_of(request.extensions(), Some(Actor::from(&asker.user)));
    desk.unlink(asker.user.id, id, origin).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<UnlinkError> for Refusal {
    fn from(error: UnlinkError) -> Self {
        match NotLetIn::of_unlinking(error) {
            Ok(not_let_in) => Self::NotLetIn(not_let_in),
            Err(UnlinkError::OutOfOrder(error)) => error.into(),
            Err(UnlinkError::Unknown | UnlinkError::LastWayIn) => Self::NotFound,
        }
    }
}
