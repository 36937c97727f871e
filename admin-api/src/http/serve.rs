//! Serves the routes on a Unix socket or to gateways that run apart, and sweeps up meanwhile.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::net::UnixListener;

use super::connection;
use super::fleet_door::FleetDoor;
use crate::people::desk::Desk;
use crate::people::desk::OutOfOrder;
use crate::store::audit;
use crate::store::fault::DbError;
use crate::store::mailed_tokens;
use crate::store::mailed_tokens::Purpose;
use crate::store::oauth_codes;
use crate::store::oauth_flows;
use crate::store::revocations;
use crate::store::sessions;
use crate::store::sql::Tx;
use crate::store::users;

/// How often rows that serve nothing any more are deleted.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);

/// How many rows of each kind one transaction deletes at most.
pub(crate) const BATCH_ROWS: u32 = 1000;

/// How long they are kept beyond their use, for whoever looks into what happened.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the audit log goes back.
pub(crate) const AUDIT_KEPT_FOR: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Serves those who come to `listener` until `shutdown`, then finishes what is under way.
pub(crate) async fn serve(
    routes: Router,
    desk: Arc<Desk>,
    listener: UnixListener,
    shutdown: impl Future<Output = ()>,
) {
    tokio::select! {
        () = serve_neighbour(routes, listener, shutdown) => {}
        () = sweep_for_ever(&desk) => {}
    }
}

/// Within one process and its user: nobody comes who is to be held to any bounds.
async fn serve_neighbour(
    routes: Router,
    mut listener: UnixListener,
    shutdown: impl Future<Output = ()>,
) {
    let leaving = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, _) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = Listener::accept(&mut listener) => accepted,
        };
        let (routes, watcher) = (routes.clone(), leaving.watcher());
        tokio::spawn(async move {
            connection::serve(stream, None, routes, &http1::Builder::new(), watcher).await;
        });
    }
    drop(listener);
    leaving.shutdown().await;
}

/// Serves those who come by `door` until `shutdown`, then finishes what is under way.
pub(crate) async fn serve_fleet(
    door: FleetDoor,
    routes: Router,
    desk: Arc<Desk>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) {
    tokio::select! {
        () = door.open(listener, routes, shutdown) => {}
        () = sweep_for_ever(&desk) => {}
    }
}

async fn sweep_for_ever(desk: &Desk) {
    let mut hours = tokio::time::interval(SWEEP_EVERY);
    loop {
        hours.tick().await;
        if let Err(error) = learn_kinds(desk).await {
            tracing::warn!("the kinds of password hashes were not looked at: {error}");
        }
        if let Err(error) = sweep(desk).await {
            tracing::warn!("old sessions, revocations and mailed tokens were not deleted: {error}");
        }
    }
}

/// Looks which kinds of password hashes are left, so that no check is of one that nobody has.
async fn learn_kinds(desk: &Desk) -> Result<(), OutOfOrder> {
    let others = desk.database.read(users::other_hashes).await?;
    Ok(desk.passwords.table_has(&others)?)
}

/// Deletes sessions, revocations and mailed tokens that can concern nobody any more, and what nobody
/// came back for.
///
/// # Errors
/// [`DbError`].
pub(crate) async fn sweep(desk: &Desk) -> Result<(), DbError> {
    let before = desk.clock.now().minus(KEPT_FOR);
    let audit_before = desk.clock.now().minus(AUDIT_KEPT_FOR);
    // Little by little: whoever signs in meanwhile waits for one batch at most.
    loop {
        let delete = move |tx: &Tx<'_>| -> Result<_, DbError> {
            let deleted = [
                sessions::forget(tx, before, BATCH_ROWS)?,
                mailed_tokens::forget(tx, Purpose::ResetPassword, before, BATCH_ROWS)?,
                mailed_tokens::forget(tx, Purpose::VerifyEmail, before, BATCH_ROWS)?,
                revocations::forget(tx, before, BATCH_ROWS)?,
                oauth_flows::forget(tx, before, BATCH_ROWS)?,
                oauth_codes::forget(tx, before, BATCH_ROWS)?,
                audit::forget(tx, audit_before, BATCH_ROWS)?,
            ];
            Ok(deleted.into_iter().max().unwrap_or(0))
        };
        let deleted = desk.database.write(delete).await?;
        if deleted < BATCH_ROWS.into() {
            return Ok(());
        }
    }
}
