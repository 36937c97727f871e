//! Which stages a resource goes through, and in which words it is said how each stands.

use std::sync::Arc;

/// The stages of the replaced service, in their order.
pub const USUAL_STAGES: [&str; 5] = ["ingestion", "quality", "taxonomy", "graph", "embedding"];

/// The most stages of one resource.
pub const STAGES_MAX: usize = 32;

/// The most statuses that there are, the four of the contract among them.
pub const STATUSES_MAX: usize = 32;

/// How a stage stands, as far as the rule for the whole is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It has not begun.
    Pending,
    /// It is at work.
    Processing,
    /// It is done.
    Completed,
    /// It came to nothing.
    Failed,
}

/// A status: its name, and what it counts as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its name on the wire.
    pub name: Arc<str>,
    /// What it counts as.
    pub standing: Standing,
    /// Where it comes among all statuses: of two reports on one attempt, the one whose status comes
    /// later stands.
    pub rank: u16,
}

/// A name that stands for no stage or no status here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {kind}; there are {known}")]
pub struct Unknown {
    kind: &'static str,
    known: String,
}

/// The stages that are expected of every resource, in order, and the statuses that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    stages: Vec<Arc<str>>,
    statuses: Vec<Status>,
}

impl Standing {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Processing, Self::Completed, Self::Failed];

    /// Its name, which is that of a status, too.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// The one of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.as_str() == name)
    }

    /// Whether nothing more happens in this attempt.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

impl Default for Plan {
    /// The five stages and the four statuses of the replaced service.
    fn default() -> Self {
        Self::new(USUAL_STAGES, [])
    }
}

impl Plan {
    /// These stages in this order, and beside the four statuses these further ones, each with what it
    /// counts as.
    pub fn new<'a>(
        stages: impl IntoIterator<Item = &'a str>,
        further: impl IntoIterator<Item = (&'a str, Standing)>,
    ) -> Self {
        let own = Standing::ALL.map(|standing| (standing.as_str(), standing));
        let mut statuses: Vec<_> = own.into_iter().chain(further).collect();
        // Stable: of those that count alike, the contract's own comes first.
        statuses.sort_by_key(|(_, standing)| *standing);
        let status = |(rank, (name, standing)): (usize, (&str, Standing))| Status {
            name: name.into(),
            standing,
            // There are at most `STATUSES_MAX`.
            rank: rank as u16,
        };
        Self {
            stages: stages.into_iter().map(Arc::from).collect(),
            statuses: statuses.into_iter().enumerate().map(status).collect(),
        }
    }

    /// The stages, in order.
    pub fn stages(&self) -> &[Arc<str>] {
        &self.stages
    }

    /// The statuses, in order of their ranks.
    pub fn statuses(&self) -> &[Status] {
        &self.statuses
    }

    /// The stage called `name`.
    ///
    /// # Errors
    /// [`Unknown`], with the names that there are.
    pub fn stage(&self, name: &str) -> Result<Arc<str>, Unknown> {
        let found = self.stages.iter().find(|stage| ***stage == *name);
        found.cloned().ok_or_else(|| Unknown {
            kind: "stage",
            known: list(self.stages.iter().map(|stage| &**stage)),
        })
    }

    /// The status called `name`.
    ///
    /// # Errors
    /// [`Unknown`], with the names that there are.
    pub fn status(&self, name: &str) -> Result<Status, Unknown> {
        let found = self.statuses.iter().find(|status| *status.name == *name);
        found.cloned().ok_or_else(|| Unknown {
            kind: "status",
            known: list(self.statuses.iter().map(|status| &*status.name)),
        })
    }

    /// The status called `name`, whoever wrote it: one that is known here no more says nothing.
    pub fn status_read(&self, name: &str) -> Status {
        let unknown = || Status { name: name.into(), standing: Standing::Pending, rank: 0 };
        self.status(name).unwrap_or_else(|_| unknown())
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_those_that_there_are() {
        let plan = Plan::default();
        assert_eq!(
            plan.stage("polish").unwrap_err().to_string(),
            "unknown stage; there are `ingestion`, `quality`, `taxonomy`, `graph`, `embedding`"
        );
        assert_eq!(
            plan.status("done").unwrap_err().to_string(),
            "unknown status; there are `pending`, `processing`, `completed`, `failed`"
        );
    }

    #[test]
    fn further_statuses_rank_after_the_one_that_they_count_as() {
        let plan =
            Plan::new(["a"], [("skipped", Standing::Completed), ("paused", Standing::Pending)]);
        let names: Vec<_> = plan.statuses().iter().map(|status| &*status.name).collect();
        assert_eq!(names, ["pending", "paused", "processing", "completed", "skipped", "failed"]);
        assert_eq!(plan.status("skipped").unwrap().standing, Standing::Completed);
        assert_eq!(plan.status_read("gone").standing, Standing::Pending);
    }
}
