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
use kernel::warm_up::Progress;
use kernel::warm_up::Standing;
use kernel::warm_up::State as HowFar;

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
    resources: Option<Progress>,
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

    /// The same, with how far the resources are that are loaded at the start.
    pub fn with_resources(mut self, progress: Progress) -> Self {
        self.resources = Some(progress);
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

    /// A line for each resource that is loaded at the start.
    fn resources(&self) -> String {
        let standings = self.resources.as_ref().map(Progress::standings).unwrap_or_default();
        standings.iter().map(line).collect()
    }
}

/// How far one resource is, for people; what it is stands first, for scripts.
fn line(standing: &Standing) -> String {
    let (word, cause) = match &standing.state {
        HowFar::Waiting => ("waiting", None),
        HowFar::Loading => ("loading", None),
        HowFar::Retrying(fault) => ("retrying", Some(fault)),
        HowFar::Warm => ("warm", None),
        HowFar::Degraded(fault) => ("degraded", Some(fault)),
        HowFar::Failed(fault) => ("failed", Some(fault)),
    };
    let mut line = format!("{word} {}", standing.name);
    let (attempts, ms) = (standing.attempts, standing.took.as_millis());
    let _ = match (&standing.state, attempts) {
        (HowFar::Waiting, _) => Ok(()),
        // What it has taken so far is known of attempts that are over.
        (HowFar::Loading, _) => write!(line, ": attempt {attempts}"),
        (_, 1) => write!(line, ": 1 attempt, {ms} ms"),
        _ => write!(line, ": {attempts} attempts, {ms} ms"),
    };
    if let Some(fault) = cause {
        // A probe's answer has a line for each.
        let _ = write!(line, ": {}", fault.to_string().replace(['\n', '\r'], " "));
    }
    line.push('\n');
    line
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
        text.push_str(&readiness.resources());
    }
    text.push_str(if status == StatusCode::OK { "ok\n" } else { "not ready\n" });
    (status, text).into_response()
}

/// 200 once everything is set up, else 503 and how far it is.
async fn startupz(State(readiness): State<Arc<Readiness>>) -> Response {
    match readiness.started.load(Ordering::Acquire) {
        true => (StatusCode::OK, "ok\n").into_response(),
        false => {
            let text = format!("{}not started\n", readiness.resources());
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kernel::warm_up::Fault;

    use super::*;

    #[test]
    fn a_line_says_how_far_a_resource_is() {
        let fault = || Fault::passing("it answered\n503");
        for (state, attempts, wanted) in [
            (HowFar::Waiting, 0, "waiting upstream orders\n"),
            (HowFar::Loading, 1, "loading upstream orders: attempt 1\n"),
            (
                HowFar::Retrying(fault()),
                2,
                "retrying upstream orders: 2 attempts, 1500 ms: it answered 503\n",
            ),
            (HowFar::Warm, 3, "warm upstream orders: 3 attempts, 1500 ms\n"),
            (
                HowFar::Degraded(fault()),
                6,
                "degraded upstream orders: 6 attempts, 1500 ms: it answered 503\n",
            ),
            (
                HowFar::Failed(fault()),
                1,
                "failed upstream orders: 1 attempt, 1500 ms: it answered 503\n",
            ),
        ] {
            let standing = Standing {
                name: "upstream orders".into(),
                needs: Vec::new(),
                state,
                attempts,
                took: Duration::from_millis(1500),
            };
            assert_eq!(line(&standing), wanted);
        }
    }
}
