//! Random sequences of calls, each answer compared with a naive log's.

use super::Caller;
use super::Dice;
use super::NaiveLog;
use super::START;
use super::after_ms;
use super::quota;
use super::units;
use crate::limit::QuotaStore;
use crate::limit::SubjectKind;

const SEQUENCES: u64 = 40;

const CALLS: usize = 250;

/// Takes of any cost, refunds, peeks, changing quotas, on three subjects; time only goes forward.
pub async fn agrees_with_a_naive_log_on_any_sequence(store: &impl QuotaStore) {
    let quota_sets = [
        vec![quota("second", 3, 1)],
        vec![quota("second", 10, 1), quota("week", 500, 604_800)],
        vec![quota("seven", 30, 7), quota("second", 8, 1)],
        vec![quota("minute", 25, 60), quota("seven", 20, 7), quota("second", 8, 1)],
        vec![
            quota("tiny", 1, 1),
            quota("minute", 60, 60),
            quota("again", 50, 60),
            quota("s", 9, 1),
        ],
    ];
    for seed in 0..SEQUENCES {
        let mut dice = Dice(seed);
        let ids = [1, 2, 3].map(|n| format!("{seed}/{n}"));
        let mut logs = [1, 2, 3].map(|_| NaiveLog::default());
        let mut now = START;
        for call in 0..CALLS {
            let who = dice.below(3) as usize;
            let caller = Caller::of(store, "api", SubjectKind::User, &ids[who]);
            let (log, quotas) = (&mut logs[who], dice.pick(&quota_sets));
            let cost = *dice.pick(&[1, 1, 1, 2, 3, 9, 31]);
            let kind = dice.below(10);
            let (ours, naive) = match kind {
                0 => {
                    caller.refund(quotas, cost, now).await;
                    log.refund(quotas, units(cost), now);
                    continue;
                }
                1 => (caller.peek(quotas, now).await, log.peek(quotas, now)),
                _ => {
                    let naive = log.acquire(quotas, units(cost), now);
                    (caller.take_many(quotas, cost, now).await, naive)
                }
            };
            assert_eq!(ours, naive, "seed {seed}, call {call}");
            let retry = ours.retry_ms().unwrap_or_default();
            now = after_ms(now, *dice.pick(&[0, 0, 1, 16, 17, 117, 1_017, 9_999, retry]));
            now = after_ms(now, dice.below(40));
        }
    }
}
