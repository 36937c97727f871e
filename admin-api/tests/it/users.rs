use admin_api::NewUser;
use admin_api::UserFilter;
use kernel::secret::Secret;

use crate::support::*;

async fn check(new: NewUser, expected: &str) {
    let house = House::with_ann().await;
    let error = house.api.users().create(new).await.unwrap_err();
    assert!(error.to_string().contains(expected), "{error}");
}

fn named(username: &str) -> NewUser {
    NewUser { email: None, username: username.to_owned(), ..ann() }
}

#[tokio::test]
async fn a_name_or_address_is_taken_once_across_both() {
    check(named("ann"), "`ann` is taken").await;
    check(named("ann@example.com"), "`ann@example.com` is taken").await;
    let email = Some("ann@example.com".to_owned());
    check(NewUser { email, ..named("bob") }, "`ann@example.com` is taken").await;
}

#[tokio::test]
async fn a_user_name_has_1_to_50_characters_and_no_odd_ones() {
    for name in ["", " ann", "ann ", "a\nb", "a\0b", &"ü".repeat(51)] {
        check(named(name), "is no user name").await;
    }
    let house = House::empty("").await;
    house.add(named(&"ü".repeat(50))).await;
}

#[tokio::test]
async fn an_address_without_both_sides_is_none() {
    for email in ["@b", "a@", "ab", "a b@c", &format!("{}@b", "a".repeat(254))] {
        let email = Some(email.to_owned());
        check(NewUser { email, ..named("bob") }, "is no e-mail address").await;
    }
    let house = House::empty("").await;
    let longest = Some(format!("{}@b", "a".repeat(253)));
    house.add(NewUser { email: longest, ..named("bob") }).await;
}

#[tokio::test]
async fn a_password_of_8_characters_is_the_shortest() {
    let with = |password: &str| NewUser { password: Secret::new(password), ..named("bob") };
    check(with("xk7!qa9"), "the password has 7 characters; use at least 8").await;
    check(with(&"a".repeat(1025)), "at most 1024 bytes").await;
    let house = House::empty("").await;
    house.add(with("xk7!qa9z")).await;
}

#[tokio::test]
async fn a_password_that_is_tried_first_cannot_be_set() {
    let with = |password: &str| NewUser { password: Secret::new(password), ..named("bob") };
    check(with("12345678"), "one of those that are tried first").await;
    check(with("bob-2026-11"), "user name").await;
}

#[tokio::test]
async fn an_unknown_tier_or_role_is_refused_with_those_there_are() {
    let unknown = NewUser { tier: tier("gold"), ..named("bob") };
    check(unknown, "no tier `gold`; there are `admin`, `free`, `premium`").await;
    let unknown = NewUser { role: "king".to_owned(), ..named("bob") };
    check(unknown, "no role `king`; there are `admin`, `editor`, `user`").await;
    let scopes = vec!["a b".to_owned()];
    check(NewUser { scopes, ..named("bob") }, "`a b` cannot be added as a scope").await;
}

#[tokio::test]
async fn acts_on_nobody_are_refused_by_name() {
    let house = House::with_ann().await;
    let users = house.api.users();
    let error = users.disable("nobody").await.unwrap_err();
    assert_eq!(error.to_string(), "no user `nobody`");
    let error = users.set_tier("ann", tier("gold")).await.unwrap_err();
    assert!(error.to_string().starts_with("no tier `gold`"), "{error}");
}

#[tokio::test]
async fn people_are_listed_by_name_page_by_page() {
    let house = House::with_ann().await;
    for name in ["cat", "bob"] {
        house.add(named(name)).await;
    }
    let names = async |after: &str, limit| -> Vec<String> {
        let list = house
            .api
            .users()
            .list(UserFilter { after: after.to_owned(), ..UserFilter::default() }, limit)
            .await
            .unwrap();
        list.into_iter().map(|user| user.username).collect()
    };
    assert_eq!(names("", 2).await, ["ann", "bob"]);
    assert_eq!(names("bob", 2).await, ["cat"]);
    assert_eq!(house.count("SELECT count(*) FROM users"), 3);
}

#[tokio::test]
async fn disabling_twice_or_setting_the_same_tier_revokes_nothing_more() {
    let house = House::with_ann().await;
    let users = house.api.users();
    users.set_tier("ann", tier("free")).await.unwrap();
    assert_eq!(house.count("SELECT seq FROM revocation_log"), 0);
    users.disable("ann").await.unwrap();
    let seq = house.count("SELECT seq FROM revocation_log");
    users.disable("ann").await.unwrap();
    assert_eq!(house.count("SELECT seq FROM revocation_log"), seq);
}

#[tokio::test]
async fn an_act_and_its_revocations_are_one_transaction() {
    let house = House::with_ann().await;
    house.execute("DROP TABLE revocations");
    house.api.users().disable("ann").await.unwrap_err();
    let ann = house.api.users().by_username("ann").await.unwrap().unwrap();
    assert!(ann.is_active);
    assert_eq!(ann.epoch, 0);
}

#[tokio::test]
async fn a_user_with_as_many_scopes_as_a_token_carries_comes_in_and_more_are_refused() {
    let of = |bytes: usize| -> Vec<String> {
        // The role's own two have 23.
        let rest = kernel::claims::SCOPES_BYTES_MAX - 23 - 6 * 200;
        let mut scopes: Vec<_> = (0..6).map(|i| format!("{i:0>200}")).collect();
        scopes.extend(["x".repeat(rest - 100), "y".repeat(100 + bytes)]);
        scopes
    };
    check(NewUser { scopes: of(1), ..named("bob") }, "too many scopes").await;
    let house = House::empty("").await;
    house.add(NewUser { scopes: of(0), ..ann() }).await;
    let pair = house.sign_in().await;
    house.me(&pair.access).await.is_ok();
}

#[tokio::test]
async fn a_password_that_is_set_for_somebody_ends_what_the_old_one_began() {
    let house = House::with_ann().await;
    let before = house.sign_in().await;
    let new = "seven lanterns on the quay";
    let who = admin_api::Who::Name("ann".to_owned());
    let set = |password: &str| house.api.users().set_password(who.clone(), Secret::new(password));
    assert!(set("12345678").await.unwrap_err().to_string().contains("tried first"));
    house.me(&before.access).await.is_ok();
    let user = set(new).await.unwrap();
    assert_eq!((user.username.as_str(), user.version), ("ann", 1));
    assert_eq!(house.me(&before.access).await.status, 401);
    house.refresh(&before.refresh).await.is_invalid_refresh();
    let old = house.ask(login(&[("username", "ann"), ("password", PASSWORD)])).await;
    assert_eq!(old.status, 401);
    house.ask(login(&[("username", "ann"), ("password", new)])).await.pair();
    assert_eq!(house.count("SELECT count(*) FROM audit WHERE action = 'password.set'"), 1);
    let nobody = admin_api::Who::Name("nobody".to_owned());
    let error = house.api.users().set_password(nobody, Secret::new(new)).await.unwrap_err();
    assert_eq!(error.to_string(), "no user `nobody`");
}
