//! Who waits for changes of which resource in this process, and what they have yet to hear.
//!
//! There is no queue of anybody's own: the last changes of a resource stand in one place, and each
//! listener reads on from where it is. Whoever is so slow that they are there no more is told that
//! something was missed, and asks for the record itself.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

use kernel::status::CHANGES_KEPT_MAX;
use kernel::status::Change;
use kernel::status::Record;
use kernel::status::ResourceId;
use parking_lot::Mutex;
use tokio::sync::watch;

/// The most listeners of one process.
pub const LISTENERS_MAX: usize = 10_000;

/// All listeners of this process.
#[derive(Debug, Default)]
pub struct Listeners {
    topics: Mutex<Topics>,
}

#[derive(Debug, Default)]
struct Topics {
    by_id: HashMap<ResourceId, Arc<Topic>>,
    listening: usize,
}

/// One resource that somebody listens to.
#[derive(Debug)]
struct Topic {
    heard: Mutex<Latest>,
    /// Moves whenever there is something to hear.
    news: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Latest {
    listening: usize,
    /// The greatest version that anybody here knows of.
    version: u64,
    /// Changes, each a version after the other.
    changes: VecDeque<Arc<Change>>,
    /// What stands in for changes that were missed.
    record: Option<Arc<Record>>,
}

/// There are as many listeners as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{LISTENERS_MAX} listen already")]
pub struct TooManyListeners;

/// Somebody who listens to one resource, until dropped.
#[derive(Debug)]
pub struct Listener {
    id: ResourceId,
    all: Arc<Listeners>,
    topic: Arc<Topic>,
    news: watch::Receiver<()>,
    /// The version up to which everything was heard.
    version: u64,
}

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The next change.
    Change(Arc<Change>),
    /// The record as it is: changes before it were missed.
    Record(Arc<Record>),
    /// Changes were missed: the record is to be asked for, and its version
    /// [told](Listener::is_at).
    Missed,
}

impl Listeners {
    /// Begins to listen. What is read of the resource from then on, and
    /// [told](Listener::is_at), is followed by what is heard without a gap.
    ///
    /// # Errors
    /// [`TooManyListeners`].
    pub fn listen(self: &Arc<Self>, id: &ResourceId) -> Result<Listener, TooManyListeners> {
        let mut topics = self.topics.lock();
        if topics.listening >= LISTENERS_MAX {
            return Err(TooManyListeners);
        }
        topics.listening += 1;
        let topic = topics.by_id.entry(id.clone()).or_insert_with(|| {
            Arc::new(Topic { heard: Mutex::default(), news: watch::Sender::new(()) })
        });
        topic.heard.lock().listening += 1;
        Ok(Listener {
            id: id.clone(),
            all: Arc::clone(self),
            news: topic.news.subscribe(),
            topic: Arc::clone(topic),
            version: 0,
        })
    }

    /// How many listen.
    pub fn listening(&self) -> usize {
        self.topics.lock().listening
    }

    /// Tells a change to whoever listens to `id`.
    pub(crate) fn tell(&self, id: &ResourceId, change: impl FnOnce() -> Arc<Change>) {
        let Some(topic) = self.topics.lock().by_id.get(id).cloned() else { return };
        topic.tell(change());
    }

    /// The resources that are listened to, each with the greatest version that is known of it here.
    pub fn known(&self) -> Vec<(ResourceId, u64)> {
        let topics = self.topics.lock();
        let known =
            |(id, topic): (&ResourceId, &Arc<Topic>)| (id.clone(), topic.heard.lock().version);
        topics.by_id.iter().map(known).collect()
    }

    /// Tells whoever listens to a resource how that stands, whatever was missed.
    pub fn renew(&self, record: Record) {
        let topic = self.topics.lock().by_id.get(&record.id).cloned();
        if let Some(topic) = topic {
            topic.renew(record);
        }
    }
}

impl Topic {
    fn tell(&self, change: Arc<Change>) {
        let mut heard = self.heard.lock();
        let last = heard.changes.back().map(|last| last.version);
        if last.is_some_and(|last| change.version <= last) {
            return;
        }
        if last.is_some_and(|last| change.version != last + 1) {
            heard.changes.clear();
        }
        if heard.changes.len() == CHANGES_KEPT_MAX {
            heard.changes.pop_front();
        }
        heard.version = heard.version.max(change.version);
        heard.changes.push_back(change);
        drop(heard);
        self.news.send_replace(());
    }

    fn renew(&self, record: Record) {
        let mut heard = self.heard.lock();
        if record.version <= heard.version {
            return;
        }
        heard.version = record.version;
        heard.changes.clear();
        heard.record = Some(Arc::new(record));
        drop(heard);
        self.news.send_replace(());
    }
}

impl Latest {
    /// What is next for somebody who has heard all up to `version`.
    fn after(&self, version: u64) -> Option<Heard> {
        let record = self.record.as_ref().filter(|record| record.version > version);
        let next = self.changes.iter().find(|change| change.version > version);
        match (next, record) {
            (Some(next), _) if next.version == version + 1 => Some(Heard::Change(Arc::clone(next))),
            (_, Some(record)) => Some(Heard::Record(Arc::clone(record))),
            (Some(_), None) => Some(Heard::Missed),
            (None, None) => None,
        }
    }
}

