//! The quotas change while requests are counted: a tier changes, an operator edits the file.

use super::Caller;
use super::START;
use super::hour;
use super::left;
use super::minute;
use super::quota;
use crate::limit::QUOTAS_MAX;
use crate::limit::QuotaStore;

/// Remaining = the new limit − what is counted, and never below zero.
pub async fn a_changed_limit_or_name_sees_the_same_count(store: &impl QuotaStore) {
    let caller = Caller::new(store);
    assert_eq!(caller.flood(&[minute(100)], 40, START).await, 40);
    assert_eq!(left(&caller.take(&[minute(1000)], START).await), [959]);
    let renamed = [quota("per-minute", 50, 60)];
    assert_eq!(left(&caller.take(&renamed, START).await), [8]);

    let lowered = caller.take(&[minute(30)], START).await;
    assert!(!lowered.admitted);
    assert_eq!(left(&lowered), [0]);
    let state = lowered.windows()[0];
    assert_eq!(state.retry_ms, Some(state.reset_ms));
}

/// The windows known already keep their counts, wherever they now stand.
pub async fn a_window_new_to_the_subject_begins_empty(store: &impl QuotaStore) {
    let caller = Caller::new(store);
    caller.flood(&[minute(100)], 40, START).await;
    let quotas = [quota("day", 500, 86_400), hour(200), minute(1000)];
    assert_eq!(left(&caller.peek(&quotas, START).await), [500, 200, 960]);
    assert_eq!(left(&caller.take(&quotas, START).await), [499, 199, 959]);
    assert_eq!(left(&caller.take(&[minute(100), hour(200)], START).await), [58, 198]);
}

/// Two tokens of different tiers, used in turn, do not wipe each other's windows.
pub async fn going_to_other_quotas_and_back_forgets_nothing(store: &impl QuotaStore) {
    let caller = Caller::new(store);
    let (free, premium) = ([minute(100)], [hour(30), minute(1000)]);
    for used in 1..=15 {
        assert_eq!(left(&caller.take(&premium, START).await)[0], 31 - 2 * used);
        assert_eq!(left(&caller.take(&free, START).await), [100 - 2 * used]);
    }
    let spent = caller.take(&premium, START).await;
    assert!(!spent.admitted);
    assert_eq!(left(&spent), [0, 970]);
}

/// At the maximum all are held to; past it the call is refused, rather than held to some.
pub async fn quotas_past_the_maximum_are_refused_for_ever(store: &impl QuotaStore) {
    let caller = Caller::new(store);
    let mut quotas: Vec<_> = (1..=QUOTAS_MAX).map(|n| quota("n", 10, n as u64)).collect();
    assert_eq!(left(&caller.take(&quotas, START).await), [9; QUOTAS_MAX]);
    quotas.push(hour(10));
    let outcome = caller.take(&quotas, START).await;
    assert!(!outcome.admitted);
    assert_eq!(outcome.retry_ms(), None);
    assert!(!caller.peek(&quotas, START).await.admitted);
    quotas.pop();
    assert_eq!(left(&caller.peek(&quotas, START).await), [9; QUOTAS_MAX]);
}

/// No quota, no limit; nor does the call count for later ones.
pub async fn without_quotas_nothing_is_counted(store: &impl QuotaStore) {
    let caller = Caller::new(store);
    for _ in 0..10 {
        let outcome = caller.take(&[], START).await;
        assert!(outcome.admitted);
        assert_eq!((outcome.windows(), outcome.retry_ms()), (&[][..], Some(0)));
    }
    assert_eq!(left(&caller.take(&[minute(5)], START).await), [4]);
}
