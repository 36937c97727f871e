//! One connection of a gateway, whichever door it came by: HTTP/1.1 alone, since nobody who comes speaks
//! anything else, and asking which it is would take a stream's memory for as long as it lasts.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::BytesMut;
use futures_util::StreamExt;
use futures_util::stream;
use http::HeaderValue;
use http::Request;
use http::Response;
use http::header::CONNECTION;
use hyper::body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::Watcher;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tower::ServiceExt;

use super::fields::BODY_BYTES_MAX;

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
    let answer = service_fn(move |mut request: Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        let routes = routes.clone();
        async move { Ok::<_, Infallible>(answer(request, routes).await) }
    });
    // Whoever broke it off knows.
    let _ = watcher.watch(http.serve_connection(TokioIo::new(stream), answer)).await;
}

/// Answers once the body is there. Where an answer is given before, hyper ends the connection behind it, and
/// a gateway that keeps it for its next request is told so too late.
async fn answer(request: Request<Incoming>, routes: Router) -> Response<Body> {
    let (head, body) = request.into_parts();
    let (body, is_whole) = come(body).await;
    let request = Request::from_parts(head, body);
    let mut response = routes.oneshot(request).await.unwrap_or_else(never);
    if !is_whole {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The body, as far as it may be long, and whether that is all of it.
async fn come(body: Incoming) -> (Body, bool) {
    if body.is_end_stream() {
        return (Body::empty(), true);
    }
    let mut rest = Body::new(body).into_data_stream();
    let mut came = BytesMut::new();
    while came.len() <= BODY_BYTES_MAX {
        match rest.next().await {
            None => return (Body::from(came.freeze()), true),
            Some(Ok(bytes)) => came.extend_from_slice(&bytes),
            // It is broken off; whoever wants it hears of that.
            Some(Err(error)) => {
                return (Body::from_stream(stream::iter([Ok(came.freeze()), Err(error)])), false);
            }
        }
    }
    (Body::from_stream(stream::iter([Ok(came.freeze())]).chain(rest)), false)
}

fn never<T>(never: Infallible) -> T {
    match never {}
}
