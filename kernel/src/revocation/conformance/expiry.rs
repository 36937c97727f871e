//! Rows that can refuse nothing any more, among those that can.

use std::time::Duration;

use super::START;
use super::Truth;
use super::edge::Edge;
use super::entries::LATER;
use super::entries::session;
use super::entries::session_until;
use super::entries::strangers;
use crate::revocation::Entry;
use crate::revocation::feed::ROWS_READ_MAX;
use crate::time::Timestamp;

/// By the reader's clock, to the millisecond; keys never expire.
pub async fn expired_rows_may_be_missing_but_live_ones_never_are(truth: &impl Truth) {
    let a_millisecond = Duration::from_millis(1);
    let untils = [START.minus(a_millisecond), START, START.plus(a_millisecond), LATER];
    let mut entries = Vec::new();
    for n in 0..ROWS_READ_MAX {
        let until = untils[n % untils.len()];
        entries.push(session_until(&format!("stranger {n}"), until));
    }
    entries.extend([Entry::Key { kid: "k9".to_owned() }, session("s1")]);
    entries.push(session_until("expired", START));
    let (all, rows) = (entries.len() as u64, numbered(&entries));
    truth.restore("mixed", entries).await;

    let mut edge = Edge::new(truth.feed());
    for now in [START, START.plus(a_millisecond), LATER.minus(a_millisecond), LATER] {
        let (arrived, _) = edge.all_rows_after(0, now).await;
        let live: Vec<_> = rows.iter().filter(|(_, entry)| is_live(entry, now)).collect();
        let arrived: Vec<_> = arrived.into_iter().map(|row| (row.seq, row.entry)).collect();
        let arrived: Vec<_> = arrived.iter().filter(|(_, entry)| is_live(entry, now)).collect();
        assert_eq!(arrived, live);
    }
    edge.catch_up(START).await;
    assert!(edge.refuses("s1"));
    assert_eq!(edge.set.applied(), all, "the position counts those left out");
}

/// A read that holds nothing alive is not the end of the log.
pub async fn a_thousand_expired_rows_hide_no_live_one(truth: &impl Truth) {
    let expired = |n| session_until(&format!("expired {n}"), START);
    let before = 2 * ROWS_READ_MAX + 1;
    truth.restore("old", (0..before).map(expired).chain([session("s1")]).collect()).await;
    let mut edge = Edge::new(truth.feed());
    edge.catch_up(START).await;
    assert!(edge.refuses("s1"));
    assert_eq!(edge.position().map(|at| at.seq), Some(before as u64 + 1));

    // And nothing but such rows ends the first snapshot all the same.
    let gone = strangers(ROWS_READ_MAX + 1).collect();
    truth.restore("gone", gone).await;
    let mut edge = Edge::new(truth.feed());
    edge.catch_up(LATER).await;
    assert!(edge.set.is_ready() && edge.set.is_empty());
}

fn numbered(entries: &[Entry]) -> Vec<(u64, Entry)> {
    (1..).zip(entries.iter().cloned()).collect()
}

fn is_live(entry: &Entry, now: Timestamp) -> bool {
    entry.until().is_none_or(|until| until > now)
}

/// An edge whose clock was ahead left out what seemed expired, and takes it in when the clock is
/// right again.
pub async fn a_clock_that_was_ahead_un_revokes_nothing_once_it_is_put_back(truth: &impl Truth) {
    truth.restore("ahead", vec![session_until("s1", LATER), session_until("s2", LATER)]).await;
    let mut edge = Edge::new(truth.feed());
    edge.catch_up(LATER).await;
    edge.catch_up(START).await;
    assert!(edge.refuses("s1"));
    edge.tidy_up(LATER.plus(Duration::from_secs(2)));
    assert!(!edge.refuses("s1"), "forgotten");
    edge.catch_up(START).await;
    assert!(edge.refuses("s1") && edge.refuses("s2"));
}
