//! What OAuth clients get: tokens, revocation, introspection, and where all that is.

use std::time::Duration;

use admin_api::Mint;
use admin_api::NewUser;
use admin_api::TakenBack;
use kernel::secret::Secret;

use crate::support::*;

fn token(fields: &[(&str, &str)]) -> http::Request<axum::body::Body> {
    form("/auth/oauth/token", fields)
}

fn revoke(token: &str) -> http::Request<axum::body::Body> {
    form("/auth/oauth/revoke", &[("token", token)])
}

/// A token with which tokens of others may be looked at.
async fn looker(house: &House) -> String {
    let name = "resource-server";
    let scopes = vec!["introspect".to_owned()];
    let user = NewUser { scopes, ..NewUser::new(name, Secret::new(PASSWORD), tier("free")) };
    house.add(user).await;
    let ttl = Duration::from_secs(24 * 60 * 60);
    let mint = Mint { username: name.to_owned(), tier: None, scopes: None, ttl };
    house.api.mint_access(mint).await.unwrap().expose().to_owned()
}

async fn introspect(house: &House, by: &str, token: &str) -> serde_json::Value {
    let answer = house.ask(bearer(form("/auth/oauth/introspect", &[("token", token)]), by)).await;
    answer.is_ok();
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json()
}

/// Checks an error as OAuth clients read it, with our own members beside.
#[track_caller]
fn is_fault(answer: &Answer, error: &str, description: &str) {
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let body = answer.json();
    assert_eq!(body["error"], error, "{body}");
    assert_eq!(body["error_description"], description, "{body}");
    assert_eq!((&body["detail"], &body["status"]), (&description.into(), &400.into()));
    assert_eq!(body["request_id"], answer.header("x-request-id"));
}

#[tokio::test]
async fn a_refresh_token_is_exchanged_as_oauth_clients_do_it() {
    let house = House::with_ann().await;
    for path in ["/auth/oauth/token", "/api/auth/oauth/token"] {
        let pair = house.sign_in().await;
        let answer = house
            .ask(form(
                path,
                &[
                    ("grant_type", "refresh_token"),
                    ("refresh_token", &pair.refresh),
                    ("client_id", "spa"),
                    ("resource", "unknown parameters are ignored"),
                ],
            ))
            .await;
        answer.is_ok();
        assert_eq!(answer.header("pragma"), "no-cache");
        assert_eq!(answer.header("cache-control"), "no-store");
        let body = answer.json();
        assert_eq!((&body["token_type"], &body["expires_in"]), (&"Bearer".into(), &1800.into()));
        assert_eq!(body["scope"], "orders:read orders:write");
        house.me(&answer.pair().access).await.is_ok();
        house.refresh(&answer.pair().refresh).await.pair();
    }
}

#[tokio::test]
async fn fewer_scopes_may_be_asked_for_and_more_are_not_given() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    let narrowed = house
        .ask(token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", &pair.refresh),
            ("scope", "orders:read admin"),
        ]))
        .await;
    assert_eq!(narrowed.json()["scope"], "orders:read");
    assert_eq!(claims(&narrowed.pair().access)["scopes"], serde_json::json!(["orders:read"]));
    // The session keeps what it has.
    let whole = house.refresh(&narrowed.pair().refresh).await.pair();
    assert_eq!(claims(&whole.access)["scope"], "orders:read orders:write");
}

#[tokio::test]
async fn what_is_wrong_is_said_in_the_words_of_oauth() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    let outcome = |fields: Vec<(&'static str, String)>| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
        let request = token(&fields);
        house.ask(request)
    };
    let grant = || ("grant_type", "refresh_token".to_owned());
    let refresh = || ("refresh_token", pair.refresh.clone());
    let missing = "the parameter `grant_type` is missing";
    is_fault(&outcome(vec![refresh()]).await, "invalid_request", missing);
    let missing = "the parameter `refresh_token` is missing";
    is_fault(&outcome(vec![grant()]).await, "invalid_request", missing);
    let twice = "the parameter `refresh_token` comes more than once";
    is_fault(&outcome(vec![grant(), refresh(), refresh()]).await, "invalid_request", twice);
    let unknown = || ("hunter2", "x".to_owned());
    let twice = "a parameter comes more than once";
    is_fault(
        &outcome(vec![grant(), refresh(), unknown(), unknown()]).await,
        "invalid_request",
        twice,
    );
    for other in ["password", "authorization_code", "client_credentials"] {
        let fields = vec![("grant_type", other.to_owned()), refresh()];
        let only = "the only grant here is refresh_token";
        is_fault(&outcome(fields).await, "unsupported_grant_type", only);
    }
    for (text, why) in [
        (&*pair.access, "an access token in place of a refresh token"),
        ("a.b.c", "the refresh token does not hold"),
    ] {
        let fields = vec![grant(), ("refresh_token", text.to_owned())];
        is_fault(&outcome(fields).await, "invalid_grant", why);
    }
    let json = house.ask(json("/auth/oauth/token", &refresh_body(&pair.refresh))).await;
    let expected = "expected a form: application/x-www-form-urlencoded";
    is_fault(&json, "invalid_request", expected);
    // None of that used the token up.
    house.refresh(&pair.refresh).await.pair();
}

