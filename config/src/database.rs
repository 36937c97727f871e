//! The spellings of a database's place, and of a Redis server's.

use std::path::PathBuf;

use kernel::secret::Secret;

use crate::server_url;
use crate::server_url::ServerUrl;
use crate::types::Database;

/// What a database URL may look like.
const FORMS: &str =
    "`postgres://user@host:port/name`, `sqlite:///absolute/path` or `sqlite::memory:`";

/// A database URL, before its password is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DatabaseUrl {
    Sqlite(PathBuf),
    SqliteMemory,
    Postgres(ServerUrl),
}

impl DatabaseUrl {
    /// Reads `text`, in our spellings and SQLAlchemy's. Errors never repeat it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "sqlite::memory:" {
            return Ok(Self::SqliteMemory);
        }
        let unknown = || format!("the database URL is not {FORMS}");
        let (scheme, rest) = text.split_once("://").ok_or_else(unknown)?;
        match scheme {
            "sqlite" => sqlite(rest, true),
            "sqlite+aiosqlite" | "sqlite+pysqlite" => sqlite(rest, false),
            "postgres"
            | "postgresql"
            | "postgresql+asyncpg"
            | "postgresql+psycopg2"
            | "postgresql+psycopg" => postgres(rest),
            _ => Err(unknown()),
        }
    }

    /// What the rest of Doorward uses.
    pub(crate) fn database(&self) -> Database {
        match self {
            Self::Sqlite(path) => Database::Sqlite(path.clone()),
            Self::SqliteMemory => Database::SqliteMemory,
            Self::Postgres(url) => Database::Postgres { url: Secret::new(url.spell("postgres")) },
        }
    }
}

impl Database {
    /// Reads the URL of a database, in our spellings and SQLAlchemy's.
    ///
    /// # Errors
    /// One clear text, which never repeats the URL.
    pub fn parse(url: &str) -> Result<Self, String> {
        Ok(DatabaseUrl::parse(url)?.database())
    }
}

/// Reads what follows `sqlite://`.
///
/// `sqlite:///a/b` is `/a/b`, as everywhere but in SQLAlchemy, where it is `a/b` and `/a/b` has a
/// fourth slash; with a driver's name in the scheme it is SQLAlchemy's. `./` is clear to both.
fn sqlite(rest: &str, absolute: bool) -> Result<DatabaseUrl, String> {
    if matches!(rest, "" | "/" | "/:memory:") {
        // SQLAlchemy's spellings of a database in memory.
        return Ok(DatabaseUrl::SqliteMemory);
    }
    let Some(path) = rest.strip_prefix('/') else {
        return Err(format!("a SQLite URL has three slashes and a path: {FORMS}"));
    };
    if path.contains(['?', '#']) || path.chars().any(char::is_control) {
        return Err("a SQLite URL has no parameters: write the path only".to_owned());
    }
    if path.ends_with('/') {
        return Err("the SQLite URL names a directory, not a file".to_owned());
    }
    let relative = path.starts_with("./") || path.starts_with("../");
    if relative || !absolute {
        return Ok(DatabaseUrl::Sqlite(PathBuf::from(path)));
    }
    Ok(DatabaseUrl::Sqlite(PathBuf::from(format!("/{}", path.trim_start_matches('/')))))
}

/// Reads what follows `postgres://`.
fn postgres(rest: &str) -> Result<DatabaseUrl, String> {
    let mut url = ServerUrl::parse(rest)?;
    if url.name.is_empty() {
        return Err("the Postgres URL names no database: add `/name`".to_owned());
    }
    // asyncpg calls `ssl` what everybody else calls `sslmode`.
    url.parameters = url.parameters.map(|parameters| {
        let renamed = |pair: &str| match pair.strip_prefix("ssl=") {
            Some(mode) => format!("sslmode={mode}"),
            None => pair.to_owned(),
        };
        parameters.split('&').map(renamed).collect::<Vec<_>>().join("&")
    });
    Ok(DatabaseUrl::Postgres(url))
}

/// What a URL of Redis may begin with.
const REDIS_SCHEMES: [&str; 4] = ["redis", "rediss", "redis-cluster", "rediss-cluster"];

