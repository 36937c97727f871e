//! A worker is seen: says how it is, hears what it is asked, and answers.

use config::Celery;
use fred::types::Message;
use fred::types::Value;
use kernel::celery::event::WorkerEvent;
use kernel::celery::pidbox::Reply;
use kernel::celery::pidbox::ReplyTo;
use kernel::celery::pidbox::Request;
use rustls::ClientConfig;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

use super::books::Broker;
use crate::redis::connection::CONNECT_TIMEOUT;
use crate::redis::connection::Connection;
use crate::redis::connection::ConnectionError;
use crate::redis::connection::Lost;

/// The most requests that wait to be read; the oldest are dropped, and whoever asked asks again.
pub const REQUESTS_WAITING_MAX: usize = 1_024;

/// How long answers wait for whoever asked, in seconds; as long as Celery's own.
pub const PONGS_KEPT_S: i64 = 10;

/// Hears what all workers of an installation are asked.
#[derive(Debug)]
pub struct Ear {
    connection: Connection,
    channel: String,
    published: Receiver<Message>,
}

impl Ear {
    /// Begins to connect to the broker of `celery`; must be called within a runtime, as
    /// [`Connection::open`].
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub fn open(celery: &Celery, tls: Option<ClientConfig>) -> Result<Self, ConnectionError> {
        let broker = celery.broker(CONNECT_TIMEOUT);
        let connection = Connection::open_to_listen(&broker, tls, REQUESTS_WAITING_MAX)?;
        let published = connection.published();
        Ok(Self { connection, channel: celery.names().pidbox(), published })
    }

    /// Waits until it is connected for the first time.
    ///
    /// # Errors
    /// [`Lost::Unreachable`] where it never will be.
    pub async fn connected(&self) -> Result<(), Lost> {
        self.connection.connected().await
    }

    /// Has Redis send what is asked until the connection is lost; to ask again does no harm.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn listen(&self) -> Result<(), Lost> {
        self.connection.listen_to(&self.channel).await
    }

    /// The next request that can be read; it never comes to an end.
    pub async fn next(&mut self) -> Request {
        loop {
            match self.published.recv().await {
                Ok(message) => {
                    let text = message.value.as_bytes().unwrap_or_default();
                    if let Ok(request) = Request::read(text) {
                        return request;
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                // The connection has ended, for good: at a shutdown.
                Err(RecvError::Closed) => return std::future::pending().await,
            }
        }
    }
}

impl Broker {
    /// Says to whoever listens how this worker is.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn say(&self, event: &WorkerEvent) -> Result<(), Lost> {
        let channel = self.names.events(event.kind.routing_key());
        let text = event.write(&Uuid::new_v4().to_string());
        let words = vec![channel.as_str().into(), text.into()];
        self.connection.ask::<Value>("PUBLISH", &channel, words).await.map(drop)
    }

    /// Answers whoever asked.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn answer(&self, to: &ReplyTo, reply: &Reply) -> Result<(), Lost> {
        let list = self.names.queue(&to.queue(), 0);
        let text = reply.write(to, &Uuid::new_v4().to_string());
        let words = vec![text.into(), PONGS_KEPT_S.into()];
        self.connection.run::<Value>(&self.scripts().pong, &list, words).await.map(drop)
    }
}
