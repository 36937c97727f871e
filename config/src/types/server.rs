//! The whole configuration, and the parts that concern the process itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use kernel::celery::Names;
use kernel::limit::Allowance;
use kernel::secret::Secret;
use kernel::tier::Tier;

use super::Auth;
use super::Fleet;
use super::Issuer;
use super::Limits;
use super::Mail;
use super::Route;
use super::Status;
use super::Upstream;
use crate::database::uses_tls;

/// Everything an operator decides, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where this Doorward runs.
    pub environment: Environment,
    /// Whether a request without a token becomes the test user; only ever true in [`Environment::Dev`].
    pub test_mode: bool,
    /// Where the SQLite file, generated secrets and sockets live.
    pub data_dir: PathBuf,
    /// Sockets and their bounds.
    pub listen: Listen,
    /// Where people and sessions are kept.
    pub database: Database,
    /// The store shared by several gateways; `None` means memory, one process.
    pub redis: Option<Redis>,
    /// The Celery installation whose workers the health page watches.
    pub celery: Option<Celery>,
    /// How the halves find each other that run apart; `None`: both are in one process.
    pub fleet: Option<Fleet>,
    /// Tokens, keys and sign-in.
    pub auth: Auth,
    /// How mail is sent; `None`: not at all, but in [`Environment::Dev`], where it is logged.
    pub mail: Option<Mail>,
    /// Issuers of tokens other than Doorward itself.
    pub issuers: Vec<Issuer>,
    /// The scopes each role grants; `admin` always grants at least `admin`.
    pub roles: BTreeMap<String, Vec<String>>,
    /// What each tier allows; always has `free`, `premium` and `admin`.
    pub tiers: BTreeMap<Tier, Allowance>,
    /// Limits that no tier decides.
    pub limits: Limits,
    /// Job status.
    pub status: Status,
    /// The servers behind the gateway, in order of name.
    pub upstreams: Vec<Upstream>,
    /// The routes, in the order of the file.
    pub routes: Vec<Route>,
}

impl Config {
    /// Puts the data directory elsewhere, and with it the SQLite file that is there by default.
    pub fn move_data_dir(&mut self, data_dir: &Path) {
        if self.database == Database::in_data_dir(&self.data_dir) {
            self.database = Database::in_data_dir(data_dir);
        }
        self.data_dir = data_dir.to_owned();
    }
}

impl Database {
    /// The database of a configuration that names none.
    pub(crate) fn in_data_dir(data_dir: &Path) -> Self {
        Self::Sqlite(data_dir.join("doorward.db"))
    }
}

/// Where a Doorward runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// A developer's machine: literal secrets and test mode are allowed.
    Dev,
    /// A rehearsal, as strict as production.
    Staging,
    /// Production.
    Prod,
}

/// The listeners and their bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Addresses for clients.
    pub public: Vec<SocketAddr>,
    /// The address for probes, metrics and management.
    pub ops: SocketAddr,
    /// Peers whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The origin that clients use, such as `https://api.example.com`, without a final slash.
    pub public_url: Option<String>,
    /// Whether user management is also served to clients.
    pub expose_management: bool,
    /// How long a client may take to send a whole header.
    pub header_timeout: Duration,
    /// How long an idle client connection is kept.
    pub idle_timeout: Duration,
    /// How long a stopping process waits for the requests under way.
    pub drain_timeout: Duration,
    /// The largest request header, in bytes, all lines together.
    pub headers_bytes_max: usize,
    /// The most client connections at one time.
    pub connections_max: usize,
}

impl Listen {
    /// Where clients find us, without a final slash: [`public_url`](Self::public_url), else the
    /// first public address if it is a fixed one that only this machine reaches.
    pub fn origin(&self) -> Option<String> {
        let first = || {
            let address = self.public.first()?;
            let here = address.ip().is_loopback() && address.port() != 0;
            here.then(|| format!("http://{address}"))
        };
        self.public_url.clone().or_else(first)
    }
}

/// The database that holds people, sessions and revocations.
#[derive(Clone, Debug, PartialEq)]
pub enum Database {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// SQLite in memory, gone with the process.
    SqliteMemory,
    /// A Postgres server.
    Postgres {
        /// `postgres://user:password@host:port/database`, percent-encoded.
        url: Secret,
    },
}

/// The Redis server shared by several gateways.
#[derive(Clone, Debug, PartialEq)]
pub struct Redis {
    /// `redis://` or `rediss://`, or either with `-cluster`, with the password where there is one.
    pub url: Secret,
    /// The certificates, in PEM, that the server's must come from; `None`: the system's.
    pub ca: Option<Secret>,
    /// What the names of all keys begin with.
    pub namespace: String,
    /// How long one call may take before the server counts as lost.
    pub call_timeout: Duration,
    /// Whether revocations are shared there with the Python service that is replaced, while both run.
    pub beside_old_service: bool,
}

impl Redis {
    /// The server at `url`, of which nothing else is said.
    pub fn at(url: Secret) -> Self {
        Self {
            url,
            ca: None,
            namespace: "doorward".to_owned(),
            call_timeout: Duration::from_millis(25),
            beside_old_service: false,
        }
    }

    /// Whether it is spoken to through TLS.
    pub fn uses_tls(&self) -> bool {
        uses_tls(self.url.expose())
    }
}

/// A Celery installation to watch.
#[derive(Clone, Debug, PartialEq)]
pub struct Celery {
    /// The broker's `redis://` URL.
    pub broker_url: Secret,
    /// The result back end's `redis://` URL, where it differs.
    pub result_backend: Option<Secret>,
    /// The number of the broker's database.
    pub database: u32,
    /// The certificates, in PEM, that the broker's must come from; `None`: the system's.
    pub ca: Option<Secret>,
    /// Queues whose depth is told; no two are the same.
    pub queues: Vec<String>,
    /// What the names of all its keys and channels begin with.
    pub global_keyprefix: String,
    /// What the names of its channels begin with after that, `{db}` being the database's number.
    pub fanout_prefix: String,
}

impl Celery {
    /// What it calls its keys and channels.
    pub fn names(&self) -> Names {
        let fanout = self.fanout_prefix.replace("{db}", &self.database.to_string());
        Names::new(self.database, &self.global_keyprefix).with_fanout_prefix(&fanout)
    }

    /// Its broker, as a Redis that is asked within `call_timeout`.
    pub fn broker(&self, call_timeout: Duration) -> Redis {
        Redis { ca: self.ca.clone(), call_timeout, ..Redis::at(self.broker_url.clone()) }
    }
}
