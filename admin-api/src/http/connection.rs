//! One connection of a gateway, whichever door it came by: HTTP/1.1 alone, since nobody who comes speaks
//! anything else, and asking which it is would take a stream's memory for as long as it lasts.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::Watcher;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tower::ServiceExt;

/// Answers by `routes`, held to what `http` says, until either side leaves or `watcher` has it end. They are
/// told who is at the other end, where that is an address.
pub(super) async fn serve<S>(
    stream: S,
    peer: Option<SocketAddr>,
    routes: Router,
    http: &http1::Builder,
    watcher: Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = service_fn(move |request: http::Request<Incoming>| {
        let mut request = request.map(Body::new);
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        let routes = routes.clone();
        async move { Ok::<_, Infallible>(routes.oneshot(request).await.unwrap_or_else(never)) }
    });
    // Whoever broke it off knows.
    let _ = watcher.watch(http.serve_connection(TokioIo::new(stream), answer)).await;
}

fn never<T>(never: Infallible) -> T {
    match never {}
}
