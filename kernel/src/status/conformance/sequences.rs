//! Any sequence of reports, beside a record in hand.

use super::START;
use super::Told;
use super::after_ms;
use super::said;
use crate::limit::conformance::Dice;
use crate::status::Plan;
use crate::status::Record;
use crate::status::ResourceId;
use crate::status::StatusStore;
use crate::status::USUAL_STAGES;
use crate::status::Update;

/// The store is as good as the record, to the last member of the last change.
pub async fn agrees_with_a_record_in_hand_on_any_sequence(store: &impl StatusStore) {
    let (told, plan) = (Told::to(store), Plan::default());
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let id = 1000 + seed;
        let mut record = Record::new(ResourceId::Number(id));
        let mut now = START;
        for step in 0..40 {
            now = after_ms(now, dice.below(3));
            let update = any(&mut dice);
            let (effect, change) =
                record.take(&update, &told.owner, &plan, now).expect("one owner alone");
            let place = format!("seed {seed}, step {step}: {update:?}");
            let before = record.version - u64::from(change.is_some());
            let taken = told.reports(id, update, now).await;
            assert_eq!((taken.effect, &taken.record), (effect, &record), "{place}");
            let is_first = change.is_some() && before < START.as_millis();
            if !is_first {
                let changes: Vec<_> = change.into_iter().collect();
                assert_eq!(told.changes(id, before, now).await, changes, "{place}");
            }
        }
        assert_eq!(told.known(id, now).await, Some(record));
    }
}

fn any(dice: &mut Dice) -> Update {
    let stage: &str = dice.pick::<&str>(&USUAL_STAGES);
    let status: &str = dice.pick::<&str>(&["pending", "processing", "completed", "failed"]);
    let text =
        |dice: &mut Dice| dice.pick::<Option<&str>>(&[None, Some("a"), Some("b")]).map(Into::into);
    Update {
        attempt: *dice.pick(&[None, None, Some(1), Some(2), Some(3)]),
        completed: *dice.pick(&[None, Some(0), Some(1)]),
        total: *dice.pick(&[None, Some(1)]),
        message: text(dice),
        error_message: text(dice),
        ..said(stage, status)
    }
}

/// All 5^5: each stage missing, or in one of the four statuses.
pub async fn the_whole_is_as_the_rule_says_in_every_combination(store: &impl StatusStore) {
    let (told, plan) = (Told::to(store), Plan::default());
    let sayings = [None, Some("pending"), Some("processing"), Some("completed"), Some("failed")];
    // Four stages are said once, and the fifth in each way; so that every combination is seen, by a
    // resource for each combination of the four.
    for n in 0..5_usize.pow(4) {
        let id = n as u64;
        let mut before = None;
        for (place, stage) in USUAL_STAGES[..4].iter().enumerate() {
            if let Some(status) = sayings[n / 5_usize.pow(place as u32) % 5] {
                before = Some(told.reports(id, said(stage, status), START).await.record);
            }
        }
        for status in sayings {
            if let Some(status) = status {
                before = Some(told.reports(id, said(USUAL_STAGES[4], status), START).await.record);
            }
            let Some(record) = &before else { continue };
            if record.version > START.as_millis() {
                let changes = told.changes(id, record.version - 1, START).await;
                assert_eq!(changes[0].whole, record.whole(&plan), "{record:?}");
            }
        }
    }
}
