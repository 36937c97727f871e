//! Everything that was decided before the first request: immutable, and shared by all of them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use config::Config;
use ipnet::IpNet;
use kernel::keys::LiveKeys;
use kernel::revocation::RevocationSet;
use kernel::token::Profile;

use crate::access_log::AccessLog;
use crate::admission::Gatekeeper;
use crate::auth::Authenticator;
use crate::balance::EndpointError;
use crate::balance::Pool;
use crate::fetch;
use crate::issuers::Issuers;
use crate::limit::Limiter;
use crate::limit::counters::Counters;
use crate::metrics::Metrics;
use crate::routing::RouteTable;

/// How long the admin API may be silent: a little longer than it gives itself.
const ADMIN_READ_TIMEOUT: Duration = Duration::from_secs(35);

/// How often names are looked up again and expired counters are swept out.
const FRESHEN_EVERY: Duration = Duration::from_secs(30);

/// A configuration, made ready for requests.
pub struct Snapshot {
    /// Who is admitted where.
    pub gatekeeper: Gatekeeper,
    /// The upstreams, in the order of the configuration.
    pub pools: Vec<Pool>,
    /// The admin API.
    pub admin: Pool,
    /// Peers whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What is counted.
    pub metrics: Metrics,
    /// Where requests are written down.
    pub access_log: AccessLog,
}

/// A configuration that cannot be put to work here and now.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// An endpoint.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Two counters with one name.
    #[error("the metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
}

impl Snapshot {
    /// Makes `config` ready; `admin_socket` is where the admin API listens, and `counters` where
    /// requests are counted.
    ///
    /// # Errors
    /// [`SnapshotError`], the first that applies.
    pub fn new(
        config: &Config,
        keys: Arc<LiveKeys>,
        revocations: Arc<RevocationSet>,
        admin_socket: &Path,
        access_log: AccessLog,
        counters: Counters,
    ) -> Result<Self, SnapshotError> {
        let routes = RouteTable::new(config);
        let metrics = Metrics::new(&routes, config.test_mode)?;
        let auth = &config.auth;
        let profile = Profile {
            issuer: auth.issuer.as_str().into(),
            audience: auth.audience.as_deref().map(Arc::from),
            leeway: auth.leeway,
            lifetime_max: auth.lifetime_max,
            accept_legacy: auth.accept_legacy,
        };
        let cache_bytes = auth.token_cache_bytes;
        Ok(Self {
            gatekeeper: Gatekeeper {
                routes,
                authenticator: Authenticator::new(
                    keys,
                    Arc::new(Issuers::new(&config.issuers)),
                    profile,
                    cache_bytes,
                    config.test_mode,
                ),
                revocations,
                limiter: Limiter::new(config, counters),
            },
            pools: config.upstreams.iter().map(Pool::new).collect::<Result<_, _>>()?,
            admin: Pool::unix("(doorward)", admin_socket, ADMIN_READ_TIMEOUT)?,
            trusted_proxies: config.listen.trusted_proxies.clone(),
            metrics,
            access_log,
        })
    }

    /// Looks names up again and sweeps out what has expired, for as long as it runs.
    pub async fn keep_fresh(self: Arc<Self>) {
        let mut minutes = tokio::time::interval(FRESHEN_EVERY);
        loop {
            minutes.tick().await;
            self.gatekeeper.limiter.sweep(kernel::time::now());
            let snapshot = Arc::clone(&self);
            // The system's resolver blocks.
            let looked_up = tokio::task::spawn_blocking(move || snapshot.look_up());
            if looked_up.await.is_err() {
                tracing::error!("names of back ends could not be looked up");
            }
        }
    }

    /// Keeps the keys of all other issuers, for as long as it runs.
    ///
    /// # Errors
    /// Where the TLS library has no use for its settings.
    pub async fn keep_issuers(self: Arc<Self>) -> Result<(), reqwest::Error> {
        let issuers = self.gatekeeper.authenticator.issuers();
        if issuers.all().is_empty() {
            return Ok(());
        }
        let client = outbound::client()?;
        for at in 0..issuers.all().len() {
            let (issuers, client) = (Arc::clone(issuers), client.clone());
            tokio::spawn(async move {
                if let Some(issuer) = issuers.all().get(at) {
                    issuer.keep(|| fetch::jwks(&client, issuer.url())).await;
                }
            });
        }
        Ok(())
    }

    fn look_up(&self) {
        for pool in self.pools.iter().filter(|pool| pool.has_names()) {
            if let Err(error) = pool.resolve() {
                tracing::warn!("{error}; the addresses found before go on being used");
            }
        }
    }

    /// The metrics as text, tables measured at this moment.
    pub fn render_metrics(&self) -> String {
        let gatekeeper = &self.gatekeeper;
        self.metrics.note_tables(
            gatekeeper.authenticator.cached(),
            gatekeeper.revocations.len(),
            kernel::time::now().since(gatekeeper.revocations.heard_at()),
            gatekeeper.limiter.counters(),
        );
        for issuer in gatekeeper.authenticator.issuers().all() {
            self.metrics.note_issuer(&issuer.standing());
        }
        self.metrics.render()
    }
}
