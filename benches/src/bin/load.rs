//! The client of a measurement: sends exactly so many requests over so many connections, each
//! connection one request at a time, and checks every answer.
//!
//! A client that runs for a time, as wrk does, sends a different number each time; instructions per
//! request need the number fixed, and an answer of the wrong kind must not pass for a fast one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::bail;
use anyhow::ensure;
use benches::client::Connection;
use benches::cpu;
use benches::percentile;
use clap::Parser;

/// How many broken connections end a lane: the rest would break alike.
const BREAKS_MAX: u32 = 10;

/// Sends GET requests and checks every answer. Prints `name=value` lines; ends with 1 after any
/// wrong answer.
#[derive(Parser)]
struct Options {
    /// Where to send them.
    #[arg(long)]
    target: SocketAddr,
    /// The path to ask for.
    #[arg(long, default_value = "/orders/42")]
    path: String,
    /// How many requests are counted.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
    /// How many are sent before, on the same connections, whatever is answered.
    #[arg(long, default_value_t = 0)]
    warm_up: u64,
    /// How many connections, kept open.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    connections: u64,
    /// The status that every counted answer must have.
    #[arg(long, default_value_t = 200)]
    expect: u16,
    /// A header for every request, as `Name: value`.
    #[arg(long = "header")]
    headers: Vec<String>,
    /// A file of bearer tokens, one a line, shown in turn.
    #[arg(long)]
    tokens: Option<PathBuf>,
    /// The process whose processor time is printed, per request.
    #[arg(long)]
    pid: Option<u32>,
    /// Print the last answer, head and body, instead of the numbers.
    #[arg(long)]
    print: bool,
}

// One thread: it shares a core with the back end.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let plan = Arc::new(Plan {
        target: options.target,
        expect: options.expect,
        connections: options.connections,
        requests: requests(&options)?,
    });
    let lanes = (0..options.connections).map(Lane::new).collect();
    let mut lanes = drive(&plan, lanes, options.warm_up).await?;
    for lane in &mut lanes {
        lane.tally = Tally::default();
    }

    let cpu_before = options.pid.map(cpu::time_of).transpose().context("the process of --pid")?;
    let began = Instant::now();
    let lanes = drive(&plan, lanes, options.requests).await?;
    let elapsed = began.elapsed();
    let cpu_after = options.pid.map(cpu::time_of).transpose().context("the process of --pid")?;

    let opened: u64 = lanes.iter().map(|lane| lane.opened).sum();
    let tally = lanes.iter().fold(Tally::default(), |sum, lane| sum.and(&lane.tally));
    if options.print {
        let last = lanes.into_iter().next().and_then(|lane| lane.connection);
        print!(
            "{}",
            String::from_utf8_lossy(&last.map(Connection::into_answer).unwrap_or_default())
        );
    } else {
        let cpu = cpu_before.zip(cpu_after).map(|(before, after)| after - before);
        report(&options, &tally, opened, elapsed, cpu);
    }
    match tally.first_wrong {
        Some(wrong) => {
            bail!("{} of {} requests went wrong: {wrong}", tally.errors, options.requests)
        }
        None => Ok(()),
    }
}

fn report(options: &Options, tally: &Tally, opened: u64, elapsed: Duration, cpu: Option<Duration>) {
    let mut took = tally.took.clone();
    took.sort_unstable();
    println!("requests={}", options.requests);
    println!("errors={}", tally.errors);
    println!("opened={opened}");
    println!("elapsed_ms={}", elapsed.as_millis());
    println!("requests_per_s={:.0}", options.requests as f64 / elapsed.as_secs_f64());
    println!("p50_us={}", percentile(&took, 50).as_micros());
    println!("p99_us={}", percentile(&took, 99).as_micros());
    if let Some(cpu) = cpu {
        println!("cpu_us={:.2}", cpu.as_secs_f64() * 1e6 / options.requests as f64);
    }
}

/// What all lanes share.
struct Plan {
    target: SocketAddr,
    expect: u16,
    connections: u64,
    /// The requests, sent in turn; one for each token.
    requests: Vec<Vec<u8>>,
}

fn requests(options: &Options) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut head = format!("GET {} HTTP/1.1\r\nHost: orders.example\r\n", options.path);
    head += "User-Agent: load\r\nAccept: */*\r\n";
    for header in &options.headers {
        ensure!(header.contains(": "), "`{header}` is no header; expected `Name: value`");
        head += &format!("{header}\r\n");
    }
    let Some(path) = &options.tokens else {
        return Ok(vec![(head + "\r\n").into_bytes()]);
    };
    let tokens = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let with = |token: &str| format!("{head}Authorization: Bearer {token}\r\n\r\n").into_bytes();
    let requests: Vec<_> = tokens.lines().map(with).collect();
    ensure!(!requests.is_empty(), "{}: no token in it", path.display());
    Ok(requests)
}

/// One connection, and the requests that fall to it: those whose number, divided by the number of
/// connections, leaves `index`.
struct Lane {
    index: u64,
    connection: Option<Connection>,
    opened: u64,
    breaks: u32,
    tally: Tally,
}

/// How requests went.
#[derive(Default)]
struct Tally {
    took: Vec<Duration>,
    errors: u64,
    first_wrong: Option<String>,
}

/// Sends `count` requests, the first `connections` of them at once.
async fn drive(plan: &Arc<Plan>, lanes: Vec<Lane>, count: u64) -> anyhow::Result<Vec<Lane>> {
    let run = |lane: Lane| tokio::spawn(lane.run(Arc::clone(plan), count));
    let tasks: Vec<_> = lanes.into_iter().map(run).collect();
    let mut lanes = Vec::with_capacity(tasks.len());
    for task in tasks {
        lanes.push(task.await??);
    }
    Ok(lanes)
}

impl Lane {
    fn new(index: u64) -> Self {
        Self { index, connection: None, opened: 0, breaks: 0, tally: Tally::default() }
    }

    async fn run(mut self, plan: Arc<Plan>, count: u64) -> anyhow::Result<Self> {
        for number in (self.index..count).step_by(plan.connections as usize) {
            let request = &plan.requests[number as usize % plan.requests.len()];
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.open(plan.target).await?,
            };
            let began = Instant::now();
            let answer = connection.ask(request).await;
            self.tally.took.push(began.elapsed());
            match answer {
                Ok(head) => {
                    if head.status != plan.expect {
                        self.tally.wrong(format!("the status is {}", head.status));
                    }
                    if !head.closes {
                        self.connection = Some(connection);
                    }
                }
                Err(error) => {
                    self.breaks += 1;
                    ensure!(self.breaks < BREAKS_MAX, "giving up: {error}");
                    self.tally.wrong(error.to_string());
                }
            }
        }
        Ok(self)
    }

    async fn open(&mut self, target: SocketAddr) -> anyhow::Result<Connection> {
        let connection = Connection::open(target).await;
        let connection = connection.with_context(|| format!("connecting to {target}"))?;
        self.opened += 1;
        Ok(connection)
    }
}

impl Tally {
    fn wrong(&mut self, how: String) {
        self.errors += 1;
        self.first_wrong.get_or_insert(how);
    }

    fn and(mut self, other: &Self) -> Self {
        self.took.extend_from_slice(&other.took);
        self.errors += other.errors;
        self.first_wrong = self.first_wrong.or_else(|| other.first_wrong.clone());
        self
    }
}
