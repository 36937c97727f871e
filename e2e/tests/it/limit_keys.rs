//! What is counted together, and what is not.

use std::net::Ipv4Addr;

use serde_json::json;
use test_support::http1::Answer;
use test_support::http1::Connection;
use test_support::http1::Request;

use crate::scene::Scene;
use crate::scene::token;
use crate::tokens::Forged;

/// Two requests a minute for whoever sends no token, behind a proxy that is believed or not.
fn open_to_two(trusted: &str) -> Scene {
    Scene::of(&format!(
        "[listen]\ntrusted_proxies = [{trusted}]\n\
         [limits]\nanonymous = [{{ name = \"minute\", requests = 2, per = \"1m\" }}]\n\
         [upstreams.echo]\nendpoints = [\"UPSTREAM\"]\n\
         [[routes]]\nname = \"open\"\npath = \"/open\"\nupstream = \"echo\"\naccess = \"public\""
    ))
}

#[track_caller]
fn from(scene: &Scene, forwarded: &str) -> u16 {
    scene.ask(&Request::get("/open/x").header("X-Forwarded-For", forwarded)).status
}

/// Spends a bucket of two through the first chains, and finds it spent through the others.
#[track_caller]
fn assert_one_bucket(scene: &Scene, chains: &[&str]) {
    for (index, chain) in chains.iter().enumerate() {
        let expected = if index < 2 { 200 } else { 429 };
        assert_eq!(from(scene, chain), expected, "{chain} after {index} others");
    }
}

#[test]
fn an_address_may_ask_sixty_times_a_minute_whatever_it_says_of_where_it_is() {
    let scene = Scene::usual();
    let mut admitted = 0;
    for n in 0..80 {
        let request = Request::get("/open/x")
            .header("X-Forwarded-For", &format!("198.51.100.{n}"))
            .header("X-Real-IP", &format!("198.51.100.{n}"))
            .header("Forwarded", &format!("for=198.51.100.{n}"))
            .header("X-User-Id", &n.to_string())
            .header("User-Agent", "kube-probe/1.30");
        let answer = scene.ask(&request);
        assert!(matches!(answer.status, 200 | 429), "{answer}");
        admitted += u64::from(answer.status == 200);
    }
    assert_eq!((admitted, scene.reached()), (60, 60));
}

#[test]
fn a_peer_that_is_not_trusted_stays_one_bucket() {
    let scene = open_to_two("\"10.0.0.0/8\"");
    assert_one_bucket(&scene, &["198.51.100.1", "198.51.100.2", "198.51.100.3", "10.0.0.1"]);
}

#[test]
fn behind_a_trusted_proxy_the_right_most_address_that_is_not_trusted_counts() {
    let scene = open_to_two("\"127.0.0.1/32\", \"10.0.0.0/8\"");
    assert_one_bucket(
        &scene,
        &[
            "198.51.100.1",
            "192.0.2.1, 198.51.100.1",
            "192.0.2.2, 198.51.100.1",
            "198.51.100.1, 10.0.0.9",
            "192.0.2.3, 198.51.100.1,10.0.0.8, 10.0.0.9",
        ],
    );
    assert_one_bucket(&scene, &["198.51.100.2", "198.51.100.2", "198.51.100.2"]);
}

#[test]
fn two_lines_of_a_forwarded_chain_are_one_chain() {
    let scene = open_to_two("\"127.0.0.1/32\"");
    let twice = |first: &str| {
        let request = Request::get("/open/x").header("X-Forwarded-For", first);
        scene.ask(&request.header("X-Forwarded-For", "198.51.100.1")).status
    };
    assert_eq!([twice("192.0.2.1"), twice("192.0.2.2"), twice("192.0.2.3")], [200, 200, 429]);
}

#[test]
fn a_chain_of_garbage_is_the_peers_own_address_and_never_no_limit() {
    let scene = open_to_two("\"127.0.0.1/32\"");
    assert_one_bucket(
        &scene,
        &["unknown", "", "_hidden", "999.1.1.1", "198.51.100.1, ???", "127.1"],
    );
}

#[test]
fn a_v6_address_is_counted_by_its_network_of_64_bits() {
    let scene = open_to_two("\"127.0.0.1/32\"");
    assert_one_bucket(
        &scene,
        &["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:2:1:2:3:4", "[2001:db8:1:2::7]"],
    );
    assert_one_bucket(&scene, &["2001:db8:1:3::1", "2001:db8:1:3::1", "2001:db8:1:3::1"]);
}

