//! The workers of a Celery installation: looked at in the background, for health, operators and metrics.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use config::Config;
use prometheus::GaugeVec;
use prometheus::Opts;
use prometheus::Registry;
use prometheus::TextEncoder;
use stores::redis::celery::CeleryWatch;
use stores::redis::celery::Queue;
use stores::redis::celery::Verdict;
use stores::redis::celery::Workers;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::duty::closed;
use super::redis::tls_trusting;

/// How long an ending process goes on clearing away at the broker what it needed there.
const CLEAR_WITHIN: Duration = Duration::from_secs(2);

/// Somebody who looks after workers.
pub(crate) struct Lookout {
    watch: Arc<CeleryWatch>,
    at_work: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Lookout {
    /// What is seen.
    pub(crate) fn watch(&self) -> Arc<CeleryWatch> {
        Arc::clone(&self.watch)
    }
}

/// Begins to look at the installation of `config`, where there is one. The broker need not be there. It
/// is to be [ended](end), whatever else comes to an end how.
///
/// # Errors
/// What no waiting would mend.
pub(crate) fn watch(config: &Config) -> anyhow::Result<Option<Lookout>> {
    let Some(celery) = &config.celery else { return Ok(None) };
    let tls = tls_trusting(&celery.broker(CLEAR_WITHIN), "`celery.ca`")?;
    let watch = Arc::new(CeleryWatch::open(celery, tls).context("`celery.broker_url`")?);
    let (stop, stops) = watch::channel(false);
    let kept = Arc::clone(&watch);
    let at_work = tokio::spawn(async move { kept.keep(closed(stops)).await });
    Ok(Some(Lookout { watch, at_work, stop }))
}

/// Ends what was begun; nothing is left behind at a broker that answers.
pub(crate) async fn end(lookout: Option<Lookout>) {
    if let Some(lookout) = lookout {
        lookout.stop.send_replace(true);
        let _ = tokio::time::timeout(CLEAR_WITHIN, lookout.at_work).await;
    }
}

/// Figures of an installation, in Prometheus' text format; none without one.
///
/// Labels are verdicts and the queues of the configuration; workers are in the answer for operators.
pub(crate) struct Figures(Option<Arc<CeleryWatch>>);

impl Figures {
    /// Those of what `lookout` sees.
    pub(crate) fn of(lookout: Option<&Lookout>) -> Self {
        Self(lookout.map(Lookout::watch))
    }

    /// All that is known now.
    pub(crate) fn render(&self) -> String {
        let Some(watch) = &self.0 else { return String::new() };
        // No name is there twice, and none is made of anything that comes from outside.
        text_of(watch.latest().as_deref()).unwrap_or_default()
    }
}

/// What is known, written down anew each time: what is not known now is not there, for the figure of
/// another time would look like one of now.
fn text_of(seen: Option<&Workers>) -> prometheus::Result<String> {
    let sheet = Sheet::default();
    let answers = seen.filter(|seen| seen.lost.is_none());
    let is_up = f64::from(u8::from(answers.is_some()));
    sheet.one("doorward_celery_broker_up", "Whether the Celery broker answers", Some(is_up))?;
    let verdicts = seen.into_iter().flat_map(|seen| {
        Verdict::ALL.map(|verdict| (verdict.as_str(), seen.count(verdict) as f64))
    });
    let help = "Celery workers, by how they do";
    sheet.by_label("doorward_celery_workers", help, "verdict", verdicts)?;
    sheet.one(
        "doorward_celery_workers_connected",
        "Celery workers that listened when they were last asked, known by name or not",
        answers.map(|seen| seen.connected as f64),
    )?;
    sheet.one(
        "doorward_celery_active",
        "Tasks that Celery workers are at, as those that are alive last said",
        answers.map(|seen| seen.active() as f64),
    )?;
    let in_flight = answers.and_then(|seen| Some((seen.in_flight?, seen.oldest_in_flight)));
    sheet.one(
        "doorward_celery_in_flight",
        "Tasks that Celery workers have taken and not acknowledged",
        in_flight.map(|(count, _)| count as f64),
    )?;
    sheet.one(
        "doorward_celery_oldest_in_flight_seconds",
        "Time since the first of these was taken; 0 where there is none",
        in_flight.map(|(_, oldest)| in_seconds(oldest)),
    )?;
    let queues = || answers.into_iter().flat_map(|seen| &seen.queues);
    let known = |queue: &Queue| Some((queue.depth? as f64, in_seconds(queue.waiting)));
    sheet.by_label(
        "doorward_celery_queue_depth",
        "Tasks that wait, by queue",
        "queue",
        queues().filter_map(|queue| Some((queue.name.as_str(), known(queue)?.0))),
    )?;
    sheet.by_label(
        "doorward_celery_queue_waiting_seconds",
        "Time for which the next task of a queue has waited at the least; 0 where there is none",
        "queue",
        queues().filter_map(|queue| Some((queue.name.as_str(), known(queue)?.1))),
    )?;
    sheet.text()
}

/// Nought where there is none.
fn in_seconds(of: Option<Duration>) -> f64 {
    of.map_or(0.0, |of| of.as_secs_f64())
}

/// Figures that are being written down.
#[derive(Default)]
struct Sheet(Registry);

impl Sheet {
    /// A figure without a label, if it is known.
    fn one(&self, name: &str, help: &str, value: Option<f64>) -> prometheus::Result<()> {
        let figure = GaugeVec::new(Opts::new(name, help), &[])?;
        if let Some(value) = value {
            figure.get_metric_with_label_values::<&str>(&[])?.set(value);
        }
        self.0.register(Box::new(figure))
    }

