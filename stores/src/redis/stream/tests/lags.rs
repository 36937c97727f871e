//! What an edge says of when it heard things, where it can only look at them later.

use super::edges::Edge;
use super::*;
use crate::redis::stream::follow::ENTRIES_KEPT_MAX;

/// How long after its act a row is heard.
const LAG: Duration = Duration::from_millis(5);

/// How long the feed goes on hanging after that.
const HANG: Duration = Duration::from_secs(10);

/// An edge whose clock stands still, and the log that it follows.
struct Scene {
    _server: RedisServer,
    log: Log,
    publisher: StreamPublisher,
    edge: Edge,
    clock: Arc<Mutex<Timestamp>>,
    lags: Arc<Mutex<Vec<Duration>>>,
}

impl Scene {
    async fn new() -> Self {
        let server = RedisServer::start();
        let (log, publisher) = (Log::default(), publisher(&server));
        let clock = Arc::new(Mutex::new(now()));
        let lags: Arc<Mutex<Vec<Duration>>> = Arc::default();
        let (time, told) = (Arc::clone(&clock), Arc::clone(&lags));
        let witness = Arc::new(move |lag| told.lock().push(lag));
        let edge = Edge::start_at(server.url(), &log, move || *time.lock(), witness);
        edge.until("ready", |set| set.is_ready()).await;
        Self { _server: server, log, publisher, edge, clock, lags }
    }

    /// Has time pass; returns what time it was.
    fn pass(&self, time: Duration) -> Timestamp {
        let mut clock = self.clock.lock();
        let before = *clock;
        *clock = before.plus(time);
        before
    }

    /// Publishes a row of an act at `at`, and waits until it is in force.
    async fn hear_row(&self, at: Timestamp) {
        let in_force = self.edge.set.len() + 1;
        publish(&self.publisher, &[self.log.write_at(at)]).await;
        self.edge.holds(in_force).await;
    }

    /// How long rows took after the first two, once it was told of `count` of them.
    async fn lags(&self, count: usize) -> Vec<Duration> {
        self.edge.until("measured", |_| self.lags.lock().len() == 2 + count).await;
        self.lags.lock().split_off(2)
    }
}

/// What an edge says of `count` rows, each of which is heard [`LAG`] after its act, while the feed hangs.
async fn lags_of(count: usize) -> Vec<Duration> {
    let scene = Scene::new().await;
    let hanging = scene.edge.read(&scene.log, &scene.publisher).await;
    let acted_at = scene.pass(LAG);
    for _ in 0..count {
        scene.hear_row(acted_at).await;
    }
    scene.pass(HANG);
    drop(hanging);
    scene.lags(count).await
}

#[tokio::test]
async fn rows_in_force_within_milliseconds_are_not_said_to_have_taken_as_long_as_the_feed_hung() {
    assert_eq!(lags_of(ENTRIES_KEPT_MAX).await, [LAG; ENTRIES_KEPT_MAX]);
}

/// The first one is dropped, so that all of them are read once more.
#[tokio::test]
async fn rows_of_more_frames_than_are_kept_are_measured_by_when_they_are_read_off_the_feed() {
    let lags = lags_of(ENTRIES_KEPT_MAX + 1).await;
    assert_eq!(lags, [LAG + HANG; ENTRIES_KEPT_MAX + 1]);
}

#[tokio::test]
async fn a_heartbeat_of_a_clock_ahead_makes_a_set_no_newer_than_when_it_was_heard() {
    let scene = Scene::new().await;
    let hanging = scene.edge.read(&scene.log, &scene.publisher).await;
    scene.pass(LAG);
    let heard_at = scene.pass(Duration::ZERO);
    let ahead = heard_at.plus(Duration::from_secs(3600));
    beat(&scene.publisher, scene.log.last(), ahead).await;
    // After it, so that it was heard before time passes.
    scene.hear_row(heard_at).await;
    scene.pass(HANG);
    drop(hanging);
    assert_eq!(scene.lags(1).await, [Duration::ZERO]);
    assert_eq!(scene.edge.set.heard_at(), heard_at);
}
