//! How far tasks are with resources, told to job status.

use std::sync::Arc;

use anyhow::Context;
use config::Config;
use kernel::status::Owner;
use kernel::status::Report as StatusReport;
use kernel::status::ResourceId;
use kernel::status::Status;
use kernel::status::Update;
use kernel::time::now;
use serde_json::Value;
use stores::status::Statuses;
use tokio::sync::mpsc;
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::Sender;
use worker::stages::Report;
use worker::stages::Stages;
use worker::stages::Standing;
use worker::stages::Untold;

use crate::commands::house;

/// The most reports that wait to be told; one more is dropped.
const REPORTS_WAITING_MAX: usize = 4_096;

/// To whom a resource belongs of which nobody has said whose it is.
const NOBODY: &str = "worker";

/// Where tasks of `config` report to: job status in the Redis of a fleet; nowhere without one. Must be
/// called within the runtime that is to carry it.
///
/// # Errors
/// What no waiting would mend, and a stage that job status does not know.
pub(super) fn stages(config: &Config) -> anyhow::Result<Arc<dyn Stages>> {
    let connection = house::redis::connect(config)?;
    let Some((redis, connection)) = config.redis.as_ref().zip(connection) else {
        return Ok(Arc::new(Untold));
    };
    let statuses = Statuses::in_redis(&connection, &redis.namespace, &config.status);
    let stage =
        statuses.plan().stage(&config.worker.embed_stage).context("`worker.embed_stage`")?;
    let (told, reports) = mpsc::channel(REPORTS_WAITING_MAX);
    tokio::spawn(async move {
        tokio::select! {
            () = statuses.keep(now) => {}
            () = tell(&statuses, stage, reports) => {}
        }
    });
    Ok(Arc::new(Queue(told)))
}

/// Takes reports in without waiting.
struct Queue(Sender<Report>);

impl Stages for Queue {
    fn report(&self, report: Report) {
        if self.0.try_send(report).is_err() {
            tracing::debug!("a report of job status is dropped: too many wait");
        }
    }
}

/// Tells them, one after the other.
async fn tell(statuses: &Statuses, stage: Arc<str>, mut reports: Receiver<Report>) {
    while let Some(report) = reports.recv().await {
        let Some(id) = id_of(&report.resource) else { continue };
        let (standing, completed, total) = match report.standing {
            Standing::Processing { done, of } => ("processing", Some(done), Some(of)),
            Standing::Completed { of } => ("completed", Some(of), Some(of)),
            Standing::Failed => ("failed", None, None),
        };
        let update = Update {
            stage: Arc::clone(&stage),
            status: status(statuses, standing),
            attempt: Some(report.attempt),
            completed,
            total,
            message: None,
            error_message: None,
        };
        let owner = match report.owner {
            Some(id) => Owner { id: id.into(), is_named: true },
            None => Owner { id: NOBODY.into(), is_named: false },
        };
        if let Err(why) = statuses.put(&StatusReport { id, update, owner }, now()).await {
            tracing::debug!(error = %why, "a report of job status is not taken");
        }
    }
}

/// One of the four that there are always.
fn status(statuses: &Statuses, name: &str) -> Status {
    statuses.plan().status_read(name)
}

fn id_of(resource: &Value) -> Option<ResourceId> {
    let text = match resource {
        Value::String(text) => text.clone(),
        number => number.to_string(),
    };
    ResourceId::parse(&text).ok()
}
