//! Records of job status in this process's memory.
//!
//! One lock for all: a report is a few moves of small things, and a process that has no Redis has no
//! more reports than one lock bears. The number of resources is bounded; when it is reached, the one
//! that was not reported on for longest makes room, for it is the first to be forgotten anyway.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kernel::lost::StoreLost;
use kernel::status::CHANGES_KEPT_MAX;
use kernel::status::Change;
use kernel::status::Cursor;
use kernel::status::NotTaken;
use kernel::status::Owner;
use kernel::status::Page;
use kernel::status::Plan;
use kernel::status::Record;
use kernel::status::Report;
use kernel::status::ResourceId;
use kernel::status::Since;
use kernel::status::StatusStore;
use kernel::status::Taken;
use kernel::time::Timestamp;
use parking_lot::Mutex;

use crate::listeners::Listeners;

/// How many resources are kept unless it is said otherwise: some 60 MB with ten changes each.
pub const RESOURCES_MAX: NonZeroUsize = NonZeroUsize::new(20_000).expect("it is not zero");

/// How many that are kept no more are forgotten whenever one is reported on.
const FORGOTTEN_PER_REPORT: usize = 4;

/// Records in memory.
#[derive(Debug)]
pub struct MemoryStatus {
    plan: Arc<Plan>,
    ttl: Duration,
    resources_max: usize,
    table: Mutex<Table>,
    listeners: Arc<Listeners>,
    displaced: AtomicU64,
}

/// By when something was reported on last.
type ByAge = BTreeSet<(Timestamp, ResourceId)>;

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<ResourceId, Entry>,
    by_age: ByAge,
    by_owner: HashMap<Arc<str>, ByAge>,
}

#[derive(Debug)]
struct Entry {
    record: Record,
    /// The last of them, in order.
    changes: VecDeque<Arc<Change>>,
}

impl MemoryStatus {
    /// An empty store of at most `resources_max` resources, each kept for `ttl`; what changes is told
    /// to `listeners`.
    pub fn new(
        plan: Arc<Plan>,
        ttl: Duration,
        resources_max: NonZeroUsize,
        listeners: Arc<Listeners>,
    ) -> Self {
        Self {
            plan,
            ttl,
            resources_max: resources_max.get(),
            table: Mutex::default(),
            listeners,
            displaced: AtomicU64::new(0),
        }
    }

    /// How many resources are kept.
    pub fn resources(&self) -> usize {
        self.table.lock().entries.len()
    }

    /// How many had to make room while they were still to be kept; if this grows, the maximum is too
    /// low.
    pub fn displaced(&self) -> u64 {
        self.displaced.load(Ordering::Relaxed)
    }

