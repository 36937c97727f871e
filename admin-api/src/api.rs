//! The admin API as a whole: opened once, then served, followed and asked.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use kernel::keys::LiveKeys;
use kernel::revocation::follower::Follower;
use kernel::secret::Secret;
use stores::memory::MemoryQuotas;
use stores::redis::celery::CeleryWatch;
use stores::redis::old_service::OldService;
use stores::redis::stream::publisher::StreamPublisher;
use stores::redis::watch::Watch;
use stores::status::Statuses;
use tokio::net::TcpListener;
use tokio::net::UnixListener;

use crate::clock::Clock;
use crate::http::device_cookie::DeviceCookie;
use crate::http::fleet;
use crate::http::fleet::Sources;
use crate::http::fleet_door::FleetDoor;
use crate::http::front_end::FrontEnd;
use crate::http::register::Registration;
use crate::http::routes::Staff;
use crate::http::routes::management;
use crate::http::routes::routes;
use crate::http::serve::serve;
use crate::http::serve::serve_fleet;
use crate::passwords::Passwords;
use crate::passwords::policy::Policy;
use crate::people::audit::Notes;
use crate::people::audit::Origin;
use crate::people::audit::write_notes;
use crate::people::desk::Desk;
use crate::people::devices::Devices;
use crate::people::inspect::Inspection;
use crate::people::issue::Issuer;
use crate::people::mint::Mint;
use crate::people::mint::MintError;
use crate::people::old_service::Beside;
use crate::people::post::Post;
use crate::people::post::office;
use crate::people::roles::Roles;
use crate::people::signing_keys::SigningKeys;
use crate::people::take_back::TakenBack;
use crate::people::throttle::Throttle;
use crate::people::users::Users;
use crate::providers::registry::Providers;
use crate::sealing::AtRest;
use crate::status::Board;
use crate::store::database::Database;
use crate::store::fault::DbError;
use crate::store::lookout::Lookout;
use crate::store::open::OpenError;
use crate::store::publish::publish;
use crate::store::refresh_keys::RefreshKeys;
use crate::store::secrets::secret_for;
use crate::store::tail::Progress;
use crate::store::tail::follow;
use crate::store::users;

/// Everything opened: the database, the hashing threads, the keys.
pub struct AdminApi {
    desk: Arc<Desk>,
    users: Users,
    signing_keys: SigningKeys,
    board: Arc<Board>,
    lookout: Arc<Lookout>,
    router: Router,
    management: Router,
}

/// Others that an admin API has to do with, where they are.
#[derive(Default)]
pub struct Neighbours {
    /// The service that is replaced, where it still runs: it is told of access tokens that are shown here
    /// to be revoked, and asked about those that are shown for anything else.
    pub old_service: Option<Arc<OldService>>,
    /// The Redis of the fleet, whose health is told.
    pub redis: Option<Watch>,
    /// The Celery installation whose workers' health is told; somebody else keeps it.
    pub celery: Option<Arc<CeleryWatch>>,
    /// Where job status is kept; `None`: in this process's memory.
    pub statuses: Option<Statuses>,
}

impl AdminApi {
    /// Opens the database that `config` names, brings its schema up to date and starts the
    /// threads. `keys` sign and verify access tokens.
    ///
    /// # Errors
    /// [`OpenError`]: one clear text for the operator.
    pub async fn open(
        config: &config::Config,
        keys: Arc<LiveKeys>,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        Self::open_among(config, keys, clock, Neighbours::default()).await
    }

