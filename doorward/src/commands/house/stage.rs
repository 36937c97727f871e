//! What comes before anything is served: a configuration that holds, a place on disk, threads.

use std::process::ExitCode;

use anyhow::Context;
use config::Config;
use tokio::runtime;
use tokio::runtime::Runtime;

use crate::arguments::Place;
use crate::data_dir::DataDir;
use crate::log;
use crate::settings;

/// How many threads the admin API, feeds and the ops listener share.
const CONTROL_THREADS: usize = 2;

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
    let Some(mut config) = read(place) else { return Ok(ExitCode::FAILURE) };
    prepare(&mut config)?;
    log::start();
    let data_dir = DataDir::open(&config.data_dir)?;
    config.move_data_dir(&data_dir.join(""));
    let tenancy = data_dir.move_in()?;
    let served = control()?.block_on(serve(config, data_dir));
    drop(tenancy);
    served
}

/// The same for what keeps nothing on disk.
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
    let Some(config) = read(place) else { return Ok(ExitCode::FAILURE) };
    log::start();
    control()?.block_on(serve(config))
}

/// The configuration, or its faults to whoever looks on, as `check` shows them.
fn read(place: &Place) -> Option<Config> {
    settings::load(place).inspect_err(|faults| eprintln!("{faults}")).ok()
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