impl Listener {
    /// Says up to which version all is known.
    pub fn is_at(&mut self, version: u64) {
        self.version = self.version.max(version);
        let mut heard = self.topic.heard.lock();
        heard.version = heard.version.max(version);
    }

    /// Passes over what stands to be heard, and says up to which version that was.
    pub fn skip(&mut self) -> u64 {
        self.version = self.topic.heard.lock().version.max(self.version);
        self.version
    }

    /// Waits for what is next.
    pub async fn next(&mut self) -> Heard {
        loop {
            self.news.mark_unchanged();
            let heard = self.topic.heard.lock().after(self.version);
            match &heard {
                Some(Heard::Change(change)) => self.version = change.version,
                Some(Heard::Record(record)) => self.version = record.version,
                Some(Heard::Missed) | None => {}
            }
            if let Some(heard) = heard {
                return heard;
            }
            // The sender is in the topic, which we hold.
            let _ = self.news.changed().await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut topics = self.all.topics.lock();
        topics.listening -= 1;
        let is_last = {
            let mut heard = self.topic.heard.lock();
            heard.listening -= 1;
            heard.listening == 0
        };
        if is_last {
            topics.by_id.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use kernel::status::Owner;
    use kernel::status::Plan;
    use kernel::status::Update;
    use kernel::time::Timestamp;

    use super::*;

    fn id() -> ResourceId {
        ResourceId::Number(42)
    }

    /// A record, and its changes as they are told.
    struct Teller {
        record: Record,
        listeners: Arc<Listeners>,
        said: u64,
    }

    impl Teller {
        fn new() -> Self {
            Self { record: Record::new(id()), listeners: Arc::default(), said: 0 }
        }

        fn changes(&mut self) -> Arc<Change> {
            let plan = Plan::default();
            self.said += 1;
            let processing = plan.status("processing").unwrap();
            let update = Update { completed: Some(self.said), ..Update::new("graph", processing) };
            let owner = Owner { id: "ada".into(), is_named: true };
            let now = Timestamp::from_millis(1000);
            Arc::new(self.record.take(&update, &owner, &plan, now).unwrap().1.unwrap())
        }

        fn tells(&mut self) -> u64 {
            let change = self.changes();
            let version = change.version;
            self.listeners.tell(&id(), || change);
            version
        }
    }

    fn version(heard: Heard) -> u64 {
        match heard {
            Heard::Change(change) => change.version,
            other => panic!("no change: {other:?}"),
        }
    }

    #[tokio::test]
    async fn each_hears_every_change_in_order_from_where_it_is() {
        let mut teller = Teller::new();
        let [mut first, mut second] = [0; 2].map(|_| teller.listeners.listen(&id()).unwrap());
        let versions = [0; 3].map(|_| teller.tells());
        first.is_at(versions[0]);
        second.is_at(versions[1]);
        assert_eq!(version(first.next().await), versions[1]);
        assert_eq!(version(first.next().await), versions[2]);
        assert_eq!(version(second.next().await), versions[2]);
        let later = tokio::spawn(async move { version(second.next().await) });
        let next = teller.tells();
        assert_eq!(later.await.unwrap(), next);
    }

    #[tokio::test]
    async fn whoever_is_slower_than_what_is_kept_is_told_so_and_goes_on_from_the_record() {
        let mut teller = Teller::new();
        let mut slow = teller.listeners.listen(&id()).unwrap();
        slow.is_at(teller.tells());
        let second = teller.tells();
        for _ in 1..CHANGES_KEPT_MAX {
            teller.tells();
        }
        // At the bound nothing is missed.
        assert_eq!(version(slow.next().await), second);
        teller.tells();
        let last = teller.tells();
        assert_eq!(slow.next().await, Heard::Missed);
        slow.is_at(last);
        let next = teller.tells();
        assert_eq!(version(slow.next().await), next);
    }

    #[tokio::test]
    async fn a_gap_is_missed_and_a_record_stands_in_for_it() {
        let mut teller = Teller::new();
        let [mut one, mut other] = [0; 2].map(|_| teller.listeners.listen(&id()).unwrap());
        let first = teller.tells();
        one.is_at(first);
        other.is_at(first);
        teller.changes();
        teller.tells();
        assert_eq!(one.next().await, Heard::Missed);
        teller.changes();
        let record = teller.record.clone();
        teller.listeners.renew(record.clone());
        assert_eq!(other.next().await, Heard::Record(Arc::new(record)));
        let next = teller.tells();
        assert_eq!(version(other.next().await), next);
    }

    #[test]
    fn what_nobody_listens_to_any_more_is_forgotten() {
        let listeners = Arc::<Listeners>::default();
        let [first, second] = [0; 2].map(|_| listeners.listen(&id()).unwrap());
        drop(first);
        assert_eq!((listeners.listening(), listeners.known().len()), (1, 1));
        drop(second);
        assert_eq!((listeners.listening(), listeners.known().len()), (0, 0));
    }

    #[test]
    fn there_are_at_most_so_many() {
        let listeners = Arc::<Listeners>::default();
        let mut all: Vec<_> =
            (0..LISTENERS_MAX).map(|_| listeners.listen(&id()).unwrap()).collect();
        assert_eq!(listeners.listen(&id()).err(), Some(TooManyListeners));
        all.pop();
        assert!(listeners.listen(&id()).is_ok());
    }
}
