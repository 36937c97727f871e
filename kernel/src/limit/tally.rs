//! All windows of one subject: they admit a call together, or none of them counts it.

use std::num::NonZeroU32;
use std::slice;

use crate::limit::Outcome;
use crate::limit::QUOTAS_MAX;
use crate::limit::Quota;
use crate::limit::WindowState;
use crate::limit::ring::Reading;
use crate::limit::ring::Ring;
use crate::time::Timestamp;

/// The most windows that one subject is counted in.
///
/// More than [`QUOTAS_MAX`], because a subject may be held to the quotas of one tier and then of
/// another, and its count must not be lost on the way there and back. When a further window is
/// needed, the one that would run empty first is dropped among those not asked about.
pub const WINDOWS_MAX: usize = 2 * QUOTAS_MAX;

/// What one subject has used.
///
/// This is the whole of the rules in [`QuotaStore`](crate::limit::QuotaStore), for one subject and
/// without a store.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    rings: Rings,
}

/// Most subjects have one window, and it should not cost an allocation.
#[derive(Clone, Debug)]
enum Rings {
    One(Ring),
    Several(Vec<Ring>),
}

type Readings = [Reading; WINDOWS_MAX];

impl Tally {
    /// Nothing used yet.
    pub const fn new() -> Self {
        Self { rings: Rings::Several(Vec::new()) }
    }

    /// Counts `cost` in every window, if all `quotas` have room for it.
    pub fn acquire(&mut self, quotas: &[Quota], cost: NonZeroU32, now: Timestamp) -> Outcome {
        let cost = cost.get();
        let mut readings = self.read(now);
        if !self.fits(&readings, quotas, cost) {
            return self.refusal(&readings, quotas, cost, now);
        }
        self.open(&mut readings, quotas, now);
        for (ring, reading) in self.rings.as_mut_slice().iter_mut().zip(&mut readings) {
            // A window that has run empty and is not asked for is as good as not there.
            let idle = reading.used() == 0 && !asks_for(quotas, ring);
            *reading = ring.add(*reading, if idle { 0 } else { cost });
        }
        Outcome::new(true, self.states(&readings, quotas, 0, now))
    }

    /// Takes `cost` back from the windows of `quotas`, oldest units first.
    pub fn refund(&mut self, quotas: &[Quota], cost: NonZeroU32, now: Timestamp) {
        for ring in self.rings.as_mut_slice() {
            if asks_for(quotas, ring) {
                ring.remove(ring.read(now), cost.get());
            }
        }
    }

    /// Says how the windows stand, and whether a call of cost 1 would be admitted.
    pub fn peek(&self, quotas: &[Quota], now: Timestamp) -> Outcome {
        let readings = self.read(now);
        if !self.fits(&readings, quotas, 1) {
            return self.refusal(&readings, quotas, 1, now);
        }
        Outcome::new(true, self.states(&readings, quotas, 0, now))
    }

    /// The moment from which all windows are empty, if nothing more is counted.
    pub fn empty_from(&self) -> Timestamp {
        let rings = self.rings.as_slice().iter();
        rings.map(Ring::empty_from).max().unwrap_or_default()
    }

    /// Gives back what memory those windows hold that are empty at `now`.
    pub fn release_empty(&mut self, now: Timestamp) {
        for ring in self.rings.as_mut_slice() {
            ring.release_if_empty(now);
        }
    }

    /// Bytes on the heap, the allocator's own apart.
    pub fn heap_bytes(&self) -> usize {
        let rings = match &self.rings {
            Rings::One(_) => 0,
            Rings::Several(rings) => rings.capacity() * size_of::<Ring>(),
        };
        rings + self.rings.as_slice().iter().map(Ring::heap_bytes).sum::<usize>()
    }

    fn read(&self, now: Timestamp) -> Readings {
        let mut readings = Readings::default();
        for (reading, ring) in readings.iter_mut().zip(self.rings.as_slice()) {
            *reading = ring.read(now);
        }
        readings
    }

    fn fits(&self, readings: &Readings, quotas: &[Quota], cost: u32) -> bool {
        let mut windows = quotas.iter().map(|quota| {
            let used = self.find(quota).map_or(0, |i| readings[i].used());
            quota.requests().saturating_sub(used)
        });
        quotas.len() <= QUOTAS_MAX && windows.all(|left| cost <= left)
    }

    fn refusal(&self, readings: &Readings, quotas: &[Quota], cost: u32, now: Timestamp) -> Outcome {
        let for_ever = |state| WindowState { retry_ms: None, ..state };
        let states = self.states(readings, quotas, cost, now);
        if quotas.len() > QUOTAS_MAX {
            return Outcome::new(false, states.map(for_ever));
        }
        Outcome::new(false, states)
    }

