//! A private Postgres for a measurement: a new cluster, synced to disk as Postgres comes. Its one line of
//! output is its URL; it ends, and leaves nothing, at SIGTERM.

use test_support::postgres::PostgresServer;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut end = signal(SignalKind::terminate())?;
    let server = PostgresServer::start_synced();
    println!("{}", server.url());
    end.recv().await;
    drop(server);
    Ok(())
}
