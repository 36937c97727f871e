//! The ops listener: probes, metrics, and whatever else is for operators alone.

use std::net::SocketAddr;
use std::net::TcpListener;

use axum::Router;

/// Serves `routes` to whoever comes to `listener`, for as long as the process lives; gives where that
/// is.
///
/// # Errors
/// The system's.
pub(crate) fn serve(listener: TcpListener, routes: Router) -> anyhow::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async { axum::serve(listener, service).await });
    Ok(address)
}
