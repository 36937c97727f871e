//! `doorward admin`: the admin API alone; gateways are elsewhere, and come to `fleet.listen`.

use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;

use admin_api::FleetDoor;
use config::Config;
use gateway::metrics::ProcessMetrics;
use gateway::ops;
use gateway::ops::Readiness;
use kernel::keys::LiveKeys;
use stores::redis::stream::publisher::StreamPublisher;
use tokio::sync::watch;

use super::greeting;
use super::house;
use super::house::celery::Lookout;
use super::house::duty::Duties;
use super::house::office::FleetGate;
use super::house::office::Office;
use super::house::signals::Signals;
use super::house::stage;
use super::house::warm;
use super::listeners;
use crate::arguments::Admin;
use crate::arguments::Place;
use crate::data_dir::DataDir;
use crate::keys;
use crate::open_files;
use crate::settings;

/// Starts, serves until a signal, and ends in order.
///
/// # Errors
/// One clear text for what keeps it from starting.
pub(crate) fn admin(place: &Place, admin: &Admin) -> anyhow::Result<ExitCode> {
    let prepare = |config: &mut Config| {
        settings::apply_admin(admin, config)?;
        settings::admin_half(config).map(|_| ())
    };
    stage::play(place, prepare, serve)
}

async fn serve(mut config: Config, data_dir: DataDir) -> anyhow::Result<ExitCode> {
    keys::provide_seal(&mut config, &data_dir)?;
    let (config, data_dir) = (Arc::new(config), Arc::new(data_dir));
    let half = settings::admin_half(&config)?;
    let keys = keys::ring(&config, &data_dir)?;
    let door = make_room(FleetDoor::of(half)?);
    // All that can fail for want of a place comes first.
    let listener = tokio::net::TcpListener::from_std(listeners::tcp(half.listen)?)?;
    let ops_listener = listeners::tcp(config.listen.ops)?;
    let celery = house::celery::watch(&config)?;
    let gate = FleetGate { door, token: half.token.clone(), listener };
    let served = serve_at(gate, ops_listener, &config, &data_dir, &keys, celery.as_ref()).await;
    house::celery::end(celery).await;
    served
}

async fn serve_at(
    gate: FleetGate,
    ops: TcpListener,
    config: &Arc<Config>,
    data_dir: &Arc<DataDir>,
    keys: &Arc<LiveKeys>,
    celery: Option<&Lookout>,
) -> anyhow::Result<ExitCode> {
    let half = settings::admin_half(config)?;
    let address = gate.listener.local_addr()?;
    let redis = house::redis::connect(config)?;
    let old_service = house::redis::old_service(config, redis.as_ref());
    let mut signals = Signals::listen()?;

    let seen = celery.map(Lookout::watch);
    let (database, api) = warm::database(config, keys, redis.clone(), old_service, seen);
    let (administrator, password) = warm::first_administrator(&api, data_dir);
    let mut resources = vec![database, warm::keys(keys), administrator];
    resources.extend(warm::redis(redis.as_ref()));
    let plan = warm::plan(resources)?;

    let (close_office, office_closes) = watch::channel(false);
    let duties = Duties::new(office_closes);
    let at_work = duties.clone();
    let readiness = Readiness::new(vec![("admin api", Box::new(move || at_work.are_fulfilled()))]);
    let readiness = Arc::new(readiness.with_resources(plan.progress()));
    let metrics = ProcessMetrics::new()?;
    let figures = house::celery::Figures::of(celery);
    let statuses = api.clone();
    let meter =
        Arc::new(move || metrics.render() + &warm::status_metrics(&statuses) + &figures.render());
    let ops = house::ops::serve(ops, ops::routes(Arc::clone(&readiness), meter))?;
    data_dir.publish(&[], Some(address), ops.address)?;
    if !warm::load(&plan, &mut signals).await? {
        return Ok(ExitCode::SUCCESS);
    }

    let api = Arc::clone(api.get()?);
    ops.add(api.management());
    let office = Office { api: Arc::clone(&api), duties };
    let stream = config.redis.as_ref().zip(redis.as_ref());
    let stream = stream.map(|(of, redis)| StreamPublisher::new(redis, &of.namespace));
    let office = tokio::spawn(office.work_for_the_fleet(gate, stream));
    stage::announce(config);
    readiness.started();
    let password = password.get()?;
    greeting::tell(&greeting::note(password), password);
    tracing::info!(
        "an admin API for gateways at {address}{}; probes and management at {}",
        if half.proof.is_some() { "" } else { ", in the clear" },
        ops.address,
    );

    signals.next().await;
    tracing::info!("ending: nothing new is taken, the requests under way are finished");
    readiness.closing();
    api.send_listeners_away();
    close_office.send_replace(true);
    let left = || "requests".to_owned();
    let code = signals.wait_for_the_end(office, config.listen.drain_timeout, left).await;
    house::redis::tell_what_waits(&api).await;
    Ok(code)
}

/// Makes room for the connections of gateways, or has `door` take in fewer.
fn make_room(door: FleetDoor) -> FleetDoor {
    let wanted = door.connections_max();
    let connections_max = open_files::make_room(wanted, 1);
    if connections_max < wanted {
        tracing::warn!(
            "there is room for {connections_max} of {wanted} connections of gateways: raise the limit \
             of open files (`ulimit -n`) where there are many"
        );
    }
    door.at_most(connections_max)
}
