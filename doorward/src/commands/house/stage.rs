//! What comes before anything is served: a configuration that holds, a place on disk, threads.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use config::Config;
use tokio::runtime;
use tokio::runtime::Runtime;

use crate::arguments::Place;
use crate::data_dir::DataDir;
use crate::log;
use crate::pages;
use crate::settings;

/// How many threads the admin API, feeds and the ops listener share.
const CONTROL_THREADS: usize = 2;

/// How long an ending process waits for threads that block, such as on a disk that hangs: nothing can end
/// them.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Reads the configuration of `place`, has `prepare` put above it what the command line says, moves
/// into the data directory and serves there with `serve`.
///
/// # Errors
/// One clear text for what keeps it from starting.
pub(crate) fn play<S>(
    place: &Place,
    prepare: impl FnOnce(&mut Config) -> anyhow::Result<()>,
    serve: impl FnOnce(Config, DataDir) -> S,
) -> anyhow::Result<ExitCode>
where
    S: Future<Output = anyhow::Result<ExitCode>>,
{
    pages::keep_small();
    pages::give_back()?;
    let Some(mut config) = read(place) else { return Ok(ExitCode::FAILURE) };
    prepare(&mut config)?;
    log::start();
    let data_dir = DataDir::open(&config.data_dir)?;
    config.move_data_dir(&data_dir.join(""));
    let tenancy = data_dir.move_in()?;
    let served = carry(serve(config, data_dir));
    drop(tenancy);
    served
}

/// The same for what keeps nothing on disk, and has no streams for which pages had to be small.
///
/// # Errors
/// As [`play`].
pub(crate) fn play_without_a_place<S>(
    place: &Place,
    serve: impl FnOnce(Config) -> S,
) -> anyhow::Result<ExitCode>
where
    S: Future<Output = anyhow::Result<ExitCode>>,
{
    pages::give_back()?;
    let Some(config) = read(place) else { return Ok(ExitCode::FAILURE) };
    log::start();
    carry(serve(config))
}

/// The configuration, or its faults to whoever looks on, as `check` shows them.
fn read(place: &Place) -> Option<Config> {
    settings::load(place).inspect_err(|faults| eprintln!("{faults}")).ok()
}

/// Carries `served` to its end, and what it has begun no further.
fn carry(served: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let control = control()?;
    let ended = control.block_on(served);
    control.shutdown_timeout(END_WITHIN);
    ended
}

fn control() -> anyhow::Result<Runtime> {
    let control = runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build();
    control.context("the system gives no more threads")
}

/// Says what is better said than found out.
pub(crate) fn announce(config: &Config) {
    if config.test_mode {
        tracing::warn!(
            "TEST MODE: whoever sends no token is let in as user 1, `test_user`. Never use this \
             where others can reach it."
        );
    }
    for note in settings::notes(config) {
        tracing::warn!("{note}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_thread_that_blocks_for_ever_keeps_no_process_from_ending() {
        let (hangs, hung) = mpsc::channel::<()>();
        let ended = carry(async {
            let (begins, begun) = tokio::sync::oneshot::channel();
            tokio::task::spawn_blocking(move || {
                let _ = begins.send(());
                hung.recv()
            });
            begun.await?;
            Ok(ExitCode::SUCCESS)
        });
        // It hangs still: whoever would let it go on is here.
        drop(hangs);
        assert_eq!(ended.expect("it served"), ExitCode::SUCCESS);
    }
}
