//! What a report says of one stage, and what it does to what is known of that.

use std::cmp::Ordering;
use std::sync::Arc;

use super::plan::Standing;
use super::plan::Status;
use crate::time::Timestamp;

/// The longest `message` and the longest `error_message`, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4096;

/// The greatest `completed` and `total`.
pub const COUNT_MAX: u64 = 1_000_000_000_000;

/// What a service reports of one stage: all that is to be known of it from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Which stage.
    pub stage: Arc<str>,
    /// How it stands.
    pub status: Status,
    /// Which attempt it speaks of; `None`: the present one.
    pub attempt: Option<u32>,
    /// How far it is, of [`Self::total`].
    pub completed: Option<u64>,
    /// How far it has to go.
    pub total: Option<u64>,
    /// What is going on, for people.
    pub message: Option<Arc<str>>,
    /// What went wrong.
    pub error_message: Option<Arc<str>>,
}

/// What is known of one stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageState {
    /// How it stands.
    pub status: Status,
    /// Which attempt it is at; `None`: nobody counts.
    pub attempt: Option<u32>,
    /// How far it is.
    pub completed: Option<u64>,
    /// How far it has to go.
    pub total: Option<u64>,
    /// What is going on, for people.
    pub message: Option<Arc<str>>,
    /// What went wrong.
    pub error_message: Option<Arc<str>>,
    /// When this attempt began; `None`: it has not, or that is not known.
    pub started_at: Option<Timestamp>,
    /// When it ended; `None`: it has not, or that is not known.
    pub finished_at: Option<Timestamp>,
    /// When it was reported last.
    pub updated_at: Timestamp,
}

/// What a report did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is what is known now.
    Applied,
    /// It was known already.
    Known,
    /// Something later is known: nothing was changed.
    Outdated,
}

impl Effect {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Known => "known",
            Self::Outdated => "outdated",
        }
    }
}

impl Update {
    /// That `stage` stands so, and nothing else.
    pub fn new(stage: impl Into<Arc<str>>, status: Status) -> Self {
        Self {
            stage: stage.into(),
            status,
            attempt: None,
            completed: None,
            total: None,
            message: None,
            error_message: None,
        }
    }

    /// What it does to a stage that stands so.
    ///
    /// An older attempt changes nothing, and a later one everything. Of one attempt the later status
    /// stands, then the greater `completed`, then whatever comes last. A report that names no attempt
    /// is about the present one, and whatever comes last stands.
    pub fn effect(&self, present: Option<&StageState>) -> Effect {
        let Some(present) = present else { return Effect::Applied };
        if self.is_said_by(present, self.attempt.or(present.attempt)) {
            return Effect::Known;
        }
        match self.order(present) {
            Some(Ordering::Less) => Effect::Outdated,
            Some(Ordering::Equal | Ordering::Greater) | None => Effect::Applied,
        }
    }

    /// Where it comes, beside what is known; `None`: it names no attempt, and says nothing of that.
    pub(super) fn order(&self, present: &StageState) -> Option<Ordering> {
        self.attempt?;
        let ours = (self.attempt, self.status.rank, self.completed);
        let theirs = (present.attempt, present.status.rank, present.completed);
        Some(ours.cmp(&theirs))
    }

    fn is_said_by(&self, present: &StageState, attempt: Option<u32>) -> bool {
        present.status.name == self.status.name
            && present.attempt == attempt
            && present.completed == self.completed
            && present.total == self.total
            && present.message == self.message
            && present.error_message == self.error_message
    }

    /// How the stage stands after it, said at `now`.
    pub fn state_after(&self, present: Option<&StageState>, now: Timestamp) -> StageState {
        let standing = self.status.standing;
        let attempt = self.attempt.or(present.and_then(|present| present.attempt));
        let same = present.filter(|present| present.attempt == attempt);
        let began = match standing {
            Standing::Pending => None,
            Standing::Processing | Standing::Completed | Standing::Failed => Some(now),
        };
        StageState {
            status: self.status.clone(),
            attempt,
            completed: self.completed,
            total: self.total,
            message: self.message.clone(),
            error_message: self.error_message.clone(),
            started_at: began.and(same.and_then(|same| same.started_at).or(began)),
            finished_at: standing.is_final().then_some(now),
            updated_at: now,
        }
    }
}
