//! Limits that several gateways hold together, on a real Redis: while it works, while it does not,
//! and after.

use std::thread;
use std::time::Duration;

use serde_json::json;
use test_support::http1::Answer;
use test_support::http1::Request;
use test_support::link::Link;
use test_support::redis::RedisCluster;
use test_support::redis::RedisServer;
use test_support::redis::Reply;
use test_support::wait::START_MAX;
use test_support::wait::wait_until;

use crate::scene::Scene;
use crate::scene::assert_problem;
use crate::scene::in_parallel;
use crate::tokens::Forged;

const DEGRADED: &str = "System operational with degraded functionality: Redis unavailable";

/// Longer than any answer takes on a busy machine; a test of an outage says less.
const PATIENT: &str = "5s";

/// A gateway of a fleet on the Redis at `url`; `more` follows the usual routes, `limits` stands in
/// `[limits]`.
fn gateway(url: &str, call_timeout: &str, limits: &str, more: &str) -> Scene {
    let redis = format!("[redis]\nurl = \"{url}\"\ncall_timeout = \"{call_timeout}\"\n");
    let usual = crate::scene::USUAL.replace("[limits]\n", &format!("[limits]\n{limits}\n"));
    Scene::of(&format!("environment = \"dev\"\n{redis}{usual}\n{more}"))
}

fn fleet(server: &RedisServer, limits: &str, more: &str) -> [Scene; 3] {
    [1, 2, 3].map(|_| gateway(&server.url(), PATIENT, limits, more))
}

fn kim_of(tier: &str) -> String {
    Forged::new("u-7", "kim").tier(tier).sign()
}

#[track_caller]
fn left(answer: &Answer) -> u64 {
    answer.number("x-ratelimit-remaining")
}

fn statuses(
    fleet: &[Scene],
    requests: usize,
    ask: impl Fn(&Scene) -> Answer + Sync,
) -> (usize, usize) {
    let statuses = in_parallel(requests, |index| ask(&fleet[index % fleet.len()]).status);
    let count = |status: u16| statuses.iter().filter(|&&s| s == status).count();
    assert_eq!(count(200) + count(429), requests, "{statuses:?}");
    (count(200), count(429))
}

#[test]
fn of_two_hundred_requests_at_three_gateways_exactly_a_hundred_are_admitted() {
    let server = RedisServer::start();
    let fleet = fleet(&server, "mode = \"exact\"", "");
    let token = kim_of("free");
    assert_eq!(statuses(&fleet, 200, |scene| scene.call(&token)), (100, 100));
    assert_eq!(fleet.iter().map(Scene::reached).sum::<u64>(), 100);
}

#[test]
fn a_strict_route_is_exact_though_others_take_tokens_ahead() {
    let server = RedisServer::start();
    let strict =
        "[[routes]]\nname = \"strict\"\npath = \"/strict\"\nupstream = \"echo\"\nstrict = true";
    let fleet = fleet(&server, "", strict);
    let token = kim_of("free");
    let ask = |scene: &Scene| scene.ask(&Request::get("/strict").bearer(&token));
    assert_eq!(statuses(&fleet, 200, ask), (100, 100));
}

#[test]
fn with_tokens_taken_ahead_a_flood_at_three_gateways_gets_a_tenth_more_or_less_at_most() {
    let server = RedisServer::start();
    let fleet = fleet(&server, "", "");
    let token = kim_of("free");
    let (admitted, _) = statuses(&fleet, 240, |scene| scene.call(&token));
    assert!((90..=110).contains(&admitted), "{admitted}");
}

/// A limit that is the same however long a test takes.
const HOURLY: &str = r#"
[tiers.hourly]
limits = [{ name = "hour", requests = 100, per = "1h" }]
"#;

