//! How often a password may be tried, as whoever tries meets it.

use admin_api::Who;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use kernel::front::CLIENT_ADDRESS;

use crate::support::*;

const TIGHT: &str = r#"
[auth.throttle]
account = [{ name = "minute", requests = 6, per = "1m" }]
address = [{ name = "minute", requests = 9, per = "1m" }]
pair = [{ name = "minute", requests = 3, per = "1m" }]
device = [{ name = "minute", requests = 2, per = "1m" }]
"#;

async fn house() -> House {
    let house = House::empty(TIGHT).await;
    house.add(ann()).await;
    house
}

fn from(address: &str, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert(CLIENT_ADDRESS, address.parse().unwrap());
    request
}

fn try_as(name: &str, password: &str, address: &str) -> Request<Body> {
    from(address, login(&[("username", name), ("password", password)]))
}

fn with_cookie(mut request: Request<Body>, cookie: &str) -> Request<Body> {
    request.headers_mut().insert("cookie", cookie.parse().unwrap());
    request
}

/// What the device would send back of what it was left with.
fn cookie_of(answer: &Answer) -> String {
    answer.is_ok();
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

/// The statuses of `times` attempts with a wrong password.
async fn fail(house: &House, name: &str, address: &str, times: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..times {
        statuses.push(house.ask(try_as(name, "wrong", address)).await.status.as_u16());
    }
    statuses
}

/// Spends the account's count, from two addresses.
async fn lock(house: &House, name: &str) {
    for address in ["198.51.100.1", "198.51.100.2"] {
        assert_eq!(fail(house, name, address, 3).await, [401; 3]);
    }
}

#[tokio::test]
async fn a_name_that_nobody_has_is_throttled_like_one_that_somebody_has() {
    let house = house().await;
    let mut met = Vec::new();
    for name in ["ann", "nobody"] {
        let mut bodies = Vec::new();
        for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
            for _ in 0..4 {
                let mut request = try_as(name, "wrong", address);
                request.headers_mut().insert("x-request-id", "r1".parse().unwrap());
                let before = house.api.passwords_hashed();
                let answer = house.ask(request).await;
                let hashes = house.api.passwords_hashed() - before;
                let retry = answer.header("retry-after").to_owned();
                bodies.push((answer.status, answer.text, retry, hashes));
            }
        }
        met.push(bodies);
        house.hand.forward(Duration::from_secs(61));
    }
    assert_eq!(met[0], met[1]);
    let statuses: Vec<_> = met[0].iter().map(|(status, ..)| status.as_u16()).collect();
    assert_eq!(statuses, [401, 401, 401, 429, 401, 401, 401, 429, 429, 429, 429, 429]);
}

#[tokio::test]
async fn what_is_refused_is_not_hashed_and_says_when_to_come_back() {
    let house = house().await;
    fail(&house, "ann", "192.0.2.1", 3).await;
    let before = house.api.passwords_hashed();
    let answer = house.ask(try_as("ann", PASSWORD, "192.0.2.1")).await;
    assert_eq!(house.api.passwords_hashed(), before);
    assert_eq!(answer.status, 429, "{}", answer.text);
    let body = answer.json();
    assert_eq!(body["detail"], "Rate limit exceeded. Please try again later.");
    assert_eq!(body["error_code"], "RATE_LIMIT_EXCEEDED");
    assert_eq!(body["type"], kernel::problem::QUOTA_EXCEEDED);
    assert_eq!(body["violated-policies"], serde_json::json!(["login"]));
    let wait_s: u64 = answer.header("retry-after").parse().unwrap();
    house.hand.forward(Duration::from_secs(wait_s));
    house.ask(try_as("ann", PASSWORD, "192.0.2.1")).await.pair();
}

#[tokio::test]
async fn a_locked_account_does_not_say_whether_the_password_was_right() {
    let house = house().await;
    lock(&house, "ann").await;
    for password in [PASSWORD, "wrong"] {
        let answer = house.ask(try_as("ann", password, "192.0.2.9")).await;
        assert_eq!(answer.status, 429, "{password}");
    }
}

#[tokio::test]
async fn locking_an_account_does_not_keep_its_owner_out_on_a_device_they_know() {
    let house = house().await;
    let at_home = "192.0.2.1";
    let cookie = cookie_of(&house.ask(try_as("ann", PASSWORD, at_home)).await);
    lock(&house, "ann").await;
    fail(&house, "ann", at_home, 3).await;
    let owner = || with_cookie(try_as("ann", PASSWORD, at_home), &cookie);
    house.ask(owner()).await.pair();
    // Nor does the one bring the other a longer count: the device has its own.
    for expected in [401, 401, 429] {
        let wrong = with_cookie(try_as("ann", "wrong", at_home), &cookie);
        assert_eq!(house.ask(wrong).await.status, expected);
    }
    house.hand.forward(Duration::from_secs(61));
    house.ask(owner()).await.pair();
}

