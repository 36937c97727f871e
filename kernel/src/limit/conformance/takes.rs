//! What a single call does, and what it leaves alone.

use super::Caller;
use super::START;
use super::after_ms;
use super::hour;
use super::left;
use super::minute;
use super::quota;
use crate::limit::QuotaStore;
use crate::limit::SubjectKind;

/// Nothing used: everything left, nothing to wait for; and the first call takes one.
pub async fn a_subject_begins_with_its_whole_quota(store: &impl QuotaStore) {
    let (caller, quotas) = (Caller::new(store), [minute(100), hour(1000)]);
    let before = caller.peek(&quotas, START).await;
    assert!(before.admitted);
    assert_eq!(left(&before), [100, 1000]);
    assert!(before.windows().iter().all(|w| w.reset_ms == 0 && w.retry_ms == Some(0)));

    let after = caller.take(&quotas, START).await;
    assert!(after.admitted);
    assert_eq!(left(&after), [99, 999]);
    assert_eq!(after.retry_ms(), Some(0));
    assert_eq!(after.tightest(), 0);
    assert!(after.windows().iter().all(|w| w.reset_ms > 0));
}

/// A client that hammers while refused is admitted as early as one that waits quietly.
pub async fn a_refused_call_changes_nothing(store: &impl QuotaStore) {
    let (caller, quotas) = (Caller::new(store), [minute(10)]);
    assert_eq!(caller.flood(&quotas, 10, START).await, 10);
    let before = caller.peek(&quotas, START).await;
    assert_eq!(caller.flood(&quotas, 500, START).await, 0);
    assert_eq!(caller.peek(&quotas, START).await, before);
    for ms in (0..60_000).step_by(500) {
        assert!(!caller.take(&quotas, after_ms(START, ms)).await.admitted);
    }
    let recovered = after_ms(START, before.windows()[0].reset_ms);
    assert_eq!(caller.flood(&quotas, 20, recovered).await, 10);
}

/// At `retry_ms` the call is admitted, a millisecond before it is not; whatever it costs.
pub async fn retry_is_true_to_the_millisecond(store: &impl QuotaStore) {
    for (id, period, cost) in [("a", 1, 1), ("b", 7, 3), ("c", 60, 2), ("d", 86_400, 10)] {
        let caller = Caller::of(store, "api", SubjectKind::User, id);
        let quotas = [quota("odd", 10, period), quota("longer", 17, period * 3)];
        let mut now = START;
        for round in 0..40 {
            let outcome = caller.take_many(&quotas, cost, now).await;
            if outcome.admitted {
                now = after_ms(now, period * 7 * (round % 5));
                continue;
            }
            let retry = outcome.retry_ms().expect("the cost is within both limits");
            let early = caller.take_many(&quotas, cost, after_ms(now, retry - 1)).await;
            assert!(!early.admitted, "admitted before {retry} ms");
            assert_eq!(early.retry_ms(), Some(1));
            now = after_ms(now, retry);
            assert!(caller.take_many(&quotas, cost, now).await.admitted, "not after {retry} ms");
        }
    }
}

/// A window with room is not charged when another refuses.
pub async fn several_windows_admit_together_or_not_at_all(store: &impl QuotaStore) {
    let (caller, quotas) = (Caller::new(store), [hour(100), minute(10)]);
    assert_eq!(caller.flood(&quotas, 15, START).await, 10);
    let outcome = caller.take(&quotas, START).await;
    assert_eq!(left(&outcome), [90, 0]);
    assert_eq!(outcome.windows()[0].retry_ms, Some(0));
    assert_eq!(outcome.windows()[1].retry_ms, outcome.retry_ms());
    assert_eq!(outcome.tightest(), 1);

    let costly = caller.take_many(&quotas, 11, START).await;
    assert!(!costly.admitted);
    assert_eq!(left(&costly), [90, 0]);
}

/// Such a call never fits, and is told so; smaller ones go on.
pub async fn a_cost_above_the_limit_is_refused_for_ever(store: &impl QuotaStore) {
    let (caller, quotas) = (Caller::new(store), [minute(10), hour(1000)]);
    let outcome = caller.take_many(&quotas, 11, START).await;
    assert!(!outcome.admitted);
    assert_eq!(outcome.retry_ms(), None);
    assert_eq!(outcome.windows()[0].retry_ms, None);
    assert_eq!(outcome.windows()[1].retry_ms, Some(0));
    assert_eq!(left(&outcome), [10, 1000]);
    assert!(caller.take_many(&quotas, 10, START).await.admitted);
}

/// What stays after a refund stays as long as it would have.
pub async fn a_refund_gives_back_the_oldest_and_never_more_than_there_is(store: &impl QuotaStore) {
    let (caller, quotas) = (Caller::new(store), [minute(10), hour(100)]);
    caller.refund(&quotas, 5, START).await;
    assert_eq!(left(&caller.peek(&quotas, START).await), [10, 100]);

    caller.take_many(&quotas, 4, START).await;
    let later = after_ms(START, 30_000);
    let newest = caller.take_many(&quotas, 6, later).await;
    assert_eq!(left(&newest), [0, 90]);
    caller.refund(&quotas, 4, later).await;
    let after = caller.peek(&quotas, later).await;
    assert_eq!(left(&after), [4, 94]);
    assert!(after.windows()[0].reset_ms > 59_000, "the newest were forgotten");

    caller.refund(&quotas, u32::MAX, later).await;
    assert_eq!(left(&caller.peek(&quotas, later).await), [10, 100]);
    assert_eq!(caller.flood(&quotas, 20, later).await, 10);
}

/// Looking costs nothing, and says what a call would be told.
pub async fn a_peek_changes_nothing(store: &impl QuotaStore) {
    let (caller, quotas) = (Caller::new(store), [minute(5), hour(100)]);
    for used in 1..=5 {
        for _ in 0..50 {
            caller.peek(&quotas, START).await;
            caller.peek(&quotas, after_ms(START, 10_000_000)).await;
        }
        assert_eq!(left(&caller.take(&quotas, START).await), [5 - used, 100 - used]);
    }
    let spent = caller.peek(&quotas, START).await;
    assert!(!spent.admitted);
    assert_eq!(spent, caller.take(&quotas, START).await);
}
