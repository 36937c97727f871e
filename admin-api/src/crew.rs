//! A few threads with a bounded queue before them, for work that must not run on the runtime.
//!
//! Each thread owns one state, such as a database connection, so jobs need no locks for that; a queue of
//! known length is what turns overload into an answer instead of a delay.

use std::io;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::thread;
use std::time::Duration;

use crossbeam_channel::Receiver;
use crossbeam_channel::RecvTimeoutError;
use crossbeam_channel::Sender;
use crossbeam_channel::TrySendError;
use crossbeam_channel::bounded;
use tokio::sync::oneshot;

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// Why a job gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CrewError {
    /// The queue has no room.
    #[error("the queue is full")]
    Full,
    /// The job panicked, or its thread is gone.
    #[error("the job did not finish")]
    Lost,
}

/// Threads that work off one queue.
pub(crate) struct Crew<S> {
    queue: Sender<Job<S>>,
}

/// After how long without work a thread does what with its state; once, until it has worked again.
pub(crate) type Rest<S> = (Duration, fn(&mut S));

impl<S: Send + 'static> Crew<S> {
    /// Starts one thread for each of `states`, called `name`; `settle` runs first on each of them, and
    /// each comes to `rest` where there is nothing to do.
    pub(crate) fn start(
        name: &str,
        states: Vec<S>,
        queue_max: usize,
        settle: fn(),
        rest: Option<Rest<S>>,
    ) -> io::Result<Self> {
        let (queue, jobs) = bounded::<Job<S>>(queue_max);
        for state in states {
            let jobs = jobs.clone();
            thread::Builder::new().name(name.to_owned()).spawn(move || {
                settle();
                work(state, &jobs, rest);
            })?;
        }
        Ok(Self { queue })
    }

    /// Runs `job` on one of the threads and waits for what it gives.
    ///
    /// A job whose caller has gone away before its turn is left out.
    ///
    /// # Errors
    /// [`CrewError::Full`] at once when the queue is full.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<T, CrewError> {
        let (reply, answer) = oneshot::channel();
        let job: Job<S> = Box::new(move |state| {
            if !reply.is_closed() {
                // The caller may leave while the job runs; nobody misses the result then.
                let _ = reply.send(job(state));
            }
        });
        self.queue.try_send(job).map_err(|e| match e {
            TrySendError::Full(_) => CrewError::Full,
            TrySendError::Disconnected(_) => CrewError::Lost,
        })?;
        answer.await.map_err(|_| CrewError::Lost)
    }
}

fn work<S>(mut state: S, jobs: &Receiver<Job<S>>, rest: Option<Rest<S>>) {
    let mut has_worked = false;
    loop {
        let job = match rest.filter(|_| has_worked) {
            Some((after, _)) => jobs.recv_timeout(after),
            None => jobs.recv().map_err(RecvTimeoutError::from),
        };
        let job = match job {
            Ok(job) => job,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                rest.iter().for_each(|(_, act)| act(&mut state));
                has_worked = false;
                continue;
            }
        };
        has_worked = true;
        if catch_unwind(AssertUnwindSafe(|| job(&mut state))).is_err() {
            tracing::error!("a background job panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::Sender;
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_one_below_it_does_not() {
        let crew = Arc::new(Crew::start("test", vec![()], 1, || (), None).unwrap());
        let (started, running) = channel();
        let (gate, open) = channel::<()>();
        let busy = Arc::clone(&crew);
        let first = tokio::spawn(async move {
            busy.run(move |()| {
                started.send(()).unwrap();
                open.recv().unwrap();
            })
            .await
        });
        tokio::task::spawn_blocking(move || running.recv().unwrap()).await.unwrap();
        let mut waiting = Box::pin(crew.run(|()| 2));
        assert!(futures_poll_once(&mut waiting).await.is_none(), "it waits in the queue");
        assert_eq!(crew.run(|()| 3).await, Err(CrewError::Full));
        gate.send(()).unwrap();
        assert_eq!(waiting.await, Ok(2));
        assert_eq!(first.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn a_job_that_panics_takes_nothing_with_it() {
        let crew = Crew::start("test", vec![0], 4, || (), None).unwrap();
        assert_eq!(
            crew.run(|_: &mut i32| -> () { panic!("on purpose") }).await,
            Err(CrewError::Lost)
        );
        assert_eq!(crew.run(|state| *state).await, Ok(0));
    }

    #[tokio::test]
    async fn each_thread_rests_once_when_it_had_nothing_to_do_for_a_while_and_works_on() {
        const BRIEF: Duration = Duration::from_millis(1);
        let (rested, rests) = channel();
        let rest: Rest<Sender<()>> = (BRIEF, |rested| rested.send(()).unwrap());
        let crew = Crew::start("test", vec![rested], 4, || (), Some(rest)).unwrap();
        for _ in 0..3 {
            assert!(rests.try_recv().is_err(), "whoever has not worked has nothing to rest from");
            crew.run(|_| ()).await.unwrap();
            rests.recv().unwrap();
        }
    }

    async fn futures_poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        use std::task::Poll;
        std::future::poll_fn(|cx| {
            Poll::Ready(match std::pin::Pin::new(&mut *future).poll(cx) {
                Poll::Ready(value) => Some(value),
                Poll::Pending => None,
            })
        })
        .await
    }
}
