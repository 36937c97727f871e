//! The way to Redis: one multiplexed connection to each server, made again whenever it is lost.

use std::time::Duration;

use config::Redis;
use fred::clients::Client;
use fred::clients::WithOptions;
use fred::error::Error;
use fred::interfaces::ClientLike;
use fred::interfaces::EventInterface;
use fred::interfaces::PubsubInterface;
use fred::types::Builder;
use fred::types::ClusterHash;
use fred::types::CustomCommand;
use fred::types::FromValue;
use fred::types::Message;
use fred::types::Value;
use fred::types::config::Config;
use fred::types::config::Options;
use fred::types::config::ReconnectPolicy;
use fred::types::config::TcpConfig;
use fred::types::config::TlsConnector;
use fred::types::config::UnresponsiveConfig;
use fred::util::redis_keyslot;
use fred::util::sha1_hash;
use rustls::ClientConfig;
use tokio::sync::broadcast::Receiver;
use tokio::time::Instant;
use tokio::time::timeout;

pub use super::lost::Lost;

/// How long making a connection may take, its TLS and sign-in included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest pause between two attempts at a connection, in milliseconds; the first is 20.
const RECONNECT_MS_MAX: u32 = 1_000;

/// The most calls that wait for their turn on the connection.
pub const CALLS_WAITING_MAX: usize = 16_384;

/// The most messages that wait on a connection on which nobody listens: room is taken in advance.
const UNHEARD_MAX: usize = 32;

/// How long a connection may owe an answer before it is given up for another: far beyond any budget,
/// but no network forgets a connection as slowly as a peer that has vanished.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// The policy under which Redis, when it is full, keeps what it has.
const KEEPS_ALL: &str = "noeviction";

/// A connection to Redis. It is there at once, and does its best to be connected.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    bounded: WithOptions<Client>,
    budget: Duration,
}

/// A script that Redis carries out as one act.
#[derive(Debug)]
pub(crate) struct Script {
    text: &'static str,
    sha1: String,
}

impl Script {
    /// A script of this text.
    pub(crate) fn new(text: &'static str) -> Self {
        Self { text, sha1: sha1_hash(text) }
    }

    fn text(&self) -> &str {
        self.text
    }

    /// Its name in Redis, 40 hexadecimal digits.
    fn sha1(&self) -> &str {
        &self.sha1
    }
}

/// A configuration with which no connection can be made at all.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The URL is none that the client takes.
    #[error("the URL of Redis cannot be used")]
    Url(#[source] Error),
}

impl Connection {
    /// Begins to connect, and goes on doing so for ever; must be called within a runtime, which then
    /// carries the connection. `tls` is how servers prove who they are, where the URL asks for TLS.
    ///
    /// # Errors
    /// [`ConnectionError`]: only what no waiting would mend. A server that is not there is none.
    pub fn open(redis: &Redis, tls: Option<ClientConfig>) -> Result<Self, ConnectionError> {
        Self::open_to_listen(redis, tls, UNHEARD_MAX)
    }