/// Tokens that were taken ahead go with whoever has them, and stay counted.
#[test]
fn gateways_that_are_killed_and_started_in_a_flood_let_in_a_tenth_more_or_less_at_most() {
    let server = RedisServer::start();
    let [one, other, third] = fleet(&server, "mode = \"leased\"", HOURLY);
    let token = kim_of("hourly");
    // Each has tokens by now, or has found that none are left to be taken ahead.
    let fleet = [one, other, third];
    let (before, _) = statuses(&fleet, 60, |scene| scene.call(&token));
    let [one, other, third] = fleet;
    let fleet = [other, third];
    let (meanwhile, one) = thread::scope(|scope| {
        let flood = scope.spawn(|| statuses(&fleet, 60, |scene| scene.call(&token)).0);
        let one = one.killed_and_restarted();
        (flood.join().unwrap(), one)
    });
    let [other, third] = fleet;
    let fleet = [one, other.killed_and_restarted(), third];
    let (after, refused) = statuses(&fleet, 240, |scene| scene.call(&token));
    let admitted = before + meanwhile + after;
    assert!((90..=110).contains(&admitted), "{before} + {meanwhile} + {after}");
    assert!(refused > 0, "it was a flood");
    let asked: u64 =
        fleet.iter().map(|scene| scene.metric("doorward_limit_store_calls_total")).sum();
    assert!(asked < 240, "tokens were taken ahead: {asked} questions");
}

/// Each counts its own at once, and what others did as of its last question.
#[test]
fn with_tokens_taken_ahead_each_gateway_tells_what_it_knows_of_the_other() {
    let server = RedisServer::start();
    let [one, other, _] = fleet(&server, "mode = \"leased\"", HOURLY);
    let token = kim_of("hourly");
    let told = |scene: &Scene| {
        let answer = scene.ask(&Request::get("/auth/rate-limit").bearer(&token)).json();
        answer["remaining"].as_u64().expect("a number")
    };
    assert_eq!(left(&one.call(&token)), 99);
    // It sees ten counted, nine of which the first has not spent yet, and asks each time.
    assert_eq!([left(&other.call(&token)), left(&other.call(&token))], [89, 88]);
    // The first has not asked since, so it does not know of those.
    assert_eq!([left(&one.call(&token)), left(&one.call(&token))], [98, 97]);
    // Both can be asked what Redis knows, and the first has its tokens beside.
    assert_eq!((told(&one), told(&other)), (95, 88));
    // Once it has asked for more tokens, it knows.
    wait_until(START_MAX, || {
        let answer = one.call(&token);
        assert_eq!(answer.status, 200, "{answer}");
        left(&answer) == told(&one)
    });
}

#[test]
fn a_caller_is_told_alike_by_each_gateway_how_many_are_left() {
    let server = RedisServer::start();
    let fleet = fleet(&server, "mode = \"exact\"", "");
    let token = kim_of("free");
    for round in 0..5 {
        for (at, scene) in fleet.iter().enumerate() {
            let used = round * 3 + at as u64 + 1;
            assert_eq!(left(&scene.call(&token)), 100 - used);
        }
    }
    for scene in &fleet {
        let standing = scene.ask(&Request::get("/auth/rate-limit").bearer(&token)).json();
        assert_eq!(standing["remaining"], 85, "{standing}");
        assert_eq!(standing["policies"][0]["name"], "minute", "{standing}");
    }
}

#[test]
fn tokens_taken_ahead_are_there_again_once_a_gateway_has_ended() {
    let server = RedisServer::start();
    let [mut one, other, _] = fleet(&server, "", "");
    let token = kim_of("free");
    assert_eq!(left(&one.call(&token)), 99);
    // One holds nine tokens more, which the other cannot see.
    let seen = other.ask(&Request::get("/auth/rate-limit").bearer(&token)).json();
    assert_eq!(seen["remaining"], 90, "{seen}");
    let (status, _) = one.doorward.sigterm_and_wait();
    assert!(status.success(), "{status}");
    let seen = other.ask(&Request::get("/auth/rate-limit").bearer(&token)).json();
    assert_eq!(seen["remaining"], 99, "{seen}");
}

#[test]
fn a_gateway_that_ends_while_redis_is_away_says_what_it_could_not_tell() {
    let mut server = RedisServer::start();
    let mut scene = gateway(&server.url(), "100ms", "mode = \"leased\"", HOURLY);
    assert_eq!(left(&scene.call(&kim_of("hourly"))), 99);
    server.stop();
    // Somebody else's, of whom no tokens are here.
    let token = Forged::new("u-8", "lee").tier("hourly").sign();
    wait_until(START_MAX, || {
        assert_eq!(scene.call(&token).status, 200);
        scene.metric("doorward_limit_store_up") == 0
    });
    let let_in = 100 - left(&scene.call(&token));
    let (status, _) = scene.doorward.sigterm_and_wait();
    assert!(status.success(), "{status}");
    scene.doorward.wait_for_log(&format!(
        "9 tokens taken ahead stay counted until they expire, and {let_in} requests that were let in \
         are not counted"
    ));
}

