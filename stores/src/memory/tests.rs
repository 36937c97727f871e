use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use kernel::limit::SubjectKind;

use super::*;
use crate::key::Form;

const ONE: NonZeroU32 = NonZeroU32::MIN;

const START: Timestamp = Timestamp::from_secs(1_700_000_000);

fn store(keys_max: usize) -> MemoryQuotas {
    MemoryQuotas::new(NonZeroUsize::new(keys_max).unwrap())
}

fn user(id: &str) -> Subject<'_> {
    Subject { policy: "api", kind: SubjectKind::User, id }
}

fn minute(requests: u32) -> [Quota; 1] {
    [Quota::new("minute", requests.into(), Duration::from_secs(60)).unwrap()]
}

fn flood(store: &MemoryQuotas, id: &str, calls: u32, now: Timestamp) -> u32 {
    let call = |_| u32::from(store.acquire_now(user(id), &minute(100), ONE, now).admitted);
    (0..calls).map(call).sum()
}

fn left(store: &MemoryQuotas, id: &str, now: Timestamp) -> u32 {
    store.peek_now(user(id), &minute(100), now).windows()[0].remaining
}

#[test]
fn at_the_maximum_every_key_is_kept() {
    for keys_max in [1, 8, 64, 1000, 5000] {
        let store = store(keys_max);
        for i in 0..keys_max {
            flood(&store, &i.to_string(), 1, START);
        }
        assert_eq!((store.keys(), store.displaced()), (keys_max, 0));
        for i in 0..keys_max {
            assert_eq!(left(&store, &i.to_string(), START), 99);
        }
    }
}

#[test]
fn one_past_the_maximum_displaces_the_key_used_least() {
    let store = store(8);
    for (calls, id) in (10..).zip(["a", "b", "c", "d", "e", "f", "g", "h"]) {
        flood(&store, id, calls, START);
    }
    assert_eq!(flood(&store, "i", 1, START), 1);
    assert_eq!((store.keys(), store.displaced()), (8, 1));
    assert_eq!(left(&store, "a", START), 100, "used least, so forgotten");
    assert_eq!(left(&store, "b", START), 89);
    assert_eq!(left(&store, "i", START), 99);
}

#[test]
fn what_counts_is_the_part_of_the_quota_not_the_number_of_calls() {
    let store = store(2);
    flood(&store, "many of more", 30, START);
    for _ in 0..4 {
        store.acquire_now(user("few of fewer"), &minute(5), ONE, START);
    }
    flood(&store, "new", 1, START);
    assert_eq!(left(&store, "few of fewer", START), 96);
    assert_eq!(left(&store, "many of more", START), 100);
}

#[test]
fn a_spent_key_is_not_washed_away_by_a_flood_of_new_ones() {
    let store = store(1000);
    assert_eq!(flood(&store, "spent", 200, START), 100);
    for i in 0..20_000 {
        flood(&store, &format!("throw-away {i}"), 1, START);
    }
    assert_eq!(store.keys(), 1000);
    assert_eq!(store.displaced(), 19_001);
    assert_eq!(flood(&store, "spent", 200, START), 0);
}

#[test]
fn keys_that_have_run_empty_make_room_first() {
    let store = store(100);
    for i in 0..50 {
        flood(&store, &format!("old {i}"), 100, START);
    }
    let later = START.plus(Duration::from_secs(61));
    for i in 0..100 {
        flood(&store, &format!("new {i}"), 1, later);
    }
    assert_eq!((store.keys(), store.displaced()), (100, 0));
}

#[test]
fn keys_that_have_run_empty_are_dropped_as_calls_come_by() {
    let store = store(64);
    for i in 0..64 {
        flood(&store, &i.to_string(), 1, START);
    }
    let later = START.plus(Duration::from_secs(61));
    for _ in 0..10_000 {
        flood(&store, "busy", 1, later);
    }
    assert_eq!((store.keys(), store.displaced()), (1, 0));
}

#[test]
fn a_sweep_drops_what_has_run_empty_and_nothing_else() {
    let store = store(100_000);
    let half_later = START.plus(Duration::from_secs(30));
    for i in 0..10_000 {
        let now = if i % 2 == 0 { START } else { half_later };
        flood(&store, &i.to_string(), 1, now);
    }
    store.sweep(START.plus(Duration::from_millis(60_999)));
    assert_eq!(store.keys(), 10_000);
    store.sweep(START.plus(Duration::from_secs(61)));
    assert_eq!(store.keys(), 5_000);
    store.sweep(half_later.plus(Duration::from_secs(61)));
    assert_eq!(store.keys(), 0);
}

