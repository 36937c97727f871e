//! The suite that every [`StatusStore`] must pass, whatever it keeps its records in.
//!
//! A store's tests call [`status_conformance!`](crate::status_conformance) with an expression that
//! makes an empty store of the usual plan, which keeps records for [`TTL`]; each behaviour becomes a
//! test of its own. What is added here is thereby asked of every store.

mod changes;
mod lists;
mod reports;
mod sequences;

use std::sync::Arc;
use std::time::Duration;

use crate::status::Change;
use crate::status::Cursor;
use crate::status::NotTaken;
use crate::status::Owner;
use crate::status::Page;
use crate::status::Plan;
use crate::status::Record;
use crate::status::Report;
use crate::status::ResourceId;
use crate::status::Since;
use crate::status::StatusStore;
use crate::status::TTL;
use crate::status::Taken;
use crate::status::USUAL_STAGES;
use crate::status::Update;
use crate::time::Timestamp;

pub use changes::a_change_is_told_with_what_the_whole_was_after_it;
pub use changes::a_record_that_begins_anew_is_not_taken_for_what_it_was;
pub use changes::more_than_is_kept_and_what_never_was_is_missed;
pub use changes::what_changes_nothing_is_no_change;
pub use changes::what_is_no_version_between_two_changes_is_missed;
pub use lists::a_list_goes_on_where_it_was_left_also_within_one_moment;
pub use lists::a_list_has_what_is_ones_own_the_last_changed_first;
pub use lists::what_gets_a_named_owner_changes_lists;
pub use lists::what_is_kept_no_more_is_in_no_list;
pub use reports::a_named_owner_is_not_put_aside;
pub use reports::a_record_is_kept_for_its_time_after_the_last_report_and_no_longer;
pub use reports::an_older_attempt_changes_nothing;
pub use reports::hostile_names_are_one_resource_each;
pub use reports::the_longest_report_is_taken_in_whole;
pub use reports::what_is_reported_is_known;
pub use reports::what_waited_does_not_overwrite_what_was_repeated_meanwhile;
pub use reports::what_waited_does_not_overwrite_what_was_said_meanwhile;
pub use reports::what_waited_does_not_overwrite_what_was_said_meanwhile_of_its_own_attempt;
pub use reports::what_was_never_reported_is_not_known;
pub use sequences::agrees_with_a_record_by;
pub use sequences::agrees_with_a_record_in_hand_on_any_sequence;
pub use sequences::the_whole_is_as_the_rule_says_in_every_combination;

/// Makes a test of each behaviour in the suite, for the store that the expression makes.
///
/// The tests are asynchronous: the crate that calls this needs `tokio`.
#[macro_export]
#[doc(hidden)]
macro_rules! status_conformance {
    ($make:expr) => {
        $crate::status_conformance!(@each $make;
            what_was_never_reported_is_not_known,
            what_is_reported_is_known,
            the_longest_report_is_taken_in_whole,
            an_older_attempt_changes_nothing,
            what_waited_does_not_overwrite_what_was_said_meanwhile,
            what_waited_does_not_overwrite_what_was_said_meanwhile_of_its_own_attempt,
            what_waited_does_not_overwrite_what_was_repeated_meanwhile,
            a_named_owner_is_not_put_aside,
            a_record_is_kept_for_its_time_after_the_last_report_and_no_longer,
            hostile_names_are_one_resource_each,
            a_change_is_told_with_what_the_whole_was_after_it,
            what_changes_nothing_is_no_change,
            more_than_is_kept_and_what_never_was_is_missed,
            what_is_no_version_between_two_changes_is_missed,
            a_record_that_begins_anew_is_not_taken_for_what_it_was,
            a_list_has_what_is_ones_own_the_last_changed_first,
            a_list_goes_on_where_it_was_left_also_within_one_moment,
            what_is_kept_no_more_is_in_no_list,
            what_gets_a_named_owner_changes_lists,
            agrees_with_a_record_in_hand_on_any_sequence,
            the_whole_is_as_the_rule_says_in_every_combination,
        );

        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn of_100_parallel_writers_of_each_of_five_stages_nothing_is_lost() {
            let store = std::sync::Arc::new($make);
            let mut racing = tokio::task::JoinSet::new();
            for report in $crate::status::conformance::parallel_reports(&store) {
                racing.spawn(report);
            }
            let taken = racing.join_all().await;
            $crate::status::conformance::nothing_was_lost(&*store, &taken).await;
        }
    };
    (@each $make:expr; $($behaviour:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $behaviour() {
                $crate::status::conformance::$behaviour(&$make).await;
            }
        )*
    };
}

/// How many writers each stage has.
const WRITERS: u32 = 100;

