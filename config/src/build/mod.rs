//! Makes a [`Config`] of a [`File`]: resolves what is referred to, and checks that all fits together.
//!
//! A value that is `None` here was already reported; every function goes on as far as it can, so
//! that one fault does not hide the next.

mod auth;
mod fleet;
mod listen;
mod passwords;
mod providers;
mod routes;
mod servers;
mod status;
mod tiers;
mod worker;

use std::path::PathBuf;

use crate::Variables;
use crate::file::File;
use crate::report::At;
use crate::report::Report;
use crate::types::Config;
use crate::types::Environment;

/// What building needs beside the section at hand.
struct Context<'a, 'r, 't> {
    environment: Environment,
    variables: Variables<'a>,
    report: &'r mut Report<'t>,
}

impl Context<'_, '_, '_> {
    fn fault(&mut self, at: &At, message: impl std::fmt::Display) {
        self.report.fault(at, message);
    }

    /// An environment variable that is set and not empty.
    fn variable(&self, name: &str) -> Option<String> {
        (self.variables)(name).filter(|value| !value.is_empty())
    }
}

/// Makes the configuration; `None` after noting what is wrong.
pub(crate) fn config(
    file: File,
    variables: Variables<'_>,
    report: &mut Report<'_>,
) -> Option<Config> {
    // Where the environment itself is faulty, nothing is forgiven.
    let environment = file.environment.value.unwrap_or(Environment::Prod);
    let mut context = Context { environment, variables, report };
    let context = &mut context;
    let test_mode = file.test_mode.value;
    if test_mode == Some(true) && environment != Environment::Dev {
        context
            .fault(&file.test_mode.at, "it lets everybody in: only where `environment = \"dev\"`");
    }
    let data_dir = file.data_dir.value.map(|text| PathBuf::from(text.0));
    let listen = listen::listen(file.listen, context);
    let database = servers::database(file.database, data_dir.as_deref(), context);
    let redis = servers::redis(file.redis, context);
    if redis.as_ref().is_some_and(|redis| redis.beside_old_service) {
        auth::check_remembers_tokens(&file.auth, context);
    }
    let celery = servers::celery(file.celery, context);
    let worker = worker::worker(file.worker, celery.as_ref(), context);
    let signs = !fleet::is_of_a_gateway(&file.fleet);
    let fleet = fleet::fleet(file.fleet, context);
    let auth = auth::auth(file.auth, listen.as_ref(), database.as_ref(), signs, context);
    // A mail section that could not be made was reported, so one that is missing here is never left out.
    let mail = passwords::mail(file.mail, context);
    let issuers = auth::issuers(file.issuers, auth.as_ref(), context);
    let roles = tiers::roles(file.roles, context);
    let tiers = tiers::tiers(file.tiers, context);
    let limits = tiers::limits(file.limits, tiers.as_ref(), context);
    let status = status::status(file.status, context);
    let upstreams = routes::upstreams(file.upstreams, context);
    let routes = routes::routes(file.routes, &upstreams, context);
    Some(Config {
        environment,
        test_mode: test_mode?,
        data_dir: data_dir?,
        listen: listen?,
        database: database?,
        redis,
        celery,
        worker: worker?,
        fleet,
        auth: auth?,
        mail,
        issuers: issuers?,
        roles: roles?,
        tiers: tiers?,
        limits: limits?,
        status: status?,
        upstreams: upstreams.into_iter().map(|(_, upstream)| upstream).collect::<Option<_>>()?,
        routes: routes?,
    })
}
