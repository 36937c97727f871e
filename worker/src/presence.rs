//! Is seen by whoever looks for workers: says that it is there, and answers when it is asked.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kernel::celery::event::FREQ;
use kernel::celery::event::Kind;
use kernel::celery::event::WorkerEvent;
use kernel::celery::pidbox::PING;
use kernel::celery::pidbox::Reply;
use kernel::celery::pidbox::Request;
use kernel::time::now;
use stores::redis::broker::Broker;
use stores::redis::broker::Ear;
use stores::redis::connection::CONNECT_TIMEOUT;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio::time::timeout;

use crate::figures::Figures;

/// How often Redis is told what is listened for: after another connection was made, that is how it knows.
const LISTEN_EVERY: Duration = Duration::from_secs(1);

/// A worker as others see it.
#[derive(Debug)]
pub(crate) struct Presence {
    broker: Arc<Broker>,
    hostname: String,
    figures: Arc<Figures>,
    /// Its logical clock: ahead of all that it has heard.
    clock: AtomicU64,
}

impl Presence {
    pub(crate) fn new(broker: Arc<Broker>, hostname: &str, figures: Arc<Figures>) -> Self {
        Self { broker, hostname: hostname.to_owned(), figures, clock: AtomicU64::new(1) }
    }

    /// Is there for as long as this runs.
    pub(crate) async fn keep(&self, mut ear: Ear) {
        let broker = self.broker.connection();
        let _ = timeout(CONNECT_TIMEOUT, broker.connected()).await;
        let _ = timeout(CONNECT_TIMEOUT, ear.connected()).await;
        self.say(Kind::Online).await;
        let [mut beat, mut listen] = [FREQ, LISTEN_EVERY].map(interval);
        for every in [&mut beat, &mut listen] {
            every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                request = ear.next() => self.answer(&request).await,
                // Where Redis gives no answer, whoever takes tasks says so.
                _ = listen.tick() => drop(ear.listen().await),
                _ = beat.tick() => self.say(Kind::Heartbeat).await,
            }
        }
    }

    /// Goes.
    pub(crate) async fn leave(&self) {
        self.say(Kind::Offline).await;
    }

    async fn say(&self, kind: Kind) {
        let event = WorkerEvent {
            kind,
            hostname: self.hostname.clone(),
            pid: std::process::id(),
            clock: self.clock.fetch_add(1, Ordering::Relaxed),
            freq: FREQ,
            active: self.figures.active(),
            processed: self.figures.processed(),
            load: load(),
            software: "doorward".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: now(),
        };
        // The next one may come through.
        let _ = self.broker.say(&event).await;
    }

    async fn answer(&self, request: &Request) {
        let clock = self.clock.fetch_max(request.clock, Ordering::Relaxed).max(request.clock) + 1;
        let is_late = request.expires.is_some_and(|at| at <= now());
        let is_for_us = request.to.is(&self.hostname);
        if request.method != PING || is_late || !is_for_us {
            return;
        }
        if let Some(to) = &request.reply_to {
            let reply = Reply::pong(&self.hostname, request.ticket.clone(), clock);
            // Whoever asked asks again.
            let _ = self.broker.answer(to, &reply).await;
        }
    }
}

/// How much the machine has to do; zeroes where it does not say.
fn load() -> [f64; 3] {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut numbers = text.split(' ').map_while(|word| word.parse().ok());
    std::array::from_fn(|_| numbers.next().unwrap_or_default())
}
