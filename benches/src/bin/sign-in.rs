//! Signs people in, one after the other on one connection, each as somebody else: exactly so many, and
//! every answer must have tokens in it.

use std::net::SocketAddr;

use benches::client::Connection;
use benches::lanes::Lane;
use benches::lanes::measure;
use benches::people;
use clap::Parser;

/// Signs people in. Prints `name=value` lines; ends with 1 after any refusal.
#[derive(Parser)]
struct Options {
    /// Where.
    #[arg(long)]
    target: SocketAddr,
    /// How many are counted.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// How many come before them.
    #[arg(long, default_value_t = 0)]
    warm_up: u32,
    /// Sign in the first of them alone, and print the access token.
    #[arg(long)]
    print_token: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut connection = Connection::open(options.target).await?;
    if options.print_token {
        let tokens = people::tokens(&mut connection, &people::sign_in(1)).await?;
        println!("{}", tokens.access_token);
        return Ok(());
    }
    let row = Row { connection, last: 0 };
    measure(vec![row], options.warm_up, options.requests).await
}

/// People one behind the other, on one connection.
struct Row {
    connection: Connection,
    last: u32,
}

impl Lane for Row {
    async fn once(&mut self) -> anyhow::Result<()> {
        self.last += 1;
        people::tokens(&mut self.connection, &people::sign_in(self.last)).await.map(drop)
    }
}