#[test]
fn a_caller_at_half_of_a_thousand_a_minute_costs_few_questions() {
    let server = RedisServer::start();
    let scene = gateway(&server.url(), PATIENT, "", "");
    let token = kim_of("premium");
    let line = scene.line();
    for _ in 0..500 {
        assert_eq!(line.ask(&Request::get("/api/x").bearer(&token)).status, 200);
    }
    // A lease is a hundred tokens, and asked for when a quarter is left.
    let asked = scene.metric("doorward_limit_store_calls_total");
    assert!(asked <= 10, "{asked} questions for 500 requests");
}

#[test]
fn hostile_ids_are_one_subject_and_one_key_each() {
    let server = RedisServer::start();
    let scene = gateway(&server.url(), PATIENT, "mode = \"exact\"", "");
    let long = "x".repeat(200);
    for id in ["a b", "{}", "}{x}", "a:b", "*", "é{", &long] {
        let token = Forged::new(id, "kim").tier("free").sign();
        assert_eq!(left(&scene.call(&token)), 99, "{id:?}");
        assert_eq!(left(&scene.call(&token)), 98, "{id:?}");
    }
    let counted = || {
        ["{doorward:tier:*", "{doorward:#sha256:*"].map(|keys| {
            match server.command(&["KEYS", keys]) {
                Ok(Reply::Array(keys)) => keys.len(),
                other => panic!("no keys: {other:?}"),
            }
        })
    };
    assert_eq!(counted(), [6, 1]);
    // No token is good that has one of these, so nobody is counted.
    for id in ["a\nb", &"x".repeat(10_000)] {
        let token = Forged::new(id, "kim").tier("free").sign();
        assert_eq!(scene.call(&token).status, 401, "{} bytes", id.len());
    }
    assert_eq!(counted(), [6, 1]);
}

#[test]
fn callers_at_several_gateways_share_the_count_of_a_route_that_is_limited_as_a_whole() {
    let server = RedisServer::start();
    let route = "[[routes]]\nname = \"few\"\npath = \"/few\"\nupstream = \"echo\"\n\
                 limits = [{ name = \"hour\", requests = 20, per = \"1h\" }]\nlimit_by = \"route\"";
    let fleet = fleet(&server, "mode = \"exact\"", route);
    let statuses = in_parallel(60, |index| {
        let token = Forged::new(&format!("u-{index}"), "kim").tier("free").sign();
        fleet[index % fleet.len()].ask(&Request::get("/few").bearer(&token)).status
    });
    assert_eq!(statuses.iter().filter(|&&status| status == 200).count(), 20, "{statuses:?}");
    let key = "{doorward:route%3Afew:route:few}";
    assert_eq!(server.command(&["EXISTS", key]).ok(), Some(Reply::Integer(1)));
}

#[test]
fn a_redis_that_is_away_from_the_start_keeps_nobody_from_starting_or_being_served() {
    let mut server = RedisServer::start();
    let url = server.url();
    server.stop();
    let scene = gateway(&url, PATIENT, "", "");
    assert!(scene.doorward.is_ready());
    assert_eq!(scene.call(&kim_of("free")).status, 200);
    server.restart();
    wait_until(START_MAX, || {
        scene.metric("doorward_limit_store_up") == 1 && scene.call(&kim_of("admin")).status == 200
    });
}

/// A route for each thing that may happen when Redis is lost.
const THREE_WAYS: &str = r#"
[[routes]]
name = "local"
path = "/local"
upstream = "echo"

[[routes]]
name = "free-for-all"
path = "/free-for-all"
upstream = "echo"
on_store_loss = "open"

[[routes]]
name = "closed"
path = "/closed"
upstream = "echo"
on_store_loss = "closed"
"#;

/// Who gateways are for Redis, and what it may be asked by them.
const WHO: [&str; 3] = ["doorward", "seven-herons", "~* &* +@all"];

/// A Redis that may be lost, and the way to it.
struct Losable {
    server: RedisServer,
    link: Link,
}

impl Losable {
    fn start() -> Self {
        let [user, password, rules] = WHO;
        let server = RedisServer::setup().user(user, password, rules).start();
        let link = Link::to(server.addr());
        Self { server, link }
    }

    #[track_caller]
    fn must(&self, words: &[&str]) {
        let answer = self.server.command(words).expect("Redis answers");
        assert!(!matches!(answer, Reply::Error(_)), "{words:?}: {answer:?}");
    }

