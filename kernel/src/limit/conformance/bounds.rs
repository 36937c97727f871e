//! No stretch of time sees more than the limit, however the calls fall.

use std::time::Duration;

use super::Caller;
use super::Dice;
use super::START;
use super::after_ms;
use super::minute;
use super::quota;
use crate::limit::Quota;
use crate::limit::QuotaStore;
use crate::limit::SubjectKind;
use crate::time::Timestamp;

/// Callers who try to get more than their due; each plays another seed.
const ADVERSARIES: u64 = 60;

/// Calls each of them makes.
const CALLS: usize = 400;

/// Bursts, edges of ticks, exact retries, pauses of a window more or less a millisecond.
pub async fn no_window_sees_more_than_the_limit(store: &impl QuotaStore) {
    for seed in 0..ADVERSARIES {
        play(store, seed, |_| 0).await;
    }
}

/// The same, with a clock that is set back again and again; time itself goes on.
pub async fn no_window_sees_more_than_the_limit_though_the_clock_goes_back(
    store: &impl QuotaStore,
) {
    for seed in 0..ADVERSARIES {
        play(store, seed, |dice| match dice.below(10) {
            0 => dice.below(3_000),
            1 => dice.below(30),
            _ => 0,
        })
        .await;
    }
}

/// A clock set back opens nothing that was closed.
pub async fn a_clock_that_goes_back_admits_no_more(store: &impl QuotaStore) {
    let (caller, quotas) = (Caller::new(store), [minute(10)]);
    assert_eq!(caller.flood(&quotas, 10, START).await, 10);
    for back in [1, 1_000, 60_000, 61_001, 3_600_000, START.as_millis()] {
        let earlier = START.minus(Duration::from_millis(back));
        let outcome = caller.take(&quotas, earlier).await;
        assert!(!outcome.admitted, "{back} ms earlier");
        let retry = outcome.retry_ms().expect("the cost is within the limit");
        assert!(!caller.take(&quotas, after_ms(earlier, retry - 1)).await.admitted);
        assert!(caller.peek(&quotas, after_ms(earlier, retry)).await.admitted);
    }
}

/// What the rounding to ticks costs a client that asks at exactly its rate.
pub async fn a_client_steady_at_its_limit_gets_60_of_61(store: &impl QuotaStore) {
    let (caller, quotas) = (Caller::new(store), [minute(60)]);
    let mut admitted = 0;
    for second in 0..610 {
        let now = after_ms(START, second * 1000);
        admitted += u32::from(caller.take(&quotas, now).await.admitted);
    }
    assert_eq!(admitted, 600);
}

async fn play(store: &impl QuotaStore, seed: u64, clock_back_ms: impl Fn(&mut Dice) -> u64) {
    let mut dice = Dice(seed);
    let id = format!("adversary {seed}");
    let caller = Caller::of(store, "api", SubjectKind::User, &id);
    let limits = [1 + dice.below(20) as u32, 20 + dice.below(20) as u32];
    let quotas = [quota("second", limits[0], 1), quota("three", limits[1], 3)];
    let mut admitted: Vec<(Timestamp, u32)> = Vec::new();
    let (mut time, mut clock_behind) = (START, 0);
    for _ in 0..CALLS {
        let clock = time.minus(Duration::from_millis(clock_behind));
        let cost = if dice.below(3) == 0 { 1 + dice.below(limits[0].into()) as u32 } else { 1 };
        let outcome = caller.take_many(&quotas, cost, clock).await;
        if outcome.admitted {
            admitted.push((time, cost));
            quotas.iter().for_each(|quota| check(&admitted, quota, seed));
        }
        let wait = match dice.below(8) {
            0 => dice.below(60),
            1 => [16, 17, 18, 50, 51, 983, 984][dice.below(7) as usize],
            2 => 999 + dice.below(3),
            3 | 4 => outcome.retry_ms().unwrap_or_default(),
            _ => 0,
        };
        time = after_ms(time, wait);
        clock_behind += clock_back_ms(&mut dice);
    }
}

/// Counts what was admitted in the window that ends with the last call, both its ends included.
fn check(admitted: &[(Timestamp, u32)], quota: &Quota, seed: u64) {
    let Some((last, _)) = admitted.last() else { return };
    let begin = last.minus(quota.per());
    let within = admitted.iter().rev().take_while(|(time, _)| *time >= begin);
    let count: u32 = within.map(|(_, cost)| cost).sum();
    let limit = quota.requests();
    assert!(count <= limit, "seed {seed}: {count} within {:?} at limit {limit}", quota.per());
}