#[tokio::test]
async fn a_revoked_access_token_is_refused_alone() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    for _ in 0..2 {
        let answer = house.ask(revoke(&pair.access)).await;
        answer.is_ok();
        assert_eq!(answer.text, "");
    }
    house.me(&pair.access).await.is_problem(401, "Could not validate credentials", "TOKEN_REVOKED");
    assert_eq!(house.count("SELECT count(*) FROM revocations"), 1);
    house.me(&house.refresh(&pair.refresh).await.pair().access).await.is_ok();
}

#[tokio::test]
async fn a_revoked_refresh_token_ends_its_session_with_its_access_tokens() {
    let house = House::with_ann().await;
    let (pair, other) = (house.sign_in().await, house.sign_in().await);
    let hinted = form(
        "/auth/oauth/revoke",
        &[("token", &*pair.refresh), ("token_type_hint", "access_token")],
    );
    house.ask(hinted).await.is_ok();
    house.refresh(&pair.refresh).await.is_invalid_refresh();
    assert_eq!(house.me(&pair.access).await.status, 401);
    house.me(&other.access).await.is_ok();
}

#[tokio::test]
async fn revoking_what_nobody_knows_is_no_error_and_revoking_nothing_is() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    house.hand.forward(Duration::from_secs(1800));
    for token in ["a.b.c", "x", &pair.access] {
        house.ask(revoke(token)).await.is_ok();
    }
    assert_eq!(house.count("SELECT count(*) FROM revocations"), 0);
    let none = house.ask(form("/auth/oauth/revoke", &[("token_type_hint", "x")])).await;
    is_fault(&none, "invalid_request", "the parameter `token` is missing");
}

#[tokio::test]
async fn a_token_that_is_in_force_is_told_of_and_any_other_is_just_not_active() {
    let house = House::with_ann().await;
    let by = looker(&house).await;
    let pair = house.sign_in().await;
    let said = introspect(&house, &by, &pair.access).await;
    let own = claims(&pair.access);
    assert_eq!(said["active"], true);
    for name in ["sub", "username", "scope", "exp", "iat", "iss", "jti", "sid", "tier"] {
        assert_eq!(said[name], own[name], "{name}");
    }
    assert!(said.get("nbf").is_none() && said.get("aud").is_none());
    let refresh = introspect(&house, &by, &pair.refresh).await;
    assert_eq!(
        (&refresh["active"], &refresh["token_type"]),
        (&true.into(), &"refresh_token".into())
    );

    let next = house.refresh(&pair.refresh).await.pair();
    let inactive = serde_json::json!({ "active": false });
    assert_eq!(introspect(&house, &by, &pair.refresh).await, inactive, "rotated");
    for token in ["a.b.c", "x", &pair.access[..pair.access.len() - 2]] {
        assert_eq!(introspect(&house, &by, token).await, inactive, "{token}");
    }
    house.ask(bearer(post("/auth/logout"), &next.access)).await.is_ok();
    assert_eq!(introspect(&house, &by, &next.access).await, inactive, "logged out");
    assert_eq!(introspect(&house, &by, &next.refresh).await, inactive, "logged out");
    let late = house.sign_in().await;
    house.hand.forward(Duration::from_secs(1800));
    assert_eq!(introspect(&house, &by, &late.access).await, inactive, "expired");
    house.api.users().disable("ann").await.unwrap();
    assert_eq!(introspect(&house, &by, &late.refresh).await, inactive, "disabled");
}

#[tokio::test]
async fn who_may_look_at_tokens_is_looked_at_first() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    let look = || form("/auth/oauth/introspect", &[("token", &pair.access)]);
    let nobody = house.ask(look()).await;
    nobody.is_problem(401, "Not authenticated", "NOT_AUTHENTICATED");
    let answer = house.ask(bearer(look(), &pair.access)).await;
    assert_eq!(answer.status, 403, "{}", answer.text);
    assert_eq!(answer.json()["detail"], "Insufficient permissions. Required scopes: introspect");
    assert_eq!(answer.header("www-authenticate"), r#"Bearer error="insufficient_scope""#);
    let by = looker(&house).await;
    let nothing = house.ask(bearer(form("/auth/oauth/introspect", &[("a", "b")]), &by)).await;
    is_fault(&nothing, "invalid_request", "the parameter `token` is missing");
    house.ask(revoke(&by)).await.is_ok();
    let revoked = house.ask(bearer(look(), &by)).await;
    revoked.is_problem(401, "Could not validate credentials", "TOKEN_REVOKED");
}