    /// How each window stands for a call that still wants `cost` (0: an admitted one).
    fn states(
        &self,
        readings: &Readings,
        quotas: &[Quota],
        cost: u32,
        now: Timestamp,
    ) -> impl Iterator<Item = WindowState> {
        quotas.iter().map(move |quota| {
            let limit = quota.requests();
            let Some(i) = self.find(quota) else {
                let retry_ms = (cost <= limit).then_some(0);
                return WindowState { limit, remaining: limit, retry_ms, reset_ms: 0 };
            };
            let (ring, reading) = (&self.rings.as_slice()[i], readings[i]);
            let used = reading.used();
            let remaining = limit.saturating_sub(used);
            let retry_ms = match cost {
                cost if cost <= remaining => Some(0),
                cost if cost > limit => None,
                // Cannot wrap: limit - remaining <= used, and cost <= limit.
                cost => Some(ring.wait_ms(reading, used - (limit - cost), now)),
            };
            // A limit lowered below the count shows growth only once the count is below it too.
            let until_growth = used.saturating_sub(limit).saturating_add(1);
            let reset_ms = ring.wait_ms(reading, until_growth, now);
            WindowState { limit, remaining, retry_ms, reset_ms }
        })
    }

    fn find(&self, quota: &Quota) -> Option<usize> {
        let per = quota.per();
        self.rings.as_slice().iter().position(|ring| ring.per() == per)
    }

    /// Makes the windows of those quotas that have none yet.
    fn open(&mut self, readings: &mut Readings, quotas: &[Quota], now: Timestamp) {
        for quota in quotas {
            if self.find(quota).is_some() {
                continue;
            }
            let ring = Ring::new(quota.per());
            let reading = ring.read(now);
            let i = self.rings.len();
            if i < WINDOWS_MAX {
                self.rings.push(ring);
                readings[i] = reading;
            } else if let Some(i) = self.dispensable(quotas) {
                self.rings.as_mut_slice()[i] = ring;
                readings[i] = reading;
            }
        }
    }

    /// Of the windows that are not asked about, the one to run empty first.
    fn dispensable(&self, quotas: &[Quota]) -> Option<usize> {
        let rings = self.rings.as_slice();
        (0..rings.len())
            .filter(|&i| !asks_for(quotas, &rings[i]))
            .min_by_key(|&i| rings[i].empty_from())
    }
}

fn asks_for(quotas: &[Quota], ring: &Ring) -> bool {
    quotas.iter().any(|quota| quota.per() == ring.per())
}

impl Default for Rings {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Rings {
    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn as_slice(&self) -> &[Ring] {
        match self {
            Self::One(ring) => slice::from_ref(ring),
            Self::Several(rings) => rings,
        }
    }

    fn as_mut_slice(&mut self) -> &mut [Ring] {
        match self {
            Self::One(ring) => slice::from_mut(ring),
            Self::Several(rings) => rings,
        }
    }

