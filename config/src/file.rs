//! The file as it is written: every section and key, with its meaning, unit and default.
//!
//! Values are of the right kind and within bounds here; whether they fit each other is for
//! [`build`](crate::build).

use std::net::SocketAddr;

use ipnet::IpNet;
use kernel::keys::Algorithm;
use kernel::status::Standing;
use kernel::tier::Tier;

use crate::read::Named;
use crate::read::Spot;
use crate::section::Absent::Fault;
use crate::section::Absent::Fine;
use crate::section::Absent::Means;
use crate::section::section;
use crate::types::Access;
use crate::types::Authorization;
use crate::types::Endpoint;
use crate::types::Environment;
use crate::types::LimitBy;
use crate::types::Mode;
use crate::types::OnStaleRevocations;
use crate::types::OnStoreLoss;
use crate::types::PathPattern;
use crate::values::DAY;
use crate::values::HOUR;
use crate::values::Host;
use crate::values::Kid;
use crate::values::Limit;
use crate::values::MINUTE;
use crate::values::Mailbox;
use crate::values::Method;
use crate::values::Name;
use crate::values::Origin;
use crate::values::Period;
use crate::values::Prefix;
use crate::values::QueueName;
use crate::values::SECOND;
use crate::values::Scope;
use crate::values::SecretRef;
use crate::values::SmtpUrl;
use crate::values::Target;
use crate::values::TaskName;
use crate::values::Text;
use crate::values::WebUrl;
use crate::values::Whole;
use crate::values::Windows;

