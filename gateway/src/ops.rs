//! The ops listener: probes and metrics, for orchestrators and not for clients.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::OriginalUri;
use axum::extract::RawQuery;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use http::HeaderValue;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use kernel::problem::ErrorCode;
use kernel::problem::MEDIA_TYPE;
use kernel::problem::Problem;

use crate::request_id::RequestId;

/// Something that must hold for requests to be sent here.
pub type Condition = Box<dyn Fn() -> bool + Send + Sync>;

/// Something that is worth telling, though requests may be sent here all the same.
pub type Remark = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// Whether requests may be sent here, and what for want of which they may not.
#[derive(Default)]
pub struct Readiness {
    conditions: Vec<(&'static str, Condition)>,
    remarks: Vec<Remark>,
    started: AtomicBool,
    closing: AtomicBool,
}

impl Readiness {
    /// Ready once [`started`](Self::started) was called and all `conditions` hold.
    pub fn new(conditions: Vec<(&'static str, Condition)>) -> Self {
        Self { conditions, ..Self::default() }
    }

    /// The same, with `remark` for whoever asks more closely.
    pub fn with_remark(mut self, remark: Remark) -> Self {
        self.remarks.push(remark);
        self
    }

    /// Everything is set up.
    pub fn started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// Nothing new may be sent from now on.
    pub fn closing(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Whether requests may be sent here.
    pub fn is_ready(&self) -> bool {
        self.parts().iter().all(|(_, holds)| *holds)
    }

    fn parts(&self) -> Vec<(&'static str, bool)> {
        let own = [
            ("started", self.started.load(Ordering::Acquire)),
            ("open", !self.closing.load(Ordering::Acquire)),
        ];
        let others = self.conditions.iter().map(|(name, holds)| (*name, holds()));
        own.into_iter().chain(others).collect()
    }
}

/// Gives the metrics, as text.
pub type Meter = Arc<dyn Fn() -> String + Send + Sync>;

/// All routes of the ops listener.
pub fn routes(readiness: Arc<Readiness>, meter: Meter) -> Router {
    let metrics = Router::new().route("/metrics", get(metrics)).with_state(meter);
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/startupz", get(startupz))
        .fallback(nothing_here)
        .with_state(readiness)
        .merge(metrics)
}

/// 200 when ready, else 503; `?verbose` names each part.
async fn readyz(State(readiness): State<Arc<Readiness>>, RawQuery(query): RawQuery) -> Response {
    let status = status_of(readiness.is_ready());
    let verbose = query.as_deref().is_some_and(|query| query.split('&').any(|q| q == "verbose"));
    let mut text = String::new();
    if verbose {
        for (name, holds) in readiness.parts() {
            let _ = writeln!(text, "{} {name}", if holds { "ok" } else { "not" });
        }
        for remark in readiness.remarks.iter().filter_map(|remark| remark()) {
            let _ = writeln!(text, "but {remark}");
        }
    }
    text.push_str(if status == StatusCode::OK { "ok\n" } else { "not ready\n" });
    (status, text).into_response()
}

async fn startupz(State(readiness): State<Arc<Readiness>>) -> Response {
    match readiness.started.load(Ordering::Acquire) {
        true => (StatusCode::OK, "ok\n").into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not started\n").into_response(),
    }
}

fn status_of(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn metrics(State(meter): State<Meter>) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(CONTENT_TYPE, kind)], meter()).into_response()
}

async fn nothing_here(OriginalUri(uri): OriginalUri) -> Response {
    let problem = Problem::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, "Not Found")
        .about(uri.path(), RequestId::next().as_str());
    let kind = HeaderValue::from_static(MEDIA_TYPE);
    (problem.status, [(CONTENT_TYPE, kind)], problem.to_json()).into_response()
}
