use http::Request;
use serde_json::json;
use test_support::identity_provider::Person;
use test_support::identity_provider::Twist;
use test_support::identity_provider::query_of;

use crate::browser::*;
use crate::support::*;

#[tokio::test]
async fn setting_out_answers_where_to_and_with_what_and_binds_the_browser() {
    let street = Street::new().await;
    for (way, page, scope, has_nonce) in [
        ("google", "/authorize", "openid email profile", true),
        ("github", "/login/oauth/authorize", "read:user user:email", false),
        ("oidc/corp", "/authorize", "openid email profile", true),
    ] {
        for mount in ["/auth", "/api/auth"] {
            let answer = street.house.ask(get(&format!("{mount}/{way}"))).await;
            let url = where_to(&answer);
            let body = answer.json();
            let names: Vec<_> = body.as_object().unwrap().keys().cloned().collect();
            assert_eq!(names, ["authorization_url", "state"]);
            assert!(url.starts_with(&format!("{}{page}?", street.provider.url())), "{url}");
            let query = query_of(&url);
            assert_eq!(query["response_type"], "code");
            assert_eq!(query["redirect_uri"], format!("{ORIGIN}/auth/{way}/callback"));
            assert_eq!(query["scope"], scope);
            assert_eq!(query["code_challenge_method"], "S256");
            assert_eq!(query["code_challenge"].len(), 43);
            assert_eq!(query["state"], body["state"].as_str().unwrap());
            assert_eq!(query.contains_key("nonce"), has_nonce);
            let cookie = answer.header("set-cookie");
            assert!(cookie.starts_with("doorward-flow="), "{cookie}");
            assert!(cookie.ends_with("; Max-Age=600; Path=/; HttpOnly; SameSite=Lax"), "{cookie}");
            assert_eq!(answer.header("cache-control"), "no-store");
        }
    }
}

#[tokio::test]
async fn a_browser_is_redirected_and_a_program_is_not() {
    let street = Street::new().await;
    let ask = async |path: &str, accept: &str| {
        let request = Request::get(path).header("accept", accept);
        street.house.ask(request.body(axum::body::Body::empty()).unwrap()).await
    };
    let browsers = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for (path, accept) in [
        ("/auth/google", browsers),
        ("/auth/github?redirect=1", "*/*"),
        ("/auth/google", "text/html"),
    ] {
        let answer = ask(path, accept).await;
        assert_eq!(answer.status, 302, "{path} {accept}");
        assert!(answer.header("location").starts_with(&street.provider.url()));
        assert!(answer.header("set-cookie").contains("HttpOnly"));
    }
    for (path, accept) in [("/auth/google", "*/*"), ("/auth/google?redirect=0", "application/json")]
    {
        ask(path, accept).await.is_ok();
    }
    let odd = ask("/auth/google?redirect=maybe", "*/*").await;
    odd.is_problem(422, "Validation error: query.redirect", "VALIDATION_ERROR");
}

#[tokio::test]
async fn somebody_new_gets_tokens_and_an_account_of_the_lowest_kind() {
    let street = Street::new().await;
    for (way, name) in PEOPLE {
        let person = Person { name: Some("Ann Example".to_owned()), ..Person::called(name) };
        let answer = street.sign_in(way, person).await;
        let names: Vec<_> = answer.json().as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, ["access_token", "expires_in", "refresh_token", "token_type"]);
        let pair = answer.pair();
        let me = street.who(&pair).await;
        assert_eq!(
            me,
            json!({
                "id": me["id"], "username": name, "email": format!("{name}@example.com"),
                "tier": "free", "is_active": true, "full_name": "Ann Example", "role": "user",
                "scopes": [], "is_verified": true,
            }),
            "{way}"
        );
        street.house.refresh(&pair.refresh).await.pair();
    }
    assert_eq!(street.house.count("SELECT count(*) FROM users WHERE hashed_password IS NULL"), 3);
}

