//! What only a look inside can bring about: threads that are busy.

use std::sync::mpsc::channel;

use axum::body::Body;
use axum::body::to_bytes;
use http::Request;
use http::StatusCode;
use kernel::keys::Key;
use kernel::keys::SigningKey;
use tower::ServiceExt;

use super::*;

async fn open(more: &str) -> AdminApi {
    let mut config = config::parse("test", &format!("environment = \"dev\"\n{more}"), &|_| None)
        .unwrap_or_else(|faults| panic!("{faults}"));
    config.database = config::Database::SqliteMemory;
    let key = SigningKey::hs256("test", &Secret::new("k".repeat(32))).unwrap();
    let keys = KeyRing::new(vec![Key::Signing(Box::new(key))]).unwrap();
    AdminApi::open(&config, Arc::new(keys), Clock::wall()).await.unwrap()
}

async fn ask(api: &AdminApi, request: Request<Body>) -> (StatusCode, String) {
    let response = api.router().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn login() -> Request<Body> {
    Request::post("/auth/login")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("username=ann&password=whatever"))
        .unwrap()
}

#[tokio::test]
async fn a_full_hashing_queue_is_a_503_that_says_when_to_come_back() {
    let api = open("[auth.hashing]\nthreads = 1\nqueue_max = 1").await;
    let (gate, closed) = channel();
    let (gate_too, closed_too) = channel();
    let desk = Arc::clone(&api.desk);
    let busy = tokio::spawn(async move { desk.passwords.occupy(closed).await });
    // One of the two is hashing, the other waits: the queue is full as soon as neither is refused.
    let desk = Arc::clone(&api.desk);
    let mut waiting = Some(closed_too);
    let waits = tokio::spawn(async move {
        let until = waiting.take().unwrap();
        desk.passwords.occupy(until).await;
    });
    let (status, body) = loop {
        let answered =
            tokio::time::timeout(std::time::Duration::from_millis(200), ask(&api, login()));
        match answered.await {
            Ok((StatusCode::SERVICE_UNAVAILABLE, body)) => break (503, body),
            _ => tokio::task::yield_now().await,
        }
    };
    assert_eq!(status, 503);
    assert!(body.contains(r#""error_code":"SERVICE_UNAVAILABLE""#), "{body}");
    drop((gate, gate_too));
    busy.await.unwrap();
    waits.await.unwrap();
    assert_eq!(ask(&api, login()).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_database_that_hangs_is_unhealthy_after_two_seconds() {
    let api = open("").await;
    let (gate, closed) = channel::<()>();
    let (begun, begins) = tokio::sync::oneshot::channel();
    let database = api.desk.database.clone();
    let hung = tokio::spawn(async move {
        database
            .read(move |_| {
                let _ = begun.send(());
                let _ = closed.recv();
                Ok(())
            })
            .await
    });
    begins.await.unwrap();
    let request = Request::get("/monitoring/health?strict=1");
    let (status, body) = ask(&api, request.body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("Database did not answer in time"), "{body}");
    drop(gate);
    hung.await.unwrap().unwrap();
}
