//! Another history takes the place of the log: a restored backup, a failover.

use super::START;
use super::Truth;
use super::edge::Edge;
use super::entries::epoch;
use super::entries::on_tier;
use super::entries::session;
use super::entries::shut_out;
use super::entries::strangers;
use crate::revocation::Entry;
use crate::revocation::feed::ROWS_READ_MAX;

/// Whether it is shorter, as long, or longer than the log before.
pub async fn another_log_is_read_from_the_beginning_and_un_revokes_nothing(truth: &impl Truth) {
    for more in [0, history().len() - 1, 9] {
        truth.restore("one", history()).await;
        let mut edge = Edge::new(truth.feed());
        edge.catch_up(START).await;
        assert!(edge.refuses("s1"));
        let answers = edge.answers();

        let entries = [session("s2")].into_iter().chain(strangers(more)).collect();
        truth.restore("another", entries).await;
        edge.catch_up(START).await;
        assert!(edge.refuses("s2"), "the first, and {more} after it");
        un_revokes_nothing(&answers, &edge.answers());

        truth.write(session("s3")).await;
        edge.catch_up(START).await;
        assert!(edge.refuses("s3"), "the tail of the other log");
    }
}

/// A backup that somebody restored and forgot to give another id.
pub async fn a_shorter_log_is_read_from_the_beginning_and_un_revokes_nothing(truth: &impl Truth) {
    truth.restore("one", history()).await;
    let mut edge = Edge::new(truth.feed());
    edge.catch_up(START).await;
    let answers = edge.answers();

    truth.restore("one", vec![session("s2")]).await;
    edge.catch_up(START).await;
    assert!(edge.refuses("s2"));
    un_revokes_nothing(&answers, &edge.answers());
    assert_eq!(edge.position().map(|at| at.seq), Some(1));

    truth.write(session("s3")).await;
    edge.catch_up(START).await;
    assert!(edge.refuses("s3"), "the tail of the shorter log");
}

/// Numbers of two logs say nothing of which act was the later one.
pub async fn another_logs_word_on_a_user_counts_whatever_its_number(truth: &impl Truth) {
    let words = [on_tier("u1", "basic"), on_tier("u2", "basic"), on_tier("u1", "premium")];
    truth.restore("one", words.to_vec()).await;
    let mut edge = Edge::new(truth.feed());
    edge.catch_up(START).await;
    let tier = |edge: &Edge<_>, user| edge.answer_to(user, "s1").map(|(tier, _)| tier);
    assert_eq!(tier(&edge, "u1"), Ok("premium".to_owned()));

    truth.restore("another", vec![on_tier("u1", "free"), shut_out("u2")]).await;
    edge.catch_up(START).await;
    assert_eq!(tier(&edge, "u1"), Ok("free".to_owned()));
    assert!(tier(&edge, "u2").is_err());

    truth.restore("another", vec![on_tier("u1", "premium")]).await;
    edge.catch_up(START).await;
    assert_eq!(tier(&edge, "u1"), Ok("premium".to_owned()), "a shorter log is another one");
    assert!(tier(&edge, "u2").is_err(), "of whom it is silent, nothing changes");
}

/// The pieces that were read of the first log stay in force, are no snapshot of the other, and
/// stand in the way of none of its words.
pub async fn a_log_replaced_after_a_read_broke_off_arrives_whole(truth: &impl Truth) {
    let filler = || strangers(ROWS_READ_MAX);
    let read = [session("s1"), on_tier("u1", "premium")];
    truth.restore("one", read.into_iter().chain(filler()).chain([session("s2")]).collect()).await;
    let mut edge = Edge::new(truth.feed());
    edge.break_off_after(2, START).await;
    assert!(!edge.set.is_ready());

    let other = [on_tier("u1", "free")].into_iter().chain(filler()).chain([session("s3")]);
    truth.restore("another", other.collect()).await;
    edge.break_off_after(2, START).await;
    assert!(!edge.set.is_ready());
    edge.catch_up(START).await;
    assert!(edge.refuses("s1") && edge.refuses("s3"));
    let tier = edge.answer_to("u1", "s2").map(|(tier, _)| tier);
    assert_eq!(tier, Ok("free".to_owned()), "nobody ever read that s2 was revoked");
}

fn history() -> Vec<Entry> {
    vec![epoch("u2", 2), shut_out("u2"), session("s1"), Entry::Key { kid: "k2".to_owned() }]
}

fn un_revokes_nothing<A, E>(before: &[Result<A, E>], after: &[Result<A, E>]) {
    let lost = before.iter().zip(after).filter(|(before, after)| before.is_err() && after.is_ok());
    assert_eq!(lost.count(), 0, "tokens that were refused and no longer are");
}
