//! Tokens taken ahead: never more out than the cap, shares, expiry, giving back.

use super::*;
use crate::redis::gateways::NAME_BYTES;

const QUOTA: u32 = 100;
const CAP: u32 = 10;
const LASTING: Duration = Duration::from_secs(15);

fn request(holder: u8, left: u32, want: u32) -> LeaseRequest {
    LeaseRequest { holder: [holder; NAME_BYTES], left, want, cap: CAP, lasting: LASTING }
}

async fn lease(fleet: &Fleet, request: &LeaseRequest, cost: u32, now: Timestamp) -> Lease {
    fleet.quotas.lease(ADA, &[quota(QUOTA, 60)], cost, request, now).await.expect("answers")
}

fn left(lease: &Lease) -> u32 {
    lease.outcome.windows()[0].remaining
}

#[tokio::test]
async fn the_first_holder_gets_the_whole_cap_and_later_ones_what_is_their_share() {
    let fleet = Fleet::by(Clock::OfTheCaller).await;
    let first = lease(&fleet, &request(1, 0, 50), 1, NOW).await;
    assert_eq!((first.granted, left(&first)), (CAP, QUOTA - CAP));
    let second = lease(&fleet, &request(2, 0, 50), 1, NOW).await;
    assert_eq!(second.granted, 0, "all are out");
    assert!(second.outcome.admitted, "but the call itself is");
    assert_eq!(left(&second), QUOTA - CAP - 1);
    // The first has spent all but one, and says so.
    lease(&fleet, &request(1, 1, 0), 0, NOW).await;
    let second = lease(&fleet, &request(2, 0, 50), 1, NOW).await;
    assert_eq!(second.granted, CAP / 2, "now there are two who share");
    let first = lease(&fleet, &request(1, 1, 50), 0, NOW).await;
    assert_eq!(first.granted, CAP / 2 - 1, "what it has left is part of its share");
}

#[tokio::test]
async fn a_lease_too_small_for_the_call_is_not_given_and_the_call_is_counted() {
    let fleet = Fleet::by(Clock::OfTheCaller).await;
    let costly = lease(&fleet, &request(1, 0, 50), CAP + 1, NOW).await;
    assert_eq!((costly.granted, costly.outcome.admitted), (0, true));
    assert_eq!(left(&costly), QUOTA - CAP - 1);
    let fits = lease(&fleet, &request(1, 0, 50), CAP, NOW).await;
    assert_eq!((fits.granted, left(&fits)), (CAP, QUOTA - 2 * CAP - 1));
}

#[tokio::test]
async fn nothing_is_leased_beyond_the_room_and_a_refusal_changes_nothing() {
    let fleet = Fleet::by(Clock::OfTheCaller).await;
    let quotas = [quota(QUOTA, 60)];
    fleet.quotas.acquire(ADA, &quotas, units(QUOTA - 3), NOW).await.expect("answers");
    let last = lease(&fleet, &request(1, 0, 50), 1, NOW).await;
    assert_eq!((last.granted, left(&last)), (3, 0));
    let before = fleet.ask(&["DUMP", "{doorward:tier:user:ada}"]);
    let refused = lease(&fleet, &request(2, 0, 50), 1, NOW).await;
    assert_eq!((refused.granted, refused.outcome.admitted), (0, false));
    assert!(refused.outcome.retry_ms().is_some_and(|ms| ms > 59_000));
    assert_eq!(fleet.ask(&["DUMP", "{doorward:tier:user:ada}"]), before);
}

#[tokio::test]
async fn an_expired_lease_makes_room_for_another_and_its_tokens_stay_counted() {
    let fleet = Fleet::by(Clock::OfTheCaller).await;
    lease(&fleet, &request(1, 0, 50), 1, NOW).await;
    let just_before = NOW.plus(LASTING - Duration::from_millis(1));
    assert_eq!(lease(&fleet, &request(2, 0, 50), 1, just_before).await.granted, 0);
    let after = lease(&fleet, &request(2, 0, 50), 1, NOW.plus(LASTING)).await;
    assert_eq!((after.granted, left(&after)), (CAP, QUOTA - 2 * CAP - 1));
}

#[tokio::test]
async fn what_is_given_back_can_be_had_again() {
    let fleet = Fleet::by(Clock::OfTheCaller).await;
    let quotas = [quota(QUOTA, 60)];
    lease(&fleet, &request(1, 0, 50), 1, NOW).await;
    let over = request(1, CAP - 1, 0);
    fleet
        .quotas
        .give_back(&fleet.quotas.name_of(&ADA), &quotas, &over, NOW)
        .await
        .expect("answers");
    let other = lease(&fleet, &request(2, 0, 50), 1, NOW).await;
    assert_eq!((other.granted, left(&other)), (CAP, QUOTA - CAP - 1));
}

#[tokio::test]
async fn sixteen_hold_leases_and_a_seventeenth_asks_each_time() {
    let fleet = Fleet::by(Clock::OfTheCaller).await;
    let one = |holder| LeaseRequest { cap: 1000, ..request(holder, 0, 1) };
    for holder in 1..=HOLDERS_MAX as u8 {
        assert_eq!(lease(&fleet, &one(holder), 1, NOW).await.granted, 1, "holder {holder}");
    }
    let past = lease(&fleet, &one(HOLDERS_MAX as u8 + 1), 1, NOW).await;
    assert_eq!((past.granted, past.outcome.admitted), (0, true));
    let again = LeaseRequest { left: 1, ..one(1) };
    assert_eq!(lease(&fleet, &again, 0, NOW).await.granted, 1, "one of the sixteen goes on");
}

#[tokio::test]
async fn what_was_let_in_without_asking_is_settled_beyond_the_limit() {
    let fleet = Fleet::by(Clock::OfTheCaller).await;
    let quotas = [quota(QUOTA, 60)];
    fleet
        .quotas
        .settle(&fleet.quotas.name_of(&ADA), &quotas, &[QUOTA + 50], NOW)
        .await
        .expect("answers");
    let take = fleet.quotas.acquire(ADA, &quotas, NonZeroU32::MIN, NOW);
    let refused = take.await.expect("answers");
    assert!(!refused.admitted);
    let retry_ms = refused.retry_ms().expect("it will fit");
    let later = NOW.plus(Duration::from_millis(retry_ms));
    let later = fleet.quotas.peek(ADA, &quotas, later).await.expect("answers");
    assert_eq!(later.windows()[0].remaining, QUOTA);
}

#[tokio::test]
async fn each_window_is_told_what_is_due_in_it_in_one_act() {
    let fleet = Fleet::by(Clock::OfTheCaller).await;
    let quotas = [quota(100, 60), quota(2000, 3600), quota(5, 1)];
    let name = fleet.quotas.name_of(&ADA);
    fleet.quotas.settle(&name, &quotas, &[10, 500, 0], NOW).await.expect("answers");
    let seen = fleet.quotas.peek(ADA, &quotas, NOW).await.expect("answers");
    let remaining: Vec<u32> = seen.windows().iter().map(|window| window.remaining).collect();
    assert_eq!(remaining, [90, 1500, 5]);
}