#[test]
fn refusals_peeks_and_refunds_of_unknown_subjects_leave_no_key() {
    let store = store(100);
    let two = NonZeroU32::new(2).unwrap();
    for i in 0..1000 {
        let id = i.to_string();
        assert!(!store.acquire_now(user(&id), &minute(1), two, START).admitted);
        assert!(store.acquire_now(user(&id), &[], two, START).admitted);
        store.peek_now(user(&id), &minute(1), START);
        store.refund_now(user(&id), &minute(1), ONE, START);
    }
    assert_eq!(store.keys(), 0);
}

/// Ids that all live in shard `home`.
fn ids_of(store: &MemoryQuotas, home: usize) -> impl Iterator<Item = String> {
    (0..).map(|i: u32| i.to_string()).filter(move |id| {
        let hash = store.hasher.hash_one(Key::of(&user(id), None));
        store.home(hash) == home
    })
}

#[test]
fn a_full_store_makes_room_in_another_shard_when_a_keys_own_is_empty() {
    let store = store(256);
    assert_eq!(store.shards.len(), 4);
    for id in ids_of(&store, 2).take(256) {
        flood(&store, &id, 1, START);
    }
    for id in ids_of(&store, 1).take(5) {
        assert_eq!(flood(&store, &id, 3, START), 3);
        assert_eq!(left(&store, &id, START), 97);
    }
    assert_eq!(store.keys(), 256);
}

#[test]
fn the_maximum_holds_and_the_count_is_right_with_threads_at_it() {
    let store = store(200);
    let start = Barrier::new(8);
    thread::scope(|scope| {
        for thread in 0..8 {
            let (store, start) = (&store, &start);
            scope.spawn(move || {
                start.wait();
                for i in 0..5_000 {
                    flood(store, &format!("{}", (i * 7 + thread) % 1_000), 1, START);
                    assert!(store.keys() <= 200);
                }
            });
        }
    });
    let held: usize = store.shards.iter().map(|shard| shard.0.lock().keys()).sum();
    assert_eq!((held, store.keys()), (200, 200));
}

#[test]
fn of_takes_racing_on_threads_exactly_the_limit_is_admitted() {
    let store = store(100);
    let start = Barrier::new(8);
    let admitted: u32 = thread::scope(|scope| {
        let racers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    flood(&store, "ada", 1000, START)
                })
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).sum()
    });
    assert_eq!(admitted, 100);
}

#[test]
fn a_subject_of_128_bytes_is_kept_as_it_is_and_one_of_129_as_its_digest() {
    let (long, longer) = ("x".repeat(125), "x".repeat(126));
    assert!(Digest::if_long(&user(&long)).is_none());
    let digest = Digest::if_long(&user(&longer)).unwrap();
    let subject = user(&longer);
    let key = Key::of(&subject, Some(&digest));
    assert_eq!((key.policy.len(), key.id.len()), (0, 32));

    let alike = Key { form: Form::Plain, ..key };
    assert_ne!(key, alike, "an id that looks like a digest is another subject");
    assert_eq!(Entry::of(&key).key(), key);
}

#[test]
fn a_light_key_costs_at_most_150_bytes_and_a_saturated_one_700() {
    let ids: Vec<_> =
        (0..1000).map(|i| format!("01890a5d-ac96-774b-bcce-b302099a{i:04}")).collect();
    let store = store(1000);
    let bytes_per_key = || {
        let shards = store.shards.iter().map(|shard| shard.0.lock().heap_bytes());
        shards.sum::<usize>() / store.keys()
    };
    for id in &ids {
        flood(&store, id, 3, START);
    }
    let light = bytes_per_key();
    assert!(light <= 150, "{light}");
    for second in 0..120 {
        let now = START.plus(Duration::from_secs(second));
        ids.iter().for_each(|id| {
            flood(&store, id, 2, now);
        });
    }
    let saturated = bytes_per_key();
    assert!(saturated <= 700, "{saturated}");
}