    /// The same, with room for so many published messages that nobody has taken yet; the oldest are
    /// dropped.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub(crate) fn open_to_listen(
        redis: &Redis,
        tls: Option<ClientConfig>,
        waiting_max: usize,
    ) -> Result<Self, ConnectionError> {
        // Not the client's own idea of TLS, which reads all certificates of the system for itself.
        let url = redis.url.expose().replacen("rediss", "redis", 1);
        let mut config = Config::from_url(&url).map_err(ConnectionError::Url)?;
        config.fail_fast = false;
        config.tls = tls.map(|tls| TlsConnector::from(tls).into());
        let client = Builder::from_config(config)
            .with_connection_config(|connection| {
                connection.connection_timeout = CONNECT_TIMEOUT;
                connection.internal_command_timeout = CONNECT_TIMEOUT;
                // A counter that is asked twice counts twice.
                connection.max_command_attempts = 1;
                connection.max_command_buffer_len = CALLS_WAITING_MAX;
                connection.reconnect_on_auth_error = true;
                connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
                connection.unresponsive = UnresponsiveConfig {
                    max_timeout: Some(SILENCE_MAX),
                    interval: SILENCE_MAX / 4,
                };
            })
            .with_performance_config(|performance| {
                performance.broadcast_channel_capacity = waiting_max;
            })
            .set_policy(reconnecting())
            .build()
            .map_err(ConnectionError::Url)?;
        drop(client.connect());
        Ok(Self::bounded_by(redis.call_timeout, client))
    }

    /// The same connection, on which a call may take `budget`: for what no request waits for.
    pub fn within(&self, budget: Duration) -> Self {
        Self::bounded_by(budget, self.client.clone())
    }

    fn bounded_by(budget: Duration, client: Client) -> Self {
        let options = Options {
            max_attempts: Some(1),
            timeout: Some(budget),
            // What waits for a connection would be carried out long after anybody asked.
            fail_fast: true,
            ..Options::default()
        };
        Self { bounded: client.with_options(&options), client, budget }
    }

    /// What is published from now on, where it [listens](Self::listen).
    pub(crate) fn published(&self) -> Receiver<Message> {
        self.client.message_rx()
    }

    /// Has Redis send what is published on channels whose names match `pattern`. It does so until the
    /// connection is lost; to ask again does no harm.
    ///
    /// # Errors
    /// [`Lost`].
    pub(crate) async fn listen(&self, pattern: &str) -> Result<(), Lost> {
        self.bounded.psubscribe(pattern).await.map_err(|error| Lost::of(error, self.budget))
    }

    /// The same for the one channel of this name.
    ///
    /// # Errors
    /// [`Lost`].
    pub(crate) async fn listen_to(&self, channel: &str) -> Result<(), Lost> {
        self.bounded.subscribe(channel).await.map_err(|error| Lost::of(error, self.budget))
    }

    /// Another connection to the same server, with room for `waiting_max` messages that nobody has taken
    /// yet; past it the oldest are lost, and that is told. Nobody connects it yet.
    pub(crate) fn for_messages(&self, waiting_max: usize) -> Client {
        let mut performance = self.client.perf_config();
        performance.broadcast_channel_capacity = waiting_max;
        Client::new(
            self.client.client_config(),
            Some(performance),
            Some(self.client.connection_config().clone()),
            Some(reconnecting()),
        )
    }

    /// Waits until it is connected for the first time.
    ///
    /// # Errors
    /// [`Lost::Unreachable`] where it never will be.
    pub async fn connected(&self) -> Result<(), Lost> {
        self.client.wait_for_connect().await.map_err(|error| Lost::of(error, self.budget))
    }

    /// Has Redis carry out a script that it may know, by the script's SHA-1; once it is told the text
    /// it knows it. All of it is about `key`, and within one budget.
    ///
    /// # Errors
    /// [`Lost`].
    pub(crate) async fn run<R: FromValue>(
        &self,
        script: &Script,
        key: &str,
        arguments: Vec<Value>,
    ) -> Result<R, Lost> {
        self.run_on(script, &[key], arguments).await
    }

    /// The same about several keys, at least one, which lie in one slot.
    ///
    /// # Errors
    /// [`Lost`].
    pub(crate) async fn run_on<R: FromValue>(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: Vec<Value>,
    ) -> Result<R, Lost> {
        let slot = keys.first().map_or(0, |key| redis_keyslot(key.as_bytes()));
        let slot = ClusterHash::Custom(slot);
        let with = |script: &str| {
            let mut all = Vec::with_capacity(2 + keys.len() + arguments.len());
            all.extend([Value::from(script), Value::from(keys.len() as i64)]);
            all.extend(keys.iter().map(|key| Value::from(*key)));
            all.extend_from_slice(&arguments);
            all
        };
        // As commands of no known name: those for scripts are not carried out side by side, and know
        // of no time limit (fred 10.1 forgets `LuaInterface` for `WithOptions`).
        let by_name = CustomCommand::new_static("EVALSHA", slot.clone(), false);
        let begun = Instant::now();
        let answer = match self.bounded.custom(by_name, with(script.sha1())).await {
            // After a restart or SCRIPT FLUSH; nothing was done, so this is no second time.
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                let by_text = CustomCommand::new_static("EVAL", slot, false);
                let again = self.bounded.custom(by_text, with(script.text()));
                let left = self.budget.saturating_sub(begun.elapsed());
                timeout(left, again).await.map_err(|_| Lost::Late(self.budget))?
            }
            answer => answer,
        };
        answer.map_err(|error| Lost::of(error, self.budget))
    }

    /// Whether there is a key of that name, whatever it holds.
    ///
    /// # Errors
    /// [`Lost`].
    pub(crate) async fn has(&self, key: &str) -> Result<bool, Lost> {
        Ok(self.ask::<i64>("EXISTS", key, vec![key.into()]).await? > 0)
    }

    /// Puts a value under a key, in place of any other, for `seconds`, at least one.
    ///
    /// # Errors
    /// [`Lost`].
    pub(crate) async fn put(&self, key: &str, value: &str, seconds: u64) -> Result<(), Lost> {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        let words = vec![key.into(), value.into(), "EX".into(), seconds.into()];
        self.ask::<Value>("SET", key, words).await.map(drop)
    }

    /// Warns, once it can be asked, of a Redis that forgets keys when it is full.
    pub async fn warn_of_eviction(&self) {
        if self.connected().await.is_err() {
            return;
        }
        match self.eviction_policy().await {
            Ok(policy) if policy.is_empty() || policy == KEEPS_ALL => {}
            Ok(policy) => tracing::warn!(
                "Redis has `maxmemory-policy {policy}`: when it is full it forgets what it was told, \
                 and whoever was counted or revoked by it begins anew; with `{KEEPS_ALL}` it refuses"
            ),
            // A user of an access control list may often not ask.
            Err(lost) => tracing::debug!(
                error = lost.in_short(),
                "whether Redis forgets keys when it is full could not be asked"
            ),
        }
    }

    /// What Redis does when it is full, such as `noeviction`; empty where it does not say.
    pub(crate) async fn eviction_policy(&self) -> Result<String, Lost> {
        let info = CustomCommand::new_static("INFO", ClusterHash::Random, false);
        let memory = vec![Value::from_static_str("memory")];
        let info: String = self
            .bounded
            .custom(info, memory)
            .await
            .map_err(|error| Lost::of(error, self.budget))?;
        let policy = info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"));
        Ok(policy.unwrap_or_default().trim().to_owned())
    }

    /// Has Redis carry out one command: its name, then `words`, of which those that are keys are `key`.
    ///
    /// # Errors
    /// [`Lost`].
    pub(crate) async fn ask<R: FromValue>(
        &self,
        command: &'static str,
        key: &str,
        words: Vec<Value>,
    ) -> Result<R, Lost> {
        let slot = ClusterHash::Custom(redis_keyslot(key.as_bytes()));
        let command = CustomCommand::new_static(command, slot, false);
        self.bounded.custom(command, words).await.map_err(|error| Lost::of(error, self.budget))
    }

    /// Gives the present connections up for new ones: after a failover, behind the same name, another
    /// server may be the one that works.
    pub(crate) async fn begin_anew(&self) {
        // It fails where there is none, and then one is being made.
        let _ = self.client.force_reconnection().await;
    }
}

