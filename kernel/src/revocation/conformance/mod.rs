//! The suite that every [`RevocationFeed`] must pass, whatever carries its rows.
//!
//! A feed's tests call [`revocation_feed_conformance!`](crate::revocation_feed_conformance) with an
//! expression that makes an empty [`Truth`]; each behaviour becomes a test of its own. What is
//! added here is thereby asked of every feed.

mod arrivals;
mod edge;
mod entries;
mod expiry;
mod histories;
mod moments;
mod outages;
mod witnesses;
mod writers;

use std::future::Future;

use crate::revocation::Entry;
use crate::revocation::feed::RevocationFeed;
use crate::time::Timestamp;

pub use arrivals::a_fresh_follower_gets_what_was_revoked_before;
pub use arrivals::a_log_of_thousands_of_rows_arrives_whole_and_in_pieces;
pub use arrivals::an_empty_log_is_a_whole_snapshot;
pub use arrivals::every_kind_of_entry_arrives_as_it_was_written;
pub use arrivals::reading_twice_changes_nothing;
pub use arrivals::rows_come_in_order_after_the_number_asked_for;
pub use arrivals::what_is_written_later_arrives;
pub use expiry::a_clock_that_was_ahead_un_revokes_nothing_once_it_is_put_back;
pub use expiry::a_thousand_expired_rows_hide_no_live_one;
pub use expiry::expired_rows_may_be_missing_but_live_ones_never_are;
pub use histories::a_log_replaced_after_a_read_broke_off_arrives_whole;
pub use histories::a_shorter_log_is_read_from_the_beginning_and_un_revokes_nothing;
pub use histories::another_log_is_read_from_the_beginning_and_un_revokes_nothing;
pub use histories::another_logs_word_on_a_user_counts_whatever_its_number;
pub use moments::following_at_random_moments_ends_with_the_answers_of_all_rows;
pub use outages::a_feed_that_fails_keeps_what_is_known_in_force_and_catches_up_afterwards;
pub use outages::a_first_snapshot_that_breaks_off_lets_nobody_in;
pub use writers::writers_in_parallel_lose_nothing_and_leave_no_gap;

/// The log that feeds under test carry, in the hand of the suite.
pub trait Truth {
    /// What carries its rows.
    type Feed: RevocationFeed;

    /// One more feed of it, as an edge that starts now has.
    fn feed(&self) -> Self::Feed;

    /// Commits `entry` as an act does, and gives its number. Calls may overlap.
    fn write(&self, entry: Entry) -> impl Future<Output = u64>;

    /// Puts another history in its place, as a restored backup does: a log that is called
    /// `log_id` and says `entries`, from number 1 on.
    fn restore(&self, log_id: &str, entries: Vec<Entry>) -> impl Future<Output = ()>;
}

/// The moment at which every behaviour begins: long ago, so that a feed that goes by a clock of
/// its own takes for expired what is not.
const START: Timestamp = Timestamp::from_millis(1_700_000_123_457);

/// Makes a test of each behaviour in the suite, for the truth that the expression makes; it may
/// await.
///
/// A second argument names the function that runs a future to its end. Without it that is tokio,
/// which the crate that calls this then needs.
#[macro_export]
#[doc(hidden)]
macro_rules! revocation_feed_conformance {
    ($make:expr) => {
        fn on_a_runtime<B: ::std::future::Future>(behaviour: B) -> B::Output {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("the system gives a runtime").block_on(behaviour)
        }

        $crate::revocation_feed_conformance!($make, on_a_runtime);
    };
    ($make:expr, $run:path) => {
        $crate::revocation_feed_conformance!(@each $make, $run;
            a_fresh_follower_gets_what_was_revoked_before,
            an_empty_log_is_a_whole_snapshot,
            what_is_written_later_arrives,
            every_kind_of_entry_arrives_as_it_was_written,
            rows_come_in_order_after_the_number_asked_for,
            a_log_of_thousands_of_rows_arrives_whole_and_in_pieces,
            reading_twice_changes_nothing,
            writers_in_parallel_lose_nothing_and_leave_no_gap,
            another_log_is_read_from_the_beginning_and_un_revokes_nothing,
            a_shorter_log_is_read_from_the_beginning_and_un_revokes_nothing,
            another_logs_word_on_a_user_counts_whatever_its_number,
            a_log_replaced_after_a_read_broke_off_arrives_whole,
            a_feed_that_fails_keeps_what_is_known_in_force_and_catches_up_afterwards,
            a_first_snapshot_that_breaks_off_lets_nobody_in,
            expired_rows_may_be_missing_but_live_ones_never_are,
            a_thousand_expired_rows_hide_no_live_one,
            a_clock_that_was_ahead_un_revokes_nothing_once_it_is_put_back,
            following_at_random_moments_ends_with_the_answers_of_all_rows,
        );
    };
    (@each $make:expr, $run:path; $($behaviour:ident),* $(,)?) => {
        $(
            #[test]
            fn $behaviour() {
                $run(async {
                    $crate::revocation::conformance::$behaviour(&$make).await;
                });
            }
        )*
    };
}
