//! What was known of resources last, for while the store is away.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use kernel::status::Record;
use kernel::status::ResourceId;
use kernel::status::StageState;
use parking_lot::Mutex;

/// Of how many resources it is remembered what was known last, for while the store is away.
const LAST_KNOWN_MAX: usize = 10_000;

/// The most bytes of that, however few they are.
const LAST_KNOWN_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What was known of resources when they were seen here last, of some thousands of them.
#[derive(Debug, Default)]
pub(super) struct LastKnown(Mutex<[Known; 2]>);

#[derive(Debug, Default)]
struct Known {
    records: HashMap<ResourceId, Arc<Record>>,
    bytes: usize,
}

impl LastKnown {
    /// What is long to do is done without the lock: copies are made before it, and freed after it.
    pub(super) fn remember(&self, record: &Record) {
        let (id, added) = (record.id.clone(), weight(record));
        let record = (added <= LAST_KNOWN_BYTES_MAX / 2).then(|| Arc::new(record.clone()));
        let mut known = self.0.lock();
        let [young, old] = &mut *known;
        let Some(record) = record else {
            // Nothing is better than what it is no more.
            let gone = (young.remove(&id), old.remove(&id));
            drop(known);
            drop(gone);
            return;
        };
        let before = young.remove(&id);
        let is_full = young.records.len() >= LAST_KNOWN_MAX / 2
            || young.bytes + added > LAST_KNOWN_BYTES_MAX / 2;
        // Those that were not seen since the last time go.
        let gone = is_full.then(|| mem::replace(old, mem::take(young)));
        young.bytes += added;
        young.records.insert(id, record);
        drop(known);
        drop((before, gone));
    }

    pub(super) fn of(&self, id: &ResourceId) -> Option<Record> {
        let known = self.0.lock();
        let record = known.iter().find_map(|some| some.records.get(id)).cloned();
        drop(known);
        record.as_deref().cloned()
    }
}

impl Known {
    fn remove(&mut self, id: &ResourceId) -> Option<Arc<Record>> {
        let record = self.records.remove(id)?;
        self.bytes -= weight(&record);
        Some(record)
    }
}

/// What a record weighs beside its stages: names, and its place among the others.
const RECORD_BYTES: usize = 1024;

/// What a stage weighs beside its texts.
const STAGE_BYTES: usize = 256;

fn weight(record: &Record) -> usize {
    let texts = |texts: [&Option<Arc<str>>; 2]| {
        texts.into_iter().flatten().map(|text| text.len()).sum::<usize>()
    };
    let stage = |(name, state): &(Arc<str>, StageState)| {
        let texts = texts([&state.message, &state.error_message]);
        STAGE_BYTES + name.len() + state.status.name.len() + texts
    };
    RECORD_BYTES + record.stages.iter().map(stage).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use kernel::status::Owner;
    use kernel::status::Plan;
    use kernel::status::Update;
    use kernel::time::Timestamp;

    use super::*;

    fn record(id: u64) -> Record {
        let owner = Owner { id: "ada".into(), is_named: true };
        Record { owner: Some(owner), ..Record::new(ResourceId::Number(id)) }
    }

    #[test]
    fn what_was_seen_last_is_remembered_of_a_bounded_number() {
        let known = LastKnown::default();
        let half = LAST_KNOWN_MAX as u64 / 2;
        for id in 0..2 * half {
            known.remember(&record(id));
        }
        assert!(known.of(&ResourceId::Number(0)).is_some(), "at the bound");
        known.remember(&record(2 * half));
        assert!(known.of(&ResourceId::Number(0)).is_none(), "one past it");
        assert!(known.of(&ResourceId::Number(half)).is_some());
        let remembered = known.0.lock().iter().map(|some| some.records.len()).sum::<usize>();
        assert!(remembered <= LAST_KNOWN_MAX);
    }

    /// A record that weighs so much.
    fn of_weight(id: u64, bytes: usize) -> Record {
        let mut record = record(id);
        let update = Update::new("graph", Plan::default().status("failed").unwrap());
        let mut state = update.state_after(None, Timestamp::default());
        record.put(&"graph".into(), state.clone(), &Plan::default());
        state.message = Some("m".repeat(bytes - weight(&record)).into());
        record.put(&"graph".into(), state, &Plan::default());
        record
    }

    #[test]
    fn however_few_are_remembered_their_texts_have_a_bound() {
        let half = LAST_KNOWN_BYTES_MAX / 2;
        let known = LastKnown::default();
        let knows = |id| known.of(&ResourceId::Number(id)).is_some();
        for id in 0..4 {
            known.remember(&of_weight(id, half / 2));
        }
        assert!((0..4).all(knows), "at the bound");
        known.remember(&record(4));
        assert_eq!([0, 1, 2, 3, 4].map(knows), [false, false, true, true, true], "one past it");
        // What is seen again has its place already.
        for _ in 0..9 {
            known.remember(&of_weight(4, half / 2));
        }
        assert!(knows(2));
        known.remember(&of_weight(5, half));
        assert!(knows(5), "a half is the most of one");
        known.remember(&of_weight(5, half + 1));
        assert!(!knows(5), "one past it");
        let weigh =
            |some: &Known| some.records.values().map(|record| weight(record)).sum::<usize>();
        for some in &*known.0.lock() {
            assert_eq!(some.bytes, weigh(some));
        }
    }
}
