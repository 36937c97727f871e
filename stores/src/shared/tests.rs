//! Gateways of one fleet, on a real Redis, with a clock that the test holds.

use std::cell::Cell;

use config::Redis;
use kernel::limit::SubjectKind;
use kernel::limit::conformance::Dice;
use kernel::limit::conformance::NaiveLog;
use kernel::secret::Secret;
use test_support::redis::RedisServer;
use tokio::sync::watch;
use tokio::time::timeout;

use super::outage::SETTLED_AHEAD;
use super::outage::TOLD_AT_ONCE_MAX;
use super::*;
use crate::redis::connection::Connection;
use crate::redis::gateways::NAME_BYTES;
use crate::redis::quotas::Clock;

mod outages;

const ADA: Subject<'static> = Subject { policy: "tier", kind: SubjectKind::User, id: "ada" };

const START_MS: u64 = 1_700_000_123_457;

const ONE: NonZeroU32 = NonZeroU32::MIN;

/// How long what is waited for may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

thread_local! {
    /// Milliseconds since the test began.
    static SINCE_MS: Cell<u64> = const { Cell::new(0) };
}

fn uptime() -> Duration {
    Duration::from_millis(SINCE_MS.get()) + Duration::from_secs(1000)
}

fn now() -> Timestamp {
    Timestamp::from_millis(START_MS + SINCE_MS.get())
}

fn pass(ms: u64) {
    SINCE_MS.set(SINCE_MS.get() + ms);
}

/// What tells nobody to stop.
fn never() -> watch::Receiver<bool> {
    let (never, told) = watch::channel(false);
    std::mem::forget(never);
    told
}

/// One more gateway of the fleet in `server`.
async fn gateway(server: &RedisServer, name: u8) -> Arc<SharedQuotas> {
    gateway_with(server, name, 10_000).await
}

/// One that has room for so many subjects.
async fn gateway_with(server: &RedisServer, name: u8, keys_max: usize) -> Arc<SharedQuotas> {
    let redis =
        Redis { call_timeout: Duration::from_secs(5), ..Redis::at(Secret::new(server.url())) };
    let connection = Connection::open(&redis, None).expect("a URL");
    connection.connected().await.expect("Redis is there");
    let store = RedisQuotas::new(connection, "doorward", Clock::OfTheCaller);
    let keys_max = NonZeroUsize::new(keys_max).expect("not zero");
    Arc::new(SharedQuotas::new(store, keys_max, [name; NAME_BYTES], uptime))
}

fn quotas(windows: &[(u32, u64)]) -> Arc<[Quota]> {
    let quota = |(requests, secs): &(u32, u64)| {
        Quota::new("q", (*requests).into(), Duration::from_secs(*secs)).expect("within bounds")
    };
    windows.iter().map(quota).collect()
}

/// Counts `cost` as a request does.
async fn acquire(
    gateway: &Arc<SharedQuotas>,
    subject: Subject<'_>,
    quotas: &Arc<[Quota]>,
    cost: NonZeroU32,
    leasing: Leasing,
) -> Result<Outcome, StoreLost> {
    match gateway.acquire_at_hand(subject, quotas, cost, leasing, now()) {
        AtHand::Counted(outcome) => Ok(outcome),
        AtHand::Ask(question) => gateway.ask(question, quotas, cost, now()).await,
    }
}

async fn take(gateway: &Arc<SharedQuotas>, quotas: &Arc<[Quota]>, leasing: Leasing) -> Outcome {
    acquire(gateway, ADA, quotas, ONE, leasing).await.expect("the store answers")
}

/// Takes `cost` back, and waits until whoever must hear of it has.
async fn give_back(
    gateway: &Arc<SharedQuotas>,
    quotas: &Arc<[Quota]>,
    cost: NonZeroU32,
    leasing: Leasing,
) {
    gateway.refund_beside(ADA, quotas, cost, leasing, now());
    all_is_told(gateway).await;
}

/// Waits until nothing is done beside any more, for a gateway that nobody else has.
async fn all_is_told(gateway: &Arc<SharedQuotas>) {
    until("told", || Arc::strong_count(gateway) == 1).await;
}

/// Waits for something that another task does.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("not {what}"));
}

