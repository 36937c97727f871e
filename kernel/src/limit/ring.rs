//! One sliding window, kept as a log whose times are rounded to ticks.
//!
//! A window of length W is cut into [`TICKS`] ticks. Units are counted per tick and leave together,
//! once the last instant of their tick is W ago: never early, and at most one tick late. So no
//! stretch of time of length W can hold more units than were let in, and a client that spends its
//! quota steadily gets 60 of every 61 units. (Two counters, or a leaking bucket, let nearly twice
//! the limit through across an edge; an exact log costs the limit in memory.)
//!
//! The ring knows nothing of limits: it counts, and says when units leave.

use std::time::Duration;

use crate::time::Timestamp;

/// How many ticks a window is cut into.
pub const TICKS: u64 = 60;

/// Ticks that can hold units at the same time: the current one, and the [`TICKS`] before it.
const LIVE: u64 = (1 << (TICKS + 1)) - 1;

/// Later moments count as this one (in the year 287396), so that no multiplication overflows.
const MILLIS_MAX: u64 = 1 << 53;

/// How many counts are held without a heap allocation.
const FEW: usize = 3;

/// A power of two, for the slots' sake, that is at least `TICKS + 1`.
const SLOTS: usize = 64;

/// The units counted in one sliding window.
#[derive(Clone, Debug)]
pub struct Ring {
    /// The latest tick that holds units; meaningless while `ticks` is 0.
    newest: u64,
    /// Bit `i` is set when tick `newest - i` holds units.
    ticks: u64,
    /// The sum of all counts.
    used: u32,
    per_s: u32,
    counts: Counts,
}

/// What a [`Ring`] holds at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    tick: u64,
    live: u64,
    used: u32,
}

#[derive(Clone, Debug)]
enum Counts {
    /// Newest first, without gaps.
    Few([u32; FEW]),
    /// By the low bits of the tick.
    Many(Box<[u32; SLOTS]>),
}

impl Reading {
    /// How many units are counted.
    pub fn used(&self) -> u32 {
        self.used
    }
}

impl Ring {
    /// An empty window of `per`: whole seconds, at least one, at most
    /// [`PERIOD_MAX`](crate::limit::PERIOD_MAX).
    pub fn new(per: Duration) -> Self {
        Self {
            newest: 0,
            ticks: 0,
            used: 0,
            per_s: (per.as_secs() as u32).max(1),
            counts: Counts::Few([0; FEW]),
        }
    }

    /// The window's length.
    pub fn per(&self) -> Duration {
        Duration::from_secs(self.per_s.into())
    }

    /// What the window holds at `now`.
    ///
    /// The clock never runs backwards here: a `now` before the latest counted unit reads as the
    /// tick of that unit, for units that were let in at 12:05 have not left because it is 12:00.
    pub fn read(&self, now: Timestamp) -> Reading {
        let clock = millis(now) * TICKS / self.per_ms();
        if self.ticks == 0 {
            return Reading { tick: clock, live: 0, used: 0 };
        }
        let tick = clock.max(self.newest);
        let age = tick - self.newest;
        let live = if age > TICKS { 0 } else { self.ticks & (LIVE >> age) };
        if live == 0 {
            return Reading { tick, live, used: 0 };
        }
        let left: u32 = Oldest(self.ticks & !live).map(|i| self.count(i)).sum();
        Reading { tick, live, used: self.used - left }
    }

    /// Counts `units` more at the moment of `reading`, forgets what has left, and reads again.
    ///
    /// Past `u32::MAX` units nothing more is counted; no limit is higher.
    pub fn add(&mut self, reading: Reading, units: u32) -> Reading {
        let units = units.min(u32::MAX - reading.used);
        if units == 0 {
            self.remove(reading, 0);
            return reading;
        }
        self.ticks = match reading.live {
            0 => 0,
            live => live << (reading.tick - self.newest),
        };
        self.newest = reading.tick;
        self.used = reading.used + units;
        if self.ticks & 1 == 1 {
            *self.newest_count() += units;
        } else {
            self.push(units);
        }
        Reading { live: self.ticks, used: self.used, ..reading }
    }

