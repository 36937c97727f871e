//! What was revoked is refused at the edge.

use super::START;
use super::Truth;
use super::edge::Edge;
use super::entries::LATER;
use super::entries::epoch;
use super::entries::on_tier;
use super::entries::over;
use super::entries::session;
use super::entries::shut_out;
use super::entries::strangers;
use super::witnesses::ISSUER;
use crate::revocation::Entry;
use crate::revocation::feed::ROWS_READ_MAX;
use crate::revocation::feed::RevocationFeed;
use crate::token::TokenKey;

/// The set answers nothing before, and from the first look on what the log says.
pub async fn a_fresh_follower_gets_what_was_revoked_before(truth: &impl Truth) {
    truth.write(session("s1")).await;
    truth.write(shut_out("u2")).await;
    let mut edge = Edge::new(truth.feed());
    assert!(!edge.set.is_ready());
    edge.catch_up(START).await;
    assert!(edge.refuses("s1"));
    assert!(!edge.refuses("s2"));
    assert!(edge.answer_to("u2", "s2").is_err());
    assert_eq!(edge.set.applied(), 2);
}

/// Nothing revoked is an answer, too.
pub async fn an_empty_log_is_a_whole_snapshot(truth: &impl Truth) {
    let mut edge = Edge::new(truth.feed());
    edge.catch_up(START).await;
    assert!(!edge.refuses("s1"));
    assert!(edge.set.is_empty());
    assert_eq!(edge.position().map(|at| at.seq), Some(0));
}

/// One by one, several at a time, and none at all.
pub async fn what_is_written_later_arrives(truth: &impl Truth) {
    let mut edge = Edge::new(truth.feed());
    edge.catch_up(START).await;
    truth.write(session("s1")).await;
    assert!(!edge.refuses("s1"));
    edge.catch_up(START).await;
    assert!(edge.refuses("s1"));
    edge.catch_up(START).await;
    assert!(!edge.refuses("s2"));
    truth.write(on_tier("u1", "premium")).await;
    truth.write(session("s2")).await;
    edge.catch_up(START).await;
    assert!(edge.refuses("s2"));
    assert_eq!(edge.answer_to("u1", "s3").map(|(tier, _)| tier), Ok("premium".to_owned()));
    assert_eq!(edge.position().map(|at| at.seq), Some(3));
}

/// Each field, to the byte and the millisecond.
pub async fn every_kind_of_entry_arrives_as_it_was_written(truth: &impl Truth) {
    let odd = "ö\u{0} \"'\\\n{}🚪%00;--";
    let entries = [
        Entry::Token { key: TokenKey::of_id(ISSUER, "t1"), until: LATER },
        Entry::Token { key: TokenKey::of_signing_input(b""), until: LATER },
        session(odd),
        session(&"s".repeat(255)),
        epoch(odd, 0),
        epoch("u1", u64::from(u32::MAX) + 1),
        shut_out(odd),
        over("u1", Some("premium"), Some(&[]), true),
        over("u1", None, Some(&["orders:read", "*"]), true),
        Entry::Key { kid: odd.to_owned() },
    ];
    for entry in &entries {
        truth.write(entry.clone()).await;
    }
    let (rows, _) = Edge::new(truth.feed()).all_rows_after(0, START).await;
    let arrived: Vec<Entry> = rows.into_iter().map(|row| row.entry).collect();
    assert_eq!(arrived, entries);
}

/// Whatever number a reader has come to, and past the end as well.
pub async fn rows_come_in_order_after_the_number_asked_for(truth: &impl Truth) {
    let count = 5;
    for entry in strangers(count) {
        truth.write(entry).await;
    }
    let mut edge = Edge::new(truth.feed());
    for after in 0..=count as u64 + 2 {
        let (rows, _) = edge.all_rows_after(after, START).await;
        let numbers: Vec<u64> = rows.iter().map(|row| row.seq).collect();
        assert_eq!(numbers, (after + 1..=count as u64).collect::<Vec<_>>());
    }
}

/// At a whole number of reads, one row past it, and three reads long.
pub async fn a_log_of_thousands_of_rows_arrives_whole_and_in_pieces(truth: &impl Truth) {
    for count in [ROWS_READ_MAX, ROWS_READ_MAX + 1, 2 * ROWS_READ_MAX + 7] {
        let entries = strangers(count - 1).chain([session("s1")]).collect();
        truth.restore(&format!("a log of {count}"), entries).await;
        let mut edge = Edge::new(truth.feed());
        edge.catch_up(START).await;
        assert!(edge.refuses("s1"), "the last of {count}");
        assert_eq!(edge.set.len(), count);
        assert_eq!(edge.set.applied(), count as u64);
        let (rows, largest) = edge.all_rows_after(0, START).await;
        let numbers: Vec<u64> = rows.iter().map(|row| row.seq).collect();
        assert_eq!(numbers, (1..=count as u64).collect::<Vec<_>>());
        assert!(largest <= ROWS_READ_MAX, "{largest} rows in one read");
    }
}

/// By the same feed, and by another one into the same set.
pub async fn reading_twice_changes_nothing(truth: &impl Truth) {
    truth.write(shut_out("u1")).await;
    truth.write(on_tier("u1", "premium")).await;
    truth.write(session("s1")).await;
    truth.write(epoch("u2", 2)).await;
    let mut edge = Edge::new(truth.feed());
    edge.catch_up(START).await;
    let (answers, len) = (edge.answers(), edge.set.len());
    let rows = edge.all_rows_after(0, START).await;
    assert_eq!(edge.all_rows_after(0, START).await, rows);
    edge.catch_up(START).await;
    edge.beside(truth.feed()).catch_up(START).await;
    assert_eq!((edge.answers(), edge.set.len()), (answers, len));
    let at = edge.position();
    assert_eq!(edge.feed.position().await.ok(), at);
}
