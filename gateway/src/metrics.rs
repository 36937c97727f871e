//! Metrics, in Prometheus' text format. Every label set is bounded by the configuration.

use std::time::Duration;

use parking_lot::Mutex;
use prometheus::Encoder;
use prometheus::Gauge;
use prometheus::GaugeVec;
use prometheus::Histogram;
use prometheus::HistogramOpts;
use prometheus::HistogramVec;
use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::Opts;
use prometheus::Registry;
use prometheus::TextEncoder;
use prometheus::process_collector::ProcessCollector;

use stores::shared::Figures;

use crate::issuers::IssuerStanding;
use crate::old_service;
use crate::refusal::Refusal;
use crate::routing::RouteTable;

/// Upper bounds of the duration buckets, in seconds.
const BUCKETS_S: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Upper bounds of the buckets of a revocation's way to here, in seconds.
const LAG_BUCKETS_S: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The counters of one place.
#[derive(Debug)]
struct PlaceMetrics {
    by_class: [IntCounter; 6],
    duration: Histogram,
}

/// How a fleet's store of counters does.
#[derive(Debug)]
struct FleetMetrics {
    store_up: IntGauge,
    store_calls: IntCounter,
    store_losses: IntCounter,
    unsettled: IntCounter,
    gateways: IntGauge,
}

/// All counters of the gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    routes: Vec<PlaceMetrics>,
    mounts: PlaceMetrics,
    nowhere: PlaceMetrics,
    refusals: IntCounterVec,
    auth_failures: IntCounter,
    unknown_tiers: IntCounter,
    upstream_retries: IntCounter,
    shadowed: IntCounter,
    /// Open connections from clients.
    pub connections: IntGauge,
    /// Connections that were refused because there were too many.
    pub connections_refused: IntCounter,
    /// Log lines that found no room.
    pub log_lines_dropped: IntCounter,
    cached_tokens: IntGauge,
    cached_token_bytes: IntGauge,
    revocations: IntGauge,
    revocations_age: Gauge,
    revocations_stale: IntGauge,
    revocations_lag: Histogram,
    counters: IntGauge,
    counters_displaced: IntGauge,
    /// `None`: the process counts by itself.
    fleet: Option<FleetMetrics>,
    old_service_up: IntGauge,
    old_service_questions: IntCounter,
    old_service_unanswered: IntCounter,
    issuer_fetches: IntCounterVec,
    raising: Mutex<()>,
    issuer_keys: IntGaugeVec,
    issuer_keys_age: GaugeVec,
}

/// Where a request was going, for its counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// To the route of that index.
    Route(usize),
    /// To one of our own mounts.
    Mount,
    /// Nowhere.
    Nowhere,
}

