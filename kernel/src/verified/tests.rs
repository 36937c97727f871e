//! Tests of the cache of verified tokens.

use std::thread;

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_000);

const LATER: Timestamp = Timestamp::from_secs(1_500);

/// What each token of [`of_one_shard`] costs.
const BYTES: usize = ENTRY_OVERHEAD_BYTES + 6;

/// A cache with room for three such tokens in each shard.
fn of_three() -> VerifiedTokens<&'static str> {
    VerifiedTokens::new(SHARDS * (3 * BYTES + 1))
}

/// Four tokens that contend for the same room.
fn of_one_shard<V>(cache: &VerifiedTokens<V>) -> [String; 4] {
    let shard_of = |token: &String| cache.hasher.hash_one(token.as_str()) >> 60;
    let mut tokens = (0..).map(|n| format!("{n:06}"));
    let first = tokens.next().unwrap();
    let shard = shard_of(&first);
    let mut others = tokens.filter(|token| shard_of(token) == shard);
    [first, others.next().unwrap(), others.next().unwrap(), others.next().unwrap()]
}

fn kept(cache: &VerifiedTokens<&'static str>, tokens: &[String; 4]) -> [bool; 4] {
    [0, 1, 2, 3].map(|at| cache.get(&tokens[at]).is_some())
}

#[test]
fn a_token_is_found_by_its_whole_text_only() {
    let cache = VerifiedTokens::new(1 << 20);
    cache.keep("a.b.c", Arc::new(1), 2_000, NOW);
    assert_eq!(cache.get("a.b.c").as_deref(), Some(&1));
    for other in ["a.b.d", "a.b.c ", "a.b.", "A.b.c", ""] {
        assert_eq!(cache.get(other), None, "{other}");
    }
    cache.clear();
    assert_eq!(cache.get("a.b.c"), None);
    assert_eq!((cache.len(), cache.bytes()), (0, 0));
}

#[test]
fn a_cache_of_no_bytes_keeps_nothing() {
    let cache = VerifiedTokens::new(0);
    cache.keep("a.b.c", Arc::new(1), 2_000, NOW);
    assert!(cache.is_empty());
}

#[test]
fn a_token_as_large_as_a_shard_is_kept_and_a_larger_one_is_not() {
    let cache = VerifiedTokens::new(SHARDS * 1_000);
    let largest = "x".repeat(1_000 - ENTRY_OVERHEAD_BYTES);
    cache.keep(&largest, Arc::new(1), 2_000, NOW);
    assert_eq!(cache.bytes(), 1_000);
    let larger = format!("{largest}x");
    cache.keep(&larger, Arc::new(2), 2_000, NOW);
    assert_eq!(cache.get(&larger), None);
    assert_eq!(cache.get(&largest).as_deref(), Some(&1));
}

#[test]
fn a_token_kept_twice_counts_once_and_has_the_later_value() {
    let cache = VerifiedTokens::new(1 << 20);
    cache.keep("a.b.c", Arc::new(1), 2_000, NOW);
    cache.keep("a.b.c", Arc::new(2), 2_000, NOW);
    assert_eq!((cache.len(), cache.bytes()), (1, ENTRY_OVERHEAD_BYTES + 5));
    assert_eq!(cache.get("a.b.c").as_deref(), Some(&2));
}

#[test]
fn an_expired_token_goes_before_any_other() {
    for (expired, asks) in [(0, false), (1, false), (2, false), (2, true)] {
        let cache = of_three();
        let tokens = of_one_shard(&cache);
        for (at, token) in tokens[..3].iter().enumerate() {
            let expires_at_s = if at == expired { LATER.as_secs() } else { 2_000 };
            cache.keep(token, Arc::new(""), expires_at_s, NOW);
        }
        if asks {
            cache.get(&tokens[expired]);
        }
        cache.keep(&tokens[3], Arc::new(""), 2_000, LATER);
        let mut expected = [true; 4];
        expected[expired] = false;
        assert_eq!(kept(&cache, &tokens), expected);
    }
}

#[test]
fn all_that_has_expired_makes_room_at_once() {
    let cache = of_three();
    let tokens = of_one_shard(&cache);
    for (token, expires_at_s) in tokens.iter().zip([1_500, 1_501, 1_499]) {
        cache.keep(token, Arc::new(""), expires_at_s, NOW);
    }
    cache.keep(&tokens[3], Arc::new(""), 2_000, LATER);
    assert_eq!(kept(&cache, &tokens), [false, true, false, true]);
    assert_eq!(cache.bytes(), 2 * BYTES);
}

#[test]
fn of_those_in_force_one_that_was_not_asked_for_goes() {
    let cache = of_three();
    let tokens = of_one_shard(&cache);
    for token in &tokens[..3] {
        cache.keep(token, Arc::new(""), 2_000, NOW);
    }
    cache.get(&tokens[0]);
    cache.get(&tokens[2]);
    cache.keep(&tokens[3], Arc::new(""), 2_000, NOW);
    assert_eq!(kept(&cache, &tokens), [true, false, true, true]);
}

#[test]
fn where_all_were_asked_for_one_of_them_makes_room() {
    let cache = of_three();
    let tokens = of_one_shard(&cache);
    for token in &tokens[..3] {
        cache.keep(token, Arc::new(""), 2_000, NOW);
        cache.get(token);
    }
    cache.keep(&tokens[3], Arc::new(""), 2_000, NOW);
    let kept = kept(&cache, &tokens);
    assert!(kept[3]);
    assert_eq!(kept.iter().filter(|kept| **kept).count(), 3);
}

#[test]
fn threads_that_keep_find_and_clear_at_once_stay_within_the_bound() {
    const BYTES_MAX: usize = SHARDS * 4 * (ENTRY_OVERHEAD_BYTES + 4);
    let cache = VerifiedTokens::new(BYTES_MAX);
    thread::scope(|scope| {
        for start in 0..4_u64 {
            let cache = &cache;
            scope.spawn(move || {
                let mut dice = start.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                for step in 0..4_000 {
                    // Xorshift: the threads meet at different tokens each time.
                    dice ^= dice << 13;
                    dice ^= dice >> 7;
                    dice ^= dice << 17;
                    let number = dice % 300;
                    let token = format!("{number:04}");
                    match cache.get(&token) {
                        Some(value) => assert_eq!(*value, number),
                        None => cache.keep(&token, Arc::new(number), 900 + number, NOW),
                    }
                    if step % 1_000 == 999 {
                        cache.clear();
                    }
                    assert!(cache.bytes() <= BYTES_MAX);
                }
            });
        }
    });
    assert_eq!(cache.bytes(), cache.len() * (ENTRY_OVERHEAD_BYTES + 4));
}

proptest! {
    #[test]
    fn the_bound_holds_and_no_hit_is_another_tokens(
        tokens in prop::collection::vec((0_u32..400, 0_u64..3), 1..600),
    ) {
        let bytes_max = SHARDS * 4 * (ENTRY_OVERHEAD_BYTES + 3);
        let cache = VerifiedTokens::new(bytes_max);
        let mut now_s = NOW.as_secs();
        for (number, advance_s) in tokens {
            now_s += advance_s;
            let token = format!("{number:03}");
            if let Some(kept) = cache.get(&token) {
                prop_assert_eq!(*kept, number);
            } else {
                let expires_at_s = 500 + u64::from(number) * 5;
                cache.keep(&token, Arc::new(number), expires_at_s, Timestamp::from_secs(now_s));
                let kept = cache.get(&token);
                prop_assert_eq!(kept.as_deref(), Some(&number));
            }
            prop_assert!(cache.bytes() <= bytes_max);
        }
    }
}
