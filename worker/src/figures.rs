//! What a worker counts of itself: for metrics, for whether it is ready, and for what it says of itself to
//! other workers.

use std::time::Duration;

use prometheus::HistogramOpts;
use prometheus::HistogramVec;
use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::Opts;
use prometheus::PullingGauge;
use prometheus::Registry;
use prometheus::TextEncoder;

/// Upper bounds of the buckets of how long tasks take, in seconds.
const BUCKETS_S: [f64; 12] =
    [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 3600.0];

/// What became of a message, as metrics call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Became {
    /// The task gave something.
    Done,
    /// It came to nothing, for good.
    Failed,
    /// It waits to be tried again.
    Again,
    /// It was never begun: nobody knows such a task, or its time had passed.
    Refused,
    /// It is no task.
    Buried,
}

impl Became {
    const ALL: [Self; 5] = [Self::Done, Self::Failed, Self::Again, Self::Refused, Self::Buried];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Again => "again",
            Self::Refused => "refused",
            Self::Buried => "buried",
        }
    }
}

/// What a worker counts of itself.
#[derive(Debug)]
pub struct Figures {
    registry: Registry,
    became: [IntCounter; Became::ALL.len()],
    took: HistogramVec,
    active: IntGauge,
    held: IntGauge,
    later: IntGauge,
    unsettled: IntGauge,
    stuck: IntGauge,
    broker_works: IntGauge,
    writes_down: IntGauge,
}

/// How a worker is, as far as that changes from one moment to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    /// How many messages are in hand, those that are carried out included.
    pub(crate) held: usize,
    /// How many wait for their time.
    pub(crate) later: usize,
    /// How many came to an end that is not written down.
    pub(crate) unsettled: usize,
    /// How many threads are at tasks whose time is over.
    pub(crate) stuck: usize,
    /// Whether the broker does all that it is asked.
    pub(crate) broker_works: bool,
    /// Whether what comes to an end is written down.
    pub(crate) writes_down: bool,
}

impl Figures {
    /// All at nought, but for how many embedders were loaded in this process: of that `embedders_loaded`
    /// is asked.
    ///
    /// # Errors
    /// prometheus', should two of them have one name.
    pub fn new(embedders_loaded: fn() -> u64) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let became = IntCounterVec::new(
            Opts::new("doorward_worker_messages_total", "Messages, by what became of them"),
            &["became"],
        )?;
        registry.register(Box::new(became.clone()))?;
        let opts = HistogramOpts::new("doorward_worker_task_duration_seconds", "Duration of tasks");
        let took = HistogramVec::new(opts.buckets(BUCKETS_S.to_vec()), &["task"])?;
        registry.register(Box::new(took.clone()))?;
        registry.register(Box::new(PullingGauge::new(
            "doorward_worker_embedders_loaded",
            "Embedders that were loaded in this process",
            Box::new(move || embedders_loaded() as f64),
        )?))?;
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            prometheus::Result::Ok(gauge)
        };
        Ok(Self {
            became: Became::ALL.map(|one| became.with_label_values(&[one.as_str()])),
            took,
            active: gauge("doorward_worker_active", "Tasks that are carried out")?,
            held: gauge("doorward_worker_held", "Messages in hand whose time has come")?,
            later: gauge("doorward_worker_later", "Messages in hand whose time has not come")?,
            unsettled: gauge(
                "doorward_worker_unsettled",
                "Tasks that ended and whose end is not written down yet",
            )?,
            stuck: gauge("doorward_worker_stuck", "Threads at tasks whose time is over")?,
            broker_works: gauge(
                "doorward_worker_broker_up",
                "Whether the broker does all that it is asked",
            )?,
            writes_down: gauge(
                "doorward_worker_results_up",
                "Whether what comes to an end is written down",
            )?,
            registry,
        })
    }

    /// All of it, in Prometheus' text format.
    pub fn render(&self) -> String {
        // What fails to encode is left out.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    /// Whether the broker does all that it is asked.
    pub fn broker_works(&self) -> bool {
        self.broker_works.get() != 0
    }

    /// Whether what comes to an end is written down.
    pub fn writes_down(&self) -> bool {
        self.writes_down.get() != 0
    }

    /// How many threads are at tasks whose time is over.
    pub fn stuck(&self) -> usize {
        usize::try_from(self.stuck.get()).unwrap_or_default()
    }

    /// Tasks called so may be carried out: their figure is there from the start.
    pub(crate) fn knows<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        names.into_iter().for_each(|name| drop(self.took.with_label_values(&[name])));
    }

    /// A task called `name` took so long. Only of names that are known: each is kept for ever.
    pub(crate) fn took(&self, name: &str, long: Duration) {
        self.took.with_label_values(&[name]).observe(long.as_secs_f64());
    }

    pub(crate) fn became(&self, what: Became) {
        self.became[what as usize].inc();
    }

    pub(crate) fn set_active(&self, count: usize) {
        self.active.set(count as i64);
    }

    pub(crate) fn active(&self) -> u64 {
        u64::try_from(self.active.get()).unwrap_or_default()
    }

    /// How many tasks were carried out, once more included.
    pub(crate) fn processed(&self) -> u64 {
        let carried_out = [Became::Done, Became::Failed, Became::Again];
        carried_out.map(|what| self.became[what as usize].get()).iter().sum()
    }

    pub(crate) fn set(&self, moment: Moment) {
        let Moment { held, later, unsettled, stuck, broker_works, writes_down } = moment;
        self.held.set(held as i64);
        self.later.set(later as i64);
        self.unsettled.set(unsettled as i64);
        self.stuck.set(stuck as i64);
        self.broker_works.set(broker_works.into());
        self.writes_down.set(writes_down.into());
    }
}
