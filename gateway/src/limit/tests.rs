//! Several policies on one request, at moments that a test chooses.

use std::num::NonZeroUsize;
use std::time::Duration;

use config::Redis;
use kernel::secret::Secret;
use kernel::time::uptime;
use stores::redis::connection::Connection;
use stores::redis::quotas::Clock;
use stores::redis::quotas::RedisQuotas;
use test_support::redis::RedisServer;

use super::*;
use crate::client::UNKNOWN;
use crate::routing::RouteTable;

const START: Timestamp = Timestamp::from_secs(1_700_000_000);

/// Anonymous callers have five requests a minute; the route gives what `limits` says.
struct Scene {
    limiter: Limiter,
    routes: RouteTable,
}

impl Scene {
    fn new(limits: &str, more: &str) -> Self {
        Self::counting(limits, more, Counters::here)
    }

    /// One that counts where `counters` says.
    fn counting(limits: &str, more: &str, counters: impl FnOnce(&Config) -> Counters) -> Self {
        let text = format!(
            "[limits]\nanonymous = [{{ name = \"minute\", requests = 5, per = \"1m\" }}]\n\
             [upstreams.u]\nendpoints = [\"http://127.0.0.1:1\"]\n\
             [[routes]]\nname = \"r\"\npath = \"/\"\nupstream = \"u\"\naccess = \"public\"\n\
             limits = [{limits}]\n{more}"
        );
        let config = config::parse("test", &text, &|_| None).expect("good");
        Self { limiter: Limiter::new(&config, counters(&config)), routes: RouteTable::new(&config) }
    }

    async fn take(&self, at_s: u64) -> Result<Grant, LimitError> {
        let now = START.plus(Duration::from_secs(at_s));
        let route = &self.routes.routes()[0];
        let mut patience = Patience::default();
        self.limiter.take(route, &Visitor::Anonymous, UNKNOWN, &mut patience, now).await
    }

    /// How many questions were put to the fleet's store.
    fn asked(&self) -> u64 {
        self.limiter.fleet().expect("there is a store").asked
    }

    async fn left(&self, at_s: u64) -> u32 {
        let now = START.plus(Duration::from_secs(at_s));
        let mut patience = Patience::default();
        let peeked = self.limiter.peek(&Visitor::Anonymous, UNKNOWN, &mut patience, now).await;
        let grant = peeked.expect("memory");
        grant.standing(now).expect("limited").remaining
    }
}

#[tokio::test]
async fn a_route_that_refuses_does_not_keep_the_tier_from_recovering() {
    let scene = Scene::new("{ name = \"hour\", requests = 4, per = \"1h\" }", "");
    for at_s in 0..4 {
        scene.take(at_s).await.expect("room in both");
    }
    for at_s in (6..=60).step_by(6) {
        scene.take(at_s).await.expect_err("the route's quota is spent");
    }
    assert_eq!(scene.left(66).await, 5, "what was admitted is a minute ago, and no more was");
}

#[tokio::test]
async fn a_tier_that_refuses_takes_nothing_from_the_routes_quota() {
    let scene = Scene::new("{ name = \"hour\", requests = 6, per = \"1h\" }", "");
    for _ in 0..5 {
        scene.take(0).await.expect("room in both");
    }
    for _ in 0..20 {
        scene.take(1).await.expect_err("the tier's quota is spent");
    }
    scene.take(70).await.expect("the sixth of the hour");
    let Err(LimitError::OverQuota(over)) = scene.take(71).await else {
        panic!("a seventh in the hour");
    };
    assert_eq!(over.violated, ["hour"]);
}

#[tokio::test]
async fn a_costly_request_needs_room_for_all_it_costs_in_both() {
    let scene = Scene::new("{ name = \"hour\", requests = 100, per = \"1h\" }", "cost = 3");
    scene.take(0).await.expect("three of five");
    scene.take(0).await.expect_err("three of two");
    assert_eq!(scene.left(0).await, 2);
}

#[tokio::test]
async fn a_route_in_shadow_says_what_it_would_have_refused_and_refuses_nobody() {
    let scene = Scene::new("{ name = \"hour\", requests = 1, per = \"1h\" }", "shadow = true");
    assert!(!scene.take(0).await.expect("room").is_shadowed());
    let grant = scene.take(0).await.expect("in shadow");
    assert!(grant.is_shadowed());
    assert_eq!(grant.standing(START).map(|standing| standing.remaining), Some(0));
}

