//! What only a look inside can bring about: busy threads, a moving clock, rows of long ago.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;

use axum::body::Body;
use axum::body::to_bytes;
use http::Request;
use http::StatusCode;
use kernel::keys::Key;
use kernel::keys::KeyRing;
use kernel::keys::SigningKey;
use kernel::time::Timestamp;
use tower::ServiceExt;

use super::*;
use crate::http::serve::AUDIT_KEPT_FOR;
use crate::http::serve::BATCH_ROWS;
use crate::http::serve::sweep;
use crate::store::sql::Sql;
use crate::store::sql::Tx;
use crate::store::values::params;

async fn open(more: &str) -> AdminApi {
    open_at(more, Clock::wall()).await
}

async fn open_at(more: &str, clock: Clock) -> AdminApi {
    let mut config = config::parse("test", &format!("environment = \"dev\"\n{more}"), &|_| None)
        .unwrap_or_else(|faults| panic!("{faults}"));
    config.database = config::Database::SqliteMemory;
    let key = SigningKey::hs256("test", &Secret::new("k".repeat(32))).unwrap();
    let keys = KeyRing::new(vec![Key::Signing(Box::new(key))]).unwrap();
    AdminApi::open(&config, Arc::new(LiveKeys::new(keys)), clock).await.unwrap()
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
    let (begun, begins) = tokio::sync::oneshot::channel();
    let desk = Arc::clone(&api.desk);
    let busy = tokio::spawn(async move { desk.passwords.occupy(begun, closed).await });
    begins.await.unwrap();
    // The thread is busy, and there is one place before it: of two who ask, one waits there.
    let (mut one, mut other) = (Box::pin(ask(&api, login())), Box::pin(ask(&api, login())));
    let ((status, body), waits) = tokio::select! {
        answer = &mut one => (answer, other),
        answer = &mut other => (answer, one),
    };
    assert_eq!(status, 503);
    assert!(body.contains(r#""error_code":"SERVICE_UNAVAILABLE""#), "{body}");
    drop(gate);
    busy.await.unwrap();
    assert_eq!(waits.await.0, StatusCode::UNAUTHORIZED);
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
    let (status, body, took) = health(&api).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("Database did not answer in time"), "{body}");
    assert_eq!(took.as_secs(), 2);
    drop(gate);
    hung.await.unwrap().unwrap();
}

/// How it is, and how long the answer took.
async fn health(api: &AdminApi) -> (StatusCode, String, Duration) {
    let asked_at = tokio::time::Instant::now();
    let request = Request::get("/monitoring/health?strict=1").body(Body::empty()).unwrap();
    let (status, body) = ask(api, request).await;
    (status, body, asked_at.elapsed())
}

#[tokio::test]
async fn whoever_waited_for_a_slow_look_at_the_health_does_not_look_again() {
    // A look takes two seconds; the next one who asks comes half a second after its end.
    let readings_ms = [0, 2000, 2500];
    let read = AtomicU64::new(0);
    let now = move || {
        let reading = read.fetch_add(1, Ordering::SeqCst) as usize;
        // The first is that of the start.
        let ms = readings_ms[reading.saturating_sub(1).min(readings_ms.len() - 1)];
        Timestamp::from_secs(1_800_000_000).plus(Duration::from_millis(ms))
    };
    let api = open_at("", Clock::new(now)).await;
    let health = async || {
        let request = Request::get("/monitoring/health?strict=1").body(Body::empty()).unwrap();
        ask(&api, request).await.0
    };
    assert_eq!(health().await, StatusCode::OK);
    let drop = |tx: &Tx<'_>| tx.batch("DROP TABLE revocation_log");
    api.desk.database.write(drop).await.unwrap();
    assert_eq!(health().await, StatusCode::OK, "that of half a second ago");
}

#[tokio::test]
async fn rows_of_long_ago_are_deleted_however_many_they_are_and_others_stay() {
    let api = open("").await;
    let fill = |tx: &Tx<'_>| {
        let now_ms = kernel::time::now().as_millis();
        tx.batch(&format!(
            "INSERT INTO users (id, username, hashed_password, tier, role, scopes, created_at, updated_at)
             VALUES ('u', 'ann', '', 'free', 'user', '', 0, 0);
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= 2 * {BATCH_ROWS} + 1)
             INSERT INTO sessions (id, user_id, rotated_at, expires_at, absolute_until, access_until,
                                   epoch, kid, created_at)
             SELECT i, 'u', 0, t, t, t, 0, 'k', 0
             FROM (SELECT i, iif(i = 1, {now_ms}, 1) AS t FROM n);
             INSERT INTO revocations (seq, at, until, entry)
             SELECT rowid, 0, absolute_until, '{{}}' FROM sessions;
             INSERT INTO password_resets SELECT id, 'u', 'a@b', 0, expires_at FROM sessions;
             INSERT INTO email_verifications SELECT * FROM password_resets"
        ))
    };
    api.desk.database.write(fill).await.unwrap();
    let left = async |table: &'static str| {
        let count = move |sql: &Sql<'_>| {
            let query = format!("SELECT count(*) AS n FROM {table}");
            sql.row(&query, params![], |row| row.int("n"))
        };
        api.desk.database.read(count).await.unwrap().unwrap()
    };
    assert!(left("sessions").await > 2 * i64::from(BATCH_ROWS));
    sweep(&api.desk).await.unwrap();
    for table in ["sessions", "revocations", "password_resets", "email_verifications"] {
        assert_eq!(left(table).await, 1, "{table}");
    }
}

#[tokio::test]
async fn the_audit_log_goes_back_400_days_and_no_further() {
    let now = Timestamp::from_secs(1_800_000_000);
    let api = open_at("", Clock::new(move || now)).await;
    let oldest_ms = now.minus(AUDIT_KEPT_FOR).as_millis();
    let fill = move |tx: &Tx<'_>| {
        tx.batch(&format!(
            "INSERT INTO audit (id, at, action, outcome) VALUES
             ('kept', {oldest_ms}, 'logout', 'success'),
             ('old', {oldest_ms} - 1, 'logout', 'success')"
        ))
    };
    api.desk.database.write::<_, DbError>(fill).await.unwrap();
    sweep(&api.desk).await.unwrap();
    let acts = api.users().acts(crate::ActFilter::default(), 10).await.unwrap();
    let left: Vec<_> = acts.iter().map(|act| act.id.as_str()).collect();
    assert_eq!(left, ["kept"]);
}
