//! All routes on one page.

use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::extract::Path;
use axum::routing::delete;
use axum::routing::get;
use axum::routing::post;

use kernel::front::AUTH_MOUNTS;
use kernel::front::HEALTH_MOUNTS;

use super::accounts;
use super::cookies::DeviceCookie;
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
use super::tokens::login;
use super::tokens::logout;
use super::tokens::refresh;
use crate::people::desk::Desk;
use crate::providers::registry::Name;

/// All routes, in their envelope.
pub(crate) fn routes(
    desk: &Arc<Desk>,
    cookie: DeviceCookie,
    front_end: FrontEnd,
    registration: Registration,
) -> Router {
    let auth = Router::new()
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
        .layer(Extension(cookie))
        .layer(Extension(Arc::new(registration)))
        .layer(Extension(front_end))
        .with_state(Arc::clone(desk));
    let checkup = Checkup::new(Arc::clone(desk));
    let mut routes = Router::new()
        .route("/.well-known/jwks.json", get(jwks))
        .route("/.well-known/oauth-authorization-server", get(metadata))
        .with_state(Arc::clone(desk));
    for mount in AUTH_MOUNTS {
        routes = routes.nest(mount, auth.clone());
    }
    for path in HEALTH_MOUNTS {
        routes = routes.route(path, get(health).with_state(checkup.clone()));
    }
    enclose(
        routes.fallback(async || Refusal::NotFound).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)),
    )
}

fn oidc(Path(name): Path<String>) -> Name {
    Name::Oidc(name)
}
