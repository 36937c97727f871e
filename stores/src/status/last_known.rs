//! What was known of resources last, for while the store is away.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use kernel::status::Record;
use kernel::status::ResourceId;
use kernel::status::StageState;
use kernel::time::Timestamp;
use kernel::time::uptime;
use parking_lot::Mutex;

/// Of how many resources it is remembered what was known last, for while the store is away.
const LAST_KNOWN_MAX: usize = 10_000;

/// The most bytes of that, however few they are.
const LAST_KNOWN_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What was known of resources when they were seen here last, of some thousands of them.
#[derive(Debug)]
pub(super) struct LastKnown {
    /// The younger ones, and those of before.
    known: Mutex<[Known; 2]>,
    /// How long the store keeps a record.
    ttl: Duration,
}

#[derive(Debug, Default)]
struct Known {
    records: HashMap<ResourceId, Learned>,
    bytes: usize,
}

/// A record, and when it was learned, by the machine's uptime.
#[derive(Clone, Debug)]
struct Learned {
    record: Arc<Record>,
    at: Duration,
}

impl LastKnown {
    pub(super) fn new(ttl: Duration) -> Self {
        Self { known: Mutex::default(), ttl }
    }

    /// Remembers what the store has answered to somebody who asked at `asked_at`, by the machine's uptime. Of
    /// two answers to questions that overlap either may come last: the later version stands.
    ///
    /// What is long to do is done without the lock: copies are made before it, and freed after it.
    pub(super) fn remember(&self, record: &Record, asked_at: Duration) {
        let (id, added) = (record.id.clone(), weight(record));
        if added > LAST_KNOWN_BYTES_MAX / 2 {
            // Nothing is better than what it is no more.
            return self.forget(&id, asked_at);
        }
        let learned = Learned { record: Arc::new(record.clone()), at: uptime() };
        let mut known = self.known.lock();
        let is_later = |held: &Learned| held.at >= asked_at && held.record.version > record.version;
        if known.iter().any(|some| some.records.get(&id).is_some_and(is_later)) {
            return;
        }
        let [young, old] = &mut *known;
        let before = young.remove(&id);
        let is_full = young.records.len() >= LAST_KNOWN_MAX / 2
            || young.bytes + added > LAST_KNOWN_BYTES_MAX / 2;
        // Those that were not seen since the last time go.
        let gone = is_full.then(|| mem::replace(old, mem::take(young)));
        young.bytes += added;
        young.records.insert(id, learned);
        drop(known);
        drop((before, gone));
    }

    /// Forgets one that is there no more, as the store has answered to somebody who asked at `asked_at`; not
    /// what was learned since.
    pub(super) fn forget(&self, id: &ResourceId, asked_at: Duration) {
        let mut known = self.known.lock();
        let gone = known.each_mut().map(|some| {
            let is_earlier = some.records.get(id).is_some_and(|held| held.at < asked_at);
            is_earlier.then(|| some.remove(id))
        });
        drop(known);
        drop(gone);
    }

    /// What was known last, unless that is over by `now`.
    pub(super) fn of(&self, id: &ResourceId, now: Timestamp) -> Option<Record> {
        let known = self.known.lock();
        let learned = known.iter().find_map(|some| some.records.get(id)).cloned();
        drop(known);
        let record = learned?.record;
        (now < record.updated_at.plus(self.ttl)).then(|| Record::clone(&record))
    }
}

impl Known {
    fn remove(&mut self, id: &ResourceId) -> Option<Learned> {
        let learned = self.records.remove(id)?;
        self.bytes -= weight(&learned.record);
        Some(learned)
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
    use kernel::status::TTL;
    use kernel::status::Update;

    use super::*;

    fn record(id: u64) -> Record {
        let owner = Owner { id: "ada".into(), is_named: true };
        Record { owner: Some(owner), ..Record::new(ResourceId::Number(id)) }
    }

    #[test]
    fn what_was_seen_last_is_remembered_of_a_bounded_number() {
        let known = LastKnown::new(TTL);
        let half = LAST_KNOWN_MAX as u64 / 2;
        for id in 0..2 * half {
            known.remember(&record(id), uptime());
        }
        assert!(known.of(&ResourceId::Number(0), Timestamp::default()).is_some(), "at the bound");
        known.remember(&record(2 * half), uptime());
        assert!(known.of(&ResourceId::Number(0), Timestamp::default()).is_none(), "one past it");
        assert!(known.of(&ResourceId::Number(half), Timestamp::default()).is_some());
        let remembered = known.known.lock().iter().map(|some| some.records.len()).sum::<usize>();
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
        let known = LastKnown::new(TTL);
        let knows = |id| known.of(&ResourceId::Number(id), Timestamp::default()).is_some();
        for id in 0..4 {
            known.remember(&of_weight(id, half / 2), uptime());
        }
        assert!((0..4).all(knows), "at the bound");
        known.remember(&record(4), uptime());
        assert_eq!([0, 1, 2, 3, 4].map(knows), [false, false, true, true, true], "one past it");
        // What is seen again has its place already.
        for _ in 0..9 {
            known.remember(&of_weight(4, half / 2), uptime());
        }
        assert!(knows(2));
        known.remember(&of_weight(5, half), uptime());
        assert!(knows(5), "a half is the most of one");
        known.remember(&of_weight(5, half + 1), uptime());
        assert!(!knows(5), "one past it");
        let weigh = |some: &Known| {
            some.records.values().map(|learned| weight(&learned.record)).sum::<usize>()
        };
        for some in &*known.known.lock() {
            assert_eq!(some.bytes, weigh(some));
        }
    }

    #[test]
    fn an_answer_that_was_overtaken_does_not_stand_in_for_a_later_one() {
        let known = LastKnown::new(TTL);
        let of = |version| Record { version, ..record(1) };
        let version = || known.of(&ResourceId::Number(1), Timestamp::default()).unwrap().version;
        let asked_at = uptime();
        known.remember(&of(6), uptime());
        known.remember(&of(5), asked_at);
        assert_eq!(version(), 6, "they overlap");
        known.remember(&of(5), after(&known, 1));
        assert_eq!(version(), 5, "the store has lost what came after it");
        known.forget(&ResourceId::Number(1), asked_at);
        assert_eq!(version(), 5, "it was not there before that");
    }

    /// A moment after that at which a resource was learned last.
    fn after(known: &LastKnown, id: u64) -> Duration {
        let learned = known.known.lock()[0].records[&ResourceId::Number(id)].at;
        loop {
            let now = uptime();
            if now > learned {
                return now;
            }
        }
    }

    #[test]
    fn what_is_over_is_not_shown_and_what_is_forgotten_is_not_either() {
        let known = LastKnown::new(TTL);
        let said = Timestamp::from_secs(1000);
        known.remember(&Record { updated_at: said, ..record(1) }, uptime());
        let is_shown = |now| known.of(&ResourceId::Number(1), now).is_some();
        let over = said.plus(TTL);
        assert!(is_shown(over.minus(Duration::from_millis(1))), "at the last");
        assert!(!is_shown(over), "one past it");
        known.forget(&ResourceId::Number(1), after(&known, 1));
        assert!(!is_shown(said));
        assert_eq!(known.known.lock().each_ref().map(|some| some.bytes), [0, 0]);
    }
}
