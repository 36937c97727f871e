//! The ops listener: probes, metrics, and whatever else is for operators alone.

use std::net::SocketAddr;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::OnceLock;

use axum::Router;
use axum::extract::Request;
use tower::ServiceExt;

/// The ops listener at work.
pub(crate) struct Ops {
    pub(crate) address: SocketAddr,
    probes: Router,
    whole: Arc<OnceLock<Router>>,
}

/// Serves `probes` to whoever comes to `listener`, from now on and for as long as the process lives.
///
/// # Errors
/// The system's.
pub(crate) fn serve(listener: TcpListener, probes: Router) -> anyhow::Result<Ops> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    let whole = Arc::new(OnceLock::new());
    let (known, first) = (Arc::clone(&whole), probes.clone());
    // Probes answer while the rest is still being loaded.
    let either = move |request: Request| {
        let router: Router = known.get().unwrap_or(&first).clone();
        router.oneshot(request)
    };
    let service = Router::new().fallback(either);
    let service = service.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async { axum::serve(listener, service).await });
    Ok(Ops { address, probes, whole })
}

impl Ops {
    /// Serves `more`, too, from now on; once.
    pub(crate) fn add(&self, more: Router) {
        self.whole.get_or_init(|| self.probes.clone().merge(more));
    }
}
