//! Who may publish.

use super::*;

on_both!(
    one_holds_the_lease_until_it_lets_go_or_time_runs_out,
    a_clock_that_was_put_back_prolongs_no_lease_and_ends_none,
    whoever_is_told_to_end_gives_the_lease_back,
    a_publisher_that_lost_its_lease_stands_by_and_takes_it_again_when_it_is_free,
);

async fn may(house: &House, holder: &'static str) -> bool {
    house.writer.write_at_once(move |tx| hold(tx, holder)).await.unwrap()
}

async fn one_holds_the_lease_until_it_lets_go_or_time_runs_out(house: House) {
    assert!(may(&house, "a").await);
    assert!(!may(&house, "b").await);
    assert!(may(&house, "a").await, "it may renew it");
    let holds = |holder| house.writer.read(move |sql| holds(sql, holder));
    assert!(holds("a").await.unwrap() && !holds("b").await.unwrap());
    house.writer.write_at_once(|tx| let_go(tx, "b")).await.unwrap();
    assert!(!may(&house, "b").await, "it is not b's to give back");
    house.writer.write_at_once(|tx| let_go(tx, "a")).await.unwrap();
    assert!(!holds("a").await.unwrap());
    assert!(may(&house, "b").await);
    until("a's", async || may(&house, "a").await).await;
    assert!(!holds("b").await.unwrap());
}

async fn a_clock_that_was_put_back_prolongs_no_lease_and_ends_none(house: House) {
    assert!(may(&house, "a").await);
    // As if the clock had been put back by many years.
    let put_back = "UPDATE revocation_publisher SET held_until = held_until + 900000000000";
    house.sql(put_back).await;
    assert!(!may(&house, "b").await, "a may still think that it is a's");
    assert!(house.holder().await == "a" && may(&house, "a").await, "it may renew it");
    house.sql(put_back).await;
    until("b's", async || may(&house, "b").await).await;
    assert_eq!(house.holder().await, "b");
}

async fn whoever_is_told_to_end_gives_the_lease_back(house: House) {
    let publisher = house.publisher("a");
    house.until_held_by("a").await;
    publisher.stop().await;
    assert_eq!(house.holder().await, "");
}

async fn a_publisher_that_lost_its_lease_stands_by_and_takes_it_again_when_it_is_free(
    house: House,
) {
    let _publisher = house.publisher("a");
    house.until_heard(0).await;
    house.sql("UPDATE revocation_publisher SET holder = 'b', held_until = 9000000000000000").await;
    let rival = house.process();
    let rival = tokio::spawn(async move {
        loop {
            rival.write_at_once(|tx| hold(tx, "b")).await.unwrap();
            sleep(HEARTBEAT_EVERY).await;
        }
    });
    let beats = async || house.stream().await.len();
    until("silent", async || {
        let before = beats().await;
        sleep(HEARTBEAT_EVERY * 2).await;
        beats().await == before
    })
    .await;
    house.write(1).await;
    assert_eq!(house.stretches().await, []);
    rival.abort();
    house.until_held_by("a").await;
    house.until_heard(1).await;
    assert_eq!(house.stretches().await, [(1, 1)]);
}