/// Counters in `server`, which is asked for each request; it is given so long to answer, which decides
/// how long this takes and nothing else.
async fn in_redis(server: &RedisServer) -> Counters {
    let call_timeout = Duration::from_millis(500);
    let redis = Redis { call_timeout, ..Redis::at(Secret::new(server.url())) };
    let connection = Connection::open(&redis, None).expect("a URL");
    connection.connected().await.expect("Redis is there");
    let store = RedisQuotas::new(connection, "doorward", Clock::OfTheServer);
    let keys_max = NonZeroUsize::new(1000).expect("not zero");
    Counters::Shared(Arc::new(SharedQuotas::new(store, keys_max, *b"patience", uptime)))
}

/// A route with a limit of its own and a tier, both counted in a Redis that hangs.
async fn hanging(on_store_loss: &str) -> (Scene, RedisServer) {
    let mut server = RedisServer::start();
    let counters = in_redis(&server).await;
    let more = format!("strict = true\non_store_loss = \"{on_store_loss}\"");
    let limits = "{ name = \"hour\", requests = 100, per = \"1h\" }";
    let scene = Scene::counting(limits, &more, |_| counters);
    server.pause();
    (scene, server)
}

#[tokio::test]
async fn a_request_waits_once_for_a_redis_that_hangs_though_it_falls_under_two_policies() {
    for on_store_loss in ["local", "open", "closed"] {
        let (scene, _server) = hanging(on_store_loss).await;
        let taken = scene.take(0).await;
        match on_store_loss {
            "closed" => assert!(matches!(taken, Err(LimitError::Store(_))), "{taken:?}"),
            _ => {
                // Both have counted it here.
                let left: Vec<_> =
                    taken.expect("room in both").taken.iter().flatten().map(left).collect();
                assert_eq!(left, [4, 99], "{on_store_loss}");
            }
        }
        assert_eq!(scene.asked(), 1, "{on_store_loss}");
    }
}

#[tokio::test]
async fn whoever_has_waited_for_redis_already_does_not_wait_for_counters() {
    let (scene, _server) = hanging("local").await;
    let mut patience = Patience::default();
    patience.spend();
    let (route, nobody) = (&scene.routes.routes()[0], Visitor::Anonymous);
    let taken = scene.limiter.take(route, &nobody, UNKNOWN, &mut patience, START).await;
    assert_eq!(taken.expect("room in both").taken.iter().flatten().count(), 2);
    let peeked = scene.limiter.peek(&nobody, UNKNOWN, &mut patience, START).await;
    assert_eq!(peeked.expect("its share").standing(START).expect("limited").remaining, 4);
    assert_eq!(scene.asked(), 0);
}

#[tokio::test]
async fn asking_how_one_stands_waits_once_though_the_address_is_counted_before() {
    let (scene, _server) = hanging("local").await;
    let mut patience = Patience::default();
    let mount = Mount::RateLimit;
    let taken = scene.limiter.take_for_mount(mount, UNKNOWN, &mut patience, START).await;
    taken.expect("room");
    let peeked = scene.limiter.peek(&Visitor::Anonymous, UNKNOWN, &mut patience, START).await;
    peeked.expect("its share");
    assert_eq!(scene.asked(), 1);
}

fn left(taken: &Taken) -> u32 {
    taken.outcome.windows()[0].remaining
}

/// A counter that is somebody else's says nothing of others.
#[tokio::test]
async fn one_counter_that_cannot_be_read_does_not_keep_the_other_from_being_asked_for() {
    let server = RedisServer::start();
    let counters = in_redis(&server).await;
    let limits = "{ name = \"hour\", requests = 100, per = \"1h\" }";
    let scene = Scene::counting(limits, "strict = true", |_| counters);
    let key = format!("{{doorward:anonymous:address:{UNKNOWN}}}");
    server.command(&["LPUSH", &key, "junk"]).expect("Redis answers");
    scene.take(0).await.expect("room in both");
    assert_eq!(scene.asked(), 2);
}
