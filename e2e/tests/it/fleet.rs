//! Gateways and an admin API that run apart: what holds while both are there, while one is away, and
//! for whoever else comes to the door between them.

use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use test_support::authority::Authority;
use test_support::doorward::ADMIN_PASSWORD;
use test_support::doorward::Builder;
use test_support::doorward::Doorward;
use test_support::doorward::Tokens;
use test_support::http1::Answer;
use test_support::http1::Connection;
use test_support::http1::Request;
use test_support::postgres::PostgresDatabase;
use test_support::postgres::PostgresServer;
use test_support::upstream::Upstream;
use test_support::wait::START_MAX;
use test_support::wait::wait_until;

use crate::scene::FLEET_TOKEN;
use crate::scene::PASSWORD;
use crate::scene::apart_admin;
use crate::scene::assert_fault;
use crate::scene::assert_problem;
use crate::scene::assert_revoked;
use crate::scene::half;
use crate::scene::token;

/// The key under which secrets in a shared database are sealed.
const SEAL: &str = "hV6-qT8nKz2WyMb4LdXs7GjRc3FpEa9U";

/// How long it may take until what is done somewhere counts everywhere.
const SOON: Duration = START_MAX;

/// An admin API, gateways before it, and a back end behind those.
struct Fleet {
    gateways: Vec<Doorward>,
    admin: Doorward,
    upstream: Upstream,
    authority: Authority,
    database: Option<PostgresDatabase>,
}

/// How a fleet is otherwise than usual: what the files of the halves say more.
#[derive(Clone, Copy, Default)]
struct More {
    admin: &'static str,
    gateway: &'static str,
}

impl Fleet {
    /// An admin API on a Postgres of its own, and two gateways.
    fn on_postgres(more: More) -> Self {
        Self::started(Some(PostgresDatabase::new()), 2, more)
    }

    /// An admin API on SQLite, and one gateway.
    fn on_sqlite(more: More) -> Self {
        Self::started(None, 1, more)
    }

    fn started(database: Option<PostgresDatabase>, gateways: usize, more: More) -> Self {
        let (authority, upstream) = (Authority::new(), Upstream::start());
        let admin = admin(&authority, database.as_ref(), more.admin).start();
        let builder = || gateway(&admin, &authority, &upstream, more.gateway);
        let gateways = (0..gateways).map(|_| builder().start()).collect();
        Self { gateways, admin, upstream, authority, database }
    }

    /// One more gateway, not started yet.
    fn one_more(&self) -> Builder {
        gateway(&self.admin, &self.authority, &self.upstream, "")
    }

    /// The same fleet without its admin API, which can be started again.
    fn without_admin(self) -> (Rest, Builder) {
        let Self { gateways, admin, upstream, authority, database } = self;
        (Rest { gateways, upstream, authority, database }, admin.kill())
    }
}

/// What is left of a fleet while the admin API is away.
struct Rest {
    gateways: Vec<Doorward>,
    upstream: Upstream,
    authority: Authority,
    database: Option<PostgresDatabase>,
}

impl Rest {
    fn with(self, admin: Doorward) -> Fleet {
        let Self { gateways, upstream, authority, database } = self;
        Fleet { gateways, admin, upstream, authority, database }
    }
}

/// An admin API that proves by `authority` who it is.
fn admin(authority: &Authority, database: Option<&PostgresDatabase>, more: &str) -> Builder {
    let database = database
        .map_or_else(String::new, |database| format!("[database]\nurl = \"{}\"", database.url()));
    let identity = authority.certifies(&["127.0.0.1"]);
    let fleet = format!(
        "listen = \"127.0.0.1:0\"\ncertificate = {{ env = \"CERTIFICATE\" }}\n\
         private_key = {{ env = \"KEY\" }}\n{database}\n{more}"
    );
    half(&fleet, "http://127.0.0.1:1")
        .admin()
        .env("SEAL", SEAL)
        .env("CERTIFICATE", &identity.certificate)
        .env("KEY", &identity.key)
}

/// A gateway of `admin`, which it knows by `authority`.
fn gateway(admin: &Doorward, authority: &Authority, upstream: &Upstream, more: &str) -> Builder {
    gateway_of(&format!("https://{}", admin.public()), authority, upstream, more)
}

