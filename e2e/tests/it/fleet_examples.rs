//! The files of config/examples as the fleet that they describe: three gateways and two admin APIs
//! behind one name, on a Postgres and a Redis, with what deploy/demo/secrets.sh makes.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::RwLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use test_support::doorward::ADMIN_PASSWORD;
use test_support::doorward::Builder;
use test_support::doorward::Doorward;
use test_support::doorward::Tokens;
use test_support::http1::Answer;
use test_support::http1::Connection;
use test_support::http1::Request;
use test_support::place::free_dir;
use test_support::postgres::PostgresDatabase;
use test_support::redis::RedisServer;
use test_support::redis::Reply;
use test_support::upstream::Echo;
use test_support::upstream::Upstream;
use test_support::wait::START_MAX;
use test_support::wait::wait_until;
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::runtime::Runtime;

use crate::scene::PASSWORD;
use crate::scene::assert_revoked;
use crate::scene::in_parallel;

const ADMIN: &str = include_str!("../../../config/examples/fleet-admin.toml");
const GATEWAY: &str = include_str!("../../../config/examples/fleet-gateway.toml");

/// How long it may take until what is done somewhere counts everywhere.
const SOON: Duration = START_MAX;

/// What Redis asks for.
const REDIS_PASSWORD: &str = "five-otters-under-the-bridge";

/// How often in a row a client of the rolling restart may be sent away: a connection that ends, then a
/// gateway that is not there, then one that ends meanwhile, and as often again.
const SENT_AWAY_MAX: usize = 6;

/// One address for several servers, as a balancer would have it: connections go to each in turn, and
/// past those that are not there.
struct Turns {
    addr: SocketAddr,
    _runtime: Runtime,
}

impl Turns {
    fn among(servers: Vec<SocketAddr>) -> Self {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        runtime.spawn(async move {
            for turn in 0.. {
                let Ok((mut client, _)) = listener.accept().await else { return };
                let mut order = servers.clone();
                order.rotate_left(turn % servers.len());
                tokio::spawn(async move {
                    for server in order {
                        let Ok(mut server) = TcpStream::connect(server).await else { continue };
                        // Whichever side ends it, it is ended.
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                        return;
                    }
                });
            }
        });
        Self { addr, _runtime: runtime }
    }
}

struct Fleet {
    gateways: Vec<Doorward>,
    admins: Vec<Doorward>,
    _turns: Turns,
    upstream: Upstream,
    redis: RedisServer,
    _database: PostgresDatabase,
    // Read again by every command and at every start.
    _secrets: [TempDir; 2],
}

/// An example with its places in this test's own world.
fn example(text: &str, places: &[(&str, &str)]) -> String {
    places.iter().fold(text.to_owned(), |text, (written, here)| {
        assert!(text.contains(written), "no `{written}` in the example");
        text.replace(written, here)
    })
}

