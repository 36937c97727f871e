//! Around every handler: the request's name, its time limit, the size of its body, the panic it may
//! not spread, and the answer to its refusal.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::extract::Request;
use axum::middleware::Next;
use axum::middleware::from_fn;
use axum::response::IntoResponse;
use axum::response::Response;
use http::HeaderValue;
use http::header::ALLOW;
use http::header::CACHE_CONTROL;
use kernel::front::REQUEST_ID;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use super::asked::Asked;
use super::fields::BODY_BYTES_MAX;
use super::refusal::Refusal;

/// How long a request may take, its body included.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Puts the envelope around `routes`.
pub(crate) fn enclose(routes: Router) -> Router {
    // In one go, the outermost first: each further call of `layer` is paid by every request.
    routes.layer((
        from_fn(envelope),
        CatchPanicLayer::custom(panicked),
        DefaultBodyLimit::max(BODY_BYTES_MAX),
    ))
}

async fn envelope(request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let asked = Asked::of(&parts);
    parts.extensions.insert(asked.clone());
    let span = tracing::info_span!(
        "request",
        request.id = asked.request_id,
        client.address = asked.client(),
    );
    let serve = async {
        let served =
            tokio::time::timeout(REQUEST_TIMEOUT, next.run(Request::from_parts(parts, body)));
        let response = match served.await {
            Ok(response) => response,
            Err(_) => Refusal::TooSlow.into_response(),
        };
        finish(&asked, response)
    };
    let mut response = serve.instrument(span).await;
    let headers = response.headers_mut();
    // Whatever is said here is said to one person, at one moment (RFC 6749 §5.1), but for what is
    // published.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(&asked.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// Writes the problem body of a refusal, or of an error that axum answered by itself.
fn finish(asked: &Asked, mut response: Response) -> Response {
    let refusal = match response.extensions_mut().remove::<Refusal>() {
        Some(refusal) => refusal,
        None if is_bare_error(&response) => Refusal::of_status(response.status()),
        None => return response,
    };
    let Asked { method, path, .. } = asked;
    if refusal.is_of_authentication() {
        tracing::warn!("{method} {path} refused for {}: {refusal}", asked.client());
    }
    let allow = response.headers().get(ALLOW).cloned();
    refusal.answer(path, &asked.request_id, allow)
}

/// Errors of ours that are no refusal have a body of their own, with a type.
fn is_bare_error(response: &Response) -> bool {
    let status = response.status();
    let has_type = response
        .headers()
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    (status.is_client_error() || status.is_server_error()) && !has_type
}

/// The panic's message stays out of the answer and the log: it may quote what the client sent.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    Refusal::Internal.into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::body::to_bytes;
    use axum::routing::get;
    use http::StatusCode;
    use tower::ServiceExt;

    use super::*;

    async fn ask(path: &'static str) -> (StatusCode, String) {
        let routes = Router::new()
            .route("/panic", get(|| async { panic!("secret in a panic") as () }))
            .route("/slow", get(std::future::pending::<()>));
        let request = Request::get(path).header(REQUEST_ID, "r1").body(Body::empty()).unwrap();
        let response = enclose(routes).oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_panic_is_a_500_that_says_nothing_of_it() {
        let (status, body) = ask("/panic").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(body.contains(r#""error_code":"INTERNAL_ERROR","request_id":"r1""#), "{body}");
        assert!(!body.contains("secret"), "{body}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_too_long_is_a_503() {
        let (status, body) = ask("/slow").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("SERVICE_UNAVAILABLE"), "{body}");
    }
}