    /// Forgets `units`, oldest first, and whatever had left by the moment of `reading`.
    ///
    /// What a caller takes back is its newest; keeping that and forgetting the oldest errs towards
    /// refusing.
    pub fn remove(&mut self, reading: Reading, units: u32) {
        self.ticks = reading.live;
        self.used = reading.used;
        let mut back = units;
        for i in Oldest(reading.live) {
            let count = self.count(i);
            let gone = count.min(back);
            back -= gone;
            self.used -= gone;
            if gone < count {
                *self.count_mut(i) -= gone;
                break;
            }
            self.ticks &= !(1 << i);
        }
    }

    /// Milliseconds from `now`, the moment of `reading`, until at least `units` of what it counts
    /// have left; until all have, if there are fewer.
    pub fn wait_ms(&self, reading: Reading, units: u32, now: Timestamp) -> u64 {
        let mut missing = units;
        let mut leaves = None;
        for i in Oldest(reading.live) {
            if missing == 0 {
                break;
            }
            missing = missing.saturating_sub(self.count(i));
            leaves = Some(self.leaves_ms(self.newest - i));
        }
        leaves.map_or(0, |leaves| leaves.saturating_sub(millis(now)))
    }

    /// The moment from which the window is empty, if nothing more is counted; the epoch if it is.
    pub fn empty_from(&self) -> Timestamp {
        match self.ticks {
            0 => Timestamp::default(),
            _ => Timestamp::from_millis(self.leaves_ms(self.newest)),
        }
    }

    /// Gives back what memory a window that is empty at `now` still holds.
    pub fn release_if_empty(&mut self, now: Timestamp) {
        if now >= self.empty_from() {
            *self = Self::new(self.per());
        }
    }

    /// Bytes on the heap, the allocator's own apart.
    pub fn heap_bytes(&self) -> usize {
        match &self.counts {
            Counts::Few(_) => 0,
            Counts::Many(counts) => size_of_val(&**counts),
        }
    }

    fn per_ms(&self) -> u64 {
        u64::from(self.per_s) * 1000
    }

    /// The first millisecond at which the units of `tick` no longer count.
    fn leaves_ms(&self, tick: u64) -> u64 {
        ((tick + TICKS + 1) * self.per_ms()).div_ceil(TICKS)
    }

    fn slot(&self, i: u64) -> usize {
        (self.newest.wrapping_sub(i) % SLOTS as u64) as usize
    }

    /// How many ticks newer than `newest - i` hold units.
    fn newer(&self, i: u64) -> usize {
        (self.ticks & ((1 << i) - 1)).count_ones() as usize
    }

    fn count(&self, i: u64) -> u32 {
        match &self.counts {
            Counts::Few(counts) => counts[self.newer(i)],
            Counts::Many(counts) => counts[self.slot(i)],
        }
    }

    fn count_mut(&mut self, i: u64) -> &mut u32 {
        let (newer, slot) = (self.newer(i), self.slot(i));
        match &mut self.counts {
            Counts::Few(counts) => &mut counts[newer],
            Counts::Many(counts) => &mut counts[slot],
        }
    }

    fn newest_count(&mut self) -> &mut u32 {
        self.count_mut(0)
    }

    /// Opens the tick `newest`, which held nothing so far.
    fn push(&mut self, units: u32) {
        let held = self.ticks.count_ones() as usize;
        if let Counts::Few(few) = &mut self.counts {
            if held < FEW {
                few.copy_within(..held, 1);
                few[0] = units;
                self.ticks |= 1;
                return;
            }
            let mut many = Box::new([0; SLOTS]);
            for i in Oldest(self.ticks) {
                many[self.slot(i)] = self.count(i);
            }
            self.counts = Counts::Many(many);
        }
        self.ticks |= 1;
        *self.newest_count() = units;
    }
}

fn millis(now: Timestamp) -> u64 {
    now.as_millis().min(MILLIS_MAX)
}

/// The set bits, highest (oldest tick) first.
struct Oldest(u64);

impl Iterator for Oldest {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let i = self.0.checked_ilog2()?;
        self.0 &= !(1 << i);
        Some(i.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(600_000 + ms)
    }

    fn add(ring: &mut Ring, units: u32, now: Timestamp) -> u32 {
        ring.add(ring.read(now), units).used()
    }

