//! What can be asked here, as an OpenAPI 3.1 document, and a page to read it.
//!
//! The document is made of the routes themselves: no operation is served that is not in it. What holds of
//! many operations alike (the one error body, bounds of bodies) is said of them here.

#![expect(unused_qualifications, reason = "of what the macros of utoipa write")]

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::response::IntoResponse;
use axum::response::Redirect;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use http::header::CONTENT_SECURITY_POLICY;
use http::header::CONTENT_TYPE;
use http::header::X_CONTENT_TYPE_OPTIONS;
use kernel::problem::MEDIA_TYPE;
use utoipa::Modify;
use utoipa::OpenApi;
use utoipa::ToSchema;
use utoipa::openapi;
use utoipa::openapi::Components;
use utoipa::openapi::Content;
use utoipa::openapi::Ref;
use utoipa::openapi::RefOr;
use utoipa::openapi::ResponseBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::Http;
use utoipa::openapi::security::HttpAuthScheme;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::security::SecurityScheme;
use utoipa_swagger_ui::Config;

use super::refusal::Refusal;

/// The tag of operations by which people sign in and out.
pub(crate) const SIGN_IN: &str = "sign-in";

/// The tag of operations by which they sign in at others.
pub(crate) const PROVIDERS: &str = "providers";

/// The tag of operations on what is one's own.
pub(crate) const ACCOUNT: &str = "account";

/// The tag of operations on job status.
pub(crate) const JOBS: &str = "job status";

/// The tag of operations for machines.
pub(crate) const MACHINES: &str = "machines";

/// The tag of operations on others.
pub(crate) const MANAGEMENT: &str = "management";

/// What an access token is called where one is needed.
const BEARER: &str = "bearer";

/// Where the document is.
const DOCUMENT: &str = "/openapi.json";

/// How long a browser keeps a file of the viewer, which changes with the binary alone.
const VIEWER_KEPT: &str = "public, max-age=3600";

/// The viewer runs its own scripts and asks this very server. Its styles stand in elements.
const VIEWER_MAY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                          img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
                          form-action 'none'; frame-ancestors 'none'";

/// Why a request is not served (RFC 9457).
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "for the published document: the kernel writes it")]
struct ProblemBody {
    /// `about:blank`, or a URI for the kind of problem.
    r#type: String,
    /// The status in words.
    title: String,
    status: u16,
    /// What a person reads; the text of the replaced system where it had one.
    detail: String,
    /// The path that was asked for.
    instance: String,
    /// What a program reads: a stable name such as `TOKEN_EXPIRED`.
    error_code: String,
    /// The id that log lines of this request carry.
    request_id: String,
    /// By field; on 422 alone.
    #[schema(required = false)]
    errors: Vec<FieldFaultBody>,
    /// Names of the quotas that are spent; on 429 alone.
    #[serde(rename = "violated-policies")]
    #[schema(required = false)]
    violated_policies: Vec<String>,
}

/// One fault in a request's fields.
#[derive(ToSchema)]
#[schema(as = FieldFault)]
#[expect(dead_code, reason = "for the published document: the kernel writes it")]
struct FieldFaultBody {
    /// Where, such as `["body", "username"]`.
    loc: Vec<String>,
    /// What is wrong, and what would be right.
    msg: String,
    /// A stable word for the kind of fault, such as `missing`.
    r#type: String,
}

/// A problem, with what OAuth clients look for beside it (RFC 6749 §5.2).
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the published document: `oauth_fault` writes it")]
pub(crate) struct OAuthError {
    /// A word such as `invalid_grant`.
    error: String,
    error_description: String,
    #[serde(flatten)]
    problem: ProblemBody,
}

/// What the document says before any operation.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Doorward",
        description = "Signs people in, issues, refreshes and revokes their tokens, manages them, \
                       and tells how far jobs are.\n\nEverything under `/auth` is under `/api/auth` as well. Every error \
                       has the one body `Problem`, and every answer an `X-Request-Id`.",
        license(name = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = SIGN_IN, description = "Signing in, staying signed in, logging out"),
        (name = PROVIDERS, description = "Signing in by Google, GitHub and others"),
        (name = ACCOUNT, description = "What is one's own: password, address, sessions, linked accounts"),
        (name = JOBS, description = "How far resources are on their way through stages"),
        (name = MACHINES, description = "For OAuth clients, verifiers of tokens and dashboards"),
        (name = MANAGEMENT, description = "For administrators: people, and what was done to them"),
    ),
    components(schemas(ProblemBody, FieldFaultBody)),
    modifiers(&Bearer),
)]
struct Preface;