/// Has the store be lost, once nobody is there any more.
async fn is_lost(gateway: &Arc<SharedQuotas>, quotas: &Arc<[Quota]>) {
    while !gateway.figures().rests {
        acquire(gateway, ADA, quotas, ONE, Leasing::Never).await.expect_err("nobody is there");
    }
}

/// How many of `calls` are admitted, one after the other; tokens asked for beside are waited for.
async fn flood(
    gateway: &Arc<SharedQuotas>,
    quotas: &Arc<[Quota]>,
    leasing: Leasing,
    calls: u32,
) -> u32 {
    let mut admitted = 0;
    for _ in 0..calls {
        admitted += u32::from(take(gateway, quotas, leasing).await.admitted);
        settled(gateway).await;
    }
    admitted
}

/// Waits until nobody asks for tokens.
async fn settled(gateway: &Arc<SharedQuotas>) {
    until("answered", || gateway.ledger.read(&ADA, Account::is_asking) != Some(true)).await;
}

#[tokio::test]
async fn three_gateways_that_ask_each_time_admit_exactly_the_limit() {
    let server = RedisServer::start();
    let mut racing = tokio::task::JoinSet::new();
    let limit = quotas(&[(100, 60), (150, 3600)]);
    for name in 1..=3 {
        let gateway = gateway(&server, name).await;
        for _ in 0..70 {
            let (gateway, limit) = (Arc::clone(&gateway), Arc::clone(&limit));
            racing.spawn(async move { take(&gateway, &limit, Leasing::Never).await });
        }
    }
    let admitted = racing.join_all().await.iter().filter(|outcome| outcome.admitted).count();
    assert_eq!(admitted, 100);
}

#[tokio::test]
async fn a_steady_caller_at_half_of_1000_a_minute_costs_one_question_in_fifty_requests() {
    let server = RedisServer::start();
    let gateway = gateway(&server, 1).await;
    let limit = quotas(&[(1000, 60)]);
    for call in 0..1500 {
        let outcome = take(&gateway, &limit, Leasing::WhereWorthwhile).await;
        assert!(outcome.admitted, "call {call}");
        settled(&gateway).await;
        pass(120);
    }
    let asked = gateway.figures().asked;
    assert!(asked <= 1500 / 50, "{asked} questions");
}

#[tokio::test]
async fn headers_count_each_call_whether_it_was_paid_ahead_or_not() {
    let server = RedisServer::start();
    let gateway = gateway(&server, 1).await;
    let limit = quotas(&[(100, 60), (1000, 3600)]);
    for used in 1..=100 {
        let outcome = take(&gateway, &limit, Leasing::WhereWorthwhile).await;
        let left: Vec<_> = outcome.windows().iter().map(|window| window.remaining).collect();
        assert_eq!(left, [100 - used, 1000 - used], "call {used}");
        assert!(outcome.admitted && outcome.retry_ms() == Some(0), "call {used}");
        settled(&gateway).await;
        let peeked = gateway.peek(ADA, &limit, now()).await.expect("the store answers");
        assert_eq!(peeked.windows()[0].remaining, 100 - used, "after call {used}");
    }
    let refused = take(&gateway, &limit, Leasing::WhereWorthwhile).await;
    assert!(!refused.admitted && refused.windows()[0].remaining == 0);
}

#[tokio::test]
async fn what_was_refused_is_refused_without_a_question_until_the_moment_that_was_named() {
    let server = RedisServer::start();
    let gateway = gateway(&server, 1).await;
    let limit = quotas(&[(5, 60)]);
    assert_eq!(flood(&gateway, &limit, Leasing::Never, 6).await, 5);
    let (asked, begin) = (gateway.figures().asked, SINCE_MS.get());
    let refused = take(&gateway, &limit, Leasing::Never).await;
    let retry_ms = refused.retry_ms().expect("it will fit");
    pass(retry_ms - 1);
    let early = take(&gateway, &limit, Leasing::Never).await;
    assert_eq!((early.admitted, early.retry_ms()), (false, Some(1)));
    assert!(gateway.is_refused(ADA, &limit, ONE, now()));
    assert_eq!(gateway.figures().asked, asked, "nobody was asked for {retry_ms} ms");
    pass(1);
    assert!(!gateway.is_refused(ADA, &limit, ONE, now()));
    assert!(take(&gateway, &limit, Leasing::Never).await.admitted);
    assert_eq!(SINCE_MS.get() - begin, retry_ms);
}

