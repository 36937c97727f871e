//! What is known of a resource, whose it is, and what one report makes of it.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use super::id::ResourceId;
use super::plan::Plan;
use super::plan::Standing;
use super::rule::Phase;
use super::rule::overall;
use super::rule::phase;
use super::update::Effect;
use super::update::StageState;
use super::update::Update;
use crate::time::Timestamp;

/// The longest name of an owner, in bytes.
pub const OWNER_BYTES_MAX: usize = 255;

/// To whom a resource belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// A user's id.
    pub id: Arc<str>,
    /// Whether a service has said so. Else it is the one who reported first.
    pub is_named: bool,
}

/// One report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Of which resource.
    pub id: ResourceId,
    /// What is reported.
    pub update: Update,
    /// To whom the resource belongs, by who reports.
    pub owner: Owner,
    /// How long ago it was said; zero unless it had to wait.
    pub waited: Duration,
}

/// What is known of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is called.
    pub id: ResourceId,
    /// A number that each change of a stage makes greater: that change's moment in milliseconds, or one
    /// more than it was, whichever is greater. So a record that was begun anew, or went on from what a
    /// store still had after it lost the last changes, is never taken for what it was.
    pub version: u64,
    /// `None`: nobody of whom we know.
    pub owner: Option<Owner>,
    /// By name: in the order of the plan, then those that are not expected.
    pub stages: Vec<(Arc<str>, StageState)>,
    /// When it was reported on last, whatever the report changed.
    pub updated_at: Timestamp,
}

/// The change of one stage, and what the whole was after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The record's version after it.
    pub version: u64,
    /// The record's version before it; 0: there was none. What does not go on from where somebody is
    /// tells them that they missed something.
    pub previous: u64,
    /// To whom the record belongs after it.
    pub owner: Option<Owner>,
    /// Which stage.
    pub stage: Arc<str>,
    /// How that stands.
    pub state: StageState,
    /// The whole.
    pub whole: Whole,
}

/// What the stages of a record come to together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// For programs.
    pub overall: Standing,
    /// For people.
    pub phase: Phase,
    /// How many of the expected stages are completed.
    pub completed: u32,
    /// How many are expected.
    pub total: u32,
    /// What went wrong in the first stage that says so.
    pub error_message: Option<Arc<str>>,
}

/// The resource is another owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the resource belongs to another owner")]
pub struct OtherOwner;

impl Owner {
    /// Whether it is the user called `user_id`.
    pub fn is(&self, user_id: &str) -> bool {
        *self.id == *user_id
    }

    /// What becomes of an owner of whom `said` is said now.
    ///
    /// # Errors
    /// [`OtherOwner`] where a service has named another one.
    pub fn settle(present: Option<&Self>, said: &Self) -> Result<Self, OtherOwner> {
        match present {
            None => Ok(said.clone()),
            Some(present) if !said.is_named => Ok(present.clone()),
            Some(present) if !present.is_named => Ok(said.clone()),
            Some(present) if present.id == said.id => Ok(present.clone()),
            Some(_) => Err(OtherOwner),
        }
    }
}

impl Report {
    /// When it was said, if it comes `now`.
    pub fn said(&self, now: Timestamp) -> Timestamp {
        now.minus(self.waited)
    }

    /// What it does, coming `now`, to a stage that stands so: as its update says. But where it has waited
    /// and something was said of the stage since, it is outdated unless its attempt puts it after that.
    fn effect(&self, present: Option<&StageState>, now: Timestamp) -> Effect {
        let was_said_since = |present: &StageState| {
            present.updated_at > self.said(now)
                && self.update.order(present) != Some(Ordering::Greater)
        };
        match self.update.effect(present) {
            Effect::Applied if !self.waited.is_zero() && present.is_some_and(was_said_since) => {
                Effect::Outdated
            }
            effect => effect,
        }
    }
}

impl Record {
    /// What is known of `id` before anything was reported.
    pub fn new(id: ResourceId) -> Self {
        Self { id, version: 0, owner: None, stages: Vec::new(), updated_at: Timestamp::default() }
    }

