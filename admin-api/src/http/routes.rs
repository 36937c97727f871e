//! All routes on one page.

use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use axum::routing::post;

use kernel::front::AUTH_MOUNTS;
use kernel::front::HEALTH_MOUNTS;

use super::cookies::DeviceCookie;
use super::envelope::enclose;
use super::fields::BODY_BYTES_MAX;
use super::health::Checkup;
use super::health::health;
use super::me::me;
use super::password::change;
use super::password::confirm;
use super::password::reset;
use super::refusal::Refusal;
use super::register::Registration;
use super::register::register;
use super::tokens::login;
use super::tokens::logout;
use super::tokens::refresh;
use crate::people::desk::Desk;

/// All routes, in their envelope.
pub(crate) fn routes(desk: &Arc<Desk>, cookie: DeviceCookie, registration: Registration) -> Router {
    let auth = Router::new()
        .route("/login", post(login))
        .route("/refresh", post(refresh))
        .route("/logout", post(logout))
        .route("/me", get(me))
        .route("/password", post(change))
        .route("/password/reset", post(reset))
        .route("/password/reset/confirm", post(confirm))
        .route("/register", post(register))
        .layer(Extension(cookie))
        .layer(Extension(Arc::new(registration)))
        .with_state(Arc::clone(desk));
    let checkup = Checkup::new(Arc::clone(desk));
    let mut routes = Router::new();
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
