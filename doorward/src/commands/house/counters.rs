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
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long giving back what a gateway has taken ahead may take; what is not given back by then stays
/// counted.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// A gateway's part in the counters of a fleet, of which the others do not know yet.
#[derive(Clone)]
pub(crate) struct Share {
    shared: Arc<SharedQuotas>,
}

/// The same at work: the others hear of it.
pub(crate) struct KeptShare {
    shared: Arc<SharedQuotas>,
    at_work: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

/// Makes the counters of `config`, and what is to be kept once clients are let in; `connection` is that
/// to its Redis, which need not be there.
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
    Ok((Counters::Shared(Arc::clone(&shared)), Some(Share { shared })))
}

impl Share {
    /// Says that this gateway is there, and looks after its counters from now on.
    pub(crate) fn keep(self) -> KeptShare {
        let Self { shared } = self;
        let (stop, stops) = watch::channel(false);
        let keeper = Arc::clone(&shared);
        let at_work = tokio::spawn(async move { keeper.keep(time::now, stops).await });
        KeptShare { shared, at_work, stop }
    }
}

impl KeptShare {
    /// Gives back what was taken ahead.
    pub(crate) async fn close(self) {
        let Self { shared, at_work, stop } = self;
        let closed = async {
            // First: it may be settling something, and would go on saying that this gateway is there.
            stop.send_replace(true);
            let _ = at_work.await;
            shared.close(time::now()).await;
        };
        if tokio::time::timeout(CLOSE_WITHIN, closed).await.is_err() {
            tracing::warn!("what was taken ahead of limits could not all be given back in time");
        }
    }
}
