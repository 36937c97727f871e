//! The shared counters against a real Redis.

use config::Redis;
use kernel::limit::Tally;
use kernel::limit::conformance::Dice;
use kernel::limit::conformance::NaiveLog;
use kernel::secret::Secret;
use test_support::redis::RedisServer;
use test_support::redis::Reply;

use super::*;

mod leases;
mod outages;

/// A Redis of a test's own, and counters in it.
struct Fleet {
    quotas: RedisQuotas,
    server: RedisServer,
}

const NOW: Timestamp = Timestamp::from_millis(1_700_000_123_457);

const ADA: Subject<'static> = Subject { policy: "tier", kind: SubjectKind::User, id: "ada" };

impl Fleet {
    async fn by(clock: Clock) -> Self {
        let server = RedisServer::start();
        let quotas = gateway(&server, clock, Duration::from_secs(5)).await;
        Self { quotas, server }
    }

    fn ask(&self, words: &[&str]) -> Reply {
        self.server.command(words).expect("Redis answers")
    }
}

/// One more gateway's counters in a server; its calls may take `budget`.
async fn gateway(server: &RedisServer, clock: Clock, budget: Duration) -> RedisQuotas {
    let redis = Redis { call_timeout: budget, ..Redis::at(Secret::new(server.url())) };
    let connection = Connection::open(&redis, None).expect("a URL");
    connection.connected().await.expect("Redis is there");
    RedisQuotas::new(connection, "doorward", clock)
}

impl QuotaStore for Fleet {
    async fn acquire(
        &self,
        subject: Subject<'_>,
        quotas: &[Quota],
        cost: NonZeroU32,
        now: Timestamp,
    ) -> Result<Outcome, StoreLost> {
        self.quotas.acquire(subject, quotas, cost, now).await
    }

    async fn refund(
        &self,
        subject: Subject<'_>,
        quotas: &[Quota],
        cost: NonZeroU32,
        now: Timestamp,
    ) -> Result<(), StoreLost> {
        self.quotas.refund(subject, quotas, cost, now).await
    }

    async fn peek(
        &self,
        subject: Subject<'_>,
        quotas: &[Quota],
        now: Timestamp,
    ) -> Result<Outcome, StoreLost> {
        self.quotas.peek(subject, quotas, now).await
    }
}

kernel::quota_conformance!(Fleet::by(Clock::OfTheCaller).await);

fn quota(requests: u32, secs: u64) -> Quota {
    Quota::new("window", requests.into(), Duration::from_secs(secs)).expect("within bounds")
}

fn units(units: u32) -> NonZeroU32 {
    NonZeroU32::new(units).expect("at least 1")
}

#[tokio::test]
async fn memory_redis_and_a_naive_log_agree_though_the_clock_goes_back() {
    let fleet = Fleet::by(Clock::OfTheCaller).await;
    let week = quota(400, 604_800);
    let quota_sets = [
        vec![quota(3, 1), week.clone()],
        vec![quota(25, 60), quota(20, 7), week.clone()],
        vec![week.clone(), quota(30, 3), quota(8, 1), quota(50, 3600)],
        vec![week],
    ];
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let id = format!("seed {seed}");
        let subject = Subject { id: &id, ..ADA };
        let (mut tally, mut log) = (Tally::new(), NaiveLog::default());
        let mut now = NOW;
        for call in 0..150 {
            let quotas = dice.pick(&quota_sets);
            let cost = units(*dice.pick(&[1, 1, 1, 2, 5, 31]));
            let place = format!("seed {seed}, call {call}");
            match dice.below(10) {
                0 => {
                    fleet.refund(subject, quotas, cost, now).await.expect(&place);
                    tally.refund(quotas, cost, now);
                    log.refund(quotas, cost, now);
                }
                1 => {
                    let ours = fleet.peek(subject, quotas, now).await.expect(&place);
                    assert_eq!(ours, log.peek(quotas, now), "{place}");
                    assert_eq!(ours, tally.peek(quotas, now), "{place}");
                }
                _ => {
                    let ours = fleet.acquire(subject, quotas, cost, now).await.expect(&place);
                    assert_eq!(ours, log.acquire(quotas, cost, now), "{place}");
                    assert_eq!(ours, tally.acquire(quotas, cost, now), "{place}");
                }
            }
            let step = *dice.pick(&[0, 0, 7, 16, 17, 118, 1_017, 9_999]) + dice.below(40);
            now = match dice.below(8) {
                0 => now.minus(Duration::from_millis(dice.below(5_000))),
                _ => now.plus(Duration::from_millis(step)),
            };
        }
    }
}