/// The one way to show who one is.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut openapi::OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.bearer_format = Some("JWT".to_owned());
        scheme.description = Some("An access token".to_owned());
        let components = api.components.get_or_insert_with(Components::new);
        components.add_security_scheme(BEARER, SecurityScheme::Http(scheme));
    }
}

/// The document of the operations in `said`, and the page to read it.
pub(crate) fn routes(said: openapi::OpenApi) -> Router {
    // Made when somebody asks: most starts are those of a command that serves nobody.
    let document = Arc::new(LazyLock::new(move || {
        Bytes::from(document(said).to_json().expect("a document is maps and texts"))
    }));
    let viewer = Arc::new(Config::from(DOCUMENT).validator_url("none").use_base_layout());
    let page = Arc::clone(&viewer);
    Router::new()
        .route(DOCUMENT, get(async move || json(Bytes::clone(&document))))
        // The page names its files relative to where it is.
        .route("/docs", get(async || Redirect::permanent("/docs/")))
        .route("/docs/", get(async move || file("index.html", page)))
        .route("/docs/{*file}", get(async move |Path(name): Path<String>| file(&name, viewer)))
}

fn json(document: Bytes) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], document)
}

/// The whole document.
fn document(said: openapi::OpenApi) -> openapi::OpenApi {
    let mut document = Preface::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document.merge(said);
    for item in document.paths.paths.values_mut() {
        let operations =
            [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        operations.into_iter().flatten().for_each(complete);
    }
    let used = tags_of(&document);
    document.tags.get_or_insert_default().retain(|tag| used.contains(&tag.name));
    document
}

fn tags_of(document: &openapi::OpenApi) -> BTreeSet<String> {
    let items = document.paths.paths.values();
    let operations =
        items.flat_map(|item| [&item.get, &item.put, &item.post, &item.patch, &item.delete]);
    operations.flatten().filter_map(|operation| operation.tags.clone()).flatten().collect()
}

/// Says of an operation what holds of all, or of all that have a body.
fn complete(operation: &mut Operation) {
    let responses = &mut operation.responses.responses;
    let mut also = |status: &str, why: &str| {
        let response = ResponseBuilder::new().description(why).build();
        responses.entry(status.to_owned()).or_insert(RefOr::T(response));
    };
    if let Some(scopes) = bearers(&operation.security) {
        also("401", "No access token that holds");
        if !scopes.is_empty() {
            also("403", &format!("A token without the scope `{}`", scopes.join("` or `")));
        }
    }
    if operation.request_body.is_some() {
        also("408", "A body that did not arrive within 30 s");
        also("413", "A body of more than 64 KiB");
        also("415", "A body of another media type");
    }
    also("503", "No room just now, or the database is away; `Retry-After` says when to come again");
    also("default", "Anything else that went wrong");
    for (status, response) in responses {
        let RefOr::T(response) = response else { continue };
        let is_refusal = status == "default" || status.as_str() >= "400";
        if is_refusal && response.content.is_empty() {
            let problem = Content::new(Some(Ref::from_schema_name("Problem")));
            response.content.insert(MEDIA_TYPE.to_owned(), RefOr::T(problem));
        }
    }
}

/// The scopes that are needed, where a bearer token is.
fn bearers(security: &Option<Vec<SecurityRequirement>>) -> Option<Vec<String>> {
    let needed = serde_json::to_value(security).ok()?;
    let needed = needed.as_array()?.iter().map(|needed| needed.get(BEARER)?.as_array());
    // Where one way in needs no token, there is nothing to refuse for want of one.
    let scopes = needed.collect::<Option<Vec<_>>>()?;
    let scopes = scopes.into_iter().flatten();
    Some(scopes.filter_map(|scope| scope.as_str().map(str::to_owned)).collect())
}

/// One file of the viewer.
fn file(name: &str, viewer: Arc<Config<'static>>) -> Response {
    match utoipa_swagger_ui::serve(name, viewer) {
        Ok(Some(file)) => {
            let headers = [
                (CONTENT_TYPE, HeaderValue::from_str(&file.content_type)),
                (CACHE_CONTROL, Ok(HeaderValue::from_static(VIEWER_KEPT))),
                (CONTENT_SECURITY_POLICY, Ok(HeaderValue::from_static(VIEWER_MAY))),
                (X_CONTENT_TYPE_OPTIONS, Ok(HeaderValue::from_static("nosniff"))),
            ];
            let bytes = match file.bytes {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => Bytes::from(bytes),
            };
            let mut response = bytes.into_response();
            for (header, value) in headers {
                if let Ok(value) = value {
                    response.headers_mut().insert(header, value);
                }
            }
            response
        }
        Ok(None) => Refusal::NotFound.into_response(),
        Err(error) => {
            tracing::error!("`{name}` of the viewer cannot be shown: {error}");
            Refusal::Internal.into_response()
        }
    }
}
