//! What the stages come to together: two pure functions.

use super::plan::Standing;

/// How a resource stands, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing has begun.
    Queued,
    /// Something has.
    Running,
    /// All is done.
    Done,
    /// Something came to nothing.
    Failed,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Queued, Self::Running, Self::Done, Self::Failed];

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// The one of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == name)
    }
}

/// What the stages come to; `None` stands for an expected one of which nothing was said.
///
/// Any failed: failed. Else any at work: processing. Else all completed: completed. Else, and where
/// there are none: pending.
pub fn overall(stages: impl IntoIterator<Item = Option<Standing>>) -> Standing {
    let mut seen = Seen::default();
    seen.all(stages);
    match seen {
        Seen { failed: 1.., .. } => Standing::Failed,
        Seen { processing: 1.., .. } => Standing::Processing,
        Seen { completed: 1.., pending: 0, .. } => Standing::Completed,
        _ => Standing::Pending,
    }
}

/// The same for people: what is done in part is running, though nobody is at work just now.
///
/// Any failed: failed. Else all completed: done. Else all pending, and where there are none: queued.
/// Else running.
pub fn phase(stages: impl IntoIterator<Item = Option<Standing>>) -> Phase {
    let mut seen = Seen::default();
    seen.all(stages);
    match seen {
        Seen { failed: 1.., .. } => Phase::Failed,
        Seen { completed: 1.., pending: 0, processing: 0, .. } => Phase::Done,
        Seen { completed: 0, processing: 0, .. } => Phase::Queued,
        _ => Phase::Running,
    }
}

/// How many there are of each.
#[derive(Default)]
struct Seen {
    pending: usize,
    processing: usize,
    completed: usize,
    failed: usize,
}

impl Seen {
    fn all(&mut self, stages: impl IntoIterator<Item = Option<Standing>>) {
        for stage in stages {
            match stage {
                None | Some(Standing::Pending) => self.pending += 1,
                Some(Standing::Processing) => self.processing += 1,
                Some(Standing::Completed) => self.completed += 1,
                Some(Standing::Failed) => self.failed += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAYINGS: [Option<Standing>; 5] = [
        None,
        Some(Standing::Pending),
        Some(Standing::Processing),
        Some(Standing::Completed),
        Some(Standing::Failed),
    ];

    /// Every way in which five stages can stand.
    fn combinations() -> impl Iterator<Item = [Option<Standing>; 5]> {
        (0..5_usize.pow(5))
            .map(|n| [0, 1, 2, 3, 4].map(|place| SAYINGS[n / 5_usize.pow(place) % 5]))
    }

    #[test]
    fn in_all_3125_combinations_of_five_stages_the_whole_is_as_the_contract_says() {
        let mut combinations_seen = 0;
        for stages in combinations() {
            combinations_seen += 1;
            let has = |standing| stages.contains(&Some(standing));
            let all_completed = stages.iter().all(|stage| *stage == Some(Standing::Completed));
            let expected = if has(Standing::Failed) {
                Standing::Failed
            } else if has(Standing::Processing) {
                Standing::Processing
            } else if all_completed {
                Standing::Completed
            } else {
                Standing::Pending
            };
            assert_eq!(overall(stages), expected, "{stages:?}");

            let all_pending =
                stages.iter().all(|stage| stage.is_none_or(|s| s == Standing::Pending));
            let expected = if has(Standing::Failed) {
                Phase::Failed
            } else if all_completed {
                Phase::Done
            } else if all_pending {
                Phase::Queued
            } else {
                Phase::Running
            };
            assert_eq!(phase(stages), expected, "{stages:?}");
        }
        assert_eq!(combinations_seen, 3125);
    }

    #[test]
    fn of_no_stages_at_all_nothing_has_begun() {
        assert_eq!(overall([]), Standing::Pending);
        assert_eq!(phase([]), Phase::Queued);
    }
}
