//! Revocations that reach the gateways of a fleet by a Redis Stream: at once, each of them, and also
//! when Redis is away, emptied, or comes back without what it had.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;

use test_support::doorward::Builder;
use test_support::doorward::Doorward;
use test_support::doorward::Tokens;
use test_support::http1::Request;
use test_support::postgres::PostgresDatabase;
use test_support::redis::RedisServer;
use test_support::redis::Reply;
use test_support::upstream::Upstream;
use test_support::wait::START_MAX;
use test_support::wait::wait_until;

use crate::scene::PASSWORD;
use crate::scene::apart_admin;
use crate::scene::apart_gateway;
use crate::scene::assert_revoked;

const HEARD: &str = "revocations are heard of by Redis";

const NOT_HEARD: &str = "the admin API is asked instead";

const TELLS: &str = "this process carries revocations to Redis";

/// Two admin APIs on one Postgres, three gateways, all on one Redis.
struct Fleet {
    gateways: Vec<Doorward>,
    admins: Vec<Doorward>,
    redis: RedisServer,
    _upstream: Upstream,
    _database: PostgresDatabase,
}

impl Fleet {
    fn start() -> Self {
        let (redis, database) = (RedisServer::start(), PostgresDatabase::new());
        let upstream = Upstream::start();
        let admins: Vec<_> = (0..2).map(|_| admin(&database, &redis).start()).collect();
        let gateway = |admin: &Doorward| gateway(admin, &redis, &upstream).start();
        let gateways: Vec<_> =
            [&admins[0], &admins[1], &admins[0]].into_iter().map(gateway).collect();
        for gateway in &gateways {
            gateway.wait_for_log(HEARD);
        }
        Self { gateways, admins, redis, _upstream: upstream, _database: database }
    }

    fn sign_in(&self) -> Tokens {
        self.gateways[0].login("ann", PASSWORD)
    }

    /// Logs out at one gateway, and waits until all refuse what was good before.
    #[track_caller]
    fn log_out_everywhere(&self, ann: &Tokens) {
        for gateway in &self.gateways {
            assert_eq!(call(gateway, ann).status, 200);
        }
        let answer = self.gateways[1].ask(&Request::post("/auth/logout").bearer(&ann.access));
        assert_eq!(answer.status, 200, "{answer}");
        self.wait_until_refused(ann);
    }

    #[track_caller]
    fn wait_until_refused(&self, ann: &Tokens) {
        for gateway in &self.gateways {
            wait_until(START_MAX, || call(gateway, ann).status == 401);
            assert_revoked(&call(gateway, ann));
        }
    }
}

fn admin(database: &PostgresDatabase, redis: &RedisServer) -> Builder {
    apart_admin(&format!(
        "[database]\nurl = \"{}\"\n[redis]\nurl = \"{}\"",
        database.url(),
        redis.url()
    ))
}

fn gateway(admin: &Doorward, redis: &RedisServer, upstream: &Upstream) -> Builder {
    let redis = format!("[redis]\nurl = \"{}\"\ncall_timeout = \"1s\"", redis.url());
    apart_gateway(admin, &redis, upstream)
}

fn call(gateway: &Doorward, ann: &Tokens) -> test_support::http1::Answer {
    gateway.ask(&Request::get("/api/x").bearer(&ann.access))
}

#[test]
fn who_logs_out_at_one_gateway_is_refused_at_all_and_stays_so_whatever_becomes_of_redis() {
    let mut fleet = Fleet::start();
    fleet.admins[0].create_user("ann", "admin", PASSWORD);
    let first = fleet.sign_in();
    fleet.log_out_everywhere(&first);

    // Emptied: nobody forgets anything, and what follows arrives.
    assert_eq!(fleet.redis.command(&["FLUSHALL"]).expect("Redis answers"), Reply::text("OK"));
    let second = fleet.sign_in();
    fleet.log_out_everywhere(&second);
    fleet.wait_until_refused(&first);

    // Away: the admin API is asked.
    fleet.redis.stop();
    for gateway in &fleet.gateways {
        gateway.wait_for_log(NOT_HEARD);
    }
    let third = fleet.sign_in();
    fleet.log_out_everywhere(&third);

    // Back, and empty.
    fleet.redis.restart();
    let heard_again = |gateway: &Doorward| gateway.log().matches(HEARD).count() == 2;
    wait_until(START_MAX, || fleet.gateways.iter().all(heard_again));
    let fourth = fleet.sign_in();
    fleet.log_out_everywhere(&fourth);
    for ann in [&first, &second, &third] {
        fleet.wait_until_refused(ann);
    }
    for gateway in &fleet.gateways {
        assert!(gateway.is_ready());
    }
}

