//! The proxy that Doorward is compared with: pingora as it comes, which passes everything through.
//!
//! With `--headers` it also adds and removes the headers that Doorward adds and removes on an
//! authenticated request, with constant values: what is left between the two is what Doorward
//! decides. Its one line of output is its address.

use std::net::SocketAddr;
use std::net::TcpListener;

use async_trait::async_trait;
use clap::Parser;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use mimalloc::MiMalloc;
use pingora::http::RequestHeader;
use pingora::http::ResponseHeader;
use pingora::prelude::HttpPeer;
use pingora::prelude::ProxyHttp;
use pingora::prelude::Result;
use pingora::prelude::Server;
use pingora::prelude::Session;
use pingora::prelude::http_proxy_service;
use pingora::server::RunArgs;
use pingora::server::ShutdownSignal;
use pingora::server::ShutdownSignalWatch;
use pingora::server::configuration::ServerConf;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

/// Doorward's allocator: a better one must not look like a better proxy.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What Doorward tells a back end.
const REQUEST_HEADERS: [(&str, HeaderValue); 10] = [
    ("X-User-Id", HeaderValue::from_static("1001")),
    ("X-Username", HeaderValue::from_static("caller-1001")),
    ("X-User-Tier", HeaderValue::from_static("bench")),
    ("X-User-Scopes", HeaderValue::from_static("orders:read orders:write")),
    ("X-Session-Id", HeaderValue::from_static("019ac000-0000-7000-9000-000000001001")),
    ("X-Request-Id", HeaderValue::from_static(REQUEST_ID)),
    (
        "traceparent",
        HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ),
    ("X-Forwarded-For", HeaderValue::from_static("127.0.0.1")),
    ("X-Forwarded-Proto", HeaderValue::from_static("http")),
    ("X-Forwarded-Host", HeaderValue::from_static("orders.example")),
];

/// What Doorward tells a client.
const RESPONSE_HEADERS: [(&str, HeaderValue); 6] = [
    ("X-RateLimit-Limit", HeaderValue::from_static("4000000000")),
    ("X-RateLimit-Remaining", HeaderValue::from_static("3999999999")),
    ("X-RateLimit-Reset", HeaderValue::from_static("1764115200")),
    (
        "RateLimit-Policy",
        HeaderValue::from_static("\"minute\";q=4000000000;w=60, \"hour\";q=4000000000;w=3600"),
    ),
    ("RateLimit", HeaderValue::from_static("\"minute\";r=3999999999;t=60")),
    ("X-Request-Id", HeaderValue::from_static(REQUEST_ID)),
];

const REQUEST_ID: &str = "0af7651916cd43dd8448eb211c80319c";

/// A pingora that passes everything through.
#[derive(Parser)]
struct Options {
    /// Address to listen on; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Address to send everything to, over HTTP/1.1.
    #[arg(long)]
    upstream: SocketAddr,
    /// How many threads serve.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Add and remove the headers that Doorward adds and removes.
    #[arg(long)]
    headers: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let address = free_address(options.listen)?;
    println!("{address}");
    // Two types, so that neither asks at each request which of the two it is.
    if options.headers {
        serve(Relabelling(Bare { upstream: options.upstream }), address, options.workers);
    } else {
        serve(Bare { upstream: options.upstream }, address, options.workers);
    }
    Ok(())
}

/// Chooses a port where `wanted` leaves it open, since pingora does not tell which one it got.
fn free_address(wanted: SocketAddr) -> std::io::Result<SocketAddr> {
    TcpListener::bind(wanted)?.local_addr()
}

fn serve<P>(proxy: P, address: SocketAddr, workers: usize)
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    let configuration = ServerConf { threads: workers, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, configuration);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, proxy);
    service.add_tcp(&address.to_string());
    server.add_service(service);
    server.run(RunArgs { shutdown_signal: Box::new(AtOnce) });
}

/// Ends the server on SIGTERM without pingora's five minutes of grace.
struct AtOnce;

#[async_trait]
impl ShutdownSignalWatch for AtOnce {
    async fn recv(&self) -> ShutdownSignal {
        let mut terminated =
            signal(SignalKind::terminate()).expect("a signal can be watched at the start");
        terminated.recv().await;
        ShutdownSignal::FastShutdown
    }
}

struct Bare {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }
}

struct Relabelling(Bare);

#[async_trait]
impl ProxyHttp for Relabelling {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut ()) -> Result<Box<HttpPeer>> {
        self.0.upstream_peer(session, ctx).await
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        (): &mut (),
    ) -> Result<()> {
        request.remove_header(&AUTHORIZATION);
        for (name, value) in &REQUEST_HEADERS {
            request.insert_header(*name, value.clone())?;
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        (): &mut (),
    ) -> Result<()> {
        for (name, value) in &RESPONSE_HEADERS {
            response.insert_header(*name, value.clone())?;
        }
        Ok(())
    }
}
