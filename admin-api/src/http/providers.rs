//! Signing in by Google, GitHub and others: to the provider, back from it, and on to the front end.

#![expect(unused_qualifications, reason = "of what the macros of utoipa write")]

use std::sync::Arc;

use axum::Json;
use axum::extract::Path;
use axum::extract::Request;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use http::HeaderValue;
use http::StatusCode;
use http::header::LOCATION;
use http::header::SET_COOKIE;
use kernel::problem::FieldFault;
use kernel::secret::Secret;
use serde::Serialize;
use utoipa::IntoParams;
use utoipa::IntoResponses;
use utoipa::ToSchema;

use super::accept::prefers_html;
use super::accounts::LinkedAccount;
use super::asked;
use super::bearer;
use super::bodies::CodeExchange;
use super::fields::Fields;
use super::fields::Takes;
use super::flow_cookie;
use super::front_end::FrontEnd;
use super::not_let_in::NotLetIn;
use super::openapi::PROVIDERS;
use super::operator::origin_of;
use super::query::Query;
use super::refusal::Refusal;
use super::tokens::Tokens;
use crate::people::arrivals::Arrival;
use crate::people::arrivals::Return;
use crate::people::desk::Desk;
use crate::people::turned_away::ArrivalError;
use crate::providers::registry::Name;

/// The longest code of a provider, in bytes.
const CODE_BYTES_MAX: usize = 4096;

/// Where to go, for clients that go there themselves.
#[derive(Serialize, ToSchema)]
pub(crate) struct WhereTo {
    authorization_url: String,
    state: String,
}

/// How somebody sets out.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for the published document: `query` reads them")]
struct Away {
    /// Answer 302 instead of 200.
    redirect: Option<bool>,
    /// Link an account to whoever shows an access token.
    link: Option<bool>,
}

/// What else comes of it than where to go.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for the published document: `depart` answers")]
enum Sent {
    /// There: with `redirect`, or for whoever prefers a page
    #[response(status = 302)]
    There,
    /// With `link`: no access token that holds
    #[response(status = 401)]
    SignedOut,
    /// With `link`: the sign-in is too long ago
    #[response(status = 403)]
    TooLongAgo,
    /// With `link`: the token's user is gone
    #[response(status = 404)]
    Gone,
    /// Parameters that are wrong
    #[response(status = 422)]
    Wrong,
    /// Too many browsers of this address were sent to providers
    #[response(status = 429)]
    TooMany,
}

/// What somebody brings back (RFC 6749 §4.1.2, RFC 9207).
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for the published document: `query` reads them")]
struct Back {
    state: String,
    /// Absent where there is an error.
    code: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

/// Tokens as in login; for an account that was linked, the account.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "for the published document: each is sent by itself")]
enum Arrived {
    SignedIn(Tokens),
    Linked(LinkedAccount),
}

/// What else comes of that than a session or an account.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for the published document: `arrive` answers")]
enum Returned {
    /// On to the front end
    #[response(status = 307)]
    Onward,
    /// A state that does not hold, or a provider that gave nobody
    #[response(status = 400)]
    Nobody,
    /// A user who may not come in
    #[response(status = 401)]
    Inactive,
    /// An account or an address that is somebody else's
    #[response(status = 409)]
    Anothers,
    /// Parameters that are missing or wrong
    #[response(status = 422)]
    Wrong,
}

/// Sends somebody to Google to sign in, or to link an account.
#[utoipa::path(
    get,
    path = "/google",
    operation_id = "signInWithGoogle",
    tag = PROVIDERS,
    params(Away),
    responses((status = 200, body = WhereTo, description = "Where to go"), Sent, (status = 501, description = "Not configured")),
    security((), ("bearer" = [])),
)]
pub(crate) async fn google(desk: State<Arc<Desk>>, request: Request) -> Result<Response, Refusal> {
    depart(Name::Google, desk, request).await
}

/// Sends somebody to GitHub to sign in, or to link an account.
#[utoipa::path(
    get,
    path = "/github",
    operation_id = "signInWithGithub",
    tag = PROVIDERS,
    params(Away),
    responses((status = 200, body = WhereTo, description = "Where to go"), Sent, (status = 501, description = "Not configured")),
    security((), ("bearer" = [])),
)]
pub(crate) async fn github(desk: State<Arc<Desk>>, request: Request) -> Result<Response, Refusal> {
    depart(Name::Github, desk, request).await
}

