//! Marks in order, with gaps between them: a table of 14 to 18 bytes a mark at any size.
//!
//! Linear probing with the marks sorted (Amble and Knuth, *Ordered hash tables*, 1974). A mark's home is
//! where it would stand were all spread evenly; it stands there or behind, past none that is greater, so that
//! whoever finds a greater one or a gap need look no further.

use std::num::NonZeroU64;

/// So many places more, whenever there are none behind those who stand past the last home.
const BEYOND: usize = 16;

/// A table grows past seven marks to eight homes, and then has seven to ten.
const FULL: (usize, usize) = (7, 8);
const FRESH: (usize, usize) = (7, 10);

/// How many leading bits all marks of a table share.
const SHARED_BITS: u32 = 6;

/// Marks of one shard, each with a number.
#[derive(Default)]
pub(super) struct Sorted {
    /// 0 is a gap.
    marks: Vec<u64>,
    numbers: Vec<u32>,
    homes: usize,
    len: usize,
}

impl Sorted {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether `mark` is among them.
    pub(super) fn contains(&self, mark: NonZeroU64) -> bool {
        self.find(mark.get()).is_ok()
    }

    /// The number of `mark`.
    pub(super) fn get_mut(&mut self, mark: NonZeroU64) -> Option<&mut u32> {
        let at = self.find(mark.get()).ok()?;
        self.numbers.get_mut(at)
    }

    /// Puts in a mark that is not there yet.
    pub(super) fn insert(&mut self, mark: NonZeroU64, number: u32) {
        if (self.len + 1) * FULL.1 > self.homes * FULL.0 {
            *self = Self::of(self.len + 1, self.all());
        }
        let at = self.find(mark.get()).unwrap_or_else(|at| at);
        let gap = self.marks[at..].iter().position(|&mark| mark == 0);
        let gap = gap.map_or(self.marks.len(), |steps| at + steps);
        self.extend_to(gap);
        self.marks.copy_within(at..gap, at + 1);
        self.numbers.copy_within(at..gap, at + 1);
        (self.marks[at], self.numbers[at]) = (mark.get(), number);
        self.len += 1;
    }

    /// Keeps those whose number is `wanted`, in as little room as they need.
    pub(super) fn retain(&mut self, wanted: impl Fn(u32) -> bool) {
        if self.all().any(|(_, number)| !wanted(number)) {
            let kept = || self.all().filter(|&(_, number)| wanted(number));
            *self = Self::of(kept().count(), kept());
        }
    }

    /// A table of `all`, which are in order, with room for `len`: each at its home, or behind the one
    /// before it.
    fn of(len: usize, all: impl Iterator<Item = (u64, u32)>) -> Self {
        let homes = if len == 0 { 0 } else { len * FRESH.1 / FRESH.0 + 1 };
        let mut table = Self { homes, ..Self::default() };
        table.extend_to(homes);
        let mut free = 0;
        for (mark, number) in all {
            let at = table.home(mark).max(free);
            table.extend_to(at);
            (table.marks[at], table.numbers[at]) = (mark, number);
            (table.len, free) = (table.len + 1, at + 1);
        }
        table
    }

    /// Sees to it that there is a place `at`, if there is to be any.
    fn extend_to(&mut self, at: usize) {
        if at >= self.marks.len() && self.homes > 0 {
            let more = at + BEYOND - self.marks.len();
            self.marks.reserve_exact(more);
            self.marks.resize(at + BEYOND, 0);
            self.numbers.reserve_exact(more);
            self.numbers.resize(at + BEYOND, 0);
        }
    }

    fn all(&self) -> impl Iterator<Item = (u64, u32)> {
        let all = self.marks.iter().copied().zip(self.numbers.iter().copied());
        all.filter(|&(mark, _)| mark != 0)
    }

    /// Marks are spread evenly over the bits that they do not share, and so are homes.
    fn home(&self, mark: u64) -> usize {
        ((u128::from(mark << SHARED_BITS) * self.homes as u128) >> 64) as usize
    }

    /// Where `mark` stands, or would.
    fn find(&self, mark: u64) -> Result<usize, usize> {
        let home = self.home(mark);
        let behind = self.marks[home..].iter().position(|&other| other == 0 || other >= mark);
        let at = behind.map_or(self.marks.len(), |steps| home + steps);
        if self.marks.get(at) == Some(&mark) { Ok(at) } else { Err(at) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const SHARED: u64 = 0b10_1010 << 58;

    fn mark(low: u64) -> NonZeroU64 {
        NonZeroU64::new(SHARED | low >> SHARED_BITS).expect("not zero")
    }

    fn bytes(table: &Sorted) -> usize {
        table.marks.capacity() * 8 + table.numbers.capacity() * 4
    }

    proptest! {
        /// Low ones and high ones crowd at either end.
        #[test]
        fn it_holds_what_a_sorted_map_holds(
            steps in prop::collection::vec(
                (prop_oneof![any::<u64>(), 0..9_000_u64, u64::MAX - 9_000..], 0..50_u32, 0..40_u8),
                0..700,
            )
        ) {
            let (mut table, mut model) = (Sorted::default(), BTreeMap::new());
            for (low, number, what) in steps {
                let mark = mark(low);
                prop_assert_eq!(table.contains(mark), model.contains_key(&mark.get()));
                if what == 0 {
                    table.retain(|kept| kept >= number);
                    model.retain(|_, kept| *kept >= number);
                } else {
                    match table.get_mut(mark) {
                        Some(known) => *known = number,
                        None => table.insert(mark, number),
                    }
                    model.insert(mark.get(), number);
                    prop_assert!(table.contains(mark));
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert!(table.all().eq(model.iter().map(|(mark, number)| (*mark, *number))));
            }
        }
    }

    #[test]
    fn a_mark_takes_at_most_20_bytes_once_there_are_a_hundred() {
        let (mut table, mut low) = (Sorted::default(), 1_u64);
        for len in 1..=40_000_usize {
            low =
                low.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            table.insert(mark(low), len as u32);
            assert!(len < 100 || bytes(&table) <= 20 * len, "{} for {len}", bytes(&table));
        }
        table.retain(|number| number % 4 == 0);
        assert_eq!(table.len(), 10_000);
        assert!(bytes(&table) <= 20 * table.len(), "{}", bytes(&table));
    }

    #[test]
    fn an_empty_table_takes_nothing_and_finds_nothing() {
        let mut table = Sorted::default();
        assert!(!table.contains(mark(7)));
        table.insert(mark(7 << SHARED_BITS), 1);
        assert!(table.contains(mark(7 << SHARED_BITS)) && !table.contains(mark(9 << SHARED_BITS)));
        table.retain(|_| false);
        assert_eq!((bytes(&table), table.len()), (0, 0));
        assert!(!table.contains(mark(7 << SHARED_BITS)));
    }
}