    /// A figure for each value of `label`, of those that are known.
    fn by_label<'a>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> prometheus::Result<()> {
        let figures = GaugeVec::new(Opts::new(name, help), &[label])?;
        for (of, value) in values {
            figures.get_metric_with_label_values(&[of])?.set(value);
        }
        self.0.register(Box::new(figures))
    }

    fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.0.gather())
    }
}

#[cfg(test)]
mod tests {
    use kernel::time::Timestamp;
    use stores::redis::connection::Lost;

    use super::*;

    fn seen() -> Workers {
        Workers {
            looked_at: Timestamp::default(),
            lost: None,
            connected: 2,
            workers: Vec::new(),
            left_out: 0,
            queues: vec![
                Queue {
                    name: "celery".to_owned(),
                    depth: Some(3),
                    waiting: Some(Duration::from_millis(1_500)),
                },
                Queue { name: "mail".to_owned(), depth: None, waiting: None },
            ],
            in_flight: Some(4),
            oldest_in_flight: None,
        }
    }

    /// The lines that say something, without the prefix that all have.
    fn lines(seen: Option<&Workers>) -> Vec<String> {
        let text = text_of(seen).expect("figures can be written down");
        let lines = text.lines().filter_map(|line| line.strip_prefix("doorward_celery_"));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn what_is_known_is_there_and_what_a_queue_does_not_say_is_not() {
        assert_eq!(
            lines(Some(&seen())),
            [
                "active 0",
                "broker_up 1",
                "in_flight 4",
                "oldest_in_flight_seconds 0",
                "queue_depth{queue=\"celery\"} 3",
                "queue_waiting_seconds{queue=\"celery\"} 1.5",
                "workers{verdict=\"alive\"} 0",
                "workers{verdict=\"gone\"} 0",
                "workers{verdict=\"unknown\"} 0",
                "workers{verdict=\"unresponsive\"} 0",
                "workers_connected 2",
            ]
        );
    }

    #[test]
    fn of_a_broker_that_is_lost_there_are_no_figures_of_another_time() {
        let lost = Lost::Late(Duration::from_secs(2));
        let seen = Workers { lost: Some(Arc::new(lost)), ..seen() };
        assert_eq!(
            lines(Some(&seen)),
            [
                "broker_up 0",
                "workers{verdict=\"alive\"} 0",
                "workers{verdict=\"gone\"} 0",
                "workers{verdict=\"unknown\"} 0",
                "workers{verdict=\"unresponsive\"} 0",
            ]
        );
        assert_eq!(lines(None), ["broker_up 0"]);
    }
}
