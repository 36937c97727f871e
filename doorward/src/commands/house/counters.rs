//! Where the gateway counts: in its memory, or in the Redis of a fleet.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use config::Config;
use config::Redis;
use gateway::limit::counters::Counters;
use gateway::limit::counters::keys_max;
use kernel::random;
use kernel::time;
use stores::redis::connection::Connection;
use stores::redis::quotas::Clock;
use stores::redis::quotas::RedisQuotas;
use stores::shared::SharedQuotas;

/// How long a start waits for Redis.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// How long giving back what a gateway has taken ahead may take; what is not given back by then stays
/// counted.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// A gateway's part in the counters of a fleet.
pub(crate) struct Share {
    shared: Arc<SharedQuotas>,
}

/// Opens the counters of `config`, and what is to be closed at the end. Redis need not be there.
///
/// # Errors
/// What no waiting would mend.
pub(crate) async fn open(config: &Config) -> anyhow::Result<(Counters, Option<Share>)> {
    let Some(redis) = &config.redis else {
        return Ok((Counters::here(config), None));
    };
    let connection = connect(redis)?;
    // Whoever comes first is to be counted with the fleet, too.
    if !matches!(tokio::time::timeout(CONNECT_WITHIN, connection.connected()).await, Ok(Ok(()))) {
        tracing::warn!(
            "Redis cannot be reached yet: until it is, routes do as their on_store_loss says"
        );
    }
    let store = RedisQuotas::new(connection, &redis.namespace, Clock::OfTheServer);
    let holder = random::bytes().context("the system has no random numbers")?;
    let shared = SharedQuotas::new(store, keys_max(config), holder, time::uptime);
    let shared = Arc::new(shared);
    let keeper = Arc::clone(&shared);
    tokio::spawn(async move { keeper.keep(time::now).await });
    Ok((Counters::Shared(Arc::clone(&shared)), Some(Share { shared })))
}

/// A connection to the Redis of a fleet.
///
/// # Errors
/// What no waiting would mend.
pub(crate) fn connect(redis: &Redis) -> anyhow::Result<Connection> {
    let roots = match &redis.ca {
        _ if !redis.uses_tls() => None,
        Some(pem) => Some(outbound::roots_in(pem.expose()).context("`redis.ca`")?),
        None => Some(outbound::roots_of_the_system()),
    };
    Ok(Connection::open(redis, roots.map(outbound::tls_trusting))?)
}

impl Share {
    /// Gives back what was taken ahead.
    pub(crate) async fn close(self) {
        let closed = self.shared.close(time::now());
        if tokio::time::timeout(CLOSE_WITHIN, closed).await.is_err() {
            tracing::warn!("what was taken ahead of limits could not all be given back in time");
        }
    }
}
