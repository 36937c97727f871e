//! At each bound the set still answers; one past it, it answers nothing rather than wrongly.

use std::time::Duration;

use crate::revocation::DISTRUSTED_KEYS_MAX;
use crate::revocation::Entry;
use crate::revocation::RevocationError;
use crate::revocation::RevocationSet;
use crate::revocation::Row;
use crate::specimen::NOW;
use crate::specimen::claims;
use crate::specimen::verified;
use crate::time::Timestamp;

const SOON: Timestamp = NOW.plus(Duration::from_secs(10));

fn ready(entries_max: usize) -> RevocationSet {
    let set = RevocationSet::with_entries_max(entries_max);
    set.apply_snapshot(0, &[], NOW);
    set
}

fn outcome(set: &RevocationSet) -> Result<(), RevocationError> {
    set.check(verified(&claims())).map(|_| ())
}

fn session(seq: u64) -> Row {
    let id = format!("session {seq}");
    Row { seq, at: NOW, entry: Entry::Session { id, until: SOON } }
}

fn epoch(seq: u64) -> Row {
    let user_id = format!("user {seq}");
    Row { seq, at: NOW, entry: Entry::UserEpoch { user_id, min_epoch: 1, until: SOON } }
}

fn key(seq: u64) -> Row {
    Row { seq, at: NOW, entry: Entry::Key { kid: format!("key {seq}") } }
}

fn check_bound(entries_max: usize, bound: usize, row: fn(u64) -> Row) {
    let set = ready(entries_max);
    let rows: Vec<Row> = (1..=bound as u64).map(row).collect();
    set.apply(&rows, NOW);
    assert_eq!(set.len(), bound);
    assert_eq!(outcome(&set), Ok(()));
    set.apply(&[row(bound as u64 + 1)], NOW);
    assert_eq!(outcome(&set), Err(RevocationError::Unavailable));
    assert!(!set.is_ready());
    assert_eq!(set.len(), bound);
    // Not even a snapshot says what was not taken up.
    set.apply_snapshot(bound as u64 + 1, &[], NOW);
    assert_eq!(outcome(&set), Err(RevocationError::Unavailable));
}

#[test]
fn one_session_past_the_bound_the_set_answers_nothing() {
    check_bound(5, 5, session);
}

#[test]
fn one_user_past_the_bound_the_set_answers_nothing() {
    check_bound(5, 5, epoch);
}

#[test]
fn one_key_past_the_bound_the_set_answers_nothing() {
    check_bound(5, DISTRUSTED_KEYS_MAX, key);
}

#[test]
fn a_full_set_takes_what_it_holds_already() {
    let rows: Vec<Row> = (1..=5).map(session).chain((6..=10).map(epoch)).collect();
    let set = ready(5);
    for _ in 0..3 {
        set.apply(&rows, NOW);
        assert_eq!(outcome(&set), Ok(()));
    }
    let later = SOON.minus(Duration::from_millis(1));
    set.apply_snapshot(10, &rows, later);
    assert_eq!(outcome(&set), Ok(()));
    assert_eq!(set.len(), 10);
}

#[test]
fn a_full_set_forgets_what_has_expired_to_make_room() {
    let later = SOON.plus(Duration::from_secs(2));
    let until = later.plus(Duration::from_secs(10));
    for row in [session, epoch] {
        let set = ready(5);
        set.apply(&(1..=5).map(row).collect::<Vec<_>>(), NOW);
        let mut next = row(6);
        match &mut next.entry {
            Entry::Session { until: old, .. } | Entry::UserEpoch { until: old, .. } => *old = until,
            other => unreachable!("{other:?}"),
        }
        set.apply(&[next], later);
        assert_eq!(outcome(&set), Ok(()));
        assert_eq!(set.len(), 1);
    }
}

#[test]
fn a_set_of_no_entries_answers_until_the_first() {
    let set = ready(0);
    assert_eq!(outcome(&set), Ok(()));
    set.apply(&[session(1)], NOW);
    assert_eq!(outcome(&set), Err(RevocationError::Unavailable));
}

#[test]
fn after_the_bound_was_passed_a_whole_snapshot_with_room_for_it_answers_again() {
    let set = ready(2);
    set.apply(&[session(1), session(2), session(3)], NOW);
    assert!(!set.start_over(NOW), "nothing has expired yet");
    assert_eq!(outcome(&set), Err(RevocationError::Unavailable));
    let later = SOON.plus(Duration::from_secs(2));
    assert!(set.start_over(later));
    assert_eq!(outcome(&set), Err(RevocationError::Unavailable), "until the snapshot");
    set.apply_snapshot(3, &[], later);
    assert_eq!(outcome(&set), Ok(()));
    assert!(!set.start_over(later), "nothing was lost any more");
}
