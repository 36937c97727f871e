//! Who waits for changes of which resource in this process, and what they have yet to hear.
//!
//! There is no queue of anybody's own: the last changes of a resource stand in one place, and each
//! listener reads on from where it is, which is the version that it has heard or read. Whoever is so slow
//! that they are there no more is told that something was missed, and asks for the record itself.
//!
//! What was heard here and what a listener has read are two things: one that has read ahead takes
//! nothing from the others.

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

/// The most of these that are one user's: nobody takes all the room.
pub const LISTENERS_OF_ONE_MAX: usize = 1_000;

/// The most bytes of messages in the changes of one resource that are kept for who is slow; the last change
/// is kept, whatever it says.
const CHANGES_BYTES_MAX: usize = 32 * 1024;

/// All listeners of this process.
#[derive(Debug, Default)]
pub struct Listeners {
    topics: Mutex<Topics>,
}

#[derive(Debug, Default)]
struct Topics {
    by_id: HashMap<ResourceId, Arc<Topic>>,
    listening: usize,
    /// Of each user who listens.
    by_user: HashMap<Arc<str>, usize>,
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
    /// The version that was heard last; 0: nothing was.
    version: u64,
    /// Changes up to that, each going on from the one before it.
    changes: VecDeque<Arc<Change>>,
    /// What stands in for changes that were missed; changes go on from it.
    record: Option<Arc<Record>>,
    /// How often it was looked up how the resource stands.
    renewals: u64,
}

/// There are as many listeners as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooManyListeners {
    /// In all.
    #[error("{LISTENERS_MAX} listen already")]
    InAll,
    /// Of this user.
    #[error("the user listens {LISTENERS_OF_ONE_MAX} times already")]
    OfOne,
}

/// Somebody who listens to one resource, until dropped.
#[derive(Debug)]
pub struct Listener {
    id: ResourceId,
    user: Arc<str>,
    all: Arc<Listeners>,
    topic: Arc<Topic>,
    news: watch::Receiver<()>,
    place: Place,
}

/// Up to where a listener knows all.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    version: u64,
    /// Of how many renewals it knows.
    renewals: u64,
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
    /// Begins to listen on behalf of `user`. What is read of the resource from then on, and
    /// [told](Listener::is_at), is followed by what is heard without a gap.
    ///
    /// # Errors
    /// [`TooManyListeners`].
    pub fn listen(
        self: &Arc<Self>,
        id: &ResourceId,
        user: &str,
    ) -> Result<Listener, TooManyListeners> {
        let mut topics = self.topics.lock();
        if topics.listening >= LISTENERS_MAX {
            return Err(TooManyListeners::InAll);
        }
        let user: Arc<str> = user.into();
        let of_user = topics.by_user.entry(Arc::clone(&user)).or_default();
        if *of_user >= LISTENERS_OF_ONE_MAX {
            return Err(TooManyListeners::OfOne);
        }
        *of_user += 1;
        topics.listening += 1;
        let topic = topics.by_id.entry(id.clone()).or_insert_with(|| {
            Arc::new(Topic { heard: Mutex::default(), news: watch::Sender::new(()) })
        });
        let topic = Arc::clone(topic);
        let mut heard = topic.heard.lock();
        heard.listening += 1;
        let place = Place { version: 0, renewals: heard.renewals };
        drop(heard);
        Ok(Listener {
            id: id.clone(),
            user,
            all: Arc::clone(self),
            news: topic.news.subscribe(),
            topic,
            place,
        })
    }

    /// How many listen.
    pub fn listening(&self) -> usize {
        self.topics.lock().listening
    }

    /// Whether anybody listens to `id`.
    pub(crate) fn has(&self, id: &ResourceId) -> bool {
        self.topics.lock().by_id.contains_key(id)
    }

    /// Tells a change to whoever listens to `id`.
    pub(crate) fn tell(&self, id: &ResourceId, change: impl FnOnce() -> Arc<Change>) {
        let Some(topic) = self.topics.lock().by_id.get(id).cloned() else { return };
        topic.tell(change());
    }

    /// The resources that are listened to, each with the version that was heard of it last.
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
        // It was told at once, and looked up as well.
        if change.version <= heard.version {
            return;
        }
        heard.push(change);
        drop(heard);
        self.news.send_replace(());
    }

    fn renew(&self, record: Record) {
        let mut heard = self.heard.lock();
        // A lower one, too: the store has lost what came after it.
        if record.version != heard.version {
            heard.version = record.version;
            heard.changes.clear();
        }
        heard.record = Some(Arc::new(record));
        heard.renewals += 1;
        drop(heard);
        self.news.send_replace(());
    }
}