#[tokio::test]
async fn where_everything_is_comes_from_the_configuration_alone() {
    let house = House::empty("[listen]\npublic_url = \"https://api.example.com\"").await;
    let path = "/.well-known/oauth-authorization-server";
    let mut request = get(path);
    request.headers_mut().insert("host", "evil.example".parse().unwrap());
    request.headers_mut().insert("x-forwarded-host", "evil.example".parse().unwrap());
    let answer = house.ask(request).await;
    answer.is_ok();
    assert!(!answer.text.contains("evil"), "{}", answer.text);
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let body = answer.json();
    let base = "https://api.example.com";
    assert_eq!(body["issuer"], "doorward");
    assert_eq!(body["token_endpoint"], format!("{base}/auth/oauth/token"));
    assert_eq!(body["revocation_endpoint"], format!("{base}/auth/oauth/revoke"));
    assert_eq!(body["introspection_endpoint"], format!("{base}/auth/oauth/introspect"));
    assert_eq!(body["jwks_uri"], format!("{base}/.well-known/jwks.json"));
    assert_eq!(body["grant_types_supported"], serde_json::json!(["refresh_token"]));
    assert_eq!(body["response_types_supported"], serde_json::json!([]));
    let without = House::empty("").await.ask(get(path)).await;
    without.is_problem(404, "Not Found", "NOT_FOUND");
}

#[tokio::test]
async fn an_operator_sees_what_a_token_says_and_whether_it_is_taken() {
    let house = House::with_ann().await;
    let pair = house.sign_in().await;
    let inspect = async |token: &str| house.api.inspect_token(&Secret::new(token)).await.unwrap();
    let access = inspect(&pair.access).await;
    assert_eq!((access.kind, access.is_in_force), ("access token", true));
    assert_eq!(access.claims, claims(&pair.access));
    assert_eq!(access.header["kid"], "test");
    assert_eq!(inspect(&pair.refresh).await.kind, "refresh token");
    let forged = inspect(&pair.access[..pair.access.len() - 4]).await;
    assert!(!forged.is_in_force && forged.standing.starts_with("it does not hold here"));
    assert_eq!(inspect("x").await.kind, "no token");
    house.hand.forward(Duration::from_secs(1800));
    let late = inspect(&pair.access).await;
    assert_eq!(late.standing, "it is not in force: an expired token");
}

#[tokio::test]
async fn an_operator_may_take_back_a_token_of_another_issuer_by_what_it_says() {
    let house = House::empty(
        "[[issuers]]\nissuer = \"https://login.example/\"\n\
         jwks_url = \"https://login.example/jwks\"\naudiences = [\"orders\"]",
    )
    .await;
    let foreign = |iss: &str, exp_in_s: u64| {
        let exp = house.hand.now().as_secs() + exp_in_s;
        let claims = serde_json::json!({ "iss": iss, "sub": "s", "jti": "j1", "exp": exp });
        let pem = kernel::keys::new_private_key(kernel::keys::Algorithm::EdDSA).unwrap();
        let key =
            kernel::keys::SigningKey::from_pem("theirs", kernel::keys::Algorithm::EdDSA, &pem);
        Secret::new(key.unwrap().sign(&claims).unwrap())
    };
    let theirs = "https://login.example/";
    let revoke = async |token: &Secret| house.api.revoke_token(token).await.unwrap();
    let token = foreign(theirs, 60);
    assert_eq!(revoke(&token).await, TakenBack::Foreign(theirs.to_owned()));
    // By its id, so that a second signature does not escape.
    assert_eq!(revoke(&foreign(theirs, 60)).await, TakenBack::Before);
    assert_eq!(revoke(&foreign(theirs, 0)).await, TakenBack::Expired);
    let unknown = revoke(&foreign("https://other.example/", 60)).await;
    assert!(matches!(unknown, TakenBack::NotOurs(_)), "{unknown:?}");
    // A client may not: nothing that it shows proves that the token is its own.
    house.ask(form("/auth/oauth/revoke", &[("token", foreign(theirs, 60).expose())])).await.is_ok();
    assert_eq!(house.count("SELECT count(*) FROM revocations"), 1);
    let kind = house.api.inspect_token(&token).await.unwrap().kind;
    assert_eq!(kind, "token of another issuer");
}

#[tokio::test]
async fn what_was_taken_from_its_owner_is_no_longer_told_of_a_token() {
    let house = House::with_ann().await;
    let by = looker(&house).await;
    let pair = house.sign_in().await;
    assert_eq!(introspect(&house, &by, &pair.access).await["scope"], "orders:read orders:write");
    let role = |name: &str, role: &str| {
        let change = admin_api::UserChange {
            role: Some(role.to_owned()),
            tier: Some(tier("premium")),
            scopes: Some(Vec::new()),
            ..admin_api::UserChange::default()
        };
        house.api.users().change(admin_api::Who::Name(name.to_owned()), change, None)
    };
    role("ann", "user").await.unwrap();
    let said = introspect(&house, &by, &pair.access).await;
    assert_eq!((&said["active"], &said["scope"]), (&true.into(), &"".into()));
    assert_eq!(said["tier"], "premium");
    // Whoever looked at tokens and may no longer, does not.
    role("resource-server", "user").await.unwrap();
    let look = form("/auth/oauth/introspect", &[("token", &pair.access)]);
    assert_eq!(house.ask(bearer(look, &by)).await.status, 403);
}
