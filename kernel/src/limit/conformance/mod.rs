//! The suite that every [`QuotaStore`] must pass, whatever it keeps its counts in.
//!
//! A store's tests call [`quota_conformance!`](crate::quota_conformance) with an expression that
//! makes an empty store; each behaviour becomes a test of its own. What is added here is thereby
//! asked of every store.

mod bounds;
mod changes;
mod dice;
mod naive;
mod sequences;
mod subjects;
mod takes;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::limit::Outcome;
use crate::limit::Quota;
use crate::limit::QuotaStore;
use crate::limit::Subject;
use crate::limit::SubjectKind;
use crate::time::Timestamp;

pub use bounds::a_client_steady_at_its_limit_gets_60_of_61;
pub use bounds::a_clock_that_goes_back_admits_no_more;
pub use bounds::no_window_sees_more_than_the_limit;
pub use bounds::no_window_sees_more_than_the_limit_though_the_clock_goes_back;
pub use changes::a_changed_limit_or_name_sees_the_same_count;
pub use changes::a_window_new_to_the_subject_begins_empty;
pub use changes::going_to_other_quotas_and_back_forgets_nothing;
pub use changes::quotas_past_the_maximum_are_refused_for_ever;
pub use changes::without_quotas_nothing_is_counted;
pub use dice::Dice;
pub use naive::NaiveLog;
pub use sequences::agrees_with_a_naive_log_on_any_sequence;
pub use subjects::hostile_ids_are_one_subject_each;
pub use subjects::subjects_differ_by_policy_kind_and_id;
pub use takes::a_cost_above_the_limit_is_refused_for_ever;
pub use takes::a_peek_changes_nothing;
pub use takes::a_refund_gives_back_the_oldest_and_never_more_than_there_is;
pub use takes::a_refused_call_changes_nothing;
pub use takes::a_subject_begins_with_its_whole_quota;
pub use takes::retry_is_true_to_the_millisecond;
pub use takes::several_windows_admit_together_or_not_at_all;

/// Makes a test of each behaviour in the suite, for the store that the expression makes.
///
/// The tests are asynchronous: the crate that calls this needs `tokio`.
#[macro_export]
#[doc(hidden)]
macro_rules! quota_conformance {
    ($make:expr) => {
        $crate::quota_conformance!(@each $make;
            a_subject_begins_with_its_whole_quota,
            a_refused_call_changes_nothing,
            retry_is_true_to_the_millisecond,
            several_windows_admit_together_or_not_at_all,
            a_cost_above_the_limit_is_refused_for_ever,
            a_refund_gives_back_the_oldest_and_never_more_than_there_is,
            a_peek_changes_nothing,
            no_window_sees_more_than_the_limit,
            no_window_sees_more_than_the_limit_though_the_clock_goes_back,
            a_clock_that_goes_back_admits_no_more,
            a_client_steady_at_its_limit_gets_60_of_61,
            a_changed_limit_or_name_sees_the_same_count,
            a_window_new_to_the_subject_begins_empty,
            going_to_other_quotas_and_back_forgets_nothing,
            quotas_past_the_maximum_are_refused_for_ever,
            without_quotas_nothing_is_counted,
            subjects_differ_by_policy_kind_and_id,
            hostile_ids_are_one_subject_each,
            agrees_with_a_naive_log_on_any_sequence,
        );

        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn of_200_parallel_takes_at_limit_100_exactly_100_are_admitted() {
            let takes = $crate::limit::conformance::parallel_takes($make, 200, 100);
            let mut racing = tokio::task::JoinSet::new();
            for take in takes {
                racing.spawn(take);
            }
            let admitted = racing.join_all().await;
            assert_eq!(admitted.iter().filter(|admitted| **admitted).count(), 100);
        }
    };
    (@each $make:expr; $($behaviour:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $behaviour() {
                $crate::limit::conformance::$behaviour(&$make).await;
            }
        )*
    };
}

/// Calls of cost 1, all at one moment and on one subject, to be run side by side.
pub fn parallel_takes<S: QuotaStore + 'static>(
    store: S,
    calls: usize,
    limit: u32,
) -> Vec<impl Future<Output = bool> + Send + 'static> {
    let store = Arc::new(store);
    let take = |_| {
        let store = Arc::clone(&store);
        async move {
            let quotas = [minute(limit), hour(limit * 2)];
            let caller = Caller::new(&*store);
            caller.take(&quotas, START).await.admitted
        }
    };
    (0..calls).map(take).collect()
}

/// A moment in the middle of a tick of every window.
const START: Timestamp = Timestamp::from_millis(1_700_000_123_457);

/// One subject of one store; the only place where the suite touches the trait.
struct Caller<'a, S> {
    store: &'a S,
    subject: Subject<'a>,
}

impl<'a, S: QuotaStore> Caller<'a, S> {
    fn new(store: &'a S) -> Self {
        Self::of(store, "api", SubjectKind::User, "ada")
    }

    fn of(store: &'a S, policy: &'a str, kind: SubjectKind, id: &'a str) -> Self {
        let subject = Subject { policy, kind, id };
        Self { store, subject }
    }

    async fn take(&self, quotas: &[Quota], now: Timestamp) -> Outcome {
        self.take_many(quotas, 1, now).await
    }

    async fn take_many(&self, quotas: &[Quota], cost: u32, now: Timestamp) -> Outcome {
        let answer = self.store.acquire(self.subject, quotas, units(cost), now);
        answer.await.expect("a store under test can be reached")
    }

    async fn refund(&self, quotas: &[Quota], cost: u32, now: Timestamp) {
        let answer = self.store.refund(self.subject, quotas, units(cost), now);
        answer.await.expect("a store under test can be reached");
    }

    async fn peek(&self, quotas: &[Quota], now: Timestamp) -> Outcome {
        let answer = self.store.peek(self.subject, quotas, now);
        answer.await.expect("a store under test can be reached")
    }

    /// How many of `calls` calls of cost 1, all at `now`, are admitted.
    async fn flood(&self, quotas: &[Quota], calls: u32, now: Timestamp) -> u32 {
        let mut admitted = 0;
        for _ in 0..calls {
            admitted += u32::from(self.take(quotas, now).await.admitted);
        }
        admitted
    }
}

fn units(cost: u32) -> NonZeroU32 {
    NonZeroU32::new(cost).expect("the suite's costs are at least 1")
}

fn quota(name: &str, requests: u32, secs: u64) -> Quota {
    Quota::new(name, requests.into(), Duration::from_secs(secs))
        .expect("the suite's quotas are within bounds")
}

fn minute(requests: u32) -> Quota {
    quota("minute", requests, 60)
}

fn hour(requests: u32) -> Quota {
    quota("hour", requests, 3600)
}

fn after_ms(now: Timestamp, ms: u64) -> Timestamp {
    now.plus(Duration::from_millis(ms))
}

/// How many are left in each window.
fn left(outcome: &Outcome) -> Vec<u32> {
    outcome.windows().iter().map(|w| w.remaining).collect()
}