/// Sends somebody to an OpenID provider to sign in, or to link an account.
#[utoipa::path(
    get,
    path = "/oidc/{name}",
    operation_id = "signInWithOidc",
    tag = PROVIDERS,
    params(("name" = String, Path, description = "The provider, as it is configured"), Away),
    responses((status = 200, body = WhereTo, description = "Where to go"), Sent, (status = 404, description = "No such provider")),
    security((), ("bearer" = [])),
)]
pub(crate) async fn oidc(
    Path(name): Path<String>,
    desk: State<Arc<Desk>>,
    request: Request,
) -> Result<Response, Refusal> {
    depart(Name::Oidc(name), desk, request).await
}

/// Takes in somebody who comes back from Google.
#[utoipa::path(
    get,
    path = "/google/callback",
    operation_id = "returnFromGoogle",
    tag = PROVIDERS,
    params(Back),
    responses((status = 200, body = Arrived, description = "Signed in, or linked"), Returned, (status = 501, description = "Not configured")),
)]
pub(crate) async fn google_callback(
    desk: State<Arc<Desk>>,
    front_end: State<Arc<FrontEnd>>,
    request: Request,
) -> Result<Response, Refusal> {
    arrive(Name::Google, desk, front_end, request).await
}

/// Takes in somebody who comes back from GitHub.
#[utoipa::path(
    get,
    path = "/github/callback",
    operation_id = "returnFromGithub",
    tag = PROVIDERS,
    params(Back),
    responses((status = 200, body = Arrived, description = "Signed in, or linked"), Returned, (status = 501, description = "Not configured")),
)]
pub(crate) async fn github_callback(
    desk: State<Arc<Desk>>,
    front_end: State<Arc<FrontEnd>>,
    request: Request,
) -> Result<Response, Refusal> {
    arrive(Name::Github, desk, front_end, request).await
}

/// Takes in somebody who comes back from an OpenID provider.
#[utoipa::path(
    get,
    path = "/oidc/{name}/callback",
    operation_id = "returnFromOidc",
    tag = PROVIDERS,
    params(("name" = String, Path, description = "The provider, as it is configured"), Back),
    responses((status = 200, body = Arrived, description = "Signed in, or linked"), Returned, (status = 404, description = "No such provider")),
)]
pub(crate) async fn oidc_callback(
    Path(name): Path<String>,
    desk: State<Arc<Desk>>,
    front_end: State<Arc<FrontEnd>>,
    request: Request,
) -> Result<Response, Refusal> {
    arrive(Name::Oidc(name), desk, front_end, request).await
}

/// 200 with where to go, or 302 there with `?redirect=1` and for browsers; with `?link=1` whoever
/// is signed in links an account.
async fn depart(
    name: Name,
    State(desk): State<Arc<Desk>>,
    request: Request,
) -> Result<Response, Refusal> {
    let provider = desk.providers.find(&name);
    let provider = provider.ok_or_else(|| ArrivalError::NotConfigured(name.clone()))?;
    let redirect_uri = provider.redirect_uri();
    let query = Query::of(request.uri());
    let (redirects, links) = match (query.flag("redirect"), query.flag("link")) {
        (Ok(redirects), Ok(links)) => (redirects, links),
        (redirects, links) => return Err(faults([redirects.err(), links.err()])),
    };
    let from = asked::from(request.extensions());
    let headers = request.headers();
    let access = if links { Some(bearer::required(headers)?) } else { None };
    let browser = flow_cookie::read(headers, redirect_uri);
    let departure = desk.depart(&name, from, browser, access.as_ref()).await?;
    let cookie = [(SET_COOKIE, flow_cookie::keep(&departure.browser, redirect_uri))];
    if redirects || prefers_html(headers) {
        let location = HeaderValue::try_from(departure.authorization_url);
        let location = location.map_err(|_| Refusal::Internal)?;
        return Ok((StatusCode::FOUND, cookie, [(LOCATION, location)]).into_response());
    }
    let where_to = WhereTo {
        authorization_url: departure.authorization_url,
        state: departure.state.expose().to_owned(),
    };
    Ok((cookie, Json(where_to)).into_response())
}

