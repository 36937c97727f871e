use std::sync::Arc;
use std::time::Duration;

use kernel::revocation::RevocationError;
use kernel::revocation::RevocationSet;
use kernel::revocation::follower::Follower;
use kernel::token::Profile;
use kernel::token::verify;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::*;

/// An edge that follows the house.
struct Edge {
    set: Arc<RevocationSet>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Edge {
    async fn of(house: &House) -> Self {
        let set = Arc::new(RevocationSet::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let (api, followed) = (Arc::clone(&house.api), Arc::clone(&set));
        let task = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            api.tail_revocations(Follower::new(followed), shutdown).await;
        });
        let edge = Self { set, stop, task };
        edge.until(|edge| edge.set.is_ready()).await;
        edge
    }

    fn takes(&self, house: &House, token: &str) -> bool {
        match self.set.check(verified(house, token)) {
            Ok(_) => true,
            Err(RevocationError::Revoked) => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn tier(&self, house: &House, token: &str) -> String {
        let caller = self.set.check(verified(house, token)).unwrap();
        caller.tier().unwrap().to_owned()
    }

    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            while !holds(self) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), wait).await.expect("seen within five seconds");
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

fn verified(house: &House, token: &str) -> kernel::token::InForce {
    let profile = Profile {
        issuer: "doorward".into(),
        audience: None,
        leeway: Duration::ZERO,
        lifetime_max: Duration::from_secs(24 * 60 * 60),
        accept_legacy: false,
    };
    let now = house.hand.now();
    Arc::new(verify(token, &keys().ring(), &profile, now).unwrap()).in_force(&profile, now).unwrap()
}

#[tokio::test]
async fn whoever_is_told_logged_out_is_refused_from_then_on() {
    let house = House::with_ann().await;
    let edge = Edge::of(&house).await;
    for path in ["/auth/logout", "/auth/logout?all=true"] {
        let pair = house.sign_in().await;
        assert!(edge.takes(&house, &pair.access));
        house.ask(bearer(post(path), &pair.access)).await.is_ok();
        assert!(!edge.takes(&house, &pair.access), "{path}");
    }
    edge.stop().await;
}

#[tokio::test]
async fn a_snapshot_holds_what_was_revoked_before() {
    let house = House::with_ann().await;
    let (gone, kept) = (house.sign_in().await, house.sign_in().await);
    house.ask(bearer(post("/auth/logout"), &gone.access)).await.is_ok();
    let edge = Edge::of(&house).await;
    assert!(!edge.takes(&house, &gone.access));
    assert!(edge.takes(&house, &kept.access));
    edge.stop().await;
}

#[tokio::test]
async fn an_act_of_another_process_is_seen() {
    let house = House::with_ann().await;
    let edge = Edge::of(&house).await;
    let pair = house.sign_in().await;
    let command_line = house.open_again().await;
    command_line.users().set_tier("ann", tier("premium")).await.unwrap();
    edge.until(|edge| edge.tier(&house, &pair.access) == "premium").await;
    command_line.users().disable("ann").await.unwrap();
    edge.until(|edge| !edge.takes(&house, &pair.access)).await;
    command_line.users().enable("ann").await.unwrap();
    let anew = house.sign_in().await;
    edge.until(|edge| edge.takes(&house, &anew.access)).await;
    assert!(!edge.takes(&house, &pair.access));
    edge.stop().await;
}

#[tokio::test]
async fn a_refresh_token_used_twice_ends_the_session_at_the_edge() {
    let house = House::with_ann().await;
    let edge = Edge::of(&house).await;
    let first = house.sign_in().await;
    let second = house.refresh(&first.refresh).await.pair();
    house.hand.forward(Duration::from_secs(11));
    house.refresh(&first.refresh).await.is_invalid_refresh();
    assert!(!edge.takes(&house, &first.access));
    assert!(!edge.takes(&house, &second.access));
    edge.stop().await;
}

#[tokio::test]
async fn a_log_of_thousands_of_rows_arrives_whole() {
    let house = House::with_ann().await;
    let last = house.sign_in().await;
    let until = house.hand.now().as_millis() + 60_000;
    let row = |seq| {
        format!(r#"({seq}, 0, {until}, '{{"kind":"session","id":"s{seq}","until":{until}}}')"#)
    };
    let rows = (1..=2500).map(row).collect::<Vec<_>>().join(", ");
    house.execute(&format!(
        "INSERT INTO revocations (seq, at, until, entry) VALUES {rows};
         UPDATE revocation_log SET seq = 2500"
    ));
    house.ask(bearer(post("/auth/logout"), &last.access)).await.is_ok();
    let edge = Edge::of(&house).await;
    assert_eq!(edge.set.len(), 2501);
    assert_eq!(edge.set.applied(), 2501);
    assert!(!edge.takes(&house, &last.access));
    edge.stop().await;
}

#[tokio::test]
async fn a_restored_backup_is_read_from_the_beginning() {
    let house = House::with_ann().await;
    let edge = Edge::of(&house).await;
    let (one, two) = (house.sign_in().await, house.sign_in().await);
    house.ask(bearer(post("/auth/logout"), &one.access)).await.is_ok();
    // As if another history, in which the second session was revoked first, took its place.
    let sid = claims(&two.access)["sid"].as_str().unwrap().to_owned();
    let until = house.hand.now().as_millis() + 60_000;
    let entry = format!(r#"{{"kind":"session","id":"{sid}","until":{until}}}"#);
    house.execute(&format!(
        "UPDATE revocations SET entry = '{entry}' WHERE seq = 1;
         UPDATE revocation_log SET log_id = 'another'"
    ));
    edge.until(|edge| !edge.takes(&house, &two.access)).await;
    assert!(!edge.takes(&house, &one.access), "nothing is ever un-revoked");
    edge.stop().await;
}

#[tokio::test]
async fn numbers_have_no_gaps_whoever_writes() {
    let house = House::with_ann().await;
    let other = Arc::new(house.open_again().await);
    let mut acts = Vec::new();
    for i in 0..20 {
        let pair = house.sign_in().await;
        let api = if i % 2 == 0 { Arc::clone(&house.api) } else { Arc::clone(&other) };
        let request = bearer(post("/auth/logout"), &pair.access);
        acts.push(tokio::spawn(async move { ask(&api, request).await.is_ok() }));
    }
    for act in acts {
        act.await.unwrap();
    }
    assert_eq!(house.count("SELECT seq FROM revocation_log"), 20);
    assert_eq!(house.count("SELECT count(*) FROM revocations"), 20);
    assert_eq!(house.count("SELECT max(seq) FROM revocations"), 20);
}
