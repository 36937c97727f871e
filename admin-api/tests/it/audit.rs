use http::StatusCode;
use serde_json::Value;
use serde_json::json;

use crate::support::*;

async fn acts(house: &House, access: &str, query: &str) -> Vec<Value> {
    let answer = house.manage(bearer(get(&format!("/auth/audit?{query}")), access)).await;
    answer.is_ok();
    answer.json()["acts"].as_array().unwrap().clone()
}

fn named(acts: &[Value]) -> Vec<&str> {
    acts.iter().map(|act| act["action"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_people_do_is_noted_with_who_whom_and_which_request() {
    let house = House::with_ann().await;
    let root = house.root().await;
    let sign_in =
        with_header(login(&[("username", "ann"), ("password", PASSWORD)]), "x-request-id", "r-17");
    let sign_in = with_header(sign_in, kernel::front::CLIENT_ADDRESS, "203.0.113.9");
    let pair = house.ask(sign_in).await.pair();
    house.ask(bearer(post("/auth/logout"), &pair.access)).await.is_ok();
    let all = acts(&house, &root.access, "").await;
    let newest_first =
        ["logout", "sign_in.succeeded", "sign_in.succeeded", "user.created", "user.created"];
    assert_eq!(named(&all), newest_first);
    let (sign_in, created) = (&all[1], &all[4]);
    assert_eq!(sign_in["actor_name"], "ann");
    assert_eq!(sign_in["actor_id"], sign_in["target_id"]);
    assert_eq!(
        (&sign_in["request_id"], &sign_in["client"]),
        (&json!("r-17"), &json!("203.0.113.9"))
    );
    assert_eq!(sign_in["outcome"], "success");
    assert_eq!(
        (&created["actor_name"], &created["actor_id"]),
        (&json!("command line"), &Value::Null)
    );
}

#[tokio::test]
async fn a_sign_in_that_failed_is_noted_alike_whoever_it_was() {
    let house = House::with_ann().await;
    let root = house.root().await;
    for name in ["ann", "nobody", &"x".repeat(100)] {
        let answer = house.ask(login(&[("username", name), ("password", "wrong")])).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    let query = "action=sign_in.failed";
    // They are written by a task of its own.
    let failed = loop {
        let failed = acts(&house, &root.access, query).await;
        if failed.len() == 3 {
            break failed;
        }
        tokio::task::yield_now().await;
    };
    let names: Vec<_> = failed.iter().map(|act| act["target_name"].as_str().unwrap()).collect();
    assert_eq!(names, [&"x".repeat(64), "nobody", "ann"]);
    for act in &failed {
        assert_eq!(act["outcome"], "failure");
        assert_eq!((&act["actor_id"], &act["target_id"]), (&Value::Null, &Value::Null));
        assert!(act["request_id"].is_string());
    }
}

#[tokio::test]
async fn a_refresh_token_used_twice_is_noted_as_a_failure() {
    let house = House::with_ann().await;
    let root = house.root().await;
    let first = house.sign_in().await;
    house.refresh(&first.refresh).await.pair();
    house.hand.forward(std::time::Duration::from_secs(11));
    house.refresh(&first.refresh).await.is_invalid_refresh();
    let reused = acts(&house, &root.access, "action=refresh.reused").await;
    assert_eq!((reused.len(), &reused[0]["outcome"]), (1, &json!("failure")));
    assert_eq!(reused[0]["detail"], claims(&first.access)["sid"]);
}

#[tokio::test]
async fn the_log_is_read_page_by_page_and_by_whom_it_concerns() {
    let house = House::with_ann().await;
    let root = house.root().await;
    for _ in 0..3 {
        house.sign_in().await;
    }
    let page = house.manage(bearer(get("/auth/audit?limit=4"), &root.access)).await.json();
    assert_eq!(page["acts"].as_array().unwrap().len(), 4);
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = acts(&house, &root.access, &format!("limit=4&cursor={cursor}")).await;
    assert_eq!(named(&rest), ["user.created", "user.created"]);
    let ann = house.api.users().by_username("ann").await.unwrap().unwrap().id;
    assert_eq!(acts(&house, &root.access, &format!("actor_id={ann}")).await.len(), 3);
    assert_eq!(acts(&house, &root.access, &format!("target_id={ann}")).await.len(), 4);
}

#[tokio::test]
async fn the_log_can_be_added_to_and_not_be_changed() {
    let house = House::with_ann().await;
    assert!(house.place.try_execute("UPDATE audit SET actor_name = 'somebody else'").is_err());
    assert_eq!(house.count("SELECT count(*) FROM audit WHERE actor_name = 'somebody else'"), 0);
}

#[tokio::test]
async fn nothing_is_changed_without_its_note() {
    let house = House::with_ann().await;
    house.execute("ALTER TABLE audit RENAME TO gone");
    house.api.users().disable("ann").await.unwrap_err();
    house.execute("ALTER TABLE gone RENAME TO audit");
    house.sign_in().await;
}

#[tokio::test]
async fn what_is_done_to_a_password_or_a_token_is_noted() {
    let house = House::with_ann().await;
    let root = house.root().await;
    let change = async |current: &str, access: &str| {
        let body = json!({ "current_password": current, "new_password": "nine-swans-on-the-lake" });
        let request = with_json("POST", "/auth/password", &body);
        house.ask(bearer(request, access)).await
    };
    let ann = house.sign_in().await;
    assert_eq!(change("wrong", &ann.access).await.status, StatusCode::FORBIDDEN);
    let ann = change(PASSWORD, &ann.access).await.pair();
    let revoke = form("/auth/oauth/revoke", &[("token", &ann.access)]);
    house.ask(revoke).await.is_ok();
    for (action, outcome, actor) in [
        ("password.change_failed", "failure", json!("ann")),
        ("password.changed", "success", json!("ann")),
        ("token.revoked", "success", Value::Null),
    ] {
        let query = format!("action={action}");
        let noted = loop {
            // Failures are written by a task of its own.
            if let Some(act) = acts(&house, &root.access, &query).await.into_iter().next() {
                break act;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(
            (&noted["outcome"], &noted["actor_name"]),
            (&json!(outcome), &actor),
            "{action}"
        );
    }
}

#[tokio::test]
async fn what_changes_nothing_is_not_noted() {
    let house = House::with_ann().await;
    let root = house.root().await;
    let ann = house.sign_in().await;
    for _ in 0..2 {
        house.ask(bearer(post("/auth/logout"), &ann.access)).await.is_ok();
        house.ask(form("/auth/oauth/revoke", &[("token", &ann.refresh)])).await.is_ok();
    }
    assert_eq!(acts(&house, &root.access, "action=logout").await.len(), 1);
    assert_eq!(acts(&house, &root.access, "action=token.revoked").await.len(), 0);
}
