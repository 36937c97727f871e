//! What most tests begin with: a Doorward in front of a back end.

use std::cell::RefCell;
use std::sync::Barrier;
use std::thread;

use serde_json::json;
use test_support::doorward::Builder;
use test_support::doorward::Doorward;
use test_support::http1;
use test_support::http1::Answer;
use test_support::http1::Connection;
use test_support::http1::Request;
use test_support::upstream::Echo;
use test_support::upstream::Upstream;

use crate::tokens::Forged;

/// A Doorward and the back end behind it.
pub(crate) struct Scene {
    /// In front. First, so that it ends first.
    pub(crate) doorward: Doorward,
    /// Behind.
    pub(crate) upstream: Upstream,
}

/// The routes that most tests use, and no limit on signing in that tests would run into; `UPSTREAM`
/// is the back end's URL.
pub(crate) const USUAL: &str = r#"
[limits]
auth = [{ name = "minute", requests = 10000, per = "1m" }]
login = [{ name = "minute", requests = 10000, per = "1m" }]

[roles]
editor = ["orders:read", "orders:write"]

[upstreams.echo]
endpoints = ["UPSTREAM"]
read_timeout = "2s"

[[routes]]
name = "api"
path = "/api"
upstream = "echo"

[[routes]]
name = "orders"
path = "/orders"
methods = ["GET", "POST"]
upstream = "echo"
access = { scopes = ["orders:read", "orders:write"] }

[[routes]]
name = "open"
path = "/open"
upstream = "echo"
access = "public"

[[routes]]
name = "kept"
path = "/kept"
upstream = "echo"
authorization = "original"
"#;

/// What both halves of a fleet that runs apart know each other by.
pub(crate) const FLEET_TOKEN: &str = "tG7-mW3kLx9QvBn5RsYc2HfJd8ZpUa4E";

/// One half of a fleet that runs apart, with the usual routes to `upstream`; `fleet` is what its `[fleet]`
/// says beside the token, and whatever sections follow.
pub(crate) fn half(fleet: &str, upstream: &str) -> Builder {
    let config = format!(
        "environment = \"dev\"\n[fleet]\ntoken = {{ env = \"FLEET_TOKEN\" }}\n{fleet}\n{USUAL}"
    );
    let config = config.replace("UPSTREAM", upstream);
    Doorward::builder().config(config).env("FLEET_TOKEN", FLEET_TOKEN)
}

/// An admin API apart, in the clear, with these `sections`.
pub(crate) fn apart_admin(sections: &str) -> Builder {
    half(&format!("listen = \"127.0.0.1:0\"\n{sections}"), "http://127.0.0.1:1").admin()
}

/// A gateway of such an admin API.
pub(crate) fn apart_gateway(admin: &Doorward, sections: &str, upstream: &Upstream) -> Builder {
    let fleet = format!("admin_url = \"http://{}\"\n{sections}", admin.public());
    half(&fleet, &upstream.url()).gateway()
}

impl Scene {
    /// The usual routes.
    pub(crate) fn usual() -> Self {
        Self::with("")
    }

    /// The usual routes, and `more` at the end of the file; `UPSTREAM` in it is the back end's URL.
    pub(crate) fn with(more: &str) -> Self {
        Self::of(&format!("{USUAL}\n{more}"))
    }

    /// `before` in front of the usual routes: keys that belong to no section come first.
    pub(crate) fn after(before: &str) -> Self {
        Self::of(&format!("{before}\n{USUAL}"))
    }

    /// Just this configuration; `UPSTREAM` in it is the back end's URL.
    pub(crate) fn of(config: &str) -> Self {
        Self::built(config, |builder| builder)
    }

    /// The usual routes, started otherwise than usual.
    pub(crate) fn started(prepare: impl FnOnce(Builder) -> Builder) -> Self {
        Self::built(USUAL, prepare)
    }

    /// A back end that may take its time; `listen` is what `[listen]` says.
    pub(crate) fn patient(listen: &str) -> Self {
        Self::of(&format!(
            "[listen]\n{listen}\n\
             [upstreams.echo]\nendpoints = [\"UPSTREAM\"]\nread_timeout = \"60s\"\n\
             [[routes]]\nname = \"api\"\npath = \"/api\"\nupstream = \"echo\""
        ))
    }

    /// A configuration, started otherwise than usual.
    pub(crate) fn built(config: &str, prepare: impl FnOnce(Builder) -> Builder) -> Self {
        let upstream = Upstream::start();
        let config = config.replace("UPSTREAM", &upstream.url());
        let doorward = prepare(Doorward::builder().config(config)).start();
        Self { doorward, upstream }
    }

