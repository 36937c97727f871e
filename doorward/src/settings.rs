//! One configuration out of a file, the environment and the command line, the last above the first.

use std::path::Path;

use anyhow::Context;
use anyhow::bail;
use config::AdminHalf;
use config::Config;
use config::Endpoint;
use config::Faults;
use config::GatewayHalf;
use config::Mode;
use kernel::secret::environment;

use crate::arguments::Admin;
use crate::arguments::Front;
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
    apply_front(&run.front, config);
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

/// Puts what the command line says of a gateway above the configuration.
pub(crate) fn apply_front(front: &Front, config: &mut Config) {
    if !front.listen.is_empty() {
        config.listen.public.clone_from(&front.listen);
    }
    if let Some(ops) = front.ops_listen {
        config.listen.ops = ops;
    }
}

/// Puts what the command line says of `admin` above the configuration.
///
/// # Errors
/// An address that others can reach, where nothing proves who is there.
pub(crate) fn apply_admin(admin: &Admin, config: &mut Config) -> anyhow::Result<()> {
    if let Some(ops) = admin.ops_listen {
        config.listen.ops = ops;
    }
    let Some(listen) = admin.fleet_listen else {
        return Ok(());
    };
    let Some(half) = config.fleet.as_mut().and_then(|fleet| fleet.admin.as_mut()) else {
        bail!("--fleet-listen stands in for the file's `fleet.listen`, and there is none");
    };
    if half.proof.is_none() && !listen.ip().is_loopback() {
        bail!("--fleet-listen: without `fleet.certificate` only loopback may be listened at");
    }
    half.listen = listen;
    Ok(())
}

/// What the configuration says of a gateway that runs apart.
///
/// # Errors
/// The keys that are missing.
pub(crate) fn gateway_half(config: &Config) -> anyhow::Result<&GatewayHalf> {
    let Some(fleet) = &config.fleet else {
        bail!("`doorward gateway` needs the section `[fleet]`, with `token` and `admin_url`");
    };
    let half = fleet.gateway.as_ref();
    half.context("`doorward gateway` needs `fleet.admin_url`: where `doorward admin` is")
}

/// What the configuration says of an admin API that runs apart.
///
/// # Errors
/// The keys that are missing.
pub(crate) fn admin_half(config: &Config) -> anyhow::Result<&AdminHalf> {
    let Some(fleet) = &config.fleet else {
        bail!("`doorward admin` needs the section `[fleet]`, with `token` and `listen`");
    };
    let half = fleet.admin.as_ref();
    half.context("`doorward admin` needs `fleet.listen`: the address for gateways")
}

/// What of `config` is better said than found out: what is read and not acted upon by this Doorward,
/// and what is done as it says although there is a better way.
pub(crate) fn notes(config: &Config) -> Vec<String> {
    let leased = (config.limits.mode == Mode::Leased && config.redis.is_none()).then(|| {
        "`limits.mode = \"leased\"` takes tokens ahead from Redis, and there is no `[redis]`: every \
         limit is counted in this process"
            .to_owned()
    });
    let tokens_in_query = config.auth.frontend_tokens_in_query.then(|| {
        "`auth.frontend_tokens_in_query` sends tokens in URLs, which histories, logs and Referer \
         headers keep: let the front end POST the code to /auth/exchange instead"
            .to_owned()
    });
    [leased, tokens_in_query].into_iter().flatten().collect()
}
