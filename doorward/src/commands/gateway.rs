//! `doorward gateway`: the gateway alone; the admin API is elsewhere.
//!
//! No database is touched. Until the admin API has told revocations and keys, nothing may be sent
//! here; once it has, this gateway goes on without it.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use config::Config;
use gateway::access_log::AccessLog;
use gateway::fleet::feed::HttpFeed;
use gateway::fleet::follow;
use gateway::fleet::line::Line;
use gateway::ops;
use gateway::ops::Readiness;
use gateway::preload;
use gateway::snapshot::AdminEnd;
use kernel::random;
use kernel::revocation::RevocationSet;
use kernel::warm_up::Resource;
use stores::redis::stream;
use stores::redis::stream::reader::StreamReader;
use tokio::sync::watch;

use super::house;
use super::house::duty::Duties;
use super::house::edge;
use super::house::edge::Edge;
use super::house::edge::Means;
use super::house::redis::tls_of;
use super::house::signals::Signals;
use super::house::stage;
use super::house::warm;
use super::listeners;
use crate::arguments::Gateway;
use crate::arguments::Place;
use crate::data_dir::DataDir;
use crate::keys;
use crate::settings;

/// Starts, serves until a signal, and ends in order.
///
/// # Errors
/// One clear text for what keeps it from starting.
pub(crate) fn gateway(place: &Place, gateway: &Gateway) -> anyhow::Result<ExitCode> {
    let workers = gateway.front.workers.map_or_else(edge::cores, usize::from);
    let prepare = |config: &mut Config| {
        settings::apply_front(&gateway.front, config);
        settings::gateway_half(config).map(|_| ())
    };
    stage::play(place, prepare, |config, data_dir| serve(config, data_dir, workers))
}

async fn serve(mut config: Config, data_dir: DataDir, workers: usize) -> anyhow::Result<ExitCode> {
    edge::make_room(&mut config);
    let config = Arc::new(config);
    let half = settings::gateway_half(&config)?;
    let keys = keys::ring_at_the_edge(&config)?;
    let line = Line::new(half)?;
    // All that can fail for want of a place comes first.
    let public = edge::listen(&config)?;
    let ops_listener = listeners::tcp(config.listen.ops)?;

    let redis = house::redis::connect(&config)?;
    let old_service = house::redis::old_service(&config, redis.as_ref());
    let stream = stream_of(&config)?;
    let mut signals = Signals::listen()?;

    let revocations = Arc::new(RevocationSet::default());
    let mut resources: Vec<_> = warm::redis(redis.as_ref()).into_iter().collect();
    let access_log = AccessLog::start(io::stderr());
    let (of, ring, set) = (Arc::clone(&config), Arc::clone(&keys), Arc::clone(&revocations));
    let (routes, edge) = Resource::required("routes", move || {
        let (config, log) = (Arc::clone(&of), access_log.clone());
        let (keys, revocations) = (Arc::clone(&ring), Arc::clone(&set));
        let (redis, old_service) = (redis.clone(), old_service.clone());
        async move {
            let half = settings::gateway_half(&config).map_err(|error| warm::lasting(&error))?;
            let admin = AdminEnd::Apart(half);
            let means = Means { keys, revocations, admin, redis, old_service };
            Edge::prepare(&config, log, means).map_err(|error| warm::of_routes(&error))
        }
    });
    resources.push(routes.within(warm::ROUTES_TIMEOUT));
    resources.extend(preload::resources(&config.upstreams)?);
    let plan = warm::plan(resources)?;

    let (close_duties, closes) = watch::channel(false);
    let duties = Duties::new(closes);
    let keys_known = Arc::new(AtomicBool::new(false));
    let (at_work, known) = (duties.clone(), Arc::clone(&keys_known));
    let readiness = Readiness::new(vec![
        ("revocations", Box::new(move || revocations.is_ready())),
        ("signing keys", Box::new(move || known.load(Ordering::Acquire))),
        ("feeds", Box::new(move || at_work.are_fulfilled())),
    ]);
    let readiness = readiness.with_remark(edge::remark(edge.clone()));
    let readiness = Arc::new(readiness.with_resources(plan.progress()));
    let probes = ops::routes(Arc::clone(&readiness), edge::meter(edge.clone()));
    let ops_address = house::ops::serve(ops_listener, probes)?.address;
    data_dir.publish(&edge::addresses(&public)?, None, ops_address)?;
    if !warm::load(&plan, &mut signals).await? {
        return Ok(ExitCode::SUCCESS);
    }

    let edge = edge.get()?.clone();
    let wait = follow::wait_within(config.auth.revocation_stale_after);
    let follower = edge.follower();
    let posted = tokio::spawn(async move {
        let feed = line.clone();
        let revocations = async move {
            match stream {
                Some(stream) => {
                    stream::follow::follow(
                        stream,
                        follower,
                        HttpFeed::new(feed),
                        kernel::time::now,
                    )
                    .await;
                }
                None => follow::revocations(feed, follower, wait, jitter).await,
            }
        };
        let keys = follow::keys(line, keys, keys_known, wait, jitter);
        tokio::join!(
            duties.fulfil_for_ever("the feed of revocations", revocations),
            duties.fulfil_for_ever("the feed of keys", keys),
        );
    });

    stage::announce(&config);
    // Last: whatever a client asks for, there is somebody at work for it.
    let edge = edge.open(&config.listen, public, workers).await?;
    readiness.started();
    tracing::info!(
        "a gateway at {}, of the admin API at {}; probes and metrics at {ops_address}",
        edge::list(&edge.addresses),
        half.admin_url,
    );

    let code = edge.serve_until_told(signals, &readiness, config.listen.drain_timeout, || ()).await;
    close_duties.send_replace(true);
    let _ = posted.await;
    Ok(code)
}

/// The stream of revocations in the Redis of the fleet, where there is one.
fn stream_of(config: &Config) -> anyhow::Result<Option<StreamReader>> {
    let Some(redis) = &config.redis else { return Ok(None) };
    Ok(Some(StreamReader::open(redis, tls_of(redis)?)?))
}

/// Another number each time; any number does where there is none.
fn jitter() -> u32 {
    random::bytes().map_or(u32::MAX / 2, u32::from_le_bytes)
}