    /// The same, among others that it has to do with.
    ///
    /// # Errors
    /// [`OpenError`]: one clear text for the operator.
    pub async fn open_among(
        config: &config::Config,
        keys: Arc<LiveKeys>,
        clock: Clock,
        neighbours: Neighbours,
    ) -> Result<Self, OpenError> {
        let now = clock.now();
        let policy = Policy { chars_min: config.auth.password_chars_min };
        let passwords = Passwords::start(config.auth.hashing, policy).map_err(OpenError::Hash)?;
        let database = Database::open(&config.database, now).await?;
        let at_rest = Arc::new(AtRest::of(config));
        let refresh_keys = RefreshKeys::load(&database, &at_rest, now).await?;
        let others = database.read(users::other_hashes).await;
        match others {
            Ok(others) => passwords.table_has(&others).map_err(OpenError::Hash)?,
            // They are looked for again, every hour and whenever one is met.
            Err(error) => tracing::warn!("the kinds of password hashes are not known yet: {error}"),
        }
        let throttle = config.auth.throttle.clone();
        let counters = NonZeroUsize::new(throttle.keys_max).unwrap_or(NonZeroUsize::MIN);
        let devices = Devices::new(&secret_for(&database, "devices", &at_rest, now).await?);
        let post = office(config, &database, &clock).map_err(OpenError::Mail)?.map(Post::open);
        let providers =
            Providers::new(&config.auth.oauth, &config.listen).map_err(OpenError::Tls)?;
        let (notes, waiting) = Notes::new();
        tokio::spawn(write_notes(database.clone(), waiting));
        let Neighbours { old_service, redis, celery, statuses } = neighbours;
        let statuses = statuses.unwrap_or_else(|| Statuses::here(&config.status));
        let board = Arc::new(Board::new(statuses, clock.clone()));
        let keeper = Arc::clone(&board);
        tokio::spawn(async move { keeper.keep().await });
        let old_service = old_service.map(|service| {
            let (beside, waiting) = Beside::new(service);
            tokio::spawn(waiting.tell(clock.clone()));
            beside
        });
        let desk = Arc::new(Desk {
            old_service,
            redis,
            celery,
            post,
            throttle: Throttle::new(MemoryQuotas::new(counters), throttle),
            devices,
            issuer: Arc::new(Issuer::new(&config.auth, Arc::clone(&keys), refresh_keys)),
            roles: Roles::new(&config.roles),
            usual_tier: config.limits.default_tier.clone(),
            progress: Progress::new(),
            providers,
            notes,
            database,
            clock,
            passwords,
            public_url: config.listen.public_url.clone(),
            other_issuers: config.issuers.iter().map(|other| other.issuer.clone()).collect(),
        });
        let signing_keys = SigningKeys::new(Arc::clone(&desk), keys, &config.auth);
        let loaded = signing_keys.load().await;
        loaded.map_err(|error| OpenError::SigningKeys(Box::new(error)))?;
        let users = Users::new(Arc::clone(&desk), config);
        let registration = Registration {
            users: users.clone(),
            tier: config.limits.default_tier.clone(),
            is_open: config.auth.registration,
        };
        let staff = Staff {
            desk,
            users,
            cookie: DeviceCookie::of(config),
            front_end: Arc::new(FrontEnd::of(&config.auth)),
            registration: Arc::new(registration),
            board,
        };
        Ok(Self {
            router: routes(&staff, config.listen.expose_management),
            management: management(&staff),
            desk: staff.desk,
            users: staff.users,
            board: staff.board,
            signing_keys,
            lookout: Arc::new(Lookout::new()),
        })
    }

    /// Management of people, to be served where only operators come.
    pub fn management(&self) -> Router {
        self.management.clone()
    }

    /// All routes for clients, ready to be asked.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Serves on `listener` until `shutdown`, then finishes the requests under way.
    pub async fn serve(
        self: Arc<Self>,
        listener: UnixListener,
        shutdown: impl Future<Output = ()>,
    ) {
        serve(self.router(), Arc::clone(&self.desk), listener, shutdown).await;
    }

    /// The people.
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// Makes an access token without a session, for an operator.
    ///
    /// # Errors
    /// [`MintError`].
    pub async fn mint_access(&self, mint: Mint) -> Result<Secret, MintError> {
        if let Some(tier) = &mint.tier {
            self.users.check_tier(tier)?;
        }
        self.desk.mint(mint, Origin::default()).await
    }