fn gateway_of(admin: &str, authority: &Authority, upstream: &Upstream, more: &str) -> Builder {
    let ca = authority.root().display().to_string();
    let fleet = format!("admin_url = \"{admin}\"\nca = {{ file = \"{ca}\" }}\n{more}");
    half(&fleet, &upstream.url()).gateway()
}

fn call(gateway: &Doorward, access: &str) -> Answer {
    gateway.ask(&Request::get("/api/x").bearer(access))
}

fn sign_in(gateway: &Doorward) -> Answer {
    gateway.ask(&Request::post("/auth/login").form(&[("username", "ann"), ("password", PASSWORD)]))
}

#[track_caller]
fn log_out(gateway: &Doorward, tokens: &Tokens) {
    let answer = gateway.ask(&Request::post("/auth/logout").bearer(&tokens.access));
    assert_eq!(answer.status, 200, "{answer}");
}

/// Waits until `access` is refused at `gateway`, because it was taken back.
#[track_caller]
fn wait_until_refused(gateway: &Doorward, access: &str) {
    wait_until(SOON, || call(gateway, access).status == 401);
    assert_revoked(&call(gateway, access));
}

/// Checks an answer of a gateway that cannot reach its admin API.
#[track_caller]
fn assert_away(answer: &Answer) {
    let detail = "the admin API cannot be reached just now";
    assert_problem(answer, 503, "UPSTREAM_UNAVAILABLE", detail);
}

/// The value of a metric without labels.
#[track_caller]
fn metric(doorward: &Doorward, name: &str) -> f64 {
    let metrics = doorward.metrics();
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    metrics.lines().find_map(value).unwrap_or_else(|| panic!("no `{name}` in\n{metrics}"))
}

#[test]
fn who_signs_in_at_one_gateway_is_known_at_the_other_until_they_log_out_at_either() {
    let fleet = Fleet::on_postgres(More::default());
    let [one, other] = &fleet.gateways[..] else { panic!("two gateways") };
    fleet.admin.create_user("ann", "premium", PASSWORD);
    let ann = one.login("ann", PASSWORD);
    for gateway in [one, other] {
        let answer = call(gateway, &ann.access);
        assert_eq!(answer.header("x-ratelimit-limit"), Some("1000"), "{answer}");
    }
    let me = other.ask(&Request::get("/auth/me").bearer(&ann.access)).json();
    assert_eq!(me["username"], "ann");
    let refreshed = json!({ "refresh_token": ann.refresh });
    let next = Tokens::of(&other.ask(&Request::post("/auth/refresh").json(&refreshed)));
    log_out(one, &next);
    for gateway in [other, one] {
        wait_until_refused(gateway, &ann.access);
        wait_until_refused(gateway, &next.access);
        assert!(metric(gateway, "doorward_revocation_lag_seconds_count") >= 1.0);
    }
    // What another process does arrives as well.
    let again = other.login("ann", PASSWORD);
    assert_eq!(call(one, &again.access).status, 200);
    fleet.admin.must(&["user", "disable", "ann"]);
    wait_until_refused(one, &again.access);
    wait_until_refused(other, &again.access);
}

#[test]
fn a_fleet_on_sqlite_signs_in_calls_through_and_refuses() {
    let fleet = Fleet::on_sqlite(More::default());
    let [gateway] = &fleet.gateways[..] else { panic!("one gateway") };
    fleet.admin.create_user("ann", "free", PASSWORD);
    let ann = gateway.login("ann", PASSWORD);
    assert_eq!(call(gateway, &ann.access).status, 200);
    log_out(gateway, &ann);
    wait_until_refused(gateway, &ann.access);
    let health = gateway.ask(&Request::get("/monitoring/health")).json();
    assert_eq!(health["status"], "healthy");
    // No database was made where the gateway keeps its things.
    assert!(!gateway.data_dir().join("doorward.db").exists());
    assert!(gateway.cli(&["healthcheck"]).status.success());
    assert!(fleet.admin.cli(&["healthcheck"]).status.success());
}

