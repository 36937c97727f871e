//! Edges that follow a log by the stream, while things go wrong.

use kernel::revocation::RevocationSet;
use kernel::revocation::follower::Follower;
use kernel::revocation::follower::LagWitness;
use test_support::link::Link;
use test_support::redis::RedisCluster;
use tokio::sync::SemaphorePermit;
use tokio::task::JoinHandle;

use super::*;
use crate::redis::stream::follow::ENTRIES_KEPT_MAX;
use crate::redis::stream::follow::follow;
use crate::redis::stream::reader::StreamReader;

/// An edge on a task of its own.
pub(super) struct Edge {
    pub(super) set: Arc<RevocationSet>,
    task: JoinHandle<()>,
}

impl Edge {
    /// One that reads the stream at `url`, and has `log` for the truth.
    fn start(url: String, log: &Log) -> Self {
        Self::start_at(url, log, now, Arc::new(|_| {}))
    }

    /// The same, at which it is what `time` says, and which tells `witness` how long rows took.
    pub(super) fn start_at(
        url: String,
        log: &Log,
        time: impl Fn() -> Timestamp + Send + 'static,
        witness: LagWitness,
    ) -> Self {
        let set = Arc::new(RevocationSet::default());
        let reader = StreamReader::open(&at_url(url), None).expect("a URL");
        let follower = Follower::new(Arc::clone(&set)).witnessed_by(witness);
        let task = tokio::spawn(follow(reader, follower, log.clone(), time));
        Self { set, task }
    }

    /// One that hears the stream.
    async fn hearing(url: String, log: &Log, publisher: &StreamPublisher) -> Self {
        let edge = Self::start(url, log);
        edge.until("ready", |set| set.is_ready()).await;
        edge.hears(log, publisher).await;
        edge
    }

