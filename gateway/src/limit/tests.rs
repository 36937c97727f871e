//! Several policies on one request, at moments that a test chooses.

use std::time::Duration;

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
        let text = format!(
            "[limits]\nanonymous = [{{ name = \"minute\", requests = 5, per = \"1m\" }}]\n\
             [upstreams.u]\nendpoints = [\"http://127.0.0.1:1\"]\n\
             [[routes]]\nname = \"r\"\npath = \"/\"\nupstream = \"u\"\naccess = \"public\"\n\
             limits = [{limits}]\n{more}"
        );
        let config = config::parse("test", &text, &|_| None).expect("good");
        Self {
            limiter: Limiter::new(&config, Counters::here(&config)),
            routes: RouteTable::new(&config),
        }
    }

    async fn take(&self, at_s: u64) -> Result<Grant, LimitError> {
        let now = START.plus(Duration::from_secs(at_s));
        let route = &self.routes.routes()[0];
        self.limiter.take(route, &Visitor::Anonymous, UNKNOWN, now).await
    }

    async fn left(&self, at_s: u64) -> u32 {
        let now = START.plus(Duration::from_secs(at_s));
        let grant = self.limiter.peek(&Visitor::Anonymous, UNKNOWN, now).await.expect("memory");
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
