//! One room for each subcommand.

mod admin;

mod check;

mod databases;

mod db;

mod echo;

mod first_admin;

mod gateway;

mod greeting;

mod healthcheck;

mod house;

mod import;

mod key;

mod listeners;

mod run;

mod token;

mod user;

mod worker;

use std::process::ExitCode;
use std::sync::Arc;

use admin_api::AdminApi;
use admin_api::Clock;
use admin_api::Neighbours;
use anyhow::Context;
use config::Config;
use kernel::tier::Tier;
use stores::redis::old_service::OldService;
use tokio::runtime;
use tokio::runtime::Runtime;

use crate::arguments::Arguments;
use crate::arguments::Command;
use crate::arguments::Place;
use crate::data_dir::DataDir;
use crate::keys;
use crate::settings;

/// Does what was asked.
///
/// # Errors
/// One clear text for the operator.
pub(crate) fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { place, command } = arguments;
    match command {
        Command::Run(run) => run::run(&place, &run),
        Command::Gateway(gateway) => gateway::gateway(&place, &gateway),
        Command::Admin(admin) => admin::admin(&place, &admin),
        Command::Worker(worker) => worker::worker(&place, &worker),
        Command::Check(check) => check::check(&place, &check),
        Command::Schema => {
            println!("{}", serde_json::to_string_pretty(&config::schema())?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Key(key) => key::key(&place, key),
        Command::Token(token) => token::token(&place, token),
        Command::User(user) => user::user(&place, user),
        Command::Db(db) => db::db(&place, db),
        Command::Healthcheck(healthcheck) => healthcheck::healthcheck(&place, &healthcheck),
        Command::Echo(echo) => echo::echo(&echo),
    }
}

/// The admin API of a command that is over soon, beside one that may be running.
struct Office {
    runtime: Runtime,
    api: AdminApi,
    /// The tier of people of whom none is said.
    default_tier: Tier,
}

impl Office {
    fn open(place: &Place) -> anyhow::Result<Self> {
        Self::open_with(place, async |_| Ok(None))
    }

    /// The same, beside the service that is replaced, where that still runs.
    fn open_beside(place: &Place) -> anyhow::Result<Self> {
        Self::open_with(place, house::redis::reach_old_service)
    }

    fn open_with(
        place: &Place,
        reach: impl AsyncFnOnce(&Config) -> anyhow::Result<Option<Arc<OldService>>>,
    ) -> anyhow::Result<Self> {
        let mut config = settings::load(place)?;
        let data_dir = DataDir::open(&config.data_dir)?;
        keys::provide_seal(&mut config, &data_dir)?;
        let keys = keys::ring(&config, &data_dir)?;
        let runtime = runtime()?;
        let api = runtime.block_on(async {
            let neighbours =
                Neighbours { old_service: reach(&config).await?, ..Neighbours::default() };
            let api = AdminApi::open_among(&config, Arc::clone(&keys), Clock::wall(), neighbours);
            anyhow::Ok(api.await?)
        })?;
        Ok(Self { runtime, api, default_tier: config.limits.default_tier })
    }
}

/// What a command that is over soon waits with.
fn runtime() -> anyhow::Result<Runtime> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the system gives no more threads")
}
