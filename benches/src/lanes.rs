//! Several who do the same thing side by side, each once after the other.

use std::time::Duration;
use std::time::Instant;

use crate::report;

/// Somebody who does one thing again and again.
pub trait Lane: Send + Sized + 'static {
    /// Does it once more.
    fn once(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Has `lanes` do their thing `warm_up` times, and then `count` times, which is reported; both
/// divided among them.
///
/// # Errors
/// That of the first lane that has one.
pub async fn measure<L: Lane>(lanes: Vec<L>, warm_up: u32, count: u32) -> anyhow::Result<()> {
    let (lanes, _) = drive(lanes, warm_up).await?;
    let began = Instant::now();
    let (_, took) = drive(lanes, count).await?;
    report(took, began.elapsed());
    Ok(())
}

async fn drive<L: Lane>(lanes: Vec<L>, count: u32) -> anyhow::Result<(Vec<L>, Vec<Duration>)> {
    let among = lanes.len();
    let share = |index: usize| (index..count as usize).step_by(among).len();
    let lanes = lanes.into_iter().enumerate();
    let tasks = lanes.map(|(index, lane)| tokio::spawn(run(lane, share(index))));
    let tasks: Vec<_> = tasks.collect();
    let (mut lanes, mut all) = (Vec::with_capacity(among), Vec::with_capacity(count as usize));
    for task in tasks {
        let (lane, took) = task.await??;
        lanes.push(lane);
        all.extend(took);
    }
    Ok((lanes, all))
}

async fn run<L: Lane>(mut lane: L, count: usize) -> anyhow::Result<(L, Vec<Duration>)> {
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        let began = Instant::now();
        lane.once().await?;
        took.push(began.elapsed());
    }
    Ok((lane, took))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering;

    use super::*;

    struct Counted(Arc<AtomicU32>);

    impl Lane for Counted {
        async fn once(&mut self) -> anyhow::Result<()> {
            let before = self.0.fetch_add(1, Ordering::Relaxed);
            anyhow::ensure!(before < 100, "one too many");
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_count_that_cannot_be_divided_is_kept_to_all_the_same() {
        let done = Arc::new(AtomicU32::new(0));
        let lanes = || (0..16).map(|_| Counted(Arc::clone(&done))).collect();
        let (_, took) = drive(lanes(), 33).await.unwrap();
        assert_eq!((took.len(), done.load(Ordering::Relaxed)), (33, 33));
        measure(lanes(), 3, 64).await.unwrap();
        assert_eq!(done.load(Ordering::Relaxed), 100);
        assert!(measure(lanes(), 0, 1).await.is_err());
    }
}
