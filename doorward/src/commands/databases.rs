//! Databases that are named on the command line.

use anyhow::Context;
use anyhow::anyhow;
use anyhow::bail;
use config::Database;
use kernel::secret::Secret;
use kernel::secret::environment;

use crate::arguments::Source;
use crate::arguments::Target;

/// The database that `--from` or `--from-env` names.
///
/// # Errors
/// One clear text, without the URL.
pub(crate) fn source(named: &Source) -> anyhow::Result<Database> {
    let database = of("--from", named.from.as_ref(), named.from_env.as_deref())?;
    database.context("no database: name one with `--from` or `--from-env`")
}

/// The database that `--to` or `--to-env` names, if any.
///
/// # Errors
/// As [`source`].
pub(crate) fn target(named: &Target) -> anyhow::Result<Option<Database>> {
    of("--to", named.to.as_ref(), named.to_env.as_deref())
}

fn of(
    option: &str,
    url: Option<&Secret>,
    variable: Option<&str>,
) -> anyhow::Result<Option<Database>> {
    let (url, told) = match (url, variable) {
        (Some(url), _) => (url.clone(), option.to_owned()),
        (None, Some(name)) => {
            let told = format!("{option}-env `{name}`");
            let url = environment(name);
            let url =
                url.with_context(|| format!("{told}: there is no such variable, or it is empty"))?;
            (Secret::new(url), told)
        }
        (None, None) => return Ok(None),
    };
    match Database::parse(url.expose()).map_err(|why| anyhow!("{told}: {why}"))? {
        Database::SqliteMemory => bail!("{told}: a database in memory is gone with its process"),
        database => Ok(Some(database)),
    }
}
