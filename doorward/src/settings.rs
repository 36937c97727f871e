//! One configuration out of a file, the environment and the command line, the last above the first.

use std::path::Path;

use anyhow::bail;
use config::Config;
use config::Endpoint;
use config::Faults;
use config::Mode;
use kernel::secret::environment;

use crate::arguments::Place;
use crate::arguments::Run;

/// Where data lies that was given no other place.
const DATA_DIR: &str = "./.doorward";

/// Reads the configuration that `place` names.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub(crate) fn load(place: &Place) -> Result<Config, Faults> {
    match &place.config {
        Some(file) => {
            let mut config = config::load(file, &environment)?;
            if let Some(data_dir) = &place.data_dir {
                config.move_data_dir(data_dir);
            }
            Ok(config)
        }
        None => {
            let data_dir = place.data_dir.as_deref().unwrap_or(Path::new(DATA_DIR));
            config::embedded(&environment, data_dir)
        }
    }
}

/// Puts what the command line says of `run` above the configuration.
///
/// # Errors
/// An upstream that is none, or that has no place in the configuration.
pub(crate) fn apply(run: &Run, config: &mut Config) -> anyhow::Result<()> {
    if !run.listen.is_empty() {
        config.listen.public.clone_from(&run.listen);
    }
    if let Some(ops) = run.ops_listen {
        config.listen.ops = ops;
    }
    let Some(url) = &run.upstream else {
        return Ok(());
    };
    let endpoint = Endpoint::parse(url).map_err(|why| anyhow::anyhow!("--upstream: {why}"))?;
    match &mut config.upstreams[..] {
        [only] => only.endpoints = vec![endpoint],
        several => {
            let names: Vec<_> = several.iter().map(|up| format!("`{}`", up.name)).collect();
            bail!(
                "--upstream stands in for the one upstream of a configuration, and this one has {}; \
                 set `endpoints` there",
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            );
        }
    }
    Ok(())
}

/// What of `config` is better said than found out: what is read and not acted upon by this Doorward,
/// and what is done as it says although there is a better way.
pub(crate) fn notes(config: &Config) -> Vec<String> {
    let unused = [
        ("[redis]", config.redis.is_some(), "limits and revocations are kept in this process"),
        ("[celery]", config.celery.is_some(), "no worker is watched"),
        ("limits.mode = \"leased\"", config.limits.mode == Mode::Leased, "every limit is exact"),
    ];
    let given = unused.into_iter().filter(|(_, given, _)| *given);
    let unused = given
        .map(|(key, _, instead)| format!("`{key}` is not acted upon by this version: {instead}"));
    let tokens_in_query = config.auth.frontend_tokens_in_query.then(|| {
        "`auth.frontend_tokens_in_query` sends tokens in URLs, which histories, logs and Referer \
         headers keep: let the front end POST the code to /auth/exchange instead"
            .to_owned()
    });
    unused.chain(tokens_in_query).collect()
}
