//! `doorward run`: gateway and admin API in one process.

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use config::Access;
use config::Config;
use config::Endpoint;
use config::PathPattern;
use config::Route;
use gateway::access_log::AccessLog;
use gateway::ops;
use gateway::ops::Readiness;
use gateway::preload;
use gateway::snapshot::AdminEnd;
use kernel::keys::LiveKeys;
use kernel::revocation::RevocationSet;
use kernel::warm_up::Resource;
use tokio::net::UnixListener;
use tokio::sync::watch;

use super::echo;
use super::greeting;
use super::house;
use super::house::celery::Lookout;
use super::house::duty::Duties;
use super::house::edge;
use super::house::edge::Edge;
use super::house::edge::Means;
use super::house::office::Office;
use super::house::signals::Signals;
use super::house::stage;
use super::house::warm;
use super::listeners;
use crate::arguments::Place;
use crate::arguments::Run;
use crate::data_dir::DataDir;
use crate::keys;
use crate::settings;

/// Starts, serves until a signal, and ends in order.
///
/// # Errors
/// One clear text for what keeps it from starting.
pub(crate) fn run(place: &Place, run: &Run) -> anyhow::Result<ExitCode> {
    let echoes = place.config.is_none() && run.upstream.is_none();
    let workers = run.front.workers.map_or_else(edge::cores, usize::from);
    let prepare = |config: &mut Config| settings::apply(run, config);
    stage::play(place, prepare, |config, data_dir| serve(config, data_dir, echoes, workers))
}

/// Where it listens.
struct Places {
    public: Vec<TcpListener>,
    ops: TcpListener,
    admin: UnixListener,
    admin_socket: PathBuf,
}

async fn serve(
    mut config: Config,
    data_dir: DataDir,
    echoes: bool,
    workers: usize,
) -> anyhow::Result<ExitCode> {
    edge::make_room(&mut config);
    keys::provide_seal(&mut config, &data_dir)?;
    let keys = keys::ring(&config, &data_dir)?;
    // All that can fail for want of a place comes first.
    let admin_socket = data_dir.join("admin.sock");
    let places = Places {
        public: edge::listen(&config)?,
        ops: listeners::tcp(config.listen.ops)?,
        admin: listeners::unix(&admin_socket)?,
        admin_socket,
    };
    if echoes {
        let socket = data_dir.join("echo.sock");
        let listener = listeners::unix(&socket)?;
        tokio::spawn(async { axum::serve(listener, echo::routes()).await });
        for upstream in &mut config.upstreams {
            upstream.endpoints = vec![Endpoint::Unix(socket.clone())];
        }
    }
    let celery = house::celery::watch(&config)?;
    let served = serve_at(places, config, data_dir, keys, celery.as_ref(), echoes, workers).await;
    house::celery::end(celery).await;
    served
}

async fn serve_at(
    places: Places,
    config: Config,
    data_dir: DataDir,
    keys: Arc<LiveKeys>,
    celery: Option<&Lookout>,
    echoes: bool,
    workers: usize,
) -> anyhow::Result<ExitCode> {
    let Places { public, ops, admin, admin_socket } = places;
    let redis = house::redis::connect(&config)?;
    let old_service = house::redis::old_service(&config, redis.as_ref());
    let (config, data_dir) = (Arc::new(config), Arc::new(data_dir));
    let mut signals = Signals::listen()?;

    let revocations = Arc::new(RevocationSet::default());
    let seen = celery.map(Lookout::watch);
    let (database, api) = warm::database(&config, &keys, redis.clone(), old_service.clone(), seen);
    let (administrator, password) = warm::first_administrator(&api, &data_dir);
    let mut resources = vec![database, warm::keys(&keys), administrator];
    resources.extend(warm::redis(redis.as_ref()));
    let (access_log, of, set) =
        (AccessLog::start(io::stderr()), Arc::clone(&config), Arc::clone(&revocations));
    let (routes, edge) = Resource::required("routes", move || {
        let (config, log, socket) = (Arc::clone(&of), access_log.clone(), admin_socket.clone());
        let (keys, revocations) = (Arc::clone(&keys), Arc::clone(&set));
        let (redis, old_service) = (redis.clone(), old_service.clone());
        async move {
            let admin = AdminEnd::Here(&socket);
            let means = Means { keys, revocations, admin, redis, old_service };
            Edge::prepare(&config, log, means).map_err(|error| warm::of_routes(&error))
        }
    });
    resources.push(routes.after(&[warm::KEYS]).within(warm::ROUTES_TIMEOUT));
    resources.extend(preload::resources(&config.upstreams)?);
    let plan = warm::plan(resources)?;

    let (close_office, office_closes) = watch::channel(false);
    let duties = Duties::new(office_closes);
    let at_work = duties.clone();
    let readiness = Readiness::new(vec![
        ("revocations", Box::new(move || revocations.is_ready())),
        ("admin api", Box::new(move || at_work.are_fulfilled())),
    ]);
    let readiness = readiness.with_remark(edge::remark(edge.clone()));
    let readiness = Arc::new(readiness.with_resources(plan.progress()));
    let (requests, statuses) = (edge::meter(edge.clone()), api.clone());
    let figures = house::celery::Figures::of(celery);
    let meter = Arc::new(move || requests() + &warm::status_metrics(&statuses) + &figures.render());
    let probes = ops::routes(Arc::clone(&readiness), meter);
    let ops = house::ops::serve(ops, probes)?;
    data_dir.publish(&edge::addresses(&public)?, None, ops.address)?;
    if !warm::load(&plan, &mut signals).await? {
        return Ok(ExitCode::SUCCESS);
    }

    let (api, edge) = (Arc::clone(api.get()?), edge.get()?.clone());
    ops.add(api.management());
    let office = Office { api: Arc::clone(&api), duties };
    let office = tokio::spawn(office.work_within(admin, edge.follower()));
    stage::announce(&config);
    if config.fleet.is_some() {
        tracing::warn!(
            "`[fleet]` is for `doorward gateway` and `doorward admin`: here both are one"
        );
    }
    // Last: whatever a client asks for, there is somebody at work for it.
    let edge = edge.open(&config.listen, public, workers).await?;
    readiness.started();
    if let Some(first) = edge.addresses.first() {
        let password = password.get()?;
        let text = greeting::greeting(*first, ops.address, example_path(&config), password);
        greeting::tell(&text, password);
    }
    tracing::info!(
        "serving {} at {}, probes and metrics at {}",
        if echoes { "an echo" } else { "the configured upstreams" },
        edge::list(&edge.addresses),
        ops.address,
    );

    // Streams of changes have no end of their own, and would be waited for.
    let closing = || api.send_listeners_away();
    let code =
        edge.serve_until_told(signals, &readiness, config.listen.drain_timeout, closing).await;
    close_office.send_replace(true);
    let _ = office.await;
    house::redis::tell_what_waits(&api).await;
    Ok(code)
}

/// A path that a caller with a token may ask for.
fn example_path(config: &Config) -> &str {
    let takes_get = |route: &&Route| {
        let get = route.methods.is_empty() || route.methods.iter().any(|method| method == "GET");
        get && route.access == Access::Token && route.hosts.is_empty()
    };
    match config.routes.iter().find(takes_get).map(|route| &route.path) {
        Some(PathPattern::Exact(path)) => path,
        Some(PathPattern::Prefix(path)) if path != "/" => path,
        _ => "/hello",
    }
}
