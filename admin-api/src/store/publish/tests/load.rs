//! What is committed arrives, whoever publishes and whatever happens to them.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;

use test_support::link::Link;

use super::*;

on_both!(
    what_is_committed_arrives_by_the_stream_alone,
    publishers_killed_and_replaced_under_load_lose_nothing,
    flushall_and_a_restart_of_redis_un_revoke_nothing_and_the_stream_goes_on,
    two_that_both_think_that_they_hold_the_lease_publish_nothing_wrong,
    a_stalled_publisher_is_replaced_and_what_it_sent_late_changes_nothing,
    a_publisher_that_stood_still_while_it_was_replaced_publishes_nothing_wrong,
    a_link_that_is_cut_under_load_loses_nothing,
);

async fn what_is_committed_arrives_by_the_stream_alone(house: House) {
    house.write(3).await;
    let _publisher = house.publisher("a");
    let edge = house.edge().await;
    edge.cut().await;
    for _ in 0..20 {
        let last = house.write(1).await;
        edge.holds(last).await;
    }
    let last = house.write(2_345).await;
    edge.holds(last).await;
    let heard_at = edge.set.heard_at();
    edge.until("hearing", |set| set.heard_at() > heard_at).await;
}

/// Revokes until `count` more are in force in SQL, by several writers.
async fn load(house: &House, count: usize) {
    let writers = (0..4).map(|_| {
        let database = house.process();
        tokio::spawn(async move {
            for _ in 0..count / 4 {
                write(&database, 1).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

/// Whether frames say of their stretches what SQL says, and leave none out between them.
async fn check_stream(house: &House) {
    let all = house.rows().await;
    let mut reached = None;
    for message in house.stream().await {
        let Message::Frame(frame) = message else { continue };
        let stretch = &all[frame.first as usize - 1..frame.last as usize];
        assert_eq!(frame.rows, stretch);
        if let Some(reached) = reached {
            assert!(frame.first <= reached + 1, "a gap before {}", frame.first);
        }
        reached = Some(frame.last);
    }
    assert_eq!(reached, Some(all.len() as u64));
}

async fn publishers_killed_and_replaced_under_load_lose_nothing(house: House) {
    let edge = house.edge().await;
    let mut publisher = house.publisher("0");
    for holder in ["1", "2", "3"] {
        let replacing = async {
            until("publishing", async || house.stream().await.len() > 1).await;
            let next = house.publisher(holder);
            std::mem::replace(&mut publisher, next).kill();
        };
        tokio::join!(load(&house, 120), replacing);
        // A killed one says nothing, so its lease has to run out.
        house.until_held_by(holder).await;
    }
    edge.holds(360).await;
    house.until_heard(360).await;
    check_stream(&house).await;
}

async fn flushall_and_a_restart_of_redis_un_revoke_nothing_and_the_stream_goes_on(
    mut house: House,
) {
    let _publisher = house.publisher("a");
    let edge = house.edge().await;
    let mut last = house.write(5).await;
    edge.holds(last).await;
    house.redis.command(&["FLUSHALL"]).unwrap();
    house.until_heard(last).await;
    assert_eq!(edge.set.len() as u64, last);
    last = house.write(1).await;
    edge.holds(last).await;
    house.redis.stop();
    last = house.write(1).await;
    edge.holds(last).await;
    house.redis.restart();
    house.until_heard(last).await;
    assert_eq!(edge.set.len() as u64, last);
    edge.cut().await;
    last = house.write(1).await;
    edge.holds(last).await;
}

async fn two_that_both_think_that_they_hold_the_lease_publish_nothing_wrong(house: House) {
    let edge = house.edge().await;
    let _one = house.publisher("a");
    house.until_held_by("a").await;
    let _other = house.publisher("b");
    for _ in 0..3 {
        // Whoever stands by takes it over, and the other does not know for up to a second.
        house.sql("UPDATE revocation_publisher SET held_until = 0, holder = ''").await;
        load(&house, 80).await;
    }
    edge.holds(240).await;
    house.until_heard(240).await;
    check_stream(&house).await;
}

async fn a_stalled_publisher_is_replaced_and_what_it_sent_late_changes_nothing(house: House) {
    let link = Link::to(house.redis.addr());
    let edge = house.edge().await;
    let _stale = house.publisher_over("stale", house.redis.url_over(&link));
    let last = house.write(2).await;
    house.until_heard(last).await;
    link.stall();
    // On its way, and it will come late.
    house.write(3).await;
    let before = link.request_bytes();
    let _fresh = house.publisher("fresh");
    // It reaches nobody, so it gives the lease back though it could renew it.
    house.until_held_by("fresh").await;
    let last = house.write(4).await;
    house.until_heard(last).await;
    link.mend();
    until("what was stalled arrived", async || link.request_bytes() > before).await;
    let last = house.write(1).await;
    house.until_heard(last).await;
    edge.holds(last).await;
    check_stream(&house).await;
    assert_eq!(house.holder().await, "fresh");
}

async fn a_publisher_that_stood_still_while_it_was_replaced_publishes_nothing_wrong(house: House) {
    let edge = house.edge().await;
    let stands_still = Arc::new(AtomicBool::new(false));
    let clock = {
        let stands_still = Arc::clone(&stands_still);
        // With its runtime's only thread, as a process that is stopped.
        Clock::new(move || {
            while stands_still.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            now()
        })
    };
    let (database, url) = (house.process(), house.redis.url());
    let (stop, stopped) = oneshot::channel::<()>();
    let stale = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stream = stream_at(url);
            let shutdown = async {
                let _ = stopped.await;
            };
            publish(&database, &clock, &stream, "stale", shutdown).await;
        });
    });
    house.until_held_by("stale").await;
    let last = house.write(2).await;
    house.until_heard(last).await;
    stands_still.store(true, Ordering::SeqCst);
    house.write(3).await;
    let _fresh = house.publisher("fresh");
    house.until_held_by("fresh").await;
    let last = house.write(4).await;
    house.until_heard(last).await;
    stands_still.store(false, Ordering::SeqCst);
    load(&house, 40).await;
    edge.holds(last + 40).await;
    house.until_heard(last + 40).await;
    check_stream(&house).await;
    assert_eq!(house.holder().await, "fresh");
    stop.send(()).unwrap();
    stale.join().unwrap();
    assert_eq!(house.holder().await, "fresh", "what is not its own it does not give back");
}

async fn a_link_that_is_cut_under_load_loses_nothing(house: House) {
    let (to_publisher, to_edge) = (Link::to(house.redis.addr()), Link::to(house.redis.addr()));
    let _publisher = house.publisher_over("a", house.redis.url_over(&to_publisher));
    let edge = house.edge_over(house.redis.url_over(&to_edge)).await;
    for link in [&to_publisher, &to_edge, &to_publisher, &to_edge] {
        let breaking = async {
            until("publishing", async || !house.stream().await.is_empty()).await;
            link.drop_replies();
            link.cut();
            link.mend();
        };
        tokio::join!(load(&house, 40), breaking);
    }
    edge.holds(160).await;
    house.until_heard(160).await;
    check_stream(&house).await;
}
