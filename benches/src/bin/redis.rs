//! A private Redis for a measurement. Its one line of output is its URL; it ends, and leaves nothing, at
//! SIGTERM.

use test_support::redis::RedisServer;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut end = signal(SignalKind::terminate())?;
    let server = RedisServer::start();
    println!("{}", server.url());
    end.recv().await;
    drop(server);
    Ok(())
}