    /// Sends one request on a connection of its own.
    #[track_caller]
    pub(crate) fn ask(&self, request: &Request) -> Answer {
        self.doorward.ask(request)
    }

    /// Calls a proxied route with an access token.
    #[track_caller]
    pub(crate) fn call(&self, access: &str) -> Answer {
        self.ask(&Request::get("/api/x").bearer(access))
    }

    /// Exchanges a refresh token.
    #[track_caller]
    pub(crate) fn refresh(&self, token: &str) -> Answer {
        self.ask(&Request::post("/auth/refresh").json(&json!({ "refresh_token": token })))
    }

    /// Sends bytes on a connection of their own.
    #[track_caller]
    pub(crate) fn ask_raw(&self, bytes: impl AsRef<[u8]>) -> Answer {
        http1::ask_raw(self.doorward.public(), bytes.as_ref())
    }

    /// A connection to the public listener.
    #[track_caller]
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.doorward.public())
    }

    /// A connection that is made anew whenever the other side has closed it.
    #[track_caller]
    pub(crate) fn line(&self) -> Line<'_> {
        Line { scene: self, connection: RefCell::new(self.connect()) }
    }

    /// Sends a request that must come through; returns what the back end got.
    #[track_caller]
    pub(crate) fn echo(&self, request: &Request) -> Echo {
        let answer = self.ask(request);
        assert_eq!(answer.status, 200, "{answer}");
        Echo::of_answer(&answer)
    }

    /// Kills Doorward without a warning, and starts it again on what is left.
    #[track_caller]
    pub(crate) fn killed_and_restarted(self) -> Self {
        Self { doorward: self.doorward.kill_and_restart(), upstream: self.upstream }
    }

    /// The last request that the back end got, without its body.
    #[track_caller]
    pub(crate) fn last_head(&self) -> Echo {
        let seen = self.upstream.seen();
        Echo::of(seen.heads.last().expect("a request reached the back end").as_bytes(), b"")
    }

    /// The value of a metric without labels.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = self.doorward.metrics();
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        metrics.lines().find_map(value).unwrap_or_else(|| panic!("no `{name}` in\n{metrics}"))
    }

    /// How many requests reached the back end.
    pub(crate) fn reached(&self) -> u64 {
        self.upstream.seen().requests
    }
}

/// A connection for many requests in a row, some of which may end it.
pub(crate) struct Line<'a> {
    scene: &'a Scene,
    connection: RefCell<Connection>,
}

impl Line<'_> {
    /// Sends a request.
    #[track_caller]
    pub(crate) fn ask(&self, request: &Request) -> Answer {
        self.ask_raw(&request.to_bytes())
    }

    /// Sends bytes that ask for one answer with a body.
    #[track_caller]
    pub(crate) fn ask_raw(&self, bytes: &[u8]) -> Answer {
        let mut connection = self.connection.borrow_mut();
        connection.send(bytes);
        if let Ok(answer) = connection.try_answer() {
            return answer;
        }
        *connection = self.scene.connect();
        connection.send(bytes);
        connection.answer()
    }
}

/// A token of somebody without limits, for tests that are not about limits.
pub(crate) fn token() -> String {
    Forged::new("u-1", "ann").tier("admin").sign()
}

/// Does the same `times` times at one time, each on a thread of its own.
pub(crate) fn in_parallel<T: Send>(times: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let (start, act) = (&Barrier::new(times), &act);
    let begin = move |index| {
        start.wait();
        act(index)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..times).map(|index| scope.spawn(move || begin(index))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// A password that nobody would refuse.
pub(crate) const PASSWORD: &str = "seven-herons-by-the-weir";

/// Checks a refusal: status, `detail`, `error_code`, and the shape that all of them share.
#[track_caller]
pub(crate) fn assert_problem(answer: &Answer, status: u16, code: &str, detail: &str) {
    assert_fault(answer, status, code);
    assert_eq!(answer.json()["detail"], detail, "{answer}");
}

/// Checks that a token was refused because it was taken back.
#[track_caller]
pub(crate) fn assert_revoked(answer: &Answer) {
    assert_problem(answer, 401, "TOKEN_REVOKED", "Could not validate credentials");
}

/// Checks a refusal whose `detail` is for people alone.
#[track_caller]
pub(crate) fn assert_fault(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer}");
    let body = answer.json();
    assert_eq!(body["status"], status, "{answer}");
    assert_eq!(body["error_code"], code, "{answer}");
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{answer}");
    for member in ["type", "title", "instance"] {
        assert!(body[member].is_string(), "no `{member}` in {answer}");
    }
    let request_id = body["request_id"].as_str().unwrap_or_default();
    assert!(!request_id.is_empty(), "no `request_id` in {answer}");
}
