//! The back end of a measurement: answers every request with the same 100 bytes, so fast that it is
//! not what is measured. Its one line of output is its address.
//!
//! `/head` is answered with the request's own head, to see what a proxy made of it. Requests have no
//! bodies here.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use benches::http1::HEAD_BYTES_MAX;
use benches::http1::head_end;
use clap::Parser;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

/// An order, as such a service would answer: 100 bytes.
const BODY: &str = concat!(
    r#"{"id":42,"state":"shipped","items":[{"sku":"LANTERN-9","count":2}],"#,
    r#""total":"38.00","currency":"EUR"}"#
);

/// Answers every HTTP/1.1 request with 200 and 100 bytes.
#[derive(Parser)]
struct Options {
    /// Address to listen on; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

// One thread: it shares a core with the client.
#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind(Options::parse().listen).await?;
    println!("{}", listener.local_addr()?);
    let usual: Arc<[u8]> = answer("application/json", BODY.as_bytes()).into();
    loop {
        let (stream, _) = listener.accept().await?;
        let usual = Arc::clone(&usual);
        tokio::spawn(async move {
            // A proxy that drops a connection is no fault of this program.
            let _ = serve(stream, &usual).await;
        });
    }
}

/// Answers request after request until the other side closes.
async fn serve(mut stream: TcpStream, usual: &[u8]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut pending = Vec::with_capacity(4096);
    let mut looked_at = 0;
    while pending.len() < HEAD_BYTES_MAX && stream.read_buf(&mut pending).await? > 0 {
        while let Some(end) = head_end(&pending, looked_at) {
            let head = &pending[..end];
            if head.starts_with(b"GET /head ") {
                stream.write_all(&answer("text/plain", head)).await?;
            } else {
                stream.write_all(usual).await?;
            }
            pending.drain(..end);
            looked_at = 0;
        }
        looked_at = pending.len();
    }
    Ok(())
}

fn answer(content_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_answer_has_a_body_of_100_bytes() {
        assert_eq!(BODY.len(), 100);
    }
}
