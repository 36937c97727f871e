//! The signals that end a process.

use std::fs;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

/// What the system says of this process.
const STATUS: &str = "/proc/self/status";

/// The signals that end a process.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// `None`: who started it has it ignored, as `nohup` does, so that it outlives its terminal.
    hangup: Option<Signal>,
}

impl Signals {
    /// Takes them from now on.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn listen() -> io::Result<Self> {
        // Of a system that does not say so none is taken to be ignored.
        let status = fs::read_to_string(STATUS).unwrap_or_default();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: match is_ignored(&status, SignalKind::hangup()) {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
        })
    }

    /// Waits for the next of them.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = hung_up(self.hangup.as_mut()) => {}
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

/// Waits for it; where it is ignored, for ever.
async fn hung_up(hangup: Option<&mut Signal>) {
    match hangup {
        Some(hangup) => _ = hangup.recv().await,
        None => std::future::pending().await,
    }
}

/// Whether the signal is among those that a process ignores, by what the system says of it in `status`: a
/// mask in hexadecimal, the first signal its lowest bit (proc_pid_status(5)).
fn is_ignored(status: &str, signal: SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal.as_raw_value() - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_ignored_where_its_bit_is_set_and_not_where_nothing_is_said() {
        let says = |mask: &str| format!("SigBlk:\t0\nSigIgn:\t{mask}\nSigCgt:\tffffffff\n");
        for (mask, hangup, interrupt) in [
            ("0000000000000000", false, false),
            ("0000000000000001", true, false),
            ("0000000000001002", false, true),
            ("ffffffffffffffff", true, true),
            ("?", false, false),
        ] {
            let ignored = [SignalKind::hangup(), SignalKind::interrupt()]
                .map(|signal| is_ignored(&says(mask), signal));
            assert_eq!(ignored, [hangup, interrupt], "{mask}");
        }
        assert!(!is_ignored("", SignalKind::hangup()));
    }
}
