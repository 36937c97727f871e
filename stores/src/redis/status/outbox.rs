//! Reports that wait for a Redis that is away: bounded, in the order in which they came.
//!
//! Of each stage of a resource only what would stand in the end waits, where its first report stood. What
//! that is nobody can say without the store where two reports name different owners, or only one of them
//! an attempt: those wait one behind the other.
//!
//! How long a report has waited is told by the machine's [uptime](kernel::time::uptime): a clock that is
//! put right meanwhile makes it no older, and no younger.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kernel::lost::StoreLost;
use kernel::status::Effect;
use kernel::status::NotTaken;
use kernel::status::Report;
use kernel::status::ResourceId;
use kernel::time::Timestamp;
use parking_lot::Mutex;

/// The most bytes of reports that wait, however few they are.
pub(crate) const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// So many that are not sent in a row end a pass: perhaps none can be.
pub(crate) const FAILURES_MAX: usize = 2;

/// What a report weighs beside its texts, and its place among the others.
const REPORT_BYTES: usize = 512;

/// Reports that wait.
#[derive(Debug)]
pub(crate) struct Outbox {
    max: usize,
    bytes_max: usize,
    waiting: Mutex<Waiting>,
    /// How many reports were said.
    said: AtomicU64,
}

/// The stages of one resource on which reports wait, and where those stand.
type Stages = Vec<(Arc<str>, BTreeSet<u64>)>;

#[derive(Debug, Default)]
struct Waiting {
    /// By the number of the first that stood there.
    reports: BTreeMap<u64, Waits>,
    places: HashMap<ResourceId, Stages>,
    bytes: usize,
    /// The place of the one that was given to be sent last.
    tried: u64,
    dropped: u64,
    refused: u64,
}

/// What came of what waited in one pass.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// How many reports were taken in.
    pub(crate) taken: u64,
    /// How many were not, and will not be.
    pub(crate) refused: u64,
    /// The first of those, and why.
    pub(crate) first_refused: Option<(ResourceId, NotTaken)>,
}

#[derive(Clone, Debug)]
struct Waits {
    /// As it was when it was said.
    report: Report,
    /// The uptime when that was.
    said: Duration,
    /// Its number: what is sent meanwhile may not be what waits then.
    number: u64,
}

/// A report that is the next to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Next {
    waits: Waits,
    place: u64,
}

impl Outbox {
    /// Room for `max` reports, and for [`WAITING_BYTES_MAX`].
    pub(crate) fn new(max: NonZeroUsize) -> Self {
        let (waiting, said) = (Mutex::default(), AtomicU64::default());
        Self { max: max.get(), bytes_max: WAITING_BYTES_MAX, waiting, said }
    }

    /// The number of a report that is said now, whether or not it will wait: one more than that of the one
    /// before.
    pub(crate) fn number(&self) -> u64 {
        self.said.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().reports.len()
    }

    /// How many found no room.
    pub(crate) fn dropped(&self) -> u64 {
        self.waiting.lock().dropped
    }

    /// How many had waited, and were not taken in.
    pub(crate) fn refused(&self) -> u64 {
        self.waiting.lock().refused
    }

    /// Whether a report on this stage waits: another one may not overtake it.
    pub(crate) fn has(&self, id: &ResourceId, stage: &Arc<str>) -> bool {
        self.waiting.lock().places(id, stage).is_some()
    }

    /// The reports on a resource that wait, in order, as they would come at `uptime`.
    pub(crate) fn of(&self, id: &ResourceId, uptime: Duration) -> Vec<Report> {
        let waiting = self.waiting.lock();
        let stages = waiting.places.get(id).into_iter().flatten();
        let mut places: Vec<_> = stages.flat_map(|(_, places)| places).collect();
        places.sort_unstable();
        let all = places.into_iter().filter_map(|place| waiting.reports.get(place));
        all.map(|waits| waits.report_at(uptime)).collect()
    }

    /// Has the report of this [`number`](Self::number) wait, which was `said` at that uptime. Where
    /// there is no room the oldest are dropped.
    pub(crate) fn add(&self, report: &Report, number: u64, said: Duration) {
        let mut waiting = self.waiting.lock();
        let waits = Waits { report: report.clone(), said, number };
        let places = waiting.places(&report.id, &report.update.stage);
        match places.and_then(BTreeSet::last).copied() {
            Some(last) if waiting.can_replace(last, &waits) => waiting.replace(last, waits),
            _ => waiting.insert(number, waits),
        }
        while waiting.reports.len() > self.max || waiting.bytes > self.bytes_max {
            waiting.drop_oldest();
        }
    }

