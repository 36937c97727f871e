//! A follower on a stream: whatever happens to frames, it ends with the set that SQL says.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;
use proptest::sample::Index;

use super::memory::MemoryLog;
use super::memory::to_its_end;
use super::model::ALL_TOKENS;
use super::model::answer;
use super::model::any_entry;
use super::model::naive;
use crate::revocation::Entry;
use crate::revocation::RevocationSet;
use crate::revocation::Row;
use crate::revocation::conformance::Truth;
use crate::revocation::feed::Position;
use crate::revocation::feed::RevocationFeed;
use crate::revocation::follower::Follower;
use crate::revocation::frame::Frame;
use crate::revocation::frame::Heartbeat;
use crate::revocation::frame::Verdict;
use crate::specimen::NOW;
use crate::time::Timestamp;

const LOG: &str = "l1";

/// A follower, its set, and the log that it follows.
struct Edge {
    set: Arc<RevocationSet>,
    follower: Follower,
    log: MemoryLog,
}

impl Edge {
    /// An edge that has taken in a log of `entries`.
    fn of(entries: Vec<Entry>) -> Self {
        let set = Arc::new(RevocationSet::default());
        let log = MemoryLog::default();
        to_its_end(log.restore(LOG, entries));
        let mut edge = Self { follower: Follower::new(Arc::clone(&set)), set, log };
        edge.repair(NOW);
        edge
    }

    fn repair(&mut self, now: Timestamp) {
        to_its_end(self.follower.catch_up(&mut self.log, now)).unwrap();
    }

    fn write(&mut self, entry: Entry) {
        to_its_end(self.log.write(entry));
    }

    fn rows(&mut self, after: u64) -> Vec<Row> {
        to_its_end(self.log.rows_after(after, Timestamp::default())).unwrap()
    }

    fn at(&self) -> u64 {
        self.follower.position().unwrap().seq
    }
}

fn key(kid: &str) -> Entry {
    Entry::Key { kid: kid.to_owned() }
}

fn heartbeat(last: u64, at: Timestamp) -> Heartbeat {
    Heartbeat { log_id: LOG.to_owned(), last, at }
}

fn seconds(secs: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(secs))
}

#[test]
fn heartbeats_move_the_time_of_hearing_only_where_all_up_to_them_is_known() {
    let mut edge = Edge::of(vec![key("a"), key("b")]);
    assert_eq!(edge.set.heard_at(), NOW);
    assert_eq!(edge.follower.hear(&heartbeat(2, seconds(1)), seconds(2)), Verdict::NothingNew);
    assert_eq!(edge.set.heard_at(), seconds(1), "when it was read, not when it came");
    assert_eq!(edge.follower.hear(&heartbeat(3, seconds(3)), seconds(3)), Verdict::Repair);
    assert_eq!(edge.set.heard_at(), seconds(1));
    let frame = Frame { log_id: LOG.to_owned(), first: 3, last: 3, rows: vec![] };
    assert_eq!(edge.follower.take(&frame, seconds(4), seconds(4)), Verdict::Apply);
    assert_eq!(edge.set.heard_at(), seconds(1), "a frame says nothing of what follows it");
    assert_eq!(edge.follower.hear(&heartbeat(3, seconds(3)), seconds(4)), Verdict::NothingNew);
    assert_eq!(edge.set.heard_at(), seconds(3));
    edge.follower.hear(&heartbeat(2, seconds(2)), seconds(4));
    assert_eq!(edge.set.heard_at(), seconds(3), "an old one that comes again");
    edge.follower.hear(&heartbeat(3, seconds(99)), seconds(5));
    assert_eq!(edge.set.heard_at(), seconds(5), "no publisher's clock makes it newer than now");
}

#[test]
fn before_the_first_snapshot_nothing_of_a_stream_counts_as_known() {
    let set = Arc::new(RevocationSet::default());
    let mut follower = Follower::new(Arc::clone(&set));
    let frame = Frame { log_id: LOG.to_owned(), first: 1, last: 1, rows: vec![] };
    assert_eq!(follower.take(&frame, NOW, NOW), Verdict::Repair);
    assert_eq!(follower.hear(&heartbeat(0, NOW), NOW), Verdict::Repair);
    assert_eq!(set.heard_at(), Timestamp::default());
    assert!(!set.is_ready());
}

