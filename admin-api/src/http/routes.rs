//! All routes on one page.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::extract::FromRef;
use axum::extract::Request;
use axum::middleware::Next;
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::get;
use http::HeaderValue;
use kernel::front::AUTH_MOUNTS;
use kernel::front::CLIENT_ADDRESS;
use kernel::front::HEALTH_MOUNTS;
use kernel::front::STATUS_MOUNT;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::accounts;
use super::audit;
use super::celery;
use super::device_cookie::DeviceCookie;
use super::email;
use super::envelope::enclose;
use super::front_end::FrontEnd;
use super::health;
use super::health::Checkup;
use super::job_events;
use super::jobs;
use super::me;
use super::oauth;
use super::openapi;
use super::password;
use super::providers;
use super::published;
use super::rate_limit::AtTheEdge;
use super::refusal::Refusal;
use super::register;
use super::register::Registration;
use super::sessions;
use super::tokens;
use super::users;
use crate::people::desk::Desk;
use crate::people::users::Users;
use crate::status::Board;

/// What handlers ask for. A copy is made for each request.
#[derive(Clone)]
pub(crate) struct Staff {
    pub(crate) desk: Arc<Desk>,
    pub(crate) users: Users,
    pub(crate) cookie: DeviceCookie,
    pub(crate) front_end: Arc<FrontEnd>,
    pub(crate) registration: Arc<Registration>,
    pub(crate) board: Arc<Board>,
}

impl FromRef<Staff> for Arc<Desk> {
    fn from_ref(staff: &Staff) -> Self {
        Self::clone(&staff.desk)
    }
}

impl FromRef<Staff> for Users {
    fn from_ref(staff: &Staff) -> Self {
        staff.users.clone()
    }
}

impl FromRef<Staff> for DeviceCookie {
    fn from_ref(staff: &Staff) -> Self {
        staff.cookie
    }
}

impl FromRef<Staff> for Arc<FrontEnd> {
    fn from_ref(staff: &Staff) -> Self {
        Self::clone(&staff.front_end)
    }
}

impl FromRef<Staff> for Arc<Registration> {
    fn from_ref(staff: &Staff) -> Self {
        Self::clone(&staff.registration)
    }
}

impl FromRef<Staff> for Arc<Board> {
    fn from_ref(staff: &Staff) -> Self {
        Self::clone(&staff.board)
    }
}

/// What clients may ask for, in its envelope; management only where that is `exposed`.
pub(crate) fn routes(staff: &Staff, exposed: bool) -> Router {
    let mut auth = for_clients();
    if exposed {
        auth = auth.merge(managed());
    }
    let (mut routes, mut api) = mounted(auth, staff);
    let desk = Arc::clone(&staff.desk);
    let published =
        OpenApiRouter::new().routes(routes!(published::jwks)).routes(routes!(published::metadata));
    let checkup = Checkup::new(Arc::clone(&staff.desk));
    let wellness = OpenApiRouter::new().routes(routes!(health::health));
    let status = OpenApiRouter::<Staff>::new().nest(STATUS_MOUNT, of_jobs());
    for (part, said) in [
        status.with_state(staff.clone()).split_for_parts(),
        published.with_state(desk).split_for_parts(),
        wellness.with_state(checkup.clone()).split_for_parts(),
    ] {
        routes = routes.merge(part);
        api.merge(said);
    }
    // The other mount of the replaced system; its first is in the document.
    for path in &HEALTH_MOUNTS[1..] {
        routes = routes.route(path, get(health::health).with_state(checkup.clone()));
    }
    api.merge(AtTheEdge::openapi());
    let routes = routes.merge(openapi::routes(api));
    enclose(routes.fallback(async || Refusal::NotFound))
}

fn for_clients() -> OpenApiRouter<Staff> {
    OpenApiRouter::new()
        .routes(routes!(tokens::login))
        .routes(routes!(tokens::refresh))
        .routes(routes!(tokens::logout))
        .routes(routes!(me::me))
        .routes(routes!(oauth::token))
        .routes(routes!(oauth::revoke))
        .routes(routes!(oauth::introspect))
        .routes(routes!(password::change))
        .routes(routes!(password::reset))
        .routes(routes!(password::confirm))
        .routes(routes!(email::verify))
        .routes(routes!(email::confirm))
        .routes(routes!(register::register))
        .routes(routes!(providers::google))
        .routes(routes!(providers::google_callback))
        .routes(routes!(providers::github))
        .routes(routes!(providers::github_callback))
        .routes(routes!(providers::oidc))
        .routes(routes!(providers::oidc_callback))
        .routes(routes!(providers::exchange))
        .routes(routes!(accounts::list))
        .routes(routes!(accounts::unlink))
        .routes(routes!(sessions::mine))
        .routes(routes!(sessions::end))
}

fn of_jobs() -> OpenApiRouter<Staff> {
    OpenApiRouter::new()
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::show))
        .routes(routes!(jobs::report))
        .routes(routes!(job_events::events))
}

/// Management, for the ops listener: its peers are clients, and have no say over who they are.
pub(crate) fn management(staff: &Staff) -> Router {
    let (routes, api) = mounted(managed(), staff);
    enclose(routes.merge(openapi::routes(api))).layer(from_fn(from_its_peer))
}

fn managed() -> OpenApiRouter<Staff> {
    OpenApiRouter::new()
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::show, users::change, users::delete))
        .routes(routes!(users::unlock))
        .routes(routes!(users::sessions, users::end_sessions))
        .routes(routes!(audit::audit))
        .routes(routes!(celery::workers))
}

/// The routes under every mount, and what is said of them: under the first, since the others are
/// the same.
fn mounted(auth: OpenApiRouter<Staff>, staff: &Staff) -> (Router, Document) {
    let [first, others @ ..] = AUTH_MOUNTS;
    let (paths, said) = OpenApiRouter::<Staff>::new().nest(first, auth.clone()).split_for_parts();
    let auth = Router::from(auth);
    let all = others.iter().fold(paths, |routes, mount| routes.nest(mount, auth.clone()));
    (all.with_state(staff.clone()), said)
}

/// Says of the client what the connection says, whatever the client does.
async fn from_its_peer(mut request: Request, next: Next) -> Response {
    request.headers_mut().remove(CLIENT_ADDRESS);
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer =
        peer.and_then(|ConnectInfo(peer)| HeaderValue::from_str(&peer.ip().to_string()).ok());
    if let Some(peer) = peer {
        request.headers_mut().insert(CLIENT_ADDRESS, peer);
    }
    next.run(request).await
}