    #[test]
    fn a_unit_leaves_when_the_end_of_its_tick_is_a_window_ago() {
        for (taken, leaves) in [(0, 61_000), (1, 61_000), (999, 61_000), (1_000, 62_000)] {
            let mut ring = Ring::new(MINUTE);
            add(&mut ring, 1, at(taken));
            assert_eq!(ring.read(at(leaves - 1)).used(), 1, "taken at {taken}");
            assert_eq!(ring.read(at(leaves)).used(), 0, "taken at {taken}");
            assert_eq!(ring.empty_from(), at(leaves));
        }
    }

    #[test]
    fn a_tick_that_is_no_whole_number_of_milliseconds_is_rounded_towards_staying() {
        let mut ring = Ring::new(Duration::from_secs(1));
        add(&mut ring, 1, at(16));
        assert_eq!(ring.read(at(1_016)).used(), 1);
        assert_eq!(ring.read(at(1_017)).used(), 0);
        assert_eq!(ring.wait_ms(ring.read(at(16)), 1, at(16)), 1_001);
    }

    #[test]
    fn waiting_is_for_the_oldest_units_first() {
        let mut ring = Ring::new(MINUTE);
        for tick in 0..10 {
            add(&mut ring, 2, at(tick * 1000));
        }
        let now = at(9_500);
        let reading = ring.read(now);
        let waits = [0, 1, 2, 3, 20, 21].map(|units| ring.wait_ms(reading, units, now));
        assert_eq!(waits, [0, 51_500, 51_500, 52_500, 60_500, 60_500]);
    }

    #[test]
    fn a_clock_set_back_reads_as_the_latest_tick_and_waits_for_longer() {
        let mut ring = Ring::new(MINUTE);
        add(&mut ring, 1, at(30_000));
        let reading = ring.read(at(0));
        assert_eq!(reading.used(), 1);
        assert_eq!(ring.wait_ms(reading, 1, at(0)), 91_000);
        assert_eq!(add(&mut ring, 1, at(0)), 2);
        assert_eq!(ring.read(at(90_999)).used(), 2);
        assert_eq!(ring.read(at(91_000)).used(), 0);
    }

    #[test]
    fn a_few_ticks_need_no_heap_and_all_61_no_more_than_one_allocation() {
        let mut ring = Ring::new(MINUTE);
        for tick in 0..500 {
            let used = add(&mut ring, 1, at(tick * 1000));
            assert_eq!(u64::from(used), (tick + 1).min(61));
            let heap = if tick < FEW as u64 { 0 } else { 256 };
            assert_eq!(ring.heap_bytes(), heap, "at tick {tick}");
        }
        ring.release_if_empty(at(560_000 - 1));
        assert_eq!(ring.heap_bytes(), 256);
        ring.release_if_empty(at(560_000));
        assert_eq!(ring.heap_bytes(), 0);
    }

    #[test]
    fn a_few_ticks_at_a_time_never_need_the_heap() {
        let mut ring = Ring::new(MINUTE);
        for call in 0..100 {
            let used = add(&mut ring, 1, at(call * 30_000));
            assert_eq!(u64::from(used), (call + 1).min(3));
        }
        assert_eq!(ring.heap_bytes(), 0);
    }

    #[test]
    fn counting_stops_at_the_greatest_number_rather_than_wrap() {
        let mut ring = Ring::new(MINUTE);
        add(&mut ring, u32::MAX - 1, at(0));
        assert_eq!(add(&mut ring, 1, at(1_000)), u32::MAX);
        assert_eq!(add(&mut ring, 1, at(2_000)), u32::MAX);
        assert_eq!(ring.read(at(61_000)).used(), 1);
        assert_eq!(ring.empty_from(), at(62_000));
    }

    #[test]
    fn removing_takes_the_oldest_and_stops_at_nothing() {
        let mut ring = Ring::new(MINUTE);
        for (units, ms) in [(2, 0), (3, 1_000), (4, 2_000)] {
            add(&mut ring, units, at(ms));
        }
        ring.remove(ring.read(at(2_000)), 3);
        assert_eq!(ring.read(at(61_000)).used(), 6);
        assert_eq!(ring.read(at(62_000)).used(), 4);
        ring.remove(ring.read(at(62_000)), 100);
        assert_eq!(ring.read(at(62_000)).used(), 0);
        assert_eq!(ring.empty_from(), Timestamp::default());
    }
}
