//! Management: how the workers of a Celery installation do.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use stores::redis::celery::CeleryWatch;
use stores::redis::celery::Queue;
use stores::redis::celery::Verdict;
use stores::redis::celery::Worker;
use stores::redis::celery::Workers;
use stores::redis::connection::Lost;
use utoipa::ToSchema;

use super::moments::written;
use super::openapi::MANAGEMENT;
use super::operator::Operator;
use super::refusal::Refusal;
use super::wellness::Status;
use crate::people::desk::Desk;

/// How an installation does, and why that is so.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) status: Status,
    pub(crate) message: &'static str,
    /// What was last seen; none where there is no installation, or nothing was seen yet.
    pub(crate) workers: Option<Arc<Workers>>,
}

impl Standing {
    /// That of the installation that `watch` looks at. Nobody asks workers for it.
    pub(crate) async fn of(watch: Option<&CeleryWatch>) -> Self {
        let Some(watch) = watch else {
            let message = "Celery is not configured";
            return Self { status: Status::NotConfigured, message, workers: None };
        };
        let workers = watch.workers().await;
        let (status, message) = match &workers {
            None => (Status::Unhealthy, "Celery workers are not known yet"),
            Some(workers) => judge(workers),
        };
        Self { status, message, workers }
    }

    /// How many workers are alive.
    pub(crate) fn alive(&self) -> u32 {
        let alive = self.workers.as_ref().map_or(0, |workers| workers.count(Verdict::Alive));
        u32::try_from(alive).unwrap_or(u32::MAX)
    }
}

fn judge(workers: &Workers) -> (Status, &'static str) {
    match workers.lost.as_deref() {
        Some(Lost::Late(_)) => (Status::Unhealthy, "Celery broker did not answer in time"),
        Some(Lost::Refused(_)) => (Status::Unhealthy, "Celery broker refuses to work"),
        Some(Lost::Unreachable(_)) => (Status::Unhealthy, "Celery broker connection failed"),
        Some(Lost::Answer(_)) => {
            (Status::Unhealthy, "Celery broker gives answers that make no sense")
        }
        None if workers.count(Verdict::Alive) > 0 => {
            (Status::Healthy, "Celery workers are available")
        }
        // Also one that nobody has ever heard of by name: it was so before we came.
        None if workers.connected > 0 => {
            (Status::Degraded, "Celery workers are connected but unresponsive")
        }
        None => (Status::Unhealthy, "No Celery workers"),
    }
}

/// How the workers do.
#[derive(Serialize, ToSchema)]
pub(crate) struct WorkersOverview {
    status: Status,
    message: &'static str,
    /// When the broker was last asked; `null`: not yet, or there is none.
    #[schema(format = DateTime)]
    looked_at: Option<String>,
    /// How many workers listened when they were last asked, known by name or not; 0 while the broker gives
    /// no answer.
    connected: u64,
    /// Those that are known by name, by name.
    workers: Vec<KnownWorker>,
    /// How often one was left out because there were too many.
    left_out: u64,
    queues: Vec<WatchedQueue>,
    /// How many tasks workers are at, as those that are alive last said.
    active: u64,
    /// How many tasks workers have taken and not acknowledged: with Celery's defaults, not yet begun.
    /// `null` where the broker does not say.
    in_flight: Option<u64>,
    /// How many seconds ago the first of these was taken.
    oldest_in_flight_s: Option<f64>,
}