#[tokio::test]
async fn a_refusal_of_one_tier_says_nothing_of_another() {
    let server = RedisServer::start();
    let gateway = gateway(&server, 1).await;
    let (free, premium) = (quotas(&[(5, 60)]), quotas(&[(50, 60)]));
    assert_eq!(flood(&gateway, &free, Leasing::Never, 6).await, 5);
    let outcome = take(&gateway, &premium, Leasing::Never).await;
    assert!(outcome.admitted);
    assert_eq!(outcome.windows()[0].remaining, 44);
}

/// The number is the same; only the period is not.
#[tokio::test]
async fn whoever_has_spent_the_day_of_a_trial_is_admitted_by_the_minute_once_it_is_paid_for() {
    let server = RedisServer::start();
    let gateway = gateway(&server, 1).await;
    let (trial, pro) = (quotas(&[(10, 86_400)]), quotas(&[(10, 60)]));
    assert_eq!(flood(&gateway, &trial, Leasing::Never, 11).await, 10);
    assert!(gateway.is_refused(ADA, &trial, ONE, now()));
    pass(3_600_000);
    assert!(!gateway.is_refused(ADA, &pro, ONE, now()));
    assert!(take(&gateway, &pro, Leasing::Never).await.admitted);
    let back = take(&gateway, &trial, Leasing::Never).await;
    assert!(!back.admitted, "the day is not over, and Redis knows");
}

/// What Redis says after its clock went back by an hour: come again in 61 minutes.
#[tokio::test]
async fn a_clock_that_went_back_or_a_deleted_counter_does_not_make_a_refusal_last() {
    let server = RedisServer::start();
    let gateway = gateway(&server, 1).await;
    let limit = quotas(&[(5, 60)]);
    assert_eq!(flood(&gateway, &limit, Leasing::Never, 5).await, 5);
    let behind = now().minus(Duration::from_secs(3600));
    let AtHand::Ask(question) = gateway.acquire_at_hand(ADA, &limit, ONE, Leasing::Never, behind)
    else {
        panic!("nothing was refused yet");
    };
    let refused = gateway.ask(question, &limit, ONE, behind).await.expect("the store answers");
    assert!(refused.retry_ms() > Some(3_600_000), "{refused:?}");
    // An operator has mercy.
    let key = gateway.store.name_of(&ADA);
    server.command(&["DEL", &key]).expect("Redis answers");
    pass(60_999);
    assert!(gateway.is_refused(ADA, &limit, ONE, now()), "it is not asked in every case");
    pass(1);
    assert!(take(&gateway, &limit, Leasing::Never).await.admitted);
}

/// In no window more than L + ⌊L / 10⌋, whoever floods, asks, is killed or comes back.
#[tokio::test]
async fn a_flood_over_gateways_that_are_killed_and_started_stays_within_the_bound() {
    for seed in 0..12 {
        let server = RedisServer::start();
        let mut dice = Dice(seed);
        let limit = quotas(&[(40, 1), (100, 3)]);
        let mut fleet = Vec::new();
        for name in 1..=3 {
            fleet.push(gateway(&server, name).await);
        }
        let mut next_name = 4;
        let mut admitted: Vec<u64> = Vec::new();
        for _ in 0..600 {
            let which = dice.below(3) as usize;
            match dice.below(60) {
                0 => {
                    // Killed: its tokens are nobody's.
                    fleet[which] = gateway(&server, next_name).await;
                    next_name += 1;
                }
                1 => {
                    fleet[which].close(now()).await;
                }
                _ => {
                    let calls = 1 + dice.below(6);
                    for _ in 0..calls {
                        let gateway = &fleet[which];
                        if take(gateway, &limit, Leasing::WherePossible).await.admitted {
                            admitted.push(SINCE_MS.get());
                        }
                    }
                }
            }
            tokio::task::yield_now().await;
            pass(*dice.pick(&[0, 0, 0, 3, 17, 50, 120, 400]));
        }
        for gateway in &fleet {
            settled(gateway).await;
        }
        for (ms, bound) in [(1000, 44), (3000, 104)] {
            for (i, end) in admitted.iter().enumerate() {
                let within = admitted[..=i].iter().rev().take_while(|at| **at + ms >= *end);
                let count = within.count();
                assert!(count <= bound, "seed {seed}: {count} within {ms} ms");
            }
        }
        assert!(admitted.len() > 100, "seed {seed}: {} admitted", admitted.len());
    }
}