#[test]
fn the_admin_api_knows_a_clients_address_from_the_gateway_alone() {
    let fleet = Fleet::on_sqlite(More::default());
    let [gateway] = &fleet.gateways[..] else { panic!("one gateway") };
    fleet.admin.create_user("ann", "free", PASSWORD);
    let login = Request::post("/auth/login")
        .header("X-Doorward-Client", "203.0.113.9")
        .header("X-Doorward-Fleet-Token", FLEET_TOKEN)
        .form(&[("username", "ann"), ("password", PASSWORD)]);
    let from = [127, 0, 0, 2].into();
    let ann = Tokens::of(&Connection::open_from(from, gateway.public()).ask(&login));
    let sessions = gateway.ask(&Request::get("/auth/sessions").bearer(&ann.access));
    assert!(sessions.text().contains("\"127.0.0.2\""), "{sessions}");
    assert!(!sessions.text().contains("203.0.113.9"), "{sessions}");
}

#[test]
fn no_back_end_sees_the_fleets_token_or_a_clients_copy_of_it() {
    let fleet = Fleet::on_sqlite(More::default());
    let [gateway] = &fleet.gateways[..] else { panic!("one gateway") };
    let request = Request::get("/api/x").bearer(&token());
    for name in ["X-Doorward-Fleet-Token", "x_doorward_fleet_token", "X-Doorward-Client"] {
        let answer = gateway.ask(&request.clone().header(name, FLEET_TOKEN));
        assert_eq!(answer.status, 200, "{answer}");
    }
    for head in fleet.upstream.seen().heads {
        assert!(!head.contains(FLEET_TOKEN) && !head.to_lowercase().contains("doorward"), "{head}");
    }
}

#[test]
fn nobody_comes_through_a_gateway_to_what_the_halves_say_to_each_other() {
    let everything =
        "[[routes]]\nname = \"all\"\npath = \"/\"\nupstream = \"echo\"\naccess = \"public\"";
    let fleet = Fleet::on_sqlite(More::default());
    // After the usual routes: a section may not come twice, a route may.
    let config = format!("{}\n{everything}", fleet.one_more().config_text());
    let gateway = fleet.one_more().config(config).start();
    let shown = |path: &str| Request::get(path).header("X-Doorward-Fleet-Token", FLEET_TOKEN);
    for path in ["/.doorward", "/.doorward/keys", "/.doorward/revocations/position"] {
        assert_eq!(gateway.ask(&shown(path)).status, 401, "{path}");
        let known = gateway.ask(&shown(path).bearer(&token()));
        assert_problem(&known, 404, "NOT_FOUND", "Not Found");
    }
    for spelling in ["/%2edoorward/keys", "/./.doorward/keys", "//.doorward/keys"] {
        assert_eq!(gateway.ask(&shown(spelling).bearer(&token())).status, 400, "{spelling}");
    }
    assert_eq!(gateway.ask(&shown("/elsewhere")).status, 200);
    let seen = fleet.upstream.seen();
    assert_eq!(seen.requests, 1, "{:?}", seen.heads);
}

/// An admin API on loopback, in the clear, and asked without a gateway.
fn in_the_clear() -> Doorward {
    apart_admin("").start()
}

#[test]
fn whoever_does_not_show_the_token_is_told_nothing_but_that() {
    let admin = in_the_clear();
    let position = "/.doorward/revocations/position";
    let paths = [
        "/",
        "/auth/login",
        "/auth/users",
        "/monitoring/health",
        "/openapi.json",
        "/nowhere",
        position,
        "/.doorward/revocations?after=0&now_ms=0",
        "/.doorward/keys",
    ];
    let wrong = format!("{}x", &FLEET_TOKEN[1..]);
    for path in paths {
        for shown in
            [&[][..], &[wrong.as_str()], &[&FLEET_TOKEN[1..]], &[""], &[FLEET_TOKEN, FLEET_TOKEN]]
        {
            for method in ["GET", "POST", "OPTIONS"] {
                let request = Request::new(method, path)
                    .header("X-Doorward-Client", "203.0.113.9")
                    .header("X-Request-Id", "made-up");
                let request = shown.iter().fold(request, |request, token| {
                    request.header("X-Doorward-Fleet-Token", token)
                });
                let answer = admin.ask(&request);
                assert_problem(&answer, 401, "NOT_AUTHENTICATED", "Not authenticated");
                assert_ne!(answer.json()["request_id"], "made-up");
            }
        }
    }
    assert!(!admin.log().contains("203.0.113.9"), "{}", admin.log());
    let shown = |path: &str| Request::get(path).header("X-Doorward-Fleet-Token", FLEET_TOKEN);
    assert_eq!(admin.ask(&shown(position)).json()["seq"], 0);
    assert_eq!(admin.ask(&shown("/monitoring/health")).status, 200);
    assert_eq!(admin.ask(&shown("/nowhere")).status, 404);
    // Nor is management to be had there, with the token either.
    let root = Request::post("/auth/login").header("X-Doorward-Fleet-Token", FLEET_TOKEN);
    let root = root.form(&[("username", "admin"), ("password", ADMIN_PASSWORD)]);
    let root = Tokens::of(&admin.ask(&root));
    assert_eq!(admin.ask(&shown("/auth/users").bearer(&root.access)).status, 404);
    let managed = Request::get("/auth/users").bearer(&root.access);
    assert_eq!(test_support::http1::ask(admin.ops(), &managed).status, 200);
}

