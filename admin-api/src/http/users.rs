//! Management: people, and their sessions.

use std::sync::Arc;

use axum::Json;
use axum::extract::OriginalUri;
use axum::extract::Path;
use axum::extract::RawQuery;
use axum::extract::Request;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::HeaderValue;
use http::StatusCode;
use http::header::ETAG;
use http::header::LOCATION;
use kernel::problem::FieldFault;
use kernel::secret::Secret;
use kernel::tier::Tier;
use serde::Serialize;
use utoipa::ToSchema;

use super::bodies;
use super::entity_tag;
use super::fields::Fields;
use super::fields::Takes;
use super::fields::of_field;
use super::moments::written;
use super::openapi::MANAGEMENT;
use super::operator::Operator;
use super::refusal::Refusal;
use super::selection::Selection;
use super::selection::page_of;
use super::selection::wrong;
use super::sessions::SessionList;
use super::sessions::of_sessions;
use super::user_fault::fault_of;
use crate::people::desk::Desk;
use crate::people::person::NewUser;
use crate::people::person::UserChange;
use crate::people::person::Who;
use crate::people::roles::USER;
use crate::people::users::Users;
use crate::store::users::User;
use crate::store::users::UserFilter;

/// How many rows a page has where nothing is said.
pub(crate) const PAGE_ROWS: u32 = 50;

/// How many rows a page can have.
pub(crate) const PAGE_ROWS_MAX: u32 = 200;

/// A person, to those who manage them.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct Managed {
    id: String,
    username: String,
    email: Option<String>,
    full_name: Option<String>,
    tier: String,
    role: String,
    /// Those beyond the role's.
    scopes: Vec<String>,
    is_active: bool,
    is_verified: bool,
    #[schema(format = DateTime)]
    last_login: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<User> for Managed {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            username: user.username,
            email: user.email,
            full_name: user.full_name,
            tier: user.tier.to_string(),
            role: user.role,
            scopes: user.scopes,
            is_active: user.is_active,
            is_verified: user.is_verified,
            last_login: user.last_login.map(written),
            created_at: written(user.created_at),
        }
    }
}

/// One page of people.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserPage {
    users: Vec<Managed>,
    /// What to ask for to get the next page; `null`: this is the last.
    next_cursor: Option<String>,
}

/// Lists people by name.
#[utoipa::path(
    get,
    path = "/users",
    operation_id = "listUsers",
    tag = MANAGEMENT,
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "How many; 50 where it is not said"),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
        ("q" = Option<String>, Query, description = "A part of the name, the address or the full name"),
        ("tier" = Option<String>, Query, description = "Only of this tier"),
        ("role" = Option<String>, Query, description = "Only of this role"),
        ("is_active" = Option<bool>, Query, description = "Only those who may come in, or may not"),
    ),
    responses(
        (status = 200, body = UserPage, description = "A page"),
        (status = 404, description = "The token's user is gone"),
        (status = 422, description = "Parameters that are wrong"),
    ),
    security(("bearer" = ["admin"])),
)]
pub(crate) async fn list(
    _: Operator,
    State(users): State<Users>,
    RawQuery(query): RawQuery,
) -> Result<Json<UserPage>, Refusal> {
    let known = ["limit", "cursor", "q", "tier", "role", "is_active"];
    let query = Selection::of(query.as_deref(), &known)?;
    let limit = query.limit(PAGE_ROWS, PAGE_ROWS_MAX)?;
    let tier = query.text("tier").map(Tier::parse).transpose();
    let filter = UserFilter {
        after: query.text("cursor").map(after).transpose()?.unwrap_or_default(),
        text: query.text("q").map(str::to_owned),
        tier: tier.map_err(|_| wrong("tier", "be the name of a tier"))?,
        role: query.text("role").map(str::to_owned),
        is_active: query.parsed("is_active", "be 'true' or 'false'")?,
    };
    let found = users.list(filter, limit + 1).await?;
    let cursor = |user: &User| URL_SAFE_NO_PAD.encode(&user.username);
    let (found, next_cursor) = page_of(found, limit, cursor);
    Ok(Json(UserPage { users: found.into_iter().map(Managed::from).collect(), next_cursor }))
}

/// The name that a cursor stands for.
fn after(cursor: &str) -> Result<String, Refusal> {
    let name = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|name| String::from_utf8(name).ok());
    name.ok_or_else(|| wrong("cursor", "be the next_cursor of a page"))
}

