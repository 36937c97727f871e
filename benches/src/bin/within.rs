//! Refreshes sessions within the admin API: the same request, given to its routes without a
//! connection, so that what a refresh itself adds to its statement is seen without the way to it.

use std::path::PathBuf;
use std::sync::Arc;

use admin_api::AdminApi;
use admin_api::Clock;
use anyhow::Context;
use anyhow::ensure;
use axum::Router;
use axum::body::Body;
use axum::body::to_bytes;
use benches::lanes::Lane;
use benches::lanes::measure;
use benches::people;
use benches::people::Tokens;
use clap::Parser;
use http::Request;
use http::header::CONTENT_TYPE;
use kernel::keys::Key;
use kernel::keys::KeyRing;
use kernel::keys::LiveKeys;
use kernel::keys::SigningKey;
use kernel::random;
use kernel::secret::Secret;
use mimalloc::MiMalloc;
use tower::ServiceExt;

/// Doorward's allocator: what is measured is what it runs.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Refreshes sessions. Prints `name=value` lines; ends with 1 after any refusal.
#[derive(Parser)]
struct Options {
    /// The database that Doorward made: a path, or a URL of Postgres.
    #[arg(long)]
    database: String,
    /// How many refreshes are counted, of all sessions together.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// How many come before them.
    #[arg(long, default_value_t = 0)]
    warm_up: u32,
    /// How many sessions, of different people.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let api = open(&options.database).await?;
    let mut lanes = Vec::new();
    for number in 1..=options.connections {
        lanes.push(Session::open(api.router(), number).await?);
    }
    measure(lanes, options.warm_up, options.requests).await
}

async fn open(database: &str) -> anyhow::Result<AdminApi> {
    let mut config = config::parse("measured", "environment = \"dev\"", &|_| None)?;
    config.database = match database.contains("://") {
        true => config::Database::Postgres { url: Secret::new(database) },
        false => config::Database::Sqlite(PathBuf::from(database)),
    };
    let key = SigningKey::hs256("measured", &random::unguessable()?)?;
    let keys = LiveKeys::new(KeyRing::new(vec![Key::Signing(Box::new(key))])?);
    AdminApi::open(&config, Arc::new(keys), Clock::wall()).await.context(database.to_owned())
}

/// One session.
struct Session {
    routes: Router,
    refresh_token: String,
}

impl Session {
    async fn open(routes: Router, number: u32) -> anyhow::Result<Self> {
        let fields = people::sign_in_fields(number);
        let first = ask(&routes, "/auth/login", fields).await?;
        Ok(Self { routes, refresh_token: first.refresh_token })
    }
}

impl Lane for Session {
    async fn once(&mut self) -> anyhow::Result<()> {
        let fields = people::refresh_fields(&self.refresh_token);
        self.refresh_token = ask(&self.routes, "/auth/refresh", fields).await?.refresh_token;
        Ok(())
    }
}

async fn ask(routes: &Router, path: &str, fields: String) -> anyhow::Result<Tokens> {
    let form = "application/x-www-form-urlencoded";
    let request = Request::post(path).header(CONTENT_TYPE, form).body(Body::from(fields))?;
    let answer = routes.clone().oneshot(request).await?;
    let status = answer.status();
    let body = to_bytes(answer.into_body(), ANSWER_BYTES_MAX).await?;
    ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).context("an answer without tokens")
}
