//! A back end to try with: says what it was asked, and by whom.
//!
//! It is behind a Doorward that was given no other, and can be started alone: `doorward echo`.

use std::process::ExitCode;

use axum::Json;
use axum::Router;
use axum::extract::Request;
use serde_json::Value;
use serde_json::json;
use tokio::net::TcpListener;

use super::house::signals::Signals;
use super::listeners;
use super::runtime;
use crate::arguments::Echo;
use crate::log;

/// Answers until a signal, and ends at once then.
///
/// # Errors
/// One clear text for what keeps it from starting.
pub(crate) fn echo(echo: &Echo) -> anyhow::Result<ExitCode> {
    log::start();
    runtime()?.block_on(async {
        let listener = TcpListener::from_std(listeners::tcp(echo.listen)?)?;
        let mut signals = Signals::listen()?;
        tracing::info!("an echo at {}", listener.local_addr()?);
        tokio::select! {
            served = axum::serve(listener, routes()) => served?,
            () = signals.next() => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Answers every request with its method, target and headers as a back end sees them.
pub(crate) fn routes() -> Router {
    Router::new().fallback(async |request: Request| Json(told(&request)))
}

fn told(request: &Request) -> Value {
    let mut headers = serde_json::Map::new();
    for (name, value) in request.headers() {
        headers.insert(name.to_string(), String::from_utf8_lossy(value.as_bytes()).into());
    }
    json!({
        "message": "This is Doorward's own echo, in the place of a back end",
        "method": request.method().as_str(),
        "target": request.uri().to_string(),
        "headers": headers,
    })
}