#[test]
fn a_frame_of_another_log_changes_nothing_and_asks_for_a_fresh_snapshot() {
    let mut edge = Edge::of(vec![key("a")]);
    let row = Row { seq: 2, ..edge.rows(0).remove(0) };
    let other = Frame { log_id: "l2".to_owned(), first: 2, last: 2, rows: vec![row] };
    let before = edge.set.len();
    assert_eq!(edge.follower.take(&other, NOW, NOW), Verdict::Repair);
    assert_eq!((edge.at(), edge.set.len()), (1, before));
    to_its_end(edge.log.restore("l2", vec![key("c"), key("d"), key("e")]));
    edge.repair(NOW);
    assert_eq!(edge.follower.position().unwrap().log_id, "l2");
    assert_eq!(edge.set.len(), 4, "everything anew, and what was known");
}

#[test]
fn what_a_frame_takes_back_is_taken_back_though_its_numbers_say_that_it_is_old() {
    let mut edge = Edge::of(vec![key("a"), key("b"), key("c")]);
    let forged = Row { seq: 2, at: NOW, entry: key("d") };
    let frame = Frame { log_id: LOG.to_owned(), first: 1, last: 2, rows: vec![forged] };
    for _ in 0..2 {
        assert_eq!(edge.follower.take(&frame, NOW, NOW), Verdict::NothingNew);
        assert_eq!((edge.at(), edge.set.len()), (3, 4));
    }
}

#[test]
fn after_the_clock_was_put_back_a_frame_asks_for_everything_anew() {
    let mut edge = Edge::of(vec![key("a")]);
    edge.repair(seconds(60));
    edge.write(key("b"));
    let frame = Frame::of(LOG, 1, 2, edge.rows(1)).remove(0);
    assert_eq!(edge.follower.take(&frame, seconds(59), seconds(59)), Verdict::Repair);
    assert_eq!(edge.at(), 1);
    edge.repair(seconds(59));
    assert_eq!(edge.at(), 2);
}

/// An edge at the tail of a log of one row, and how many seconds its witness is told of each later one.
fn witnessed() -> (Edge, Arc<Mutex<Vec<u64>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let witness = Arc::clone(&told);
    let mut edge = Edge::of(vec![key("a")]);
    edge.follower = Follower::new(Arc::clone(&edge.set))
        .witnessed_by(Arc::new(move |lag| witness.lock().push(lag.as_secs())));
    edge.repair(NOW);
    (edge, told)
}

#[test]
fn a_witness_is_told_how_long_each_row_of_a_frame_took_once() {
    let (mut edge, told) = witnessed();
    (0..2).for_each(|_| edge.write(key("b")));
    // Rows are written at `NOW`.
    let (one, both) = (edge.rows(1), edge.rows(0));
    edge.follower.take(&Frame::of(LOG, 1, 2, one[..1].to_vec())[0], seconds(1), seconds(1));
    edge.follower.take(&Frame::of(LOG, 0, 3, both)[0], seconds(2), seconds(2));
    assert_eq!(*told.lock(), [1, 2]);
}

#[test]
fn a_frame_that_was_kept_is_witnessed_by_when_it_was_heard() {
    let (mut edge, told) = witnessed();
    edge.write(key("b"));
    let frame = Frame::of(LOG, 1, 2, edge.rows(1)).remove(0);
    assert_eq!(edge.follower.take(&frame, seconds(1), seconds(10)), Verdict::Apply);
    assert_eq!(*told.lock(), [1]);
}

#[test]
fn a_row_that_a_feed_gives_beyond_where_it_was_asked_to_read_is_witnessed_once() {
    let (mut edge, told) = witnessed();
    (0..2).for_each(|_| edge.write(key("b")));
    let target = Position { log_id: LOG.to_owned(), seq: 2 };
    let reading = edge.follower.catch_up_to(target, seconds(1), &mut edge.log, seconds(1));
    to_its_end(reading).unwrap();
    assert_eq!(*told.lock(), [1]);
    edge.repair(seconds(2));
    assert_eq!(*told.lock(), [1, 2]);
}

