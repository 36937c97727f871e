//! What is promised of a warm-up, in time that a test makes go by.

mod loading;

mod plans;

mod retries;

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::*;

/// Writes down what it is told, in words.
#[derive(Clone, Default)]
struct Scribe {
    lines: Arc<Mutex<Vec<String>>>,
    /// Grows by a byte each time it is measured.
    resident: Arc<AtomicU64>,
}

impl Witness for Scribe {
    fn resident_bytes(&self) -> Option<u64> {
        Some(self.resident.fetch_add(1, Ordering::Relaxed))
    }

    fn saw(&self, step: &Step<'_>) {
        let outcome = match step.outcome {
            Ok(()) => "warm".to_owned(),
            Err(fault) => fault.to_string(),
        };
        let again = step.again_after.map(|pause| format!(", again after {} s", pause.as_secs()));
        self.lines.lock().push(format!(
            "{} {} in {} ms: {outcome}{}",
            step.name,
            step.attempt,
            step.took.as_millis(),
            again.unwrap_or_default()
        ));
    }
}

/// A warm-up of `resources` that nobody writes down.
fn warm_up(resources: Vec<Resource>) -> WarmUp {
    WarmUp::new(resources, Scribe::default()).expect("resources that can be loaded")
}

/// Counts how often something was loaded.
#[derive(Clone, Default)]
struct Tally(Arc<AtomicU32>);

impl Tally {
    /// One more; gives which it was, from 1.
    fn next(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

/// The state of the resource `name`.
fn state_of(name: &str, progress: &Progress) -> State {
    standing_of(name, progress).state
}

fn standing_of(name: &str, progress: &Progress) -> Standing {
    let standings = progress.standings();
    standings.into_iter().find(|standing| &*standing.name == name).expect("a resource")
}

/// Waits until the resource `name` is as `wanted` says.
async fn until(progress: &Progress, name: &str, wanted: impl Fn(&State) -> bool) {
    let mut board = progress.0.clone();
    let is_so = |board: &Vec<Standing>| {
        board.iter().any(|standing| &*standing.name == name && wanted(&standing.state))
    };
    board.wait_for(|board| is_so(board)).await.expect("the warm-up lives");
}

/// A resource that takes so many seconds, and then gives its name.
fn slow(name: &'static str, seconds: u64) -> (Resource, Warm<&'static str>) {
    Resource::required(name, move || async move {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        Ok(name)
    })
}

/// A resource that is refused `refusals` times, and notes when it was tried.
fn refused(weight: Weight, refusals: u32) -> (Resource, Warm<u32>, Arc<Mutex<Vec<u64>>>) {
    let begun = Instant::now();
    let times = Arc::new(Mutex::new(Vec::new()));
    let (tally, noted) = (Tally::default(), Arc::clone(&times));
    let (resource, warm) = Resource::new("store", weight, move || {
        let attempt = tally.next();
        noted.lock().push(begun.elapsed().as_secs());
        async move {
            match attempt > refusals {
                true => Ok(attempt),
                false => Err(Fault::passing(format!("refused for the {attempt}. time"))),
            }
        }
    });
    (resource, warm, times)
}