    /// Sends what waits, each once, from where it was broken off before; `send` says whether it was taken
    /// in. Nothing on a stage overtakes what waits before it. It ends where the store rests, or so many
    /// in a row get no answer: the next pass goes on from there.
    pub(crate) async fn pass<S>(&self, failures_max: usize, send: impl Fn(Next) -> S) -> Passed
    where
        S: Future<Output = Result<(), NotTaken>>,
    {
        let (mut left, mut passed, mut failures) = (self.len(), Passed::default(), 0);
        while left > 0
            && failures < failures_max
            && let Some(next) = self.next()
        {
            left -= 1;
            match send(next.clone()).await {
                Ok(()) => {
                    self.sent(&next);
                    (passed.taken, failures) = (passed.taken + 1, 0);
                }
                // None would fare better.
                Err(NotTaken::Lost(StoreLost::Resting)) => break,
                // Others may: a cluster may have lost a part of itself.
                Err(NotTaken::Lost(lost)) if lost.concerns_all() => {
                    failures += 1;
                    left = left.saturating_sub(self.behind(&next));
                }
                // It would not be taken another time.
                Err(why) => {
                    self.sent(&next);
                    self.waiting.lock().refused += 1;
                    (passed.refused, failures) = (passed.refused + 1, 0);
                    passed.first_refused.get_or_insert((next.waits.report.id, why));
                }
            }
        }
        passed
    }

    /// How many on the same stage wait until it is sent.
    fn behind(&self, next: &Next) -> usize {
        let Report { id, update, .. } = &next.waits.report;
        let waiting = self.waiting.lock();
        let places = waiting.places(id, &update.stage);
        places.map_or(0, |places| places.range(next.place + 1..).count())
    }

    /// The one that comes after the one before, in the order in which they came, of each stage the first;
    /// after the last, the first of all.
    fn next(&self) -> Option<Next> {
        let mut waiting = self.waiting.lock();
        let later = (Bound::Excluded(waiting.tried), Bound::Unbounded);
        let is_first = |(place, waits): &(&u64, &Waits)| {
            let Report { id, update, .. } = &waits.report;
            waiting.places(id, &update.stage).and_then(BTreeSet::first) == Some(*place)
        };
        let next = waiting.reports.range(later).find(is_first);
        let (place, waits) = next.or_else(|| waiting.reports.first_key_value())?;
        let next = Next { waits: waits.clone(), place: *place };
        waiting.tried = next.place;
        Some(next)
    }

    /// Says that `next` was sent. What has taken its place meanwhile goes on waiting.
    fn sent(&self, next: &Next) {
        let mut waiting = self.waiting.lock();
        if waiting.reports.get(&next.place).is_some_and(|waits| waits.number == next.waits.number) {
            waiting.remove(next.place);
        }
    }
}

impl Waiting {
    /// Where reports on a stage stand; `None`: there are none.
    fn places(&self, id: &ResourceId, stage: &Arc<str>) -> Option<&BTreeSet<u64>> {
        let stages = self.places.get(id)?;
        stages.iter().find(|(name, _)| name == stage).map(|(_, places)| places)
    }

    /// Whether what would stand after both is known without the store.
    fn can_replace(&self, place: u64, next: &Waits) -> bool {
        let says_attempt = |waits: &Waits| waits.report.update.attempt.is_some();
        self.reports.get(&place).is_some_and(|waits| {
            waits.number < next.number
                && waits.report.owner == next.report.owner
                && says_attempt(waits) == says_attempt(next)
        })
    }

    fn insert(&mut self, place: u64, waits: Waits) {
        let Report { id, update, .. } = &waits.report;
        let stages = self.places.entry(id.clone()).or_default();
        match stages.iter_mut().find(|(name, _)| *name == update.stage) {
            Some((_, places)) => _ = places.insert(place),
            None => stages.push((Arc::clone(&update.stage), BTreeSet::from([place]))),
        }
        self.bytes += weight(&waits.report);
        self.reports.insert(place, waits);
    }

    /// Puts `next` in the place of the one there, unless it is outdated by that.
    fn replace(&mut self, place: u64, next: Waits) {
        let Some(waits) = self.reports.get_mut(&place) else { return };
        let state = waits.report.update.state_after(None, Timestamp::default());
        if next.report.update.effect(Some(&state)) != Effect::Outdated {
            self.bytes = self.bytes - weight(&waits.report) + weight(&next.report);
            *waits = next;
        }
    }