    #[track_caller]
    fn set_password(&self, password: &str) {
        self.must(&["ACL", "SETUSER", WHO[0], "resetpass", &format!(">{password}")]);
        self.must(&["CLIENT", "KILL", "USER", WHO[0]]);
    }

    #[track_caller]
    fn lose(&mut self, way: &str) {
        match way {
            "killed" => self.server.stop(),
            "hung" => self.server.pause(),
            "refused" => self.link.cut(),
            "slow" => self.link.delay(Duration::from_secs(1)),
            "half-open" => self.link.stall(),
            "a replica" => self.must(&["REPLICAOF", "127.0.0.1", "1"]),
            "full" => self.must(&["CONFIG", "SET", "maxmemory", "1"]),
            "a wrong password" => self.set_password("another"),
            _ => unreachable!("no such way: {way}"),
        }
    }

    #[track_caller]
    fn mend(&mut self, way: &str) {
        match way {
            "killed" => self.server.restart(),
            "hung" => self.server.resume(),
            "refused" | "slow" | "half-open" => self.link.mend(),
            "a replica" => self.must(&["REPLICAOF", "NO", "ONE"]),
            "full" => self.must(&["CONFIG", "SET", "maxmemory", "0"]),
            "a wrong password" => self.set_password(WHO[1]),
            _ => unreachable!("no such way: {way}"),
        }
    }
}

/// What a route says happens when Redis is lost, for each way to lose it.
#[test]
fn each_route_does_as_it_says_however_redis_is_lost_and_recovers_without_a_restart() {
    lose_and_mend(&["killed", "hung", "refused", "slow", "half-open"]);
}

#[test]
fn each_route_does_as_it_says_when_redis_answers_and_does_nothing_and_recovers_without_a_restart() {
    lose_and_mend(&["a replica", "full", "a wrong password"]);
}

#[track_caller]
fn lose_and_mend(ways: &[&str]) {
    let mut redis = Losable::start();
    let url = redis.server.url_over(&redis.link);
    let scene = gateway(&url, "100ms", "mode = \"exact\"", THREE_WAYS);
    let line = scene.line();
    let health = || line.ask(&Request::get("/monitoring/health")).json();
    let mut lost_before = 0;
    for (n, &way) in ways.iter().enumerate() {
        let id = format!("u-{n}");
        let token = Forged::new(&id, "kim").tier("free").sign();
        let ask = |path: &str| line.ask(&Request::get(path).bearer(&token));
        assert_eq!(left(&ask("/local")), 99, "{way}");
        redis.lose(way);
        // Whoever finds out waits no longer than the budget.
        wait_until(START_MAX, || {
            ask("/free-for-all");
            scene.metric("doorward_limit_store_up") == 0
        });
        // What was found is told again for a second.
        wait_until(START_MAX, || {
            let health = health();
            health["components"]["redis"]["status"] == "unhealthy"
                && health["status"] == "degraded"
                && health["message"] == DEGRADED
        });
        // Whoever comes later does not wait: nothing is asked.
        let asked = scene.metric("doorward_limit_store_calls_total");
        let closed = ask("/closed");
        assert_problem(&closed, 503, "SERVICE_UNAVAILABLE", "Limits cannot be checked just now");
        for _ in 0..150 {
            assert_eq!(ask("/free-for-all").status, 200, "{way}");
        }
        assert_eq!(ask("/local").status, 429, "{way}: what was let in elsewhere counts");
        let other = Forged::new(&format!("other-{n}"), "kim").tier("free").sign();
        let admitted = (0..150)
            .filter(|_| line.ask(&Request::get("/local").bearer(&other)).status == 200)
            .count();
        assert_eq!(admitted, 100, "{way}: one gateway alone has the whole limit");
        assert_eq!(scene.metric("doorward_limit_store_calls_total"), asked, "{way}");
        let lost = scene.metric("doorward_limit_store_losses_total");
        assert!(lost > lost_before, "{way}");
        lost_before = lost;

        redis.mend(way);
        wait_until(START_MAX, || scene.metric("doorward_limit_store_up") == 1);
        wait_until(START_MAX, || {
            let health = health();
            health["components"]["redis"]["message"] == "Redis connection successful"
                && health["status"] == "healthy"
        });
        // What was let in meanwhile is counted there.
        wait_until(START_MAX, || {
            let standing = line.ask(&Request::get("/auth/rate-limit").bearer(&other)).json();
            standing["remaining"] == json!(0)
        });
        let fresh = Forged::new(&format!("fresh-{n}"), "kim").tier("free").sign();
        let answer = line.ask(&Request::get("/closed").bearer(&fresh));
        assert_eq!((answer.status, left(&answer)), (200, 99), "{way}");
    }
}

