//! The keys that sign: which one does, who knows of it, and how one takes another's place.

use std::sync::Arc;
use std::time::Duration;

use admin_api::AdminApi;
use admin_api::JWKS_MAX_AGE;
use admin_api::KeyState;
use admin_api::ListedKey;
use admin_api::SEEN_EVERYWHERE;
use kernel::keys::Algorithm;
use kernel::secret::Secret;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::*;

const STORED: &str = r#"
[auth]
stored_key_alg = "ES256"
key_encryption_key = "a secret under which keys are sealed"
"#;

/// `lifetime_max` by default, and what a key goes on verifying for beyond it.
const OUTLIVES: Duration = Duration::from_secs(24 * 60 * 60 + 60);

/// A house whose keys are in the database, with `ann` in it.
async fn house() -> House {
    let house = House::empty(STORED).await;
    house.add(ann()).await;
    house
}

/// Follows the keys of an API until it is dropped.
struct Followed {
    _stop: oneshot::Sender<()>,
    _task: JoinHandle<()>,
}

fn follow(api: &Arc<AdminApi>) -> Followed {
    let (stop, stopped) = oneshot::channel::<()>();
    let api = Arc::clone(api);
    let task = tokio::spawn(async move {
        let shutdown = async {
            let _ = stopped.await;
        };
        api.tail_signing_keys(shutdown).await;
    });
    Followed { _stop: stop, _task: task }
}

async fn until(api: &AdminApi, holds: impl Fn(&[ListedKey]) -> bool) {
    let wait = async {
        while !holds(&api.signing_keys().list().await.unwrap()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), wait).await.expect("seen within five seconds");
}

/// The ids of the keys that are published.
async fn published(api: &AdminApi) -> Vec<String> {
    let answer = ask(api, get("/.well-known/jwks.json")).await;
    let keys = answer.json()["keys"].as_array().unwrap().clone();
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn header(token: &str) -> serde_json::Value {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let header = token.split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}

fn kid(token: &str) -> String {
    header(token)["kid"].as_str().unwrap().to_owned()
}

async fn state(api: &AdminApi, kid: &str) -> KeyState {
    let all = api.signing_keys().list().await.unwrap();
    all.iter().find(|key| key.kid == kid).unwrap().state
}

#[tokio::test]
async fn without_a_word_of_it_the_configuration_signs_and_publishes_no_secret() {
    let house = House::with_ann().await;
    assert_eq!(header(&house.sign_in().await.access)["alg"], "HS256");
    let answer = house.ask(get("/.well-known/jwks.json")).await;
    answer.is_ok();
    assert_eq!(answer.text, r#"{"keys":[]}"#);
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(house.count("SELECT count(*) FROM signing_keys"), 0);
}

#[tokio::test]
async fn a_key_that_is_kept_in_the_database_is_made_once_and_signs() {
    let house = house().await;
    let pair = house.sign_in().await;
    assert_eq!(header(&pair.access)["alg"], "ES256");
    house.me(&pair.access).await.is_ok();
    assert_eq!(published(&house.api).await, [kid(&pair.access)]);
    let other = house.open_again().await;
    assert_eq!(published(&other).await, [kid(&pair.access)]);
    assert_eq!(house.count("SELECT count(*) FROM signing_keys"), 1);
}

#[tokio::test]
async fn tokens_that_the_configuration_signed_go_on_being_taken() {
    let sealed = "[auth]\nkey_encryption_key = \"a secret under which keys are sealed\"";
    let mut house = House::empty(sealed).await;
    house.add(ann()).await;
    let before = house.sign_in().await;
    house.config.auth.stored_key_alg = Some(Algorithm::EdDSA);
    let after = house.open_again().await;
    ask(&after, bearer(get("/auth/me"), &before.access)).await.is_ok();
    let fresh = ask(&after, login(&[("username", "ann"), ("password", PASSWORD)])).await.pair();
    assert_eq!(header(&fresh.access)["alg"], "EdDSA");
    // One that runs, and is not told to sign with it, takes it all the same once it has seen it.
    let _followed = follow(&house.api);
    until(&house.api, |keys| keys.len() == 2).await;
    let taken = async {
        while house.me(&fresh.access).await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), taken).await.unwrap();
    assert_eq!(header(&house.sign_in().await.access)["alg"], "HS256");
}

#[tokio::test]
async fn a_rotation_goes_from_pending_to_retired_without_a_token_refused() {
    let house = house().await;
    let _followed = follow(&house.api);
    let first = house.sign_in().await.access;
    // From the command line, as it were.
    let turned = house.open_again().await.signing_keys().rotate(JWKS_MAX_AGE).await.unwrap();
    assert!(turned.is_to_sign);
    assert_eq!(turned.signs_from, house.hand.now().plus(JWKS_MAX_AGE));
    let (old, until_then) = turned.predecessor.clone().unwrap();
    assert_eq!(old, kid(&first));
    assert_eq!(until_then, turned.signs_from.plus(OUTLIVES));

    // Pending: published, and believed, before it signs.
    until(&house.api, |keys| keys.len() == 3).await;
    assert_eq!(state(&house.api, &turned.kid).await, KeyState::Pending);
    let both = async {
        while published(&house.api).await.len() != 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), both).await.unwrap();
    house.hand.forward(JWKS_MAX_AGE - Duration::from_millis(1));
    assert_eq!(kid(&house.sign_in().await.access), old);

    house.hand.forward(Duration::from_millis(1));
    until(&house.api, |keys| keys.iter().any(|key| key.kid == turned.kid && key.signs)).await;
    assert_eq!(state(&house.api, &old).await, KeyState::Retiring);
    let second = house.sign_in().await.access;
    assert_eq!(kid(&second), turned.kid);
    for token in [&first, &second] {
        house.me(token).await.is_ok();
    }

    house.hand.forward(OUTLIVES - Duration::from_millis(1));
    assert_eq!(published(&house.api).await.len(), 2);
    house.hand.forward(Duration::from_millis(1));
    assert_eq!(state(&house.api, &old).await, KeyState::Retired);
    let one = async {
        while published(&house.api).await != [&*turned.kid] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), one).await.unwrap();
}

