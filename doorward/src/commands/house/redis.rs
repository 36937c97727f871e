//! The Redis of a fleet: one connection for all that a process wants of it.

use std::sync::Arc;
use std::time::Duration;

use admin_api::AdminApi;
use admin_api::Neighbours;
use anyhow::Context;
use config::Config;
use config::Redis;
use rustls::ClientConfig;
use stores::redis::celery::CeleryWatch;
use stores::redis::connection::CONNECT_TIMEOUT;
use stores::redis::connection::Connection;
use stores::redis::old_service::OldService;
use stores::redis::watch::Watch;
use stores::status::Statuses;

/// How long an ending process goes on telling the service that is replaced of revoked tokens.
pub(crate) const TELL_WITHIN: Duration = Duration::from_secs(2);

/// A connection to the Redis of `config`, where there is one; it need not be there yet. Must be called
/// within the runtime that is to carry it.
///
/// # Errors
/// What no waiting would mend.
pub(crate) fn connect(config: &Config) -> anyhow::Result<Option<Connection>> {
    let Some(redis) = &config.redis else { return Ok(None) };
    let connection = Connection::open(redis, tls_of(redis)?)?;
    let asked = connection.clone();
    tokio::spawn(async move { asked.warn_of_eviction().await });
    Ok(Some(connection))
}

/// How the Redis of a fleet proves who it is; none where it is spoken to in the clear.
///
/// # Errors
/// Certificates that cannot be used.
pub(crate) fn tls_of(redis: &Redis) -> anyhow::Result<Option<ClientConfig>> {
    tls_trusting(redis, "`redis.ca`")
}

/// The same for another Redis, whose certificates are at `key` of the configuration.
///
/// # Errors
/// Certificates that cannot be used.
pub(crate) fn tls_trusting(
    redis: &Redis,
    key: &'static str,
) -> anyhow::Result<Option<ClientConfig>> {
    let roots = match &redis.ca {
        _ if !redis.uses_tls() => None,
        Some(pem) => Some(outbound::roots_in(pem.expose()).context(key)?),
        None => Some(outbound::roots_of_the_system()),
    };
    Ok(roots.map(outbound::tls_trusting))
}

/// Whether the service that Doorward replaces runs beside.
pub(crate) fn is_beside_old_service(config: &Config) -> bool {
    config.redis.as_ref().is_some_and(|redis| redis.beside_old_service)
}

/// The service that Doorward replaces, if it runs beside; looked after for as long as the runtime runs.
pub(crate) fn old_service(
    config: &Config,
    connection: Option<&Connection>,
) -> Option<Arc<OldService>> {
    let connection = connection.filter(|_| is_beside_old_service(config))?;
    let service = Arc::new(OldService::new(connection.clone()));
    let keeper = Arc::clone(&service);
    tokio::spawn(async move { keeper.keep().await });
    Some(service)
}

/// The same for a command that is over soon, on a connection of its own: it is waited for until it can
/// be asked, but not for ever.
///
/// # Errors
/// What no waiting would mend.
pub(crate) async fn reach_old_service(config: &Config) -> anyhow::Result<Option<Arc<OldService>>> {
    if !is_beside_old_service(config) {
        return Ok(None);
    }
    let Some(connection) = connect(config)? else { return Ok(None) };
    if tokio::time::timeout(CONNECT_TIMEOUT, connection.connected()).await.is_err() {
        eprintln!("doorward: the Redis of the old service cannot be reached");
    }
    Ok(Some(Arc::new(OldService::new(connection))))
}

/// Whom the admin API has to do with: Redis by `connection`, `old_service`, and the workers of `celery`.
pub(crate) fn neighbours(
    config: &Config,
    connection: Option<&Connection>,
    old_service: Option<Arc<OldService>>,
    celery: Option<Arc<CeleryWatch>>,
) -> Neighbours {
    let watch =
        |(redis, connection): (&Redis, &Connection)| Watch::new(connection, &redis.namespace);
    let redis = config.redis.as_ref().zip(connection).map(watch);
    let statuses = |(redis, connection): (&Redis, &Connection)| {
        Statuses::in_redis(connection, &redis.namespace, &config.status)
    };
    let statuses = config.redis.as_ref().zip(connection).map(statuses);
    Neighbours { old_service, redis, celery, statuses }
}

/// Tells the service that is replaced of what `api` has revoked and could not tell it yet, and Redis of
/// job status that was reported while that was away.
pub(crate) async fn tell_what_waits(api: &AdminApi) {
    if !api.has_told_old_service(TELL_WITHIN).await {
        tracing::error!(
            "the old service could not be told of all revoked tokens, and takes the rest until they \
             expire"
        );
    }
    let waiting = api.send_waiting_reports(TELL_WITHIN).await;
    if waiting > 0 {
        tracing::error!("{waiting} reports of job status waited for Redis, and are lost");
    }
}
