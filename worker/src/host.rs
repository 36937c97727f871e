//! A worker from its start to its end.

use std::io;
use std::sync::Arc;

use stores::redis::broker::Broker;
use stores::redis::broker::Ear;
use stores::redis::connection::CONNECT_TIMEOUT;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::desk::Desk;
use crate::figures::Figures;
use crate::pool::Pool;
use crate::presence::Presence;
use crate::task::Registry;
use crate::terms::Terms;

/// A worker.
#[derive(Debug)]
pub struct Host {
    broker: Arc<Broker>,
    ear: Ear,
    registry: Registry,
    terms: Terms,
    figures: Arc<Figures>,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How many tasks were given back at which it still was.
    pub unfinished: usize,
}

impl Host {
    /// A worker at `broker` that knows the tasks of `registry`; `ear` hears what it is asked, and `figures`
    /// say how it does.
    pub fn new(
        broker: Broker,
        ear: Ear,
        registry: Registry,
        terms: Terms,
        figures: Arc<Figures>,
    ) -> Self {
        Self { broker: Arc::new(broker), ear, registry, terms, figures }
    }

    /// Works until `stop`; then it takes nothing new, finishes what it is at, as far as there is time and
    /// nobody is in a `hurry`, and gives back the rest.
    ///
    /// # Errors
    /// The system gives no threads.
    pub async fn work(
        self,
        stop: impl Future<Output = ()>,
        hurry: impl Future<Output = ()>,
    ) -> io::Result<Ended> {
        let Self { broker, ear, registry, terms, figures } = self;
        figures.knows(registry.names());
        // As many at most as there are messages in hand.
        let (done, ended) = mpsc::unbounded_channel();
        let pool = Pool::start(terms.concurrency, &done)?;
        let presence = Presence::new(Arc::clone(&broker), &terms.name, Arc::clone(&figures));
        let connection = broker.connection().clone();
        let mut desk = Desk::new(broker, registry, terms, pool, ended, figures);
        let unfinished = tokio::select! {
            () = presence.keep(ear) => 0,
            unfinished = async {
                // It is there at once, and connected a little later.
                let _ = timeout(CONNECT_TIMEOUT, connection.connected()).await;
                desk.work(stop).await;
                desk.close(hurry).await
            } => unfinished,
        };
        presence.leave().await;
        Ok(Ended { unfinished })
    }
}