    /// Has it hear of row 2, and read rows of `log` up to there, which gives none until the permit is
    /// dropped.
    pub(super) async fn read<'l>(
        &self,
        log: &'l Log,
        publisher: &StreamPublisher,
    ) -> SemaphorePermit<'l> {
        log.is_away.store(1, Ordering::Relaxed);
        let rows = log.write_many(2);
        publish(publisher, &rows[1..]).await;
        self.holds(1).await;
        let hanging = log.row_answers.acquire().await.expect("it is never closed");
        log.is_away.store(0, Ordering::Relaxed);
        self.until("asking for rows", |_| log.asked_for_rows() == 1).await;
        hanging
    }

    /// Waits until a heartbeat got through, which alone moves the time within a second of another.
    async fn hears(&self, log: &Log, publisher: &StreamPublisher) {
        let ahead = now().plus(Duration::from_secs(3600));
        let hears = async {
            loop {
                let asked = log.asked();
                let before = now();
                beat(publisher, log.last(), ahead).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
                if self.set.heard_at() >= before && log.asked() == asked {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), hears).await.expect("it hears");
    }

    pub(super) async fn until(&self, what: &str, holds: impl Fn(&RevocationSet) -> bool) {
        let wait = async {
            while !holds(&self.set) {
                assert!(!self.task.is_finished(), "it follows for ever");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
        let (len, applied) = (self.set.len(), self.set.applied());
        waited.unwrap_or_else(|_| panic!("not {what}: {len} entries, {applied} applied"));
    }

    /// Waits until `count` revocations are in force.
    pub(super) async fn holds(&self, count: usize) {
        self.until(&format!("at {count}"), |set| set.len() == count).await;
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn frames_arrive_by_the_stream_alone() {
    let server = RedisServer::start();
    let (log, publisher) = (Log::default(), publisher(&server));
    log.write_many(3);
    let edge = Edge::hearing(server.url(), &log, &publisher).await;
    log.is_away.store(1, Ordering::Relaxed);
    for n in 4..=20 {
        publish(&publisher, &[log.write()]).await;
        edge.holds(n).await;
    }
}

#[tokio::test]
async fn a_frame_that_was_deleted_before_anybody_saw_it_is_repaired() {
    let server = RedisServer::start();
    let (log, publisher) = (Log::default(), publisher(&server));
    let link = Link::to(server.addr());
    let edge = Edge::hearing(server.url_over(&link), &log, &publisher).await;
    link.stall();
    for shown_by_frame in [true, false] {
        link.stall();
        let dropped = log.write();
        publish(&publisher, std::slice::from_ref(&dropped)).await;
        // Whether the reader's question was under way or not, it is not answered by this entry.
        ask(&server, &["XDEL", KEY, &format!("{}-0", dropped.seq)]);
        link.cut();
        link.mend();
        if shown_by_frame {
            publish(&publisher, &[log.write()]).await;
        } else {
            beat(&publisher, dropped.seq, now()).await;
        }
        edge.holds(log.last() as usize).await;
        edge.hears(&log, &publisher).await;
    }
}

#[tokio::test]
async fn behind_a_gap_revocations_are_in_force_though_no_feed_answers() {
    let server = RedisServer::start();
    let (log, publisher) = (Log::default(), publisher(&server));
    let edge = Edge::hearing(server.url(), &log, &publisher).await;
    log.is_away.store(1, Ordering::Relaxed);
    let rows = log.write_many(2);
    publish(&publisher, &rows[1..]).await;
    edge.holds(1).await;
    let heard_at = edge.set.heard_at();
    beat(&publisher, 2, now()).await;
    publish(&publisher, &[log.write()]).await;
    edge.holds(2).await;
    assert_eq!(edge.set.heard_at(), heard_at, "it is not complete");
    log.is_away.store(0, Ordering::Relaxed);
    edge.holds(3).await;
}

#[tokio::test]
async fn a_feed_that_hangs_holds_up_no_frame() {
    let server = RedisServer::start();
    let (log, publisher) = (Log::default(), publisher(&server));
    let edge = Edge::hearing(server.url(), &log, &publisher).await;
    let hanging = log.answers.acquire().await.expect("it is never closed");
    let rows = log.write_many(2);
    publish(&publisher, &rows[1..]).await;
    for n in 1..20 {
        edge.holds(n).await;
        publish(&publisher, &[log.write()]).await;
    }
    drop(hanging);
    edge.holds(21).await;
}

/// While the rows are read that are missing, as well as while the feed is asked where it is.
#[tokio::test]
async fn a_feed_that_hangs_while_it_reads_rows_holds_up_no_frame() {
    let server = RedisServer::start();
    let (log, publisher) = (Log::default(), publisher(&server));
    let edge = Edge::hearing(server.url(), &log, &publisher).await;
    let hanging = edge.read(&log, &publisher).await;
    // More than are kept, of which the first ones are then read off the feed.
    for n in 1..ENTRIES_KEPT_MAX + 50 {
        edge.holds(n).await;
        publish(&publisher, &[log.write()]).await;
    }
    drop(hanging);
    edge.holds(ENTRIES_KEPT_MAX + 51).await;
    edge.hears(&log, &publisher).await;
}

#[tokio::test]
async fn what_comes_while_rows_are_read_is_followed_without_asking_for_it() {
    let server = RedisServer::start();
    let (log, publisher) = (Log::default(), publisher(&server));
    let edge = Edge::hearing(server.url(), &log, &publisher).await;
    let hanging = edge.read(&log, &publisher).await;
    for n in 1..20 {
        edge.holds(n).await;
        publish(&publisher, &[log.write()]).await;
    }
    edge.holds(20).await;
    drop(hanging);
    edge.holds(21).await;
    edge.hears(&log, &publisher).await;
    assert_eq!(log.asked_for_rows(), 1);
}

#[tokio::test]
async fn flushall_un_revokes_nothing_and_the_stream_goes_on() {
    let server = RedisServer::start();
    let (log, publisher) = (Log::default(), publisher(&server));
    let edge = Edge::hearing(server.url(), &log, &publisher).await;
    publish(&publisher, &log.write_many(3)).await;
    edge.holds(3).await;
    for n in 1..=3 {
        ask(&server, &["FLUSHALL"]);
        edge.hears(&log, &publisher).await;
        assert_eq!(edge.set.len(), 2 + n);
        publish(&publisher, &[log.write()]).await;
        edge.holds(3 + n).await;
    }
}

#[tokio::test]
async fn while_redis_is_away_the_feed_is_asked_and_afterwards_the_stream_is_heard_again() {
    let mut server = RedisServer::start();
    let (log, publisher) = (Log::default(), publisher(&server));
    let edge = Edge::hearing(server.url(), &log, &publisher).await;
    publish(&publisher, &log.write_many(3)).await;
    edge.holds(3).await;
    server.stop();
    log.write();
    edge.holds(4).await;
    log.write();
    edge.holds(5).await;
    server.restart();
    edge.hears(&log, &publisher).await;
    assert_eq!(edge.set.len(), 5);
    log.is_away.store(1, Ordering::Relaxed);
    publish(&publisher, &[log.write()]).await;
    edge.holds(6).await;
}

#[tokio::test]
async fn a_redis_that_hangs_is_no_reason_to_wait() {
    let mut server = RedisServer::start();
    let (log, publisher) = (Log::default(), publisher(&server));
    let edge = Edge::hearing(server.url(), &log, &publisher).await;
    server.pause();
    log.write();
    edge.holds(1).await;
    server.resume();
    edge.hears(&log, &publisher).await;
    log.is_away.store(1, Ordering::Relaxed);
    publish(&publisher, &[log.write()]).await;
    edge.holds(2).await;
}

#[tokio::test]
async fn a_link_that_is_cut_again_and_again_under_load_loses_nothing() {
    let server = RedisServer::start();
    let (log, publisher) = (Log::default(), publisher(&server));
    let link = Link::to(server.addr());
    let edge = Edge::hearing(server.url_over(&link), &log, &publisher).await;
    for n in 0..400 {
        publish(&publisher, &[log.write()]).await;
        match n % 40 {
            10 => link.cut(),
            20 => link.mend(),
            30 => link.drop_replies(),
            39 => link.mend(),
            _ => {}
        }
    }
    beat(&publisher, 400, now()).await;
    edge.holds(400).await;
    edge.hears(&log, &publisher).await;
}

/// With ids by the clock, as `XADD *` gives them, a reader that has seen an id of a clock that was
/// ahead is given nothing until the other clock has come there.
#[tokio::test]
async fn after_a_failover_that_lost_writes_a_slow_clock_hides_nothing() {
    let server = RedisServer::start();
    let (log, publisher) = (Log::default(), publisher(&server));
    let edge = Edge::hearing(server.url(), &log, &publisher).await;
    let ahead = now().plus(Duration::from_secs(86_400));
    publish(&publisher, &log.write_many(2)).await;
    beat(&publisher, 2, ahead).await;
    publish(&publisher, &log.write_many(2)).await;
    beat(&publisher, 4, ahead).await;
    edge.holds(4).await;
    // The replica that takes over never got the second half.
    ask(&server, &["DEL", KEY]);
    let first_half = log.rows.lock().1[..2].to_vec();
    publish(&publisher, &first_half).await;
    let behind = now().minus(Duration::from_secs(86_400));
    beat(&publisher, 2, behind).await;
    log.is_away.store(1, Ordering::Relaxed);
    for n in 5..=9 {
        publish(&publisher, &[log.write()]).await;
        edge.holds(n).await;
    }
    log.is_away.store(0, Ordering::Relaxed);
    edge.hears(&log, &publisher).await;
}

#[tokio::test]
async fn a_failover_to_a_replica_that_was_behind_hides_nothing() {
    let server = RedisServer::start();
    let replica = server.start_replica();
    let (log, publisher) = (Log::default(), publisher(&server));
    let edge = Edge::hearing(server.url(), &log, &publisher).await;
    publish(&publisher, &log.write_many(2)).await;
    edge.holds(2).await;
    let end = || ask(&replica, &["XREVRANGE", KEY, "+", "-", "COUNT", "1"]);
    edge.until("at the replica", |_| {
        end() == ask(&server, &["XREVRANGE", KEY, "+", "-", "COUNT", "1"])
    })
    .await;
    replica.promote();
    publish(&publisher, &log.write_many(2)).await;
    edge.holds(4).await;
    // What the replica never got is gone.
    server.follow(&replica);
    server.promote();
    assert_eq!(publisher_end(&publisher).await, Some(2));
    log.is_away.store(1, Ordering::Relaxed);
    for n in 5..=9 {
        publish(&publisher, &[log.write()]).await;
        edge.holds(n).await;
    }
    log.is_away.store(0, Ordering::Relaxed);
    edge.hears(&log, &publisher).await;
}

async fn publisher_end(publisher: &StreamPublisher) -> Option<u64> {
    loop {
        if let Ok(end) = publisher.end(LOG).await {
            return end.map(|end| end.seq);
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_cluster_carries_it_as_well() {
    let mut cluster = RedisCluster::start();
    let log = Log::default();
    let publisher = publisher_at(cluster.url());
    let edge = Edge::hearing(cluster.url(), &log, &publisher).await;
    publish(&publisher, &log.write_many(2)).await;
    edge.holds(2).await;
    cluster.master_of_mut(KEY).stop();
    log.write();
    edge.holds(3).await;
    cluster.master_of_mut(KEY).restart();
    edge.until("whole", |_| cluster.is_whole()).await;
    edge.hears(&log, &publisher).await;
    log.is_away.store(1, Ordering::Relaxed);
    publish(&publisher, &[log.write()]).await;
    edge.holds(4).await;
}

#[tokio::test]
async fn heartbeats_of_a_slow_clock_are_heard_though_the_end_of_the_stream_was_lost() {
    let server = RedisServer::start();
    let (log, publisher) = (Log::default(), publisher(&server));
    let edge = Edge::hearing(server.url(), &log, &publisher).await;
    beat(&publisher, 0, now().plus(Duration::from_secs(7200))).await;
    edge.hears(&log, &publisher).await;
    ask(&server, &["DEL", KEY]);
    // With nothing else to go by, a heartbeat alone moves the time.
    log.is_away.store(1, Ordering::Relaxed);
    let slower = now().plus(Duration::from_secs(3600));
    let is_heard = async {
        loop {
            let before = now();
            beat(&publisher, 0, slower).await;
            if edge.set.heard_at() >= before {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), is_heard).await.expect("it is heard again");
}

#[tokio::test]
async fn another_log_is_read_anew_and_followed_on_its_own_stream() {
    let server = RedisServer::start();
    let (log, publisher) = (Log::default(), publisher(&server));
    let edge = Edge::hearing(server.url(), &log, &publisher).await;
    publish(&publisher, &log.write_many(5)).await;
    edge.holds(5).await;
    // The same sessions, and one more. Nobody writes the old stream any more.
    log.restore("b2", 6);
    edge.holds(6).await;
    log.is_away.store(1, Ordering::Relaxed);
    let row = log.write();
    let frame = Frame { log_id: "b2".to_owned(), ..frame(&[row]) };
    assert_eq!(publisher.frame(frame).await.unwrap(), Placed::Added);
    edge.holds(7).await;
}

#[tokio::test]
async fn entries_of_a_version_to_come_are_asked_for_elsewhere() {
    let server = RedisServer::start();
    let (log, publisher) = (Log::default(), publisher(&server));
    let edge = Edge::hearing(server.url(), &log, &publisher).await;
    log.write();
    ask(&server, &["XADD", KEY, "1-0", "m", r#"{"v":2,"kind":"better"}"#]);
    edge.holds(1).await;
}

#[tokio::test]
async fn an_edge_that_starts_without_redis_and_feed_is_not_ready_until_the_feed_answers() {
    let log = Log::default();
    log.write();
    log.is_away.store(1, Ordering::Relaxed);
    let edge = Edge::start("redis://127.0.0.1:1/0".to_owned(), &log);
    edge.until("asking", |_| log.asked() > 0).await;
    assert!(!edge.set.is_ready());
    log.is_away.store(0, Ordering::Relaxed);
    edge.until("ready", |set| set.is_ready()).await;
    log.write();
    edge.holds(2).await;
}
