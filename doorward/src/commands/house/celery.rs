//! The workers of a Celery installation: looked at in the background, for health, operators and metrics.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use config::Config;
use prometheus::Encoder;
use prometheus::Gauge;
use prometheus::GaugeVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::Opts;
use prometheus::Registry;
use prometheus::TextEncoder;
use stores::redis::celery::CeleryWatch;
use stores::redis::celery::Verdict;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::redis::tls_trusting;

/// How long an ending process goes on clearing away at the broker what it needed there.
const CLEAR_WITHIN: Duration = Duration::from_secs(2);

/// Somebody who looks after workers.
pub(crate) struct Lookout {
    watch: Arc<CeleryWatch>,
    at_work: JoinHandle<()>,
}

impl Lookout {
    /// What is seen.
    pub(crate) fn watch(&self) -> Arc<CeleryWatch> {
        Arc::clone(&self.watch)
    }
}

/// Begins to look at the installation of `config`, where there is one, until `looks` says that it is
/// over. The broker need not be there.
///
/// # Errors
/// What no waiting would mend.
pub(crate) fn watch(
    config: &Config,
    mut looks: watch::Receiver<bool>,
) -> anyhow::Result<Option<Lookout>> {
    let Some(celery) = &config.celery else { return Ok(None) };
    let tls = tls_trusting(&celery.broker(CLEAR_WITHIN), "`celery.ca`")?;
    let watch = Arc::new(CeleryWatch::open(celery, tls).context("`celery.broker_url`")?);
    let kept = Arc::clone(&watch);
    let at_work = tokio::spawn(async move {
        let over = async {
            let _ = looks.wait_for(|is_over| *is_over).await;
        };
        kept.keep(over).await;
    });
    Ok(Some(Lookout { watch, at_work }))
}

/// Ends what was begun; nothing is left behind at a broker that answers.
pub(crate) async fn end(stop: watch::Sender<bool>, lookout: Option<Lookout>) {
    stop.send_replace(true);
    if let Some(lookout) = lookout {
        let _ = tokio::time::timeout(CLEAR_WITHIN, lookout.at_work).await;
    }
}

/// Figures of an installation, in Prometheus' text format; none without one.
///
/// Labels are verdicts and the queues of the configuration; workers are in the answer for operators.
pub(crate) struct Figures(Option<Shown>);

struct Shown {
    watch: Arc<CeleryWatch>,
    registry: Registry,
    broker_up: IntGauge,
    workers: IntGaugeVec,
    connected: IntGauge,
    active: IntGauge,
    in_flight: IntGauge,
    oldest: Gauge,
    depth: IntGaugeVec,
    waiting: GaugeVec,
}

impl Figures {
    /// Those of what `lookout` sees.
    ///
    /// # Errors
    /// prometheus', should two of them have one name.
    pub(crate) fn of(lookout: Option<&Lookout>) -> prometheus::Result<Self> {
        lookout.map(|lookout| Shown::of(lookout.watch())).transpose().map(Self)
    }

    /// All of it, as it was last seen.
    pub(crate) fn render(&self) -> String {
        self.0.as_ref().map(Shown::render).unwrap_or_default()
    }
}

impl Shown {
    fn of(watch: Arc<CeleryWatch>) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let shown = Self {
            watch,
            broker_up: IntGauge::new(
                "doorward_celery_broker_up",
                "Whether the Celery broker answers",
            )?,
            workers: IntGaugeVec::new(
                Opts::new("doorward_celery_workers", "Celery workers, by how they do"),
                &["verdict"],
            )?,
            connected: IntGauge::new(
                "doorward_celery_workers_connected",
                "Celery workers that listened when they were last asked, known by name or not",
            )?,
            active: IntGauge::new(
                "doorward_celery_active",
                "Tasks that Celery workers are at, as those that are alive last said",
            )?,
            in_flight: IntGauge::new(
                "doorward_celery_in_flight",
                "Tasks that Celery workers have taken and not acknowledged",
            )?,
            oldest: Gauge::new(
                "doorward_celery_oldest_in_flight_seconds",
                "Time since the first of these was taken; 0 where there is none",
            )?,
            depth: IntGaugeVec::new(
                Opts::new("doorward_celery_queue_depth", "Tasks that wait, by queue"),
                &["queue"],
            )?,
            waiting: GaugeVec::new(
                Opts::new(
                    "doorward_celery_queue_waiting_seconds",
                    "Time for which the next task of a queue has waited at the least; 0 where there \
                     is none",
                ),
                &["queue"],
            )?,
            registry,
        };
        let registry = &shown.registry;
        registry.register(Box::new(shown.broker_up.clone()))?;
        registry.register(Box::new(shown.workers.clone()))?;
        registry.register(Box::new(shown.connected.clone()))?;
        registry.register(Box::new(shown.active.clone()))?;
        registry.register(Box::new(shown.in_flight.clone()))?;
        registry.register(Box::new(shown.oldest.clone()))?;
        registry.register(Box::new(shown.depth.clone()))?;
        registry.register(Box::new(shown.waiting.clone()))?;
        Ok(shown)
    }

    fn render(&self) -> String {
        let seen = self.watch.latest();
        let seconds = |of: Option<Duration>| of.map_or(0.0, |of| of.as_secs_f64());
        self.broker_up.set(seen.as_ref().is_some_and(|seen| seen.lost.is_none()).into());
        for verdict in Verdict::ALL {
            let count = seen.as_ref().map_or(0, |seen| seen.count(verdict));
            self.workers.with_label_values(&[verdict.as_str()]).set(count as i64);
        }
        if let Some(seen) = seen {
            self.connected.set(i64::try_from(seen.connected).unwrap_or(i64::MAX));
            self.active.set(i64::try_from(seen.active()).unwrap_or(i64::MAX));
            self.in_flight.set(i64::try_from(seen.in_flight).unwrap_or(i64::MAX));
            self.oldest.set(seconds(seen.oldest_in_flight));
            for queue in &seen.queues {
                let depth = i64::try_from(queue.depth).unwrap_or(i64::MAX);
                self.depth.with_label_values(&[&*queue.name]).set(depth);
                self.waiting.with_label_values(&[&*queue.name]).set(seconds(queue.waiting));
            }
        }
        let mut text = Vec::new();
        // Writing to a Vec cannot fail, and what fails to encode is left out.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}
