//! Secrets that a deployment makes for itself, as they lie on a server.

use std::error::Error;

use admin_api::AdminApi;
use kernel::secret::Secret;

use crate::support::*;

const SEALED: &str = "[auth]\nkey_encryption_key = \"a secret under which secrets are sealed\"";
const OPEN_ROWS: &str = "SELECT (SELECT count(*) FROM refresh_keys WHERE secret NOT LIKE '1.%')
                              + (SELECT count(*) FROM secrets WHERE secret NOT LIKE '1.%')";
const ROWS: &str = "SELECT (SELECT count(*) FROM refresh_keys) + (SELECT count(*) FROM secrets)";

async fn cause_of_no_start(house: &House) -> String {
    let error = AdminApi::open(&house.config, keys(), house.hand.clock()).await.err().unwrap();
    assert!(error.to_string().starts_with("a secret in the database"), "{error}");
    error.source().unwrap().to_string()
}

#[tokio::test]
async fn whoever_reads_the_database_makes_no_refresh_token() {
    let house = House::empty(SEALED).await;
    assert_eq!((house.count(ROWS), house.count(OPEN_ROWS)), (2, 0));
    house.add(ann()).await;
    let pair = house.sign_in().await;
    let again = house.open_again().await;
    ask(&again, json("/auth/refresh", &refresh_body(&pair.refresh))).await.is_ok();
}

#[tokio::test]
async fn secrets_that_lay_open_are_sealed_at_the_next_start_and_nobody_is_signed_out() {
    let mut house = House::with_ann().await;
    let pair = house.sign_in().await;
    assert_eq!(house.count(OPEN_ROWS), 2, "without a seal there is nothing to seal with");
    house.config.auth.key_encryption_key =
        Some(Secret::new("a secret of at least 32 bytes, sealing"));
    let sealed = house.open_again().await;
    assert_eq!((house.count(ROWS), house.count(OPEN_ROWS)), (2, 0));
    ask(&sealed, json("/auth/refresh", &refresh_body(&pair.refresh))).await.is_ok();
}

#[tokio::test]
async fn it_does_not_start_with_secrets_that_it_cannot_open() {
    let mut house = House::empty(SEALED).await;
    house.config.auth.key_encryption_key = None;
    let cause = cause_of_no_start(&house).await;
    assert!(cause.contains("has no `auth.key_encryption_key`"), "{cause}");
    house.config.auth.key_encryption_key = Some(Secret::new("another secret, of enough bytes: 32"));
    let cause = cause_of_no_start(&house).await;
    assert!(cause.contains("sealed under another `auth.key_encryption_key`"), "{cause}");
    assert_eq!(house.count(OPEN_ROWS), 0);
}
