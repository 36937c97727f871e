//! Rows and tables that somebody else holds.

use test_support::wait::START_MAX;
use test_support::wait::wait_until;

use crate::support::*;
use crate::taken_over::wrong;

/// By passlib 1.7.4.
const BCRYPT: &str = "$2b$04$4F281jDUMLKuRHzOT2XvO.8REmmq8R6XIYZh0QYOzOU6j72mtdcV6";

/// How many of this database's sessions wait for somebody else.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
                       WHERE wait_event_type = 'Lock' AND datname = current_database()";

/// How many of this database's transactions were given up so that others could go on.
const DEADLOCKS: &str = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";

/// Leaves time to set the trap; still less than that for which we wait for a row (4 s).
const LOOK_FOR_DEADLOCKS_LATER: &str = "DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = ''2s''', current_database());
END $$";

/// As whoever brings the schema up to date does; "door" in ASCII, and the first of its rooms.
const TAKE_SCHEMA: &str = "SELECT pg_advisory_xact_lock(x'646f6f72'::int, 1)";

async fn once_somebody_waits(house: &House) {
    while house.count(WAITING) == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_deadlock_is_a_503_and_whoever_comes_back_is_served() {
    let house = House::with_ann().await;
    house.execute(LOOK_FOR_DEADLOCKS_LATER);
    let api = house.open_again().await;
    let pair = ask(&api, login(&[("username", "ann"), ("password", PASSWORD)])).await.pair();
    let logout = || bearer(post("/auth/logout"), &pair.access);
    // Whoever looks for a deadlock and finds one is given up; this one never looks.
    let other = house.place.another().await;
    let take_session = "SET deadlock_timeout = '1h'; BEGIN; SELECT 1 FROM sessions FOR UPDATE";
    other.batch_execute(take_session).await.unwrap();
    let close_the_circle = async {
        once_somebody_waits(&house).await;
        other.batch_execute("SELECT 1 FROM users FOR UPDATE; ROLLBACK").await.unwrap();
    };
    let (answer, ()) = tokio::join!(ask(&api, logout()), close_the_circle);
    answer.is_problem(503, "Service busy. Please try again later.", "SERVICE_UNAVAILABLE");
    assert_eq!(answer.header("retry-after"), "1");
    wait_until(START_MAX, || house.count(DEADLOCKS) == 1);
    ask(&api, logout()).await.is_ok();
}

#[tokio::test]
async fn a_start_that_meets_another_programs_long_migration_waits_for_its_end() {
    let house = House::with_ann().await;
    let other = house.place.another().await;
    other.batch_execute("BEGIN").await.unwrap();
    other.batch_execute(TAKE_SCHEMA).await.unwrap();
    let long = async {
        once_somebody_waits(&house).await;
        // Longer than we let the server wait for somebody else.
        other.batch_execute("SELECT pg_sleep(4.2); ROLLBACK").await.unwrap();
    };
    let (api, ()) = tokio::join!(house.open_again(), long);
    ask(&api, login(&[("username", "ann"), ("password", PASSWORD)])).await.pair();
}

#[tokio::test]
async fn a_start_goes_on_without_a_table_that_is_held_and_learns_its_kinds_of_hashes_later() {
    let house = House::with_ann().await;
    house.execute(&format!("UPDATE users SET hashed_password = '{BCRYPT}'"));
    let other = house.place.another().await;
    other.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let api = house.open_again().await;
    other.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(wrong(&api, "nobody").await, 1);
    assert_eq!(wrong(&api, "ann").await, 2, "the first of its kind tells");
    assert_eq!(wrong(&api, "nobody").await, 2);
}
