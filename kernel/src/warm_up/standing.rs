//! How far each resource is, for probes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::fault::Fault;

/// What becomes of a process that cannot have a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It ends.
    Required,
    /// It does its work without, as well as it can, and goes on trying.
    Optional,
}

/// How far a resource is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Something that it needs is not loaded yet.
    Waiting,
    /// It is being loaded.
    Loading,
    /// An attempt failed, and another one follows.
    Retrying(Fault),
    /// It is there.
    Warm,
    /// It is not there, and nobody waits for it any more.
    Degraded(Fault),
    /// It is not there, and the process ends of it.
    Failed(Fault),
}

/// One resource, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it is called.
    pub name: Arc<str>,
    /// What must be loaded before.
    pub needs: Vec<Arc<str>>,
    /// How far it is.
    pub state: State,
    /// How many attempts were begun.
    pub attempts: u32,
    /// How long it took, or has taken so far, from the beginning of the first attempt to the end of the
    /// last.
    pub took: Duration,
}

/// How far a warm-up is, seen from outside.
#[derive(Clone)]
pub struct Progress(pub(super) watch::Receiver<Vec<Standing>>);

impl Progress {
    pub(super) fn new(board: &watch::Sender<Vec<Standing>>) -> Self {
        Self(board.subscribe())
    }

    /// All resources as they are now, in the order they were planned in.
    pub fn standings(&self) -> Vec<Standing> {
        self.0.borrow().clone()
    }
}

/// Whether nothing is left to wait for.
pub(super) fn is_settled(board: &[Standing]) -> bool {
    failed(board).is_some() || board.iter().all(|standing| is_done(standing, board))
}

fn is_done(standing: &Standing, board: &[Standing]) -> bool {
    match &standing.state {
        State::Warm | State::Degraded(_) | State::Failed(_) => true,
        // As long as what it needs is degraded, so is what waits for that.
        State::Waiting => standing.needs.iter().any(|need| is_out_of_reach(need, board)),
        State::Loading | State::Retrying(_) => false,
    }
}

fn is_out_of_reach(name: &Arc<str>, board: &[Standing]) -> bool {
    let Some(standing) = board.iter().find(|standing| standing.name == *name) else { return false };
    match &standing.state {
        State::Degraded(_) => true,
        State::Waiting => standing.needs.iter().any(|need| is_out_of_reach(need, board)),
        State::Loading | State::Retrying(_) | State::Warm | State::Failed(_) => false,
    }
}

/// The first resource that the process ends of.
pub(super) fn failed(board: &[Standing]) -> Option<(Arc<str>, u32, Fault)> {
    board.iter().find_map(|standing| match &standing.state {
        State::Failed(fault) => {
            Some((Arc::clone(&standing.name), standing.attempts, fault.clone()))
        }
        _ => None,
    })
}