/// What Redis forgets while it works is no loss, for whichever route.
#[test]
fn a_redis_that_forgets_its_scripts_or_all_it_knows_is_not_lost() {
    let server = RedisServer::start();
    let scene = gateway(&server.url(), PATIENT, "mode = \"exact\"", THREE_WAYS);
    let line = scene.line();
    for (n, words) in [&["SCRIPT", "FLUSH"][..], &["FLUSHALL"]].into_iter().enumerate() {
        for path in ["/local", "/free-for-all", "/closed"] {
            let token = Forged::new(&format!("{path}-{n}"), "kim").tier("free").sign();
            let ask = || {
                let answer = line.ask(&Request::get(path).bearer(&token));
                assert_eq!(answer.status, 200, "{path}, {words:?}: {answer}");
                left(&answer)
            };
            assert_eq!([ask(), ask()], [99, 98]);
            server.command(words).expect("Redis answers");
            // What was counted is known still, or it begins anew.
            let first = if words == ["FLUSHALL"] { 99 } else { 97 };
            assert_eq!([ask(), ask()], [first, first - 1], "{path}, {words:?}");
            let health = line.ask(&Request::get("/monitoring/health")).json();
            assert_eq!(health["status"], "healthy", "{path}, {words:?}: {health}");
        }
    }
    assert_eq!(scene.metric("doorward_limit_store_losses_total"), 0);
    assert_eq!(scene.metric("doorward_limit_store_up"), 1);
}

#[test]
fn after_a_failover_the_new_master_is_found_behind_the_old_name() {
    let master = RedisServer::start();
    let replica = master.start_replica();
    let link = Link::to(master.addr());
    let scene = gateway(&master.url_over(&link), "1s", "mode = \"exact\"", "");
    let token = kim_of("free");
    assert_eq!(left(&scene.call(&token)), 99);
    master.fail_over_to(&replica);
    // The old master is there still, and refuses to write; the name leads elsewhere.
    link.lead_to(replica.addr());
    let key = "{doorward:tier:user:u-7}";
    let counted = || replica.command(&["GET", key]).expect("Redis answers");
    // Meanwhile this gateway counts for itself.
    wait_until(START_MAX, || {
        let before = counted();
        assert_eq!(scene.call(&token).status, 200);
        counted() != before
    });
    assert!(scene.metric("doorward_limit_store_losses_total") > 0);
}

#[test]
fn a_failover_that_lost_writes_admits_again_what_was_lost_and_no_more() {
    let mut master = RedisServer::start();
    let replica = master.start_replica();
    let link = Link::to(master.addr());
    let scene = gateway(&master.url_over(&link), PATIENT, "mode = \"exact\"", "");
    let token = kim_of("free");
    let key = "{doorward:tier:user:u-7}";
    let known = |server: &RedisServer| server.command(&["GET", key]).expect("Redis answers");
    for _ in 0..30 {
        assert_eq!(scene.call(&token).status, 200);
    }
    wait_until(START_MAX, || known(&replica) == known(&master));
    // From here on the replica hears nothing: 20 calls are counted that it will not know of.
    replica.promote();
    for _ in 0..20 {
        assert_eq!(scene.call(&token).status, 200);
    }
    master.stop();
    link.lead_to(replica.addr());
    let before = known(&replica);
    // By itself while it looks for the new master, within its own share: the limit, for it is alone.
    let mut meanwhile = 0;
    wait_until(START_MAX, || {
        meanwhile += u32::from(scene.call(&token).status == 200);
        known(&replica) != before
    });
    let more = (0..200).filter(|_| scene.call(&token).status == 200).count();
    let admitted = 50 + meanwhile as usize + more;
    assert!(
        (100..=120).contains(&admitted),
        "{admitted}: at most the 20 that were lost beyond 100"
    );
}

