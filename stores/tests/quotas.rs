//! The stores against the kernel's suite for counters of requests.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use kernel::limit::Quota;
use kernel::limit::Subject;
use kernel::limit::SubjectKind;
use kernel::limit::conformance::NaiveLog;
use kernel::time::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use stores::memory::MemoryQuotas;

kernel::quota_conformance!(MemoryQuotas::default());

fn kind() -> impl Strategy<Value = SubjectKind> {
    prop::sample::select(vec![SubjectKind::User, SubjectKind::Address, SubjectKind::Route])
}

/// Few and short, so that subjects come again; or any text at all, now and then a long one.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[ab:]{0,2}", 1 => any::<String>(), 1 => "[ab]{126,130}"]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_subject_of_any_name_has_a_log_of_its_own(
        calls in vec((text(), kind(), text(), 1..4_u32, 0..700_u64), 1..80),
    ) {
        let store = MemoryQuotas::default();
        let mut logs: HashMap<_, NaiveLog> = HashMap::new();
        let quota = |requests, secs| Quota::new("q", requests, Duration::from_secs(secs)).unwrap();
        let quotas = [quota(5, 1), quota(20, 60)];
        let mut now = Timestamp::from_secs(1_700_000_000);
        for (policy, kind, id, cost, pause) in calls {
            now = now.plus(Duration::from_millis(pause));
            let cost = NonZeroU32::new(cost).unwrap();
            let subject = Subject { policy: &policy, kind, id: &id };
            let outcome = store.acquire_now(subject, &quotas, cost, now);
            let log = logs.entry((policy, kind, id)).or_default();
            prop_assert_eq!(outcome, log.acquire(&quotas, cost, now));
        }
    }
}
