//! What a process needs before anything is sent to it: resources, each loaded once.
//!
//! A [`Resource`] says what it needs, how it is loaded, and whether the process can do without it.
//! [`WarmUp`] loads all of them, in parallel as far as their needs allow; a [`Warm`] gives the value
//! once it is there, and says so until then. Where memory is measured and steps are written down is
//! for a [`Witness`] to know; this room only waits, and counts time.
//!
//! Modules in reading order; each uses only those above it.

mod warm;

mod fault;

mod standing;

mod resource;

mod plan;

mod load;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

pub use fault::Fault;
pub use load::Step;
pub use load::Witness;
pub use plan::PlanError;
pub use resource::PAUSE_MAX;
pub use resource::Resource;
pub use resource::TIMEOUT;
pub use resource::TRIES_MAX;
pub use standing::Progress;
pub use standing::Standing;
pub use standing::State;
pub use standing::Weight;
pub use warm::NotInitialized;
pub use warm::Warm;

/// All resources of a process.
///
/// Clones are the same resources: whichever of them is asked to [`load`](Self::load), and however many
/// ask at once, each resource is loaded once.
#[derive(Clone)]
pub struct WarmUp(Arc<Inner>);

struct Inner {
    board: Arc<watch::Sender<Vec<Standing>>>,
    /// `None` once somebody has begun to load them.
    resources: Mutex<Option<Vec<Resource>>>,
    witness: Arc<dyn Witness>,
}

/// What the process cannot do without, and could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` cannot be loaded, tried {}: {fault}", times(*.attempts))]
pub struct LoadError {
    /// What it is called.
    pub name: Arc<str>,
    /// How often it was tried.
    pub attempts: u32,
    /// What the last attempt failed of.
    pub fault: Fault,
}

impl WarmUp {
    /// Plans to load `resources`, telling `witness` of each step.
    ///
    /// # Errors
    /// [`PlanError`] where they cannot all be loaded, whatever happens.
    pub fn new(resources: Vec<Resource>, witness: impl Witness) -> Result<Self, PlanError> {
        plan::check(&resources)?;
        let standings = resources.iter().map(Standing::of).collect();
        Ok(Self(Arc::new(Inner {
            board: Arc::new(watch::Sender::new(standings)),
            resources: Mutex::new(Some(resources)),
            witness: Arc::new(witness),
        })))
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        Progress::new(&self.0.board)
    }

    /// Loads everything and waits until it is there; what is optional and cannot be had is not waited
    /// for any longer than its own retries say, and goes on being tried.
    ///
    /// Loading goes on though a caller gives up waiting. Must be called within the runtime that is to
    /// carry it.
    ///
    /// # Errors
    /// [`LoadError`] for the first required resource that cannot be had. The same for all callers.
    pub async fn load(&self) -> Result<(), LoadError> {
        let Inner { board, resources, witness } = &*self.0;
        for resource in resources.lock().take().into_iter().flatten() {
            tokio::task::spawn(load::load(resource, Arc::clone(board), Arc::clone(witness)));
        }
        let mut seen = board.subscribe();
        // The sender lives as long as `self`.
        let _ = seen.wait_for(|board| standing::is_settled(board)).await;
        let failed = standing::failed(&seen.borrow());
        match failed {
            None => Ok(()),
            Some((name, attempts, fault)) => Err(LoadError { name, attempts, fault }),
        }
    }
}

fn times(attempts: u32) -> String {
    match attempts {
        1 => "once".to_owned(),
        _ => format!("{attempts} times"),
    }
}
