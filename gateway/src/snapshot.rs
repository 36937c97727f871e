//! Everything that was decided before the first request: immutable, and shared by all of them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use config::Config;
use config::GatewayHalf;
use http::HeaderValue;
use ipnet::IpNet;
use kernel::keys::LiveKeys;
use kernel::revocation::RevocationSet;
use kernel::time::Timestamp;
use kernel::token::Profile;
use tokio::time::Instant;

use crate::access_log::AccessLog;
use crate::admission::Gatekeeper;
use crate::auth::Authenticator;
use crate::balance::EndpointError;
use crate::balance::Pool;
use crate::fetch;
use crate::fleet::line::token_header;
use crate::issuers::Issuers;
use crate::limit::Limiter;
use crate::limit::counters::Counters;
use crate::metrics::Metrics;
use crate::old_service::Line;
use crate::revocation::is_stale;
use crate::routing::RouteTable;

/// How long the admin API may be silent: a little longer than it gives itself.
const ADMIN_READ_TIMEOUT: Duration = Duration::from_secs(35);

/// What the admin API is called among the upstreams.
const ADMIN_NAME: &str = "(doorward)";

/// How often an admin API without an address is looked up again.
const FIND_EVERY: Duration = Duration::from_secs(1);

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
    /// What is shown to an admin API that runs apart; `None`: it is in this process.
    pub fleet_token: Option<HeaderValue>,
    /// Peers whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What is counted.
    pub metrics: Metrics,
    /// Where requests are written down.
    pub access_log: AccessLog,
}

/// Where the admin API is.
#[derive(Clone, Copy, Debug)]
pub enum AdminEnd<'a> {
    /// In this process, behind the Unix socket at this path.
    Here(&'a Path),
    /// Elsewhere.
    Apart(&'a GatewayHalf),
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
    /// Makes `config` ready; `admin` is where the admin API listens, `counters` is where requests are
    /// counted, and `old_service` is asked about tokens where the replaced system runs beside.
    ///
    /// # Errors
    /// [`SnapshotError`], the first that applies.
    pub fn new(
        config: &Config,
        keys: Arc<LiveKeys>,
        revocations: Arc<RevocationSet>,
        admin: AdminEnd<'_>,
        access_log: AccessLog,
        counters: Counters,
        old_service: Option<Line>,
    ) -> Result<Self, SnapshotError> {
        let routes = RouteTable::new(config);
        let metrics = Metrics::new(&routes, config.test_mode)?;
        let metrics = match &counters {
            Counters::Shared(_) => metrics.with_fleet()?,
            Counters::Here(_) => metrics,
        };
        let auth = &config.auth;
        let profile = Profile {
            issuer: auth.issuer.as_str().into(),
            audience: auth.audience.as_deref().map(Arc::from),
            leeway: auth.leeway,
            lifetime_max: auth.lifetime_max,
            accept_legacy: auth.accept_legacy,
        };
        let cache_bytes = auth.token_cache_bytes;
        let (admin, fleet_token) = match admin {
            AdminEnd::Here(socket) => (Pool::unix(ADMIN_NAME, socket, ADMIN_READ_TIMEOUT)?, None),
            AdminEnd::Apart(half) => {
                (Pool::apart(ADMIN_NAME, half, ADMIN_READ_TIMEOUT)?, Some(token_header(half)))
            }
        };
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
                old_service,
                stale_after: auth.revocation_stale_after,
                limiter: Limiter::new(config, counters),
            },
            pools: config.upstreams.iter().map(Pool::new).collect::<Result<_, _>>()?,
            admin,
            fleet_token,
            trusted_proxies: config.listen.trusted_proxies.clone(),
            metrics,
            access_log,
        })
    }

    /// Looks names up again and sweeps out what has expired, for as long as it runs.
    pub async fn keep_fresh(self: Arc<Self>) {
        let mut due = Due::default();
        loop {
            let is_everything_due = due.is_everything(Instant::now());
            if is_everything_due {
                self.gatekeeper.limiter.sweep(kernel::time::now());
            }
            let snapshot = Arc::clone(&self);
            // The system's resolver blocks.
            let looked_up = tokio::task::spawn_blocking(move || match is_everything_due {
                true => look_up(snapshot.pools.iter().chain([&snapshot.admin])),
                false => look_up([&snapshot.admin]),
            });
            if looked_up.await.is_err() {
                tracing::error!("names of back ends could not be looked up");
            }
            tokio::time::sleep_until(due.next(Instant::now(), self.admin.endpoints() > 0)).await;
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

    /// How long ago the revocations were known to be complete, where that is too long.
    pub fn stale_for(&self, now: Timestamp) -> Option<Duration> {
        let heard_at = self.gatekeeper.revocations.heard_at();
        is_stale(heard_at, self.gatekeeper.stale_after, now).then(|| now.since(heard_at))
    }

    /// The metrics as text, tables measured at this moment.
    pub fn render_metrics(&self) -> String {
        let gatekeeper = &self.gatekeeper;
        self.metrics.note_tables(
            gatekeeper.authenticator.cached(),
            gatekeeper.revocations.len(),
            gatekeeper.limiter.counters(),
        );
        let now = kernel::time::now();
        let age = now.since(gatekeeper.revocations.heard_at());
        self.metrics.note_revocations_age(age, self.stale_for(now).is_some());
        if let Some(figures) = gatekeeper.limiter.fleet() {
            self.metrics.note_fleet(&figures);
        }
        if let Some(line) = &gatekeeper.old_service {
            self.metrics.note_old_service(&line.figures());
        }
        for issuer in gatekeeper.authenticator.issuers().all() {
            self.metrics.note_issuer(&issuer.standing());
        }
        self.metrics.render()
    }
}

fn look_up<'a>(pools: impl IntoIterator<Item = &'a Pool>) {
    for pool in pools.into_iter().filter(|pool| pool.has_names()) {
        if let Err(error) = pool.resolve() {
            tracing::warn!("{error}; the addresses found before go on being used");
        }
    }
}

/// When to freshen everything, and when only to look for the admin API.
#[derive(Debug, Default)]
struct Due {
    /// When everything was freshened; `None`: never yet.
    freshened: Option<Instant>,
}

impl Due {
    /// Whether it is time for everything, which then was freshened `now`.
    fn is_everything(&mut self, now: Instant) -> bool {
        let is_due = self.freshened.is_none_or(|at| now >= at + FRESHEN_EVERY);
        if is_due {
            self.freshened = Some(now);
        }
        is_due
    }

    /// When to look again, by whether the admin API `is_found`.
    fn next(&self, now: Instant, is_found: bool) -> Instant {
        let everything = self.freshened.map_or(now, |at| at + FRESHEN_EVERY);
        if is_found { everything } else { everything.min(now + FIND_EVERY) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_the_admin_api_is_looked_for_each_second_everything_else_is_freshened_every_thirty() {
        let start = Instant::now();
        let (mut due, mut at, mut freshened) = (Due::default(), start, Vec::new());
        let mut looks = 0;
        while at <= start + 2 * FRESHEN_EVERY {
            looks += 1;
            if due.is_everything(at) {
                freshened.push((at - start).as_secs());
            }
            at = due.next(at, false);
        }
        assert_eq!((looks, &freshened[..]), (61, &[0, 30, 60][..]));
        assert_eq!(due.next(at, true), start + 3 * FRESHEN_EVERY, "it was found");
    }
}