/// Whether a URL that [`RedisUrl::secret`] spelt, or its scheme, is one for TLS.
pub(crate) fn uses_tls(url: &str) -> bool {
    url.starts_with("rediss")
}

/// A Redis URL: its scheme, and the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedisUrl {
    pub(crate) scheme: &'static str,
    pub(crate) server: ServerUrl,
}

impl RedisUrl {
    /// Reads `redis://…` or `rediss://…`, or either of them with `-cluster`. Errors never repeat it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let known = |(scheme, rest)| Some((REDIS_SCHEMES.iter().find(|s| **s == scheme)?, rest));
        let Some((scheme, rest)) = text.split_once("://").and_then(known) else {
            return Err("the URL is not `redis://host:port/db` or `rediss://…`".to_owned());
        };
        let url = Self { scheme, server: ServerUrl::parse(rest)? };
        url.check_number()?;
        let nodes = url.server.parameters.as_deref().unwrap_or_default();
        match nodes {
            "" => {}
            nodes if url.is_cluster() => {
                for node in nodes.split('&') {
                    let server = node.strip_prefix("node=").unwrap_or_default();
                    server_url::host_and_port(server).map_err(|_| {
                        "the parameters of a cluster's URL are `node=host:port&node=…`".to_owned()
                    })?;
                }
            }
            _ => return Err("the URL of a single Redis has no parameters".to_owned()),
        }
        Ok(url)
    }

    /// Whether the server is spoken to through TLS.
    pub(crate) fn uses_tls(&self) -> bool {
        uses_tls(self.scheme)
    }

    /// Whether it names the nodes of a cluster.
    pub(crate) fn is_cluster(&self) -> bool {
        self.scheme.ends_with("-cluster")
    }

    /// Checks that the path is the number of a database, or empty.
    pub(crate) fn check_number(&self) -> Result<(), String> {
        let name = &self.server.name;
        if self.is_cluster() {
            let none = name.is_empty() || name == "0";
            return if none {
                Ok(())
            } else {
                Err("a cluster has no numbered databases".to_owned())
            };
        }
        let digits = name.bytes().all(|b| b.is_ascii_digit());
        if digits && (name.is_empty() || name.parse::<u8>().is_ok()) {
            return Ok(());
        }
        Err("the Redis database is not a number from 0 to 255".to_owned())
    }

    /// The number of its database; 0 where it names none.
    pub(crate) fn number(&self) -> u32 {
        self.server.name.parse().unwrap_or_default()
    }

    /// The URL, percent-encoded.
    pub(crate) fn secret(&self) -> Secret {
        Secret::new(self.server.spell(self.scheme))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sqlite_at(text: &str) -> Result<DatabaseUrl, String> {
        Ok(DatabaseUrl::Sqlite(PathBuf::from(text)))
    }

    #[test]
    fn every_spelling_of_the_contract_is_read() {
        let parse = DatabaseUrl::parse;
        assert_eq!(parse("sqlite:///var/lib/d.db"), sqlite_at("/var/lib/d.db"));
        assert_eq!(parse("sqlite:////var/lib/d.db"), sqlite_at("/var/lib/d.db"));
        assert_eq!(parse("sqlite:///./d.db"), sqlite_at("./d.db"));
        assert_eq!(parse("sqlite+aiosqlite:///d.db"), sqlite_at("d.db"));
        assert_eq!(parse("sqlite+aiosqlite:////var/d.db"), sqlite_at("/var/d.db"));
        for text in ["sqlite::memory:", "sqlite:///:memory:", "sqlite+aiosqlite:///:memory:"] {
            assert_eq!(parse(text), Ok(DatabaseUrl::SqliteMemory), "{text}");
        }
        for scheme in ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg2"] {
            let url = parse(&format!("{scheme}://ann:p%40ss@db:5433/app?ssl=require")).unwrap();
            let Database::Postgres { url } = url.database() else { unreachable!("it is Postgres") };
            assert_eq!(url.expose(), "postgres://ann:p%40ss@db:5433/app?sslmode=require");
        }
    }

    #[test]
    fn what_is_no_database_url_is_refused_without_repeating_its_password() {
        for text in [
            "",
            "x",
            "mysql://a:hunter2@b/c",
            "postgres://",
            "postgres://db",
            "postgres://db/",
            "postgres://a:hunter2@/x",
            "postgres://a:hun@ter2@db/x",
            "postgres://a:hunter2@db:0/x",
            "postgres://a:hunter2@db:x/x",
            "postgres://a:hun/ter2@db/x",
            "postgres://a:%zz@db/x",
            "postgres://a:%ff@db/x",
            "postgres://a:hunter2@db/x#y",
            "sqlite:d.db",
            "sqlite://d.db",
            "sqlite:///d.db?mode=rwc",
            "sqlite:///var/",
            "postgres://a:hunter2@[::1/x",
        ] {
            let error = DatabaseUrl::parse(text).expect_err(text);
            assert!(!error.contains("hunter") && !error.contains("ter2"), "{text}: {error}");
        }
    }

    #[test]
    fn a_redis_url_ends_in_a_database_number() {
        let url = RedisUrl::parse("redis://:p%40ss@redis:6379/2").unwrap();
        assert_eq!(url.server.password.as_deref(), Some("p@ss"));
        assert_eq!(url.secret().expose(), "redis://:p%40ss@redis:6379/2");
        assert!(RedisUrl::parse("rediss://redis").is_ok());
        assert!(RedisUrl::parse("redis://redis/255").is_ok());
        for text in ["redis://", "redis://r/x", "redis://r/256", "http://r", "redis://r?x=1"] {
            assert!(RedisUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_url_of_a_cluster_names_nodes_and_no_database() {
        let text = "rediss-cluster://ann:p%40ss@one:7000/?node=two:7001&node=[::1]:7002";
        assert_eq!(RedisUrl::parse(text).unwrap().secret().expose(), text);
        assert!(RedisUrl::parse("redis-cluster://one:7000/0").is_ok());
        for text in [
            "redis-cluster://one/1",
            "redis-cluster://one?node=",
            "redis-cluster://one?node=two:0",
            "redis-cluster://one?nodes=two:7000",
            "redis-cluster://one?node=two&",
            "redis://one?node=two",
        ] {
            assert!(RedisUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_with_signs_is_percent_encoded() {
        let url = ServerUrl {
            user: Some("ann".to_owned()),
            password: Some("p@ss:word!".to_owned()),
            host: "db".to_owned(),
            name: "app".to_owned(),
            ..ServerUrl::default()
        };
        assert_eq!(url.spell("postgres"), "postgres://ann:p%40ss%3Aword%21@db/app");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Property 1 of the contract.
        #[test]
        fn any_valid_postgres_setting_gives_a_url_that_parses_back_to_it(
            user in "[^\0]{1,20}",
            password in proptest::option::of("[^\0]{1,30}"),
            host in "[a-z0-9][a-z0-9.-]{0,20}|\\[::[0-9a-f]{1,4}\\]",
            port in proptest::option::of(1_u16..),
            name in "[^\0]{1,20}",
        ) {
            let url = ServerUrl { user: Some(user), password, host, port, name, parameters: None };
            let spelt = url.spell("postgresql+asyncpg");
            prop_assert_eq!(DatabaseUrl::parse(&spelt), Ok(DatabaseUrl::Postgres(url)));
        }

        /// Property 2 of the contract.
        #[test]
        fn sqlite_urls_are_unchanged(path in "(/[A-Za-z0-9 _.@:%-]{1,12}){1,4}") {
            let url = format!("sqlite://{path}");
            let relative = path.starts_with("/./") || path.starts_with("/../");
            let memory = path == "/:memory:";
            prop_assume!(!relative && !memory);
            prop_assert_eq!(DatabaseUrl::parse(&url), sqlite_at(&path));
        }

        #[test]
        fn parsing_any_text_as_a_url_never_panics(text in ".{0,80}", scheme in "(postgres|sqlite|redis)://") {
            let _ = DatabaseUrl::parse(&text);
            let _ = DatabaseUrl::parse(&format!("{scheme}{text}"));
            let _ = RedisUrl::parse(&format!("{scheme}{text}"));
        }
    }
}
