//! What counting a request costs: in this process, with tokens taken ahead from a Redis, with a
//! question each time, and with a Redis that rests. Prints a table of Markdown.
//!
//! Callers take turns, each at half of what it may, by a clock that this program moves on: so tokens
//! are asked for as often as in a day's work, and nobody is refused.

use std::num::NonZeroU32;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::ensure;
use benches::cpu;
use benches::percentile;
use clap::Parser;
use config::Redis;
use kernel::limit::Quota;
use kernel::limit::QuotaStore;
use kernel::limit::Subject;
use kernel::limit::SubjectKind;
use kernel::secret::Secret;
use kernel::time::Timestamp;
use stores::memory::MemoryQuotas;
use stores::redis::connection::Connection;
use stores::redis::quotas::Clock;
use stores::redis::quotas::RedisQuotas;
use stores::shared::AtHand;
use stores::shared::Leasing;
use stores::shared::SharedQuotas;
use test_support::redis::RedisServer;
use test_support::redis::Reply;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const START_MS: u64 = 1_700_000_000_000;

/// Milliseconds that this program's clock has moved on.
static SINCE_MS: AtomicU64 = AtomicU64::new(0);

/// Counts requests in each way.
#[derive(Parser)]
struct Options {
    /// How many callers take turns.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    callers: u32,
    /// How many requests each of them makes, without a question each time.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// How many requests are made in all, with a question each time.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    questions: u32,
    /// How often everything is done.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

fn uptime() -> Duration {
    Duration::from_millis(SINCE_MS.load(Ordering::Relaxed)) + Duration::from_secs(1000)
}

fn now() -> Timestamp {
    Timestamp::from_millis(START_MS + SINCE_MS.load(Ordering::Relaxed))
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    // As in a gateway: the connection has threads of its own.
    let control =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let worker = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut rows = Vec::new();
    for _ in 0..options.rounds {
        rows.push(round(&options, &control, &worker)?);
    }
    let column = |of: fn(&Row) -> f64| {
        let mut values: Vec<f64> = rows.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (values[0], values[values.len() - 1]);
        format!("{:.2} ({least:.2}–{most:.2})", values[values.len() / 2])
    };
    println!("| what | median ({} rounds: min–max) |", options.rounds);
    println!("|---|--:|");
    println!("| counted in memory, two windows: CPU µs a request | {} |", column(|r| r.memory_us));
    println!("| tokens taken ahead: CPU µs a request | {} |", column(|r| r.leased_us));
    println!("| tokens taken ahead: questions a request | {} |", column(|r| r.questions_each));
    println!(
        "| a question each time, one caller after the other: p50 µs | {} |",
        column(|r| r.exact_p50_us)
    );
    println!("| the same: p99 µs | {} |", column(|r| r.exact_p99_us));
    println!(
        "| the same, three windows: CPU µs of Redis a question | {} |",
        column(|r| r.redis_us)
    );
    println!("| Redis is dead, and rests: µs a request, p99 | {} |", column(|r| r.resting_p99_us));
    Ok(())
}

struct Row {
    memory_us: f64,
    leased_us: f64,
    questions_each: f64,
    exact_p50_us: f64,
    exact_p99_us: f64,
    redis_us: f64,
    resting_p99_us: f64,
}

fn round(
    options: &Options,
    control: &tokio::runtime::Runtime,
    worker: &tokio::runtime::Runtime,
) -> anyhow::Result<Row> {
    let mut server = RedisServer::start();
    let quotas = quotas(&[(1000, 60), (100_000, 3600)])?;
    let callers: Vec<String> = (0..options.callers).map(|n| format!("caller-{n}")).collect();
    let requests = f64::from(options.callers) * f64::from(options.requests);
    let keys_max = NonZeroUsize::new(1_000_000).context("not zero")?;

    let memory = MemoryQuotas::new(keys_max);
    let memory_us = cpu_us(requests, || {
        for _ in 0..options.requests {
            for id in &callers {
                let outcome = memory.acquire_now(subject(id), &quotas, NonZeroU32::MIN, now());
                ensure!(outcome.admitted, "refused");
            }
            SINCE_MS.fetch_add(120, Ordering::Relaxed);
        }
        Ok(())
    })?;

    let store = control.block_on(store(&server, Clock::OfTheCaller))?;
    let shared = Arc::new(SharedQuotas::new(store, keys_max, *b"measured", uptime));
    let leased_us = cpu_us(requests, || {
        worker.block_on(async {
            for _ in 0..options.requests {
                for id in &callers {
                    let leasing = Leasing::WhereWorthwhile;
                    let one = NonZeroU32::MIN;
                    let at_hand = shared.acquire_at_hand(subject(id), &quotas, one, leasing, now());
                    let outcome = match at_hand {
                        AtHand::Counted(outcome) => outcome,
                        AtHand::Ask(question) => shared.ask(question, &quotas, one, now()).await?,
                    };
                    ensure!(outcome.admitted, "refused");
                }
                SINCE_MS.fetch_add(120, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
            Ok(())
        })
    })?;
    let questions_each = shared.figures().asked as f64 / requests;

    let exact = control.block_on(self::store(&server, Clock::OfTheServer))?;
    let three = self::quotas(&[(1_000_000, 1), (1_000_000, 60), (1_000_000, 3600)])?;
    let before = redis_time(&server)?;
    let took = worker.block_on(async {
        let mut took = Vec::new();
        for n in 0..options.questions {
            let id = &callers[n as usize % callers.len()];
            let begin = Instant::now();
            let outcome = exact.acquire(subject(id), &three, NonZeroU32::MIN, now()).await?;
            took.push(begin.elapsed());
            ensure!(outcome.admitted, "refused");
        }
        anyhow::Ok(took)
    })?;
    let after = redis_time(&server)?;
    let (exact_p50_us, exact_p99_us) = percentiles(took);

    server.stop();
    let resting = worker.block_on(async {
        while !exact.rests() {
            let _ = exact.acquire(subject("caller-0"), &three, NonZeroU32::MIN, now()).await;
        }
        let mut took = Vec::new();
        for _ in 0..options.questions {
            let begin = Instant::now();
            let answer = exact.acquire(subject("caller-0"), &three, NonZeroU32::MIN, now()).await;
            took.push(begin.elapsed());
            ensure!(answer.is_err(), "Redis is dead");
        }
        anyhow::Ok(took)
    })?;
    Ok(Row {
        memory_us,
        leased_us,
        questions_each,
        exact_p50_us,
        exact_p99_us,
        redis_us: (after.0 - before.0) / (after.1 - before.1),
        resting_p99_us: percentiles(resting).1,
    })
}

async fn store(server: &RedisServer, clock: Clock) -> anyhow::Result<RedisQuotas> {
    let redis =
        Redis { call_timeout: Duration::from_secs(1), ..Redis::at(Secret::new(server.url())) };
    let connection = Connection::open(&redis, None)?;
    connection.connected().await?;
    Ok(RedisQuotas::new(connection, "measured", clock))
}

fn quotas(windows: &[(u32, u64)]) -> anyhow::Result<Arc<[Quota]>> {
    let quota = |(requests, secs): &(u32, u64)| {
        Quota::new("window", (*requests).into(), Duration::from_secs(*secs))
    };
    Ok(windows.iter().map(quota).collect::<Result<_, _>>()?)
}

fn subject(id: &str) -> Subject<'_> {
    Subject { policy: "tier", kind: SubjectKind::User, id }
}

/// Processor time of this process, all threads, in microseconds for each of `requests`.
fn cpu_us(requests: f64, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let before = cpu::time_of(std::process::id())?;
    work()?;
    let spent = cpu::time_of(std::process::id())? - before;
    Ok(spent.as_secs_f64() * 1e6 / requests)
}

/// What scripts have taken so far: microseconds, and calls.
fn redis_time(server: &RedisServer) -> anyhow::Result<(f64, f64)> {
    let Reply::Bulk(Some(text)) = server.command(&["INFO", "commandstats"])? else {
        anyhow::bail!("no statistics");
    };
    let line = text.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:"));
    let field = |name: &str| {
        let value = line
            .into_iter()
            .flat_map(|line| line.split(','))
            .find_map(|part| part.strip_prefix(name));
        value.and_then(|value| value.parse().ok()).unwrap_or_default()
    };
    Ok((field("usec="), field("calls=")))
}

fn percentiles(mut took: Vec<Duration>) -> (f64, f64) {
    took.sort_unstable();
    let us = |percent| percentile(&took, percent).as_secs_f64() * 1e6;
    (us(50), us(99))
}
