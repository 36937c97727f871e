//! What the programs of the measurements share; README.md says what is measured and how.
//!
//! Of the edge: `bare` is the proxy to compare with, `origin` what is behind it, `load` the client,
//! `tokens` signs what the client shows, `redis` is where a fleet counts. Of identity: `people` makes
//! accounts, `sign-in`, `crowd`, `refresh` and `within` use them, `argon2id` and `swap` are what to
//! compare with, and `postgres` is a database. Of limits: `counters`. `edge/run`, `identity/run` and
//! `limits/run` put them together. Of job status: `status`, and `status/run`. `revocation-check` and `revocations` are run by themselves.

pub mod http1;

pub mod client;

pub mod cpu;

pub mod lanes;

pub mod people;

use std::time::Duration;

/// The smallest of `sorted` that `percent` of them do not exceed (nearest rank).
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// Prints how many operations took how long, as `name=value` lines for a driver.
pub fn report(mut took: Vec<Duration>, elapsed: Duration) {
    took.sort_unstable();
    println!("elapsed_ms={}", elapsed.as_millis());
    println!("per_s={:.0}", took.len() as f64 / elapsed.as_secs_f64());
    println!("p50_us={}", percentile(&took, 50).as_micros());
    println!("p99_us={}", percentile(&took, 99).as_micros());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_percentile_of_100_is_the_99th() {
        let sorted: Vec<_> = (1..=100).map(Duration::from_micros).collect();
        assert_eq!(percentile(&sorted, 99), Duration::from_micros(99));
        assert_eq!(percentile(&sorted, 50), Duration::from_micros(50));
        assert_eq!(percentile(&sorted[..1], 99), Duration::from_micros(1));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
