//! `doorward run`: gateway and admin API in one process.
//!
//! Two kinds of threads: workers, each with a runtime of its own, carry clients' requests and
//! nothing else; the control runtime carries the admin API, the feed of revocations and the ops
//! listener, so that no sign-in slows the proxy.

mod office;

mod signals;

mod workers;

use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use admin_api::AdminApi;
use admin_api::Clock;
use anyhow::Context;
use config::Access;
use config::Config;
use config::Endpoint;
use config::PathPattern;
use config::Route;
use gateway::access_log::AccessLog;
use gateway::door::Bounds;
use gateway::door::Door;
use gateway::ops;
use gateway::ops::Readiness;
use gateway::snapshot::Snapshot;
use kernel::keys::LiveKeys;
use kernel::revocation::RevocationSet;
use tokio::runtime;
use tokio::sync::watch;

use self::office::Office;
use self::signals::Signals;
use super::echo;
use super::first_admin;
use super::first_admin::Password;
use super::greeting::greeting;
use super::listeners;
use crate::arguments::Place;
use crate::arguments::Run;
use crate::data_dir::DataDir;
use crate::keys;
use crate::log;
use crate::open_files;
use crate::settings;

/// How many threads the admin API, the feed and the ops listener share.
const CONTROL_THREADS: usize = 2;

