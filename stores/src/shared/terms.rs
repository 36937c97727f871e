//! On which terms tokens are taken ahead.

use std::time::Duration;

use kernel::limit::Quota;
use kernel::limit::TICKS;

/// The part of a limit that may be out on leases, over all gateways: one of so many.
pub const LEASED_PART: u32 = 10;

/// `auto` leases where at least so many tokens may be out: below, a lease saves nothing.
pub const CAP_WORTHWHILE: u32 = 4;

/// A lease lasts the shortest window's length over this.
const LEASES_PER_WINDOW: u32 = 4;

/// When counters are asked for, and when tokens are taken ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leasing {
    /// Each call is one question.
    Never,
    /// Where it saves questions.
    WhereWorthwhile,
    /// Wherever a single token may be out.
    WherePossible,
}

/// What holds for the tokens of one subject, by its quotas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// How many may be out, over all gateways; 0: none is taken ahead.
    pub(super) cap: u32,
    /// How long a lease lasts.
    pub(super) lasting: Duration,
    /// How long its tokens are spent, from the moment of asking: clocks do not run alike.
    pub(super) spendable: Duration,
    /// The shortest window's tick.
    pub(super) tick: Duration,
}

impl Terms {
    pub(super) fn of(quotas: &[Quota], leasing: Leasing) -> Self {
        let requests = quotas.iter().map(Quota::requests).min().unwrap_or_default();
        let window = quotas.iter().map(Quota::per).min().unwrap_or_default();
        let cap = requests / LEASED_PART;
        let least = match leasing {
            Leasing::Never => u32::MAX,
            Leasing::WhereWorthwhile => CAP_WORTHWHILE,
            Leasing::WherePossible => 1,
        };
        let lasting = window / LEASES_PER_WINDOW;
        Self {
            cap: if cap >= least { cap } else { 0 },
            lasting,
            spendable: lasting * 9 / 10,
            tick: window / TICKS as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cap(quotas: &[(u32, u64)], leasing: Leasing) -> u32 {
        let quota = |(requests, secs): &(u32, u64)| {
            Quota::new("q", (*requests).into(), Duration::from_secs(*secs)).expect("within bounds")
        };
        Terms::of(&quotas.iter().map(quota).collect::<Vec<_>>(), leasing).cap
    }

    #[test]
    fn a_tenth_of_the_least_limit_may_be_out_where_that_is_worthwhile() {
        assert_eq!(cap(&[(100, 60)], Leasing::WhereWorthwhile), 10);
        assert_eq!(cap(&[(100, 60), (1000, 3600)], Leasing::WhereWorthwhile), 10);
        assert_eq!(cap(&[(1000, 60), (40, 1)], Leasing::WhereWorthwhile), 4);
        assert_eq!(cap(&[(1000, 60), (39, 1)], Leasing::WhereWorthwhile), 0);
        assert_eq!(cap(&[(39, 60)], Leasing::WherePossible), 3);
        assert_eq!(cap(&[(9, 60)], Leasing::WherePossible), 0);
        assert_eq!(cap(&[(1000, 60)], Leasing::Never), 0);
    }

    #[test]
    fn a_lease_lasts_a_quarter_of_the_shortest_window_and_is_spent_for_nine_tenths_of_that() {
        let quota = |secs| Quota::new("q", 100, Duration::from_secs(secs)).expect("within bounds");
        let terms = Terms::of(&[quota(3600), quota(60)], Leasing::WherePossible);
        assert_eq!(terms.lasting, Duration::from_secs(15));
        assert_eq!(terms.spendable, Duration::from_millis(13_500));
        assert_eq!(terms.tick, Duration::from_secs(1));
    }
}
