//! People whose passwords another system hashed.

use crate::support::*;

/// Made by passlib 1.7.4 and bcrypt 4.0.1 of [`PASSWORD`].
const HASHES: [&str; 5] = [
    "$2b$04$4F281jDUMLKuRHzOT2XvO.8REmmq8R6XIYZh0QYOzOU6j72mtdcV6",
    "$2a$04$b8Ksw4dfTNvow7VAa3hIBuNoJH7W/CbmatWIUo1L.W2hX1tmG.fMu",
    "$2y$04$Gobdc1hEiNgkEpEPz.9CT./TMb0MeVhONC8bx3LUrLr8jeZofpNme",
    "$bcrypt-sha256$v=2,t=2b,r=4$fb/rUo3.Evu.z12H/yWwFe$kiF7.X5.1opHImaE5atdySjuKqhcKPu",
    "$bcrypt-sha256$2b,4$PHVT94QTkpcS14qFG9hFq.$P04m2qZgIEid8diHmoehsDREU5mt09i",
];

fn has_hash(house: &House, username: &str, hash: &str) {
    house.execute(&format!(
        "UPDATE users SET hashed_password = '{hash}' WHERE username = '{username}'"
    ));
}

/// Tries a wrong password; gives how many hashes that took.
pub(crate) async fn wrong(api: &admin_api::AdminApi, name: &str) -> u64 {
    let before = api.passwords_hashed();
    let answer = ask(api, login(&[("username", name), ("password", "wrong")])).await;
    assert_eq!(answer.status, 401);
    api.passwords_hashed() - before
}

#[tokio::test]
async fn a_hash_of_the_replaced_system_signs_in_and_is_one_of_ours_afterwards() {
    let house = House::with_ann().await;
    let ours = "SELECT count(*) FROM users WHERE hashed_password LIKE '$argon2id$v=19$m=19456%'";
    for hash in HASHES {
        has_hash(&house, "ann", hash);
        assert_eq!(house.count(ours), 0);
        house.sign_in().await;
        assert_eq!(house.count(ours), 1, "{hash}");
        house.sign_in().await;
    }
}

#[tokio::test]
async fn nobody_is_told_from_a_person_of_the_replaced_system_by_the_work() {
    let house = House::with_ann().await;
    house.add(admin_api::NewUser { email: None, username: "bob".to_owned(), ..ann() }).await;
    has_hash(&house, "bob", HASHES[0]);
    // The kinds are looked at when the house opens.
    let again = house.open_again().await;
    for name in ["nobody", "ann", "bob"] {
        assert_eq!(wrong(&again, name).await, 2, "{name}");
    }
    // Here nobody told of bob's: the first attempt on him does.
    assert_eq!(wrong(&house.api, "nobody").await, 1);
    assert_eq!(wrong(&house.api, "bob").await, 2);
    assert_eq!(wrong(&house.api, "nobody").await, 2);
}

#[tokio::test]
async fn each_kind_and_price_is_found_and_each_but_once() {
    let house = House::with_ann().await;
    let bcrypt = "4F281jDUMLKuRHzOT2XvO.8REmmq8R6XIYZh0QYOzOU6j72mtdcV6";
    for (i, hash) in [
        HASHES[0].to_owned(),
        HASHES[3].to_owned(),
        HASHES[4].to_owned(),
        format!("$2b$05${bcrypt}"),
        format!("$2b$06${bcrypt}"),
        format!("$2b$31${bcrypt}"),
        "no hash".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let username = format!("u{i}");
        let new = admin_api::NewUser { email: None, username: username.clone(), ..ann() };
        house.add(new).await;
        has_hash(&house, &username, hash);
    }
    // Ours, and bcrypt of cost 4, 5 and 6; the others cannot be checked at all.
    assert_eq!(wrong(&house.open_again().await, "nobody").await, 4);
}

#[tokio::test]
async fn a_hash_made_to_hang_the_house_is_nobodys() {
    let house = House::with_ann().await;
    for hash in [
        "$2b$31$4F281jDUMLKuRHzOT2XvO.8REmmq8R6XIYZh0QYOzOU6j72mtdcV6",
        "$argon2id$v=19$m=4194304,t=1000,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
    ] {
        has_hash(&house, "ann", hash);
        assert_eq!(wrong(&house.open_again().await, "ann").await, 1, "{hash}");
    }
}

#[tokio::test]
async fn many_sign_ins_at_once_of_somebody_taken_over_all_come_in() {
    let house = House::with_ann().await;
    has_hash(&house, "ann", HASHES[0]);
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let router = house.api.router();
        racing.spawn(async move {
            use tower::ServiceExt;
            let request = login(&[("username", "ann"), ("password", PASSWORD)]);
            router.oneshot(request).await.unwrap().status().as_u16()
        });
    }
    assert_eq!(racing.join_all().await, [200; 8]);
}
