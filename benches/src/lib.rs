//! What the programs of the measurements share; README.md says what is measured and how.
//!
//! The programs: `bare` is the proxy to compare with, `origin` what is behind it, `load` the
//! client, `tokens` signs what the client shows. `edge/run` puts them together.

pub mod http1;

pub mod client;

pub mod cpu;

use std::time::Duration;

/// The smallest of `sorted` that `percent` of them do not exceed (nearest rank).
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
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
