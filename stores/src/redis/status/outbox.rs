//! Reports that wait for a Redis that is away: bounded, in the order in which they came.
//!
//! Of each stage of a resource only what would stand in the end waits, where its first report stood.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use kernel::status::Effect;
use kernel::status::OtherOwner;
use kernel::status::Owner;
use kernel::status::Report;
use kernel::status::ResourceId;
use kernel::time::Timestamp;
use parking_lot::Mutex;

/// Reports that wait.
#[derive(Debug)]
pub(crate) struct Outbox {
    max: usize,
    waiting: Mutex<Waiting>,
}

/// Which stage of which resource.
type Subject = (ResourceId, Arc<str>);

#[derive(Debug, Default)]
struct Waiting {
    /// By when they came.
    reports: BTreeMap<u64, Waits>,
    places: HashMap<Subject, u64>,
    came: u64,
    dropped: u64,
}

#[derive(Clone, Debug)]
struct Waits {
    report: Report,
    /// When it took the place of another one, or came: what is sent meanwhile may not be what waits then.
    since: u64,
}

/// A report that is the next to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Next {
    pub(crate) report: Report,
    place: u64,
    since: u64,
}

impl Outbox {
    /// Room for `max` reports.
    pub(crate) fn new(max: NonZeroUsize) -> Self {
        Self { max: max.get(), waiting: Mutex::default() }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().reports.len()
    }

    /// How many found no room.
    pub(crate) fn dropped(&self) -> u64 {
        self.waiting.lock().dropped
    }

    /// Whether a report on this stage waits: another one may not overtake it.
    pub(crate) fn has(&self, id: &ResourceId, stage: &Arc<str>) -> bool {
        let waiting = self.waiting.lock();
        !waiting.reports.is_empty() && waiting.places.contains_key(&(id.clone(), Arc::clone(stage)))
    }

    /// The reports on a resource that wait, in order.
    pub(crate) fn of(&self, id: &ResourceId) -> Vec<Report> {
        let waiting = self.waiting.lock();
        let all = waiting.reports.values().map(|waits| &waits.report);
        all.filter(|report| report.id == *id).cloned().collect()
    }

    /// Has a report wait. Where there is no room the oldest is dropped.
    ///
    /// # Errors
    /// [`OtherOwner`] where one waits that names another owner.
    pub(crate) fn add(&self, report: &Report) -> Result<(), OtherOwner> {
        let mut waiting = self.waiting.lock();
        waiting.came += 1;
        let since = waiting.came;
        let subject = (report.id.clone(), Arc::clone(&report.update.stage));
        if let Some(place) = waiting.places.get(&subject).copied()
            && let Some(waits) = waiting.reports.get_mut(&place)
        {
            return waits.replace(report, since);
        }
        if waiting.reports.len() >= self.max
            && let Some((_, oldest)) = waiting.reports.pop_first()
        {
            waiting.places.remove(&(oldest.report.id, oldest.report.update.stage));
            waiting.dropped += 1;
            // The first, and then fewer and fewer.
            if waiting.dropped.is_power_of_two() {
                tracing::error!(
                    dropped = waiting.dropped,
                    "a report of job status was dropped: as many wait as may (`status.buffer_max`)"
                );
            }
        }
        waiting.places.insert(subject, since);
        waiting.reports.insert(since, Waits { report: report.clone(), since });
        Ok(())
    }

    /// The one that has waited for longest.
    pub(crate) fn next(&self) -> Option<Next> {
        let waiting = self.waiting.lock();
        let (place, waits) = waiting.reports.first_key_value()?;
        Some(Next { report: waits.report.clone(), place: *place, since: waits.since })
    }

    /// Says that `next` was sent. What has taken its place meanwhile goes on waiting.
    pub(crate) fn sent(&self, next: &Next) {
        let mut waiting = self.waiting.lock();
        if waiting.reports.get(&next.place).is_some_and(|waits| waits.since == next.since) {
            waiting.reports.remove(&next.place);
            waiting.places.remove(&(next.report.id.clone(), Arc::clone(&next.report.update.stage)));
        }
    }
}

impl Waits {
    fn replace(&mut self, report: &Report, since: u64) -> Result<(), OtherOwner> {
        self.report.owner = Owner::settle(Some(&self.report.owner), &report.owner)?;
        self.since = since;
        let waits = self.report.update.state_after(None, Timestamp::default());
        match report.update.effect(Some(&waits)) {
            Effect::Applied => {
                let attempt = report.update.attempt.or(self.report.update.attempt);
                self.report.update = report.update.clone();
                self.report.update.attempt = attempt;
            }
            Effect::Known | Effect::Outdated => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use kernel::status::Plan;
    use kernel::status::Update;

    use super::*;

    fn report(id: u64, stage: &str, status: &str, attempt: Option<u32>) -> Report {
        let status = Plan::default().status(status).unwrap();
        let update = Update { attempt, ..Update::new(stage, status) };
        let owner = Owner { id: "ada".into(), is_named: true };
        Report { id: ResourceId::Number(id), update, owner }
    }

    fn outbox(max: usize) -> Outbox {
        Outbox::new(NonZeroUsize::new(max).unwrap())
    }

    /// All that waits, sent in order.
    fn sent(outbox: &Outbox) -> Vec<(String, String)> {
        let mut sent = Vec::new();
        while let Some(next) = outbox.next() {
            outbox.sent(&next);
            let stage = format!("{}/{}", next.report.id, next.report.update.stage);
            sent.push((stage, next.report.update.status.name.to_string()));
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
            outbox.add(&report(id, stage, status, None)).unwrap();
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
        outbox.add(&report(1, "graph", "processing", Some(2))).unwrap();
        outbox.add(&report(1, "graph", "failed", Some(1))).unwrap();
        assert_eq!(sent(&outbox), pairs(&[("1/graph", "processing")]));
    }

    #[test]
    fn at_the_bound_there_is_room_and_past_it_the_oldest_is_dropped_and_counted() {
        let outbox = outbox(3);
        for id in 1..=3 {
            outbox.add(&report(id, "graph", "pending", None)).unwrap();
        }
        outbox.add(&report(1, "graph", "completed", None)).unwrap();
        assert_eq!((outbox.len(), outbox.dropped()), (3, 0));
        outbox.add(&report(4, "graph", "pending", None)).unwrap();
        assert_eq!((outbox.len(), outbox.dropped()), (3, 1));
        let left = [("2/graph", "pending"), ("3/graph", "pending"), ("4/graph", "pending")];
        assert_eq!(sent(&outbox), pairs(&left));
    }

    #[test]
    fn what_comes_while_it_is_sent_waits_on() {
        let outbox = outbox(3);
        outbox.add(&report(1, "graph", "pending", None)).unwrap();
        let next = outbox.next().unwrap();
        outbox.add(&report(1, "graph", "completed", None)).unwrap();
        outbox.sent(&next);
        assert_eq!(sent(&outbox), pairs(&[("1/graph", "completed")]));
    }

    #[test]
    fn another_owner_is_refused_while_it_waits_too() {
        let outbox = outbox(3);
        outbox.add(&report(1, "graph", "pending", None)).unwrap();
        let mut other = report(1, "graph", "failed", None);
        other.owner.id = "bob".into();
        assert_eq!(outbox.add(&other), Err(OtherOwner));
        assert_eq!(sent(&outbox), pairs(&[("1/graph", "pending")]));
    }
}