#[tokio::test]
async fn somebody_without_a_password_cannot_sign_in_with_one() {
    let street = Street::new().await;
    street.sign_in("google", Person::called("ann")).await.pair();
    for password in [PASSWORD, "null", " "] {
        let answer = street.house.ask(login(&[("username", "ann"), ("password", password)])).await;
        answer.is_problem(401, "Incorrect username or password", "INVALID_CREDENTIALS");
    }
}

#[tokio::test]
async fn whoever_comes_back_is_the_same_person_whatever_they_are_called_now() {
    let street = Street::new().await;
    for (way, name) in PEOPLE {
        let first = street.sign_in(way, Person::called(name)).await.pair();
        let renamed = Person {
            login: "anna".to_owned(),
            email: Some("anna@elsewhere.example".to_owned()),
            ..Person::called(name)
        };
        let second = street.sign_in(way, renamed).await.pair();
        assert_ne!(first, second);
        assert_eq!(street.who(&first).await["id"], street.who(&second).await["id"], "{way}");
        // And whoever has taken over the name since is somebody else.
        let heir = Person {
            subject: format!("heir of {name}"),
            number: 1,
            ..Person::called(name).at(&format!("heir-of-{name}@example.com"))
        };
        let heir = street.sign_in(way, heir).await.pair();
        assert_ne!(street.who(&first).await["id"], street.who(&heir).await["id"], "{way}");
    }
}

#[tokio::test]
async fn providers_that_are_not_configured_are_a_501_or_not_there() {
    let house = House::empty("").await;
    for (path, detail) in [
        ("/auth/google", "Google OAuth2 not configured"),
        ("/api/auth/google/callback?code=a&state=b", "Google OAuth2 not configured"),
        ("/auth/github", "GitHub OAuth2 not configured"),
        ("/auth/github/callback", "GitHub OAuth2 not configured"),
    ] {
        house.ask(get(path)).await.is_problem(501, detail, "NOT_CONFIGURED");
    }
    for path in ["/auth/oidc/corp", "/auth/oidc/corp/callback?code=a&state=b", "/auth/oidc"] {
        house.ask(get(path)).await.is_problem(404, "Not Found", "NOT_FOUND");
    }
}

#[tokio::test]
async fn a_return_without_code_or_state_names_what_is_missing() {
    let street = Street::new().await;
    for (query, fields) in [
        ("", "query.code, query.state"),
        ("?code=a", "query.state"),
        ("?state=a", "query.code"),
        ("?code=&state=", "query.code, query.state"),
        ("?error=access_denied", "query.state"),
        ("?code=a&code=b&state=c", "query.code"),
        ("?code=a&state=b&iss=c&iss=d", "query.iss"),
    ] {
        let answer = street.house.ask(get(&format!("/auth/google/callback{query}"))).await;
        answer.is_problem(422, &format!("Validation error: {fields}"), "VALIDATION_ERROR");
    }
}

#[tokio::test]
async fn whoever_says_no_at_the_provider_is_told_so_plainly() {
    let street = Street::new().await;
    street.provider.deny();
    for way in WAYS {
        let browser = street.browser();
        let back = street.provider.visit(&browser.depart(way).await);
        let answer = browser.arrive(&back).await;
        answer.is_problem(400, "Sign-in was denied at the provider", "SIGN_IN_DENIED");
        assert!(!answer.text.contains("said no"), "{}", answer.text);
        let again = browser.arrive(&back).await;
        again.is_problem(400, "Invalid or expired state", "INVALID_STATE");
    }
}