/// Reports on one resource, to be made side by side: each of its stages, by many.
pub fn parallel_reports<S: StatusStore + 'static>(
    store: &Arc<S>,
) -> Vec<impl Future<Output = Taken> + Send + 'static> {
    let writers = (1..=WRITERS).flat_map(|writer| USUAL_STAGES.map(|stage| (writer, stage)));
    let report = |(writer, stage)| {
        let store = Arc::clone(store);
        async move {
            let update = Update { attempt: Some(writer), ..said(stage, "processing") };
            Told::to(&*store).reports(42, update, START).await
        }
    };
    writers.map(report).collect()
}

/// That all stages stand as the last of their writers said, and every change had a version of its own.
pub async fn nothing_was_lost(store: &impl StatusStore, taken: &[Taken]) {
    let told = Told::to(store);
    let record = told.known(42, START).await.expect("it was reported on");
    assert_eq!(record.stages.len(), USUAL_STAGES.len());
    for stage in USUAL_STAGES {
        assert_eq!(record.stage(stage).and_then(|state| state.attempt), Some(WRITERS), "{stage}");
    }
    let applied = taken.iter().filter(|taken| taken.effect == crate::status::Effect::Applied);
    let mut versions: Vec<_> = applied.map(|taken| taken.record.version).collect();
    versions.sort_unstable();
    let first = START.as_millis();
    let all: Vec<_> = (first..=record.version).collect();
    assert_eq!(versions, all);
}

/// When the suite begins.
const START: Timestamp = Timestamp::from_millis(1_700_000_123_457);

/// A store to whom somebody reports; the only place where the suite touches the trait.
struct Told<'a, S> {
    store: &'a S,
    owner: Owner,
}

impl<'a, S: StatusStore> Told<'a, S> {
    fn to(store: &'a S) -> Self {
        Self { store, owner: named("ada") }
    }

    fn of(store: &'a S, owner: Owner) -> Self {
        Self { store, owner }
    }

    async fn reports(&self, id: u64, update: Update, now: Timestamp) -> Taken {
        self.reports_of(&ResourceId::Number(id), update, now).await
    }

    async fn reports_of(&self, id: &ResourceId, update: Update, now: Timestamp) -> Taken {
        self.tries(id, update, now).await.expect("a store under test takes it")
    }

    /// A report that has waited.
    async fn reports_late(
        &self,
        id: u64,
        update: Update,
        waited: Duration,
        now: Timestamp,
    ) -> Taken {
        let owner = self.owner.clone();
        let report = Report { id: ResourceId::Number(id), update, owner, waited };
        self.store.put(&report, now).await.expect("a store under test takes it")
    }

    async fn tries(
        &self,
        id: &ResourceId,
        update: Update,
        now: Timestamp,
    ) -> Result<Taken, NotTaken> {
        let owner = self.owner.clone();
        let report = Report { id: id.clone(), update, owner, waited: Duration::ZERO };
        self.store.put(&report, now).await
    }

    async fn known(&self, id: u64, now: Timestamp) -> Option<Record> {
        self.known_of(&ResourceId::Number(id), now).await
    }

    async fn known_of(&self, id: &ResourceId, now: Timestamp) -> Option<Record> {
        self.store.get(id, now).await.expect("a store under test can be reached")
    }

    async fn page(&self, after: Option<&Cursor>, limit: usize, now: Timestamp) -> Page {
        let page = self.store.list(&self.owner.id, after, limit, now).await;
        page.expect("a store under test can be reached")
    }

    /// The names on all pages of so many records.
    async fn listed(&self, limit: usize, now: Timestamp) -> Vec<String> {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let page = self.page(after.as_ref(), limit, now).await;
            assert!(page.records.len() <= limit);
            names.extend(page.records.iter().map(|record| record.id.to_string()));
            match page.next {
                Some(next) => after = Some(next),
                None => return names,
            }
        }
    }

    async fn since(&self, id: u64, version: u64, now: Timestamp) -> Since {
        let since = self.store.since(&ResourceId::Number(id), version, now).await;
        since.expect("a store under test can be reached")
    }

    /// The changes since, none of which is missed.
    async fn changes(&self, id: u64, version: u64, now: Timestamp) -> Vec<Change> {
        match self.since(id, version, now).await {
            Since::Changes(changes) => changes,
            Since::Missed => unreachable!("a change of {id} after {version} is missed"),
        }
    }
}

/// A report that says nothing but that.
fn said(stage: &str, status: &str) -> Update {
    let status = Plan::default().status(status).expect("the suite's statuses are known");
    Update::new(stage, status)
}

fn named(id: &str) -> Owner {
    Owner { id: id.into(), is_named: true }
}

fn guessed(id: &str) -> Owner {
    Owner { id: id.into(), is_named: false }
}

fn after_ms(now: Timestamp, ms: u64) -> Timestamp {
    now.plus(Duration::from_millis(ms))
}

/// A millisecond before a record is kept no more that was last reported on then.
fn at_the_last(reported: Timestamp) -> Timestamp {
    reported.plus(TTL - Duration::from_millis(1))
}
