//! A crowd at the desk: so many people sign in at the same time, again and again, each from an address
//! of their own, until this program is told to end (SIGTERM).
//!
//! It prints `waiting` when all of them have asked, and how they were answered at the end. Being sent
//! away because the queue is full, or for having come too often, is an answer; any other refusal, and a
//! connection that breaks, is a failure.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use benches::client::Connection;
use benches::people;
use clap::Parser;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::time::sleep;

/// How long somebody waits who was sent away; what `Retry-After` says at the least.
const PAUSE: Duration = Duration::from_secs(1);

/// Signs many people in at the same time, until SIGTERM. Prints `name=value` lines.
#[derive(Parser)]
struct Options {
    /// Where.
    #[arg(long)]
    target: SocketAddr,
    /// How many people.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    people: u32,
}

#[derive(Default)]
struct Tally {
    arrived: AtomicU64,
    signed_in: AtomicU64,
    full: AtomicU64,
    throttled: AtomicU64,
    failed: AtomicU64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Options { target, people } = Options::parse();
    let tally = Arc::new(Tally::default());
    let mut end = signal(SignalKind::terminate())?;
    for number in 1..=people {
        let tally = Arc::clone(&tally);
        tokio::spawn(async move {
            let mut arrived = false;
            loop {
                // What breaks is counted there; then somebody comes anew.
                keep_signing_in(number, target, &tally, || {
                    let is_new = !std::mem::replace(&mut arrived, true);
                    if is_new && one_more(&tally.arrived) == u64::from(people) {
                        println!("waiting");
                    }
                })
                .await;
                sleep(PAUSE).await;
            }
        });
    }
    end.recv().await;
    for (name, count) in [
        ("signed_in", &tally.signed_in),
        ("full", &tally.full),
        ("throttled", &tally.throttled),
        ("failed", &tally.failed),
    ] {
        println!("{name}={}", count.load(Ordering::Relaxed));
    }
    Ok(())
}

fn one_more(count: &AtomicU64) -> u64 {
    count.fetch_add(1, Ordering::Relaxed) + 1
}

/// Signs one person in for as long as the connection holds.
async fn keep_signing_in(number: u32, target: SocketAddr, tally: &Tally, mut asks: impl FnMut()) {
    let Ok(mut connection) = Connection::open_from(address(number), target).await else {
        one_more(&tally.failed);
        return;
    };
    let request = people::sign_in(number);
    loop {
        asks();
        let answer = connection.ask(&request).await;
        let (count, is_sent_away) = match answer.as_ref().map(|answer| answer.status) {
            Ok(200) => (&tally.signed_in, false),
            Ok(503) => (&tally.full, true),
            Ok(429) => (&tally.throttled, true),
            Ok(_) | Err(_) => (&tally.failed, true),
        };
        one_more(count);
        if answer.map_or(true, |answer| answer.closes) {
            return;
        }
        if is_sent_away {
            sleep(PAUSE).await;
        }
    }
}

/// All of 127.0.0.0/8 is this machine; neighbours share no count.
fn address(number: u32) -> IpAddr {
    let [_, high, low, _] = (number << 8).to_be_bytes();
    IpAddr::from([127, 1 + high, low, 1])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn everybody_has_an_address_of_their_own_on_this_machine() {
        let all: BTreeSet<_> = (1..=50_000).map(address).collect();
        assert_eq!(all.len(), 50_000);
        assert!(all.iter().all(IpAddr::is_loopback));
    }
}