#[tokio::test]
async fn absolute_urls_come_from_the_configuration_never_from_host() {
    let street = Street::with("[listen]\npublic_url = \"https://api.example.com\"\n").await;
    let mut request = get("/auth/google");
    for (name, value) in [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "host=evil.example;proto=http"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = street.house.ask(request).await;
    let redirect_uri = &query_of(&where_to(&answer))["redirect_uri"];
    assert_eq!(redirect_uri, "https://api.example.com/auth/google/callback");
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-doorward-flow="), "{cookie}");
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
}

#[tokio::test]
async fn a_configured_redirect_uri_goes_before_the_public_url() {
    let redirect = "redirect_uri = \"https://app.example/signed-in\"\n";
    let provider = test_support::identity_provider::IdentityProvider::start(0);
    let config = format!("[auth.oauth.github]\n{}{redirect}", provider.as_github());
    let house = House::empty(&config).await;
    let url = where_to(&house.ask(get("/auth/github")).await);
    assert_eq!(query_of(&url)["redirect_uri"], "https://app.example/signed-in");
}

#[tokio::test]
async fn names_are_free_and_plain_and_nobody_is_called_admin() {
    let street = Street::new().await;
    street.house.add(ann()).await;
    let name = async |nick: &str, number: u64| {
        let person = Person {
            subject: format!("s{number}"),
            number,
            email: Some(format!("{number}@example.com")),
            ..Person::called(nick)
        };
        let pair = street.sign_in("github", person).await.pair();
        street.who(&pair).await["username"].as_str().unwrap().to_owned()
    };
    assert_eq!(name("ann", 1).await, "ann-2");
    assert_eq!(name("Ann", 2).await, "ann-3");
    assert_eq!(name("admin", 3).await, "admin-2");
    assert_eq!(name("ann@example.com", 4).await, "annexample.com");
    assert_eq!(name(&"x".repeat(80), 5).await.len(), 37);
    for number in 10..30 {
        name("bob", number).await;
    }
    let last = name("bob", 30).await;
    assert!(last.starts_with("bob-") && last.len() == 16, "{last}");
}

#[tokio::test]
async fn an_address_that_is_missing_or_not_verified_is_not_taken_over() {
    let street = Street::new().await;
    for (way, name) in PEOPLE {
        let (nobodys, unverified) = (format!("{name}-one"), format!("{name}-two"));
        for (person, name) in [
            (Person { email: None, ..Person::called(&nobodys) }, nobodys),
            (Person::called(&unverified).unverified(), unverified),
        ] {
            let me = street.who(&street.sign_in(way, person).await.pair()).await;
            assert_eq!((&me["username"], &me["email"]), (&json!(name), &json!(null)), "{way}");
            assert_eq!(me["is_verified"], false, "{way}");
        }
    }
}

#[tokio::test]
async fn an_address_that_only_the_userinfo_endpoint_knows_is_asked_for() {
    let street = Street::new().await;
    street.provider.twist(Twist::NoEmail);
    let me = street.who(&street.sign_in("google", Person::called("ann")).await.pair()).await;
    assert_eq!(me["email"], "ann@example.com");
    assert_eq!(street.provider.seen("/userinfo"), 1);
}

#[tokio::test]
async fn somebody_disabled_is_refused_as_everywhere() {
    let street = Street::new().await;
    street.sign_in("google", Person::called("ann")).await.pair();
    street.house.api.users().disable("ann").await.unwrap();
    let answer = street.sign_in("google", Person::called("ann")).await;
    answer.is_problem(401, "Could not validate credentials", "INVALID_CREDENTIALS");
    street.house.api.users().enable("ann").await.unwrap();
    street.sign_in("google", Person::called("ann")).await.pair();
}

#[tokio::test]
async fn three_providers_side_by_side_know_one_person_each_unless_issuer_and_subject_agree() {
    let street = Street::new().await;
    let mut ids = std::collections::BTreeSet::new();
    for way in WAYS {
        let person = Person { email: None, ..Person::called("ann") };
        let pair = street.sign_in(way, person).await.pair();
        ids.insert(street.who(&pair).await["id"].as_str().unwrap().to_owned());
    }
    // `google` and `corp` are one issuer here; GitHub's numbers are another's.
    assert_eq!(ids.len(), 2);
}
