//! The back end of a Doorward that was given none: says what it was asked, and by whom.

use axum::Json;
use axum::Router;
use axum::extract::Request;
use serde_json::Value;
use serde_json::json;

/// Answers every request with its method, target and headers as a back end sees them.
pub(crate) fn routes() -> Router {
    Router::new().fallback(async |request: Request| Json(echo(&request)))
}

fn echo(request: &Request) -> Value {
    let mut headers = serde_json::Map::new();
    for (name, value) in request.headers() {
        headers.insert(name.to_string(), String::from_utf8_lossy(value.as_bytes()).into());
    }
    json!({
        "message": "This is Doorward's own echo; name a back end with --upstream http://host:port",
        "method": request.method().as_str(),
        "target": request.uri().to_string(),
        "headers": headers,
    })
}
