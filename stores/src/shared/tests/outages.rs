//! While the store is lost, and what it is told afterwards.

use super::*;

#[tokio::test]
async fn without_the_store_a_gateway_goes_by_its_share_and_what_it_let_in_is_counted_afterwards() {
    let mut server = RedisServer::start();
    let (one, other) = (gateway(&server, 1).await, gateway(&server, 2).await);
    let limit = quotas(&[(100, 3600)]);
    // Three of four calls come to this gateway.
    for _ in 0..5 {
        take(&other, &limit, Leasing::Never).await;
    }
    for _ in 0..15 {
        take(&one, &limit, Leasing::Never).await;
    }
    server.stop();
    is_lost(&one, &limit).await;
    let let_in = |gateway: &Arc<SharedQuotas>, subject| {
        let limit = Arc::clone(&limit);
        let gateway = Arc::clone(gateway);
        (0..200).filter(move |_| gateway.acquire_here(subject, &limit, ONE, now()).admitted).count()
    };
    one.gateways.store(4, Ordering::Relaxed);
    let outcome = one.peek_here(ADA, &limit, now());
    assert_eq!((outcome.windows()[0].limit, outcome.windows()[0].remaining), (100, 75 - 15));
    assert_eq!(let_in(&one, ADA), 75 - 15, "its share, less what it has counted already");
    let bob = Subject { id: "bob", ..ADA };
    assert_eq!(let_in(&one, bob), 100 / 4, "of one it never saw, an equal part");

    server.restart();
    let counted = async {
        loop {
            let ada = one.peek(ADA, &limit, now()).await;
            let bob = one.peek(bob, &limit, now()).await;
            if let (Ok(ada), Ok(bob)) = (ada, bob) {
                let left = (ada.windows()[0].remaining, bob.windows()[0].remaining);
                // Redis has lost what it knew; what was let in since is counted.
                if left == (100 - 60, 100 - 25) {
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = one.keep(now, never()) => unreachable!("it is kept for ever"),
        counted = timeout(PATIENCE, counted) => {
            counted.expect("what was let in is counted");
        }
    }
}

#[tokio::test]
async fn what_is_refused_after_all_while_the_store_is_lost_is_owed_by_nobody() {
    let mut server = RedisServer::start();
    let gateway = gateway(&server, 1).await;
    let (tier, route) = (quotas(&[(100, 3600)]), quotas(&[(5, 60)]));
    let of_route = Subject { policy: "route:r", ..ADA };
    server.stop();
    is_lost(&gateway, &tier).await;
    let mut admitted = 0;
    for _ in 0..50 {
        assert!(gateway.acquire_here(ADA, &tier, ONE, now()).admitted);
        if gateway.acquire_here(of_route, &route, ONE, now()).admitted {
            admitted += 1;
        } else {
            give_back(&gateway, &tier, ONE, Leasing::Never).await;
        }
    }
    assert_eq!(admitted, 5);
    assert!(gateway.is_refused(of_route, &route, ONE, now()), "known without asking");
    let owed = gateway.debts.take();
    let units = |subject| owed[&gateway.store.name_of(&subject)].units.get();
    assert_eq!((units(ADA), units(of_route)), (5, 5));
}

/// Has the gateway alone admit a request every so often, for so long; says how many were.
fn alone(
    gateway: &Arc<SharedQuotas>,
    limit: &Arc<[Quota]>,
    every_ms: u64,
    lasting: Duration,
) -> u32 {
    let mut admitted = 0;
    for _ in 0..lasting.as_millis() as u64 / every_ms {
        admitted += u32::from(gateway.acquire_here(ADA, limit, ONE, now()).admitted);
        pass(every_ms);
    }
    admitted
}

#[tokio::test]
async fn after_ten_minutes_without_redis_a_caller_within_its_limit_is_not_locked_out() {
    let minute = Duration::from_secs(60);
    for windows in [&[(100, 60)][..], &[(100, 60), (2000, 3600)], &[(2000, 3600), (100, 60)]] {
        let server = RedisServer::start();
        let (gateway, limit) = (gateway(&server, 1).await, quotas(windows));
        // 50 a minute, half of what a minute may see.
        assert_eq!(alone(&gateway, &limit, 1200, 10 * minute), 500);
        gateway.settle(now(), || true).await;
        let seen = gateway.store.peek(ADA, &limit, now()).await.expect("the store answers");
        for window in seen.windows() {
            let counted = window.limit - window.remaining;
            match window.limit {
                100 => assert!((48..=50).contains(&counted), "{counted} of the last minute"),
                _ => assert_eq!(counted, 500, "all of the last hour"),
            }
        }
        for call in 0..500 {
            let outcome = take(&gateway, &limit, Leasing::Never).await;
            assert!(outcome.admitted, "call {call} after it is back, {windows:?}: {outcome:?}");
            pass(1200);
        }
    }
}

/// No window counts more than was let in within one as long, and the longest counts all that it can.
#[tokio::test]
async fn what_is_settled_after_any_outage_is_what_each_window_would_have_counted() {
    let server = RedisServer::start();
    let limit = quotas(&[(100, 7), (1000, 60), (100_000, 3600)]);
    for seed in 0..40 {
        let mut dice = Dice(seed);
        let gateway = gateway(&server, seed as u8).await;
        server.command(&["FLUSHALL"]).expect("Redis answers");
        let mut log = NaiveLog::default();
        for _ in 0..dice.below(400) {
            let cost = NonZeroU32::new(1 + dice.below(3) as u32).expect("not zero");
            if gateway.acquire_here(ADA, &limit, cost, now()).admitted {
                assert!(log.acquire(&limit, cost, now()).admitted);
            }
            pass(*dice.pick(&[0, 1, 10, 100, 100, 700, 5_000]));
        }
        gateway.settle(now(), || true).await;
        let seen = gateway.store.peek(ADA, &limit, now()).await.expect("the store answers");
        for (window, quota) in seen.windows().iter().zip(limit.iter()) {
            let then = now().plus(SETTLED_AHEAD * quota.per() / 60);
            let known = log.peek(std::slice::from_ref(quota), then);
            assert_eq!(window.remaining, known.windows()[0].remaining, "seed {seed}, {quota:?}");
        }
        assert!(!gateway.debts.any(), "seed {seed}");
    }
}

#[tokio::test]
async fn what_is_past_all_windows_is_not_settled() {
    let server = RedisServer::start();
    let (gateway, limit) = (gateway(&server, 1).await, quotas(&[(100, 60)]));
    assert_eq!(alone(&gateway, &limit, 1000, Duration::from_secs(30)), 30);
    pass(61_000);
    gateway.settle(now(), || true).await;
    assert_eq!(gateway.figures().asked, 0);
    assert!(!gateway.debts.any());
}

#[tokio::test]
async fn whose_counter_here_had_to_make_room_in_an_outage_is_unsettled_and_not_forgotten() {
    let server = RedisServer::start();
    let (gateway, limit) = (gateway_with(&server, 1, 100).await, quotas(&[(100, 60)]));
    let all: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    for id in &all {
        gateway.let_in(Subject { id, ..ADA }, &limit, ONE, now());
    }
    gateway.settle(now(), || true).await;
    let mut settled = 0;
    for id in &all {
        let seen = gateway.store.peek(Subject { id, ..ADA }, &limit, now()).await;
        settled += 100 - u64::from(seen.expect("the store answers").windows()[0].remaining);
    }
    assert!((1..300).contains(&settled), "{settled}");
    assert_eq!(gateway.figures().unsettled, 300 - settled);
}

#[tokio::test]
async fn who_is_told_to_stop_while_it_settles_owes_what_it_has_not_told() {
    let server = RedisServer::start();
    let (gateway, limit) = (gateway(&server, 1).await, quotas(&[(100, 60)]));
    let all: Vec<String> = (0..2 * TOLD_AT_ONCE_MAX).map(|n| n.to_string()).collect();
    for id in &all {
        gateway.acquire_here(Subject { id, ..ADA }, &limit, ONE, now());
    }
    let rounds = Cell::new(0);
    gateway.settle(now(), || rounds.replace(rounds.get() + 1) == 0).await;
    assert_eq!(gateway.debts.names().len(), TOLD_AT_ONCE_MAX);
    assert_eq!(gateway.figures().asked, TOLD_AT_ONCE_MAX as u64);
}

#[tokio::test]
async fn what_is_being_settled_when_a_gateway_is_told_to_stop_is_not_lost() {
    let server = RedisServer::start();
    let (gateway, limit) = (gateway(&server, 1).await, quotas(&[(100, 3600)]));
    gateway.let_in(ADA, &limit, NonZeroU32::new(3).expect("not zero"), now());
    server.command(&["CLIENT", "PAUSE", "600000", "WRITE"]).expect("it answers");
    let (stop, stops) = watch::channel(false);
    let kept = gateway.keep(now, stops);
    let story = async {
        until("it begins to settle", || !gateway.debts.any()).await;
        stop.send_replace(true);
        tokio::task::yield_now().await;
        server.command(&["CLIENT", "UNPAUSE"]).expect("it answers");
    };
    tokio::join!(kept, story);
    let outcome = gateway.peek(ADA, &limit, now()).await.expect("Redis answers");
    assert_eq!(outcome.windows()[0].remaining, 97);
}

#[tokio::test]
async fn settling_for_a_counter_that_is_somebody_elses_holds_up_nobody() {
    let server = RedisServer::start();
    let (gateway, limit) = (gateway(&server, 1).await, quotas(&[(100, 60)]));
    let bob = Subject { id: "bob", ..ADA };
    let others: Vec<String> = (0..2 * TOLD_AT_ONCE_MAX).map(|n| n.to_string()).collect();
    for id in &others {
        gateway.acquire_here(Subject { id, ..ADA }, &limit, ONE, now());
    }
    gateway.acquire_here(bob, &limit, ONE, now());
    server.command(&["LPUSH", &gateway.store.name_of(&bob), "junk"]).expect("Redis answers");
    gateway.settle(now(), || true).await;
    let owed = gateway.debts.take();
    assert_eq!(owed.keys().collect::<Vec<_>>(), [&gateway.store.name_of(&bob)]);
    for id in &others {
        let seen = gateway.store.peek(Subject { id, ..ADA }, &limit, now()).await;
        assert_eq!(seen.expect("the store answers").windows()[0].remaining, 99);
    }
}

#[tokio::test]
async fn at_the_end_tokens_of_others_are_given_back_though_one_counter_is_somebody_elses() {
    let server = RedisServer::start();
    let (gateway, limit) = (gateway(&server, 1).await, quotas(&[(100, 60)]));
    let leasing = Leasing::WhereWorthwhile;
    let ids: Vec<String> = (0..2 * TOLD_AT_ONCE_MAX).map(|n| n.to_string()).collect();
    for id in &ids {
        let taken = acquire(&gateway, Subject { id, ..ADA }, &limit, ONE, leasing).await;
        assert!(taken.expect("the store answers").admitted);
    }
    let name = |id: &str| gateway.store.name_of(&Subject { id, ..ADA });
    for id in &ids[..3] {
        server.command(&["SET", &name(id), "junk"]).expect("Redis answers");
    }
    gateway.close(now()).await;
    for id in &ids[3..] {
        let seen = gateway.store.peek(Subject { id, ..ADA }, &limit, now()).await;
        assert_eq!(seen.expect("the store answers").windows()[0].remaining, 99, "{id}");
    }
}

#[tokio::test]
async fn a_single_lost_call_is_settled_too() {
    let server = RedisServer::start();
    let gateway = gateway(&server, 1).await;
    let limit = quotas(&[(100, 3600)]);
    assert!(gateway.acquire_here(ADA, &limit, ONE, now()).admitted);
    let counted = async {
        loop {
            let seen = gateway.store.peek(ADA, &limit, now()).await.expect("the store answers");
            if seen.windows()[0].remaining == 99 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = gateway.keep(now, never()) => unreachable!("it is kept for ever"),
        counted = timeout(PATIENCE, counted) => counted.expect("it is counted"),
    }
}
