//! One resource on its way: its needs, its attempts, and what comes of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fault::Fault;
use super::resource::Put;
use super::resource::Resource;
use super::resource::pause_after;
use super::standing::Standing;
use super::standing::State;
use super::standing::Weight;
use super::standing::failed;

/// Measures memory, and is told of each step.
pub trait Witness: Send + Sync + 'static {
    /// How much memory of this process is resident, in bytes; `None` where the system does not say.
    fn resident_bytes(&self) -> Option<u64>;

    /// Writes `step` down.
    fn saw(&self, step: &Step<'_>);
}

/// One attempt, over and done with.
#[derive(Debug)]
pub struct Step<'a> {
    /// What the resource is called.
    pub name: &'a str,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// How long it took.
    pub took: Duration,
    /// Memory before, in bytes.
    pub resident_before: Option<u64>,
    /// Memory after, in bytes.
    pub resident_after: Option<u64>,
    /// What came of it.
    pub outcome: Result<(), &'a Fault>,
    /// When there will be another attempt; `None`: there will be none.
    pub again_after: Option<Duration>,
}

/// Loads `resource` once its needs are there, and writes on `board` how far it is, until it is loaded
/// or the process ends for want of anything.
pub(super) async fn load(
    resource: Resource,
    board: Arc<watch::Sender<Vec<Standing>>>,
    witness: Arc<dyn Witness>,
) {
    let mut seen = board.subscribe();
    let needs = resource.needs.clone();
    let ready = seen.wait_for(|board| has_all(&needs, board) || failed(board).is_some()).await;
    if ready.is_ok_and(|board| failed(&board).is_none()) {
        let begun = Instant::now();
        let course = Course { resource, board, witness, begun };
        course.run().await;
    }
}

fn has_all(needs: &[Arc<str>], board: &[Standing]) -> bool {
    let is_warm = |need: &Arc<str>| {
        board.iter().any(|standing| standing.name == *need && standing.state == State::Warm)
    };
    needs.iter().all(is_warm)
}

/// All attempts at one resource.
struct Course {
    resource: Resource,
    board: Arc<watch::Sender<Vec<Standing>>>,
    witness: Arc<dyn Witness>,
    begun: Instant,
}

impl Course {
    async fn run(self) {
        let mut is_given_up = false;
        for attempt in 1_u32.. {
            self.note(|standing| {
                standing.attempts = attempt;
                // Nobody waits for what was given up; it stays so until it is there.
                if !is_given_up {
                    standing.state = State::Loading;
                }
            });
            let resident_before = self.witness.resident_bytes();
            let began = Instant::now();
            let outcome = self.attempt().await.map(|put| put());
            let took = began.elapsed();
            let (state, again_after) = match &outcome {
                Ok(()) => (State::Warm, None),
                Err(fault) => self.after_failure(fault, attempt, is_given_up),
            };
            self.witness.saw(&Step {
                name: &self.resource.name,
                attempt,
                took,
                resident_before,
                resident_after: self.witness.resident_bytes(),
                outcome: outcome.as_ref().copied(),
                again_after,
            });
            is_given_up = matches!(state, State::Degraded(_));
            self.note(|standing| standing.state = state);
            let Some(pause) = again_after else { return };
            if self.is_over_within(pause).await {
                return;
            }
        }
    }

    /// One attempt: an end by panic, or none in time, is a failure as others are.
    async fn attempt(&self) -> Result<Put, Fault> {
        let load = Arc::clone(&self.resource.load);
        // A task of its own: it ends with the set, and a panic ends nothing else.
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { load().await });
        match tokio::time::timeout(self.resource.timeout, tasks.join_next()).await {
            Ok(Some(Ok(outcome))) => outcome,
            Ok(_) => Err(Fault::passing("it ended by a panic")),
            Err(_) => {
                // Before another one begins, this one is over.
                tasks.shutdown().await;
                let seconds = self.resource.timeout.as_secs_f64();
                Err(Fault::passing(format!("nothing came of it within {seconds} s")))
            }
        }
    }

    /// Where `attempt`, which failed, leaves the resource, and how long to wait before another.
    fn after_failure(
        &self,
        fault: &Fault,
        attempt: u32,
        is_given_up: bool,
    ) -> (State, Option<Duration>) {
        let pause = match is_given_up {
            true => None,
            false => self.resource.patience.pause(attempt, self.begun.elapsed()),
        };
        match (pause, self.resource.weight) {
            _ if fault.lasts() => (self.out(fault), None),
            (Some(pause), _) => (State::Retrying(fault.clone()), Some(pause)),
            (None, Weight::Optional) => (self.out(fault), Some(pause_after(attempt))),
            (None, Weight::Required) => (self.out(fault), None),
        }
    }

    /// The state of what cannot be had.
    fn out(&self, fault: &Fault) -> State {
        match self.resource.weight {
            Weight::Required => State::Failed(fault.clone()),
            Weight::Optional => State::Degraded(fault.clone()),
        }
    }

    /// Waits for `pause`, or until the process ends for want of something.
    async fn is_over_within(&self, pause: Duration) -> bool {
        let mut seen = self.board.subscribe();
        let over = seen.wait_for(|board| failed(board).is_some());
        tokio::time::timeout(pause, over).await.is_ok()
    }

    /// Writes on the board how far it is.
    fn note(&self, change: impl FnOnce(&mut Standing)) {
        self.board.send_modify(|board| {
            let own = board.iter_mut().find(|standing| standing.name == self.resource.name);
            if let Some(standing) = own {
                standing.took = self.begun.elapsed();
                change(standing);
            }
        });
    }
}