/// Tokens as in login, or 307 to the front end; for an account that was linked, the account.
async fn arrive(
    name: Name,
    State(desk): State<Arc<Desk>>,
    State(front_end): State<Arc<FrontEnd>>,
    request: Request,
) -> Result<Response, Refusal> {
    let provider = desk.providers.find(&name);
    let provider = provider.ok_or_else(|| ArrivalError::NotConfigured(name.clone()))?;
    let browser = flow_cookie::read(request.headers(), provider.redirect_uri());
    let back = back_of(&Query::of(request.uri()), browser)?;
    let state = back.state.clone();
    let origin = origin_of(request.extensions(), None);
    Ok(match desk.arrive(&name, back, front_end.welcome(), origin).await? {
        Arrival::Handed(code) => front_end.with_code(&code, &state).ok_or(Refusal::Internal)?,
        Arrival::SignedIn(pair) => {
            let sent = front_end.with_tokens(&pair);
            sent.unwrap_or_else(|| Json(Tokens::from(pair)).into_response())
        }
        Arrival::Linked(account) => {
            let sent = front_end.with_link(&account.provider, &state);
            sent.unwrap_or_else(|| Json(LinkedAccount::from(*account)).into_response())
        }
    })
}

/// What the browser brings along (RFC 6749 §4.1.2).
fn back_of(query: &Query, browser: Option<Secret>) -> Result<Return, Refusal> {
    let error = query.optional("error");
    // With an error comes no code.
    let code = match &error {
        Ok(Some(_)) => Ok(None),
        Ok(None) | Err(_) => query.required("code").map(Some),
    };
    let state = query.required("state");
    let issuer = query.optional("iss");
    match (error, code, state, issuer) {
        (Ok(_), Ok(code), Ok(state), Ok(issuer)) => {
            if code.is_some_and(|code| code.len() > CODE_BYTES_MAX) {
                return Err(ArrivalError::State.into());
            }
            Ok(Return {
                state: Secret::new(state),
                browser,
                issuer: issuer.map(str::to_owned),
                code: code.map(Secret::new),
            })
        }
        (error, code, state, issuer) => {
            Err(faults([error.err(), code.err(), state.err(), issuer.err()]))
        }
    }
}

/// Exchanges the code that a front end was given for tokens.
#[utoipa::path(
    post,
    path = "/exchange",
    operation_id = "exchangeCode",
    tag = PROVIDERS,
    request_body(content(
        (CodeExchange = "application/json"),
        (CodeExchange = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 200, body = Tokens, description = "Signed in"),
        (status = 400, description = "A code that is none, was used, or is too old"),
        (status = 401, description = "A user who may not come in"),
        (status = 422, description = "No code, or more than one"),
    ),
)]
pub(crate) async fn exchange(
    State(desk): State<Arc<Desk>>,
    request: Request,
) -> Result<Json<Tokens>, Refusal> {
    let origin = origin_of(request.extensions(), None);
    let fields = Fields::read(request, Takes::FormOrJson).await?;
    let code = fields.required("code").map_err(|fault| Refusal::Fields(vec![fault]))?;
    Ok(Json(desk.exchange(&Secret::new(code), origin).await?.into()))
}

fn faults<const N: usize>(faults: [Option<FieldFault>; N]) -> Refusal {
    Refusal::Fields(faults.into_iter().flatten().collect())
}

impl From<ArrivalError> for Refusal {
    fn from(error: ArrivalError) -> Self {
        match NotLetIn::of_arrival(error) {
            Ok(not_let_in) => Self::NotLetIn(not_let_in),
            Err(ArrivalError::Asker(error)) => error.into(),
            Err(ArrivalError::OutOfOrder(error)) => error.into(),
            Err(ArrivalError::NotConfigured(_)) => Self::NotFound,
            Err(ArrivalError::Throttled(error)) => Self::throttled("provider", error),
            Err(error) => {
                tracing::warn!("nobody is sent to a provider: {error}");
                Self::Busy
            }
        }
    }
}