#[tokio::test]
async fn a_flood_gets_no_less_than_the_limit_less_a_tenth() {
    let server = RedisServer::start();
    let (one, other) = (gateway(&server, 1).await, gateway(&server, 2).await);
    let limit = quotas(&[(100, 60)]);
    // The other takes what it can, and is killed.
    assert_eq!(flood(&other, &limit, Leasing::WhereWorthwhile, 1).await, 1);
    let admitted = flood(&one, &limit, Leasing::WhereWorthwhile, 200).await;
    assert!((90..=99).contains(&admitted), "{admitted}");
}

#[tokio::test]
async fn tokens_of_a_gateway_that_ends_are_there_for_others() {
    let server = RedisServer::start();
    let (one, other) = (gateway(&server, 1).await, gateway(&server, 2).await);
    let limit = quotas(&[(100, 60)]);
    assert_eq!(flood(&other, &limit, Leasing::WhereWorthwhile, 3).await, 3);
    other.close(now()).await;
    assert_eq!(flood(&one, &limit, Leasing::WhereWorthwhile, 200).await, 97);
}

#[tokio::test]
async fn tokens_are_not_spent_when_their_time_is_over() {
    let server = RedisServer::start();
    let gateway = gateway(&server, 1).await;
    let limit = quotas(&[(100, 60)]);
    take(&gateway, &limit, Leasing::WhereWorthwhile).await;
    assert_eq!(gateway.figures().asked, 1);
    pass(13_499);
    take(&gateway, &limit, Leasing::WhereWorthwhile).await;
    assert_eq!(gateway.figures().asked, 1, "a lease of 15 s is spent for 13.5 s");
    pass(1);
    take(&gateway, &limit, Leasing::WhereWorthwhile).await;
    assert_eq!(gateway.figures().asked, 2);
}

#[tokio::test]
async fn a_request_given_up_while_it_asks_keeps_nobody_from_asking() {
    let mut server = RedisServer::start();
    let gateway = gateway(&server, 1).await;
    let limit = quotas(&[(100, 60)]);
    server.pause();
    {
        let asking = take(&gateway, &limit, Leasing::WhereWorthwhile);
        tokio::select! {
            biased;
            _ = asking => unreachable!("Redis stands still"),
            () = until("asking", || {
                gateway.ledger.read(&ADA, Account::is_asking) == Some(true)
            }) => {}
        }
    }
    server.resume();
    assert_eq!(gateway.ledger.read(&ADA, Account::is_asking), Some(false));
    pass(1000);
    assert!(take(&gateway, &limit, Leasing::WhereWorthwhile).await.admitted);
    assert!(gateway.ledger.read(&ADA, |account| account.spendable(uptime())) > Some(0));
}

#[tokio::test]
async fn a_cost_as_large_as_can_be_is_refused_and_given_back_without_harm() {
    let server = RedisServer::start();
    let gateway = gateway(&server, 1).await;
    let limit = quotas(&[(100, 60)]);
    take(&gateway, &limit, Leasing::WherePossible).await;
    let most = NonZeroU32::MAX;
    let outcome = acquire(&gateway, ADA, &limit, most, Leasing::WherePossible).await;
    assert_eq!(outcome.expect("the store answers").retry_ms(), None);
    give_back(&gateway, &limit, most, Leasing::WherePossible).await;
    let outcome = gateway.peek(ADA, &limit, now()).await.expect("the store answers");
    assert_eq!(outcome.windows()[0].remaining, 100);
}

#[tokio::test]
async fn tokens_of_one_tier_are_not_spent_under_another() {
    let server = RedisServer::start();
    let gateway = gateway(&server, 1).await;
    let (pro, free) = (quotas(&[(10_000, 3600)]), quotas(&[(60, 60)]));
    take(&gateway, &pro, Leasing::WherePossible).await;
    assert_eq!(gateway.ledger.read(&ADA, |account| account.spendable(uptime())), Some(999));
    let admitted = flood(&gateway, &free, Leasing::WherePossible, 500).await;
    assert!(admitted <= 66, "{admitted}");
}