#[tokio::test]
async fn a_rotation_that_nobody_waits_for_still_waits_for_every_doorward() {
    let house = house().await;
    let turned = house.api.signing_keys().rotate(Duration::ZERO).await.unwrap();
    assert_eq!(turned.signs_from, house.hand.now().plus(SEEN_EVERYWHERE));
    let error = house.api.signing_keys().rotate(Duration::ZERO).await.unwrap_err().to_string();
    assert!(error.starts_with("a rotation is under way: `"), "{error}");
    house.hand.forward(SEEN_EVERYWHERE);
    house.api.signing_keys().rotate(Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn the_oldest_pending_key_is_next_and_what_it_has_waited_counts() {
    let house = house().await;
    let keys = house.api.signing_keys();
    let oldest = keys.generate(Some(Algorithm::EdDSA)).await.unwrap();
    house.hand.forward(Duration::from_secs(1));
    keys.generate(None).await.unwrap();
    house.hand.forward(JWKS_MAX_AGE);
    let turned = keys.rotate(JWKS_MAX_AGE).await.unwrap();
    assert_eq!(turned.kid, oldest);
    assert_eq!(turned.signs_from, house.hand.now().plus(SEEN_EVERYWHERE));
    assert_eq!(house.count("SELECT count(*) FROM signing_keys"), 3);
}

#[tokio::test]
async fn sixteen_keys_in_the_database_are_the_most() {
    let house = house().await;
    for _ in 0..15 {
        house.api.signing_keys().generate(None).await.unwrap();
    }
    let error = house.api.signing_keys().generate(None).await.unwrap_err().to_string();
    assert!(error.starts_with("there are 16 keys in the database already"), "{error}");
}

#[tokio::test]
async fn a_distrusted_key_is_refused_at_once_and_another_one_signs() {
    let house = house().await;
    let _followed = follow(&house.api);
    let stolen = house.sign_in().await;
    let gone = kid(&stolen.access);
    let successor = house.open_again().await.signing_keys().revoke(&gone).await.unwrap().unwrap();
    until(&house.api, |keys| keys.iter().any(|key| key.kid == successor && key.signs)).await;
    house.me(&stolen.access).await.is_problem(
        401,
        "Could not validate credentials",
        "INVALID_TOKEN",
    );
    assert_eq!(published(&house.api).await, [&*successor]);
    assert_eq!(state(&house.api, &gone).await, KeyState::Distrusted);
    // The session is none of the key's doing: it goes on, with tokens of the other one.
    let fresh = house.refresh(&stolen.refresh).await.pair();
    assert_eq!(kid(&fresh.access), successor);
    house.me(&fresh.access).await.is_ok();
    // In one transaction with the entry that every gateway follows.
    let entry = format!(r#"{{"kind":"key","kid":"{gone}"}}"#);
    let told = format!("SELECT count(*) FROM revocations WHERE entry = '{entry}'");
    assert_eq!(house.count(&told), 1);
    assert_eq!(house.api.signing_keys().revoke(&gone).await.unwrap(), None);
    assert_eq!(house.count("SELECT count(*) FROM revocations"), 1);
}

#[tokio::test]
async fn a_key_that_cannot_be_opened_keeps_nobody_from_distrusting_another() {
    let house = house().await;
    let _followed = follow(&house.api);
    let pair = house.sign_in().await;
    let other = house.open_again().await;
    house.execute(
        "INSERT INTO signing_keys (kid, alg, sealed, created_at)
         VALUES ('broken', 'ES256', '1.AAAA', 1)",
    );
    let successor = other.signing_keys().generate(None).await.unwrap();
    house.execute(&format!("INSERT INTO distrusted_keys VALUES ('{}', 1)", kid(&pair.access)));
    let refused = async {
        while house.me(&pair.access).await.status == 200
            || published(&house.api).await != [&*successor]
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), refused).await.unwrap();
}

#[tokio::test]
async fn distrusting_the_next_key_leaves_the_one_that_signs_in_its_place() {
    let house = house().await;
    let signs = kid(&house.sign_in().await.access);
    let turned = house.api.signing_keys().rotate(JWKS_MAX_AGE).await.unwrap();
    let successor = house.api.signing_keys().revoke(&turned.kid).await.unwrap();
    assert_eq!(successor.as_deref(), Some(&*signs));
    house.hand.forward(JWKS_MAX_AGE);
    assert_eq!(state(&house.open_again().await, &signs).await, KeyState::Active);
}

#[tokio::test]
async fn a_key_that_alone_can_sign_or_that_nobody_has_is_not_distrusted() {
    let house = House::with_ann().await;
    let refusal = |kid: &'static str| {
        let api = Arc::clone(&house.api);
        async move { api.signing_keys().revoke(kid).await.unwrap_err().to_string() }
    };
    assert!(refusal("test").await.starts_with("`test` signs, and stands in the configuration"));
    assert_eq!(refusal("other").await, "no key `other`; there are `test`");
    assert_eq!(house.count("SELECT count(*) FROM distrusted_keys"), 0);
    house.me(&house.sign_in().await.access).await.is_ok();
}

#[tokio::test]
async fn a_key_of_ones_own_is_taken_in_and_one_that_is_none_is_not() {
    let house = house().await;
    let pem = kernel::keys::new_private_key(Algorithm::EdDSA).unwrap();
    let kid = house.api.signing_keys().import(Algorithm::EdDSA, &pem).await.unwrap();
    assert_eq!(state(&house.api, &kid).await, KeyState::Pending);
    for (algorithm, text) in
        [(Algorithm::ES256, pem.expose()), (Algorithm::RS256, "hunter2"), (Algorithm::HS256, "x")]
    {
        let import = house.api.signing_keys().import(algorithm, &Secret::new(text)).await;
        let error = import.unwrap_err().to_string();
        assert!(error.contains(algorithm.as_str()) && !error.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_private_key_lies_sealed_and_opens_under_its_own_secret_alone() {
    let mut house = house().await;
    let sealed = "SELECT count(*) FROM signing_keys WHERE sealed LIKE '1.%'";
    assert_eq!(house.count(sealed), 1);
    let open = "SELECT count(*) FROM signing_keys WHERE sealed LIKE '%PRIVATE%'";
    assert_eq!(house.count(open), 0);
    house.config.auth.key_encryption_key = Some(Secret::new("another secret, of enough bytes"));
    let error = AdminApi::open(&house.config, keys(), house.hand.clock()).await.err().unwrap();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("sealed under another `auth.key_encryption_key`"), "{cause}");
    house.config.auth.key_encryption_key = None;
    assert!(AdminApi::open(&house.config, keys(), house.hand.clock()).await.is_err());
}
