//! Looks after it all in the background, and shows what was last seen.

use std::sync::Arc;
use std::time::Duration;

use config::Celery;
use kernel::celery::Names;
use kernel::celery::event::WorkerEvent;
use kernel::time::Timestamp;
use kernel::time::now;
use kernel::time::uptime;
use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio::time::timeout;

use super::ping::Asker;
use super::queues::InFlight;
use super::queues::Queues;
use super::roster::Roster;
use super::workers::Queue;
use super::workers::Verdict;
use super::workers::Workers;
use crate::redis::connection::CONNECT_TIMEOUT;
use crate::redis::connection::Connection;
use crate::redis::connection::ConnectionError;
use crate::redis::connection::Lost;

/// How often workers are asked.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How soon a broker that gave no answer is asked again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How often what is known is shown anew, and Redis told again what is listened for: after another
/// connection was made, that is how it knows.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// How long one call may take.
const BUDGET: Duration = Duration::from_secs(2);

/// The most events that wait to be read; the oldest are dropped, and a worker is alive by the next.
pub const EVENTS_WAITING_MAX: usize = 1_024;

/// What was seen longer ago is not shown: nobody looks any more.
const SHOWN_FOR: Duration = Duration::from_secs(60);

/// Watches a Celery installation.
#[derive(Debug)]
pub struct CeleryWatch {
    asker: Asker,
    /// A connection of its own: one that listens does nothing else.
    ear: Connection,
    names: Names,
    roster: Mutex<Roster>,
    queues: tokio::sync::Mutex<Queues>,
    last: Mutex<Look>,
    /// The broker seems to be away.
    worried: Notify,
    shown: watch::Sender<Option<(Duration, Arc<Workers>)>>,
}

/// What was last seen, but for the workers.
#[derive(Debug, Default)]
struct Look {
    /// When, by both clocks; never yet where there is none.
    at: Option<(Duration, Timestamp)>,
    lost: Option<Arc<Lost>>,
    connected: u64,
    queues: Vec<Queue>,
    in_flight: Option<InFlight>,
}

impl CeleryWatch {
    /// Begins to connect to the broker of `celery`; must be called within a runtime, as
    /// [`Connection::open`]. Nothing is seen unless it is [kept](Self::keep).
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub fn open(celery: &Celery, tls: Option<ClientConfig>) -> Result<Self, ConnectionError> {
        let broker = celery.broker(BUDGET);
        let names = celery.names();
        let connection = Connection::open(&broker, tls.clone())?;
        let queues = celery.queues.iter().map(|name| Queue::unknown(name)).collect();
        Ok(Self {
            asker: Asker::new(connection, names.clone()),
            ear: Connection::open_to_listen(&broker, tls, EVENTS_WAITING_MAX)?,
            queues: tokio::sync::Mutex::new(Queues::new(names.clone(), celery.queues.clone())),
            names,
            roster: Mutex::default(),
            last: Mutex::new(Look { queues, ..Look::default() }),
            worried: Notify::new(),
            shown: watch::Sender::new(None),
        })
    }

    /// What was last seen. Nobody is asked for it; only before the first look it waits for that, as
    /// long as a call may take. None where nobody looks, or none came to an end yet.
    pub async fn workers(&self) -> Option<Arc<Workers>> {
        let mut shown = self.shown.subscribe();
        let _ = timeout(BUDGET, shown.wait_for(Option::is_some)).await;
        self.latest()
    }

    /// The same, without waiting.
    pub fn latest(&self) -> Option<Arc<Workers>> {
        self.shown_at(uptime())
    }

    /// The same, where the machine has been up for `now`.
    pub(super) fn shown_at(&self, now: Duration) -> Option<Arc<Workers>> {
        let (at, workers) = self.shown.borrow().clone()?;
        (now.saturating_sub(at) < SHOWN_FOR).then_some(workers)
    }