section! {
    /// The configuration of a Doorward.
    File {
        /// Where this Doorward runs; `dev` alone allows secrets in the file and the test mode.
        environment: Environment = Means(r#""prod""#),
        /// Whether a request without a token becomes user 1; refused unless `environment = "dev"`.
        test_mode: bool = Means("false"),
        /// The directory of the SQLite file, generated secrets and sockets.
        data_dir: Text = Means(r#""./.doorward""#),
        /// Sockets and their bounds.
        listen: ListenFile = Means("{}"),
        /// Where people and sessions are kept; left out: SQLite in `data_dir`.
        database: DatabaseFile = Means("{}"),
        /// The store shared by several gateways; left out: memory, one process.
        redis: RedisFile = Fine,
        /// The Celery installation whose workers the health page watches; left out: none.
        celery: CeleryFile = Fine,
        /// How `doorward worker` serves the Celery installation; left out: with the defaults.
        worker: WorkerFile = Means("{}"),
        /// How the halves find each other that run apart; left out: both are in one process.
        fleet: FleetFile = Fine,
        /// Tokens, keys and sign-in.
        auth: AuthFile = Means("{}"),
        /// How mail is sent; left out: not at all, but in `dev`, where it is logged.
        mail: MailFile = Fine,
        /// Issuers of tokens other than Doorward itself.
        issuers: Vec<IssuerFile> = Means("[]"),
        /// The scopes each role grants; `admin` always grants `admin`.
        roles: Named<Vec<Spot<Scope>>> = Means("{}"),
        /// What each tier allows; `free`, `premium` and `admin` exist in any case.
        tiers: Named<TierFile> = Means("{}"),
        /// Limits that no tier decides.
        limits: LimitsFile = Means("{}"),
        /// Job status.
        status: StatusFile = Means("{}"),
        /// The servers behind the gateway, by name.
        upstreams: Named<UpstreamFile> = Means("{}"),
        /// Which requests go to which upstream; the most specific path wins.
        routes: Vec<RouteFile> = Means("[]"),
    }
}

section! {
    /// Sockets and their bounds.
    ListenFile {
        /// Addresses for clients.
        public: Vec<Spot<SocketAddr>> = Means(r#"["127.0.0.1:8080"]"#),
        /// The address for probes, metrics and management.
        ops: SocketAddr = Means(r#""127.0.0.1:9180""#),
        /// Networks whose `X-Forwarded-*` headers are believed.
        trusted_proxies: Vec<IpNet> = Means("[]"),
        /// Scheme, host and port that clients use; absolute URLs are made of it, never of `Host`.
        public_url: Origin = Fine,
        /// Whether user management is also served on the public addresses.
        expose_management: bool = Means("false"),
        /// How long a client may take to send a whole header.
        header_timeout: Period<1, HOUR> = Means(r#""10s""#),
        /// How long an idle client connection is kept.
        idle_timeout: Period<1, DAY> = Means(r#""60s""#),
        /// How long a stopping process waits for the requests under way.
        drain_timeout: Period<0, HOUR> = Means(r#""25s""#),
        /// The largest request header in bytes, all lines together.
        headers_bytes_max: Whole<1_024, 1_048_576> = Means("65536"),
        /// The most client connections at one time.
        connections_max: Whole<1, 10_000_000> = Means("10000"),
    }
}

section! {
    /// Where people and sessions are kept.
    DatabaseFile {
        /// `postgres://user@host:port/name`, `sqlite:///absolute/path` or `sqlite::memory:`.
        url: SecretRef = Fine,
        /// The password of the URL's user.
        password: SecretRef = Fine,
    }
}

/// The longest that one call to Redis may take, in milliseconds.
const CALL_MS_MAX: u64 = 5 * SECOND;

section! {
    /// The store shared by several gateways.
    RedisFile {
        /// `redis://host:port/db`, or `rediss://` for TLS; a cluster: `redis-cluster://host:port`,
        /// with further nodes as `?node=host:port&node=…`.
        url: SecretRef = Fine,
        /// The password.
        password: SecretRef = Fine,
        /// The certificates, in PEM, that the server's must come from; left out: the system's.
        ca: SecretRef = Fine,
        /// What the names of all keys begin with.
        namespace: Name = Means(r#""doorward""#),
        /// How long one call may take before the server counts as lost.
        call_timeout: Period<1, CALL_MS_MAX> = Means(r#""25ms""#),
        /// Whether revocations are shared with the Python service that is replaced, in this database.
        beside_old_service: bool = Means("false"),
    }
}

section! {
    /// The Celery installation whose workers the health page watches.
    CeleryFile {
        /// The broker: `redis://host:port/db`.
        broker_url: SecretRef = Fine,
        /// The result back end, where it differs: `redis://host:port/db`.
        result_backend: SecretRef = Fine,
        /// The certificates, in PEM, that the broker's must come from; left out: the system's.
        ca: SecretRef = Fine,
        /// Queues whose depth is told, at most 32.
        queues: Vec<Spot<QueueName>> = Means(r#"["celery"]"#),
        /// `global_keyprefix` of Celery's `broker_transport_options`.
        global_keyprefix: Prefix = Means(r#""""#),
        /// `fanout_prefix` of Celery's `broker_transport_options`; empty where that is `False`.
        fanout_prefix: Prefix = Means(r#""/{db}.""#),
    }
}

section! {
    /// How `doorward worker` serves the Celery installation.
    WorkerFile {
        /// What it is called, such as `doorward@host`; left out: `doorward-PID@HOST`.
        name: TaskName = Fine,
        /// Its address for probes and metrics; left out: it has none.
        ops: SocketAddr = Fine,
        /// Queues that it serves, at most 32; left out: those of `[celery]`.
        queues: Vec<Spot<QueueName>> = Fine,
        /// How many tasks run at one time; left out: one for each core.
        concurrency: Whole<1, 256> = Fine,
        /// How many messages are taken ahead for each of them, that one included.
        prefetch: Whole<1, 64> = Means("4"),
        /// After how long what a worker took goes back to its queue; the same as Celery's own.
        visibility_timeout: Period<{ 10 * SECOND }, { 30 * DAY }> = Means(r#""1h""#),
        /// How long a task may take, whatever its message says.
        time_limit: Period<SECOND, DAY> = Means(r#""5m""#),
        /// How often a task is tried again that has failed for a reason that may pass.
        retries_max: Whole<0, 100> = Means("3"),
        /// How long results are kept.
        result_ttl: Period<SECOND, { 30 * DAY }> = Means(r#""1d""#),
        /// How long a stopping worker waits for the tasks that run.
        drain_timeout: Period<0, HOUR> = Means(r#""25s""#),
        /// The list of messages that nobody can make anything of.
        dead_letters: QueueName = Means(r#""doorward.dead_letters""#),
        /// The directory of the model that makes vectors of texts; left out: words are hashed.
        model: Text = Fine,
        /// How many numbers a vector has where words are hashed.
        dimensions: Whole<8, 4_096> = Means("256"),
        /// What the task is called that makes vectors of texts.
        embed_task: TaskName = Means(r#""doorward.embed""#),
        /// The stage of job status that it reports on, of those of `[status]`.
        embed_stage: Name = Means(r#""embedding""#),
        /// What the task is called that does nothing.
        noop_task: TaskName = Means(r#""doorward.noop""#),
    }
}

section! {
    /// How gateways and an admin API that run apart find each other.
    FleetFile {
        /// What they know each other by, 32 bytes at least; the same in both.
        token: SecretRef = Fault,
        /// `doorward admin`: the address for gateways.
        listen: SocketAddr = Fine,
        /// `doorward admin`: the PEM certificate and those above it; may be left out on loopback alone.
        certificate: SecretRef = Fine,
        /// `doorward admin`: the PEM private key of the certificate.
        private_key: SecretRef = Fine,
        /// `doorward gateway`: where the admin API is, `https`, or `http` on this very machine.
        admin_url: Origin = Fine,
        /// `doorward gateway`: the PEM certificates that vouch for it; left out: the system's.
        ca: SecretRef = Fine,
    }
}

section! {
    /// Tokens, keys and sign-in.
    AuthFile {
        /// The `iss` of tokens made here.
        issuer: Text = Means(r#""doorward""#),
        /// The `aud` of tokens made here, and demanded of them.
        audience: Text = Fine,
        /// How long an access token lives.
        access_ttl: Period<SECOND, { 30 * DAY }> = Means(r#""30m""#),
        /// How long a session lives without being refreshed.
        refresh_ttl: Period<SECOND, { 400 * DAY }> = Means(r#""7d""#),
        /// By how much clocks may differ, on both sides of `exp` and `nbf`.
        leeway: Period<0, MINUTE> = Means(r#""0s""#),
        /// The farthest `exp` from now that is accepted.
        lifetime_max: Period<SECOND, { 400 * DAY }> = Means(r#""24h""#),
        /// Where the browser goes after signing in with a provider.
        frontend_url: WebUrl = Fine,
        /// Whether the tokens themselves go there, in the query, instead of a code for them.
        frontend_tokens_in_query: bool = Means("false"),
        /// Whether tokens of the replaced system (no `iss`, `jti`, `iat`) are accepted.
        accept_legacy: bool = Means("false"),
        /// The keys: the first signs, all verify; left out: one is generated in `data_dir`.
        keys: Vec<KeyFile> = Means("[]"),
        /// `ES256` or `EdDSA`: keys made here and kept in the database sign; left out: the first of `keys`.
        stored_key_alg: Algorithm = Fine,
        /// What private keys in the database are sealed under, 32 bytes at least; left out: generated in `data_dir`.
        key_encryption_key: SecretRef = Fine,
        /// How old what is known of revocations may be, for routes that say `on_stale_revocations = "deny"`.
        revocation_stale_after: Period<SECOND, DAY> = Means(r#""30s""#),
        /// How many bytes of verified tokens are remembered.
        token_cache_bytes: Whole<0, 17_179_869_184> = Means("67108864"),
        /// The pool that hashes passwords.
        hashing: HashingFile = Means("{}"),
        /// The fewest characters of a new password.
        password_chars_min: Whole<8, 64> = Means("8"),
        /// Where a browser goes to set a new password; left out: `frontend_url`.
        reset_url: WebUrl = Fine,
        /// Whether a refresh gives the same refresh token again, for clients that keep their first.
        keep_refresh_token: bool = Means("false"),
        /// Whether anybody may register.
        registration: bool = Means("false"),
        /// How often passwords may be tried.
        throttle: ThrottleFile = Means("{}"),
        /// Sign-in by others.
        oauth: OAuthFile = Means("{}"),
    }
}

section! {
    /// A key, bound to one algorithm.
    KeyFile {
        /// Its name, as it stands in a token's header.
        kid: Kid = Fault,
        /// Its one algorithm.
        alg: Algorithm = Fault,
        /// HS256 only: the shared secret; 32 bytes at least to sign.
        secret: SecretRef = Fine,
        /// The other algorithms: the PEM private key; without it the key only verifies.
        private_key: SecretRef = Fine,
        /// The other algorithms: the PEM public key.
        public_key: SecretRef = Fine,
    }
}

section! {
    /// The pool that hashes passwords.
    HashingFile {
        /// How many hashes run at one time; left out: a quarter of the cores, at least 1.
        threads: Whole<1, 1_024> = Fine,
        /// How many more may wait; past it the answer is 503.
        queue_max: Whole<1, 65_536> = Means("128"),
    }
}

section! {
    /// How often passwords may be tried, by attempts that fail; one to four quotas each.
    ThrottleFile {
        /// On one account, from anywhere, whether or not it exists.
        account: Windows = Means(
            r#"[{ name = "quarter", requests = 20, per = "15m" }, { name = "day", requests = 200, per = "1d" }]"#
        ),
        /// From one address (IPv6: one /64), on any account.
        address: Windows = Means(r#"[{ name = "quarter", requests = 100, per = "15m" }]"#),
        /// From one address on one account.
        pair: Windows = Means(r#"[{ name = "quarter", requests = 10, per = "15m" }]"#),
        /// From a device on which the account's owner signed in before.
        device: Windows = Means(r#"[{ name = "quarter", requests = 10, per = "15m" }]"#),
        /// Mails to one address, for resetting a password or verifying the address.
        reset: Windows = Means(r#"[{ name = "hour", requests = 3, per = "1h" }]"#),
        /// Registrations, requests for mail, and mailed tokens shown, from one address.
        register: Windows = Means(r#"[{ name = "hour", requests = 20, per = "1h" }]"#),
        /// Browsers sent to a provider, from one address (IPv6: one /64).
        provider: Windows = Means(r#"[{ name = "quarter", requests = 1000, per = "15m" }]"#),
        /// The most counters kept in memory.
        keys_max: Whole<1_000, 100_000_000> = Means("200000"),
    }
}

section! {
    /// How mail is sent.
    MailFile {
        /// `smtp://host:port` with STARTTLS, or `smtps://host:port` with TLS from the start.
        smtp_url: SmtpUrl = Fault,
        /// The sender: `address@example.com` or `Name <address@example.com>`.
        from: Mailbox = Fault,
        /// Our name there; left out: none is asked for.
        username: Text = Fine,
        /// Our password there.
        password: SecretRef = Fine,
    }
}

section! {
    /// Sign-in by others.
    OAuthFile {
        /// Google.
        google: ProviderFile = Fine,
        /// GitHub.
        github: ProviderFile = Fine,
        /// Other OpenID Connect providers, by the name in `/auth/oidc/{name}`.
        oidc: Named<ProviderFile> = Means("{}"),
    }
}

section! {
    /// A provider of identities.
    ProviderFile {
        /// Our name there.
        client_id: Text = Fault,
        /// Our password there.
        client_secret: SecretRef = Fault,
        /// Where the browser comes back to; left out: made of `listen.public_url`.
        redirect_uri: WebUrl = Fine,
        /// What we ask for; left out: what is needed for name and e-mail.
        scopes: Vec<Scope> = Fine,
        /// The `iss` of its id tokens, where discovery begins; needed for `oidc`.
        issuer: WebUrl = Fine,
        /// Where the browser is sent; left out: known or discovered.
        authorization_url: WebUrl = Fine,
        /// Where a code becomes a token; left out: known or discovered.
        token_url: WebUrl = Fine,
        /// Where a token becomes a person; left out: known or discovered.
        userinfo_url: WebUrl = Fine,
        /// GitHub only: where the person's e-mail addresses are; left out: known.
        emails_url: WebUrl = Fine,
        /// Where its keys are; left out: known or discovered.
        jwks_url: WebUrl = Fine,
    }
}

section! {
    /// An issuer of tokens other than Doorward itself.
    IssuerFile {
        /// The exact `iss`.
        issuer: Text = Fault,
        /// Where its keys are.
        jwks_url: WebUrl = Fault,
        /// A token must be meant for one of these.
        audiences: Vec<Text> = Fault,
    }
}

section! {
    /// What a tier allows.
    TierFile {
        /// One to four quotas, or `"unlimited"`.
        limits: Limit = Fault,
    }
}

section! {
    /// Limits that no tier decides.
    LimitsFile {
        /// The tier of a token that names none, or an unknown one.
        default_tier: Tier = Means(r#""free""#),
        /// How counters are kept: `auto`, `exact`, `leased`.
        mode: Mode = Means(r#""auto""#),
        /// When the store of counters is gone: `local` share, `open`, `closed`.
        on_store_loss: OnStoreLoss = Means(r#""local""#),
        /// For callers of public routes who send no token, per address.
        anonymous: Windows = Means(r#"[{ name = "minute", requests = 60, per = "1m" }]"#),
        /// For `/auth/*`, per address.
        auth: Windows = Means(r#"[{ name = "minute", requests = 300, per = "1m" }]"#),
        /// For signing in, refreshing and resetting, per address.
        login: Windows = Means(r#"[{ name = "minute", requests = 30, per = "1m" }]"#),
        /// The most counters kept in memory.
        keys_max: Whole<1_000, 1_000_000_000> = Means("1000000"),
    }
}

section! {
    /// Job status: what services report of resources on their way through stages.
    StatusFile {
        /// The stages that are expected of every resource, in order.
        stages: Vec<Spot<Name>> = Means(r#"["ingestion", "quality", "taxonomy", "graph", "embedding"]"#),
        /// Statuses beside `pending`, `processing`, `completed` and `failed`: each with which of them it counts as.
        statuses: Named<Standing> = Means("{}"),
        /// How long a record is kept after the last report.
        ttl: Period<MINUTE, { 30 * DAY }> = Means(r#""24h""#),
        /// Without Redis: the most resources in memory; past it the one not reported on for longest is forgotten.
        resources_max: Whole<100, 10_000_000> = Means("20000"),
        /// With Redis: the most reports that wait for it while it is away; past it the oldest is dropped.
        buffer_max: Whole<1, 1_000_000> = Means("10000"),
    }
}

section! {
    /// Equal servers behind the gateway.
    UpstreamFile {
        /// `http://host:port`, `https://host:port` or `unix:/path`, one or more.
        endpoints: Vec<Spot<Endpoint>> = Fault,
        /// How long connecting may take.
        connect_timeout: Period<1, HOUR> = Means(r#""2s""#),
        /// How long the server may be silent.
        read_timeout: Period<1, DAY> = Means(r#""60s""#),
        /// What each of them is asked for (GET) before this gateway is ready, until it answers 200 to 299.
        warm_up: Target = Fine,
        /// How long that is tried before the gateway is ready without them, or ends.
        warm_up_timeout: Period<SECOND, HOUR> = Means(r#""30s""#),
        /// Whether the gateway ends where they are not warm by then.
        warm_up_required: bool = Means("false"),
    }
}

section! {
    /// Which requests go to which upstream, and on what terms.
    RouteFile {
        /// Its name, in logs, metrics and limits.
        name: Name = Fault,
        /// The hosts it is for; empty: any.
        hosts: Vec<Spot<Host>> = Means("[]"),
        /// `/prefix` by whole segment, or `=/exact`.
        path: PathPattern = Fault,
        /// The methods it is for; empty: any.
        methods: Vec<Spot<Method>> = Means("[]"),
        /// The name of its upstream.
        upstream: Name = Fault,
        /// `"public"`, `"token"` or `{ scopes = ["…"] }`.
        access: Access = Means(r#""token""#),
        /// A limit of its own, beside the tier's: one to four quotas, or `"unlimited"`.
        limits: Limit = Fine,
        /// Whose requests that limit counts together: each `caller`'s, each `address`'s, or all of the `route`.
        limit_by: LimitBy = Means(r#""caller""#),
        /// The name of that limit's counter; routes with the same name and limits share one.
        policy: Name = Fine,
        /// How many requests a request here counts as.
        cost: Whole<1, 4_294_967_295> = Means("1"),
        /// Whether limits only count and report, and refuse nobody.
        shadow: bool = Means("false"),
        /// Whether the store of counters is asked at each request, and no tokens are taken ahead.
        strict: bool = Means("false"),
        /// What becomes of the client's `Authorization` header: `strip` or `original`.
        authorization: Authorization = Means(r#""strip""#),
        /// Whether headers with `_` in their names reach the upstream.
        allow_underscore_headers: bool = Means("false"),
        /// When the store of counters is gone; left out: as in `[limits]`.
        on_store_loss: OnStoreLoss = Fine,
        /// When revocations were last known longer ago than `auth.revocation_stale_after`: `allow`, `deny`.
        on_stale_revocations: OnStaleRevocations = Means(r#""allow""#),
    }
}