    /// What is known of the stage called `name`.
    pub fn stage(&self, name: &str) -> Option<&StageState> {
        self.stages.iter().find(|(stage, _)| **stage == *name).map(|(_, state)| state)
    }

    /// Whether it belongs to the user called `user_id`.
    pub fn is_of(&self, user_id: &str) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.is(user_id))
    }

    /// Takes in a report on it that comes `now`. Where a stage was changed, says how.
    ///
    /// One that has waited never overwrites what was said meanwhile, unless its attempt puts it after that;
    /// and the stage's times are those of when it was said.
    ///
    /// # Errors
    /// [`OtherOwner`]: nothing was changed.
    pub fn take(
        &mut self,
        report: &Report,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<(Effect, Option<Change>), OtherOwner> {
        let Report { update, owner, .. } = report;
        let owner = Owner::settle(self.owner.as_ref(), owner)?;
        self.owner = Some(owner);
        self.updated_at = self.updated_at.max(now);
        let present = self.stage(&update.stage);
        let effect = report.effect(present, now);
        match effect {
            Effect::Applied => {}
            Effect::Known => {
                self.is_so_still(&update.stage, report.said(now));
                return Ok((effect, None));
            }
            Effect::Outdated => return Ok((effect, None)),
        }
        let state = update.state_after(present, report.said(now));
        self.put(&update.stage, state.clone(), plan);
        let previous = self.version;
        self.version = now.as_millis().max(previous + 1);
        let change = Change {
            version: self.version,
            previous,
            owner: self.owner.clone(),
            stage: Arc::clone(&update.stage),
            state,
            whole: self.whole(plan),
        };
        Ok((effect, Some(change)))
    }

    /// Notes that what is known of `stage` was said then, too: what was said before that is older.
    fn is_so_still(&mut self, stage: &str, said: Timestamp) {
        if let Some((_, state)) = self.stages.iter_mut().find(|(name, _)| **name == *stage) {
            state.updated_at = state.updated_at.max(said);
        }
    }

    /// Puts `state` in the place of what is known of `stage`.
    pub fn put(&mut self, stage: &Arc<str>, state: StageState, plan: &Plan) {
        match self.stages.iter_mut().find(|(name, _)| name == stage) {
            Some((_, known)) => *known = state,
            None => {
                let place = |name: &str| {
                    let stages = plan.stages().iter();
                    stages.take_while(|expected| ***expected != *name).count()
                };
                let at = self.stages.iter().take_while(|(name, _)| place(name) <= place(stage));
                let at = at.count();
                self.stages.insert(at, (Arc::clone(stage), state));
            }
        }
    }

    /// What the expected stages come to; others do not count, but for what went wrong in them.
    pub fn whole(&self, plan: &Plan) -> Whole {
        let expected = || plan.stages().iter().map(|name| self.stage(name));
        let standings = || expected().map(|state| state.map(|state| state.status.standing));
        let completed = standings().filter(|standing| *standing == Some(Standing::Completed));
        let failed = self.stages.iter().map(|(_, state)| state);
        let failed = failed.filter(|state| state.status.standing == Standing::Failed);
        Whole {
            overall: overall(standings()),
            phase: phase(standings()),
            // There are at most `STAGES_MAX`.
            completed: completed.count() as u32,
            total: plan.stages().len() as u32,
            error_message: failed.filter_map(|state| state.error_message.clone()).next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn update(stage: &str, status: &str, attempt: Option<u32>) -> Update {
        Update { attempt, ..Update::new(stage, Plan::default().status(status).unwrap()) }
    }

    fn named(id: &str) -> Owner {
        Owner { id: id.into(), is_named: true }
    }

    fn report(update: &Update, waited: Duration) -> Report {
        let (id, update) = (ResourceId::Number(42), update.clone());
        Report { id, update, owner: named("u1"), waited }
    }

    fn take(record: &mut Record, update: &Update, at_ms: u64) -> Effect {
        late(record, update, 0, at_ms)
    }

    fn record() -> Record {
        Record::new(ResourceId::Number(42))
    }

    #[test]
    fn an_older_attempt_never_overwrites_a_later_one() {
        let mut record = record();
        take(&mut record, &update("graph", "processing", Some(2)), 0);
        let late = take(&mut record, &update("graph", "failed", Some(1)), 1);
        assert_eq!(late, Effect::Outdated);
        assert_eq!(&*record.stage("graph").unwrap().status.name, "processing");
        assert_eq!(record.version, NOW.as_millis());
    }

    #[test]
    fn without_attempts_the_last_report_stands() {
        let mut record = record();
        for status in ["completed", "processing", "failed", "pending"] {
            assert_eq!(take(&mut record, &update("graph", status, None), 0), Effect::Applied);
            assert_eq!(&*record.stage("graph").unwrap().status.name, status);
        }
    }

    #[test]
    fn what_is_said_twice_is_no_change_the_second_time_but_said_then() {
        let mut record = record();
        let said = update("graph", "processing", None);
        let at_5 = NOW.plus(Duration::from_millis(5));
        assert_eq!(take(&mut record, &said, 0), Effect::Applied);
        assert_eq!(take(&mut record, &said, 5), Effect::Known);
        let state = record.stage("graph").unwrap();
        assert_eq!((state.updated_at, state.started_at), (at_5, Some(NOW)));
        assert_eq!((record.version, record.updated_at), (NOW.as_millis(), at_5));
        // One that waited puts nothing back.
        assert_eq!(late(&mut record, &said, 7, 9), Effect::Known);
        assert_eq!(record.stage("graph").unwrap().updated_at, at_5);
    }

    fn late(record: &mut Record, update: &Update, waited_ms: u64, at_ms: u64) -> Effect {
        let [now, waited] = [at_ms, waited_ms].map(Duration::from_millis);
        let now = NOW.plus(now);
        record.take(&report(update, waited), &Plan::default(), now).unwrap().0
    }

    #[test]
    fn what_waited_does_not_overwrite_what_was_said_meanwhile_unless_an_attempt_orders_them() {
        let mut record = record();
        take(&mut record, &update("graph", "completed", Some(1)), 50);
        let waited = update("graph", "processing", None);
        assert_eq!(late(&mut record, &waited, 60, 100), Effect::Outdated);
        assert_eq!(late(&mut record, &waited, 50, 100), Effect::Applied, "of one moment");
        take(&mut record, &update("graph", "completed", Some(1)), 150);
        let later = update("graph", "processing", Some(2));
        assert_eq!(late(&mut record, &later, 190, 200), Effect::Applied);
        let state = record.stage("graph").unwrap();
        let said = NOW.plus(Duration::from_millis(10));
        assert_eq!((state.started_at, state.updated_at), (Some(said), said));
        assert_eq!(record.updated_at, NOW.plus(Duration::from_millis(200)));
        // Of what nothing was said meanwhile.
        assert_eq!(late(&mut record, &update("quality", "failed", None), 60, 300), Effect::Applied);
    }

    #[test]
    fn what_waited_overwrites_nothing_that_was_said_since_of_the_same_attempt_and_no_less_far() {
        let mut record = record();
        let said = |status, completed, message: &str| Update {
            completed,
            message: Some(message.into()),
            ..update("graph", status, Some(1))
        };
        take(&mut record, &said("processing", Some(3), "since"), 50);
        let tie = said("processing", Some(3), "before");
        assert_eq!(late(&mut record, &tie, 60, 100), Effect::Outdated);
        assert_eq!(
            late(&mut record, &said("processing", None, "before"), 60, 100),
            Effect::Outdated
        );
        assert_eq!(late(&mut record, &tie, 50, 100), Effect::Applied, "of one moment");
        take(&mut record, &said("processing", Some(3), "since"), 150);
        assert_eq!(
            late(&mut record, &said("processing", Some(4), "before"), 190, 200),
            Effect::Applied
        );
        take(&mut record, &said("processing", Some(5), "since"), 250);
        assert_eq!(
            late(&mut record, &said("completed", None, "before"), 290, 300),
            Effect::Applied
        );
    }

    #[test]
    fn a_version_is_past_every_one_that_may_have_been_lost() {
        let mut record = record();
        let mut version = |status, at_ms| {
            let now = NOW.plus(Duration::from_millis(at_ms));
            let said = report(&update("graph", status, None), Duration::ZERO);
            let taken = record.take(&said, &Plan::default(), now).unwrap();
            let change = taken.1.unwrap();
            let past = |version: u64| version.saturating_sub(NOW.as_millis());
            (past(change.previous), past(change.version))
        };
        assert_eq!(version("pending", 5), (0, 5));
        assert_eq!(version("processing", 900), (5, 900));
        // A clock that stands still, or is put back.
        assert_eq!(version("pending", 900), (900, 901));
        assert_eq!(version("processing", 7), (901, 902));
    }

    #[test]
    fn an_attempt_has_a_beginning_and_an_end_of_its_own() {
        let mut record = record();
        let at = |ms| Some(NOW.plus(Duration::from_millis(ms)));
        let times = |record: &Record| {
            let state = record.stage("graph").unwrap();
            (state.started_at, state.finished_at)
        };
        take(&mut record, &update("graph", "pending", Some(1)), 0);
        assert_eq!(times(&record), (None, None));
        take(&mut record, &update("graph", "processing", Some(1)), 1);
        take(&mut record, &update("graph", "failed", Some(1)), 2);
        assert_eq!(times(&record), (at(1), at(2)));
        take(&mut record, &update("graph", "processing", Some(2)), 3);
        assert_eq!(times(&record), (at(3), None));
    }

    #[test]
    fn an_owner_is_named_once_and_a_name_is_above_a_guess() {
        let guess = |id: &str| Owner { id: id.into(), is_named: false };
        let settle = |present, said| Owner::settle(Some(&present), &said);
        assert_eq!(Owner::settle(None, &guess("a")), Ok(guess("a")));
        assert_eq!(settle(guess("a"), guess("b")), Ok(guess("a")));
        assert_eq!(settle(guess("a"), named("b")), Ok(named("b")));
        assert_eq!(settle(named("b"), guess("a")), Ok(named("b")));
        assert_eq!(settle(named("b"), named("b")), Ok(named("b")));
        assert_eq!(settle(named("b"), named("a")), Err(OtherOwner));
    }

    #[test]
    fn stages_stand_in_the_order_of_the_plan_and_unexpected_ones_last() {
        let mut record = record();
        for stage in ["polish", "embedding", "quality", "ingestion", "zeal", "graph"] {
            take(&mut record, &update(stage, "completed", None), 0);
        }
        let names: Vec<_> = record.stages.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["ingestion", "quality", "graph", "embedding", "polish", "zeal"]);
        let whole = record.whole(&Plan::default());
        assert_eq!((whole.completed, whole.total), (4, 5));
        assert_eq!((whole.overall, whole.phase), (Standing::Pending, Phase::Running));
    }

    fn any_update() -> impl Strategy<Value = Update> {
        let stage = prop::sample::select(vec!["ingestion", "graph"]);
        let status = prop::sample::select(Standing::ALL.map(Standing::as_str).to_vec());
        (stage, status, 1..4_u32, prop::option::of(0..3_u64)).prop_map(
            |(stage, status, attempt, completed)| Update {
                completed,
                ..update(stage, status, Some(attempt))
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn with_attempts_any_order_of_delivery_comes_to_the_same(
            (updates, shuffled) in prop::collection::vec(any_update(), 1..12)
                .prop_flat_map(|updates| (Just(updates.clone()), Just(updates).prop_shuffle()))
        ) {
            let said = |updates: &[Update]| {
                let mut record = record();
                for update in updates {
                    take(&mut record, update, 0);
                }
                let stage = |(name, state): &(Arc<str>, StageState)| {
                    (Arc::clone(name), state.status.rank, state.attempt, state.completed)
                };
                record.stages.iter().map(stage).collect::<Vec<_>>()
            };
            prop_assert_eq!(said(&updates), said(&shuffled));
        }
    }
}