    /// Looks until `shutdown`, and then leaves nothing behind in Redis.
    pub async fn keep(&self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = self.listen() => {}
            () = self.look_again_and_again() => {}
            () = shutdown => {}
        }
        let _ = self.asker.clear().await;
    }

    async fn look_again_and_again(&self) {
        // It is there at once, and connected a little later.
        let _ = timeout(CONNECT_TIMEOUT, self.asker.connection().connected()).await;
        loop {
            let pause = self.round().await;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.worried.notified() => {}
            }
        }
    }

    /// Looks, and shows what was seen; says how long to wait before the next time. A broker that gives an
    /// answer, whatever it is, is not asked the sooner for it: workers would be.
    pub(super) async fn round(&self) -> Duration {
        let mut pause = LOOK_EVERY;
        if let Err(lost) = self.look().await {
            if lost.is_silence() {
                pause = AGAIN_AFTER;
            }
            self.note_lost(lost);
        }
        self.show();
        // Also after a failure: the question may have come through.
        let _ = self.asker.clear().await;
        pause
    }

    async fn look(&self) -> Result<(), Lost> {
        let asked = self.asker.ask().await?;
        let at = uptime();
        let names = asked.answered.iter().map(String::as_str);
        // First: what workers have answered holds, whatever comes of the rest.
        self.roster.lock().asked(names, asked.connected, at);
        let (connection, mut watched) = (self.asker.connection(), self.queues.lock().await);
        let queues = watched.look(connection, at).await?;
        let in_flight = watched.in_flight(connection, now()).await?;
        let look = Look {
            at: Some((at, now())),
            lost: None,
            connected: asked.connected,
            queues,
            in_flight,
        };
        let before = std::mem::replace(&mut *self.last.lock(), look);
        if before.lost.is_some() {
            tracing::info!("the Celery broker answers again");
        }
        Ok(())
    }

    fn note_lost(&self, lost: Lost) {
        let mut last = self.last.lock();
        if last.lost.is_none() {
            tracing::warn!(
                error = lost.in_short(),
                "the Celery broker gives no answer: nothing is known of workers until it does"
            );
        }
        last.lost = Some(Arc::new(lost));
        last.at = Some((uptime(), now()));
        (last.connected, last.in_flight) = (0, None);
        last.queues.iter_mut().for_each(|queue| *queue = Queue::unknown(&queue.name));
    }

    /// Hears what workers say of themselves, for as long as this runs.
    async fn listen(&self) {
        let mut published = self.ear.published();
        let _ = timeout(CONNECT_TIMEOUT, self.ear.connected()).await;
        let mut hears = true;
        let mut again = interval(SHOW_EVERY);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = published.recv() => match message {
                    Ok(message) => {
                        let text = message.value.as_bytes().unwrap_or_default();
                        if let Ok(event) = WorkerEvent::read(text) {
                            self.roster.lock().heard(event, uptime());
                        }
                    }
                    Err(RecvError::Lagged(_)) => {}
                    // The connection has ended, for good: at a shutdown.
                    Err(RecvError::Closed) => return std::future::pending().await,
                },
                _ = again.tick() => {
                    match self.ear.listen(&self.names.worker_events()).await {
                        Ok(()) => hears = true,
                        Err(lost) if hears => {
                            hears = false;
                            self.note_deaf(lost);
                        }
                        Err(_) => {}
                    }
                    self.show();
                }
            }
        }
    }

    /// Heartbeats cannot arrive: workers who send them must not be called gone for it. Whether the
    /// broker is away altogether, the next look says, and that is made at once.
    fn note_deaf(&self, lost: Lost) {
        tracing::warn!(
            error = lost.in_short(),
            "heartbeats of Celery workers are not heard: until they are, workers are judged by their \
             answers alone"
        );
        if lost.is_silence() {
            self.note_lost(lost);
        }
        self.worried.notify_one();
    }

    /// Waits until it is connected.
    #[cfg(test)]
    pub(super) async fn connected(&self) {
        self.asker.connection().connected().await.expect("the broker is there");
    }

    /// Shows what is known now, once there was a look.
    fn show(&self) {
        let roster = self.roster.lock();
        let last = self.last.lock();
        let Some((at, looked_at)) = last.at else { return };
        let mut workers = roster.workers(uptime());
        if last.lost.is_some() {
            for worker in &mut workers {
                worker.verdict = Verdict::Unknown;
            }
        }
        let workers = Workers {
            looked_at,
            lost: last.lost.clone(),
            connected: last.connected,
            workers,
            left_out: roster.left_out(),
            queues: last.queues.clone(),
            in_flight: last.in_flight.map(|in_flight| in_flight.count),
            oldest_in_flight: last.in_flight.and_then(|in_flight| in_flight.oldest),
        };
        self.shown.send_replace(Some((at, Arc::new(workers))));
    }
}
