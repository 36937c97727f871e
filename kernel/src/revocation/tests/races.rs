//! Feeds, sweeps and requests at the same time.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::claims::Claims;
use crate::revocation::Entry;
use crate::revocation::RevocationError;
use crate::revocation::RevocationSet;
use crate::revocation::Row;
use crate::specimen::NOW;
use crate::specimen::claims;
use crate::specimen::verified;

fn session(seq: u64, life: Duration) -> Row {
    Row { seq, at: NOW, entry: Entry::Session { id: format!("s{seq}"), until: NOW.plus(life) } }
}

#[test]
fn a_token_revoked_while_others_are_forgotten_is_refused_at_once() {
    const ROUNDS: u64 = 20_000;
    let token = verified(&Claims { sid: "s1".to_owned(), ..claims() });
    let set = RevocationSet::default();
    set.apply_snapshot(0, &[], NOW);
    let done = AtomicBool::new(false);
    let later = NOW.plus(Duration::from_secs(100));
    let let_in = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                set.forget_expired(NOW);
            }
        });
        // Each round starts from a count of nothing, where a miscount hides what is held.
        let let_in = (0..ROUNDS).find(|_| {
            set.apply(&[session(1, Duration::from_secs(10))], NOW);
            let outcome = set.check(token.clone()).map(|_| ());
            set.forget_expired(later);
            outcome != Err(RevocationError::Revoked)
        });
        done.store(true, Ordering::Relaxed);
        let_in
    });
    assert_eq!(let_in, None);
    assert!(set.is_empty());
}

#[test]
fn many_feeds_at_once_do_not_pass_the_bound_and_count_right() {
    const FEEDS: u64 = 4;
    const EACH: u64 = 200;
    for (entries_max, fits) in [(FEEDS * EACH, true), (FEEDS * EACH - 1, false)] {
        let set = RevocationSet::with_entries_max(entries_max as usize);
        set.apply_snapshot(0, &[], NOW);
        thread::scope(|scope| {
            for feed in 0..FEEDS {
                let set = &set;
                scope.spawn(move || {
                    for seq in feed * EACH..(feed + 1) * EACH {
                        set.apply(&[session(seq, Duration::from_secs(10))], NOW);
                    }
                });
            }
            scope.spawn(|| (0..50).for_each(|_| set.forget_expired(NOW)));
        });
        assert_eq!(set.len() as u64, entries_max);
        assert_eq!(set.is_ready(), fits);
    }
}
