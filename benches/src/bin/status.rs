//! Job status under an open loop: so many operations a second, half reports and half questions, each at
//! its own time whether or not those before it are answered, over many connections that stay open. And a
//! crowd of listeners, for what they weigh.
//!
//! How long an operation took is counted from when it was due: one that had to wait for others is as slow
//! as it is for whoever waits.

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::ensure;
use benches::client::Connection;
use benches::people::Tokens;
use benches::percentile;
use clap::Parser;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

/// By then a process has given back what it took to sign in.
const SETTLED_AFTER: Duration = Duration::from_secs(8);

const STAGES: [&str; 5] = ["ingestion", "quality", "taxonomy", "graph", "embedding"];

/// Reports and asks for job status. Prints `name=value` lines.
#[derive(Parser)]
struct Options {
    /// Where clients come.
    #[arg(long)]
    target: SocketAddr,
    /// The password of `admin`, who has the scopes `status:write` and `status:read`.
    #[arg(long)]
    password: String,
    /// The process whose memory is looked at.
    #[arg(long)]
    pid: u32,
    /// Connections that are open.
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// Operations a second, over all of them.
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// For how long.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Resources that are reported on.
    #[arg(long, default_value_t = 10_000)]
    resources: u32,
    /// Streams that are open at one time, for the second figure.
    #[arg(long, default_value_t = 1000)]
    listeners: usize,
}

/// One operation.
#[derive(Clone, Copy)]
struct Operation {
    number: u32,
    due: Instant,
}

/// How long operations took.
#[derive(Default)]
struct Took {
    reports: Vec<Duration>,
    questions: Vec<Duration>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let token = sign_in(&options).await?;
    let mut first = Connection::open(options.target).await?;
    for resource in 0..options.resources {
        let answer = first.ask(&report(&options, &token, resource)).await?;
        ensure!(answer.status == 200, "a report is answered with {}", answer.status);
    }
    tokio::time::sleep(SETTLED_AFTER).await;
    println!("resident_mib={:.1}", resident_mib(options.pid)?);
    measure(&options, &token).await?;
    weigh(&options, &token).await
}

async fn sign_in(options: &Options) -> anyhow::Result<String> {
    let mut connection = Connection::open(options.target).await?;
    let form = format!("username=admin&password={}", options.password);
    let request = format!(
        "POST /auth/login HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let answer = connection.ask(request.as_bytes()).await?;
    ensure!(answer.status == 200, "signing in is answered with {}", answer.status);
    let tokens: Tokens = serde_json::from_slice(connection.body())?;
    Ok(tokens.access_token)
}

/// The open loop.
async fn measure(options: &Options, token: &str) -> anyhow::Result<()> {
    let (mut lanes, mut running) = (Vec::new(), JoinSet::new());
    for _ in 0..options.connections {
        let (operations, due) = mpsc::unbounded_channel();
        let connection = Connection::open(options.target).await?;
        running.spawn(run(connection, due, options.resources, token.to_owned()));
        lanes.push(operations);
    }
    let (count, pause) = (options.rate * options.seconds, Duration::from_secs(1) / options.rate);
    // A thread of its own: the runtime's timers are as coarse as what is measured.
    let pacer = thread::spawn(move || {
        let start = Instant::now() + Duration::from_millis(100);
        for number in 0..count {
            let due = start + pause * number;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if lanes[number as usize % lanes.len()].send(Operation { number, due }).is_err() {
                return;
            }
        }
    });
    let mut took = Took::default();
    while let Some(lane) = running.join_next().await {
        let lane = lane??;
        took.reports.extend(lane.reports);
        took.questions.extend(lane.questions);
    }
    ensure!(pacer.join().is_ok(), "the pace was not kept");
    for (name, mut took) in [("write", took.reports), ("read", took.questions)] {
        took.sort_unstable();
        println!("{name}_count={}", took.len());
        for percent in [50, 99] {
            println!("{name}_p{percent}_us={}", percentile(&took, percent).as_micros());
        }
        println!("{name}_max_us={}", took.last().copied().unwrap_or_default().as_micros());
    }
    Ok(())
}

/// Does what is due on one connection, one after the other.
async fn run(
    mut connection: Connection,
    mut due: UnboundedReceiver<Operation>,
    resources: u32,
    token: String,
) -> anyhow::Result<Took> {
    let mut took = Took::default();
    while let Some(Operation { number, due }) = due.recv().await {
        // Spread over all of them, and each sees both.
        let resource = number.wrapping_mul(7919) / 2 % resources;
        let (request, took) = match number % 2 {
            0 => (put(&token, resource, number), &mut took.reports),
            _ => (get(&token, resource), &mut took.questions),
        };
        let answer = connection.ask(&request).await?;
        ensure!(answer.status == 200, "it is answered with {}", answer.status);
        took.push(due.elapsed());
    }
    Ok(took)
}

/// What listeners weigh.
async fn weigh(options: &Options, token: &str) -> anyhow::Result<()> {
    tokio::time::sleep(SETTLED_AFTER).await;
    let before = resident_mib(options.pid)?;
    let mut streams = Vec::with_capacity(options.listeners);
    for number in 0..options.listeners {
        let resource = number as u32 % options.resources;
        let mut stream = TcpStream::connect(options.target).await?;
        let request = format!(
            "GET /status/resources/{resource}/events HTTP/1.1\r\nHost: bench\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut text = Vec::new();
        // Until the record is there, each is a listener in full.
        while !text.windows(7).any(|part| part == b"\ndata: ") {
            ensure!(stream.read_buf(&mut text).await? > 0, "a stream ended");
        }
        streams.push(stream);
    }
    tokio::time::sleep(SETTLED_AFTER).await;
    let after = resident_mib(options.pid)?;
    println!("listeners={}", streams.len());
    println!("resident_with_listeners_mib={after:.1}");
    println!("kib_per_listener={:.1}", (after - before) * 1024.0 / streams.len().max(1) as f64);
    Ok(())
}

fn report(options: &Options, token: &str, resource: u32) -> Vec<u8> {
    put(token, resource % options.resources, resource)
}

fn put(token: &str, resource: u32, number: u32) -> Vec<u8> {
    let stage = STAGES[number as usize / 2 % STAGES.len()];
    let body = format!("{{\"status\":\"processing\",\"completed\":{number},\"message\":\"page\"}}");
    format!(
        "PUT /status/resources/{resource}/stages/{stage} HTTP/1.1\r\nHost: bench\r\n\
         Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn get(token: &str, resource: u32) -> Vec<u8> {
    format!(
        "GET /status/resources/{resource} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .into_bytes()
}

/// Resident memory of a process.
fn resident_mib(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: f64 = kib.context("the system does not say how much memory a process has")?.parse()?;
    Ok(kib / 1024.0)
}
