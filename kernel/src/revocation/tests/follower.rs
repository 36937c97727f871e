//! What a follower does with feeds that do as they please.

use std::sync::Arc;
use std::time::Duration;

use super::memory::MemoryLog;
use super::memory::to_its_end;
use crate::revocation::Entry;
use crate::revocation::RevocationSet;
use crate::revocation::Row;
use crate::revocation::conformance::Truth;
use crate::revocation::feed::FeedLost;
use crate::revocation::feed::Position;
use crate::revocation::feed::RevocationFeed;
use crate::revocation::follower::Follower;
use crate::specimen::NOW;
use crate::time::Timestamp;

const SOON: Timestamp = NOW.plus(Duration::from_secs(10));

fn session(seq: u64) -> Row {
    let id = format!("session {seq}");
    Row { seq, at: NOW, entry: Entry::Session { id, until: SOON } }
}

/// Gives pages of two rows, notes what it was asked for, and grows by a row at each read.
#[derive(Default)]
struct Feed {
    numbers: Vec<u64>,
    grows: bool,
    asked: Vec<u64>,
    was_ready: Vec<bool>,
    set: Arc<RevocationSet>,
}

impl Feed {
    fn of(numbers: impl IntoIterator<Item = u64>) -> Self {
        Self { numbers: numbers.into_iter().collect(), ..Self::default() }
    }

    fn catch_up(&mut self, follower: &mut Follower, now: Timestamp) -> Result<(), FeedLost> {
        to_its_end(follower.catch_up(self, now))
    }

    fn last(&self) -> u64 {
        self.numbers.last().copied().unwrap_or_default()
    }
}

impl RevocationFeed for Feed {
    async fn position(&mut self) -> Result<Position, FeedLost> {
        Ok(Position { log_id: "log".to_owned(), seq: self.last() })
    }

    async fn rows_after(&mut self, after: u64, _: Timestamp) -> Result<Vec<Row>, FeedLost> {
        self.asked.push(after);
        self.was_ready.push(self.set.is_ready());
        if self.grows {
            self.numbers.push(self.last() + 1);
        }
        // By place, not by number: a script may say its numbers in any order.
        let numbers = self.numbers.iter().skip(after as usize).take(2);
        Ok(numbers.map(|seq| session(*seq)).collect())
    }
}

#[test]
fn the_first_snapshot_is_read_piece_by_piece_and_answers_after_the_last() {
    let mut feed = Feed::of(1..=5);
    let mut follower = Follower::new(Arc::clone(&feed.set));
    assert_eq!(follower.position(), None);
    feed.catch_up(&mut follower, NOW).unwrap();
    assert_eq!(feed.asked, [0, 2, 4]);
    assert_eq!(feed.was_ready, [false; 3]);
    assert!(feed.set.is_ready());
    assert_eq!(feed.set.len(), 5);
    assert_eq!(follower.position().unwrap().seq, 5);

    feed.catch_up(&mut follower, NOW).unwrap();
    assert_eq!(feed.asked.len(), 3, "nothing is read where nothing is new");
}

#[test]
fn a_log_that_grows_faster_than_it_is_read_has_an_end_all_the_same() {
    let mut feed = Feed { grows: true, ..Feed::of(1..=4) };
    let mut follower = Follower::new(Arc::clone(&feed.set));
    feed.catch_up(&mut follower, NOW).unwrap();
    assert_eq!(feed.asked, [0, 2]);
    assert!(feed.set.is_ready());
    assert_eq!(follower.position().unwrap().seq, 4, "what came later is read the next time");
    feed.catch_up(&mut follower, NOW).unwrap();
    assert_eq!(feed.asked, [0, 2, 4]);
}

#[test]
fn rows_in_another_order_than_their_numbers_are_refused_and_not_asked_for_for_ever() {
    for (numbers, fault) in [
        (vec![1, 1, 3], "row 1 where one after 1"),
        (vec![2, 1, 3], "row 1 where one after 2"),
        (vec![0, 1, 3], "row 0 where one after 0"),
        (vec![1, 2, 2, 3], "row 2 where one after 2"),
    ] {
        let mut feed = Feed::of(numbers);
        let mut follower = Follower::new(Arc::clone(&feed.set));
        let error = feed.catch_up(&mut follower, NOW).unwrap_err().to_string();
        assert!(error.contains(fault), "{error}");
        assert!(!feed.set.is_ready());
        assert_eq!(follower.position().unwrap().seq, 0);
    }
}

