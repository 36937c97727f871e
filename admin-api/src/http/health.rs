//! Is it well? For people and load balancers of the replaced system; orchestrators have the probes
//! of the ops listener.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use http::StatusCode;
use http::Uri;
use kernel::time::Timestamp;
use serde::Serialize;
use stores::redis::connection::Lost;
use tokio::sync::Mutex;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::celery::Standing;
use super::moments::written;
use super::openapi::MACHINES;
use super::wellness::Status;
use crate::people::desk::Desk;
use crate::store::fault::DbError;
use crate::store::migrate;
use crate::store::revocations;

/// How long the database may take to answer and to be written to, side by side.
const BUDGET: Duration = Duration::from_secs(2);

/// Of a database that can be read and not written to.
const NOT_WRITTEN: &str = "Database cannot be written to";

/// How long an answer is given again.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// The whole and its parts, in the shape of the replaced system.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct Health {
    status: Status,
    #[schema(value_type = String)]
    message: Cow<'static, str>,
    #[schema(format = DateTime)]
    timestamp: String,
    components: Components,
}

#[derive(Clone, Serialize, ToSchema)]
#[schema(as = ComponentsHealth)]
struct Components {
    database: Component,
    redis: Component,
    celery: Workers,
    api: Component,
}

#[derive(Clone, Serialize, ToSchema)]
#[schema(as = ComponentHealth)]
struct Component {
    status: Status,
    message: &'static str,
}

#[derive(Clone, Serialize, ToSchema)]
#[schema(as = WorkersHealth)]
struct Workers {
    status: Status,
    message: &'static str,
    worker_count: u32,
}

/// The last answer, and when it was found.
#[derive(Clone)]
pub(crate) struct Checkup {
    desk: Arc<Desk>,
    last: Arc<Mutex<Option<(Timestamp, Health)>>>,
}

impl Checkup {
    /// Nothing known yet.
    pub(crate) fn new(desk: Arc<Desk>) -> Self {
        Self { desk, last: Arc::default() }
    }

    /// How it is; at most one look a second, however many ask.
    async fn health(&self) -> Health {
        let mut last = self.last.lock().await;
        let now = self.desk.clock.now();
        match &*last {
            // A clock that was put back makes the answer look early: look again.
            Some((at, health)) if *at <= now && now.since(*at) < KEPT_FOR => health.clone(),
            _ => {
                let health = look(&self.desk, now).await;
                // As of now: a look may take longer than it is kept, and who waited meanwhile
                // would look again, one after the other.
                *last = Some((self.desk.clock.now(), health.clone()));
                health
            }
        }
    }
}

async fn look(desk: &Desk, now: Timestamp) -> Health {
    let (database, redis, celery) = tokio::join!(
        look_at_database(desk),
        look_at_redis(desk),
        Standing::of(desk.celery.as_deref()),
    );
    let works = |status| matches!(status, Status::Healthy | Status::NotConfigured);
    let lacks = [
        (database.status == Status::Degraded).then_some(NOT_WRITTEN),
        (!works(redis.status)).then_some("Redis unavailable"),
        (!works(celery.status)).then_some("Celery workers unavailable"),
    ];
    let lacks: Vec<_> = lacks.into_iter().flatten().collect();
    let (status, message) = match (database.status, lacks.is_empty()) {
        (Status::Unhealthy, _) => {
            (Status::Unhealthy, "Database connection failed - system unavailable".into())
        }
        (_, true) => (Status::Healthy, "All systems operational".into()),
        (_, false) => {
            let lacks = lacks.join("; ");
            let message = format!("System operational with degraded functionality: {lacks}");
            (Status::Degraded, message.into())
        }
    };
    Health {
        status,
        message,
        timestamp: written(now),
        components: Components {
            database,
            redis,
            celery: Workers {
                status: celery.status,
                message: celery.message,
                worker_count: celery.alive(),
            },
            api: Component { status: Status::Healthy, message: "API is running" },
        },
    }
}

async fn look_at_database(desk: &Desk) -> Component {
    // On a disk that is full everything can be read, and nobody signs in or out.
    let (read, written) = tokio::join!(
        timeout(BUDGET, desk.database.read(revocations::position)),
        timeout(BUDGET, desk.database.write_at_once(migrate::touch)),
    );
    let (status, message) = match read {
        Ok(Ok(_)) => match written {
            Ok(Ok(())) => (Status::Healthy, "Database connection successful"),
            Ok(Err(_)) | Err(_) => (Status::Degraded, NOT_WRITTEN),
        },
        Ok(Err(DbError::Busy)) => (Status::Unhealthy, "Database is overloaded"),
        Ok(Err(_)) => (Status::Unhealthy, "Database connection failed"),
        Err(_) => (Status::Unhealthy, "Database did not answer in time"),
    };
    Component { status, message }
}

async fn look_at_redis(desk: &Desk) -> Component {
    let Some(redis) = &desk.redis else {
        return Component { status: Status::NotConfigured, message: "Redis is not configured" };
    };
    let (status, message) = match redis.works().await {
        Ok(()) => (Status::Healthy, "Redis connection successful"),
        Err(Lost::Late(_)) => (Status::Unhealthy, "Redis did not answer in time"),
        Err(Lost::Refused(_)) => (Status::Unhealthy, "Redis refuses to be written to"),
        Err(Lost::Unreachable(_)) => (Status::Unhealthy, "Redis connection failed"),
        Err(Lost::Answer(_)) => (Status::Unhealthy, "Redis gives answers that make no sense"),
    };
    Component { status, message }
}

/// Says how it is, in the shape of the replaced system.
///
/// Always 200, so that old dashboards can read the body, unless `strict` is asked for.
#[utoipa::path(
    get,
    path = "/monitoring/health",
    operation_id = "health",
    tag = MACHINES,
    params(("strict" = Option<bool>, Query, description = "Answer 503 where it is not well")),
    responses(
        (status = 200, body = Health, description = "How it is"),
        (status = 503, body = Health, description = "With `strict`: it is not well"),
    ),
)]
pub(crate) async fn health(State(checkup): State<Checkup>, uri: Uri) -> Response {
    let health = checkup.health().await;
    let query = uri.query().unwrap_or_default();
    let is_strict = form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == "strict" && matches!(&*value, "1" | "true"));
    let status = if is_strict && health.status == Status::Unhealthy {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    (status, Json(health)).into_response()
}