/// Adds a person.
#[utoipa::path(
    post,
    path = "/users",
    operation_id = "createUser",
    tag = MANAGEMENT,
    request_body = bodies::NewUser,
    responses(
        (
            status = 201,
            body = Managed,
            description = "Added",
            headers(
                ("ETag" = String, description = "The version"),
                ("Location" = String, description = "Where the person is"),
            ),
        ),
        (status = 404, description = "The token's user is gone"),
        (status = 409, description = "The name or the address is taken"),
        (status = 422, description = "Fields that are missing or wrong, or a weak password"),
    ),
    security(("bearer" = ["admin"])),
)]
pub(crate) async fn create(
    operator: Operator,
    State(users): State<Users>,
    OriginalUri(uri): OriginalUri,
    request: Request,
) -> Result<Response, Refusal> {
    let fields = Fields::read(request, Takes::Json).await?;
    let new = new_user_of(&users, &fields).map_err(Refusal::Fields)?;
    let user = users.on_behalf_of(operator.origin).create(new).await?;
    let location = HeaderValue::from_str(&format!("{}/{}", uri.path(), user.id));
    let mut response = (StatusCode::CREATED, with_etag(user)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// All faults at once.
fn new_user_of(users: &Users, fields: &Fields) -> Result<NewUser, Vec<FieldFault>> {
    let known = ["username", "password", "email", "full_name", "tier", "role", "scopes"];
    let mut faults = fields.unknown(&known);
    let username = keep(fields.required("username"), &mut faults);
    let password = keep(fields.required("password"), &mut faults);
    let tier = keep(tier_of(fields), &mut faults).flatten();
    let optional = |name, faults: &mut Vec<FieldFault>| {
        keep(fields.optional(name), faults).flatten().map(str::to_owned)
    };
    let email = optional("email", &mut faults);
    let full_name = optional("full_name", &mut faults);
    let role = optional("role", &mut faults).unwrap_or_else(|| USER.to_owned());
    let scopes = keep(fields.texts("scopes"), &mut faults).flatten().unwrap_or_default();
    let (Some(username), Some(password)) = (username, password) else { return Err(faults) };
    let tier = tier.unwrap_or_else(|| users.usual_tier().clone());
    let new = NewUser {
        email,
        full_name,
        role,
        scopes,
        ..NewUser::new(username, Secret::new(password), tier)
    };
    faults.extend(users.faults_of(&new).iter().filter_map(fault_of));
    if faults.is_empty() { Ok(new) } else { Err(faults) }
}

/// Shows a person.
#[utoipa::path(
    get,
    path = "/users/{id}",
    operation_id = "showUser",
    tag = MANAGEMENT,
    params(("id" = String, Path, description = "The user")),
    responses(
        (status = 200, body = Managed, description = "The person", headers(("ETag" = String, description = "The version"))),
        (status = 404, description = "No such user"),
    ),
    security(("bearer" = ["admin"])),
)]
pub(crate) async fn show(
    _: Operator,
    State(users): State<Users>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    Ok(with_etag(users.find(Who::Id(id)).await?))
}