#[test]
fn a_v4_address_in_v6_clothes_is_the_v4_address() {
    let scene = open_to_two("\"127.0.0.1/32\"");
    assert_one_bucket(&scene, &["198.51.100.1", "::ffff:198.51.100.1", "::ffff:c633:6401"]);
}

#[test]
fn a_caller_with_a_token_spends_its_own_quota_on_a_public_route_and_not_the_addresses() {
    let scene = open_to_two("");
    let kim = Forged::new("u-7", "kim").sign();
    for _ in 0..5 {
        assert_eq!(scene.ask(&Request::get("/open/x").bearer(&kim)).status, 200);
    }
    assert_one_bucket(&scene, &["-", "-", "-"]);
    let answer = scene.ask(&Request::get("/open/x").bearer(&kim));
    assert_eq!((answer.status, answer.number("x-ratelimit-remaining")), (200, 94));
}

#[test]
fn two_clients_at_different_addresses_share_nothing() {
    let scene = open_to_two("");
    let public = scene.doorward.public();
    for host in 1..=3 {
        let address = Ipv4Addr::new(127, 0, 0, host);
        let ask = || Connection::open_from(address.into(), public).ask(&Request::get("/open/x"));
        let statuses = [ask().status, ask().status, ask().status];
        assert_eq!(statuses, [200, 200, 429], "{address}");
    }
}

fn route(name: &str, more: &str) -> String {
    format!("[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nupstream = \"echo\"\n{more}\n")
}

#[test]
fn routes_that_name_the_same_counter_share_it_and_others_do_not() {
    let limits = "limits = [{ name = \"minute\", requests = 2, per = \"1m\" }]\n";
    let shared = format!("{limits}policy = \"both\"");
    let scene = Scene::with(
        &[route("r1", &shared), route("r2", &shared), route("r3", limits), route("r4", limits)]
            .concat(),
    );
    let ask = |path: &str| scene.ask(&Request::get(path).bearer(&token())).status;
    assert_eq!([ask("/r1"), ask("/r2/x"), ask("/r1/y"), ask("/r2")], [200, 200, 429, 429]);
    assert_eq!([ask("/r3"), ask("/r3"), ask("/r3")], [200, 200, 429]);
    assert_eq!([ask("/r4"), ask("/r4"), ask("/r4")], [200, 200, 429]);
    assert_eq!(ask("/api/x"), 200);
}

/// Two requests an hour, counted together as `limit_by` says.
fn two_an_hour(name: &str, limit_by: &str, more: &str) -> String {
    let limits = "limits = [{ name = \"hour\", requests = 2, per = \"1h\" }]";
    route(name, &format!("{limits}\nlimit_by = \"{limit_by}\"\n{more}"))
}

/// Asks from another address of this machine.
fn ask_from(scene: &Scene, host: u8, request: &Request) -> Answer {
    let address = Ipv4Addr::new(127, 0, 0, host);
    Connection::open_from(address.into(), scene.doorward.public()).ask(request)
}

fn token_of(user: &str) -> String {
    Forged::new(user, "kim").sign()
}

#[test]
fn two_users_share_the_count_of_a_route_that_is_limited_as_a_whole() {
    let scene = Scene::with(&two_an_hour("all", "route", "access = \"public\""));
    let [kim, lee] = ["u-7", "u-8"].map(token_of);
    let ask = |host, token: &str| ask_from(&scene, host, &Request::get("/all").bearer(token));
    let first = ask(1, &kim);
    assert_eq!((first.status, first.number("x-ratelimit-remaining")), (200, 1), "{first}");
    assert_eq!(first.all("ratelimit-policy"), ["\"hour\";q=2;w=3600"], "{first}");
    let second = ask(2, &lee);
    assert_eq!((second.status, second.number("x-ratelimit-remaining")), (200, 0), "{second}");
    // From wherever, by whomever, and by nobody as well.
    for refused in [ask(3, &kim), ask(1, &lee), ask_from(&scene, 4, &Request::get("/all"))] {
        assert_eq!(refused.status, 429, "{refused}");
        assert_eq!(refused.json()["violated-policies"], json!(["hour"]));
        assert!((1..=3661).contains(&refused.number("retry-after")), "{refused}");
    }
    assert_eq!(scene.reached(), 2);
    // Each has spent one of its own tier, and none where it was refused.
    for token in [&kim, &lee] {
        let standing = scene.ask(&Request::get("/auth/rate-limit").bearer(token)).json();
        assert_eq!(standing["remaining"], 99, "{standing}");
        let names: Vec<_> = standing["policies"].as_array().unwrap().iter().collect();
        assert_eq!(names.len(), 1, "the tier's own: {standing}");
    }
}

