//! `doorward admin`: the admin API alone; gateways are elsewhere, and come to `fleet.listen`.

use std::process::ExitCode;
use std::sync::Arc;

use admin_api::AdminApi;
use admin_api::Clock;
use admin_api::FleetDoor;
use config::Config;
use gateway::metrics::ProcessMetrics;
use gateway::ops;
use gateway::ops::Readiness;
use stores::redis::stream::publisher::StreamPublisher;
use tokio::sync::watch;

use super::first_admin;
use super::greeting;
use super::house;
use super::house::celery::Lookout;
use super::house::duty::Duties;
use super::house::office::FleetGate;
use super::house::office::Office;
use super::house::signals::Signals;
use super::house::stage;
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
    let half = settings::admin_half(&config)?;
    let keys = keys::ring(&config, &data_dir)?;
    let door = make_room(FleetDoor::of(half)?);
    // All that can fail for want of a place comes first.
    let listener = tokio::net::TcpListener::from_std(listeners::tcp(half.listen)?)?;
    let address = listener.local_addr()?;
    let ops_listener = listeners::tcp(config.listen.ops)?;
    let redis = house::redis::connect(&config)?;
    let old_service = house::redis::old_service(&config, redis.as_ref());
    let (stop_looking, looks) = watch::channel(false);
    let celery = house::celery::watch(&config, looks)?;
    let neighbours = house::redis::neighbours(
        &config,
        redis.as_ref(),
        old_service,
        celery.as_ref().map(Lookout::watch),
    );
    let ring = Arc::clone(&keys);
    let api = Arc::new(AdminApi::open_among(&config, ring, Clock::wall(), neighbours).await?);
    // With the key that signs now, wherever it is kept.
    keys::test(&keys)?;
    let password = first_admin::ensure(&api, &data_dir).await?;

    let (close_office, office_closes) = watch::channel(false);
    let duties = Duties::new(office_closes);
    let office = Office { api: Arc::clone(&api), duties: duties.clone() };
    let gate = FleetGate { door, token: half.token.clone(), listener };
    let stream = config.redis.as_ref().zip(redis.as_ref());
    let stream = stream.map(|(of, redis)| StreamPublisher::new(redis, &of.namespace));
    let office = tokio::spawn(office.work_for_the_fleet(gate, stream));

    let readiness =
        Arc::new(Readiness::new(vec![("admin api", Box::new(move || duties.are_fulfilled()))]));
    let metrics = ProcessMetrics::new()?;
    let workers = house::celery::Figures::of(celery.as_ref())?;
    let counted = Arc::clone(&api);
    let meter = Arc::new(move || metrics.render() + &counted.status_metrics() + &workers.render());
    let routes = ops::routes(Arc::clone(&readiness), meter).merge(api.management());
    let ops_address = house::ops::serve(ops_listener, routes)?;

    let mut signals = Signals::listen()?;
    stage::announce(&config);
    readiness.started();
    data_dir.publish(&[], Some(address), ops_address)?;
    greeting::tell(&greeting::note(&password), &password);
    tracing::info!(
        "an admin API for gateways at {address}{}; probes and management at {ops_address}",
        if half.proof.is_some() { "" } else { ", in the clear" },
    );

    signals.next().await;
    tracing::info!("ending: nothing new is taken, the requests under way are finished");
    readiness.closing();
    api.send_listeners_away();
    close_office.send_replace(true);
    let left = || "requests".to_owned();
    let code = signals.wait_for_the_end(office, config.listen.drain_timeout, left).await;
    house::redis::tell_what_waits(&api).await;
    house::celery::end(stop_looking, celery).await;
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
