//! When keys are fetched, and when they are not.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;

use kernel::keys::Algorithm;
use kernel::keys::SigningKey;
use kernel::keys::jwk_set;
use kernel::keys::new_private_key;
use kernel::token::TokenError;
use serde_json::json;
use tokio::task::JoinHandle;

use super::*;

const THEIRS: &str = "https://login.example/";
const NOW_S: u64 = 1_800_000_000;
const NOW: Timestamp = Timestamp::from_secs(NOW_S);

fn ours() -> Profile {
    Profile {
        issuer: "doorward".into(),
        audience: None,
        leeway: Duration::ZERO,
        lifetime_max: Duration::from_secs(3600),
        accept_legacy: false,
    }
}

fn key(kid: &str) -> SigningKey {
    let pem = new_private_key(Algorithm::EdDSA).expect("made");
    SigningKey::from_pem(kid, Algorithm::EdDSA, &pem).expect("read")
}

fn token(key: &SigningKey, exp_s: u64) -> String {
    let claims = json!({ "iss": THEIRS, "sub": "s", "aud": "orders", "exp": exp_s });
    key.sign(&claims).expect("signed")
}

/// An issuer whose site can be taken away, and how often it was asked.
struct Site {
    issuers: Arc<Issuers>,
    body: Arc<Mutex<Vec<u8>>>,
    is_down: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Site {
    /// With `keys`, each answer after `takes`.
    fn of(keys: &[&SigningKey], takes: Duration) -> Self {
        let configured = config::Issuer {
            issuer: THEIRS.to_owned(),
            jwks_url: "https://login.example/jwks".to_owned(),
            audiences: vec!["orders".to_owned()],
        };
        let issuers = Arc::new(Issuers::new(&[configured]));
        let body = Arc::new(Mutex::new(Vec::new()));
        let (is_down, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (kept, served, down, count) =
            (Arc::clone(&issuers), Arc::clone(&body), Arc::clone(&is_down), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            let fetch = async || {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(takes).await;
                match down.load(Ordering::SeqCst) {
                    true => Err(FetchError::Status(reqwest::StatusCode::BAD_GATEWAY)),
                    false => Ok(served.lock().clone()),
                }
            };
            kept.all()[0].keep(fetch).await;
        });
        let site = Self { issuers, body, is_down, asked, task };
        site.publish(keys);
        site
    }

    fn publish(&self, keys: &[&SigningKey]) {
        let keys: Vec<_> = keys.iter().map(|key| key.verifying().clone()).collect();
        *self.body.lock() = jwk_set(&keys).to_string().into_bytes();
    }

    fn issuer(&self) -> &Issuer {
        &self.issuers.all()[0]
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn read(&self, token: &str) -> Result<(), ForeignRefusal> {
        self.issuer().verify(token, &ours(), NOW).map(|_| ())
    }

    /// As a request does it.
    async fn ask(&self, token: &str) -> Result<(), ForeignRefusal> {
        match self.read(token) {
            Err(ForeignRefusal::UnknownKid) if self.issuer().look_for_keys().await => {
                self.read(token)
            }
            outcome => outcome,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_its_issuers_by_its_claim_and_nobody_elses() {
    let theirs = key("k1");
    let site = Site::of(&[&theirs], Duration::ZERO);
    assert_eq!(site.issuers.of(&token(&theirs, NOW_S + 60)), Some(0));
    let other = theirs.sign(&json!({ "iss": "doorward" })).expect("signed");
    assert_eq!(site.issuers.of(&other), None);
    assert_eq!(Issuers::default().of(&token(&theirs, NOW_S + 60)), None);
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_at_the_start_and_a_thousand_bad_tokens_fetch_none() {
    let theirs = key("k1");
    let site = Site::of(&[&theirs], Duration::from_millis(100));
    // The very first request waits for the fetch that the start began.
    site.ask(&token(&theirs, NOW_S + 60)).await.expect("verified");
    assert_eq!(site.asked(), 1);
    tokio::time::advance(COOL_DOWN).await;
    let (forger, stranger) = (key("k1"), key("k2"));
    for _ in 0..1000 {
        let expired = site.ask(&token(&theirs, NOW_S)).await;
        assert_eq!(expired, Err(ForeignRefusal::Token(TokenError::Expired)));
        let forged = site.ask(&token(&forger, NOW_S + 60)).await;
        assert_eq!(forged, Err(ForeignRefusal::Token(TokenError::Signature)));
        let expired = site.ask(&token(&stranger, NOW_S)).await;
        assert_eq!(expired, Err(ForeignRefusal::Token(TokenError::Expired)));
    }
    assert_eq!(site.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_looked_for_once_in_the_cool_down_however_many_ask() {
    let (theirs, next) = (key("k1"), key("k2"));
    let site = Site::of(&[&theirs], Duration::from_millis(100));
    let fresh = token(&next, NOW_S + 60);
    // Too early: it was fetched at the start.
    assert_eq!(site.ask(&fresh).await, Err(ForeignRefusal::UnknownKid));
    site.publish(&[&theirs, &next]);
    assert_eq!(site.ask(&fresh).await, Err(ForeignRefusal::UnknownKid));
    assert_eq!(site.asked(), 1);
    tokio::time::advance(COOL_DOWN).await;
    let version = site.issuer().version();
    let all = (0..100).map(|_| site.ask(&fresh));
    for outcome in join_all(all).await {
        outcome.expect("verified");
    }
    assert_eq!(site.asked(), 2);
    assert_eq!(site.issuer().version(), version + 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_cools_down_as_a_success_does_and_old_keys_stay_good() {
    let (theirs, stranger) = (key("k1"), key("k2"));
    let site = Site::of(&[&theirs], Duration::ZERO);
    site.ask(&token(&theirs, NOW_S + 60)).await.expect("verified");
    site.is_down.store(true, Ordering::SeqCst);
    for outage in 1..=3 {
        tokio::time::advance(COOL_DOWN).await;
        for _ in 0..100 {
            let unknown = site.ask(&token(&stranger, NOW_S + 60)).await;
            assert_eq!(unknown, Err(ForeignRefusal::UnknownKid));
        }
        assert_eq!(site.asked(), 1 + outage);
        site.ask(&token(&theirs, NOW_S + 60)).await.expect("still verified");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_slow_issuer_beyond_the_bound() {
    let theirs = key("k1");
    let site = Site::of(&[&theirs], Duration::from_secs(5));
    let began = Instant::now();
    let asked = site.ask(&token(&theirs, NOW_S + 60)).await;
    assert_eq!(asked, Err(ForeignRefusal::UnknownKid));
    assert_eq!(began.elapsed(), WAIT_MAX);
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_anew_from_time_to_time_and_one_that_is_gone_verifies_no_more() {
    let (theirs, next) = (key("k1"), key("k2"));
    let site = Site::of(&[&theirs, &next], Duration::ZERO);
    site.ask(&token(&theirs, NOW_S + 60)).await.expect("verified");
    site.publish(&[&next]);
    tokio::time::sleep(REFRESH_EVERY + Duration::from_secs(1)).await;
    assert_eq!(site.asked(), 2);
    assert_eq!(site.read(&token(&theirs, NOW_S + 60)), Err(ForeignRefusal::UnknownKid));
    site.read(&token(&next, NOW_S + 60)).expect("verified");
    // The same keys again change nothing, so that what was verified stays so.
    let version = site.issuer().version();
    tokio::time::sleep(REFRESH_EVERY + Duration::from_secs(1)).await;
    assert_eq!((site.asked(), site.issuer().version()), (3, version));
}

#[tokio::test(start_paused = true)]
async fn keys_that_cannot_be_fetched_anew_are_good_for_a_day_and_no_longer() {
    let theirs = key("k1");
    let site = Site::of(&[&theirs], Duration::ZERO);
    let token = token(&theirs, NOW_S + 60);
    site.ask(&token).await.expect("verified");
    site.is_down.store(true, Ordering::SeqCst);
    tokio::time::sleep(KEPT_FOR - Duration::from_secs(1)).await;
    site.read(&token).expect("still verified");
    assert!(site.issuer().has_keys());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(site.read(&token), Err(ForeignRefusal::UnknownKid));
    assert!(!site.issuer().has_keys());
    let standing = site.issuer().standing();
    assert_eq!((standing.succeeded, standing.keys, standing.age), (1, 0, None));
    assert!(standing.failed >= 95, "{standing:?}");
}

/// All of `futures`, at one time.
async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_pending = false;
        for (future, outcome) in &mut waiting {
            if outcome.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *outcome = Some(value),
                    std::task::Poll::Pending => is_pending = true,
                }
            }
        }
        if is_pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    waiting.into_iter().filter_map(|(_, outcome)| outcome).collect()
}
