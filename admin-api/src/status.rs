//! Job status: who may report, who may see what, and what is counted of it.
//!
//! A caller sees what is its own; with the scope `status:read` everything. Only who has the scope
//! `status:write` reports. What somebody may not see is answered as what is not there.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kernel::lost::StoreLost;
use kernel::status::Cursor;
use kernel::status::Effect;
use kernel::status::NotTaken;
use kernel::status::Owner;
use kernel::status::Page;
use kernel::status::Plan;
use kernel::status::Record;
use kernel::status::Report;
use kernel::status::ResourceId;
use kernel::status::Update;
use stores::status::Certainty;
use stores::status::Reported;
use stores::status::Seen;
use stores::status::StatusFigures;
use stores::status::Statuses;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::people::asker::Asker;
use crate::people::desk::Desk;

/// Whoever has it reports on any resource.
pub(crate) const STATUS_WRITE: &str = "status:write";

/// Whoever has it sees any resource.
pub(crate) const STATUS_READ: &str = "status:read";

/// Where reports come in, and questions.
#[derive(Debug)]
pub(crate) struct Board {
    statuses: Statuses,
    clock: Clock,
    closes: watch::Sender<bool>,
    meter: Meter,
}

/// What somebody may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// What belongs to the user of that id.
    Own(String),
    /// Everything.
    All,
}

impl Sight {
    /// That of `asker`.
    pub(crate) fn of(desk: &Desk, asker: &Asker) -> Self {
        if desk.holds(asker, STATUS_READ) { Self::All } else { Self::Own(asker.user.id.clone()) }
    }

    /// Whether `record` is in it.
    pub(crate) fn has(&self, record: &Record) -> bool {
        self.has_what_is_of(record.owner.as_ref())
    }

    /// Whether what belongs to `owner` is in it.
    pub(crate) fn has_what_is_of(&self, owner: Option<&Owner>) -> bool {
        match self {
            Self::Own(user_id) => owner.is_some_and(|owner| owner.is(user_id)),
            Self::All => true,
        }
    }
}

impl Board {
    /// A board of `statuses`.
    pub(crate) fn new(statuses: Statuses, clock: Clock) -> Self {
        Self { statuses, clock, closes: watch::Sender::new(false), meter: Meter::default() }
    }

    /// The stages that are expected, and the statuses that there are.
    pub(crate) fn plan(&self) -> &Plan {
        self.statuses.plan()
    }

    /// Where it is kept.
    pub(crate) fn statuses(&self) -> &Statuses {
        &self.statuses
    }

    /// Takes a report in. Where nobody is said to be the owner, it is `reporter`.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub(crate) async fn report(
        &self,
        id: ResourceId,
        update: Update,
        owner: Option<Arc<str>>,
        reporter: &str,
    ) -> Result<Reported, NotTaken> {
        let owner = match owner {
            Some(id) => Owner { id, is_named: true },
            None => Owner { id: reporter.into(), is_named: false },
        };
        let report = Report { id, update, owner, waited: Duration::ZERO };
        let reported = self.statuses.put(&report, self.clock.now()).await;
        self.meter.reported(&reported);
        reported
    }

    /// What is known of a resource, whoever may see it; `None`: nothing.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub(crate) async fn known(&self, id: &ResourceId) -> Result<Option<Seen>, StoreLost> {
        let known = self.statuses.get(id, self.clock.now()).await;
        self.meter.read(known.is_ok());
        known
    }

    /// What is known of a resource that is in `sight`; `None`: nothing.
    ///
    /// # Errors
    /// [`StoreLost`]. While the store is away nobody knows whose a resource is by now, so that what was
    /// another's when it was seen last is answered like what is not known here.
    pub(crate) async fn seen(
        &self,
        id: &ResourceId,
        sight: &Sight,
    ) -> Result<Option<Seen>, StoreLost> {
        let seen = match self.statuses.get(id, self.clock.now()).await {
            Ok(Some(seen)) if !sight.has(&seen.record) => match seen.certainty {
                Certainty::LastKnown => Err(StoreLost::Resting),
                Certainty::Stored | Certainty::WithWaiting => Ok(None),
            },
            seen => seen,
        };
        self.meter.read(seen.is_ok());
        seen
    }

    /// Part of the list of what belongs to `owner`.
    ///
    /// # Errors
    /// [`StoreLost`].
    pub(crate) async fn list(
        &self,
        owner: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, StoreLost> {
        let page = self.statuses.list(owner, after, limit, self.clock.now()).await;
        self.meter.read(page.is_ok());
        page
    }

    /// Sends what waits once the store is back, and hears of what others report, for as long as this runs.
    pub(crate) async fn keep(&self) {
        let now = || self.clock.now();
        tokio::join!(self.statuses.keep(now), self.statuses.hear(now));
    }

    /// Sends what waits, but for no longer than `within`; how many wait still.
    pub(crate) async fn send(&self, within: Duration) -> usize {
        let sent = self.statuses.send(self.clock.now());
        match tokio::time::timeout(within, sent).await {
            Ok(left) => left,
            Err(_) => usize::try_from(self.statuses.figures().waiting).unwrap_or(usize::MAX),
        }
    }

    /// Sends everybody away who listens, and whoever comes to.
    pub(crate) fn close(&self) {
        self.closes.send_replace(true);
    }

    /// Says when listeners are sent away.
    pub(crate) fn closes(&self) -> watch::Receiver<bool> {
        self.closes.subscribe()
    }

    /// Its counters, in Prometheus' text format.
    pub(crate) fn metrics(&self) -> String {
        self.meter.render(&self.statuses.figures())
    }
}

