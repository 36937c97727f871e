//! Where the gateway counts: in its memory, or in the Redis of a fleet.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use config::Config;
use gateway::limit::counters::Counters;
use gateway::limit::counters::keys_max;
use kernel::random;
use kernel::time;
use stores::redis::connection::Connection;
use stores::redis::quotas::Clock;
use stores::redis::quotas::RedisQuotas;
use stores::shared::SharedQuotas;

/// How long giving back what a gateway has taken ahead may take; what is not given back by then stays
/// counted.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// A gateway's part in the counters of a fleet.
#[derive(Clone)]
pub(crate) struct Share {
    shared: Arc<SharedQuotas>,
}

/// Opens the counters of `config`, and what is to be closed at the end; `connection` is that to its
/// Redis, which need not be there.
///
/// # Errors
/// What no waiting would mend.
pub(crate) fn open(
    config: &Config,
    connection: Option<Connection>,
) -> anyhow::Result<(Counters, Option<Share>)> {
    let (Some(redis), Some(connection)) = (&config.redis, connection) else {
        return Ok((Counters::here(config), None));
    };
    let store = RedisQuotas::new(connection, &redis.namespace, Clock::OfTheServer);
    let holder = random::bytes().context("the system has no random numbers")?;
    let shared = SharedQuotas::new(store, keys_max(config), holder, time::uptime);
    let shared = Arc::new(shared);
    let keeper = Arc::clone(&shared);
    tokio::spawn(async move { keeper.keep(time::now).await });
    Ok((Counters::Shared(Arc::clone(&shared)), Some(Share { shared })))
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