    /// Takes a report in: [`StatusStore::put`] without waiting.
    ///
    /// # Errors
    /// [`NotTaken::OtherOwner`].
    pub fn put_now(&self, report: &Report, now: Timestamp) -> Result<Taken, NotTaken> {
        let mut table = self.table.lock();
        table.forget_old(now, self.ttl);
        if table.living(&report.id, self.ttl, now).is_none() {
            table.forget(&report.id);
            if table.entries.len() >= self.resources_max {
                table.forget_oldest();
                self.displaced.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (taken, change) = table.take(report, &self.plan, now)?;
        if let Some(change) = change {
            // Under the lock: whoever is told two changes is told them in order.
            self.listeners.tell(&report.id, || change);
        }
        Ok(taken)
    }

    /// What is known of a resource: [`StatusStore::get`] without waiting.
    pub fn get_now(&self, id: &ResourceId, now: Timestamp) -> Option<Record> {
        self.table.lock().living(id, self.ttl, now).map(|entry| entry.record.clone())
    }

    fn list_now(&self, owner: &str, after: Option<&Cursor>, limit: usize, now: Timestamp) -> Page {
        let table = self.table.lock();
        let Some(all) = table.by_owner.get(owner) else { return Page::default() };
        let mut records: Vec<_> = match after {
            Some(after) => all.range(..(after.at, after.id.clone())),
            None => all.range::<(Timestamp, ResourceId), _>(..),
        }
        .rev()
        .filter_map(|(_, id)| table.living(id, self.ttl, now))
        .take(limit.saturating_add(1))
        .map(|entry| entry.record.clone())
        .collect();
        let is_last = records.len() <= limit;
        records.truncate(limit);
        let last = records.last().filter(|_| !is_last);
        let next = last.map(|last| Cursor { at: last.updated_at, id: last.id.clone() });
        Page { records, next }
    }

    fn since_now(&self, id: &ResourceId, version: u64, now: Timestamp) -> Since {
        let table = self.table.lock();
        let Some(entry) = table.living(id, self.ttl, now) else { return Since::Missed };
        let newer = entry.changes.iter().filter(|change| change.version > version);
        let newer: Vec<_> = newer.map(|change| Change::clone(change)).collect();
        // Each goes on from the one before it.
        let begins_at = newer.first().map_or(entry.record.version, |first| first.previous);
        if begins_at == version && version > 0 { Since::Changes(newer) } else { Since::Missed }
    }
}

impl Table {
    fn living(&self, id: &ResourceId, ttl: Duration, now: Timestamp) -> Option<&Entry> {
        let entry = self.entries.get(id);
        entry.filter(|entry| now < entry.record.updated_at.plus(ttl))
    }

    fn take(
        &mut self,
        report: &Report,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<(Taken, Option<Arc<Change>>), NotTaken> {
        let new = || Entry { record: Record::new(report.id.clone()), changes: VecDeque::new() };
        let entry = self.entries.entry(report.id.clone()).or_insert_with(new);
        let before = (entry.record.updated_at, entry.record.owner.clone());
        let (effect, change) = entry.record.take(report, plan, now)?;
        let change = change.map(Arc::new);
        if let Some(change) = &change {
            if entry.changes.len() == CHANGES_KEPT_MAX {
                entry.changes.pop_front();
            }
            entry.changes.push_back(Arc::clone(change));
        }
        let record = entry.record.clone();
        if (record.updated_at, &record.owner) != (before.0, &before.1) {
            self.leave_lists((before.0, report.id.clone()), before.1.as_ref());
            self.enter_lists((record.updated_at, report.id.clone()), record.owner.as_ref());
        }
        Ok((Taken { record, effect }, change))
    }

    fn enter_lists(&mut self, place: (Timestamp, ResourceId), owner: Option<&Owner>) {
        if let Some(owner) = owner {
            self.by_owner.entry(Arc::clone(&owner.id)).or_default().insert(place.clone());
        }
        self.by_age.insert(place);
    }

    fn leave_lists(&mut self, place: (Timestamp, ResourceId), owner: Option<&Owner>) {
        self.by_age.remove(&place);
        if let Some(owner) = owner
            && let Some(all) = self.by_owner.get_mut(&owner.id)
        {
            all.remove(&place);
            if all.is_empty() {
                self.by_owner.remove(&owner.id);
            }
        }
    }

    fn forget(&mut self, id: &ResourceId) {
        if let Some(Entry { record, .. }) = self.entries.remove(id) {
            self.leave_lists((record.updated_at, record.id), record.owner.as_ref());
        }
    }

    /// Forgets a few of those that are kept no more.
    fn forget_old(&mut self, now: Timestamp, ttl: Duration) {
        for _ in 0..FORGOTTEN_PER_REPORT {
            match self.by_age.first() {
                Some((reported, _)) if reported.plus(ttl) <= now => self.forget_oldest(),
                _ => return,
            }
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.by_age.first().cloned() {
            self.forget(&id);
        }
    }
}

impl StatusStore for MemoryStatus {
    async fn put(&self, report: &Report, now: Timestamp) -> Result<Taken, NotTaken> {
        self.put_now(report, now)
    }

    async fn get(&self, id: &ResourceId, now: Timestamp) -> Result<Option<Record>, StoreLost> {
        Ok(self.get_now(id, now))
    }

    async fn list(
        &self,
        owner: &str,
        after: Option<&Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, StoreLost> {
        Ok(self.list_now(owner, after, limit, now))
    }

    async fn since(
        &self,
        id: &ResourceId,
        version: u64,
        now: Timestamp,
    ) -> Result<Since, StoreLost> {
        Ok(self.since_now(id, version, now))
    }
}

#[cfg(test)]
mod tests {
    use kernel::status::Standing;
    use kernel::status::TTL;
    use kernel::status::Update;
    use kernel::status::conformance;

    use super::*;
    use crate::listeners::Heard;

    fn store(resources_max: usize) -> MemoryStatus {
        let resources_max = NonZeroUsize::new(resources_max).unwrap();
        MemoryStatus::new(Arc::default(), TTL, resources_max, Arc::default())
    }

    kernel::status_conformance!(store(100_000));

    fn report(id: u64) -> Report {
        let status = Plan::default().status("pending").unwrap();
        let update = Update::new("graph", status);
        let owner = Owner { id: "ada".into(), is_named: true };
        Report { id: ResourceId::Number(id), update, owner, waited: Duration::ZERO }
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + ms)
    }

    #[test]
    fn at_the_bound_the_one_that_was_not_reported_on_for_longest_makes_room() {
        let store = store(3);
        for id in 1..=3 {
            store.put_now(&report(id), at(id)).unwrap();
        }
        store.put_now(&report(1), at(4)).unwrap();
        assert_eq!((store.resources(), store.displaced()), (3, 0));
        store.put_now(&report(4), at(5)).unwrap();
        assert_eq!((store.resources(), store.displaced()), (3, 1));
        let known = |id| store.get_now(&ResourceId::Number(id), at(6)).is_some();
        assert_eq!([1, 2, 3, 4].map(known), [true, false, true, true]);
    }

    #[test]
    fn what_is_kept_no_more_is_forgotten_as_reports_come_by() {
        let store = store(100);
        for id in 0..20 {
            store.put_now(&report(id), at(0)).unwrap();
        }
        for id in 100..105 {
            store.put_now(&report(id), at(0).plus(TTL)).unwrap();
        }
        assert_eq!(store.resources(), 5);
        let table = store.table.lock();
        assert_eq!((table.by_age.len(), table.by_owner.len()), (5, 1));
    }

    #[tokio::test]
    async fn configured_stages_and_statuses_are_taken_in_as_a_record_takes_them() {
        let further = [("skipped", Standing::Completed), ("paused", Standing::Pending)];
        let plan = Arc::new(Plan::new(["fetch", "parse", "index"], further));
        let resources_max = NonZeroUsize::new(100).unwrap();
        let store = MemoryStatus::new(Arc::clone(&plan), TTL, resources_max, Arc::default());
        conformance::agrees_with_a_record_by(&plan, &store).await;
    }

    #[test]
    fn a_report_that_is_refused_changes_no_list() {
        let store = store(10);
        store.put_now(&report(1), at(0)).unwrap();
        let owner = Owner { id: "bob".into(), is_named: true };
        let refused = store.put_now(&Report { owner, ..report(1) }, at(1));
        assert!(matches!(refused, Err(NotTaken::OtherOwner(_))), "{refused:?}");
        let table = store.table.lock();
        let place = (at(0), ResourceId::Number(1));
        assert_eq!(table.by_age, ByAge::from([place.clone()]));
        assert_eq!(table.by_owner, HashMap::from([("ada".into(), ByAge::from([place]))]));
    }

    #[tokio::test]
    async fn whoever_listens_hears_of_a_report() {
        let store = store(10);
        let mut listener = store.listeners.listen(&ResourceId::Number(1), "ada").unwrap();
        listener.is_at(store.put_now(&report(1), at(0)).unwrap().record.version);
        let mut next = report(1);
        next.update.completed = Some(1);
        let taken = store.put_now(&next, at(0)).unwrap();
        let Heard::Change(change) = listener.next().await else { panic!("no change") };
        assert_eq!(change.version, taken.record.version);
    }
}