/// What is counted. All label sets are fixed.
#[derive(Debug, Default)]
struct Meter {
    /// By what became of them, in the order of [`EFFECTS`].
    reports: [AtomicU64; EFFECTS.len()],
    reads: AtomicU64,
    reads_lost: AtomicU64,
}

/// What becomes of reports.
const EFFECTS: [&str; 6] = ["applied", "known", "outdated", "waits", "other_owner", "lost"];

/// The place of an effect among [`EFFECTS`].
fn place_of(reported: &Result<Reported, NotTaken>) -> usize {
    match reported {
        Ok(Reported::Taken(taken)) => match taken.effect {
            Effect::Applied => 0,
            Effect::Known => 1,
            Effect::Outdated => 2,
        },
        Ok(Reported::Waits) => 3,
        Err(NotTaken::OtherOwner(_)) => 4,
        Err(NotTaken::Lost(_)) => 5,
    }
}

impl Meter {
    fn reported(&self, reported: &Result<Reported, NotTaken>) {
        self.reports[place_of(reported)].fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self, is_answered: bool) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if !is_answered {
            self.reads_lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn render(&self, figures: &StatusFigures) -> String {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut text =
            "# HELP doorward_status_reports_total Reports of job status, by what became of \
                        them\n# TYPE doorward_status_reports_total counter\n"
                .to_owned();
        for (effect, counter) in EFFECTS.iter().zip(&self.reports) {
            let count = value(counter);
            let _ = writeln!(text, "doorward_status_reports_total{{effect=\"{effect}\"}} {count}");
        }
        for (name, kind, help, value) in [
            ("reads_total", "counter", "Questions for job status", value(&self.reads)),
            (
                "reads_lost_total",
                "counter",
                "Questions for job status to which there was no answer",
                value(&self.reads_lost),
            ),
            ("listeners", "gauge", "Open streams of changes", figures.listeners),
            ("resources", "gauge", "Resources in memory; 0: in Redis", figures.resources),
            (
                "displaced_total",
                "counter",
                "Resources that had to make room in memory while they were still to be kept",
                figures.displaced,
            ),
            ("store_up", "gauge", "Whether the store of job status answers", figures.is_up.into()),
            ("waiting", "gauge", "Reports that wait for a store that is away", figures.waiting),
            (
                "dropped_total",
                "counter",
                "Reports that found no room to wait for a store that is away",
                figures.dropped,
            ),
            (
                "refused_total",
                "counter",
                "Reports that waited and were not taken in, most often of another owner",
                figures.refused,
            ),
        ] {
            let name = format!("doorward_status_{name}");
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
        text
    }
}