/// Runs the script of the demo.
fn make_secrets(admin: &Path, gateway: &Path, name: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/demo/secrets.sh");
    let made = Command::new("sh").arg(script).args([admin, gateway]).arg(name).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn admin(database: &PostgresDatabase, redis: &RedisServer, secrets: &str) -> Builder {
    let places = [
        ("postgres://doorward@db:5432/doorward", &*database.url()),
        ("redis://redis:6379/0", &format!("redis://{}/0", redis.addr())),
        ("/run/secrets", secrets),
    ];
    Doorward::builder()
        .admin()
        .config(example(ADMIN, &places))
        .without_env("JWT_SECRET_KEY")
        .env("POSTGRES_PASSWORD", "not-asked-for")
        .env("REDIS_PASSWORD", REDIS_PASSWORD)
}

fn gateway(admin: &str, redis: &RedisServer, upstream: &Upstream, secrets: &str) -> Builder {
    let password = "password = { env = \"REDIS_PASSWORD\" }";
    let places = [
        ("https://admin.internal:9443", admin),
        ("http://orders.internal:8000", &upstream.url()),
        ("redis://redis:6379/0", &format!("redis://{}/0", redis.addr())),
        // A busy machine is slower than any of these says.
        (password, &format!("{password}\ncall_timeout = \"5s\"")),
        ("/run/secrets", secrets),
    ];
    Doorward::builder()
        .gateway()
        .config(example(GATEWAY, &places))
        .without_env("JWT_SECRET_KEY")
        .env("REDIS_PASSWORD", REDIS_PASSWORD)
}

impl Fleet {
    fn start() -> Self {
        let (database, upstream) = (PostgresDatabase::new(), Upstream::start());
        let redis = RedisServer::setup().password(REDIS_PASSWORD).start();
        let secrets = [free_dir(), free_dir()];
        let [of_admins, of_gateways] = secrets.each_ref().map(|dir| dir.path());
        make_secrets(of_admins, of_gateways, "localhost");
        let admins =
            [(); 2].map(|()| admin(&database, &redis, &of_admins.display().to_string()).start());
        let turns = Turns::among(admins.iter().map(Doorward::public).collect());
        let name = format!("https://localhost:{}", turns.addr.port());
        let of_gateways = of_gateways.display().to_string();
        let gateways =
            [(); 3].map(|()| gateway(&name, &redis, &upstream, &of_gateways).start()).into();
        Self {
            gateways,
            admins: admins.into(),
            _turns: turns,
            upstream,
            redis,
            _database: database,
            _secrets: secrets,
        }
    }

    /// Adds somebody who may read and write orders.
    fn employ(&self, name: &str, tier: &str) {
        let admin = self.admins.last().unwrap();
        admin.create_user(name, tier, PASSWORD);
        admin.must(&["user", "set-role", name, "editor"]);
    }
}

fn read(gateway: &Doorward, access: &str) -> Answer {
    gateway.ask(&Request::get("/orders").bearer(access))
}

#[track_caller]
fn log_out(gateway: &Doorward, tokens: &Tokens) {
    let answer = gateway.ask(&Request::post("/auth/logout").bearer(&tokens.access));
    assert_eq!(answer.status, 200, "{answer}");
}

#[track_caller]
fn wait_until_refused(gateway: &Doorward, access: &str) {
    wait_until(SOON, || read(gateway, access).status == 401);
    assert_revoked(&read(gateway, access));
}

#[test]
fn who_signs_in_at_one_gateway_calls_through_all_until_they_log_out_at_any() {
    let fleet = Fleet::start();
    fleet.employ("ann", "free");
    for gateway in &fleet.gateways {
        let ann = gateway.login("ann", PASSWORD);
        for other in &fleet.gateways {
            for method in ["GET", "POST"] {
                let answer = other.ask(&Request::new(method, "/orders").bearer(&ann.access));
                assert_eq!(answer.status, 200, "{answer}");
            }
        }
        log_out(gateway, &ann);
        fleet.gateways.iter().for_each(|other| wait_until_refused(other, &ann.access));
    }
    // A person without the role of the example is known, and has no business here.
    fleet.admins[0].create_user("bob", "free", PASSWORD);
    let bob = fleet.gateways[0].login("bob", PASSWORD);
    assert_eq!(read(&fleet.gateways[1], &bob.access).status, 403);
    // As the image asks, and as the demo does: by the data directory alone.
    for doorward in fleet.gateways.iter().chain(&fleet.admins) {
        let place = doorward.data_dir().display().to_string();
        let bare = Doorward::builder().env("REDIS_PASSWORD", REDIS_PASSWORD);
        let bare = bare.data_at(&doorward.data_dir()).env("POSTGRES_PASSWORD", "not-asked-for");
        assert!(bare.cli(&["healthcheck"]).status.success(), "{place}");
    }
}

#[test]
fn the_command_of_the_readme_signs_in_at_one_gateway_and_calls_through_the_other() {
    let fleet = Fleet::start();
    let readme = include_str!("../../../README.md");
    let command = readme.split("\n./dev demo\n").nth(1).unwrap().split("\n```").next().unwrap();
    let [one, other] = [0, 1].map(|at| fleet.gateways[at].public().to_string());
    let places = [
        ("127.0.0.1:8080", &*one),
        ("127.0.0.1:8081", &*other),
        ("doorward-dev-only", ADMIN_PASSWORD),
    ];
    let told = Command::new("sh").args(["-c", &example(command, &places)]).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let text = String::from_utf8(told.stdout).unwrap();
    let seen = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(Echo::from_json(&seen).header("x-username"), Some("admin"));
}

#[test]
fn of_two_hundred_requests_at_three_gateways_a_hundred_are_let_in_to_the_unit() {
    let fleet = Fleet::start();
    fleet.employ("ann", "free");
    let ann = fleet.gateways[0].login("ann", PASSWORD);
    let ask = |index: usize| read(&fleet.gateways[index % 3], &ann.access).status;
    let statuses = in_parallel(200, ask);
    let count = |status: u16| statuses.iter().filter(|&&seen| seen == status).count();
    assert_eq!((count(200), count(429)), (100, 100), "{statuses:?}");
    assert_eq!(fleet.upstream.seen().of("/orders"), 100);
    // It was Redis that counted.
    let Ok(Reply::Array(keys)) = fleet.redis.command(&["KEYS", "{doorward:tier:*"]) else {
        panic!("no keys");
    };
    assert_eq!(keys.len(), 1);
}

#[test]
fn an_admin_api_that_is_killed_is_not_missed_where_there_is_another() {
    let mut fleet = Fleet::start();
    fleet.employ("ann", "admin");
    let [ann, gone] = [(); 2].map(|()| fleet.gateways[0].login("ann", PASSWORD));
    log_out(&fleet.gateways[1], &gone);
    fleet.gateways.iter().for_each(|gateway| wait_until_refused(gateway, &gone.access));
    let killed = fleet.admins.remove(0).kill();
    for gateway in &fleet.gateways {
        assert_eq!(read(gateway, &ann.access).status, 200);
        assert_revoked(&read(gateway, &gone.access));
        // Whoever was on a connection to the one that is gone is told so, and comes again.
        wait_until(SOON, || {
            let form = [("username", "ann"), ("password", PASSWORD)];
            let answer = gateway.ask(&Request::post("/auth/login").form(&form));
            assert!(matches!(answer.status, 200 | 502 | 503), "{answer}");
            answer.status == 200
        });
        assert!(gateway.is_ready());
    }
    let next = fleet.gateways[2].login("ann", PASSWORD);
    log_out(&fleet.gateways[0], &next);
    fleet.gateways.iter().for_each(|gateway| wait_until_refused(gateway, &next.access));
    let back = killed.start();
    back.must(&["user", "disable", "ann"]);
    fleet.gateways.iter().for_each(|gateway| wait_until_refused(gateway, &ann.access));
}

/// Clients of several gateways, and what became of their requests.
struct Crowd {
    gateways: RwLock<Vec<SocketAddr>>,
    answered: Mutex<BTreeMap<SocketAddr, u64>>,
    is_enough: AtomicBool,
}

impl Crowd {
    fn answered_by(&self, gateway: SocketAddr) -> u64 {
        self.answered.lock().unwrap().get(&gateway).copied().unwrap_or(0)
    }

    /// Asks for `path` with `access` again and again, and takes no other answer than `status`. Where
    /// nobody lets it in, or a connection ends before an answer, it goes to the next gateway.
    fn ask_on(&self, path: &str, access: &str, status: u16) {
        let request = Request::get(path).bearer(access);
        let (mut kept, mut turn, mut sent_away) = (None, 0, 0);
        while !self.is_enough.load(Ordering::Relaxed) {
            assert!(sent_away <= SENT_AWAY_MAX, "nobody answers");
            sent_away += 1;
            let (gateway, mut connection) = match kept.take() {
                Some(kept) => kept,
                None => {
                    let gateways = self.gateways.read().unwrap();
                    turn = (turn + 1) % gateways.len();
                    let Ok(fresh) = Connection::try_open(gateways[turn]) else { continue };
                    (gateways[turn], fresh)
                }
            };
            let Ok(answer) = connection.try_ask(&request) else { continue };
            assert_eq!(answer.status, status, "{answer}");
            sent_away = 0;
            let mut answered = self.answered.lock().unwrap();
            let count = answered.entry(gateway).or_insert(0);
            *count += 1;
            // Now and then another gateway, and a connection that was just made.
            if !count.is_multiple_of(8) {
                kept = Some((gateway, connection));
            }
        }
    }
}

#[test]
fn gateways_are_restarted_one_after_the_other_and_no_client_gets_a_wrong_answer() {
    let mut fleet = Fleet::start();
    fleet.employ("ann", "admin");
    let [ann, gone] = [(); 2].map(|()| fleet.gateways[0].login("ann", PASSWORD));
    log_out(&fleet.gateways[0], &gone);
    fleet.gateways.iter().for_each(|gateway| wait_until_refused(gateway, &gone.access));
    let before = fleet.upstream.seen().requests;
    let crowd = Crowd {
        gateways: RwLock::new(fleet.gateways.iter().map(Doorward::public).collect()),
        answered: Mutex::default(),
        is_enough: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        let reading = || crowd.ask_on("/orders/7", &ann.access, 200);
        let refused = || crowd.ask_on("/orders/8", &gone.access, 401);
        let clients = [scope.spawn(reading), scope.spawn(reading), scope.spawn(refused)];
        let is_served = |gateway: SocketAddr| {
            wait_until(SOON, || {
                clients.iter().all(|client| !client.is_finished())
                    && crowd.answered_by(gateway) > 50
            });
        };
        // Whatever becomes of it, the clients are told to end: they would go on for ever.
        let restarted = catch_unwind(AssertUnwindSafe(|| {
            for (at, gateway) in fleet.gateways.iter_mut().enumerate() {
                is_served(gateway.public());
                let (status, _) = gateway.sigterm_and_wait();
                assert_eq!(status.code(), Some(0), "{}", gateway.log());
                *gateway = gateway.builder_of_this().clone().start();
                crowd.gateways.write().unwrap()[at] = gateway.public();
                is_served(gateway.public());
            }
        }));
        crowd.is_enough.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().unwrap();
        }
        restarted.unwrap();
    });
    // Who was sent away without an answer had not come through either.
    let seen = fleet.upstream.seen();
    assert_eq!(seen.of("/orders/8"), 0);
    assert_eq!(seen.requests - before, seen.of("/orders/7"));
}

