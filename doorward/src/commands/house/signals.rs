//! The signals that end a process.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

/// The signals that end a process.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes them from now on.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next of them.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }

    /// After the first of them: waits until everything is `finished`, but no longer than `timeout` or
    /// until another one. `left` says what is cut then.
    pub(crate) async fn wait_for_the_end<T>(
        mut self,
        finished: impl Future<Output = T>,
        timeout: Duration,
        left: impl Fn() -> String,
    ) -> ExitCode {
        tokio::select! {
            biased;
            _ = finished => ExitCode::SUCCESS,
            () = tokio::time::sleep(timeout) => {
                tracing::warn!("{} were cut: they took too long", left());
                ExitCode::SUCCESS
            }
            () = self.next() => {
                tracing::warn!("a second signal: {} are cut", left());
                ExitCode::FAILURE
            }
        }
    }
}