/// Again and again, after longer and longer pauses, for ever.
fn reconnecting() -> ReconnectPolicy {
    ReconnectPolicy::new_exponential(0, 20, RECONNECT_MS_MAX, 2)
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The client would show where it is connected to, and as whom.
        f.debug_struct("Connection").field("budget", &self.budget).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use kernel::secret::Secret;
    use test_support::redis::RedisServer;
    use tokio::sync::broadcast::error::TryRecvError;
    use tokio::time::timeout;

    use super::*;
    use crate::redis::broker::REQUESTS_WAITING_MAX;
    use crate::redis::celery::EVENTS_WAITING_MAX;
    use crate::redis::status::hints::MESSAGES_AT_ONCE_MAX;

    /// How long what was published may be on its way.
    const HEARD_WITHIN: Duration = Duration::from_secs(30);

    /// Waits until `count` messages wait for whoever has `published`.
    async fn wait_for(published: &Receiver<Message>, count: usize) {
        let all = poll_fn(|context| match published.len() >= count {
            true => Poll::Ready(()),
            false => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        });
        timeout(HEARD_WITHIN, all).await.expect("all of them arrive");
    }

    /// Publishes that many, each its number from 1.
    fn publish(redis: &RedisServer, count: usize) {
        let script = "for n = 1, tonumber(ARGV[1]) do redis.call('PUBLISH', 'news', n) end";
        redis.command(&["EVAL", script, "0", &count.to_string()]).expect("it answers");
    }

    /// Sees to it that `waiting_max` messages wait for a listener, and of one more the oldest is lost.
    async fn check(redis: &RedisServer, mut published: Receiver<Message>, waiting_max: usize) {
        publish(redis, waiting_max);
        wait_for(&published, waiting_max).await;
        for number in 1..=waiting_max {
            let message = published.try_recv().expect("none is lost");
            assert_eq!(message.value.as_usize(), Some(number));
        }
        publish(redis, waiting_max + 1);
        wait_for(&published, waiting_max + 1).await;
        assert_eq!(published.try_recv().expect_err("one too many"), TryRecvError::Lagged(1));
        let first = published.try_recv().expect("the others are there");
        assert_eq!(first.value.as_usize(), Some(2));
    }

    #[tokio::test]
    async fn as_many_messages_wait_as_whoever_listens_has_asked_for() {
        let redis = RedisServer::start();
        let at = Redis::at(Secret::new(redis.url()));
        for waiting_max in [4, REQUESTS_WAITING_MAX, EVENTS_WAITING_MAX] {
            let ear = Connection::open_to_listen(&at, None, waiting_max).expect("a URL");
            ear.connected().await.expect("Redis is there");
            let published = ear.published();
            ear.within(HEARD_WITHIN).listen_to("news").await.expect("it listens");
            check(&redis, published, waiting_max).await;
        }
    }

    #[tokio::test]
    async fn one_for_messages_has_room_for_many_though_the_one_that_it_is_made_of_has_not() {
        let redis = RedisServer::start();
        let connection = Connection::open(&Redis::at(Secret::new(redis.url())), None);
        let client = connection.expect("a URL").for_messages(MESSAGES_AT_ONCE_MAX);
        let published = client.message_rx();
        drop(client.connect());
        client.wait_for_connect().await.expect("Redis is there");
        client.subscribe("news").await.expect("it listens");
        check(&redis, published, MESSAGES_AT_ONCE_MAX).await;
    }
}
