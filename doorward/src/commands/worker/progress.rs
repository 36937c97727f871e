//! How far tasks are with resources, told to job status.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use config::Config;
use kernel::status::Owner;
use kernel::status::Report as StatusReport;
use kernel::status::Status;
use kernel::status::Update;
use kernel::time::now;
use stores::status::Statuses;
use tokio::sync::mpsc;
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio::time::timeout;
use worker::WRITE_DOWN_FOR;
use worker::stages::Report;
use worker::stages::Stages;
use worker::stages::Standing;
use worker::stages::Untold;

use crate::commands::house;

/// The most reports that wait to be told; one more is dropped.
const REPORTS_WAITING_MAX: usize = 4_096;

/// How often what waits for a store that is away is tried again, once no more comes.
const AGAIN_EVERY: Duration = Duration::from_millis(100);

/// To whom a resource belongs of which nobody has said whose it is.
const NOBODY: &str = "worker";

/// Where tasks of `config` report to: job status in the Redis of a fleet; nowhere without one. Must be
/// called within the runtime that is to carry it.
///
/// # Errors
/// What no waiting would mend, and a stage that job status does not know.
pub(super) fn stages(config: &Config) -> anyhow::Result<(Arc<dyn Stages>, Telling)> {
    let connection = house::redis::connect(config)?;
    let Some((redis, connection)) = config.redis.as_ref().zip(connection) else {
        return Ok((Arc::new(Untold), Telling(None)));
    };
    let statuses = Statuses::in_redis(&connection, &redis.namespace, &config.status);
    let stage =
        statuses.plan().stage(&config.worker.embed_stage).context("`worker.embed_stage`")?;
    let (told, reports) = mpsc::channel(REPORTS_WAITING_MAX);
    let (end, ends) = oneshot::channel();
    let telling = tokio::spawn(async move {
        tokio::select! {
            () = statuses.keep(now) => {}
            () = tell(&statuses, stage, reports, ends) => {}
        }
    });
    Ok((Arc::new(Queue(told)), Telling(Some((end, telling)))))
}

/// Reports on their way.
pub(super) struct Telling(Option<(oneshot::Sender<()>, JoinHandle<()>)>);

impl Telling {
    /// Takes no more of them in, and waits until those that wait are told, but no longer than
    /// [`WRITE_DOWN_FOR`].
    pub(super) async fn finish(self) {
        let Some((end, telling)) = self.0 else { return };
        let _ = end.send(());
        if timeout(WRITE_DOWN_FOR, telling).await.is_err() {
            tracing::warn!("reports of job status were not told: its Redis gives no answer");
        }
    }
}

/// Takes reports in without waiting.
struct Queue(Sender<Report>);

impl Stages for Queue {
    fn report(&self, report: Report) {
        if self.0.try_send(report).is_err() {
            tracing::debug!("a report of job status is dropped: too many wait, or the worker ends");
        }
    }
}

/// Tells them, one after the other; after `ends` those that wait then.
async fn tell(
    statuses: &Statuses,
    stage: Arc<str>,
    mut reports: Receiver<Report>,
    mut ends: oneshot::Receiver<()>,
) {
    loop {
        let report = tokio::select! {
            biased;
            _ = &mut ends, if !reports.is_closed() => {
                // A thread that is stuck at a task would keep it open.
                reports.close();
                continue;
            }
            report = reports.recv() => report,
        };
        let Some(report) = report else { break };
        put(statuses, &stage, report).await;
    }
    while statuses.send(now()).await > 0 {
        sleep(AGAIN_EVERY).await;
    }
}

async fn put(statuses: &Statuses, stage: &Arc<str>, report: Report) {
    let (standing, completed, total) = match report.standing {
        Standing::Processing { done, of } => ("processing", Some(done), Some(of)),
        Standing::Completed { of } => ("completed", Some(of), Some(of)),
        Standing::Failed => ("failed", None, None),
    };
    let update = Update {
        stage: Arc::clone(stage),
        status: status(statuses, standing),
        attempt: Some(report.attempt),
        completed,
        total,
        message: None,
        error_message: None,
    };
    let owner = match report.owner {
        Some(id) => Owner { id, is_named: true },
        None => Owner { id: NOBODY.into(), is_named: false },
    };
    let report = StatusReport { id: report.resource, update, owner, waited: Duration::ZERO };
    if let Err(why) = statuses.put(&report, now()).await {
        tracing::debug!(error = %why, "a report of job status is not taken");
    }
}

/// One of the four that there are always.
fn status(statuses: &Statuses, name: &str) -> Status {
    statuses.plan().status_read(name)
}

#[cfg(test)]
mod tests {
    use kernel::status::ResourceId;

    use super::*;

    #[tokio::test]
    async fn what_waits_at_the_end_is_told_though_a_stuck_thread_could_still_report() {
        let config = config::parse("test", "", &|_| None).expect("an empty file");
        let statuses = Statuses::here(&config.status);
        let stage = statuses.plan().stage(&config.worker.embed_stage).expect("it is expected");
        let (told, reports) = mpsc::channel(REPORTS_WAITING_MAX);
        let queue = Queue(told);
        for number in 0..REPORTS_WAITING_MAX as u64 + 1 {
            let standing = Standing::Completed { of: 1 };
            let resource = ResourceId::Number(number);
            queue.report(Report { resource, owner: None, attempt: 1, standing });
        }
        let (end, ends) = oneshot::channel();
        end.send(()).expect("somebody hears it");
        tell(&statuses, stage, reports, ends).await;
        let known = async |number| {
            statuses.get(&ResourceId::Number(number), now()).await.expect("it is here").is_some()
        };
        assert!(known(REPORTS_WAITING_MAX as u64 - 1).await);
        assert!(!known(REPORTS_WAITING_MAX as u64).await, "one more found no room");
    }
}
