//! Who is inside, and who only waits: sends away whoever has been silent for too long, and, when
//! the house closes, whoever is between two requests.
//!
//! A timer and a listener for the closing on every wait would cost each request some percent; here
//! a request pays for two atomic writes, and a sweep now and then does the rest.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::AbortHandle;

/// How often silent connections are looked for: they may stay this much longer.
pub const SWEEP_EVERY: Duration = Duration::from_millis(100);

/// How often while the house closes.
const SWEEP_EVERY_WHILE_CLOSING: Duration = Duration::from_millis(5);

/// All connections.
#[derive(Default)]
pub struct Roster {
    places: Mutex<Places>,
    inside: AtomicUsize,
    /// Milliseconds since the start, as of the last sweep.
    clock_ms: AtomicU64,
    closing: AtomicBool,
}

#[derive(Default)]
struct Places {
    all: Vec<Option<Arc<Place>>>,
    free: Vec<usize>,
}

#[derive(Default)]
struct Place {
    /// [`BUSY`], [`SENT_AWAY`], or until when it may be silent, in milliseconds of the clock.
    until_ms: AtomicU64,
    task: OnceLock<AbortHandle>,
}

const BUSY: u64 = 0;

const SENT_AWAY: u64 = u64::MAX;

/// One connection's name on the roster, taken off when dropped.
pub struct Name {
    roster: Arc<Roster>,
    at: usize,
    place: Arc<Place>,
}

impl Roster {
    /// Puts a connection on the roster; `None` where `most` are inside already.
    pub fn enter(self: &Arc<Self>, most: usize) -> Option<Name> {
        let one_more = |inside| (inside < most).then_some(inside + 1);
        self.inside.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        let place = Arc::new(Place::default());
        let mut places = self.places.lock();
        let at = places.free.pop().unwrap_or(places.all.len());
        let taken = Some(Arc::clone(&place));
        match places.all.get_mut(at) {
            Some(free) => *free = taken,
            None => places.all.push(taken),
        }
        drop(places);
        Some(Name { roster: Arc::clone(self), at, place })
    }

    /// How many are inside.
    pub fn inside(&self) -> usize {
        self.inside.load(Ordering::Acquire)
    }

    /// Lets nobody wait for another request from now on.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Sends silent connections away, for as long as it runs.
    pub async fn keep(self: Arc<Self>) {
        let began = tokio::time::Instant::now();
        loop {
            self.sweep(began.elapsed().as_millis() as u64);
            let closing = self.closing.load(Ordering::Acquire);
            let pause = if closing { SWEEP_EVERY_WHILE_CLOSING } else { SWEEP_EVERY };
            tokio::time::sleep(pause).await;
        }
    }

    fn sweep(&self, now_ms: u64) {
        self.clock_ms.store(now_ms, Ordering::Release);
        let closing = self.closing.load(Ordering::Acquire);
        for place in self.places.lock().all.iter().flatten() {
            let until_ms = place.until_ms.load(Ordering::Acquire);
            let waits = until_ms != BUSY && until_ms != SENT_AWAY;
            let Some(task) = place.task.get().filter(|_| waits && (closing || now_ms >= until_ms))
            else {
                continue;
            };
            // Only who still waits: a request may have begun this very moment.
            let swap = (Ordering::AcqRel, Ordering::Acquire);
            if place.until_ms.compare_exchange(until_ms, SENT_AWAY, swap.0, swap.1).is_ok() {
                task.abort();
            }
        }
    }
}

impl Name {
    /// Says which task is the connection's, for it to be sent away by.
    pub fn belongs_to(place: &Placed, task: AbortHandle) {
        // Set once, right after the task was started.
        let _ = place.0.task.set(task);
    }

    /// What [`belongs_to`](Self::belongs_to) needs once the name itself was given to the task.
    pub fn placed(&self) -> Placed {
        Placed(Arc::clone(&self.place))
    }

    /// The connection waits, for `patience` at most; `false` where the house closes.
    pub fn waits(&self, patience: Duration) -> bool {
        let patience_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let until_ms = self.roster.clock_ms.load(Ordering::Acquire).saturating_add(patience_ms);
        // Neither of the two words.
        self.place.until_ms.store(until_ms.clamp(1, SENT_AWAY - 1), Ordering::Release);
        !self.roster.closing.load(Ordering::Acquire)
    }

    /// The connection has something to do; `false` where it was just sent away.
    pub fn is_busy(&self) -> bool {
        self.place.until_ms.swap(BUSY, Ordering::AcqRel) != SENT_AWAY
    }
}

/// A place on the roster.
pub struct Placed(Arc<Place>);

impl Drop for Name {
    fn drop(&mut self) {
        let mut places = self.roster.places.lock();
        if let Some(place) = places.all.get_mut(self.at) {
            *place = None;
        }
        places.free.push(self.at);
        drop(places);
        self.roster.inside.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(50);

    /// A connection that does nothing by itself.
    fn guest(roster: &Arc<Roster>) -> (Name, tokio::task::JoinHandle<()>) {
        let name = roster.enter(10).expect("room");
        let task = tokio::spawn(pending());
        Name::belongs_to(&name.placed(), task.abort_handle());
        (name, task)
    }

    #[tokio::test]
    async fn whoever_is_silent_for_too_long_is_sent_away_and_nobody_else() {
        let roster = Arc::new(Roster::default());
        let (silent, gone) = guest(&roster);
        let (busy, stays) = guest(&roster);
        assert!(silent.waits(PATIENCE) && busy.waits(PATIENCE) && busy.is_busy());
        roster.sweep(49);
        assert!(silent.place.until_ms.load(Ordering::Acquire) != SENT_AWAY);
        roster.sweep(50);
        assert!(gone.await.expect_err("aborted").is_cancelled());
        assert!(!silent.is_busy(), "what it read came too late");
        assert!(!stays.is_finished());
        stays.abort();
    }

    #[tokio::test]
    async fn when_the_house_closes_whoever_waits_is_sent_away_at_once() {
        let roster = Arc::new(Roster::default());
        let (waiting, gone) = guest(&roster);
        let (busy, stays) = guest(&roster);
        assert!(waiting.waits(PATIENCE));
        roster.close();
        roster.sweep(1);
        assert!(gone.await.expect_err("aborted").is_cancelled());
        assert!(!stays.is_finished());
        assert!(!busy.waits(PATIENCE), "there is no next request");
        stays.abort();
    }

    #[test]
    fn as_many_as_there_is_room_for_come_in_and_one_more_does_not() {
        let roster = Arc::new(Roster::default());
        let inside: Vec<_> = (0..3).map(|_| roster.enter(3)).collect();
        assert!(inside.iter().all(Option::is_some));
        assert!(roster.enter(3).is_none());
        assert_eq!(roster.inside(), 3);
        drop(inside);
        assert_eq!(roster.inside(), 0);
        assert!(roster.enter(3).is_some());
        assert_eq!(roster.places.lock().all.len(), 3, "places are used again");
    }
}
