use std::time::Duration;

use http::Request;
use serde_json::json;
use test_support::identity_provider::IdentityProvider;
use test_support::identity_provider::Person;
use test_support::smtp::Manner;
use test_support::smtp::Smtp;

use crate::browser::*;
use crate::password::NEW;
use crate::password::confirm;
use crate::password::mail_at;
use crate::password::token;
use crate::support::*;

/// A street with `ann` of the house in it, whose address is known to be hers, or not.
async fn with_ann(verified: bool) -> Street {
    let street = Street::new().await;
    street.house.add(ann()).await;
    if verified {
        street.house.execute("UPDATE users SET is_verified = TRUE");
    }
    street
}

async fn unlink(street: &Street, id: &str, access: &str) -> Answer {
    let request = Request::delete(format!("/auth/accounts/{id}"));
    let request = request.body(axum::body::Body::empty()).unwrap();
    street.house.ask(bearer(request, access)).await
}

#[track_caller]
fn id_of(accounts: &serde_json::Value, index: usize) -> String {
    accounts["accounts"][index]["id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn is_conflict(answer: &Answer, detail: &str) {
    answer.is_problem(409, detail, "CONFLICT");
}

#[tokio::test]
async fn an_account_opened_in_anothers_name_does_not_get_its_owner() {
    // Somebody registers with the victim's address and waits for her to come by Google.
    let street = with_ann(false).await;
    let squatter = street.house.sign_in().await;
    for way in WAYS {
        let victim = street.sign_in(way, Person::called("ann")).await;
        is_conflict(
            &victim,
            "A user with this e-mail address exists. Sign in as that user and link this account.",
        );
        assert_eq!(accounts(&street, &squatter.access).await["accounts"], json!([]), "{way}");
        assert_eq!(street.people(), 1);
    }
}

#[tokio::test]
async fn an_address_that_the_provider_has_not_verified_opens_nobodys_account() {
    for way in WAYS {
        let street = with_ann(true).await;
        let ann = street.house.sign_in().await;
        let attacker = street.sign_in(way, Person::called("ann").unverified()).await.pair();
        let (ann, attacker) = (street.who(&ann).await, street.who(&attacker).await);
        assert_ne!(ann["id"], attacker["id"], "{way}");
        assert_eq!((&attacker["email"], &attacker["role"]), (&json!(null), &json!("user")));
    }
}

#[tokio::test]
async fn an_address_that_both_sides_have_verified_makes_two_people_one() {
    for way in WAYS {
        let street = with_ann(true).await;
        let local = street.house.sign_in().await;
        let by_provider = street.sign_in(way, Person::called("ann")).await.pair();
        assert_eq!(street.who(&local).await["id"], street.who(&by_provider).await["id"], "{way}");
        // From now on by issuer and subject alone.
        let moved = Person::called("ann").at("ann@elsewhere.example").unverified();
        let moved = street.sign_in(way, moved).await.pair();
        assert_eq!(street.who(&local).await["id"], street.who(&moved).await["id"], "{way}");
    }
}

#[tokio::test]
async fn an_account_linked_before_the_owner_had_shown_the_address_is_no_way_back_afterwards() {
    for verified in [false, true] {
        let server = Smtp::start(Manner::Polite).await;
        let street = Street::with(&mail_at(&server)).await;
        street.house.add(ann()).await;
        if verified {
            street.house.execute("UPDATE users SET is_verified = TRUE");
        }
        let whoever = street.house.sign_in().await;
        street.provider.seat(Person::called("mallory"));
        street.browser().link("google", &whoever.access).await.is_ok();
        let mailed = token(&street.house, &server, 1).await;
        assert_eq!(street.house.ask(confirm(&mailed, NEW)).await.status, 200);
        let owner = [("username", "ann"), ("password", NEW)];
        let owner = street.who(&street.house.ask(login(&owner)).await.pair()).await;
        let mallory = street.sign_in("google", Person::called("mallory")).await.pair();
        assert_eq!(owner["id"] == street.who(&mallory).await["id"], verified);
        let by_google = street.sign_in("google", Person::called("ann")).await.pair();
        assert_eq!(owner["id"], street.who(&by_google).await["id"], "both sides know it now");
    }
}

#[tokio::test]
async fn a_name_that_looks_like_anothers_address_is_not_their_account() {
    let street = Street::new().await;
    let squatter = admin_api::NewUser {
        username: "bob@example.com".to_owned(),
        email: Some("squatter@example.com".to_owned()),
        ..ann()
    };
    street.house.add(squatter).await;
    street.house.execute("UPDATE users SET is_verified = TRUE");
    let bob = street.who(&street.sign_in("google", Person::called("bob")).await.pair()).await;
    assert_eq!((&bob["username"], &bob["email"]), (&json!("bob"), &json!(null)));
}

#[tokio::test]
async fn a_disabled_user_is_not_brought_back_by_a_provider() {
    let street = with_ann(true).await;
    street.house.api.users().disable("ann").await.unwrap();
    let answer = street.sign_in("google", Person::called("ann")).await;
    answer.is_problem(401, "Could not validate credentials", "INVALID_CREDENTIALS");
    assert_eq!(street.people(), 1);
}

#[tokio::test]
async fn somebody_signed_in_links_an_account_and_comes_in_by_it() {
    let street = with_ann(false).await;
    let ann = street.house.sign_in().await;
    for (way, nick) in PEOPLE {
        let address = format!("{nick}@elsewhere.example");
        street.provider.seat(Person::called(nick).at(&address));
        let linked = street.browser().link(way, &ann.access).await;
        linked.is_ok();
        let account = linked.json();
        assert_eq!((account["provider"].as_str(), account.get("access_token")), (Some(way), None));
        assert_eq!(account["email"], address);
        let listed = accounts(&street, &ann.access).await;
        assert!(listed["accounts"].as_array().unwrap().contains(&account), "{listed}");
        assert_eq!(listed["has_password"], true);
        let by_provider = street.browser().sign_in(way).await.pair();
        assert_eq!(street.who(&ann).await["id"], street.who(&by_provider).await["id"], "{way}");
    }
}

#[tokio::test]
async fn whoever_links_must_be_signed_in() {
    let street = with_ann(false).await;
    let ask = |request| street.house.ask(request);
    let without = ask(get("/auth/google?link=1")).await;
    without.is_problem(401, "Not authenticated", "NOT_AUTHENTICATED");
    let bad = ask(bearer(get("/auth/google?link=1"), "a.b.c")).await;
    bad.is_problem(401, "Could not validate credentials", "INVALID_TOKEN");
    let ann = street.house.sign_in().await;
    street.house.ask(bearer(post("/auth/logout"), &ann.access)).await.is_ok();
    let over = ask(bearer(get("/auth/google?link=1"), &ann.access)).await;
    over.is_problem(401, "Could not validate credentials", "TOKEN_REVOKED");
}

#[tokio::test]
async fn an_account_is_not_linked_for_whoever_logged_out_meanwhile() {
    for everywhere in ["", "?all=true"] {
        let street = with_ann(false).await;
        let ann = street.house.sign_in().await;
        let browser = street.browser();
        let back = street.provider.visit(&browser.depart_to_link("google", &ann.access).await);
        let logout = post(&format!("/auth/logout{everywhere}"));
        street.house.ask(bearer(logout, &ann.access)).await.is_ok();
        let answer = browser.arrive(&back).await;
        answer.is_problem(400, "Invalid or expired state", "INVALID_STATE");
        assert_eq!(street.house.count("SELECT count(*) FROM oauth_accounts"), 0);
    }
}

#[tokio::test]
async fn an_account_is_linked_in_the_browser_that_asked_for_it_alone() {
    let street = with_ann(false).await;
    let ann = street.house.sign_in().await;
    let attacker = street.browser();
    let bait = street.provider.visit(&attacker.depart_to_link("google", &ann.access).await);
    let answer = street.browser().arrive(&bait).await;
    answer.is_problem(400, "Invalid or expired state", "INVALID_STATE");
}

#[tokio::test]
async fn an_account_is_one_persons_and_linking_it_twice_is_linking_it_once() {
    let street = with_ann(false).await;
    street.sign_in("google", Person::called("bob")).await.pair();
    let ann = street.house.sign_in().await;
    let taken = street.browser().link("google", &ann.access).await;
    is_conflict(&taken, "This account is linked to another user");
    street.provider.seat(Person::called("carol"));
    let once = street.browser().link("google", &ann.access).await;
    let twice = street.browser().link("google", &ann.access).await;
    assert_eq!(once.json()["id"], twice.json()["id"]);
    assert_eq!(accounts(&street, &ann.access).await["accounts"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn sixteen_accounts_are_the_most() {
    let street = with_ann(false).await;
    let ann = street.house.sign_in().await;
    for number in 0..16 {
        street.provider.seat(Person { number, ..Person::called("nick") });
        street.browser().link("github", &ann.access).await.is_ok();
    }
    street.provider.seat(Person { number: 16, ..Person::called("nick") });
    let answer = street.browser().link("github", &ann.access).await;
    is_conflict(&answer, "At most 16 accounts can be linked");
}

#[tokio::test]
async fn an_account_is_unlinked_but_never_the_last_way_in() {
    let street = Street::new().await;
    let person = street.sign_in("google", Person::called("ann")).await.pair();
    let last = "The last way to sign in cannot be removed";
    let google = id_of(&accounts(&street, &person.access).await, 0);
    is_conflict(&unlink(&street, &google, &person.access).await, last);
    street.provider.seat(Person::called("nick"));
    street.house.hand.forward(Duration::from_secs(1));
    street.browser().link("github", &person.access).await.is_ok();
    assert_eq!(unlink(&street, &google, &person.access).await.status, 204);
    assert_eq!(unlink(&street, &google, &person.access).await.status, 404);
    let left = accounts(&street, &person.access).await;
    assert_eq!(left["accounts"].as_array().unwrap().len(), 1);
    assert_eq!(left["accounts"][0]["provider"], "github");
    is_conflict(&unlink(&street, &id_of(&left, 0), &person.access).await, last);
}

#[tokio::test]
async fn with_a_password_every_account_may_go() {
    let street = with_ann(true).await;
    street.sign_in("google", Person::called("ann")).await.pair();
    let ann = street.house.sign_in().await;
    let google = id_of(&accounts(&street, &ann.access).await, 0);
    assert_eq!(unlink(&street, &google, &ann.access).await.status, 204);
    assert_eq!(accounts(&street, &ann.access).await["accounts"], json!([]));
}

#[tokio::test]
async fn an_account_of_a_provider_that_is_no_longer_configured_is_no_way_in() {
    let street = Street::new().await;
    let person = street.sign_in("google", Person::called("ann")).await.pair();
    street.browser().link("github", &person.access).await.is_ok();
    let gone =
        "UPDATE oauth_accounts SET issuer = 'https://gone.example' WHERE provider = 'github'";
    street.house.execute(gone);
    let listed = accounts(&street, &person.access).await;
    let of = |provider: &str| {
        let all = listed["accounts"].as_array().unwrap();
        let account = all.iter().find(|account| account["provider"] == provider).unwrap();
        account["id"].as_str().unwrap().to_owned()
    };
    let answer = unlink(&street, &of("google"), &person.access).await;
    is_conflict(&answer, "The last way to sign in cannot be removed");
    assert_eq!(unlink(&street, &of("github"), &person.access).await.status, 204);
}

#[tokio::test]
async fn two_who_unlink_the_last_two_accounts_at_once_leave_one() {
    let street = Street::new().await;
    let person = street.sign_in("google", Person::called("ann")).await.pair();
    street.browser().link("github", &person.access).await.is_ok();
    let listed = accounts(&street, &person.access).await;
    let (one, other) = (id_of(&listed, 0), id_of(&listed, 1));
    let (one, other) = tokio::join!(
        unlink(&street, &one, &person.access),
        unlink(&street, &other, &person.access)
    );
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409]);
}

#[tokio::test]
async fn nobody_sees_or_unlinks_anothers_accounts() {
    let street = with_ann(false).await;
    let bob = street.sign_in("google", Person::called("bob")).await.pair();
    let bobs = id_of(&accounts(&street, &bob.access).await, 0);
    let ann = street.house.sign_in().await;
    assert_eq!(accounts(&street, &ann.access).await["accounts"], json!([]));
    let answer = unlink(&street, &bobs, &ann.access).await;
    answer.is_problem(404, "Not Found", "NOT_FOUND");
    let nobody = street.house.ask(get("/auth/accounts")).await;
    nobody.is_problem(401, "Not authenticated", "NOT_AUTHENTICATED");
}

#[tokio::test]
async fn what_is_done_by_a_providers_word_is_in_the_audit_log() {
    let street = Street::new().await;
    let ann = street.sign_in("google", Person::called("ann")).await.pair();
    let google = id_of(&accounts(&street, &ann.access).await, 0);
    street.browser().link("github", &ann.access).await.is_ok();
    assert_eq!(unlink(&street, &google, &ann.access).await.status, 204);
    for (action, times) in [
        ("user.created", 1),
        ("account.linked", 2),
        ("sign_in.succeeded", 1),
        ("account.unlinked", 1),
    ] {
        let noted = format!(
            "SELECT count(*) FROM audit WHERE action = '{action}' AND outcome = 'success'
             AND actor_name = 'ann' AND target_name = 'ann' AND request_id IS NOT NULL"
        );
        assert_eq!(street.house.count(&noted), times, "{action}");
    }
    let ways = "SELECT count(*) FROM audit WHERE detail IN ('google', 'github')";
    assert_eq!(street.house.count(ways), 5);
}

#[tokio::test]
async fn whoever_comes_from_a_provider_and_is_not_let_in_is_in_the_audit_log() {
    let street = with_ann(true).await;
    let noted = async |action: &str, rest: &str| {
        let noted = format!(
            "SELECT count(*) FROM audit WHERE action = '{action}' AND outcome = 'failure'
             AND detail = 'google' AND request_id IS NOT NULL AND actor_id IS NULL AND {rest}"
        );
        // They are written by a task of its own.
        while street.house.count(&noted) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(street.house.count(&noted), 1);
    };
    let ann = street.house.sign_in().await;
    street.sign_in("google", Person::called("bob")).await.pair();
    is_conflict(
        &street.browser().link("google", &ann.access).await,
        "This account is linked to another user",
    );
    let id = street.who(&ann).await["id"].as_str().unwrap().to_owned();
    noted("account.link_failed", &format!("target_id = '{id}'")).await;
    street.house.api.users().disable("ann").await.unwrap();
    assert_eq!(street.sign_in("google", Person::called("ann")).await.status, 401);
    noted("sign_in.failed", "target_id IS NULL").await;
    // Of a return that nobody set out for, anybody could make as many as they like.
    street.house.ask(get("/auth/google/callback?state=x&code=y")).await;
    let all = "SELECT count(*) FROM audit WHERE outcome = 'failure'";
    assert_eq!(street.house.count(all), 2);
}

#[tokio::test]
async fn a_subject_at_one_issuer_is_not_the_same_subject_at_another() {
    let other = IdentityProvider::start(Hand::new().now().as_secs());
    let more = format!("[auth.oauth.oidc.other]\n{}", other.as_oidc());
    let street = Street::with(&more).await;
    let ann = Person { email: None, ..Person::called("ann") };
    let first = street.sign_in("oidc/corp", ann.clone()).await.pair();
    other.seat(ann);
    let browser = street.browser();
    let back = other.visit(&browser.depart("oidc/other").await);
    let second = browser.arrive(&back).await.pair();
    assert_ne!(street.who(&first).await["id"], street.who(&second).await["id"]);
}

#[tokio::test]
async fn a_token_alone_opens_no_other_way_in() {
    let street = with_ann(true).await;
    let refused = async |access: &str| {
        let answer = street.house.ask(bearer(get("/auth/google?link=1"), access)).await;
        answer.is_problem(403, "Sign in again before linking an account", "FORBIDDEN");
    };
    // One that carries less than its session may.
    let whole = street.house.sign_in().await;
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &whole.refresh),
        ("scope", "orders:read"),
    ];
    let narrow = street.house.ask(form("/auth/oauth/token", &fields)).await.pair();
    refused(&narrow.access).await;
    // One of no session.
    let minted = street.house.api.mint_access(admin_api::Mint {
        username: "ann".to_owned(),
        tier: None,
        scopes: None,
        ttl: Duration::from_secs(60),
    });
    refused(minted.await.unwrap().expose()).await;
    // One of a session that began ten minutes ago, and a moment less.
    let old = street.house.sign_in().await;
    street.house.hand.forward(Duration::from_secs(600));
    street.house.ask(bearer(get("/auth/google?link=1"), &old.access)).await.is_ok();
    street.house.hand.forward(Duration::from_millis(1));
    refused(&old.access).await;
}
