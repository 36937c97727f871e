//! The replaced system's environment variables stand above the file.

use std::time::Duration;

use config::Database;
use config::Environment;
use kernel::limit::Allowance;
use kernel::tier::Tier;

use crate::SECRET;
use crate::faults_with;
use crate::parse_with;

/// Requests and seconds of each of a tier's quotas; `None` is unlimited.
fn quotas(config: &config::Config, tier: &str) -> Option<Vec<(u32, u64)>> {
    match &config.tiers[&Tier::parse(tier).unwrap()] {
        Allowance::Unlimited => None,
        Allowance::Limited(quotas) => {
            Some(quotas.iter().map(|q| (q.requests(), q.per().as_secs())).collect())
        }
    }
}

#[test]
fn lifetimes_urls_and_the_environment_are_overridden() {
    let text = "environment = \"prod\"\n[auth]\naccess_ttl = \"1h\"\nfrontend_url = \"https://a\"";
    let config = parse_with(
        text,
        &[
            ("ENV", "development"),
            ("TEST_MODE", "True"),
            ("FRONTEND_URL", "http://localhost:3000"),
            ("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "5"),
            ("JWT_REFRESH_TOKEN_EXPIRE_DAYS", "3"),
        ],
    )
    .unwrap();
    assert_eq!(config.environment, Environment::Dev);
    assert!(config.test_mode);
    assert_eq!(config.auth.frontend_url.as_deref(), Some("http://localhost:3000"));
    assert_eq!(config.auth.access_ttl, Duration::from_secs(300));
    assert_eq!(config.auth.refresh_ttl, Duration::from_secs(3 * 86_400));
}

#[test]
fn an_override_is_checked_like_the_file_and_named_by_its_variable() {
    for (name, value, fault) in [
        ("ENV", "test", "ENV environment: `test` is not one of `dev`, `staging`, `prod`"),
        ("TEST_MODE", "maybe", "TEST_MODE test_mode: `maybe` is not `true` or `false`"),
        (
            "TEST_MODE",
            "1",
            "TEST_MODE test_mode: it lets everybody in: only where `environment = \"dev\"`",
        ),
        (
            "JWT_ACCESS_TOKEN_EXPIRE_MINUTES",
            "x",
            "JWT_ACCESS_TOKEN_EXPIRE_MINUTES auth.access_ttl: `x` is not a whole number",
        ),
        (
            "JWT_ACCESS_TOKEN_EXPIRE_MINUTES",
            "0",
            "JWT_ACCESS_TOKEN_EXPIRE_MINUTES auth.access_ttl: `0m` is not from `1s` to `30d`",
        ),
        (
            "JWT_ALGORITHM",
            "RS256",
            "JWT_ALGORITHM auth.keys[0].alg: `RS256` is not the algorithm of the first key; keys are set under `[[auth.keys]]`",
        ),
        (
            "JWT_SECRET_KEY",
            "short",
            "JWT_SECRET_KEY auth.keys[0].secret: the secret has 5 bytes; a key that signs has at least 32",
        ),
        (
            "GOOGLE_CLIENT_ID",
            "x",
            "GOOGLE_CLIENT_ID auth.oauth.google: it is set, but `GOOGLE_CLIENT_SECRET` is not",
        ),
        (
            "RATE_LIMIT_FREE_TIER",
            "0",
            "RATE_LIMIT_FREE_TIER tiers.free.limits: `0` is not a whole number from 1 to 4294967295",
        ),
        (
            "RATE_LIMIT_ADMIN_TIER",
            "no",
            "RATE_LIMIT_ADMIN_TIER tiers.admin.limits: `no` is not a whole number from 1 to 4294967295",
        ),
        (
            "REDIS_HOST",
            "a b",
            "REDIS_HOST redis.url: there is no host name or address where one belongs",
        ),
        (
            "CELERY_BROKER_URL",
            "amqp://b",
            "CELERY_BROKER_URL celery.broker_url: the URL is not `redis://host:port/db` or `rediss://…`",
        ),
        (
            "CELERY_RESULT_BACKEND",
            "redis://b",
            "CELERY_RESULT_BACKEND celery.result_backend: it is set, but `CELERY_BROKER_URL` is not",
        ),
        (
            "FRONTEND_URL",
            "http://a.example",
            "FRONTEND_URL auth.frontend_url: `http://a.example` is in the clear: use `https`; `http` is for loopback only",
        ),
    ] {
        assert_eq!(faults_with("", &[(name, value)]), [fault], "{name}={value}");
    }
}

#[test]
fn the_signing_secret_makes_a_key_or_replaces_the_first_hs256_secret() {
    let config = parse_with("", &[("JWT_SECRET_KEY", SECRET), ("JWT_ALGORITHM", "HS256")]).unwrap();
    assert_eq!(config.auth.keys.len(), 1);
    assert_eq!(config.auth.keys[0].kid, "env");
    assert_eq!(config.auth.keys[0].secret.as_ref().unwrap().expose(), SECRET);

    let text = "[[auth.keys]]\nkid = \"k\"\nalg = \"HS256\"\nsecret = { env = \"UNSET\" }\n";
    let config = parse_with(text, &[("JWT_SECRET_KEY", SECRET)]).unwrap();
    assert_eq!(config.auth.keys.len(), 1);
    assert_eq!(config.auth.keys[0].kid, "k");
    assert_eq!(config.auth.keys[0].secret.as_ref().unwrap().expose(), SECRET);
}

#[test]
fn a_stray_signing_secret_does_not_take_signing_from_the_files_key() {
    let text = "[[auth.keys]]\nkid = \"k\"\nalg = \"ES256\"\nprivate_key = { env = \"P\" }\n";
    let variables = [("P", crate::PRIVATE_PEM), ("JWT_SECRET_KEY", SECRET)];
    let config = parse_with(text, &variables).unwrap();
    let kids = config.auth.keys.iter().map(|key| key.kid.as_str()).collect::<Vec<_>>();
    assert_eq!(kids, ["k", "env"]);
}

#[test]
fn database_url_is_above_the_discrete_variables_and_both_above_the_file() {
    let text = "database.url = \"sqlite:///srv/d.db\"";
    let discrete = [
        ("POSTGRES_SERVER", "db"),
        ("POSTGRES_USER", "ann"),
        ("POSTGRES_PASSWORD", "p@ss:word!"),
        ("POSTGRES_DB", "app"),
        ("POSTGRES_PORT", "5433"),
    ];
    let config = parse_with(text, &discrete).unwrap();
    let Database::Postgres { url } = config.database else { panic!("it is Postgres") };
    assert_eq!(url.expose(), "postgres://ann:p%40ss%3Aword%21@db:5433/app");

    let mut all = discrete.to_vec();
    all.push(("DATABASE_URL", "postgresql+asyncpg://bob:x@other/app"));
    let config = parse_with(text, &all).unwrap();
    let Database::Postgres { url } = config.database else { panic!("it is Postgres") };
    assert_eq!(url.expose(), "postgres://bob:x@other/app");

    // Without a server they are those of a compose file, for somebody else.
    let config = parse_with(text, &discrete[1..]).unwrap();
    assert_eq!(config.database, Database::Sqlite("/srv/d.db".into()));
    assert_eq!(
        faults_with("", &discrete[..1]),
        [
            "POSTGRES_SERVER database.url: it is set, but `POSTGRES_USER` is not",
            "POSTGRES_SERVER database.url: it is set, but `POSTGRES_DB` is not",
        ]
    );
}

#[test]
fn redis_variables_name_a_server_or_change_the_files() {
    let url = |text: &str, variables: &[(&str, &str)]| {
        let redis = parse_with(text, variables).unwrap().redis;
        redis.map(|redis| redis.url.expose().to_owned())
    };
    let all = [("REDIS_HOST", "r"), ("REDIS_PORT", "6380"), ("REDIS_CACHE_DB", "2")];
    assert_eq!(url("", &all).as_deref(), Some("redis://r:6380/2"));
    assert_eq!(url("", &all[1..]), None);
    let text = "redis.url = \"rediss://file:1/0\"";
    assert_eq!(url(text, &all).as_deref(), Some("redis://r:6380/2"));
    assert_eq!(url(text, &all[2..]).as_deref(), Some("rediss://file:1/2"));
    let with_password = [("REDIS_HOST", "r"), ("REDIS_PASSWORD", "p@ss")];
    assert_eq!(url("", &with_password).as_deref(), Some("redis://:p%40ss@r/"));
    // What nobody says is the same, whether a file or a variable names the server.
    let of_file = parse_with("redis.url = \"redis://r\"", &[]).unwrap().redis;
    assert_eq!(of_file, parse_with("", &[("REDIS_HOST", "r")]).unwrap().redis);
    assert_eq!(url(text, &with_password).as_deref(), Some("redis://:p%40ss@r/"));
}

#[test]
fn tier_limits_replace_the_minute_and_keep_the_other_windows() {
    let text = "[tiers.free]\nlimits = [{ name = \"minute\", requests = 1, per = \"1m\" }, { name = \"day\", requests = 9, per = \"1d\" }]";
    let variables = [("RATE_LIMIT_FREE_TIER", "50"), ("RATE_LIMIT_PREMIUM_TIER", "500")];
    let config = parse_with(text, &variables).unwrap();
    assert_eq!(quotas(&config, "free"), Some(vec![(50, 60), (9, 86_400)]));
    assert_eq!(quotas(&config, "premium"), Some(vec![(500, 60)]));
    assert_eq!(quotas(&config, "admin"), None);
    let config = parse_with("", &[("RATE_LIMIT_ADMIN_TIER", "7")]).unwrap();
    assert_eq!(quotas(&config, "admin"), Some(vec![(7, 60)]));
    let text = "[tiers.admin]\nlimits = [{ name = \"minute\", requests = 1, per = \"1m\" }]";
    let config = parse_with(text, &[("RATE_LIMIT_ADMIN_TIER", "0")]).unwrap();
    assert_eq!(quotas(&config, "admin"), None);
}

#[test]
fn providers_come_from_variables_alone_or_change_the_files() {
    let variables = [
        ("GITHUB_CLIENT_ID", "id"),
        ("GITHUB_CLIENT_SECRET", "s"),
        ("GITHUB_REDIRECT_URI", "https://a/auth/github/callback"),
    ];
    let github = parse_with("", &variables).unwrap().auth.oauth.github.unwrap();
    assert_eq!((github.client_id.as_str(), github.client_secret.expose()), ("id", "s"));
    assert_eq!(github.redirect_uri.as_deref(), Some("https://a/auth/github/callback"));
    assert_eq!(github.token_url.as_deref(), Some("https://github.com/login/oauth/access_token"));

    let text = "[auth.oauth.github]\nclient_id = \"old\"\nclient_secret = { env = \"GH\" }";
    let mut both = variables[..1].to_vec();
    both.push(("GH", "file"));
    let github = parse_with(text, &both).unwrap().auth.oauth.github.unwrap();
    assert_eq!((github.client_id.as_str(), github.client_secret.expose()), ("id", "file"));

    // A redirect alone configures nothing.
    let config = parse_with("", &[("GOOGLE_REDIRECT_URI", "https://a/b")]).unwrap();
    assert!(config.auth.oauth.google.is_none());
}
