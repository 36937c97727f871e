//! Which of many like refusals is worth a warning: the first of each subject in a while.

use std::hash::BuildHasher;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foldhash::fast::RandomState;
use kernel::time::Timestamp;

/// How long further refusals of one subject are no news.
pub const QUIET: Duration = Duration::from_secs(60);

/// How many subjects are remembered; two that share a place warn more often, never less.
const PLACES: usize = 4096;

/// Remembers who was warned of lately, in a fixed amount of memory.
pub struct Sample {
    hasher: RandomState,
    places: Box<[AtomicU64]>,
}

impl Default for Sample {
    fn default() -> Self {
        let places = (0..PLACES).map(|_| AtomicU64::new(0)).collect();
        Self { hasher: RandomState::default(), places }
    }
}

impl Sample {
    /// Whether `subject` is news at `now`.
    pub fn is_news(&self, subject: &str, now: Timestamp) -> bool {
        let hash = self.hasher.hash_one(subject);
        let period = now.as_secs() / QUIET.as_secs();
        // Who, in the upper half; when, in the lower one.
        let mark = hash & !0xffff_ffff | period & 0xffff_ffff;
        self.places[hash as usize % PLACES].swap(mark, Ordering::Relaxed) != mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_news_once_in_a_while_and_each_by_itself() {
        let sample = Sample::default();
        let now = Timestamp::from_secs(1_700_000_040);
        assert!(sample.is_news("user-1", now));
        assert!(!sample.is_news("user-1", now));
        assert!(sample.is_news("user-2", now));
        assert!(sample.is_news("user-1", now.plus(QUIET)));
    }
}
