use std::time::Duration;

use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn health_is_the_old_shape_and_what_is_not_configured_does_not_degrade() {
    let house = House::empty("").await;
    let answer = house.ask(get("/monitoring/health")).await;
    answer.is_ok();
    assert_eq!(
        answer.json(),
        json!({
            "status": "healthy",
            "message": "All systems operational",
            "timestamp": "2027-01-15T08:00:00Z",
            "components": {
                "database": { "status": "healthy", "message": "Database connection successful" },
                "redis": { "status": "not_configured", "message": "Redis is not configured" },
                "celery": {
                    "status": "not_configured",
                    "message": "Celery is not configured",
                    "worker_count": 0,
                },
                "api": { "status": "healthy", "message": "API is running" },
            },
        })
    );
    let again = house.ask(get("/api/monitoring/health?strict=1")).await;
    assert_eq!(again.text, answer.text);
}

#[tokio::test]
async fn a_database_that_is_down_is_unhealthy_200_and_strictly_503_without_a_reason() {
    let house = House::empty("").await;
    house.execute("DROP TABLE revocation_log");
    let answer = house.ask(get("/monitoring/health")).await;
    answer.is_ok();
    let body = answer.json();
    assert_eq!(body["status"], "unhealthy");
    assert_eq!(body["message"], "Database connection failed - system unavailable");
    assert!(!answer.text.contains("revocation"), "{}", answer.text);
    let strict = house.ask(get("/monitoring/health?strict=1")).await;
    assert_eq!(strict.status, 503);
    assert_eq!(strict.text, answer.text);
}

#[tokio::test]
async fn a_database_that_can_be_read_and_not_written_to_is_degraded() {
    let house = House::empty("").await;
    house.execute("ALTER TABLE schema_migrations RENAME TO elsewhere");
    let answer = house.ask(get("/monitoring/health?strict=1")).await;
    answer.is_ok();
    let body = answer.json();
    let refuses = "Database cannot be written to";
    assert_eq!(body["components"]["database"], json!({"status": "degraded", "message": refuses}));
    let degraded = "System operational with degraded functionality";
    assert_eq!(body["message"], format!("{degraded}: {refuses}"));
    assert_eq!(body["status"], "degraded");
    house.execute("ALTER TABLE elsewhere RENAME TO schema_migrations");
    house.hand.forward(Duration::from_secs(1));
    assert_eq!(house.ask(get("/monitoring/health")).await.json()["status"], "healthy");
}

#[tokio::test]
async fn a_database_that_is_read_and_whose_writes_wait_for_somebody_is_degraded() {
    let house = House::empty("").await;
    let held = house.place.hold_writes().await;
    let body = house.ask(get("/monitoring/health?strict=1")).await.json();
    let refuses = "Database cannot be written to";
    assert_eq!(body["components"]["database"], json!({"status": "degraded", "message": refuses}));
    drop(held);
    house.hand.forward(Duration::from_secs(1));
    assert_eq!(house.ask(get("/monitoring/health")).await.json()["status"], "healthy");
}

#[tokio::test]
async fn health_is_looked_at_once_a_second() {
    let house = House::empty("").await;
    house.ask(get("/monitoring/health")).await.is_ok();
    house.execute("DROP TABLE revocation_log");
    house.hand.forward(Duration::from_millis(999));
    let status = async || house.ask(get("/monitoring/health?strict=1")).await.status;
    assert_eq!(status().await, 200);
    house.hand.forward(Duration::from_millis(1));
    assert_eq!(status().await, 503);
}