#[test]
fn by_address_one_user_has_a_count_at_each_and_two_share_that_of_one() {
    let scene = Scene::with(&two_an_hour("near", "address", ""));
    let [kim, lee] = ["u-7", "u-8"].map(token_of);
    let ask = |host, token: &str| ask_from(&scene, host, &Request::get("/near").bearer(token));
    let statuses = |asked: [Answer; 3]| asked.map(|answer| answer.status);
    assert_eq!(statuses([ask(1, &kim), ask(1, &kim), ask(1, &kim)]), [200, 200, 429]);
    assert_eq!(statuses([ask(2, &kim), ask(2, &lee), ask(2, &kim)]), [200, 200, 429]);
    assert_eq!(ask(2, &lee).status, 429);
    assert_eq!(ask(3, &lee).number("x-ratelimit-remaining"), 1);
}

#[test]
fn by_caller_each_user_has_a_count_wherever_it_is_as_where_nothing_is_said() {
    let limits = "limits = [{ name = \"hour\", requests = 2, per = \"1h\" }]";
    let scene = Scene::with(&[two_an_hour("said", "caller", ""), route("unsaid", limits)].concat());
    let [kim, lee] = ["u-7", "u-8"].map(token_of);
    for path in ["/said", "/unsaid"] {
        let ask = |host, token: &str| ask_from(&scene, host, &Request::get(path).bearer(token));
        let statuses = [ask(1, &kim), ask(2, &kim), ask(3, &kim), ask(1, &lee)];
        assert_eq!(statuses.map(|answer| answer.status), [200, 200, 429, 200], "{path}");
    }
}

#[test]
fn routes_that_are_limited_as_a_whole_share_a_count_where_they_name_the_same() {
    let both = "policy = \"both\"";
    let routes = [("r1", both), ("r2", both), ("r3", ""), ("r4", "")];
    let scene = Scene::with(&routes.map(|(name, more)| two_an_hour(name, "route", more)).concat());
    let ask = |path: &str| scene.ask(&Request::get(path).bearer(&token())).status;
    assert_eq!([ask("/r1"), ask("/r2"), ask("/r1"), ask("/r2")], [200, 200, 429, 429]);
    assert_eq!([ask("/r3"), ask("/r3"), ask("/r3"), ask("/r4")], [200, 200, 429, 200]);
}

#[test]
fn a_refusal_of_a_routes_own_limit_takes_nothing_from_the_tier() {
    let scene =
        Scene::with(&route("few", "limits = [{ name = \"few\", requests = 1, per = \"1m\" }]"));
    let kim = Forged::new("u-7", "kim").sign();
    let ask = |path: &str| scene.ask(&Request::get(path).bearer(&kim));
    assert_eq!(ask("/few").status, 200);
    for _ in 0..10 {
        let refused = ask("/few");
        assert_eq!(refused.status, 429, "{refused}");
        assert_eq!(refused.json()["violated-policies"], json!(["few"]));
    }
    assert_eq!(ask("/api/x").number("x-ratelimit-remaining"), 98);
}

#[test]
fn a_costly_request_counts_as_many() {
    let scene = Scene::with(
        &[
            route("search", "cost = 5"),
            "[tiers.dozen]\nlimits = [{ name = \"minute\", requests = 12, per = \"1m\" }]"
                .to_owned(),
        ]
        .concat(),
    );
    let kim = Forged::new("u-7", "kim").tier("dozen").sign();
    let ask = |path: &str| {
        let answer = scene.ask(&Request::get(path).bearer(&kim));
        (answer.status, answer.number("x-ratelimit-remaining"))
    };
    assert_eq!(ask("/search"), (200, 7));
    assert_eq!(ask("/search"), (200, 2));
    assert_eq!(ask("/search"), (429, 2));
    assert_eq!([ask("/api/x"), ask("/api/x"), ask("/api/x")], [(200, 1), (200, 0), (429, 0)]);
}

#[test]
fn limits_in_the_shadow_count_and_refuse_nobody() {
    let scene = Scene::with(
        &[
            route(
                "tried",
                "shadow = true\nlimits = [{ name = \"tried\", requests = 1, per = \"1m\" }]",
            ),
            "[tiers.three]\nlimits = [{ name = \"minute\", requests = 3, per = \"1m\" }]"
                .to_owned(),
        ]
        .concat(),
    );
    let kim = Forged::new("u-7", "kim").tier("three").sign();
    let ask = |path: &str| scene.ask(&Request::get(path).bearer(&kim)).status;
    let statuses: Vec<u16> = (0..10).map(|_| ask("/tried")).collect();
    assert_eq!(statuses, [200; 10]);
    assert_eq!(scene.reached(), 10);
}