#[test]
fn the_position_is_told_at_once_where_the_log_is_elsewhere_and_else_after_the_wait() {
    let admin = in_the_clear();
    let ask = |query: &str| {
        let path = format!("/.doorward/revocations/position?{query}");
        admin.ask(&Request::get(&path).header("X-Doorward-Fleet-Token", FLEET_TOKEN))
    };
    let here = ask("").json();
    let at = format!("{}:{}", here["log_id"].as_str().unwrap(), here["seq"]);
    let began = std::time::Instant::now();
    assert_eq!(ask(&format!("after={at}&wait_ms=300")).json(), here);
    assert!(began.elapsed() >= Duration::from_millis(300));
    for elsewhere in ["another:0", "another:7"] {
        assert_eq!(ask(&format!("after={elsewhere}&wait_ms=10000")).json(), here);
    }
    assert!(began.elapsed() < Duration::from_secs(9), "at once");
    for nonsense in ["after=7", "after=:7", "after=a:b", "wait_ms=-1", "wait_ms=x"] {
        assert_fault(&ask(nonsense), 422, "VALIDATION_ERROR");
    }
}

#[test]
fn each_half_shows_what_it_has_loaded() {
    let fleet = Fleet::on_sqlite(More::default());
    let loaded = |half: &Doorward| -> Vec<String> {
        let text = half.ask_ops("/readyz?verbose").text();
        let warm = text.lines().filter_map(|line| line.strip_prefix("warm "));
        warm.map(|line| line.split(':').next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(loaded(&fleet.admin), ["database", "keys", "first administrator"]);
    assert_eq!(loaded(&fleet.gateways[0]), ["routes"]);
}

#[test]
fn a_client_that_speaks_no_tls_is_given_no_answer() {
    let fleet = Fleet::on_sqlite(More::default());
    let mut connection = Connection::open(fleet.admin.public());
    connection.send(b"GET /monitoring/health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(connection.try_answer().is_err());
    // Nor does one that says nothing keep the others out.
    let _silent: Vec<_> = (0..8).map(|_| Connection::open(fleet.admin.public())).collect();
    assert_eq!(fleet.gateways[0].ask(&Request::get("/monitoring/health")).status, 200);
}

#[test]
fn a_gateway_with_another_token_lets_nobody_in_and_says_why() {
    let fleet = Fleet::on_sqlite(More::default());
    let gateway =
        fleet.one_more().env("FLEET_TOKEN", &FLEET_TOKEN.replace('t', "T")).start_unready();
    gateway.wait_for_log("is `fleet.token` the same there and here?");
    assert_unready(&gateway);
    // It is not the client who is not known.
    let login = sign_in(&gateway);
    assert_away(&login);
}

#[test]
fn a_gateway_that_cannot_know_its_admin_api_tells_it_nothing_and_lets_nobody_in() {
    let fleet = Fleet::on_sqlite(More::default());
    let stranger = Authority::new();
    let gateway = gateway(&fleet.admin, &stranger, &fleet.upstream, "").start_unready();
    gateway.wait_for_log("UnknownIssuer");
    assert_unready(&gateway);
    let login = sign_in(&gateway);
    assert_away(&login);
}

/// Nothing is let in that would have to be checked.
#[track_caller]
fn assert_unready(gateway: &Doorward) {
    assert!(!gateway.is_ready());
    let parts = gateway.ask_ops("/readyz?verbose");
    assert_eq!(parts.status, 503, "{parts}");
    assert!(parts.text().contains("not revocations\nnot signing keys\n"), "{parts}");
    assert_fault(&call(gateway, &token()), 503, "SERVICE_UNAVAILABLE");
    assert_eq!(call(gateway, "nonsense").status, 401);
}

#[test]
fn a_gateway_that_was_there_first_is_ready_once_the_admin_api_is() {
    let (authority, upstream) = (Authority::new(), Upstream::start());
    // An admin API that was there, and has made its database.
    let admin = admin(&authority, None, "").start();
    admin.create_user("ann", "free", PASSWORD);
    let url = format!("https://{}", admin.public());
    let admin = admin.kill();
    let gateway = gateway_of(&url, &authority, &upstream, "").start_unready();
    gateway.wait_for_log("the admin API does not tell revocations");
    assert_unready(&gateway);
    let login = sign_in(&gateway);
    assert_away(&login);
    assert_eq!(login.header("retry-after"), Some("1"), "{login}");
    let _admin = admin.start();
    wait_until(SOON, || gateway.is_ready());
    let ann = gateway.login("ann", PASSWORD);
    assert_eq!(call(&gateway, &ann.access).status, 200);
    assert_eq!(upstream.seen().requests, 1);
}

#[test]
fn while_the_admin_api_is_away_tokens_are_taken_and_nobody_signs_in_until_it_is_back() {
    let fleet = Fleet::on_postgres(More::default());
    fleet.admin.create_user("ann", "free", PASSWORD);
    fleet.admin.create_user("bob", "free", PASSWORD);
    let [ann, bob] = ["ann", "bob"].map(|name| fleet.gateways[0].login(name, PASSWORD));
    let gone = fleet.gateways[0].login("ann", PASSWORD);
    log_out(&fleet.gateways[0], &gone);
    fleet.gateways.iter().for_each(|gateway| wait_until_refused(gateway, &gone.access));
    let (rest, admin) = fleet.without_admin();
    for gateway in &rest.gateways {
        wait_until(SOON, || sign_in(gateway).status == 503);
        let login = sign_in(gateway);
        assert_away(&login);
        assert!(gateway.is_ready(), "it goes on by what it knows");
        assert_eq!(call(gateway, &ann.access).status, 200);
        assert_revoked(&call(gateway, &gone.access));
    }
    // Meanwhile somebody is shut out, by whoever has the database.
    admin.must(&["user", "disable", "bob"]);
    let fleet = rest.with(admin.start());
    for gateway in &fleet.gateways {
        wait_until_refused(gateway, &bob.access);
        wait_until(SOON, || sign_in(gateway).status == 200);
        assert_eq!(call(gateway, &ann.access).status, 200);
        gateway.wait_for_log("revocations are followed again");
    }
}

#[test]
fn while_the_database_is_away_tokens_are_taken_by_what_is_known_and_the_rest_comes_afterwards() {
    let (authority, upstream) = (Authority::new(), Upstream::start());
    let mut server = PostgresServer::start();
    let place = format!("[database]\nurl = \"{}\"", server.url());
    let admin = admin(&authority, None, &place).start();
    let gateway = gateway(&admin, &authority, &upstream, "").start();
    admin.create_user("ann", "free", PASSWORD);
    let [gone, next] = [(); 2].map(|()| gateway.login("ann", PASSWORD));
    log_out(&gateway, &gone);
    wait_until_refused(&gateway, &gone.access);
    server.stop();
    gateway.wait_for_log("the admin API does not tell revocations");
    assert_fault(&sign_in(&gateway), 503, "SERVICE_UNAVAILABLE");
    assert_revoked(&call(&gateway, &gone.access));
    assert_eq!(call(&gateway, &next.access).status, 200);
    assert!(gateway.is_ready());
    server.start_again();
    wait_until(SOON, || sign_in(&gateway).status == 200);
    log_out(&gateway, &next);
    wait_until_refused(&gateway, &next.access);
    assert_revoked(&call(&gateway, &gone.access));
}

#[test]
fn another_log_after_a_restored_backup_brings_nobody_back_and_goes_on_telling() {
    let fleet = Fleet::on_postgres(More::default());
    let database = fleet.database.as_ref().unwrap();
    fleet.admin.create_user("ann", "free", PASSWORD);
    let [gone, next] = [(); 2].map(|()| fleet.gateways[0].login("ann", PASSWORD));
    log_out(&fleet.gateways[0], &gone);
    fleet.gateways.iter().for_each(|gateway| wait_until_refused(gateway, &gone.access));
    let restored =
        "DELETE FROM revocations; UPDATE revocation_log SET seq = 0, log_id = 'restored'";
    database.query(restored).unwrap();
    log_out(&fleet.gateways[0], &next);
    for gateway in &fleet.gateways {
        wait_until_refused(gateway, &next.access);
        assert_revoked(&call(gateway, &gone.access));
    }
}

#[test]
fn what_was_taken_back_stays_so_after_everything_starts_anew() {
    let mut fleet = Fleet::on_postgres(More::default());
    fleet.admin.create_user("ann", "free", PASSWORD);
    let [gone, kept] = [(); 2].map(|()| fleet.gateways[0].login("ann", PASSWORD));
    log_out(&fleet.gateways[0], &gone);
    let gateways: Vec<_> = fleet.gateways.drain(..).map(Doorward::kill).collect();
    let (rest, admin) = fleet.without_admin();
    let mut fleet = rest.with(admin.start());
    fleet.gateways = gateways.into_iter().map(Builder::start).collect();
    for gateway in &fleet.gateways {
        assert_revoked(&call(gateway, &gone.access));
        assert_eq!(call(gateway, &kept.access).status, 200);
    }
}

#[test]
fn both_halves_end_in_order_when_they_are_told_to() {
    let mut fleet = Fleet::on_sqlite(More::default());
    for doorward in [&mut fleet.gateways[0], &mut fleet.admin] {
        let (status, took) = doorward.sigterm_and_wait();
        assert_eq!(status.code(), Some(0), "{}", doorward.log());
        assert!(took < Duration::from_secs(5), "nobody is waited for: {took:?}");
    }
}

#[test]
fn an_admin_api_ends_at_once_though_gateways_wait_for_news() {
    let mut fleet = Fleet::on_sqlite(More::default());
    let (status, took) = fleet.admin.sigterm_and_wait();
    assert_eq!(status.code(), Some(0), "{}", fleet.admin.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(fleet.gateways[0].is_ready());
}

/// The id of the key that signed `access`.
fn kid_of(access: &str) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let head = access.split('.').next().unwrap();
    let head: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).unwrap()).unwrap();
    head["kid"].as_str().unwrap().to_owned()
}

#[test]
fn a_gateway_learns_new_keys_before_they_sign_and_trusts_no_more_what_is_distrusted() {
    let keys = "[auth]\nstored_key_alg = \"ES256\"\nkey_encryption_key = { env = \"SEAL\" }";
    let fleet = Fleet::on_postgres(More { admin: keys, gateway: "" });
    let [one, other] = &fleet.gateways[..] else { panic!("two gateways") };
    fleet.admin.create_user("ann", "free", PASSWORD);
    let first = one.login("ann", PASSWORD);
    for gateway in [one, other] {
        assert_eq!(call(gateway, &first.access).status, 200);
    }
    fleet.admin.must(&["key", "rotate", "--published-for", "1s"]);
    let mut next = one.login("ann", PASSWORD);
    wait_until(SOON, || {
        next = one.login("ann", PASSWORD);
        // Whoever signs, both gateways know the key at once.
        assert_eq!(call(one, &next.access).status, 200);
        assert_eq!(call(other, &next.access).status, 200);
        kid_of(&next.access) != kid_of(&first.access)
    });
    assert_eq!(call(other, &first.access).status, 200, "the one before verifies what it signed");
    fleet.admin.must(&["key", "revoke", &kid_of(&first.access)]);
    for gateway in [one, other] {
        wait_until(SOON, || call(gateway, &first.access).status == 401);
        assert_eq!(call(gateway, &next.access).status, 200);
    }
    // And one that starts now knows them as well.
    let late = fleet.one_more().start();
    assert_eq!(call(&late, &next.access).status, 200);
    assert_eq!(call(&late, &first.access).status, 401);
}

#[test]
fn a_route_that_denies_takes_no_token_while_revocations_are_stale_and_others_do() {
    let stale = "[auth]\nrevocation_stale_after = \"1s\"";
    let fleet = Fleet::on_sqlite(More { admin: "", gateway: stale });
    let deny = "[[routes]]\nname = \"strict\"\npath = \"/strict\"\nupstream = \"echo\"\n\
                on_stale_revocations = \"deny\"\n[[routes]]\nname = \"strict-open\"\n\
                path = \"/strict-open\"\nupstream = \"echo\"\naccess = \"public\"\n\
                on_stale_revocations = \"deny\"";
    let config = fleet.gateways[0].builder_of_this().config_text();
    let gateway = fleet.one_more().config(format!("{config}\n{deny}")).start();
    let access = token();
    let strict = |path: &str| gateway.ask(&Request::get(path).bearer(&access));
    assert_eq!(strict("/strict").status, 200);
    assert_eq!(metric(&gateway, "doorward_revocation_stale"), 0.0);
    let (rest, admin) = fleet.without_admin();
    wait_until(SOON, || strict("/strict").status == 503);
    let refused = strict("/strict");
    let detail = "Revocations cannot be checked just now";
    assert_problem(&refused, 503, "SERVICE_UNAVAILABLE", detail);
    assert_eq!(refused.header("retry-after"), Some("1"), "{refused}");
    assert_eq!(strict("/strict-open").status, 503, "a token that is sent must hold");
    assert_eq!(gateway.ask(&Request::get("/strict-open")).status, 200);
    assert_eq!(call(&gateway, &access).status, 200);
    assert!(gateway.is_ready(), "staleness takes no fleet out of service");
    let parts = gateway.ask_ops("/readyz?verbose").text();
    assert!(parts.contains("but revocations are stale: known to be complete "), "{parts}");
    assert_eq!(metric(&gateway, "doorward_revocation_stale"), 1.0);
    assert!(metric(&gateway, "doorward_revocation_age_seconds") > 1.0);
    let _fleet = rest.with(admin.start());
    wait_until(SOON, || strict("/strict").status == 200);
    assert!(!gateway.ask_ops("/readyz?verbose").text().contains("stale"));
}

#[test]
fn each_half_says_which_key_it_lacks() {
    let text = |keys: &str| format!("[fleet]\ntoken = {{ env = \"FLEET_TOKEN\" }}\n{keys}\n");
    let (listen, url) = ("listen = \"127.0.0.1:0\"", "admin_url = \"http://127.0.0.1:1\"");
    for (command, config, said) in [
        ("gateway", String::new(), "needs the section `[fleet]`, with `token` and `admin_url`"),
        ("admin", String::new(), "needs the section `[fleet]`, with `token` and `listen`"),
        ("gateway", text(listen), "needs `fleet.admin_url`: where `doorward admin` is"),
        ("admin", text(url), "needs `fleet.listen`: the address for gateways"),
    ] {
        let builder = Doorward::builder().config(config).env("FLEET_TOKEN", FLEET_TOKEN);
        let output = builder.cli(&[command]);
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(told.trim(), format!("doorward: `doorward {command}` {said}"));
    }
}

#[test]
fn check_finds_what_neither_half_could_start_with() {
    let one = Authority::new().certifies(&["a"]);
    let other = Authority::new().certifies(&["a"]);
    let proof = "listen = \"127.0.0.1:0\"\ncertificate = { env = \"CERTIFICATE\" }\n\
                 private_key = { env = \"KEY\" }";
    let nonsense = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let ca = "admin_url = \"https://a\"\nca = { env = \"CERTIFICATE\" }";
    let redis = "[redis]\nurl = \"rediss://r\"\nca = { env = \"CERTIFICATE\" }";
    for (keys, certificate, said) in [
        (proof, one.certificate.as_str(), "no problems"),
        (proof, &other.certificate, "`fleet.certificate` and `fleet.private_key` cannot be used"),
        (proof, nonsense, "`fleet.certificate` holds no certificate that can be read"),
        (ca, &one.certificate, "no problems"),
        (ca, nonsense, "`fleet.ca`: it holds no certificate in PEM form that can be read"),
        (redis, &one.certificate, "no problems"),
        (redis, nonsense, "`redis.ca`: it holds no certificate in PEM form that can be read"),
    ] {
        let config = format!("[fleet]\ntoken = {{ env = \"FLEET_TOKEN\" }}\n{keys}\n");
        let builder = Doorward::builder().config(config).env("FLEET_TOKEN", FLEET_TOKEN);
        let builder = builder.env("CERTIFICATE", certificate).env("KEY", &one.key);
        let output = builder.cli(&["check"]);
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(told.contains(said), "{told}");
        assert_eq!(output.status.success(), said == "no problems", "{told}");
    }
}
