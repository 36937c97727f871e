//! What a store of counters promises: the trait, what goes in, what comes out.

use std::future::Future;
use std::num::NonZeroU32;

use crate::limit::QUOTAS_MAX;
use crate::limit::Quota;
use crate::lost::StoreLost;
use crate::time::Timestamp;

/// What kind of thing is counted; equal ids of different kinds are different subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectKind {
    /// A verified caller.
    User,
    /// A client's network address (v4 /32, v6 /64).
    Address,
    /// A route, whoever calls it.
    Route,
}

/// Whose requests are counted together.
///
/// All three parts count: two subjects that differ in any of them share nothing, whatever
/// characters and however many the parts hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subject<'a> {
    /// The name of the policy under which it is counted.
    pub policy: &'a str,
    /// What `id` identifies.
    pub kind: SubjectKind,
    /// Which one: a user id, an address, a route's name.
    pub id: &'a str,
}

/// How one window of a subject stands after a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowState {
    /// How many requests the quota allows.
    pub limit: u32,
    /// How many are left; what an admitted call took is already gone.
    pub remaining: u32,
    /// Milliseconds until what this window refused would fit; `Some(0)` where it refused nothing,
    /// `None` where it never will (it costs more than the limit).
    pub retry_ms: Option<u64>,
    /// Milliseconds until `remaining` next grows by itself; 0 when nothing is counted.
    pub reset_ms: u64,
}

impl WindowState {
    fn refuses(&self) -> bool {
        self.retry_ms != Some(0)
    }
}

/// A store's answer, without a heap allocation: admitted or not, and how each window stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the call may go on; of a peek, whether a call of cost 1 could.
    pub admitted: bool,
    len: u8,
    windows: [WindowState; QUOTAS_MAX],
}

impl Outcome {
    /// Puts an answer together; windows beyond [`QUOTAS_MAX`] are left out.
    pub fn new(admitted: bool, windows: impl IntoIterator<Item = WindowState>) -> Self {
        let mut outcome = Self { admitted, len: 0, windows: [WindowState::default(); QUOTAS_MAX] };
        for (slot, window) in outcome.windows.iter_mut().zip(windows) {
            *slot = window;
            outcome.len += 1;
        }
        outcome
    }

    /// The same answer, each window as `change` makes it.
    #[must_use]
    pub fn map(mut self, mut change: impl FnMut(usize, WindowState) -> WindowState) -> Self {
        for (i, window) in self.windows.iter_mut().enumerate().take(self.len.into()) {
            *window = change(i, *window);
        }
        self
    }

    /// The windows, in the order of the quotas that were asked about.
    pub fn windows(&self) -> &[WindowState] {
        &self.windows[..usize::from(self.len)]
    }

    /// The index of the window with least left; of equals, the one with the longer wait.
    ///
    /// 0 when there are no windows.
    pub fn tightest(&self) -> usize {
        let wait = |w: &WindowState| (w.retry_ms.unwrap_or(u64::MAX), w.reset_ms);
        let mut tightest = 0;
        for (i, window) in self.windows().iter().enumerate() {
            let best = &self.windows[tightest];
            let less = window.remaining < best.remaining;
            if less || (window.remaining == best.remaining && wait(window) > wait(best)) {
                tightest = i;
            }
        }
        tightest
    }

    /// Milliseconds until the refused call would be admitted: the longest of the refusing windows.
    ///
    /// `Some(0)` for an admitted call, `None` when one of the windows would never admit it.
    pub fn retry_ms(&self) -> Option<u64> {
        let refusing = self.windows().iter().filter(|w| w.refuses());
        refusing
            .map(|w| w.retry_ms)
            .try_fold(0, |longest: u64, retry| retry.map(|retry| longest.max(retry)))
    }
}

