//! Refreshes sessions, one a connection, each with the token that the last refresh gave: exactly so many
//! refreshes, and every answer must have tokens in it.

use std::net::SocketAddr;

use benches::client::Connection;
use benches::lanes::Lane;
use benches::lanes::measure;
use benches::people;
use clap::Parser;

/// Refreshes sessions. Prints `name=value` lines; ends with 1 after any refusal.
#[derive(Parser)]
struct Options {
    /// Where.
    #[arg(long)]
    target: SocketAddr,
    /// How many refreshes are counted, of all sessions together.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// How many come before them.
    #[arg(long, default_value_t = 0)]
    warm_up: u32,
    /// How many sessions, of different people; each has a connection.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut lanes = Vec::new();
    for number in 1..=options.connections {
        lanes.push(Session::open(options.target, number).await?);
    }
    measure(lanes, options.warm_up, options.requests).await
}

/// One session, with a connection of its own.
struct Session {
    connection: Connection,
    refresh_token: String,
}

impl Session {
    async fn open(target: SocketAddr, number: u32) -> anyhow::Result<Self> {
        let mut connection = Connection::open(target).await?;
        let first = people::tokens(&mut connection, &people::sign_in(number)).await?;
        Ok(Self { connection, refresh_token: first.refresh_token })
    }
}

impl Lane for Session {
    async fn once(&mut self) -> anyhow::Result<()> {
        let next =
            people::tokens(&mut self.connection, &people::refresh(&self.refresh_token)).await?;
        self.refresh_token = next.refresh_token;
        Ok(())
    }
}
