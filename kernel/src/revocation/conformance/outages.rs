//! Feeds that fail, at each of their answers.

use super::START;
use super::Truth;
use super::edge::Edge;
use super::entries::session;
use super::entries::strangers;
use crate::revocation::feed::ROWS_READ_MAX;

/// Before the position is told, before the rows, and between two reads.
pub async fn a_feed_that_fails_keeps_what_is_known_in_force_and_catches_up_afterwards(
    truth: &impl Truth,
) {
    let before = || [session("s1")];
    let later = || strangers(ROWS_READ_MAX).chain([session("s2")]);
    for answers in 0..3 {
        truth.restore(&format!("{answers} answers"), before().into()).await;
        let mut edge = Edge::new(truth.feed());
        edge.catch_up(START).await;
        let at = edge.position();

        let whole = before().into_iter().chain(later()).collect();
        truth.restore(&format!("{answers} answers"), whole).await;
        for _ in 0..3 {
            edge.break_off_after(answers, START).await;
            assert!(edge.refuses("s1"), "what is known stays in force");
            assert!(!edge.refuses("s3"));
            assert_eq!(edge.position(), at);
        }
        edge.catch_up(START).await;
        assert!(edge.refuses("s1") && edge.refuses("s2"));
        assert_eq!(edge.set.len(), ROWS_READ_MAX + 2);
    }
}

/// A set with half of the log would let in whom the other half shuts out.
pub async fn a_first_snapshot_that_breaks_off_lets_nobody_in(truth: &impl Truth) {
    truth.restore("long", strangers(2 * ROWS_READ_MAX).chain([session("s1")]).collect()).await;
    let mut edge = Edge::new(truth.feed());
    for answers in [0, 1, 2, 3, 0] {
        edge.break_off_after(answers, START).await;
        assert!(!edge.set.is_ready(), "after {answers} answers");
        assert!(edge.position().is_none_or(|at| at.seq == 0), "half a log is none");
        assert!(edge.answers().iter().all(Result::is_err));
    }
    edge.catch_up(START).await;
    assert!(edge.refuses("s1"));
    assert!(!edge.refuses("s2"));
}