/// How often it is looked whether the last client has left.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Starts, serves until a signal, and ends in order.
///
/// # Errors
/// One clear text for what keeps it from starting.
pub(crate) fn run(place: &Place, run: &Run) -> anyhow::Result<ExitCode> {
    let mut config = match settings::load(place) {
        Ok(config) => config,
        Err(faults) => {
            // As `check` shows them.
            eprintln!("{faults}");
            return Ok(ExitCode::FAILURE);
        }
    };
    settings::apply(run, &mut config)?;
    log::start();
    let connections_max = open_files::make_room(config.listen.connections_max);
    if connections_max < config.listen.connections_max {
        tracing::warn!(
            "there is room for {connections_max} of {} connections: raise the limit of open files \
             (`ulimit -n`), or lower `listen.connections_max`",
            config.listen.connections_max
        );
        config.listen.connections_max = connections_max;
    }
    let data_dir = DataDir::open(&config.data_dir)?;
    config.move_data_dir(&data_dir.join(""));
    let tenancy = data_dir.move_in()?;
    keys::provide_seal(&mut config, &data_dir)?;
    let keys = keys::ring(&config, &data_dir)?;
    let control = runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .context("the system gives no more threads")?;
    let echoes = place.config.is_none() && run.upstream.is_none();
    let workers = run.workers.map_or_else(cores, usize::from);
    let served = control.block_on(serve(config, &data_dir, keys, echoes, workers));
    drop(tenancy);
    served
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

async fn serve(
    mut config: Config,
    data_dir: &DataDir,
    keys: Arc<LiveKeys>,
    echoes: bool,
    workers: usize,
) -> anyhow::Result<ExitCode> {
    // All that can fail for want of a place comes first.
    let public = config.listen.public.iter().map(|address| listeners::tcp(*address));
    let public = public.collect::<anyhow::Result<Vec<_>>>()?;
    let ops_listener = listeners::tcp(config.listen.ops)?;
    let admin_socket = data_dir.join("admin.sock");
    let admin_listener = listeners::unix(&admin_socket)?;
    if echoes {
        let socket = data_dir.join("echo.sock");
        let listener = listeners::unix(&socket)?;
        tokio::spawn(async { axum::serve(listener, echo::routes()).await });
        for upstream in &mut config.upstreams {
            upstream.endpoints = vec![Endpoint::Unix(socket.clone())];
        }
    }
    let api = Arc::new(AdminApi::open(&config, Arc::clone(&keys), Clock::wall()).await?);
    // With the key that signs now, wherever it is kept.
    keys::test(&keys)?;
    let password = first_admin::ensure(&api, data_dir).await?;

    let revocations = Arc::new(RevocationSet::default());
    let (close_office, office_closes) = watch::channel(false);
    let office = Office {
        api: Arc::clone(&api),
        revocations: Arc::clone(&revocations),
        closes: office_closes,
        alive: Arc::new(AtomicBool::new(true)),
    };
    let alive = Arc::clone(&office.alive);
    let office = tokio::spawn(office.work(admin_listener));

    let access_log = AccessLog::start(io::stderr());
    let snapshot = Arc::new(Snapshot::new(
        &config,
        keys,
        Arc::clone(&revocations),
        &admin_socket,
        access_log.clone(),
    )?);
    let readiness = Arc::new(Readiness::new(vec![
        ("revocations", Box::new(move || revocations.is_ready())),
        ("admin api", Box::new(move || alive.load(Ordering::Acquire))),
    ]));
    let (close_door, door_closes) = watch::channel(false);
    let (all_left, everybody_left) = watch::channel(false);
    let bounds = Bounds::from(&config.listen);
    let door = Arc::new(Door::new(Arc::clone(&snapshot), bounds, door_closes));
    let addresses = public.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
    let workers = workers::start(&door, public, workers, &everybody_left)?;

    let ops = tokio::net::TcpListener::from_std(ops_listener)?;
    let ops_address = ops.local_addr()?;
    let ops_routes =
        ops::routes(Arc::clone(&snapshot), Arc::clone(&readiness)).merge(api.management());
    let ops_service = ops_routes.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async { axum::serve(ops, ops_service).await });

    tokio::spawn(Arc::clone(&snapshot).keep_fresh());
    Arc::clone(&snapshot)
        .keep_issuers()
        .await
        .context("other issuers cannot be reached from here")?;
    let keeper = Arc::clone(&door);
    tokio::spawn(async move { keeper.keep_moving().await });

    let mut signals = Signals::listen()?;
    announce_test_mode(&config);
    for note in settings::notes(&config) {
        tracing::warn!("{note}");
    }
    readiness.started();
    data_dir.publish(&addresses, ops_address)?;
    if let Some(first) = addresses.first() {
        let greeting = greeting(*first, ops_address, example_path(&config), &password);
        match password {
            // To the terminal that was asked about, and into no file.
            Password::Shown(_) => eprintln!("{greeting}"),
            _ => println!("{greeting}"),
        }
    }
    tracing::info!(
        "serving {} at {}, probes and metrics at {ops_address}",
        if echoes { "an echo" } else { "the configured upstreams" },
        list(&addresses),
    );

    signals.next().await;
    tracing::info!("ending: no new connections, the requests under way are finished");
    readiness.closing();
    close_door.send_replace(true);
    door.close().await;
    let drained = async {
        while door.inside() > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let code = tokio::select! {
        biased;
        () = drained => ExitCode::SUCCESS,
        () = tokio::time::sleep(config.listen.drain_timeout) => {
            tracing::warn!("{} connections were cut: they took too long", door.inside());
            ExitCode::SUCCESS
        }
        () = signals.next() => {
            tracing::warn!("a second signal: {} connections are cut", door.inside());
            ExitCode::FAILURE
        }
    };
    all_left.send_replace(true);
    for worker in workers {
        // One that panicked has nothing left to end.
        let _ = worker.join();
    }
    close_office.send_replace(true);
    let _ = office.await;
    access_log.close();
    Ok(code)
}

async fn closed(mut closes: watch::Receiver<bool>) {
    // The sender lives until the end; should it be gone, this is the end.
    let _ = closes.wait_for(|closes| *closes).await;
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

fn announce_test_mode(config: &Config) {
    if config.test_mode {
        tracing::warn!(
            "TEST MODE: whoever sends no token is let in as user 1, `test_user`. Never use this \
             where others can reach it."
        );
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}