    /// The keys that sign access tokens.
    pub fn signing_keys(&self) -> &SigningKeys {
        &self.signing_keys
    }

    /// Lays a token open for an operator.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn inspect_token(&self, token: &Secret) -> Result<Inspection, DbError> {
        self.desk.inspect(token).await
    }

    /// Takes a token back for an operator, one of `[[issuers]]` as well.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn revoke_token(&self, token: &Secret) -> Result<TakenBack, DbError> {
        self.desk.take_back_any(token, Origin::default()).await
    }

    /// Keeps the ring of keys as the database and the time of day say until `shutdown`; what
    /// another process writes is seen within a tenth of a second.
    pub async fn tail_signing_keys(&self, shutdown: impl Future<Output = ()>) {
        self.signing_keys.follow(shutdown).await;
    }

    /// Has `follower` carry revocations into its set until `shutdown`: a snapshot first, then whatever
    /// this process or another writes, within a tenth of a second. While it runs, an act here is
    /// answered only once it is in force there.
    pub async fn tail_revocations(&self, follower: Follower, shutdown: impl Future<Output = ()>) {
        let desk = &self.desk;
        follow(&desk.database, &desk.clock, follower, &desk.progress, shutdown).await;
    }

    /// Serves gateways that run apart, who come by `door` to `listener` and show `token`, until
    /// `shutdown`; then finishes the requests under way. Needs somebody to [look
    /// out](Self::look_out).
    pub async fn serve_fleet(
        self: Arc<Self>,
        door: FleetDoor,
        token: Secret,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) {
        let sources = Sources {
            database: self.desk.database.clone(),
            lookout: Arc::clone(&self.lookout),
            keys: fleet::Keys::of(self.signing_keys.public()),
        };
        let routes = fleet::routes(self.router(), sources, token);
        serve_fleet(door, routes, Arc::clone(&self.desk), listener, shutdown).await;
    }

    /// Looks until `shutdown` where the log of revocations is, for all gateways that wait for it to
    /// move; what another process writes is seen within a tenth of a second. After it nobody waits.
    pub async fn look_out(&self, shutdown: impl Future<Output = ()>) {
        self.lookout.keep(&self.desk.database, shutdown).await;
    }

    /// Waits until the service that is replaced, where it runs beside, was told of all tokens that were
    /// revoked by now, but no longer than `within`; says whether it was.
    pub async fn has_told_old_service(&self, within: Duration) -> bool {
        match &self.desk.old_service {
            Some(beside) => beside.is_told(within).await,
            None => true,
        }
    }

    /// Carries revocations to the gateways of a fleet by `stream` until `shutdown`, whenever no other
    /// process on the same database does. What is committed is on its way within a hundredth of a
    /// second, or two.
    ///
    /// A Redis or a database that is away is waited for. Gateways see what they missed.
    pub async fn publish_revocations(
        &self,
        stream: &StreamPublisher,
        shutdown: impl Future<Output = ()>,
    ) {
        let holder = uuid::Uuid::new_v4().to_string();
        publish(&self.desk.database, &self.desk.clock, stream, &holder, shutdown).await;
    }

    /// Sends away whoever listens to job status: those streams have no end of their own.
    pub fn send_listeners_away(&self) {
        self.board.close();
    }

    /// Sends reports of job status that wait for a store that was away, but for no longer than `within`;
    /// how many wait still.
    pub async fn send_waiting_reports(&self, within: Duration) -> usize {
        self.board.send(within).await
    }

    /// The counters of job status, in Prometheus' text format.
    pub fn status_metrics(&self) -> String {
        self.board.metrics()
    }

    /// How many passwords were hashed or checked since the start.
    pub fn passwords_hashed(&self) -> u64 {
        self.desk.passwords.done()
    }
}

#[cfg(test)]
mod tests;