impl Metrics {
    /// Counters for the routes of `table`, all at zero.
    ///
    /// # Errors
    /// prometheus', should two of them have one name.
    pub fn new(table: &RouteTable, test_mode: bool) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            Opts::new("doorward_requests_total", "Requests answered, by route and class of status"),
            &["route", "class"],
        )?;
        let options = HistogramOpts::new(
            "doorward_request_duration_seconds",
            "Time from a request's header to the end of its answer",
        );
        let durations = HistogramVec::new(options.buckets(BUCKETS_S.to_vec()), &["route"])?;
        let place = |name: &str| PlaceMetrics {
            by_class: CLASSES.map(|class| requests.with_label_values(&[name, class])),
            duration: durations.with_label_values(&[name]),
        };
        let counter = |name: &str, help: &str| counter(&registry, name, help);
        let gauge = |name: &str, help: &str| gauge(&registry, name, help);
        let age = Gauge::new(
            "doorward_revocation_age_seconds",
            "Time since the revocations were known to be complete; grows while they cannot be read",
        )?;
        registry.register(Box::new(age.clone()))?;
        let lag = Histogram::with_opts(
            HistogramOpts::new(
                "doorward_revocation_lag_seconds",
                "Time from a revoking act, as its row has it, to its being in force here; by two clocks",
            )
            .buckets(LAG_BUCKETS_S.to_vec()),
        )?;
        registry.register(Box::new(lag.clone()))?;
        let refusals = IntCounterVec::new(
            Opts::new("doorward_refusals_total", "Requests refused, by the code of the answer"),
            &["code"],
        )?;
        let issuer_fetches = IntCounterVec::new(
            Opts::new(
                "doorward_issuer_key_fetches_total",
                "Fetches of another issuer's keys, by issuer and outcome",
            ),
            &["issuer", "outcome"],
        )?;
        let issuer_keys = IntGaugeVec::new(
            Opts::new("doorward_issuer_keys", "Keys of another issuer that are used"),
            &["issuer"],
        )?;
        let issuer_keys_age = GaugeVec::new(
            Opts::new(
                "doorward_issuer_keys_age_seconds",
                "Time since another issuer's keys were fetched; NaN where there are none",
            ),
            &["issuer"],
        )?;
        registry.register(Box::new(issuer_fetches.clone()))?;
        registry.register(Box::new(issuer_keys.clone()))?;
        registry.register(Box::new(issuer_keys_age.clone()))?;
        gauge("doorward_test_mode", "1 while requests without a token become a test user")?
            .set(i64::from(test_mode));
        let metrics = Self {
            routes: table.routes().iter().map(|route| place(&route.name)).collect(),
            mounts: place("(doorward)"),
            nowhere: place("(none)"),
            auth_failures: counter(
                "doorward_auth_failures_total",
                "Requests refused because their credential was missing or did not hold",
            )?,
            unknown_tiers: counter(
                "doorward_unknown_tier_total",
                "Requests whose token names no configured tier and were held to the default one",
            )?,
            upstream_retries: counter(
                "doorward_upstream_retries_total",
                "Connections to a back end that failed and were tried at another endpoint",
            )?,
            shadowed: counter(
                "doorward_shadow_refusals_total",
                "Requests let through that would have been refused, were their route not in shadow",
            )?,
            connections: gauge("doorward_connections", "Open connections from clients")?,
            connections_refused: counter(
                "doorward_connections_refused_total",
                "Connections closed at once because too many were open",
            )?,
            log_lines_dropped: counter(
                "doorward_access_log_dropped_total",
                "Access log lines that found no room",
            )?,
            cached_tokens: gauge("doorward_token_cache_entries", "Verified tokens kept")?,
            cached_token_bytes: gauge("doorward_token_cache_bytes", "Bytes they take")?,
            revocations: gauge("doorward_revocations", "Revocations kept")?,
            revocations_age: age,
            revocations_stale: gauge(
                "doorward_revocation_stale",
                "1 while the revocations known are older than auth.revocation_stale_after",
            )?,
            revocations_lag: lag,
            counters: gauge("doorward_limit_counters", "Counters of requests kept in memory")?,
            counters_displaced: gauge(
                "doorward_limit_counters_displaced",
                "Counters that made room while they still counted, since the start",
            )?,
            fleet: None,
            old_service_up: gauge(
                "doorward_old_service_up",
                "Whether the service that is replaced is asked about tokens: 0 where it is not beside, \
                 and while it is given a rest",
            )?,
            old_service_questions: counter(
                "doorward_old_service_questions_total",
                "Questions to the service that is replaced whether it has revoked a token",
            )?,
            old_service_unanswered: counter(
                "doorward_old_service_unanswered_total",
                "Requests for which the service that is replaced should have been asked and gave no \
                 answer, or was given a rest",
            )?,
            refusals,
            issuer_fetches,
            raising: Mutex::default(),
            issuer_keys,
            issuer_keys_age,
            registry,
        };
        metrics.registry.register(Box::new(requests))?;
        metrics.registry.register(Box::new(durations))?;
        metrics.registry.register(Box::new(metrics.refusals.clone()))?;
        metrics.registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(metrics)
    }

    /// The same, for a gateway that counts with a fleet.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_fleet(self) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| counter(&self.registry, name, help);
        let gauge = |name: &str, help: &str| gauge(&self.registry, name, help);
        let fleet = FleetMetrics {
            store_up: gauge(
                "doorward_limit_store_up",
                "Whether the fleet's store of counters is asked: 0 while it is given a rest",
            )?,
            store_calls: counter(
                "doorward_limit_store_calls_total",
                "Questions to the fleet's store of counters",
            )?,
            store_losses: counter(
                "doorward_limit_store_losses_total",
                "Questions to the fleet's store of counters without an answer, or not asked for want of one",
            )?,
            unsettled: counter(
                "doorward_limit_unsettled_total",
                "What was let in while the store was lost, and will never be counted there",
            )?,
            gateways: gauge(
                "doorward_gateways",
                "Gateways that the fleet's store of counters has heard of within a minute",
            )?,
        };
        Ok(Self { fleet: Some(fleet), ..self })
    }

    /// Counts a request that is over; `status` 0 where no answer was written.
    pub fn request_done(&self, place: Counted, status: u16, took: Duration) {
        let place = match place {
            Counted::Route(index) => self.routes.get(index).unwrap_or(&self.nowhere),
            Counted::Mount => &self.mounts,
            Counted::Nowhere => &self.nowhere,
        };
        let class = usize::from(status / 100).min(CLASSES.len() - 1);
        place.by_class[class].inc();
        place.duration.observe(took.as_secs_f64());
    }

    /// Counts a refusal.
    pub fn refused(&self, refusal: &Refusal) {
        self.refusals.with_label_values(&[refusal.code().as_str()]).inc();
        if refusal.is_auth_failure() {
            self.auth_failed();
        }
    }

    /// Counts a failure to authenticate that somebody of ours found.
    pub fn auth_failed(&self) {
        self.auth_failures.inc();
    }

    /// Counts a token whose tier is missing or not configured.
    pub fn unknown_tier(&self) {
        self.unknown_tiers.inc();
    }

    /// Counts a request that a route in shadow let through.
    pub fn shadowed(&self) {
        self.shadowed.inc();
    }

    /// Counts a connection that is tried again elsewhere.
    pub fn upstream_retried(&self) {
        self.upstream_retries.inc();
    }

    /// Counts a revocation that came into force here so long after its act was committed.
    pub fn revocation_applied(&self, lag: Duration) {
        self.revocations_lag.observe(lag.as_secs_f64());
    }

    /// Notes how old what is known of revocations is, and whether that is too old for some routes;
    /// called when somebody reads the metrics.
    pub fn note_revocations_age(&self, age: Duration, is_stale: bool) {
        self.revocations_age.set(age.as_secs_f64());
        self.revocations_stale.set(i64::from(is_stale));
    }

    /// Notes how full the tables are; called when somebody reads the metrics.
    pub fn note_tables(&self, cached: (usize, usize), revocations: usize, counters: (usize, u64)) {
        self.cached_tokens.set(cached.0 as i64);
        self.cached_token_bytes.set(cached.1 as i64);
        self.revocations.set(revocations as i64);
        self.counters.set(counters.0 as i64);
        self.counters_displaced.set(counters.1 as i64);
    }

    /// Notes how the fleet's store of counters does; called when somebody reads the metrics.
    pub fn note_fleet(&self, figures: &Figures) {
        let Some(fleet) = &self.fleet else { return };
        self.raise([
            (&fleet.store_calls, figures.asked),
            (&fleet.store_losses, figures.lost),
            (&fleet.unsettled, figures.unsettled),
        ]);
        fleet.store_up.set(i64::from(!figures.rests));
        fleet.gateways.set(figures.gateways.into());
    }

    /// Notes how the service that is replaced does; called when somebody reads the metrics.
    pub fn note_old_service(&self, figures: &old_service::Figures) {
        self.raise([
            (&self.old_service_questions, figures.asked),
            (&self.old_service_unanswered, figures.unanswered),
        ]);
        self.old_service_up.set(i64::from(!figures.rests));
    }

    /// Notes how another issuer stands; called when somebody reads the metrics.
    pub fn note_issuer(&self, standing: &IssuerStanding) {
        let issuer = &*standing.issuer;
        let fetches = |outcome| self.issuer_fetches.with_label_values(&[issuer, outcome]);
        self.raise([(&fetches("ok"), standing.succeeded), (&fetches("failed"), standing.failed)]);
        self.issuer_keys.with_label_values(&[issuer]).set(standing.keys as i64);
        let age = standing.age.map_or(f64::NAN, |age| age.as_secs_f64());
        self.issuer_keys_age.with_label_values(&[issuer]).set(age);
    }

    /// Raises each counter to its total, as somebody else counts it.
    fn raise<const N: usize>(&self, totals: [(&IntCounter, u64); N]) {
        // Of two that read at once, the second must see what the first has added.
        let _alone = self.raising.lock();
        for (counter, total) in totals {
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }

    /// All of it, in the text format.
    pub fn render(&self) -> String {
        text_of(&self.registry)
    }
}