    fn push(&mut self, ring: Ring) {
        match std::mem::take(self) {
            Self::Several(rings) if rings.is_empty() => *self = Self::One(ring),
            Self::One(first) => *self = Self::Several(vec![first, ring]),
            Self::Several(mut rings) => {
                rings.reserve_exact(1);
                rings.push(ring);
                *self = Self::Several(rings);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::limit::conformance::NaiveLog;

    const ONE: NonZeroU32 = NonZeroU32::MIN;

    fn quota(requests: u32, secs: u64) -> Quota {
        Quota::new("q", requests.into(), Duration::from_secs(secs)).unwrap()
    }

    fn left(tally: &Tally, quota: Quota, now: Timestamp) -> u32 {
        tally.peek(&[quota], now).windows()[0].remaining
    }

    #[test]
    fn at_the_maximum_of_windows_all_are_kept_and_one_past_it_drops_the_first_to_run_empty() {
        let (mut tally, now) = (Tally::new(), Timestamp::from_secs(1_700_000_000));
        for secs in (1..=WINDOWS_MAX as u64).rev() {
            assert!(tally.acquire(&[quota(100, secs)], ONE, now).admitted);
        }
        assert_eq!(left(&tally, quota(100, WINDOWS_MAX as u64), now), 100 - WINDOWS_MAX as u32);
        assert_eq!(left(&tally, quota(100, 1), now), 99);

        tally.acquire(&[quota(100, 3600)], ONE, now);
        assert_eq!(left(&tally, quota(100, 3600), now), 99);
        assert_eq!(left(&tally, quota(100, 2), now), 97);
        assert_eq!(left(&tally, quota(100, 1), now), 100, "dropped, so as new");
    }

    #[test]
    fn a_window_asked_for_is_not_the_one_that_is_dropped() {
        let (mut tally, now) = (Tally::new(), Timestamp::from_secs(1_700_000_000));
        for secs in 1..=WINDOWS_MAX as u64 {
            tally.acquire(&[quota(100, secs)], ONE, now);
        }
        tally.acquire(&[quota(100, 1), quota(100, 3600), quota(100, 2)], ONE, now);
        assert_eq!(left(&tally, quota(100, 1), now), 100 - 1 - WINDOWS_MAX as u32);
        assert_eq!(left(&tally, quota(100, 2), now), 100 - WINDOWS_MAX as u32);
        assert_eq!(left(&tally, quota(100, 3), now), 100);
    }

    #[test]
    fn two_quotas_of_one_period_share_its_count() {
        let (mut tally, now) = (Tally::new(), Timestamp::from_secs(1_700_000_000));
        let quotas = [quota(10, 60), quota(5, 60)];
        for _ in 0..5 {
            assert!(tally.acquire(&quotas, ONE, now).admitted);
        }
        let refused = tally.acquire(&quotas, ONE, now);
        assert!(!refused.admitted);
        assert_eq!((refused.windows()[0].remaining, refused.tightest()), (5, 1));
        tally.refund(&quotas, ONE, now);
        assert_eq!(left(&tally, quota(10, 60), now), 6);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Take(u32),
        Refund(u32),
        Peek,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (1..12_u32).prop_map(Step::Take),
            1 => (1..12_u32).prop_map(Step::Refund),
            1 => Just(Step::Peek),
        ]
    }

    fn some_quotas() -> impl Strategy<Value = Vec<Quota>> {
        let periods = prop::sample::select(vec![1, 2, 3, 7, 60, 3600, 2_678_400]);
        vec((1..40_u32, periods).prop_map(|(requests, secs)| quota(requests, secs)), 1..=4)
    }

    fn pause_ms() -> impl Strategy<Value = i64> {
        prop_oneof![
            3 => Just(0),
            3 => 0..40_i64,
            2 => 0..2_000_i64,
            1 => 0..130_000_i64,
            1 => -5_000..0_i64,
            1 => prop::sample::select(vec![16, 17, 983, 984, 999, 1_000, 1_001, 1_017, -1, -61_000]),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn a_tally_is_a_naive_log_on_any_sequence_though_the_clock_goes_back(
            quota_sets in vec(some_quotas(), 1..4),
            steps in vec((step(), 0..4_usize, pause_ms()), 1..60),
        ) {
            let (mut tally, mut log) = (Tally::new(), NaiveLog::default());
            let mut now = 1_700_000_000_123_i64;
            for (step, set, pause) in steps {
                now += pause;
                let at = Timestamp::from_millis(now as u64);
                let quotas = &quota_sets[set % quota_sets.len()];
                match step {
                    Step::Take(cost) => {
                        let cost = NonZeroU32::new(cost).unwrap();
                        let outcome = tally.acquire(quotas, cost, at);
                        prop_assert_eq!(outcome, log.acquire(quotas, cost, at));
                        retry_is_exact(&tally, quotas, cost, at, &outcome)?;
                    }
                    Step::Refund(cost) => {
                        let cost = NonZeroU32::new(cost).unwrap();
                        tally.refund(quotas, cost, at);
                        log.refund(quotas, cost, at);
                    }
                    Step::Peek => prop_assert_eq!(tally.peek(quotas, at), log.peek(quotas, at)),
                }
            }
        }

        #[test]
        fn no_moment_cost_or_limit_panics(
            calls in vec((any::<u64>(), any::<NonZeroU32>(), 1..=u32::MAX, 0..4_usize), 1..40),
        ) {
            let mut tally = Tally::new();
            for (now, cost, requests, secs) in calls {
                let quotas = [quota(requests, [1, 7, 3600, 2_678_400][secs])];
                let now = Timestamp::from_millis(now);
                let outcome = tally.acquire(&quotas, cost, now);
                prop_assert!(outcome.windows()[0].remaining <= requests);
                tally.refund(&quotas, NonZeroU32::MIN, now);
            }
        }
    }

    fn retry_is_exact(
        tally: &Tally,
        quotas: &[Quota],
        cost: NonZeroU32,
        now: Timestamp,
        refused: &Outcome,
    ) -> Result<(), TestCaseError> {
        if let (false, Some(retry)) = (refused.admitted, refused.retry_ms()) {
            let at = |ms| now.plus(Duration::from_millis(ms));
            prop_assert!(!tally.clone().acquire(quotas, cost, at(retry - 1)).admitted);
            prop_assert!(tally.clone().acquire(quotas, cost, at(retry)).admitted);
        }
        Ok(())
    }
}