#[test]
fn the_demos_secrets_are_made_once_and_are_nobody_elses() {
    let dirs = [free_dir(), free_dir(), free_dir(), free_dir()];
    let [admin, gateway, other, others] = dirs.each_ref().map(|dir| dir.path());
    make_secrets(admin, gateway, "admin.internal");
    let text = |dir: &Path, name: &str| fs::read_to_string(dir.join(name)).unwrap();
    let (token, key) = (text(admin, "fleet-token"), text(admin, "fleet-key.pem"));
    assert_eq!(text(gateway, "fleet-token"), token);
    // A gateway has nothing by which it could be an admin API.
    let mut names: Vec<_> =
        fs::read_dir(gateway).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["fleet-ca.pem", "fleet-token"]);
    // What gateways lost they get again; it is not made anew.
    fs::remove_file(gateway.join("fleet-token")).unwrap();
    make_secrets(admin, gateway, "admin.internal");
    assert_eq!((text(admin, "fleet-token"), text(admin, "fleet-key.pem")), (token.clone(), key));
    assert_eq!(text(gateway, "fleet-token"), token);
    make_secrets(other, others, "admin.internal");
    assert_ne!(text(other, "fleet-token"), token);
    assert_ne!(text(other, "key-encryption-key"), text(admin, "key-encryption-key"));
}