impl Latest {
    fn push(&mut self, change: Arc<Change>) {
        if change.previous != self.version {
            self.changes.clear();
            self.record = None;
        }
        let mut bytes = self.changes.iter().map(|it| message_bytes(it)).sum::<usize>();
        bytes += message_bytes(&change);
        while (self.changes.len() == CHANGES_KEPT_MAX || bytes > CHANGES_BYTES_MAX)
            && let Some(oldest) = self.changes.pop_front()
        {
            bytes -= message_bytes(&oldest);
            // What goes on from it is kept no more.
            self.record.take_if(|record| record.version == oldest.previous);
        }
        self.version = change.version;
        self.changes.push_back(change);
    }

    /// What is next for somebody at `place`.
    fn after(&self, place: &mut Place) -> Option<Heard> {
        let is_renewed = place.renewals != self.renewals;
        place.renewals = self.renewals;
        if place.version == self.version {
            return None;
        }
        // Of what had no version there is no change, only a record.
        let next = self.changes.iter().find(|change| change.previous == place.version);
        if let Some(next) = next.filter(|_| place.version > 0) {
            return Some(Heard::Change(Arc::clone(next)));
        }
        // They have read what will be told yet, unless it is there no more.
        if place.version > self.version && !is_renewed {
            return None;
        }
        Some(self.record.as_ref().map_or(Heard::Missed, |it| Heard::Record(Arc::clone(it))))
    }
}

/// How long what a change says to people is.
fn message_bytes(change: &Change) -> usize {
    let Change { state, whole, .. } = change;
    let messages = [&state.message, &state.error_message, &whole.error_message];
    messages.into_iter().flatten().map(|message| message.len()).sum()
}

impl Listener {
    /// Says up to which version all is known.
    pub fn is_at(&mut self, version: u64) {
        self.place.version = version;
    }

    /// Passes over what stands to be heard; the version that it comes to. Whoever reads a lower one after
    /// that [is](Self::is_at) there all the same: the store has lost it, and nothing goes on from it.
    pub fn skip(&mut self) -> u64 {
        let heard = self.topic.heard.lock();
        self.place = Place { version: heard.version, renewals: heard.renewals };
        heard.version
    }