/// A worker that was heard of.
#[derive(Serialize, ToSchema)]
#[schema(as = Worker)]
struct KnownWorker {
    name: String,
    verdict: WorkerVerdict,
    /// Seconds since it last answered.
    since_pong_s: Option<f64>,
    /// Seconds since it last said that it is there.
    since_heartbeat_s: Option<f64>,
    /// How many seconds it lets pass between two of these.
    heartbeat_every_s: Option<f64>,
    pid: Option<u32>,
    /// How many tasks it is at, as it last said.
    active: Option<u64>,
    /// How many it has done.
    processed: Option<u64>,
    /// How much its machine has to do, over 1, 5 and 15 minutes.
    load: Option<[f64; 3]>,
    software: Option<String>,
    version: Option<String>,
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum WorkerVerdict {
    /// It answers, or says that it is there.
    Alive,
    /// It is connected and says nothing: busy with `-P solo`, stopped, or stuck.
    Unresponsive,
    /// It said that it goes, or its connection is gone.
    Gone,
    /// The broker is away.
    Unknown,
}

/// A queue that is watched.
#[derive(Serialize, ToSchema)]
struct WatchedQueue {
    name: String,
    /// How many tasks wait there; `null` where the broker does not say.
    depth: Option<u64>,
    /// How many seconds the next of them has been waiting, at the least.
    waiting_s: Option<f64>,
}

impl From<&Worker> for KnownWorker {
    fn from(worker: &Worker) -> Self {
        let said = worker.said.as_ref();
        Self {
            name: worker.name.clone(),
            verdict: match worker.verdict {
                Verdict::Alive => WorkerVerdict::Alive,
                Verdict::Unresponsive => WorkerVerdict::Unresponsive,
                Verdict::Gone => WorkerVerdict::Gone,
                Verdict::Unknown => WorkerVerdict::Unknown,
            },
            since_pong_s: worker.since_pong.map(in_seconds),
            since_heartbeat_s: worker.since_heartbeat.map(in_seconds),
            heartbeat_every_s: said.map(|said| in_seconds(said.freq)),
            pid: said.map(|said| said.pid),
            active: said.map(|said| said.active),
            processed: said.map(|said| said.processed),
            load: said.map(|said| said.load),
            software: said.map(|said| said.software.clone()),
            version: said.map(|said| said.version.clone()),
        }
    }
}

impl From<&Queue> for WatchedQueue {
    fn from(queue: &Queue) -> Self {
        let waiting_s = queue.waiting.map(in_seconds);
        Self { name: queue.name.clone(), depth: queue.depth, waiting_s }
    }
}

/// To the millisecond.
fn in_seconds(of: Duration) -> f64 {
    of.as_millis() as f64 / 1000.0
}

/// Lists the workers of the Celery installation, and how they do.
///
/// What was last seen: asking here asks no worker. They are asked every ten seconds, and their heartbeats
/// heard all the time.
#[utoipa::path(
    get,
    path = "/workers",
    operation_id = "listWorkers",
    tag = MANAGEMENT,
    responses((status = 200, body = WorkersOverview, description = "How they do; without an installation, that there is none")),
    security(("bearer" = ["admin"])),
)]
pub(crate) async fn workers(
    _: Operator,
    State(desk): State<Arc<Desk>>,
) -> Result<Json<WorkersOverview>, Refusal> {
    let Standing { status, message, workers } = Standing::of(desk.celery.as_deref()).await;
    let seen = workers.as_deref();
    Ok(Json(WorkersOverview {
        status,
        message,
        looked_at: seen.map(|seen| written(seen.looked_at)),
        connected: seen.map_or(0, |seen| seen.connected),
        workers: seen.iter().flat_map(|seen| &seen.workers).map(KnownWorker::from).collect(),
        left_out: seen.map_or(0, |seen| seen.left_out),
        queues: seen.iter().flat_map(|seen| &seen.queues).map(WatchedQueue::from).collect(),
        active: seen.map_or(0, Workers::active),
        in_flight: seen.and_then(|seen| seen.in_flight),
        oldest_in_flight_s: seen.and_then(|seen| seen.oldest_in_flight).map(in_seconds),
    }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kernel::time::Timestamp;

    use super::*;

    fn seen(verdicts: &[Verdict], connected: u64, lost: Option<Lost>) -> Workers {
        let worker = |verdict: &Verdict| Worker {
            name: "w1@here".to_owned(),
            verdict: *verdict,
            since_pong: None,
            since_heartbeat: Some(Duration::from_millis(1_500)),
            said: None,
        };
        Workers {
            looked_at: Timestamp::default(),
            lost: lost.map(Arc::new),
            connected,
            workers: verdicts.iter().map(worker).collect(),
            left_out: 0,
            queues: Vec::new(),
            in_flight: None,
            oldest_in_flight: None,
        }
    }

    #[test]
    fn one_that_is_alive_is_enough_and_one_that_is_silent_is_not_nobody() {
        for (verdicts, connected, status) in [
            (&[][..], 0, Status::Unhealthy),
            (&[Verdict::Gone], 0, Status::Unhealthy),
            (&[Verdict::Gone, Verdict::Alive], 0, Status::Healthy),
            (&[Verdict::Unresponsive, Verdict::Alive], 2, Status::Healthy),
            (&[Verdict::Unresponsive], 1, Status::Degraded),
            (&[], 1, Status::Degraded),
        ] {
            assert_eq!(judge(&seen(verdicts, connected, None)).0, status, "{verdicts:?}");
        }
        let lost = Lost::Late(Duration::from_secs(2));
        let (status, message) = judge(&seen(&[Verdict::Unknown], 1, Some(lost)));
        assert_eq!((status, message), (Status::Unhealthy, "Celery broker did not answer in time"));
    }
}
