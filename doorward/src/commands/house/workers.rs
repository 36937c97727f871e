//! The threads that serve clients.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::thread::JoinHandle;

use anyhow::Context;
use gateway::door::Door;
use tokio::runtime;
use tokio::sync::watch;

use super::duty::closed;

/// Starts `workers` of them, which end once `everybody_left`; all accept from all of `public`.
///
/// # Errors
/// The system gives no more threads or files.
pub(crate) fn start(
    door: &Arc<Door>,
    public: Vec<TcpListener>,
    workers: usize,
    everybody_left: &watch::Receiver<bool>,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::with_capacity(workers);
    for number in 0..workers {
        let listeners =
            public.iter().map(TcpListener::try_clone).collect::<io::Result<Vec<_>>>()?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (door, left) = (Arc::clone(door), everybody_left.clone());
        let work = move || {
            runtime.block_on(async {
                for listener in listeners {
                    match tokio::net::TcpListener::from_std(listener) {
                        Ok(listener) => drop(tokio::spawn(Arc::clone(&door).open(listener))),
                        Err(error) => tracing::error!(%error, "a worker cannot listen"),
                    }
                }
                closed(left).await;
            });
        };
        let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(work);
        threads.push(thread.context("the system gives no more threads")?);
    }
    Ok(threads)
}
