//! What is told to whoever was away.

use super::START;
use super::Told;
use super::after_ms;
use super::said;
use crate::status::CHANGES_KEPT_MAX;
use crate::status::Phase;
use crate::status::Since;
use crate::status::Standing;
use crate::status::StatusStore;
use crate::status::TTL;
use crate::status::Update;

/// In order, each a version after the other.
pub async fn a_change_is_told_with_what_the_whole_was_after_it(store: &impl StatusStore) {
    let told = Told::to(store);
    let begun = told.reports(42, said("quality", "processing"), START).await.record;
    let failure = Update { error_message: Some("no".into()), ..said("graph", "failed") };
    let failed = told.reports(42, failure, after_ms(START, 1)).await.record;
    let done = told.reports(42, said("quality", "completed"), after_ms(START, 2)).await.record;

    let changes = told.changes(42, begun.version, after_ms(START, 3)).await;
    let told_of: Vec<_> =
        changes.iter().map(|change| (change.previous, change.version, &*change.stage)).collect();
    let [first, second, third] = [&begun, &failed, &done].map(|record| record.version);
    assert_eq!(told_of, [(first, second, "graph"), (second, third, "quality")]);
    assert!(changes.iter().all(|change| change.owner == Some(told.owner.clone())));
    assert_eq!(Some(&changes[0].state), failed.stage("graph"));
    assert_eq!(Some(&changes[1].state), done.stage("quality"));
    for change in &changes {
        assert_eq!((change.whole.overall, change.whole.phase), (Standing::Failed, Phase::Failed));
        assert_eq!(change.whole.error_message.as_deref(), Some("no"));
    }
    let counts = changes.iter().map(|change| (change.whole.completed, change.whole.total));
    assert_eq!(counts.collect::<Vec<_>>(), [(0, 5), (1, 5)]);
    assert!(told.changes(42, done.version, after_ms(START, 3)).await.is_empty());
}

/// Neither what was known nor what is too late.
pub async fn what_changes_nothing_is_no_change(store: &impl StatusStore) {
    let told = Told::to(store);
    let at = |attempt| Update { attempt: Some(attempt), ..said("graph", "processing") };
    let version = told.reports(42, at(2), START).await.record.version;
    for attempt in [2, 1] {
        told.reports(42, at(attempt), START).await;
        assert!(told.changes(42, version, START).await.is_empty());
    }
}

/// At the bound all is told; past it, and of the future, nothing.
pub async fn more_than_is_kept_and_what_never_was_is_missed(store: &impl StatusStore) {
    let told = Told::to(store);
    assert_eq!(told.since(42, 7, START).await, Since::Missed);
    let first = told.reports(42, said("graph", "pending"), START).await.record.version;
    let mut last = first;
    for count in 0..CHANGES_KEPT_MAX {
        let update = Update { completed: Some(count as u64), ..said("graph", "processing") };
        last = told.reports(42, update, START).await.record.version;
    }
    assert_eq!(told.changes(42, first, START).await.len(), CHANGES_KEPT_MAX);
    assert_eq!(told.since(42, last + 1, START).await, Since::Missed);
    told.reports(42, said("graph", "completed"), START).await;
    assert_eq!(told.since(42, first, START).await, Since::Missed);
    assert_eq!(told.changes(42, first + 1, START).await.len(), CHANGES_KEPT_MAX);
}

/// As after a store came back without the last of what it had been told: whoever knows that is told how
/// all stands, and not what comes after something else.
pub async fn what_is_no_version_between_two_changes_is_missed(store: &impl StatusStore) {
    let told = Told::to(store);
    let kept = told.reports(42, said("graph", "pending"), START).await.record.version;
    let now = after_ms(START, 1000);
    let after = told.reports(42, said("graph", "processing"), now).await.record.version;
    assert_eq!((kept, after), (START.as_millis(), now.as_millis()));
    for lost in [kept + 1, kept + 500, after - 1] {
        assert_eq!(told.since(42, lost, now).await, Since::Missed, "{}", lost - kept);
    }
    assert_eq!(told.changes(42, kept, now).await.len(), 1);
}

/// Though its number of changes is the same.
pub async fn a_record_that_begins_anew_is_not_taken_for_what_it_was(store: &impl StatusStore) {
    let told = Told::to(store);
    let before = told.reports(42, said("graph", "pending"), START).await.record.version;
    let gone = START.plus(TTL);
    assert_eq!(told.since(42, before, gone).await, Since::Missed);
    let after = told.reports(42, said("graph", "pending"), gone).await.record.version;
    assert!(after > before);
    assert_eq!(told.since(42, before, gone).await, Since::Missed);
}
