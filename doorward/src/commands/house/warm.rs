//! What is loaded before anybody is let in: the resources that halves have in common, and how each
//! step is written down.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use admin_api::AdminApi;
use admin_api::Clock;
use config::Config;
use gateway::snapshot::SnapshotError;
use kernel::keys::LiveKeys;
use kernel::warm_up::Fault;
use kernel::warm_up::Resource;
use kernel::warm_up::Step;
use kernel::warm_up::Warm;
use kernel::warm_up::WarmUp;
use kernel::warm_up::Witness;
use stores::redis::celery::CeleryWatch;
use stores::redis::connection::Connection;
use stores::redis::old_service::OldService;

use super::signals::Signals;
use crate::commands::first_admin;
use crate::commands::first_admin::Password;
use crate::commands::house;
use crate::data_dir::DataDir;
use crate::keys;

/// Names of resources that others need.
pub(crate) const DATABASE: &str = "database";
pub(crate) const KEYS: &str = "keys";

/// How long the database may take: it waits by itself for a server that is away, and for a step of the
/// schema that somebody else is at, which has half an hour.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(3_600);

/// How long making the routes may take: the system's resolver has seconds for each name.
pub(crate) const ROUTES_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a start waits for Redis.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// The log, as the one who is told of each step.
struct Log;

impl Witness for Log {
    fn resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    }

    fn saw(&self, step: &Step<'_>) {
        let (name, attempt) = (step.name, step.attempt);
        let duration_ms = step.took.as_millis() as u64;
        let resident_before_bytes = step.resident_before.unwrap_or_default();
        let resident_after_bytes = step.resident_after.unwrap_or_default();
        match (step.outcome, step.again_after) {
            (Ok(()), _) => tracing::info!(
                attempt,
                duration_ms,
                resident_before_bytes,
                resident_after_bytes,
                "warm-up: `{name}` is there"
            ),
            (Err(fault), Some(pause)) => tracing::warn!(
                attempt,
                duration_ms,
                resident_before_bytes,
                resident_after_bytes,
                "warm-up: `{name}` is not there: {fault}; the next attempt is in {} ms",
                pause.as_millis()
            ),
            (Err(fault), None) => tracing::error!(
                attempt,
                duration_ms,
                resident_before_bytes,
                resident_after_bytes,
                "warm-up: `{name}` is not there, and is not tried again: {fault}"
            ),
        }
    }
}

/// A plan to load `resources`.
///
/// # Errors
/// Where they cannot all be loaded, which is a defect.
pub(crate) fn plan(resources: Vec<Resource>) -> anyhow::Result<WarmUp> {
    Ok(WarmUp::new(resources, Log)?)
}

/// Loads everything of `plan`; `false` where a signal came first.
///
/// # Errors
/// What the process cannot do without and cannot have.
pub(crate) async fn load(plan: &WarmUp, signals: &mut Signals) -> anyhow::Result<bool> {
    tokio::select! {
        biased;
        () = signals.next() => {
            tracing::info!("ending before anybody was let in");
            Ok(false)
        }
        loaded = plan.load() => {
            loaded?;
            Ok(true)
        }
    }
}

/// The database that `config` names, and the admin API on it.
pub(crate) fn database(
    config: &Arc<Config>,
    keys: &Arc<LiveKeys>,
    redis: Option<Connection>,
    old_service: Option<Arc<OldService>>,
    celery: Option<Arc<CeleryWatch>>,
) -> (Resource, Warm<Arc<AdminApi>>) {
    let (config, keys) = (Arc::clone(config), Arc::clone(keys));
    let (resource, api) = Resource::required(DATABASE, move || {
        let (config, keys) = (Arc::clone(&config), Arc::clone(&keys));
        let (old_service, celery) = (old_service.clone(), celery.clone());
        let neighbours = house::redis::neighbours(&config, redis.as_ref(), old_service, celery);
        async move {
            let api = AdminApi::open_among(&config, keys, Clock::wall(), neighbours).await;
            // The store has waited as long as it is worth.
            api.map(Arc::new).map_err(|error| lasting(&error.into()))
        }
    });
    (resource.within(DATABASE_TIMEOUT), api)
}

/// What `api` counts of job status; nothing before it is there.
pub(crate) fn status_metrics(api: &Warm<Arc<AdminApi>>) -> String {
    api.get().map(|api| api.status_metrics()).unwrap_or_default()
}

/// The key that signs now, wherever it is kept, tried out.
pub(crate) fn keys(keys: &Arc<LiveKeys>) -> Resource {
    let keys = Arc::clone(keys);
    let (resource, _) = Resource::required(KEYS, move || {
        let tested = keys::test(&keys).map_err(|error| lasting(&error));
        async { tested }
    });
    resource.after(&[DATABASE])
}

/// Somebody who may manage the others.
pub(crate) fn first_administrator(
    api: &Warm<Arc<AdminApi>>,
    data_dir: &Arc<DataDir>,
) -> (Resource, Warm<Password>) {
    let (api, data_dir) = (api.clone(), Arc::clone(data_dir));
    let (resource, password) = Resource::required("first administrator", move || {
        let (api, data_dir) = (api.clone(), Arc::clone(&data_dir));
        async move {
            let ensured = first_admin::ensure(api.get()?, &data_dir).await;
            ensured.map_err(|error| lasting(&error))
        }
    });
    (resource.after(&[DATABASE]), password)
}

/// A connection to the Redis of a fleet, where there is one: whoever comes first is to be counted with
/// the fleet, too. A process does without, and nobody waits long.
pub(crate) fn redis(connection: Option<&Connection>) -> Option<Resource> {
    let connection = connection?.clone();
    let (resource, _) = Resource::optional("redis", move || {
        let connection = connection.clone();
        async move {
            let connected = tokio::time::timeout(CONNECT_WITHIN, connection.connected()).await;
            match connected {
                Ok(Ok(())) => Ok(()),
                Ok(Err(lost)) => Err(Fault::passing(lost)),
                Err(_) => Err(Fault::passing(
                    "Redis cannot be reached yet: until it is, routes do as their on_store_loss says",
                )),
            }
        }
    });
    Some(resource.tried(1))
}

/// A failure that no other attempt would mend, with all that it comes from.
pub(crate) fn lasting(error: &anyhow::Error) -> Fault {
    Fault::lasting(format!("{error:#}"))
}

/// Why the routes cannot be made ready: a name without an address may have one soon.
pub(crate) fn of_routes(error: &anyhow::Error) -> Fault {
    match error.downcast_ref::<SnapshotError>() {
        Some(SnapshotError::Endpoint(gateway::balance::EndpointError::Unresolved { .. })) => {
            Fault::passing(format!("{error:#}"))
        }
        _ => lasting(error),
    }
}