#[test]
fn a_lost_redis_is_said_once_and_its_password_never() {
    let mut server = RedisServer::setup().password("hunter2-of-redis").start();
    let url = server.url();
    assert!(url.contains("hunter2"), "{url}");
    let scene = gateway(&url, "100ms", "mode = \"exact\"", "");
    let token = kim_of("free");
    assert_eq!(left(&scene.call(&token)), 99);
    server.stop();
    for _ in 0..20 {
        assert_eq!(scene.call(&token).status, 200);
    }
    scene.doorward.wait_for_log("the limit store is lost");
    server.restart();
    scene.doorward.wait_for_log("the limit store works again");
    let log = scene.doorward.log();
    assert!(!log.contains("hunter2"), "{log}");
    assert_eq!(log.matches("the limit store is lost").count(), 1, "{log}");
}

/// A user of the access control list who may do what a probe does, and nothing for callers.
#[test]
fn a_redis_that_comes_and_goes_is_said_to_be_lost_once() {
    let rules = "~{doorward:%28probe%29:route:} ~{doorward:#gateways} +@all";
    let server = RedisServer::setup().user("doorward", "seven-herons", rules).start();
    let scene = gateway(&server.url(), PATIENT, "mode = \"exact\"", "");
    let (token, line) = (kim_of("free"), scene.line());
    let up = || scene.metric("doorward_limit_store_up") == 1;
    for _ in 0..4 {
        wait_until(START_MAX, up);
        wait_until(START_MAX, || {
            assert_ne!(line.ask(&Request::get("/api/x").bearer(&token)).status, 503);
            !up()
        });
    }
    scene.doorward.wait_for_log("the limit store comes and goes");
    let log = scene.doorward.log();
    for text in ["is lost", "comes and goes", "works again"] {
        let said = log.matches(&format!("the limit store {text}")).count();
        assert_eq!(said, 1, "`{text}` in {log}");
    }
}

#[test]
fn a_redis_that_forgets_when_it_is_full_is_warned_of() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]);
    let scene = gateway(&server.url(), PATIENT, "", "");
    scene.doorward.wait_for_log("Redis has `maxmemory-policy allkeys-lru`");
}

#[test]
fn a_cluster_of_three_masters_counts_as_one_redis_does() {
    let cluster = RedisCluster::start();
    let fleet = [1, 2].map(|_| gateway(&cluster.url(), PATIENT, "mode = \"exact\"", ""));
    let statuses = |id: &str| {
        let token = Forged::new(id, "kim").tier("free").sign();
        statuses(&fleet, 110, |scene| scene.call(&token))
    };
    for n in 0..6 {
        assert_eq!(statuses(&format!("u-{n}")), (100, 10));
    }
    let keys = cluster.masters().iter().map(|master| {
        let Ok(Reply::Integer(keys)) = master.command(&["DBSIZE"]) else { panic!("no size") };
        keys
    });
    let keys: Vec<_> = keys.collect();
    assert!(keys.iter().filter(|keys| **keys > 0).count() > 1, "they lie apart: {keys:?}");
}

#[test]
fn redis_is_reached_by_a_user_of_its_access_control_list_and_through_tls() {
    let authority = test_support::authority::Authority::new();
    let identity = authority.certifies(&["127.0.0.1"]);
    let tls = RedisServer::start_with_tls(&identity);
    let usual = crate::scene::USUAL;
    let config = format!(
        "environment = \"dev\"\n[redis]\nurl = \"{}\"\nca = {{ env = \"CA\" }}\n\
         call_timeout = \"5s\"\n{usual}\n",
        tls.url()
    )
    .replace("[limits]\n", "[limits]\nmode = \"exact\"\n");
    let root = std::fs::read_to_string(authority.root()).expect("a certificate");
    let scene = Scene::built(&config, |builder| builder.env("CA", &root));
    assert_eq!(left(&scene.call(&kim_of("free"))), 99);
    wait_until(START_MAX, || {
        scene.call(&kim_of("free"));
        tls.command(&["EXISTS", "{doorward:tier:user:u-7}"]).is_ok_and(|r| r == Reply::Integer(1))
    });

    let rules = ["~{doorward:*", "+@all", "-@dangerous"];
    let server = RedisServer::setup().user("doorward", "seven-herons", &rules.join(" ")).start();
    let scene = gateway(&server.url(), PATIENT, "mode = \"exact\"", "");
    assert_eq!(left(&scene.call(&kim_of("free"))), 99);
    let counted = server.command(&["EXISTS", "{doorward:tier:user:u-7}"]).expect("Redis answers");
    assert_eq!(counted, Reply::Integer(1));
}
