//! Any sequence of reports, beside a record in hand.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::START;
use super::Told;
use super::after_ms;
use super::said;
use crate::limit::conformance::Dice;
use crate::status::Plan;
use crate::status::Record;
use crate::status::Report;
use crate::status::ResourceId;
use crate::status::StatusStore;
use crate::status::USUAL_STAGES;
use crate::status::Update;

/// The store is as good as the record, to the last member of the last change.
pub async fn agrees_with_a_record_in_hand_on_any_sequence(store: &impl StatusStore) {
    agrees_with_a_record_by(&Plan::default(), store).await;
}

/// The same for a store of another plan.
pub async fn agrees_with_a_record_by(plan: &Plan, store: &impl StatusStore) {
    let told = Told::to(store);
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let id = 1000 + seed;
        let mut record = Record::new(ResourceId::Number(id));
        let mut now = START;
        for step in 0..40 {
            now = after_ms(now, dice.below(3));
            let update = any(&mut dice, plan);
            let waited = Duration::from_millis(*dice.pick(&[0, 0, 1, 5]));
            let owner = told.owner.clone();
            let report = Report { id: record.id.clone(), update, owner, waited };
            let taken = record.take(&report, plan, now);
            let (effect, change) = taken.expect("one owner alone");
            let place = format!("seed {seed}, step {step}: {report:?}");
            let before = change.as_ref().map_or(record.version, |change| change.previous);
            let taken = told.reports_late(id, report.update, waited, now).await;
            assert_eq!((taken.effect, &taken.record), (effect, &record), "{place}");
            if before > 0 {
                let changes: Vec<_> = change.into_iter().collect();
                assert_eq!(told.changes(id, before, now).await, changes, "{place}");
            }
        }
        assert_eq!(told.known(id, now).await, Some(record));
    }
}

fn any(dice: &mut Dice, plan: &Plan) -> Update {
    let stage = Arc::clone(dice.pick(plan.stages()));
    let status = dice.pick(plan.statuses()).clone();
    let text =
        |dice: &mut Dice| dice.pick::<Option<&str>>(&[None, Some("a"), Some("b")]).map(Into::into);
    Update {
        attempt: *dice.pick(&[None, None, Some(1), Some(2), Some(3)]),
        completed: *dice.pick(&[None, Some(0), Some(1)]),
        total: *dice.pick(&[None, Some(1)]),
        message: text(dice),
        error_message: text(dice),
        ..Update::new(stage, status)
    }
}

/// All 5^5: each stage missing, or in one of the four statuses. Where all are missing nothing is known,
/// and nothing changes; each other one is looked at in a change, and in the record.
pub async fn the_whole_is_as_the_rule_says_in_every_combination(store: &impl StatusStore) {
    let (told, plan) = (Told::to(store), Plan::default());
    let sayings = [None, Some("pending"), Some("processing"), Some("completed"), Some("failed")];
    let mut seen = HashSet::new();
    // Four stages are said once, and the fifth in each way; so that every combination is seen, by a
    // resource for each combination of the four.
    for n in 0..5_usize.pow(4) {
        let id = n as u64;
        let mut before: Option<Record> = None;
        let places = (0..4).map(|place| sayings[n / 5_usize.pow(place) % 5]);
        let mut steps: Vec<_> = USUAL_STAGES.into_iter().zip(places).collect();
        steps.extend(sayings.map(|status| (USUAL_STAGES[4], status)));
        for (stage, status) in steps {
            let Some(status) = status else { continue };
            if before.is_none() {
                // What is told to nobody is the first change alone: it is another one.
                let other = if status == "failed" { "pending" } else { "failed" };
                before = Some(told.reports(id, said(stage, other), START).await.record);
            }
            let version = before.map_or(0, |record| record.version);
            let record = told.reports(id, said(stage, status), START).await.record;
            let changes = told.changes(id, version, START).await;
            assert_eq!(changes[0].whole, record.whole(&plan), "{record:?}");
            seen.insert(
                USUAL_STAGES.map(|stage| record.stage(stage).map(|state| state.status.standing)),
            );
            before = Some(record);
        }
    }
    assert_eq!(seen.len(), 5_usize.pow(5) - 1);
}