#[tokio::test]
async fn gateways_with_different_clocks_count_together_by_that_of_redis() {
    let server = RedisServer::start();
    let wrong_clocks = [
        Timestamp::default(),
        NOW,
        Timestamp::from_millis(4_000_000_000_000),
        Timestamp::from_millis(u64::MAX),
    ];
    let mut admitted = 0;
    let quotas = [quota(100, 3600)];
    for now in wrong_clocks {
        let gateway = gateway(&server, Clock::OfTheServer, Duration::from_secs(5)).await;
        for _ in 0..50 {
            let outcome =
                gateway.acquire(ADA, &quotas, NonZeroU32::MIN, now).await.expect("answers");
            admitted += u32::from(outcome.admitted);
            let reset_ms = outcome.windows()[0].reset_ms;
            assert!((1..=3_661_000).contains(&reset_ms), "{reset_ms}");
        }
    }
    assert_eq!(admitted, 100);
}

#[tokio::test]
async fn every_key_expires_and_not_before_its_windows_have_run_empty() {
    let fleet = Fleet::by(Clock::OfTheServer).await;
    for (id, secs, at_least_s) in
        [("short", 1, 59), ("hour", 3600, 3599), ("month", 31 * 86_400, 31 * 86_400 - 1)]
    {
        let subject = Subject { id, ..ADA };
        fleet.acquire(subject, &[quota(9, secs)], NonZeroU32::MIN, NOW).await.expect("answers");
        let Reply::Integer(ttl_ms) = fleet.ask(&["PTTL", &format!("{{doorward:tier:user:{id}}}")])
        else {
            panic!("no TTL");
        };
        // A minute more, so that it need not be put off at each request.
        let at_most_s = at_least_s + 61 + secs as i64 / 30;
        assert!((at_least_s * 1000..=at_most_s * 1000).contains(&ttl_ms), "{id}: {ttl_ms} ms");
    }
    assert_eq!(fleet.ask(&["DBSIZE"]), Reply::Integer(3));
}

#[tokio::test]
async fn the_end_of_a_key_is_put_off_before_it_could_come_too_early_and_not_at_each_request() {
    let fleet = Fleet::by(Clock::OfTheCaller).await;
    let key = "{doorward:tier:user:ada}";
    let ttl_ms = || match fleet.ask(&["PTTL", key]) {
        Reply::Integer(ttl_ms) => ttl_ms,
        other => panic!("{other:?}"),
    };
    let quotas = [quota(9, 1)];
    fleet.acquire(ADA, &quotas, NonZeroU32::MIN, NOW).await.expect("answers");
    assert!(ttl_ms() > 119_000, "two minutes");
    // What is put off is seen: it ends again.
    fleet.ask(&["PERSIST", key]);
    for (later_ms, is_put_off) in [(60_000, false), (60_001, true)] {
        let now = NOW.plus(Duration::from_millis(later_ms));
        fleet.acquire(ADA, &quotas, NonZeroU32::MIN, now).await.expect("answers");
        assert_eq!(ttl_ms() > 0, is_put_off, "{later_ms} ms later");
    }
}