    /// Waits for what is next.
    pub async fn next(&mut self) -> Heard {
        loop {
            self.news.mark_unchanged();
            let heard = self.topic.heard.lock().after(&mut self.place);
            match &heard {
                Some(Heard::Change(change)) => self.is_at(change.version),
                Some(Heard::Record(record)) => self.is_at(record.version),
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
        if let Some(of_user) = topics.by_user.get_mut(&self.user) {
            *of_user -= 1;
            if *of_user == 0 {
                topics.by_user.remove(&self.user);
            }
        }
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
    use std::time::Duration;

    use futures_util::FutureExt;
    use kernel::status::Owner;
    use kernel::status::Plan;
    use kernel::status::Report;
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
        now: Timestamp,
    }

    impl Teller {
        fn new() -> Self {
            let now = Timestamp::from_millis(1000);
            Self { record: Record::new(id()), listeners: Arc::default(), said: 0, now }
        }

        fn listens(&self) -> Listener {
            self.listeners.listen(&id(), "ann").unwrap()
        }

        fn changes(&mut self) -> Arc<Change> {
            let plan = Plan::default();
            self.said += 1;
            let processing = plan.status("processing").unwrap();
            let update = Update { completed: Some(self.said), ..Update::new("graph", processing) };
            let owner = Owner { id: "ada".into(), is_named: true };
            let report = Report { id: id(), update, owner, waited: Duration::ZERO };
            Arc::new(self.record.take(&report, &plan, self.now).unwrap().1.unwrap())
        }

        fn tells(&mut self) -> u64 {
            self.says(None)
        }

        /// A change that says so to people.
        fn says(&mut self, message: Option<String>) -> u64 {
            let mut change = Change::clone(&self.changes());
            change.state.message = message.map(Arc::from);
            let change = Arc::new(change);
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
        let [mut first, mut second] = [0; 2].map(|_| teller.listens());
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
        let mut slow = teller.listens();
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
    async fn of_changes_that_say_much_fewer_are_kept_but_the_last_always_is() {
        let heard = async |bytes: &[usize]| {
            let mut teller = Teller::new();
            let mut slow = teller.listens();
            slow.is_at(teller.tells());
            let told = bytes.iter().map(|bytes| teller.says(Some("m".repeat(*bytes))));
            let first = told.collect::<Vec<_>>()[0];
            match slow.next().await {
                Heard::Change(change) => Some(change.version == first),
                Heard::Missed => None,
                Heard::Record(record) => panic!("nobody has renewed it: {record:?}"),
            }
        };
        let half = CHANGES_BYTES_MAX / 2;
        assert_eq!(heard(&[half, half]).await, Some(true), "at the bound");
        assert_eq!(heard(&[half, half + 1]).await, None, "one past it");
        assert_eq!(heard(&[CHANGES_BYTES_MAX + 1]).await, Some(true), "it is the last");
    }

    #[tokio::test]
    async fn a_gap_is_missed_and_a_record_stands_in_for_it() {
        let mut teller = Teller::new();
        let [mut one, mut other] = [0; 2].map(|_| teller.listens());
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

    #[tokio::test]
    async fn one_that_has_read_ahead_takes_nothing_from_one_that_has_yet_to_hear() {
        let mut teller = Teller::new();
        let [mut first, mut second] = [0; 2].map(|_| teller.listens());
        let heard = teller.tells();
        first.is_at(heard);
        // Not told: the connection was lost just then.
        let untold = teller.changes();
        second.is_at(untold.version);
        assert_eq!(
            teller.listeners.known(),
            [(id(), heard)],
            "what is looked up is what is untold"
        );
        assert!(second.next().now_or_never().is_none());
        let version_of = untold.version;
        teller.listeners.tell(&id(), || untold);
        assert_eq!(version(first.next().await), version_of);
        assert!(second.next().now_or_never().is_none(), "it was read");
        let next = teller.tells();
        assert_eq!(version(first.next().await), next);
        assert_eq!(version(second.next().await), next);
    }

    #[tokio::test]
    async fn what_the_store_has_lost_is_not_held_to_by_whoever_heard_it() {
        let mut teller = Teller::new();
        let [mut heard, mut read] = [0; 2].map(|_| teller.listens());
        let kept = teller.tells();
        heard.is_at(kept);
        let before = teller.record.clone();
        let lost = teller.tells();
        assert_eq!(version(heard.next().await), lost);
        read.is_at(teller.changes().version);
        teller.record = before.clone();
        teller.listeners.renew(before.clone());
        let before = Heard::Record(Arc::new(before));
        assert_eq!(heard.next().await, before);
        assert_eq!(read.next().await, before);
        let next = teller.tells();
        assert_eq!(version(heard.next().await), next);
        assert_eq!(version(read.next().await), next);
    }

    #[tokio::test]
    async fn a_change_that_goes_on_from_what_the_store_had_before_is_one_missed() {
        let mut teller = Teller::new();
        let mut listener = teller.listens();
        listener.is_at(teller.tells());
        let before = teller.record.clone();
        let lost = teller.tells();
        assert_eq!(version(listener.next().await), lost);
        // What is lost was not looked up; the clock has gone on.
        teller.record = before;
        teller.now = Timestamp::from_millis(2000);
        teller.tells();
        assert_eq!(listener.next().await, Heard::Missed);
        listener.skip();
        let next = teller.tells();
        assert_eq!(version(listener.next().await), next);
    }

    #[tokio::test]
    async fn whoever_reads_less_than_was_heard_waits_for_what_comes_after_it() {
        let mut teller = Teller::new();
        let [mut listener, mut other] = [0; 2].map(|_| teller.listens());
        let heard = [0; 2].map(|_| teller.tells())[1];
        // All was lost, and what stands there is none of ours.
        listener.is_at(0);
        assert_eq!(listener.next().await, Heard::Missed);
        let passed = listener.skip();
        assert_eq!(passed, heard);
        listener.is_at(passed);
        assert!(listener.next().now_or_never().is_none());
        other.is_at(heard);
        teller.record = Record::new(id());
        teller.now = Timestamp::from_millis(2000);
        teller.tells();
        for listener in [&mut listener, &mut other] {
            assert_eq!(listener.next().await, Heard::Missed);
        }
    }

    #[tokio::test]
    async fn of_what_had_no_version_the_first_change_is_missed() {
        let mut teller = Teller::new();
        let mut listener = teller.listens();
        listener.is_at(0);
        teller.tells();
        assert_eq!(listener.next().await, Heard::Missed);
    }

    #[tokio::test]
    async fn a_record_stands_in_for_as_long_as_all_that_goes_on_from_it_is_kept() {
        let mut teller = Teller::new();
        let [mut first, mut second] = [0; 2].map(|_| teller.listens());
        let begun = teller.tells();
        first.is_at(begun);
        second.is_at(begun);
        teller.changes();
        let record = teller.record.clone();
        teller.listeners.renew(record.clone());
        for _ in 0..CHANGES_KEPT_MAX {
            teller.tells();
        }
        assert_eq!(first.next().await, Heard::Record(Arc::new(record)));
        teller.tells();
        assert_eq!(second.next().await, Heard::Missed);
    }

    #[test]
    fn what_nobody_listens_to_any_more_is_forgotten() {
        let listeners = Arc::<Listeners>::default();
        let [first, second] = [0; 2].map(|_| listeners.listen(&id(), "ann").unwrap());
        drop(first);
        assert_eq!((listeners.listening(), listeners.known().len()), (1, 1));
        drop(second);
        assert_eq!((listeners.listening(), listeners.known().len()), (0, 0));
    }

    #[test]
    fn there_are_at_most_so_many() {
        let listeners = Arc::<Listeners>::default();
        let user = |number: usize| (number / LISTENERS_OF_ONE_MAX).to_string();
        let mut all: Vec<_> = (0..LISTENERS_MAX)
            .map(|number| listeners.listen(&id(), &user(number)).unwrap())
            .collect();
        assert_eq!(listeners.listen(&id(), "one more").err(), Some(TooManyListeners::InAll));
        all.pop();
        assert!(listeners.listen(&id(), "one more").is_ok());
    }

    #[test]
    fn one_user_has_so_many_and_leaves_room_for_others() {
        let listeners = Arc::<Listeners>::default();
        let listen = |user| listeners.listen(&id(), user);
        let mut all: Vec<_> = (0..LISTENERS_OF_ONE_MAX).map(|_| listen("ann").unwrap()).collect();
        assert_eq!(listen("ann").err(), Some(TooManyListeners::OfOne));
        let other = listen("bob").unwrap();
        all.pop();
        let again = listen("ann").unwrap();
        drop((all, other, again));
        assert!(listeners.topics.lock().by_user.is_empty());
    }
}
