//! What an owner's list has.

use super::START;
use super::Told;
use super::after_ms;
use super::at_the_last;
use super::guessed;
use super::named;
use super::said;
use crate::status::StatusStore;
use crate::status::TTL;

/// And nobody else's.
pub async fn a_list_has_what_is_ones_own_the_last_changed_first(store: &impl StatusStore) {
    let (ada, bob) = (Told::to(store), Told::of(store, named("bob")));
    for id in 1..=5 {
        ada.reports(id, said("graph", "pending"), after_ms(START, id)).await;
        bob.reports(10 + id, said("graph", "pending"), after_ms(START, id)).await;
    }
    let now = after_ms(START, 100);
    ada.reports(2, said("graph", "processing"), now).await;
    assert_eq!(ada.listed(10, now).await, ["2", "5", "4", "3", "1"]);
    assert_eq!(bob.listed(10, now).await, ["15", "14", "13", "12", "11"]);
    let page = ada.page(None, 10, now).await;
    assert_eq!(page.next, None);
    assert_eq!(Some(&page.records[0]), ada.known(2, now).await.as_ref());
    assert!(Told::of(store, named("ad")).listed(10, now).await.is_empty());
}

/// Each once, whatever the size of a page.
pub async fn a_list_goes_on_where_it_was_left_also_within_one_moment(store: &impl StatusStore) {
    let told = Told::to(store);
    for id in 1..=40 {
        // Thirty of one moment, then some of others.
        told.reports(id, said("graph", "pending"), after_ms(START, id.saturating_sub(30))).await;
    }
    let now = after_ms(START, 100);
    let all = told.listed(100, now).await;
    let mut once = all.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), 40);
    for limit in [1, 3, 7, 20, 39, 40] {
        assert_eq!(told.listed(limit, now).await, all, "by {limit}");
    }
}

/// Nor keeps anything that is from being there.
pub async fn what_is_kept_no_more_is_in_no_list(store: &impl StatusStore) {
    let told = Told::to(store);
    told.reports(1, said("graph", "pending"), START).await;
    told.reports(2, said("graph", "pending"), after_ms(START, 1)).await;
    assert_eq!(told.listed(10, at_the_last(START)).await, ["2", "1"]);
    assert_eq!(told.listed(10, START.plus(TTL)).await, ["2"]);
    assert!(told.listed(10, after_ms(START.plus(TTL), 1)).await.is_empty());
}

/// From that of whoever guessed to that of whom was named.
pub async fn what_gets_a_named_owner_changes_lists(store: &impl StatusStore) {
    let (service, ada) = (Told::of(store, guessed("service")), Told::to(store));
    service.reports(42, said("graph", "pending"), START).await;
    assert_eq!(service.listed(10, START).await, ["42"]);
    ada.reports(42, said("graph", "processing"), after_ms(START, 1)).await;
    assert!(service.listed(10, after_ms(START, 1)).await.is_empty());
    assert_eq!(ada.listed(10, after_ms(START, 1)).await, ["42"]);
}