    fn remove(&mut self, place: u64) {
        let Some(Waits { report, .. }) = self.reports.remove(&place) else { return };
        self.bytes -= weight(&report);
        if let Some(stages) = self.places.get_mut(&report.id) {
            stages.retain_mut(|(_, places)| {
                places.remove(&place);
                !places.is_empty()
            });
            if stages.is_empty() {
                self.places.remove(&report.id);
            }
        }
    }

    fn drop_oldest(&mut self) {
        let Some(place) = self.reports.first_key_value().map(|(place, _)| *place) else { return };
        self.remove(place);
        self.dropped += 1;
        // The first, and then fewer and fewer.
        if self.dropped.is_power_of_two() {
            tracing::error!(
                dropped = self.dropped,
                "a report of job status was dropped: no more may wait (`status.buffer_max`)"
            );
        }
    }
}

impl Next {
    /// The report, as it comes at `uptime`.
    pub(crate) fn report_at(&self, uptime: Duration) -> Report {
        self.waits.report_at(uptime)
    }

    /// Its number.
    pub(crate) fn number(&self) -> u64 {
        self.waits.number
    }
}

impl Waits {
    fn report_at(&self, uptime: Duration) -> Report {
        Report { waited: uptime.saturating_sub(self.said), ..self.report.clone() }
    }
}

