//! Whether Redis does what a fleet needs of it, for people who ask.

use std::sync::Arc;
use std::time::Duration;

use crate::redis::connection::Connection;
use crate::redis::connection::Lost;

/// How long an answer may take.
pub const BUDGET: Duration = Duration::from_secs(2);

/// How long what was written is kept, in seconds.
const KEPT_S: u64 = 60;

/// A Redis that is looked at now and then.
#[derive(Clone, Debug)]
pub struct Watch {
    connection: Connection,
    key: Arc<str>,
}

impl Watch {
    /// Looks by `connection`, with keys that begin with `namespace`.
    pub fn new(connection: &Connection, namespace: &str) -> Self {
        let connection = connection.within(BUDGET);
        Self { connection, key: format!("{{{namespace}:#watch}}").into() }
    }

    /// Whether Redis carries out a write: one that only answers is of no use to limits.
    ///
    /// # Errors
    /// [`Lost`] says what is wrong with it, within [`BUDGET`].
    pub async fn works(&self) -> Result<(), Lost> {
        self.connection.put(&self.key, "1", KEPT_S).await
    }
}

#[cfg(test)]
mod tests {
    use config::Redis;
    use kernel::secret::Secret;
    use test_support::redis::RedisServer;

    use super::*;

    #[tokio::test]
    async fn a_redis_works_that_can_be_written_to_whatever_is_wrong_with_it_is_said() {
        let mut server = RedisServer::start();
        let redis = Redis::at(Secret::new(server.url()));
        let connection = Connection::open(&redis, None).expect("a URL");
        connection.connected().await.expect("Redis is there");
        let watch = Watch::new(&connection, "doorward");
        assert!(watch.works().await.is_ok());
        server.command(&["REPLICAOF", "127.0.0.1", "1"]).expect("it answers");
        let lost = watch.works().await;
        assert!(matches!(lost, Err(Lost::Refused(_))), "{lost:?}");
        server.command(&["REPLICAOF", "NO", "ONE"]).expect("it answers");
        assert!(watch.works().await.is_ok());
        server.pause();
        let lost = watch.works().await;
        assert!(matches!(lost, Err(Lost::Late(BUDGET) | Lost::Unreachable(_))), "{lost:?}");
        server.resume();
        server.stop();
        let lost = watch.works().await;
        assert!(matches!(lost, Err(Lost::Unreachable(_) | Lost::Late(_))), "{lost:?}");
    }
}