#[test]
fn a_broken_run_of_the_demos_script_is_taken_up_and_no_key_encryption_key_is_replaced() {
    let dirs = [free_dir(), free_dir()];
    let [admin, gateway] = dirs.each_ref().map(|dir| dir.path());
    let text = |dir: &Path, name: &str| fs::read_to_string(dir.join(name)).unwrap();
    // Of a run that came so far: a key that a database may be sealed by, and half a certificate.
    fs::write(admin.join("key-encryption-key"), "in use").unwrap();
    fs::write(admin.join(".fleet-certificate.pem.new"), "-----BEGIN CERT").unwrap();
    make_secrets(admin, gateway, "admin.internal");
    assert_eq!(text(admin, "key-encryption-key"), "in use");
    assert!(text(admin, "fleet-certificate.pem").ends_with("-----END CERTIFICATE-----\n"));
    // The token was lost: all is made anew, but for what would be missed for ever.
    let (token, certificate) = (text(admin, "fleet-token"), text(admin, "fleet-certificate.pem"));
    fs::remove_file(admin.join("fleet-token")).unwrap();
    make_secrets(admin, gateway, "admin.internal");
    assert_ne!(text(admin, "fleet-token"), token);
    assert_ne!(text(admin, "fleet-certificate.pem"), certificate);
    assert_eq!(text(gateway, "fleet-token"), text(admin, "fleet-token"));
    assert_eq!(text(admin, "key-encryption-key"), "in use");
    let is_hidden = |entry: std::io::Result<fs::DirEntry>| {
        entry.unwrap().file_name().to_string_lossy().starts_with('.')
    };
    assert!(!fs::read_dir(admin).unwrap().any(is_hidden), "what was begun is in place");
}
