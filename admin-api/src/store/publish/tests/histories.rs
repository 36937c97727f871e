//! Where the table and the stream do not fit together.

use super::*;

on_both!(
    a_table_that_is_behind_the_stream_is_called_another_log_and_read_anew,
    a_table_that_was_restored_under_a_running_publisher_is_called_another_log,
    another_log_is_followed_on_its_own_stream,
    a_thousand_missed_rows_are_sent_and_one_more_are_left_to_feeds,
    numbers_whose_rows_were_forgotten_are_covered,
);

/// What a failover to a copy that was behind does: the last rows are gone, and their numbers are given
/// again.
const LOSE_TWO: &str = "DELETE FROM revocations WHERE seq > 3; UPDATE revocation_log SET seq = 3";

async fn a_table_that_is_behind_the_stream_is_called_another_log_and_read_anew(house: House) {
    let edge = house.edge().await;
    let publisher = house.publisher("a");
    let last = house.write(5).await;
    house.until_heard(last).await;
    edge.holds(5).await;
    publisher.stop().await;
    let log_id = house.position().await.log_id;
    house.sql(LOSE_TWO).await;
    let _publisher = house.publisher("b");
    until("another log", async || house.position().await.log_id != log_id).await;
    // Under numbers that were given before.
    house.write(2).await;
    edge.holds(7).await;
    house.until_heard(5).await;
}

async fn a_table_that_was_restored_under_a_running_publisher_is_called_another_log(house: House) {
    let edge = house.edge().await;
    let _publisher = house.publisher("a");
    let last = house.write(5).await;
    house.until_heard(last).await;
    edge.holds(5).await;
    let log_id = house.position().await.log_id;
    house.sql(LOSE_TWO).await;
    until("another log", async || house.position().await.log_id != log_id).await;
    house.write(2).await;
    edge.holds(7).await;
    house.until_heard(5).await;
}

async fn another_log_is_followed_on_its_own_stream(house: House) {
    let edge = house.edge().await;
    let _publisher = house.publisher("a");
    house.write(2).await;
    house.until_heard(2).await;
    edge.holds(2).await;
    house.sql("DELETE FROM revocations; UPDATE revocation_log SET seq = 0, log_id = 'b2'").await;
    house.write(1).await;
    house.until_heard(1).await;
    edge.holds(3).await;
    edge.cut().await;
    house.write(1).await;
    edge.holds(4).await;
}

async fn a_thousand_missed_rows_are_sent_and_one_more_are_left_to_feeds(house: House) {
    let max = BACKLOG_ROWS_MAX;
    let publisher = house.publisher("a");
    house.until_heard(0).await;
    house.write(1).await;
    house.until_heard(1).await;
    publisher.stop().await;
    house.write(max as usize).await;
    let publisher = house.publisher("b");
    house.until_heard(1 + max).await;
    let stretches = house.stretches().await;
    assert_eq!((stretches[0], stretches[1].0), ((1, 1), 2), "{stretches:?}");
    assert_eq!(stretches.last().unwrap().1, 1 + max, "{stretches:?}");
    publisher.stop().await;
    let last = house.write(max as usize + 1).await;
    let _publisher = house.publisher("c");
    house.until_heard(last).await;
    assert_eq!(house.stretches().await, stretches);
    let next = house.write(1).await;
    until("sent", async || house.stretches().await.last() == Some(&(next, next))).await;
}

async fn numbers_whose_rows_were_forgotten_are_covered(house: House) {
    let publisher = house.publisher("a");
    house.until_heard(0).await;
    house.write(1).await;
    house.until_heard(1).await;
    publisher.stop().await;
    house.write(4).await;
    house.sql("DELETE FROM revocations WHERE seq IN (2, 4, 5)").await;
    let _publisher = house.publisher("b");
    house.until_heard(5).await;
    assert_eq!(house.stretches().await, [(1, 1), (2, 5)]);
}
