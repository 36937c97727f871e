//! The rules of one subject, done the slow and obvious way: keep every unit, count anew each time.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::limit::Outcome;
use crate::limit::Quota;
use crate::limit::WindowState;
use crate::time::Timestamp;

/// A log of one subject's admitted calls, per window; what stores are compared with.
#[derive(Clone, Debug, Default)]
pub struct NaiveLog {
    windows: Vec<Window>,
}

#[derive(Clone, Debug)]
struct Window {
    per: Duration,
    /// The tick of each admitted unit.
    units: Vec<u128>,
}

impl NaiveLog {
    /// Logs `cost` in every window, if all `quotas` have room for it.
    pub fn acquire(&mut self, quotas: &[Quota], cost: NonZeroU32, now: Timestamp) -> Outcome {
        let cost = cost.get();
        let left = |quota| u64::from(cost) + self.count(quota, now) <= limit(quota);
        if !quotas.iter().all(left) {
            return Outcome::new(false, quotas.iter().map(|quota| self.state(quota, cost, now)));
        }
        let asked = |window: &Window| quotas.iter().any(|quota| quota.per() == window.per);
        self.windows.retain(|window| asked(window) || window.count(now) > 0);
        for quota in quotas {
            if self.window(quota).is_none() {
                self.windows.push(Window { per: quota.per(), units: Vec::new() });
            }
        }
        for window in &mut self.windows {
            let tick = window.clock(now);
            window.units.extend((0..cost).map(|_| tick));
        }
        Outcome::new(true, quotas.iter().map(|quota| self.state(quota, 0, now)))
    }

    /// Takes back, in the windows of `quotas`, the `cost` oldest units that still count.
    pub fn refund(&mut self, quotas: &[Quota], cost: NonZeroU32, now: Timestamp) {
        for window in &mut self.windows {
            if quotas.iter().all(|quota| quota.per() != window.per) {
                continue;
            }
            let clock = window.clock(now);
            window.units.retain(|tick| clock - tick <= 60);
            window.units.sort_unstable();
            let gone = window.units.len().min(cost.get() as usize);
            window.units.drain(..gone);
        }
    }

    /// Says how the windows stand.
    pub fn peek(&self, quotas: &[Quota], now: Timestamp) -> Outcome {
        let admitted = quotas.iter().all(|quota| self.count(quota, now) < limit(quota));
        let cost = u32::from(!admitted);
        Outcome::new(admitted, quotas.iter().map(|quota| self.state(quota, cost, now)))
    }

    fn window(&self, quota: &Quota) -> Option<&Window> {
        self.windows.iter().find(|window| window.per == quota.per())
    }

    fn count(&self, quota: &Quota, now: Timestamp) -> u64 {
        self.window(quota).map_or(0, |window| window.count(now))
    }

    fn state(&self, quota: &Quota, cost: u32, now: Timestamp) -> WindowState {
        let remaining = |now| limit(quota).saturating_sub(self.count(quota, now));
        let wait_for = |enough: &dyn Fn(u64) -> bool| {
            let until = self.window(quota).map_or(0, |window| window.empty_from_ms());
            first(now.as_millis(), until, &|ms| enough(remaining(Timestamp::from_millis(ms))))
        };
        let at_once = remaining(now);
        WindowState {
            limit: quota.requests(),
            remaining: at_once as u32,
            retry_ms: (u64::from(cost) <= limit(quota))
                .then(|| wait_for(&|left| left >= cost.into())),
            reset_ms: match self.count(quota, now) {
                0 => 0,
                _ => wait_for(&|left| left > at_once),
            },
        }
    }
}

impl Window {
    fn tick(&self, now: Timestamp) -> u128 {
        u128::from(now.as_millis()) * 60 / self.per.as_millis()
    }

    fn clock(&self, now: Timestamp) -> u128 {
        let latest = self.units.iter().copied().max().unwrap_or_default();
        latest.max(self.tick(now))
    }

    fn count(&self, now: Timestamp) -> u64 {
        let clock = self.clock(now);
        self.units.iter().filter(|tick| clock - **tick <= 60).count() as u64
    }

    /// A moment by which everything has left.
    fn empty_from_ms(&self) -> u64 {
        let latest = self.units.iter().copied().max().unwrap_or_default();
        ((latest + 62) * self.per.as_millis() / 60) as u64 + 1
    }
}

fn limit(quota: &Quota) -> u64 {
    quota.requests().into()
}

/// Milliseconds from `from` to the first moment up to `until` at which `is` holds, by bisection:
/// once true it stays true.
fn first(from: u64, until: u64, is: &dyn Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (from, until.max(from));
    while low < high {
        let middle = low + (high - low) / 2;
        if is(middle) { high = middle } else { low = middle + 1 }
    }
    low - from
}