/// What a process without a gateway has to tell: memory, threads, open files, time.
#[derive(Debug)]
pub struct ProcessMetrics(Registry);

impl ProcessMetrics {
    /// Those of this process.
    ///
    /// # Errors
    /// prometheus', should two of them have one name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self(registry))
    }

    /// All of it, in the text format.
    pub fn render(&self) -> String {
        text_of(&self.0)
    }
}

fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    let gauge = IntGauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn text_of(registry: &Registry) -> String {
    let mut text = Vec::new();
    // Writing to a Vec cannot fail, and what fails to encode is left out.
    let _ = TextEncoder::new().encode(&registry.gather(), &mut text);
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        let config = config::embedded(&|_| None, std::path::Path::new(".")).unwrap();
        Metrics::new(&RouteTable::new(&config), false).unwrap()
    }

    #[test]
    fn how_a_fleet_does_is_told_only_where_there_is_one_and_totals_are_not_added_twice() {
        let figures = Figures { asked: 7, lost: 2, unsettled: 1, gateways: 3, rests: false };
        let alone = metrics();
        alone.note_fleet(&figures);
        for name in ["doorward_limit_store", "doorward_limit_unsettled", "doorward_gateways"] {
            assert!(!alone.render().contains(name), "{name}");
        }
        let shared = metrics().with_fleet().unwrap();
        for _ in 0..2 {
            shared.note_fleet(&figures);
        }
        for line in ["store_calls_total 7", "store_losses_total 2", "store_up 1"] {
            assert!(shared.render().contains(&format!("doorward_limit_{line}\n")), "{line}");
        }
        assert!(shared.render().contains("doorward_gateways 3\n"));
    }
}
