//! Around every handler: the request's name, its time limit, its body, which is there before it is
//! answered, the panic it may not spread, and the answer to its refusal.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::body::HttpBody;
use axum::extract::DefaultBodyLimit;
use axum::extract::Request;
use axum::middleware::Next;
use axum::middleware::from_fn;
use axum::response::IntoResponse;
use axum::response::Response;
use bytes::BytesMut;
use futures_util::StreamExt;
use futures_util::stream;
use http::HeaderValue;
use http::header::ALLOW;
use http::header::CACHE_CONTROL;
use http::header::CONNECTION;
use kernel::front::REQUEST_ID;
use tokio::time::Instant;
use tokio::time::timeout_at;
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
        let until = Instant::now() + REQUEST_TIMEOUT;
        let (response, is_whole) = match timeout_at(until, come(body)).await {
            Ok((body, is_whole)) => {
                let served = next.run(Request::from_parts(parts, body));
                let response = timeout_at(until, served).await;
                (response.unwrap_or_else(|_| Refusal::TooSlow.into_response()), is_whole)
            }
            Err(_) => (Refusal::SlowBody.into_response(), false),
        };
        let mut response = finish(&asked, response);
        if !is_whole {
            // Whoever keeps connections is to know that this one ends.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
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

/// The body once it is there, as far as one may be long, and whether that is all of it.
///
/// A refusal may need none. But where an answer is given before the body has come, hyper ends the connection
/// behind it, and a gateway that has kept it for its next request is told so too late.
async fn come(body: Body) -> (Body, bool) {
    if body.is_end_stream() {
        return (body, true);
    }
    let mut rest = body.into_data_stream();
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
    use std::convert::Infallible;

    use axum::body::Bytes;
    use axum::body::to_bytes;
    use axum::routing::get;
    use axum::routing::post;
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

    /// The answer to somebody who sends `body` to a handler that does not read it, and takes its time.
    async fn answer(body: Body, takes: Duration) -> Response {
        let handler = async move || tokio::time::sleep(takes).await;
        let routes = Router::new().route("/", post(handler));
        enclose(routes).oneshot(Request::post("/").body(body).unwrap()).await.unwrap()
    }

    fn is_last(response: &Response) -> bool {
        response.headers().get(CONNECTION).is_some_and(|value| value == "close")
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_a_408_and_ends_the_connection() {
        let body = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let response = answer(body, Duration::ZERO).await;
        assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
        assert!(is_last(&response));
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains(r#""error_code":"REQUEST_TIMEOUT""#), "{body}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_has_its_time_for_its_body_and_its_answer_together() {
        let answered = async |body_takes: u64, handler_takes: u64| {
            let late = async move {
                tokio::time::sleep(Duration::from_secs(body_takes)).await;
                Ok::<_, Infallible>(Bytes::from_static(b"late"))
            };
            let began = Instant::now();
            let body = Body::from_stream(stream::once(late));
            let response = answer(body, Duration::from_secs(handler_takes)).await;
            (response.status(), began.elapsed().as_secs())
        };
        assert_eq!(answered(20, 9).await, (StatusCode::OK, 29));
        assert_eq!(answered(20, 20).await, (StatusCode::SERVICE_UNAVAILABLE, 30));
    }

    #[tokio::test]
    async fn a_body_past_its_bound_that_nobody_reads_ends_the_connection() {
        // In pieces, as they come from a socket.
        let body = |bytes: usize| {
            let all = Bytes::from(vec![b' '; bytes]);
            let pieces = (0..bytes).step_by(1000);
            let pieces: Vec<_> = pieces.map(|at| all.slice(at..bytes.min(at + 1000))).collect();
            Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, Infallible>)))
        };
        assert!(!is_last(&answer(body(BODY_BYTES_MAX), Duration::ZERO).await), "at the bound");
        assert!(is_last(&answer(body(BODY_BYTES_MAX + 1), Duration::ZERO).await), "one past it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_too_long_is_a_503() {
        let (status, body) = ask("/slow").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("SERVICE_UNAVAILABLE"), "{body}");
    }
}