/// Counters of requests, by subject.
///
/// Contract, proved by [`conformance`](crate::limit::conformance):
///
/// - Whatever happens and however the calls fall, no stretch of time as long as a quota's period
///   sees more admitted than the quota allows; a clock that goes back makes no difference.
/// - All windows admit a call, or none counts it: a refused call changes nothing.
/// - A refused call made again after [`Outcome::retry_ms`], alone on its subject, is admitted;
///   a millisecond earlier it is not. A cost above a limit is refused for ever.
/// - A window is known by its period, not by its quota's name or place: a quota with another
///   limit or name sees the same count. Each admitted call is counted in every window that its
///   subject has ever been held to and that has not run empty since; a window of a period new to
///   the subject begins empty, with that call.
/// - No more than [`QUOTAS_MAX`] quotas may be given; a call with more is refused for ever. With
///   none it is admitted, and not counted.
///
/// `now` is the caller's clock. A store that a fleet shares goes by one of its own instead.
pub trait QuotaStore: Send + Sync {
    /// Counts `cost` requests of `subject`, if all `quotas` have room for them.
    ///
    /// # Errors
    /// [`StoreLost`] when the store gave no answer; it may have counted all the same.
    fn acquire(
        &self,
        subject: Subject<'_>,
        quotas: &[Quota],
        cost: NonZeroU32,
        now: Timestamp,
    ) -> impl Future<Output = Result<Outcome, StoreLost>> + Send;

    /// Takes back a call that was admitted a moment ago and then not made.
    ///
    /// Only the windows of `quotas` forget it, for those have certainly counted it. The oldest requests are forgotten first, which keeps what remains longest and so errs
    /// towards refusing; nothing goes below zero.
    ///
    /// # Errors
    /// [`StoreLost`] when the store gave no answer; it may have forgotten them all the same.
    fn refund(
        &self,
        subject: Subject<'_>,
        quotas: &[Quota],
        cost: NonZeroU32,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), StoreLost>> + Send;

    /// Says how `subject` stands, and whether a call of cost 1 would be admitted; changes nothing.
    ///
    /// # Errors
    /// [`StoreLost`] when the store gave no answer.
    fn peek(
        &self,
        subject: Subject<'_>,
        quotas: &[Quota],
        now: Timestamp,
    ) -> impl Future<Output = Result<Outcome, StoreLost>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(remaining: u32, retry_ms: Option<u64>, reset_ms: u64) -> WindowState {
        WindowState { limit: 100, remaining, retry_ms, reset_ms }
    }

    #[test]
    fn the_tightest_window_has_least_left_and_of_equals_the_longer_wait() {
        for (windows, tightest) in [
            (vec![], 0),
            (vec![window(5, Some(0), 9)], 0),
            (vec![window(5, Some(0), 9), window(4, Some(0), 1)], 1),
            (vec![window(5, Some(0), 9), window(5, Some(0), 9)], 0),
            (vec![window(5, Some(0), 8), window(5, Some(0), 9)], 1),
            (vec![window(0, Some(7), 7), window(0, Some(8), 1)], 1),
            (vec![window(0, Some(7), 7), window(0, None, 1), window(1, Some(0), 9)], 1),
        ] {
            assert_eq!(Outcome::new(false, windows.clone()).tightest(), tightest, "{windows:?}");
        }
    }

    #[test]
    fn retry_is_the_longest_of_the_refusing_windows_and_never_if_one_says_never() {
        let admitting = window(5, Some(0), 99);
        for (windows, retry) in [
            (vec![], Some(0)),
            (vec![admitting], Some(0)),
            (vec![admitting, window(0, Some(7), 7), window(0, Some(3), 3)], Some(7)),
            (vec![window(0, Some(7), 7), window(0, None, 3), window(0, Some(9), 9)], None),
        ] {
            assert_eq!(Outcome::new(false, windows.clone()).retry_ms(), retry, "{windows:?}");
        }
    }

    #[test]
    fn an_outcome_holds_the_maximum_of_windows_and_leaves_out_one_past_it() {
        let many = (0..).map(|left| window(left, Some(0), 0));
        assert_eq!(Outcome::new(true, many.clone().take(QUOTAS_MAX)).windows().len(), QUOTAS_MAX);
        let outcome = Outcome::new(true, many.take(QUOTAS_MAX + 1));
        assert_eq!(outcome.windows().len(), QUOTAS_MAX);
    }
}
