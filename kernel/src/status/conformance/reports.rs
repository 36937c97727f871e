//! What one report does.

use std::time::Duration;

use super::START;
use super::Told;
use super::after_ms;
use super::at_the_last;
use super::guessed;
use super::named;
use super::said;
use crate::status::COUNT_MAX;
use crate::status::Effect;
use crate::status::ID_CHARS_MAX;
use crate::status::MESSAGE_BYTES_MAX;
use crate::status::NotTaken;
use crate::status::OWNER_BYTES_MAX;
use crate::status::ResourceId;
use crate::status::StatusStore;
use crate::status::TTL;
use crate::status::Update;

/// Nothing is made up.
pub async fn what_was_never_reported_is_not_known(store: &impl StatusStore) {
    let told = Told::to(store);
    assert_eq!(told.known(42, START).await, None);
    assert!(told.listed(10, START).await.is_empty());
}

/// All of it, and what is put is what is got.
pub async fn what_is_reported_is_known(store: &impl StatusStore) {
    let told = Told::to(store);
    let update = Update {
        attempt: Some(1),
        completed: Some(3),
        total: Some(10),
        message: Some("page 3 of 10".into()),
        ..said("quality", "processing")
    };
    let first = told.reports(42, update.clone(), START).await;
    assert_eq!(first.effect, Effect::Applied);
    let failed = Update {
        error_message: Some("no such page: \"4\" \\ ä \u{1f980}".into()),
        ..said("graph", "failed")
    };
    let second = told.reports(42, failed, after_ms(START, 7)).await;
    let record = told.known(42, after_ms(START, 8)).await.expect("it was reported on");
    assert_eq!(second.record, record);
    assert_eq!(record.id, ResourceId::Number(42));
    assert_eq!((record.version, record.updated_at), (START.as_millis() + 7, after_ms(START, 7)));
    assert_eq!(record.owner, Some(named("ada")));
    assert_eq!(record.stages.len(), 2);
    let quality = record.stage("quality").expect("it was reported on");
    assert_eq!(*quality, update.state_after(None, START));
    let graph = record.stage("graph").expect("it was reported on");
    assert_eq!(graph.error_message.as_deref(), Some("no such page: \"4\" \\ ä \u{1f980}"));
    assert_eq!(graph.finished_at, Some(after_ms(START, 7)));
}

/// Every part at its bound.
pub async fn the_longest_report_is_taken_in_whole(store: &impl StatusStore) {
    let owner = "ö".repeat(OWNER_BYTES_MAX / 2);
    let told = Told::of(store, named(&owner));
    let update = Update {
        attempt: Some(u32::MAX),
        completed: Some(COUNT_MAX - 1),
        total: Some(COUNT_MAX),
        message: Some("\u{7f}\"".repeat(MESSAGE_BYTES_MAX / 2).into()),
        error_message: Some("\u{1}".repeat(MESSAGE_BYTES_MAX).into()),
        ..said("embedding", "failed")
    };
    for id in [u64::try_from(i64::MAX).expect("it is positive"), 0, 12_345_678_901_234_567] {
        let taken = told.reports(id, update.clone(), START).await;
        assert_eq!(taken.record.stages[0].1, update.state_after(None, START));
        assert_eq!(told.known(id, START).await, Some(taken.record.clone()));
        assert_eq!(taken.record.id, ResourceId::Number(id));
    }
    let long = ResourceId::parse(&"\u{10ffff}".repeat(ID_CHARS_MAX)).expect("at the bound");
    told.reports_of(&long, update, START).await;
    assert_eq!(told.known_of(&long, START).await.map(|record| record.id), Some(long));
}

/// Whoever is late is late.
pub async fn an_older_attempt_changes_nothing(store: &impl StatusStore) {
    let told = Told::to(store);
    let at = |attempt, status| Update { attempt: Some(attempt), ..said("graph", status) };
    told.reports(42, at(2, "processing"), START).await;
    for late in [at(1, "failed"), at(1, "completed"), at(2, "pending")] {
        let taken = told.reports(42, late, after_ms(START, 1)).await;
        assert_eq!(taken.effect, Effect::Outdated);
        assert_eq!(taken.record.version, START.as_millis());
        let graph = taken.record.stage("graph").expect("it was reported on");
        assert_eq!(*graph, at(2, "processing").state_after(None, START));
    }
}

/// Unless attempts order them; and its times are those of when it was said.
pub async fn what_waited_does_not_overwrite_what_was_said_meanwhile(store: &impl StatusStore) {
    let told = Told::to(store);
    let late = async |update: Update, waited_ms, at_ms| {
        let waited = Duration::from_millis(waited_ms);
        told.reports_late(42, update, waited, after_ms(START, at_ms)).await
    };
    told.reports(42, said("graph", "completed"), after_ms(START, 50)).await;
    let taken = late(said("graph", "processing"), 60, 100).await;
    assert_eq!(taken.effect, Effect::Outdated);
    assert_eq!(taken.record.stage("graph").map(|state| &*state.status.name), Some("completed"));
    let taken = late(said("graph", "processing"), 40, 100).await;
    assert_eq!(taken.effect, Effect::Applied);
    let graph = taken.record.stage("graph").expect("it was reported on");
    assert_eq!(
        (graph.updated_at, taken.record.updated_at),
        (after_ms(START, 60), after_ms(START, 100))
    );
    let with_attempt = Update { attempt: Some(1), ..said("graph", "failed") };
    let taken = late(with_attempt, 190, 200).await;
    assert_eq!(taken.effect, Effect::Applied);
    let graph = taken.record.stage("graph").expect("it was reported on");
    assert_eq!(graph.finished_at, Some(after_ms(START, 10)));
}