#[tokio::test]
async fn a_device_of_somebody_else_or_a_made_up_one_is_a_strangers() {
    let house = house().await;
    house.add(admin_api::NewUser { email: None, username: "bob".to_owned(), ..ann() }).await;
    let cookie = cookie_of(&house.ask(try_as("bob", PASSWORD, "192.0.2.1")).await);
    lock(&house, "ann").await;
    for cookie in [&cookie, "doorward-device=a.9999999999.b", "doorward-device="] {
        let stranger = with_cookie(try_as("ann", PASSWORD, "192.0.2.1"), cookie);
        assert_eq!(house.ask(stranger).await.status, 429, "{cookie}");
    }
}

#[tokio::test]
async fn a_device_is_still_known_after_a_restart() {
    let house = house().await;
    let cookie = cookie_of(&house.ask(try_as("ann", PASSWORD, "192.0.2.1")).await);
    let again = house.open_again().await;
    for address in ["198.51.100.1", "198.51.100.2"] {
        for _ in 0..3 {
            ask(&again, try_as("ann", "wrong", address)).await;
        }
    }
    let stranger = try_as("ann", PASSWORD, "192.0.2.1");
    assert_eq!(ask(&again, stranger).await.status, 429);
    ask(&again, with_cookie(try_as("ann", PASSWORD, "192.0.2.1"), &cookie)).await.pair();
}

#[tokio::test]
async fn an_unlocked_account_takes_its_owner_at_once_where_they_failed_too() {
    let house = house().await;
    lock(&house, "ann").await;
    assert_eq!(house.ask(try_as("ann", PASSWORD, "198.51.100.1")).await.status, 429);
    house.api.users().unlock(Who::Name("ann".to_owned())).await.unwrap();
    house.ask(try_as("ann", PASSWORD, "198.51.100.1")).await.pair();
    let by_address = try_as("ann@example.com", PASSWORD, "198.51.100.1");
    house.ask(by_address).await.pair();
    let error = house.api.users().unlock(Who::Name("nobody".to_owned())).await.unwrap_err();
    assert_eq!(error.to_string(), "no user `nobody`");
}

#[tokio::test]
async fn an_account_has_one_count_however_its_name_is_typed() {
    let house = house().await;
    house.add(admin_api::NewUser { email: None, username: "Jürgen".to_owned(), ..ann() }).await;
    let spellings = ["J\u{fc}rgen", "Ju\u{308}rgen", "\u{ff2a}\u{fc}rgen"];
    for spelling in spellings {
        assert_eq!(fail(&house, spelling, "192.0.2.1", 1).await, [401]);
    }
    for spelling in spellings {
        assert_eq!(fail(&house, spelling, "192.0.2.1", 1).await, [429]);
        house.ask(try_as(spelling, PASSWORD, "192.0.2.2")).await.pair();
    }
}

#[tokio::test]
async fn a_hundred_attempts_at_once_are_no_more_than_one_after_the_other() {
    let house = house().await;
    let attempts = (0..100).map(|_| {
        let router = house.api.router();
        async move {
            use tower::ServiceExt;
            router.oneshot(try_as("ann", "wrong", "192.0.2.1")).await.unwrap().status().as_u16()
        }
    });
    let mut racing = tokio::task::JoinSet::new();
    for attempt in attempts {
        racing.spawn(attempt);
    }
    let statuses = racing.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 3);
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 97);
}

#[tokio::test]
async fn the_device_cookie_is_out_of_reach_of_scripts_and_other_sites() {
    let house = house().await;
    let answer = house.ask(try_as("ann", PASSWORD, "192.0.2.1")).await;
    let line = answer.header("set-cookie");
    assert!(line.starts_with("doorward-device="), "{line}");
    assert!(line.ends_with("Path=/; HttpOnly; SameSite=Lax"), "{line}");
    assert_eq!(fail(&house, "ann", "192.0.2.1", 1).await, [401]);
    let refused = house.ask(try_as("ann", "wrong", "192.0.2.1")).await;
    assert_eq!(refused.header("set-cookie"), "", "only who succeeds is left one");
}
