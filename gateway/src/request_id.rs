//! Names for requests and traces: 128 bits that nobody has used before.
//!
//! They need to differ, not to be unguessable: a thread asks the system for randomness once, and
//! goes on from there by itself, so that a request pays for no system call.

use std::cell::Cell;

use http::HeaderValue;
use uuid::Uuid;

/// 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId([u8; 32]);

impl RequestId {
    /// An id that is new.
    pub fn next() -> Self {
        let (high, low) = next_pair();
        let mut digits = [0; 32];
        write_hex(&mut digits[..16], high);
        write_hex(&mut digits[16..], low);
        Self(digits)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Hexadecimal digits are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The id as a header's value.
    pub fn to_header(self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).unwrap_or_else(|_| HeaderValue::from_static("0"))
    }
}

/// The trace that begins with a request, not sampled (W3C Trace Context §3.2): version, trace,
/// span, flags. The trace has the request's id, so that one of them finds the other.
pub fn new_traceparent(request: &RequestId) -> HeaderValue {
    let (span, _) = next_pair();
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    text[3..35].copy_from_slice(&request.0);
    // A span may not be zero, and neither may a trace: of 2^128 ids one is.
    write_hex(&mut text[36..52], span | 1);
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

thread_local! {
    static SEEDS: Cell<(u64, u64)> = Cell::new(Uuid::new_v4().as_u64_pair());
}

/// Two counters that begin anywhere, each mixed (SplitMix64, Steele et al. 2014): both would have
/// to meet another thread's for an id to come twice.
fn next_pair() -> (u64, u64) {
    SEEDS.with(|seeds| {
        let (a, b) = seeds.get();
        let next = (a.wrapping_add(0x9e37_79b9_7f4a_7c15), b.wrapping_add(0xbf58_476d_1ce4_e5b9));
        seeds.set(next);
        (mix(next.0), mix(next.1))
    })
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn write_hex(digits: &mut [u8], number: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (digit, byte) in digits.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        digit[0] = DIGITS[usize::from(byte >> 4)];
        digit[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::forward::is_traceparent;

    #[test]
    fn no_id_comes_twice_whatever_thread_makes_it() {
        let make = || (0..20_000).map(|_| RequestId::next().0).collect::<Vec<_>>();
        let threads = [(); 4].map(|()| std::thread::spawn(make));
        let ids: Vec<_> = threads.into_iter().flat_map(|t| t.join().expect("made")).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        assert!(ids.iter().flatten().all(u8::is_ascii_hexdigit));
    }

    #[test]
    fn a_new_trace_is_one() {
        for _ in 0..1000 {
            assert!(is_traceparent(new_traceparent(&RequestId::next()).as_bytes()));
        }
    }
}
