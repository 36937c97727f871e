use std::time::Duration;

use admin_api::Mint;

use crate::support::*;

fn mint() -> Mint {
    Mint { username: "ann".to_owned(), tier: None, scopes: None, ttl: Duration::from_secs(3600) }
}

#[tokio::test]
async fn a_minted_token_is_the_users_own_unless_told_otherwise() {
    let house = House::with_ann().await;
    let token = house.api.mint_access(mint()).await.unwrap();
    house.me(token.expose()).await.is_ok();
    let own = claims(token.expose());
    assert_eq!(own["tier"], "free");
    assert_eq!(own["scope"], "orders:read orders:write");
    assert_eq!(own["exp"], house.hand.now().as_secs() + 3600);
    let other = Mint {
        tier: Some(tier("admin")),
        scopes: Some(vec!["a".to_owned(), "b".to_owned()]),
        ..mint()
    };
    let other = claims(house.api.mint_access(other).await.unwrap().expose());
    assert_eq!(other["tier"], "admin");
    assert_eq!(other["scope"], "a b");
}

#[tokio::test]
async fn a_minted_token_is_revoked_alone() {
    let house = House::with_ann().await;
    let one = house.api.mint_access(mint()).await.unwrap();
    let two = house.api.mint_access(mint()).await.unwrap();
    let logout = bearer(post("/auth/logout"), one.expose());
    house.ask(logout).await.is_ok();
    assert_eq!(house.me(one.expose()).await.status, 401);
    house.me(two.expose()).await.is_ok();
    assert_eq!(house.count("SELECT seq FROM revocation_log"), 1);
}

#[tokio::test]
async fn a_token_that_no_verifier_would_take_is_not_made() {
    let house = House::with_ann().await;
    let refused = async |mint: Mint, expected: &str| {
        let error = house.api.mint_access(mint).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let day = Duration::from_secs(24 * 60 * 60);
    house.api.mint_access(Mint { ttl: day, ..mint() }).await.unwrap();
    let too_long = day + Duration::from_secs(1);
    refused(Mint { ttl: too_long, ..mint() }, "use 1s to 86400s").await;
    refused(Mint { ttl: Duration::ZERO, ..mint() }, "use 1s to").await;
    refused(Mint { username: "nobody".to_owned(), ..mint() }, "no user `nobody`").await;
    let unknown = Some(tier("premiun"));
    refused(Mint { tier: unknown, ..mint() }, "no tier `premiun`; there are").await;
    let scopes = Some(vec!["s".repeat(192); 9]);
    refused(Mint { scopes, ..mint() }, "too many scopes").await;
    let scopes = Some(vec![String::new()]);
    refused(Mint { scopes, ..mint() }, "cannot be added as a scope").await;
    house.api.users().disable("ann").await.unwrap();
    refused(mint(), "`ann` is disabled").await;
}