#[tokio::test]
async fn a_subject_with_one_window_takes_as_many_bytes_as_the_document_says() {
    let fleet = Fleet::by(Clock::OfTheCaller).await;
    let length = || fleet.ask(&["STRLEN", "{doorward:tier:user:ada}"]);
    let quotas = [quota(u32::MAX, 60)];
    fleet.acquire(ADA, &quotas, NonZeroU32::MIN, NOW).await.expect("answers");
    // Eight bytes of head, twenty of the window, five for each of its sixty older ticks.
    assert_eq!(length(), Reply::Integer(28));
    for tick in 1..=200 {
        let now = NOW.plus(Duration::from_secs(tick));
        fleet.acquire(ADA, &quotas, units(1 << 20), now).await.expect("answers");
    }
    assert_eq!(length(), Reply::Integer(8 + 20 + 60 * 5));
}

#[tokio::test]
async fn a_key_with_nothing_left_in_it_is_gone() {
    let fleet = Fleet::by(Clock::OfTheServer).await;
    let quotas = [quota(9, 60)];
    fleet.acquire(ADA, &quotas, units(4), NOW).await.expect("answers");
    fleet.refund(ADA, &quotas, units(4), NOW).await.expect("answers");
    assert_eq!(fleet.ask(&["DBSIZE"]), Reply::Integer(0));
    fleet.refund(ADA, &quotas, units(4), NOW).await.expect("answers");
    fleet.peek(ADA, &quotas, NOW).await.expect("answers");
    assert_eq!(fleet.ask(&["DBSIZE"]), Reply::Integer(0));
}

#[tokio::test]
async fn a_call_is_one_command_and_a_script_that_was_forgotten_one_more() {
    let fleet = Fleet::by(Clock::OfTheServer).await;
    let quotas = [quota(1000, 1), quota(1000, 60), quota(1000, 3600)];
    let calls = || (fleet.server.calls("evalsha"), fleet.server.calls("eval"));
    for _ in 0..10 {
        fleet.acquire(ADA, &quotas, NonZeroU32::MIN, NOW).await.expect("answers");
    }
    assert_eq!(calls(), (10, 1), "the first did not know the script yet");
    fleet.ask(&["SCRIPT", "FLUSH"]);
    for _ in 0..10 {
        let outcome = fleet.acquire(ADA, &quotas, NonZeroU32::MIN, NOW).await.expect("answers");
        assert!(outcome.admitted);
    }
    assert_eq!(calls(), (20, 2));
    let outcome = fleet.peek(ADA, &quotas, NOW).await.expect("answers");
    assert_eq!(outcome.windows()[2].remaining, 980, "no call was counted twice");
}

#[tokio::test]
async fn a_redis_that_was_emptied_lets_callers_begin_anew_and_is_not_lost() {
    let fleet = Fleet::by(Clock::OfTheServer).await;
    let quotas = [quota(9, 60)];
    fleet.acquire(ADA, &quotas, units(4), NOW).await.expect("answers");
    fleet.ask(&["FLUSHALL"]);
    let outcome = fleet.acquire(ADA, &quotas, units(4), NOW).await.expect("answers");
    assert_eq!(outcome.windows()[0].remaining, 5);
    fleet.ask(&["FLUSHALL"]);
    fleet.refund(ADA, &quotas, units(4), NOW).await.expect("answers");
    let outcome = fleet.peek(ADA, &quotas, NOW).await.expect("answers");
    assert_eq!(outcome.windows()[0].remaining, 9);
}

#[tokio::test]
async fn what_an_older_version_wrote_begins_anew_and_what_a_newer_one_did_is_left_alone() {
    let fleet = Fleet::by(Clock::OfTheCaller).await;
    let (quotas, key) = ([quota(9, 60)], "{doorward:tier:user:ada}");
    fleet.ask(&["SET", key, "\u{1}\0and so on, for some bytes"]);
    let outcome = fleet.acquire(ADA, &quotas, NonZeroU32::MIN, NOW).await.expect("answers");
    assert_eq!(outcome.windows()[0].remaining, 8);
    fleet.ask(&["SET", key, "\u{3}\0and so on"]);
    let newer = fleet.acquire(ADA, &quotas, NonZeroU32::MIN, NOW).await;
    assert!(matches!(newer, Err(StoreLost::Answer(_))), "{newer:?}");
    assert_eq!(fleet.ask(&["GET", key]), Reply::text("\u{3}\0and so on"));
}