#[test]
fn a_feed_has_nothing_new_only_where_it_knows_the_same_log_no_further_and_no_shorter() {
    let at = |log_id: &str, seq| Position { log_id: log_id.to_owned(), seq };
    let mut edge = Edge::of(vec![key("a"), key("b")]);
    let frame = Frame { log_id: LOG.to_owned(), first: 3, last: 4, rows: vec![] };
    edge.follower.take(&frame, seconds(1), seconds(1));
    let asked = |told: Position, now| edge.follower.has_all_of(&told, &at(LOG, 2), seconds(1), now);
    for (seq, has_all) in [(1, false), (2, true), (3, true), (4, true), (5, false)] {
        assert_eq!(asked(at(LOG, seq), seconds(2)), has_all, "{seq}");
    }
    assert!(!asked(at("l2", 4), seconds(2)));
    assert!(!asked(at(LOG, 4), NOW), "the clock was put back");
    assert_eq!(edge.set.heard_at(), seconds(1));
}

/// What happens on the way from a publisher to an edge.
#[derive(Clone, Debug)]
enum Happening {
    /// Somebody revokes.
    Write(Entry),
    /// The publisher sends what is new, in one frame or more.
    Publish,
    /// One of all frames so far arrives, for the first time or again.
    Arrive(Index),
    /// All frames so far arrive in order, as a stream carries them.
    ArriveAll,
    /// A feed is asked.
    Repair,
}

fn any_happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => any_entry().prop_map(Happening::Write),
        3 => Just(Happening::Publish),
        5 => any::<Index>().prop_map(Happening::Arrive),
        1 => Just(Happening::ArriveAll),
        1 => Just(Happening::Repair),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_order_duplication_or_loss_and_repair_of_frames_gives_the_set_of_sql(
        before in prop::collection::vec(any_entry(), 0..3),
        happenings in prop::collection::vec(any_happening(), 1..24),
    ) {
        let mut edge = Edge::of(before);
        let mut held: Vec<u64> = (1..=edge.at()).collect();
        let (mut frames, mut published) = (Vec::<Frame>::new(), edge.at());
        for happening in happenings {
            let arriving: Vec<Frame> = match happening {
                Happening::Write(entry) => {
                    edge.write(entry);
                    continue;
                }
                Happening::Publish => {
                    let rows = edge.rows(published);
                    let last = published + rows.len() as u64;
                    // Two at most in each, so that there are stretches to lose.
                    for two in rows.chunks(2) {
                        let last = two[two.len() - 1].seq;
                        frames.extend(Frame::of(LOG, published, last, two.to_vec()));
                        published = last;
                    }
                    assert_eq!(published, last);
                    continue;
                }
                Happening::Arrive(_) if frames.is_empty() => continue,
                Happening::Arrive(at) => vec![frames[at.index(frames.len())].clone()],
                Happening::ArriveAll => frames.clone(),
                Happening::Repair => {
                    edge.repair(NOW);
                    held.extend(1..=edge.at());
                    vec![]
                }
            };
            for frame in arriving {
                let before = edge.at();
                let verdict = edge.follower.take(&frame, NOW, NOW);
                let at = edge.at();
                prop_assert_eq!(verdict == Verdict::Repair, frame.first > before + 1);
                prop_assert_eq!(at, if verdict == Verdict::Apply { frame.last } else { before });
                held.extend(frame.first..=frame.last);
            }
            let all = edge.rows(0);
            // Whatever is said to be known is in force, and so is all that ever came.
            prop_assert!((1..=edge.at()).all(|seq| held.contains(&seq)));
            let held: Vec<&Row> = all.iter().filter(|row| held.contains(&row.seq)).collect();
            for token in ALL_TOKENS.iter() {
                prop_assert_eq!(answer(&edge.set, token), naive(&held, token), "{:?}", held);
            }
        }
        // A heartbeat shows that something is missing, whatever was lost.
        let all = edge.rows(0);
        let verdict = edge.follower.hear(&heartbeat(all.len() as u64, NOW), NOW);
        prop_assert_eq!(verdict == Verdict::Repair, edge.at() < all.len() as u64);
        if verdict == Verdict::Repair {
            edge.repair(NOW);
        }
        prop_assert_eq!(edge.at(), all.len() as u64);
        let all: Vec<&Row> = all.iter().collect();
        for token in ALL_TOKENS.iter() {
            prop_assert_eq!(answer(&edge.set, token), naive(&all, token));
        }
    }
}