fn weight(report: &Report) -> usize {
    let Report { id, update, owner, .. } = report;
    let name = match id {
        ResourceId::Number(_) => 0,
        ResourceId::Text(text) => text.len(),
    };
    let texts = [&update.message, &update.error_message].into_iter().flatten();
    let texts = texts.map(|text| text.len()).sum::<usize>();
    REPORT_BYTES + name + update.stage.len() + owner.id.len() + texts
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::cell::RefCell;
    use std::future::ready;

    use kernel::status::OtherOwner;
    use kernel::status::Owner;
    use kernel::status::Plan;
    use kernel::status::Update;

    use super::*;

    fn report(id: u64, stage: &str, status: &str, attempt: Option<u32>) -> Report {
        let status = Plan::default().status(status).unwrap();
        let update = Update { attempt, ..Update::new(stage, status) };
        let owner = Owner { id: "ada".into(), is_named: true };
        Report { id: ResourceId::Number(id), update, owner, waited: Duration::ZERO }
    }

    const NOW: Duration = Duration::from_secs(1_000);

    fn outbox(max: usize) -> Outbox {
        Outbox::new(NonZeroUsize::new(max).unwrap())
    }

    fn add(outbox: &Outbox, report: &Report, said: Duration) {
        outbox.add(report, outbox.number(), said);
    }

    /// All that waits, sent in order.
    fn sent(outbox: &Outbox) -> Vec<(String, String)> {
        let mut sent = Vec::new();
        while let Some(next) = outbox.next() {
            outbox.sent(&next);
            let Report { id, update, .. } = next.report_at(NOW);
            sent.push((format!("{id}/{}", update.stage), update.status.name.to_string()));
        }
        sent
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(stage, status)| ((*stage).to_owned(), (*status).to_owned())).collect()
    }

    #[test]
    fn of_each_stage_what_stands_in_the_end_waits_where_its_first_report_stood() {
        let outbox = outbox(10);
        for (id, stage, status) in
            [(1, "graph", "pending"), (2, "graph", "pending"), (1, "graph", "completed")]
        {
            add(&outbox, &report(id, stage, status, None), NOW);
        }
        assert_eq!(outbox.len(), 2);
        assert!(outbox.has(&ResourceId::Number(1), &"graph".into()));
        assert!(!outbox.has(&ResourceId::Number(1), &"quality".into()));
        assert_eq!(sent(&outbox), pairs(&[("1/graph", "completed"), ("2/graph", "pending")]));
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    fn an_older_attempt_does_not_take_the_place_of_a_later_one() {
        let outbox = outbox(10);
        add(&outbox, &report(1, "graph", "processing", Some(2)), NOW);
        add(&outbox, &report(1, "graph", "failed", Some(1)), NOW);
        assert_eq!(sent(&outbox), pairs(&[("1/graph", "processing")]));
    }

    #[test]
    fn at_the_bound_there_is_room_and_past_it_the_oldest_is_dropped_and_counted() {
        let outbox = outbox(3);
        for id in 1..=3 {
            add(&outbox, &report(id, "graph", "pending", None), NOW);
        }
        add(&outbox, &report(1, "graph", "completed", None), NOW);
        assert_eq!((outbox.len(), outbox.dropped()), (3, 0));
        add(&outbox, &report(4, "graph", "pending", None), NOW);
        assert_eq!((outbox.len(), outbox.dropped()), (3, 1));
        let left = [("2/graph", "pending"), ("3/graph", "pending"), ("4/graph", "pending")];
        assert_eq!(sent(&outbox), pairs(&left));
    }

    #[test]
    fn however_few_they_are_their_texts_have_a_bound() {
        let long = |id| {
            let mut report = report(id, "graph", "failed", None);
            report.update.error_message = Some("no".repeat(1000).into());
            report
        };
        let mut outbox = outbox(10);
        outbox.bytes_max = 3 * weight(&long(1));
        for id in 1..=3 {
            add(&outbox, &long(id), NOW);
        }
        assert_eq!((outbox.len(), outbox.dropped()), (3, 0));
        add(&outbox, &report(4, "graph", "failed", None), NOW);
        assert_eq!((outbox.len(), outbox.dropped()), (3, 1));
        // What takes another one's place may be longer.
        add(&outbox, &long(4), NOW);
        assert_eq!((outbox.len(), outbox.dropped()), (3, 1));
        sent(&outbox);
        let waiting = outbox.waiting.lock();
        assert_eq!((waiting.bytes, waiting.places.len()), (0, 0));
    }

    #[test]
    fn what_is_not_sent_waits_until_the_others_have_had_their_turn() {
        let outbox = outbox(10);
        for id in 1..=3 {
            add(&outbox, &report(id, "graph", "pending", None), NOW);
        }
        let tried = [0; 4].map(|_| outbox.next().unwrap().report_at(NOW).id.to_string());
        assert_eq!(tried, ["1", "2", "3", "1"]);
    }

    #[tokio::test]
    async fn a_pass_ends_where_so_many_in_a_row_are_not_sent_and_the_next_goes_on_from_there() {
        let outbox = outbox(10);
        for id in 1..=6 {
            add(&outbox, &report(id, "graph", "pending", None), NOW);
        }
        let pass = async |stuck: &[&str]| {
            let tried = RefCell::new(Vec::new());
            let send = |next: Next| {
                let id = next.report_at(NOW).id.to_string();
                let lost = Err(StoreLost::Late(Duration::ZERO).into());
                let answer = if stuck.contains(&&*id) { lost } else { Ok(()) };
                tried.borrow_mut().push(id);
                ready(answer)
            };
            let sent = outbox.pass(FAILURES_MAX, send).await.taken;
            (sent, tried.into_inner().join(" "))
        };
        let stuck = ["1", "3", "4"];
        // One alone is passed over.
        assert_eq!(pass(&stuck).await, (1, "1 2 3 4".to_owned()));
        assert_eq!(pass(&stuck).await, (2, "5 6 1 3".to_owned()));
        assert_eq!(pass(&stuck).await, (0, "4 1".to_owned()));
        assert_eq!(pass(&[]).await, (3, "3 4 1".to_owned()));
        assert_eq!(outbox.len(), 0);
    }

    #[tokio::test]
    async fn a_pass_ends_where_the_store_rests() {
        let outbox = outbox(10);
        for id in 1..=3 {
            add(&outbox, &report(id, "graph", "pending", None), NOW);
        }
        let asked = Cell::new(0);
        let rests = |_| {
            asked.set(asked.get() + 1);
            ready(Err(StoreLost::Resting.into()))
        };
        assert_eq!((outbox.pass(usize::MAX, rests).await.taken, asked.get()), (0, 1));
        assert_eq!(outbox.len(), 3);
    }

    #[tokio::test]
    async fn what_is_refused_once_it_is_sent_is_not_counted_as_taken_and_waits_no_more() {
        let outbox = outbox(10);
        for id in 1..=4 {
            add(&outbox, &report(id, "graph", "pending", None), NOW);
        }
        let send = |next: Next| {
            let junk = || StoreLost::Answer("junk".into()).into();
            ready(match next.report_at(NOW).id {
                ResourceId::Number(2) => Err(OtherOwner.into()),
                ResourceId::Number(3) => Err(junk()),
                _ => Ok(()),
            })
        };
        let passed = outbox.pass(FAILURES_MAX, send).await;
        assert_eq!((passed.taken, passed.refused), (2, 2));
        let first = passed.first_refused.map(|(id, _)| id);
        assert_eq!(first, Some(ResourceId::Number(2)));
        assert_eq!((outbox.len(), outbox.refused()), (0, 2));
    }

    #[test]
    fn a_report_was_said_when_what_stands_was_said_last() {
        let outbox = outbox(10);
        let at = |ms| NOW + Duration::from_millis(ms);
        let said = || at(9) - outbox.of(&ResourceId::Number(1), at(9)).pop().unwrap().waited;
        add(&outbox, &report(1, "graph", "processing", Some(2)), at(1));
        assert_eq!(said(), at(1));
        add(&outbox, &report(1, "graph", "failed", Some(1)), at(2));
        assert_eq!(said(), at(1), "it is outdated");
        add(&outbox, &report(1, "graph", "processing", Some(2)), at(3));
        assert_eq!(said(), at(3), "it is so still");
        add(&outbox, &report(1, "graph", "completed", None), at(4));
        assert_eq!(said(), at(4));
    }

    #[test]
    fn what_comes_while_it_is_sent_waits_on() {
        let outbox = outbox(3);
        add(&outbox, &report(1, "graph", "pending", None), NOW);
        let next = outbox.next().unwrap();
        add(&outbox, &report(1, "graph", "completed", None), NOW);
        outbox.sent(&next);
        assert_eq!(sent(&outbox), pairs(&[("1/graph", "completed")]));
    }

    /// Of the stage `graph` of resource 1, what waits in order.
    fn on_graph(outbox: &Outbox) -> Vec<(Arc<str>, String)> {
        let all = outbox.of(&ResourceId::Number(1), NOW).into_iter();
        all.map(|report| (report.owner.id, report.update.status.name.to_string())).collect()
    }

    #[test]
    fn whose_a_resource_is_is_left_to_the_store_where_two_owners_wait() {
        let outbox = outbox(9);
        let of = |owner: &str, is_named, status| {
            let owner = Owner { id: owner.into(), is_named };
            Report { owner, ..report(1, "graph", status, None) }
        };
        for (owner, is_named, status) in [
            ("ada", true, "pending"),
            ("bob", true, "processing"),
            ("bob", true, "failed"),
            ("bob", false, "pending"),
            ("ada", true, "completed"),
        ] {
            add(&outbox, &of(owner, is_named, status), NOW);
        }
        let expected =
            [("ada", "pending"), ("bob", "failed"), ("bob", "pending"), ("ada", "completed")];
        let expected = expected.map(|(owner, status)| (owner.into(), status.to_owned()));
        assert_eq!(on_graph(&outbox), expected);
        let statuses = expected.map(|(_, status)| ("1/graph".to_owned(), status));
        assert_eq!(sent(&outbox), statuses);
    }

    #[test]
    fn a_report_without_an_attempt_is_not_put_aside_by_one_with_an_attempt_nor_takes_its_place() {
        let outbox = outbox(9);
        for (status, attempt) in [
            ("pending", None),
            ("completed", None),
            ("pending", Some(1)),
            ("processing", Some(1)),
            ("failed", None),
        ] {
            add(&outbox, &report(1, "graph", status, attempt), NOW);
        }
        let statuses = ["completed", "processing", "failed"];
        assert_eq!(sent(&outbox), pairs(&statuses.map(|status| ("1/graph", status))));
    }

    #[test]
    fn what_was_said_before_but_came_to_wait_after_it_takes_no_place() {
        let outbox = outbox(9);
        let [first, second] = [outbox.number(), outbox.number()];
        outbox.add(&report(1, "graph", "completed", None), second, NOW);
        outbox.add(&report(1, "graph", "processing", None), first, NOW);
        let statuses = ["processing", "completed"];
        assert_eq!(sent(&outbox), pairs(&statuses.map(|status| ("1/graph", status))));
    }

    #[tokio::test]
    async fn nothing_overtakes_what_waits_before_it_on_the_same_stage() {
        let outbox = outbox(9);
        for attempt in [None, Some(1), None] {
            add(&outbox, &report(1, "graph", "processing", attempt), NOW);
        }
        add(&outbox, &report(2, "graph", "processing", None), NOW);
        let tried = RefCell::new(Vec::new());
        let pass = async |fails: &str| {
            let send = |next: Next| {
                let Report { id, update, .. } = next.report_at(NOW);
                let lost = Err(StoreLost::Late(Duration::ZERO).into());
                let answer = if id.to_string() == fails { lost } else { Ok(()) };
                tried.borrow_mut().push((id.to_string(), update.attempt));
                ready(answer)
            };
            outbox.pass(usize::MAX, send).await;
            tried.take()
        };
        let [one, two] = ["1", "2"].map(str::to_owned);
        assert_eq!(pass("1").await, [(one.clone(), None), (two, None)]);
        assert_eq!(pass("").await, [None, Some(1), None].map(|attempt| (one.clone(), attempt)));
        assert_eq!(outbox.len(), 0);
    }
}