/// Changes a person.
#[utoipa::path(
    patch,
    path = "/users/{id}",
    operation_id = "changeUser",
    tag = MANAGEMENT,
    params(("id" = String, Path, description = "The user"), ("If-Match" = Option<String>, Header, description = "The version that is meant, as in `ETag`")),
    request_body = bodies::UserChange,
    responses(
        (status = 200, body = Managed, description = "As they are now", headers(("ETag" = String, description = "The version"))),
        (status = 404, description = "No such user"),
        (status = 409, description = "An address that is taken, or the last administrator"),
        (status = 412, description = "Changed since the version in `If-Match`"),
        (status = 422, description = "Fields that are wrong"),
    ),
    security(("bearer" = ["admin"])),
)]
pub(crate) async fn change(
    operator: Operator,
    State(users): State<Users>,
    Path(id): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Refusal> {
    let version = entity_tag::asked_for(&headers)?;
    let fields = Fields::read(request, Takes::Json).await?;
    let change = change_of(&fields).map_err(Refusal::Fields)?;
    let users = users.on_behalf_of(operator.origin);
    Ok(with_etag(users.change(Who::Id(id), change, version).await?))
}

/// All faults at once.
fn change_of(fields: &Fields) -> Result<UserChange, Vec<FieldFault>> {
    let known = ["email", "full_name", "tier", "role", "scopes", "is_active", "is_verified"];
    let mut faults = fields.unknown(&known);
    let owned = |text: Option<Option<&str>>| text.map(|text| text.map(str::to_owned));
    let change = UserChange {
        email: owned(keep(fields.nullable("email"), &mut faults).flatten()),
        full_name: owned(keep(fields.nullable("full_name"), &mut faults).flatten()),
        tier: keep(tier_of(fields), &mut faults).flatten(),
        role: keep(fields.optional("role"), &mut faults).flatten().map(str::to_owned),
        scopes: keep(fields.texts("scopes"), &mut faults).flatten(),
        is_active: keep(fields.flag("is_active"), &mut faults).flatten(),
        is_verified: keep(fields.flag("is_verified"), &mut faults).flatten(),
    };
    if faults.is_empty() { Ok(change) } else { Err(faults) }
}

/// Deletes a person; no token that they hold is taken any more.
#[utoipa::path(
    delete,
    path = "/users/{id}",
    operation_id = "deleteUser",
    tag = MANAGEMENT,
    params(("id" = String, Path, description = "The user"), ("If-Match" = Option<String>, Header, description = "The version that is meant, as in `ETag`")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, description = "No such user"),
        (status = 409, description = "The last administrator"),
        (status = 412, description = "Changed since the version in `If-Match`"),
    ),
    security(("bearer" = ["admin"])),
)]
pub(crate) async fn delete(
    operator: Operator,
    State(users): State<Users>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let version = entity_tag::asked_for(&headers)?;
    users.on_behalf_of(operator.origin).delete(Who::Id(id), version).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a person try again who failed to sign in too often.
#[utoipa::path(
    post,
    path = "/users/{id}/unlock",
    operation_id = "unlockUser",
    tag = MANAGEMENT,
    params(("id" = String, Path, description = "The user")),
    responses(
        (status = 204, description = "Unlocked"),
        (status = 404, description = "No such user"),
    ),
    security(("bearer" = ["admin"])),
)]
pub(crate) async fn unlock(
    operator: Operator,
    State(users): State<Users>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    users.on_behalf_of(operator.origin).unlock(Who::Id(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the sessions of a person, the newest first.
#[utoipa::path(
    get,
    path = "/users/{id}/sessions",
    operation_id = "listUserSessions",
    tag = MANAGEMENT,
    params(("id" = String, Path, description = "The user")),
    responses(
        (status = 200, body = SessionList, description = "Those that are alive"),
        (status = 404, description = "No such user"),
    ),
    security(("bearer" = ["admin"])),
)]
pub(crate) async fn sessions(
    _: Operator,
    State(users): State<Users>,
    State(desk): State<Arc<Desk>>,
    Path(id): Path<String>,
) -> Result<Json<SessionList>, Refusal> {
    let user = users.find(Who::Id(id)).await?;
    Ok(Json(of_sessions(desk.sessions_of(user.id).await?, None)))
}

/// Ends all sessions of a person; no token that they hold is taken any more.
#[utoipa::path(
    delete,
    path = "/users/{id}/sessions",
    operation_id = "endUserSessions",
    tag = MANAGEMENT,
    params(("id" = String, Path, description = "The user")),
    responses(
        (status = 204, description = "Ended"),
        (status = 404, description = "No such user"),
    ),
    security(("bearer" = ["admin"])),
)]
pub(crate) async fn end_sessions(
    operator: Operator,
    State(users): State<Users>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    users.on_behalf_of(operator.origin).end_sessions(Who::Id(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn tier_of(fields: &Fields) -> Result<Option<Tier>, FieldFault> {
    let tier = fields.optional("tier")?.map(Tier::parse).transpose();
    tier.map_err(|error| of_field("tier", &error.to_string(), "value_error"))
}

/// The value, or else its fault among the others.
fn keep<T>(value: Result<T, FieldFault>, faults: &mut Vec<FieldFault>) -> Option<T> {
    value.map_err(|fault| faults.push(fault)).ok()
}

fn with_etag(user: User) -> Response {
    let tag = entity_tag::of(user.version);
    let mut response = Json(Managed::from(user)).into_response();
    response.headers_mut().insert(ETAG, tag);
    response
}