#[tokio::test]
async fn refunds_while_tokens_are_asked_for_bring_back_no_more_than_the_store_knows_of() {
    let server = RedisServer::start();
    let gateway = gateway(&server, 1).await;
    let limit = quotas(&[(100, 60)]);
    // Eight of the first ten are out on requests that end up refused elsewhere.
    for _ in 0..8 {
        take(&gateway, &limit, Leasing::WhereWorthwhile).await;
    }
    for _ in 0..8 {
        gateway.refund_beside(ADA, &limit, ONE, Leasing::WhereWorthwhile, now());
    }
    all_is_told(&gateway).await;
    let spendable = gateway.ledger.read(&ADA, |account| account.spendable(uptime()));
    assert!(spendable <= Some(10), "{spendable:?} tokens of at most ten are here");
    let seen = gateway.store.peek(ADA, &limit, now()).await.expect("the store answers");
    let counted = 100 - seen.windows()[0].remaining;
    assert!(counted >= spendable.unwrap_or_default(), "{counted} are counted");
}

#[tokio::test]
async fn a_refund_goes_to_the_tokens_that_are_here_else_to_the_store() {
    let server = RedisServer::start();
    let (gateway, limit) = (gateway(&server, 1).await, quotas(&[(100, 60)]));
    let counted = async || {
        let seen = gateway.store.peek(ADA, &limit, now()).await.expect("the store answers");
        100 - seen.windows()[0].remaining
    };
    let spendable = || gateway.ledger.read(&ADA, |account| account.spendable(uptime()));

    // Asked for by itself, it is the store that has counted it.
    take(&gateway, &limit, Leasing::Never).await;
    assert_eq!(counted().await, 1);
    give_back(&gateway, &limit, ONE, Leasing::Never).await;
    assert_eq!((counted().await, gateway.figures().asked), (0, 2));

    // Paid out of tokens, it is one more token, and nobody is asked.
    take(&gateway, &limit, Leasing::WhereWorthwhile).await;
    assert_eq!((counted().await, spendable()), (10, Some(9)));
    let asked = gateway.figures().asked;
    give_back(&gateway, &limit, ONE, Leasing::WhereWorthwhile).await;
    assert_eq!((spendable(), gateway.figures().asked), (Some(10), asked));

    // Once their time is over, the store is told: more would be spent than it knows of.
    take(&gateway, &limit, Leasing::WhereWorthwhile).await;
    pass(13_500);
    give_back(&gateway, &limit, ONE, Leasing::WhereWorthwhile).await;
    assert_eq!((counted().await, spendable()), (9, Some(0)));

    // What the answer says is what is left here, too.
    let left = gateway.peek(ADA, &limit, now()).await.expect("the store answers");
    assert_eq!(left.windows()[0].remaining, 91);
}

#[tokio::test]
async fn a_refund_ends_a_refusal_that_it_makes_untrue() {
    let server = RedisServer::start();
    let (gateway, limit) = (gateway(&server, 1).await, quotas(&[(5, 60)]));
    assert_eq!(flood(&gateway, &limit, Leasing::Never, 6).await, 5);
    assert!(gateway.is_refused(ADA, &limit, ONE, now()));
    give_back(&gateway, &limit, ONE, Leasing::Never).await;
    assert!(!gateway.is_refused(ADA, &limit, ONE, now()));
    assert!(take(&gateway, &limit, Leasing::Never).await.admitted);
}

#[tokio::test]
async fn gateways_hear_how_many_there_are() {
    let server = RedisServer::start();
    let mut fleet = Vec::new();
    for name in 1..=3 {
        fleet.push(gateway(&server, name).await);
    }
    for (gateway, heard) in fleet.iter().zip(1..) {
        assert_eq!(gateway.store.announce(&gateway.holder).await.expect("answers"), heard);
    }
    assert_eq!(fleet[0].store.announce(&fleet[0].holder).await.expect("answers"), 3);
    fleet[1].close(now()).await;
    assert_eq!(fleet[0].store.announce(&fleet[0].holder).await.expect("answers"), 2);
}
