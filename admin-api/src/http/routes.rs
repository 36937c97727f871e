//! All routes on one page.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::extract::ConnectInfo;
use axum::extract::DefaultBodyLimit;
use axum::extract::FromRef;
use axum::extract::Path;
use axum::extract::Request;
use axum::middleware::Next;
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::delete;
use axum::routing::get;
use axum::routing::post;
use http::HeaderValue;
use kernel::front::AUTH_MOUNTS;
use kernel::front::CLIENT_ADDRESS;
use kernel::front::HEALTH_MOUNTS;

use super::accounts;
use super::audit;
use super::device_cookie::DeviceCookie;
use super::envelope::enclose;
use super::fields::BODY_BYTES_MAX;
use super::front_end::FrontEnd;
use super::health::Checkup;
use super::health::health;
use super::me::me;
use super::oauth;
use super::password::change;
use super::password::confirm;
use super::password::reset;
use super::providers::arrive;
use super::providers::depart;
use super::providers::exchange;
use super::published::jwks;
use super::published::metadata;
use super::refusal::Refusal;
use super::register::Registration;
use super::register::register;
use super::sessions;
use super::tokens::login;
use super::tokens::logout;
use super::tokens::refresh;
use super::users;
use crate::people::desk::Desk;
use crate::people::users::Users;
use crate::providers::registry::Name;

/// What handlers ask for.
#[derive(Clone)]
pub(crate) struct Staff {
    pub(crate) desk: Arc<Desk>,
    pub(crate) users: Users,
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

/// What clients may ask for, in its envelope; management only where that is `exposed`.
pub(crate) fn routes(
    staff: &Staff,
    cookie: DeviceCookie,
    front_end: FrontEnd,
    registration: Registration,
    exposed: bool,
) -> Router {
    let mut auth = Router::new()
        .route("/login", post(login))
        .route("/refresh", post(refresh))
        .route("/logout", post(logout))
        .route("/me", get(me))
        .route("/oauth/token", post(oauth::token))
        .route("/oauth/revoke", post(oauth::revoke))
        .route("/oauth/introspect", post(oauth::introspect))
        .route("/password", post(change))
        .route("/password/reset", post(reset))
        .route("/password/reset/confirm", post(confirm))
        .route("/register", post(register))
        .route("/google", get(|desk, request| depart(Name::Google, desk, request)))
        .route("/github", get(|desk, request| depart(Name::Github, desk, request)))
        .route("/oidc/{name}", get(|name, desk, request| depart(oidc(name), desk, request)))
        .route("/google/callback", get(|desk, end, back| arrive(Name::Google, desk, end, back)))
        .route("/github/callback", get(|desk, end, back| arrive(Name::Github, desk, end, back)))
        .route(
            "/oidc/{name}/callback",
            get(|name, desk, end, back| arrive(oidc(name), desk, end, back)),
        )
        .route("/exchange", post(exchange))
        .route("/accounts", get(accounts::list))
        .route("/accounts/{id}", delete(accounts::unlink))
        .route("/sessions", get(sessions::mine))
        .route("/sessions/{id}", delete(sessions::end));
    if exposed {
        auth = auth.merge(managed());
    }
    let auth = auth
        .layer(Extension(cookie))
        .layer(Extension(Arc::new(registration)))
        .layer(Extension(front_end));
    let checkup = Checkup::new(Arc::clone(&staff.desk));
    let mut routes = mounted(auth, staff)
        .route("/.well-known/jwks.json", get(jwks).with_state(Arc::clone(&staff.desk)))
        .route(
            "/.well-known/oauth-authorization-server",
            get(metadata).with_state(Arc::clone(&staff.desk)),
        );
    for path in HEALTH_MOUNTS {
        routes = routes.route(path, get(health).with_state(checkup.clone()));
    }
    enclosed(routes.fallback(async || Refusal::NotFound))
}

/// Management, for the ops listener: its peers are clients, and have no say over who they are.
pub(crate) fn management(staff: &Staff) -> Router {
    enclosed(mounted(managed(), staff)).layer(from_fn(from_its_peer))
}

fn managed() -> Router<Staff> {
    Router::new()
        .route("/users", get(users::list).post(users::create))
        .route("/users/{id}", get(users::show).patch(users::change).delete(users::delete))
        .route("/users/{id}/unlock", post(users::unlock))
        .route("/users/{id}/sessions", get(users::sessions).delete(users::end_sessions))
        .route("/audit", get(audit::audit))
}

fn mounted(auth: Router<Staff>, staff: &Staff) -> Router {
    let auth = auth.with_state(staff.clone());
    AUTH_MOUNTS.iter().fold(Router::new(), |routes, mount| routes.nest(mount, auth.clone()))
}

fn enclosed(routes: Router) -> Router {
    enclose(routes.layer(DefaultBodyLimit::max(BODY_BYTES_MAX)))
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

fn oidc(Path(name): Path<String>) -> Name {
    Name::Oidc(name)
}