/// It was said once more since, though it changed nothing.
pub async fn what_waited_does_not_overwrite_what_was_repeated_meanwhile(store: &impl StatusStore) {
    let told = Told::to(store);
    told.reports(42, said("graph", "completed"), START).await;
    let taken = told.reports(42, said("graph", "completed"), after_ms(START, 80)).await;
    assert_eq!(taken.effect, Effect::Known);
    let graph = taken.record.stage("graph").expect("it was reported on");
    assert_eq!((graph.updated_at, graph.finished_at), (after_ms(START, 80), Some(START)));
    let waited = Duration::from_millis(60);
    let late = said("graph", "processing");
    let taken = told.reports_late(42, late, waited, after_ms(START, 100)).await;
    assert_eq!(taken.effect, Effect::Outdated);
}

/// Nor by an attempt that both name, where it is no further.
pub async fn what_waited_does_not_overwrite_what_was_said_meanwhile_of_its_own_attempt(
    store: &impl StatusStore,
) {
    let told = Told::to(store);
    let at = |status, completed, message: &str| Update {
        attempt: Some(1),
        completed,
        message: Some(message.into()),
        ..said("graph", status)
    };
    let late = async |update: Update| {
        let waited = Duration::from_millis(60);
        told.reports_late(42, update, waited, after_ms(START, 100)).await
    };
    told.reports(42, at("processing", Some(3), "since"), after_ms(START, 50)).await;
    let taken = late(at("processing", Some(3), "before")).await;
    assert_eq!(taken.effect, Effect::Outdated);
    let graph = taken.record.stage("graph").expect("it was reported on");
    assert_eq!(graph.message.as_deref(), Some("since"));
    let taken = late(at("processing", Some(4), "before")).await;
    assert_eq!(taken.effect, Effect::Applied);
    told.reports(42, at("processing", Some(5), "since"), after_ms(START, 90)).await;
    assert_eq!(late(at("completed", None, "before")).await.effect, Effect::Applied);
}

/// A name stands over a guess, and against another name.
pub async fn a_named_owner_is_not_put_aside(store: &impl StatusStore) {
    let id = ResourceId::Number(42);
    let report = |owner| Told::of(store, owner);
    let owner = async || Told::to(store).known(42, START).await.and_then(|record| record.owner);
    report(guessed("service")).reports(42, said("graph", "pending"), START).await;
    assert_eq!(owner().await, Some(guessed("service")));
    report(named("ada")).reports(42, said("graph", "processing"), START).await;
    assert_eq!(owner().await, Some(named("ada")));
    report(guessed("service")).reports(42, said("graph", "completed"), START).await;
    assert_eq!(owner().await, Some(named("ada")));
    let other = report(named("bob")).tries(&id, said("graph", "failed"), START).await;
    assert!(matches!(other, Err(NotTaken::OtherOwner(_))), "{other:?}");
    let record = Told::to(store).known(42, START).await.expect("it was reported on");
    assert_eq!(record.owner, Some(named("ada")));
    assert_eq!(record.stage("graph").map(|state| &*state.status.name), Some("completed"));
}

/// Each report counts, also one that changes nothing.
pub async fn a_record_is_kept_for_its_time_after_the_last_report_and_no_longer(
    store: &impl StatusStore,
) {
    let told = Told::to(store);
    told.reports(42, said("graph", "processing"), START).await;
    assert!(told.known(42, at_the_last(START)).await.is_some());
    assert_eq!(told.known(42, START.plus(TTL)).await, None);
    let again = at_the_last(START);
    let taken = told.reports(42, said("graph", "processing"), again).await;
    assert_eq!(taken.effect, Effect::Known);
    assert!(told.known(42, at_the_last(again)).await.is_some());
    assert_eq!(told.known(42, again.plus(TTL)).await, None);
    // What comes after that begins anew.
    let taken = told.reports(42, said("quality", "pending"), again.plus(TTL)).await;
    assert_eq!(taken.record.stages.len(), 1);
    assert_eq!(taken.record.version, again.plus(TTL).as_millis());
}

/// Names that a store might mistake for each other, or for something of its own.
pub async fn hostile_names_are_one_resource_each(store: &impl StatusStore) {
    let names = [
        "a",
        "A",
        " a",
        "a ",
        "{a}",
        "}a{",
        "a:b",
        "a%3Ab",
        "a/b",
        "%61",
        "é",
        "e\u{301}",
        "*",
        "a\\",
        "\"a\"",
        "'",
        "null",
        "-1",
        "1e3",
        "4.2",
        ":events",
        "a:events",
        "#",
        "$",
        "a\u{202e}b",
    ];
    let told = Told::to(store);
    let ids = names.map(|name| ResourceId::parse(name).expect("a name"));
    for (attempt, id) in (1..).zip(&ids) {
        let update = Update { attempt: Some(attempt), ..said("graph", "processing") };
        let taken = told.reports_of(id, update, START).await;
        assert_eq!(taken.record.id, *id);
    }
    for (attempt, id) in (1..).zip(&ids) {
        let record = told.known_of(id, START).await.expect("it was reported on");
        assert_eq!(record.stage("graph").and_then(|state| state.attempt), Some(attempt), "{id}");
    }
    assert_eq!(told.listed(7, START).await.len(), names.len());
}