/// Those that had the killed one to ask hear of it by Redis alone.
#[test]
fn who_tells_of_revocations_is_killed_while_people_log_out_and_no_logout_is_lost() {
    let mut fleet = Fleet::start();
    fleet.admins[0].create_user("ann", "admin", PASSWORD);
    let tells = |admin: &Doorward| admin.log().contains(TELLS);
    wait_until(START_MAX, || fleet.admins.iter().any(tells));
    let first = fleet.admins.iter().position(tells).expect("it was there a moment ago");
    // Each has a gateway of the same number that asks it.
    let next = 1 - first;
    let gone = Mutex::new(Vec::new());
    let is_enough = AtomicBool::new(false);
    let killed = fleet.admins.remove(first);
    thread::scope(|scope| {
        scope.spawn(|| {
            let gateway = &fleet.gateways[next];
            while !is_enough.load(Ordering::Relaxed) {
                let ann = gateway.login("ann", PASSWORD);
                let answer = gateway.ask(&Request::post("/auth/logout").bearer(&ann.access));
                assert_eq!(answer.status, 200, "{answer}");
                gone.lock().unwrap().push(ann);
            }
        });
        // Whatever becomes of this thread, the other ends.
        let _enough = Enough(&is_enough);
        let logged_out = || gone.lock().unwrap().len();
        wait_until(START_MAX, || logged_out() >= 3);
        let _builder = killed.kill();
        wait_until(START_MAX, || fleet.admins[0].log().contains(TELLS));
        let so_far = logged_out();
        wait_until(START_MAX, || logged_out() >= so_far + 3);
    });
    for ann in gone.into_inner().unwrap() {
        fleet.wait_until_refused(&ann);
    }
    let (status, _) = fleet.gateways[first].sigterm_and_wait();
    assert!(status.success(), "{status}");
}

/// Says that it is enough when it is dropped.
struct Enough<'a>(&'a AtomicBool);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_fleet_counts_a_revocations_way_and_nobody_waits_long() {
    let fleet = Fleet::start();
    fleet.admins[0].create_user("ann", "admin", PASSWORD);
    for _ in 0..5 {
        let ann = fleet.sign_in();
        fleet.log_out_everywhere(&ann);
    }
    for gateway in &fleet.gateways {
        let metrics = gateway.metrics();
        let counted = |line: &str| {
            line.strip_prefix("doorward_revocation_lag_seconds_count ")?.parse::<u64>().ok()
        };
        assert!(metrics.lines().find_map(counted) >= Some(5), "{metrics}");
    }
    // The stream is bounded, and kept where nothing is evicted.
    let keys = fleet.redis.command(&["KEYS", "{doorward:revocations*"]).expect("Redis answers");
    let Reply::Array(keys) = keys else { panic!("{keys:?}") };
    assert_eq!(keys.len(), 1, "{keys:?}");
}

/// It reads under another name than the admin API writes.
#[test]
fn a_gateway_that_never_hears_of_the_stream_says_so_once_and_asks_the_admin_api() {
    let (redis, database) = (RedisServer::start(), PostgresDatabase::new());
    let upstream = Upstream::start();
    let admin = admin(&database, &redis).start();
    let elsewhere = format!(
        "[redis]\nurl = \"{}\"\ncall_timeout = \"1s\"\nnamespace = \"elsewhere\"",
        redis.url()
    );
    let gateway = apart_gateway(&admin, &elsewhere, &upstream).start();
    wait_until(START_MAX, || gateway.log().contains(NOT_HEARD));
    admin.create_user("ann", "admin", PASSWORD);
    for _ in 0..3 {
        let ann = gateway.login("ann", PASSWORD);
        assert_eq!(call(&gateway, &ann).status, 200);
        let answer = gateway.ask(&Request::post("/auth/logout").bearer(&ann.access));
        assert_eq!(answer.status, 200, "{answer}");
        wait_until(START_MAX, || call(&gateway, &ann).status == 401);
    }
    let log = gateway.log();
    assert_eq!((log.matches(NOT_HEARD).count(), log.matches(HEARD).count()), (1, 0), "{log}");
}
