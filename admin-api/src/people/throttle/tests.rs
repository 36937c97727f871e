use std::num::NonZeroUsize;

use stores::memory::MemoryQuotas;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const START: Timestamp = Timestamp::from_secs(1_800_000_000);

fn quotas(requests: u32) -> Arc<[Quota]> {
    Arc::from([Quota::new("minute", requests.into(), MINUTE).unwrap()])
}

fn throttle() -> Throttle<MemoryQuotas> {
    let quotas = config::Throttle {
        account: quotas(6),
        address: quotas(9),
        pair: quotas(3),
        device: quotas(2),
        reset: quotas(1),
        register: quotas(2),
        provider: quotas(2),
        keys_max: 1000,
    };
    Throttle::new(MemoryQuotas::new(NonZeroUsize::new(1000).unwrap()), quotas)
}

fn prefix(host: u8) -> Prefix {
    Prefix::of(Some([192, 0, 2, host].into()))
}

fn attempt(account: &str, host: u8) -> Attempt<'_> {
    Attempt { account, unlocks: 0, from: prefix(host), device: None }
}

/// How many of `times` attempts that fail are looked at.
async fn fail(throttle: &Throttle<MemoryQuotas>, attempt: Attempt<'_>, times: usize) -> usize {
    let mut looked_at = 0;
    for _ in 0..times {
        looked_at += usize::from(throttle.sign_in(attempt, START).await.is_ok());
    }
    looked_at
}

#[tokio::test]
async fn one_address_stops_at_its_count_before_it_locks_the_account_for_others() {
    let throttle = throttle();
    assert_eq!(fail(&throttle, attempt("ann", 1), 10).await, 3);
    assert_eq!(fail(&throttle, attempt("ann", 2), 10).await, 3);
    assert_eq!(fail(&throttle, attempt("ann", 3), 10).await, 0, "six from anywhere");
}

#[tokio::test]
async fn an_address_that_tries_many_accounts_stops_at_its_own_count() {
    let throttle = throttle();
    let mut looked_at = 0;
    for account in ["a", "b", "c", "d", "e", "f"] {
        looked_at += fail(&throttle, attempt(account, 1), 2).await;
    }
    assert_eq!(looked_at, 9);
    assert_eq!(fail(&throttle, attempt("z", 2), 1).await, 1);
}

#[tokio::test]
async fn neighbours_in_one_64th_of_ipv6_are_one_address() {
    let throttle = throttle();
    for i in 0..5_u128 {
        let address = std::net::Ipv6Addr::from_bits(0x2001_0db8 << 96 | i);
        let attempt = Attempt { from: Prefix::of(Some(address.into())), ..attempt("ann", 1) };
        assert_eq!(fail(&throttle, attempt, 1).await, usize::from(i < 3), "{address}");
    }
}

#[tokio::test]
async fn an_account_under_attack_does_not_keep_its_owner_out() {
    let throttle = throttle();
    for host in 1..=9 {
        fail(&throttle, attempt("ann", host), 3).await;
    }
    assert_eq!(fail(&throttle, attempt("ann", 100), 1).await, 0, "strangers wait");
    let owner = Attempt { device: Some("laptop"), ..attempt("ann", 1) };
    assert_eq!(fail(&throttle, owner, 5).await, 2, "a count of their own, which is one too");
    let other = Attempt { device: Some("phone"), ..owner };
    assert_eq!(fail(&throttle, other, 5).await, 2);
}

#[tokio::test]
async fn whoever_succeeds_is_not_counted() {
    let throttle = throttle();
    for _ in 0..100 {
        let counted = throttle.sign_in(attempt("ann", 1), START).await.unwrap();
        throttle.forgive(counted, START).await;
    }
    assert_eq!(fail(&throttle, attempt("ann", 1), 10).await, 3);
}

#[tokio::test]
async fn a_refused_attempt_counts_nowhere() {
    let throttle = throttle();
    assert_eq!(fail(&throttle, attempt("ann", 1), 100).await, 3);
    assert_eq!(fail(&throttle, attempt("bob", 1), 100).await, 3);
    assert_eq!(fail(&throttle, attempt("cat", 1), 100).await, 3);
    assert_eq!(fail(&throttle, attempt("dan", 1), 100).await, 0, "nine of the address");
}

#[tokio::test]
async fn an_unlocked_account_begins_anew_even_for_the_address_that_spent_its_count() {
    let throttle = throttle();
    assert_eq!(fail(&throttle, attempt("ann", 1), 5).await, 3);
    let unlocked = Attempt { unlocks: 1, ..attempt("ann", 1) };
    assert_eq!(fail(&throttle, unlocked, 5).await, 3);
}

#[tokio::test]
async fn waiting_as_long_as_one_is_told_is_enough_and_a_millisecond_less_is_not() {
    let throttle = throttle();
    fail(&throttle, attempt("ann", 1), 5).await;
    let Err(Throttled::For(wait)) = throttle.sign_in(attempt("ann", 1), START).await else {
        panic!("not throttled")
    };
    let early = START.plus(wait).minus(Duration::from_millis(1));
    assert!(throttle.sign_in(attempt("ann", 1), early).await.is_err());
    assert!(throttle.sign_in(attempt("ann", 1), START.plus(wait)).await.is_ok());
}

#[tokio::test]
async fn a_flood_of_made_up_names_is_counted_in_bounded_memory() {
    let throttle = throttle();
    for i in 0..20_000_u32 {
        let from = Prefix::of(Some(std::net::Ipv4Addr::from_bits(i).into()));
        let account = format!("nobody-{i}");
        let _ = throttle.sign_in(Attempt { from, ..attempt(&account, 0) }, START).await;
    }
    assert!(throttle.store.keys() <= 1000);
}

#[tokio::test]
async fn a_mail_to_one_address_is_sent_once_and_another_address_gets_its_own() {
    let throttle = throttle();
    assert!(throttle.mail("ann@example.com", START).await.is_ok());
    assert!(throttle.mail("ann@example.com", START).await.is_err());
    assert!(throttle.mail("bob@example.com", START).await.is_ok());
}
