//! The edge: the public listeners, and the gateway behind them.

use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use config::Config;
use config::Listen;
use gateway::access_log::AccessLog;
use gateway::door::Bounds;
use gateway::door::Door;
use gateway::old_service::Line;
use gateway::ops::Meter;
use gateway::ops::Readiness;
use gateway::ops::Remark;
use gateway::snapshot::AdminEnd;
use gateway::snapshot::Snapshot;
use kernel::keys::LiveKeys;
use kernel::revocation::RevocationSet;
use kernel::revocation::follower::Follower;
use kernel::warm_up::Warm;
use stores::redis::connection::Connection;
use stores::redis::old_service::OldService;
use tokio::sync::watch;
use tokio::task::block_in_place;

use super::counters;
use super::counters::KeptShare;
use super::counters::Share;
use super::signals::Signals;
use super::workers;
use crate::commands::listeners;
use crate::open_files;

/// A client's connection, and the one to the back end behind it.
const FILES_A_CLIENT: u64 = 2;

/// How often it is looked whether the last client has left.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What the gateway goes by.
pub(crate) struct Means<'a> {
    pub(crate) keys: Arc<LiveKeys>,
    pub(crate) revocations: Arc<RevocationSet>,
    pub(crate) admin: AdminEnd<'a>,
    /// To the Redis of a fleet.
    pub(crate) redis: Option<Connection>,
    /// The service that is replaced, where it runs beside.
    pub(crate) old_service: Option<Arc<OldService>>,
}

/// A gateway that lets nobody in yet: what is behind it can be put to work first. Clones are the same.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) snapshot: Arc<Snapshot>,
    share: Option<Share>,
    access_log: AccessLog,
}

/// The gateway at work.
pub(crate) struct OpenEdge {
    pub(crate) addresses: Vec<SocketAddr>,
    door: Arc<Door>,
    workers: Vec<JoinHandle<()>>,
    share: Option<KeptShare>,
    access_log: AccessLog,
    close_door: watch::Sender<bool>,
    all_left: watch::Sender<bool>,
}

/// How many threads serve clients where nobody says.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Makes room for the connections of `config`, or has it allow fewer.
pub(crate) fn make_room(config: &mut Config) {
    let connections_max = open_files::make_room(config.listen.connections_max, FILES_A_CLIENT);
    if connections_max < config.listen.connections_max {
        tracing::warn!(
            "there is room for {connections_max} of {} connections: raise the limit of open files \
             (`ulimit -n`), or lower `listen.connections_max`",
            config.listen.connections_max
        );
        config.listen.connections_max = connections_max;
    }
}

/// Listens at all public addresses; nobody is let in yet.
///
/// # Errors
/// An address that cannot be had.
pub(crate) fn listen(config: &Config) -> anyhow::Result<Vec<TcpListener>> {
    config.listen.public.iter().map(|address| listeners::tcp(*address)).collect()
}

/// Where `public` are.
///
/// # Errors
/// The system's.
pub(crate) fn addresses(public: &[TcpListener]) -> io::Result<Vec<SocketAddr>> {
    public.iter().map(TcpListener::local_addr).collect()
}

impl Edge {
    /// Makes ready all that a request needs of this process, and puts nothing to work: it may fail, or
    /// come too late, and then it is as if it had not been. Blocks, as names are looked up.
    ///
    /// # Errors
    /// One clear text for what keeps it from being done.
    pub(crate) fn prepare(
        config: &Config,
        access_log: AccessLog,
        means: Means<'_>,
    ) -> anyhow::Result<Self> {
        let Means { keys, revocations, admin, redis, old_service } = means;
        let (counters, share) = counters::open(config, redis)?;
        let line = old_service.map(|service| Line::new(service, kernel::time::uptime));
        let log = access_log.clone();
        // The system's resolver blocks, and probes share the threads here.
        let snapshot = block_in_place(|| {
            Snapshot::new(config, keys, revocations, admin, log, counters, line)
        })?;
        Ok(Self { snapshot: Arc::new(snapshot), share, access_log })
    }

    /// Lets clients in from `public`, on `workers` threads; names, other issuers' keys and counters are
    /// looked after from now on.
    ///
    /// # Errors
    /// One clear text for what keeps it from being done.
    pub(crate) async fn open(
        self,
        listen: &Listen,
        public: Vec<TcpListener>,
        workers: usize,
    ) -> anyhow::Result<OpenEdge> {
        let Self { snapshot, share, access_log } = self;
        let (close_door, door_closes) = watch::channel(false);
        let (all_left, everybody_left) = watch::channel(false);
        let addresses = addresses(&public)?;
        let issuers = Arc::clone(&snapshot).keep_issuers();
        issuers.await.context("other issuers cannot be reached from here")?;
        tokio::spawn(Arc::clone(&snapshot).keep_fresh());
        let door = Arc::new(Door::new(snapshot, Bounds::from(listen), door_closes));
        let workers = workers::start(&door, public, workers, &everybody_left)?;
        let keeper = Arc::clone(&door);
        tokio::spawn(async move { keeper.keep_moving().await });
        let share = share.map(Share::keep);
        Ok(OpenEdge { addresses, door, workers, share, access_log, close_door, all_left })
    }

    /// A follower that fills the gateway's set, and whose lag the metrics show.
    pub(crate) fn follower(&self) -> Follower {
        let snapshot = Arc::clone(&self.snapshot);
        let set = Arc::clone(&snapshot.gatekeeper.revocations);
        let witness = move |lag| snapshot.metrics.revocation_applied(lag);
        Follower::new(set).witnessed_by(Arc::new(witness))
    }
}

/// What is worth telling of the gateway, once it is there, though it is ready.
pub(crate) fn remark(edge: Warm<Edge>) -> Remark {
    Box::new(move || {
        let snapshot = &edge.get().ok()?.snapshot;
        let age = snapshot.stale_for(kernel::time::now())?;
        let is_ready = snapshot.gatekeeper.revocations.is_ready();
        is_ready.then(|| {
            let seconds = age.as_secs();
            format!("revocations are stale: known to be complete {seconds} s ago")
        })
    })
}

/// The gateway's metrics; none before it is there.
pub(crate) fn meter(edge: Warm<Edge>) -> Meter {
    Arc::new(move || edge.get().map(|edge| edge.snapshot.render_metrics()).unwrap_or_default())
}

impl OpenEdge {
    /// Serves until a signal, then lets nobody in any more, and waits until everybody has left, but
    /// no longer than `drain_timeout` or until a second signal. `closing` is called at the first.
    pub(crate) async fn serve_until_told(
        self,
        mut signals: Signals,
        readiness: &Readiness,
        drain_timeout: Duration,
        closing: impl FnOnce(),
    ) -> ExitCode {
        signals.next().await;
        tracing::info!("ending: no new connections, the requests under way are finished");
        readiness.closing();
        closing();
        self.close_door.send_replace(true);
        self.door.close().await;
        let drained = async {
            while self.door.inside() > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let left = || format!("{} connections", self.door.inside());
        let code = signals.wait_for_the_end(drained, drain_timeout, left).await;
        self.all_left.send_replace(true);
        for worker in self.workers {
            // One that panicked has nothing left to end.
            let _ = worker.join();
        }
        if let Some(share) = self.share {
            share.close().await;
        }
        self.access_log.close();
        code
    }
}

/// Addresses, for people.
pub(crate) fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}