#[test]
fn after_a_set_was_over_its_bound_everything_is_read_anew() {
    let set = Arc::new(RevocationSet::with_entries_max(2));
    let mut feed = Feed { set: Arc::clone(&set), ..Feed::of(1..=3) };
    let mut follower = Follower::new(Arc::clone(&set));
    let mut other = Follower::new(Arc::clone(&set));
    feed.catch_up(&mut follower, NOW).unwrap();
    feed.catch_up(&mut other, NOW).unwrap();
    assert!(!set.is_ready(), "one entry did not fit");
    assert!(!follower.tidy_up_if_due(NOW), "nothing has expired yet");

    let later = NOW.plus(Duration::from_secs(60));
    assert!(follower.tidy_up_if_due(later));
    assert!(!other.tidy_up_if_due(later), "said once");
    assert!(!set.is_ready());
    feed.asked.clear();
    feed.catch_up(&mut other, later).unwrap();
    assert_eq!(feed.asked, [0, 2], "whoever comes first reads everything, told or not");
    assert!(set.is_ready());
    feed.catch_up(&mut follower, later).unwrap();
    assert_eq!(feed.asked, [0, 2], "once is enough");
}

#[test]
fn what_has_expired_is_forgotten_once_a_minute_and_at_once_where_the_clock_was_put_back() {
    let mut feed = Feed::of([1]);
    let mut follower = Follower::new(Arc::clone(&feed.set));
    let at = |secs| NOW.plus(Duration::from_secs(secs));
    follower.tidy_up_if_due(NOW);
    feed.catch_up(&mut follower, NOW).unwrap();
    for (now, kept) in [(at(59), 1), (at(60), 0)] {
        follower.tidy_up_if_due(now);
        assert_eq!(feed.set.len(), kept, "{now:?}");
    }
    feed.catch_up(&mut follower, at(8)).unwrap();
    assert_eq!(feed.set.len(), 1, "the clock was put back");
    for (now, kept) in [(at(9), 1), (at(11), 1), (at(69), 0)] {
        follower.tidy_up_if_due(now);
        assert_eq!(feed.set.len(), kept, "{now:?}");
    }
}

#[test]
fn a_set_is_complete_as_of_the_question_however_long_the_answer_took() {
    let mut feed = Feed::of(1..=2);
    let mut follower = Follower::new(Arc::clone(&feed.set));
    let at = |secs| NOW.plus(Duration::from_secs(secs));
    let here = to_its_end(feed.position()).unwrap();
    let mut told = |asked_at, now| {
        to_its_end(follower.catch_up_to(here.clone(), asked_at, &mut feed, now)).unwrap();
        feed.set.heard_at()
    };
    assert_eq!(told(at(1), at(9)), at(1));
    assert_eq!(told(at(9), at(10)), at(9));
    assert_eq!(told(at(12), at(11)), at(11), "the clock was put back meanwhile");
    assert_eq!(feed.asked, [0], "nothing is read where nothing is new");
}

#[test]
fn a_witness_is_told_how_long_new_rows_took_and_of_no_old_one() {
    let told = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let witness = Arc::clone(&told);
    let mut follower = Follower::new(Arc::default())
        .witnessed_by(Arc::new(move |lag| witness.lock().push(lag.as_millis())));
    let mut log = MemoryLog::default();
    let mut look = |log: &mut MemoryLog, millis: u64| {
        let now = NOW.plus(Duration::from_millis(millis));
        to_its_end(follower.catch_up(log, now)).unwrap();
        std::mem::take(&mut *told.lock())
    };
    let write = |log: &MemoryLog| to_its_end(log.write(session(0).entry));
    // Rows are written at `NOW`.
    write(&log);
    assert_eq!(look(&mut log, 20), [0; 0], "it was there before we were");
    write(&log);
    write(&log);
    assert_eq!(look(&mut log, 30), [30, 30]);
    assert_eq!(look(&mut log, 40), [0; 0]);
    write(&log);
    assert_eq!(look(&mut log, 5_001), [5_001]);
    to_its_end(log.restore("another", vec![session(0).entry]));
    assert_eq!(look(&mut log, 5_002), [0; 0], "another log's past");
    write(&log);
    assert_eq!(look(&mut log, 5_003), [5_003]);
    // Its clock was ahead, so that it may have left out what is not expired: everything is read anew.
    assert_eq!(look(&mut log, 5_000), [0; 0]);
}

#[test]
fn an_empty_logs_first_row_is_new_and_a_clock_that_is_behind_makes_no_lag() {
    let told = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let witness = Arc::clone(&told);
    let mut follower = Follower::new(Arc::default())
        .witnessed_by(Arc::new(move |lag: Duration| witness.lock().push(lag)));
    let mut log = MemoryLog::default();
    let behind = NOW.minus(Duration::from_secs(3));
    to_its_end(follower.catch_up(&mut log, behind)).unwrap();
    to_its_end(log.write(session(0).entry));
    to_its_end(follower.catch_up(&mut log, behind)).unwrap();
    assert_eq!(*told.lock(), [Duration::ZERO]);
}
