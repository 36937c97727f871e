//! The back end of the tests and measurements: `upstream [ADDRESS]`, by default on a free port of
//! 127.0.0.1. Its first line of output is the port.

use std::io;

use test_support::upstream::server::serve;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(addr).await?;
    println!("{}", listener.local_addr()?.port());
    serve(listener).await
}
