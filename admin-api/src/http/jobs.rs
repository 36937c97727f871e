//! Job status: reported by services, asked for by whoever it concerns.

use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::extract::Path;
use axum::extract::RawQuery;
use axum::extract::Request;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use http::HeaderMap;
use http::StatusCode;
use kernel::lost::StoreLost;
use kernel::problem::FieldFault;
use kernel::status::COUNT_MAX;
use kernel::status::Cursor;
use kernel::status::MESSAGE_BYTES_MAX;
use kernel::status::NotTaken;
use kernel::status::OWNER_BYTES_MAX;
use kernel::status::Plan;
use kernel::status::ResourceId;
use kernel::status::Taken;
use kernel::status::Update;
use kernel::time::Timestamp;
use stores::status::Reported;

use super::bearer;
use super::bodies;
use super::fields::Fields;
use super::fields::Takes;
use super::fields::of_field;
use super::job_shapes::ReportAnswer;
use super::job_shapes::ReportTaken;
use super::job_shapes::ReportWaits;
use super::job_shapes::ResourceStatusPage;
use super::job_shapes::Shown;
use super::openapi::JOBS;
use super::refusal::Refusal;
use super::selection::Selection;
use super::users::PAGE_ROWS;
use super::users::PAGE_ROWS_MAX;
use crate::people::desk::Desk;
use crate::status::Board;
use crate::status::STATUS_READ;
use crate::status::STATUS_WRITE;
use crate::status::Sight;

const FIELDS: [&str; 7] =
    ["status", "attempt", "completed", "total", "message", "error_message", "owner"];

/// Reports how a stage stands.
///
/// What is said is all that is known of the stage from then on. An older `attempt` never overwrites a
/// later one, so that reports may come in any order; without attempts the last report stands. The
/// resource belongs to the `owner` that was named first, else to whoever reported first.
#[utoipa::path(
    put,
    path = "/resources/{id}/stages/{stage}",
    operation_id = "reportStage",
    tag = JOBS,
    params(
        ("id" = String, Path, description = "The resource: a number, or any other text of at most 128 characters"),
        ("stage" = String, Path, description = "A configured stage, such as `ingestion`"),
    ),
    request_body = bodies::StageReport,
    responses(
        (status = 200, body = ReportAnswer, description = "How the resource stands now; to whoever may not see it, what became of the report alone"),
        (status = 202, body = ReportWaits, description = "The store is away, or what was said of the stage before waits for it still; the report waits, too"),
        (status = 404, description = "The token's user is gone"),
        (status = 409, description = "The resource belongs to another owner"),
        (status = 422, description = "Fields that are missing or wrong, or an unknown stage or status: the known ones are named"),
    ),
    security(("bearer" = ["status:write"])),
)]
pub(crate) async fn report(
    State(desk): State<Arc<Desk>>,
    State(board): State<Arc<Board>>,
    Path((id, stage)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let asker = desk.asker(&bearer::required(request.headers())?).await?;
    if !desk.holds(&asker, STATUS_WRITE) {
        return Err(Refusal::Scope(STATUS_WRITE));
    }
    let fields = Fields::read(request, Takes::Json).await?;
    let (id, update, owner) = read(&id, &stage, &fields, board.plan())?;
    let resource_id = id.to_json();
    match board.report(id, update, owner, &asker.user.id).await.map_err(not_taken)? {
        Reported::Taken(taken) if Sight::of(&desk, &asker).has(&taken.record) => {
            let shown = Shown::record(&taken.record, board.plan());
            Ok(Json(ReportAnswer::Seen(Box::new(shown))).into_response())
        }
        Reported::Taken(Taken { record, effect }) => {
            let (effect, version) = (effect.as_str(), record.version);
            let taken = ReportTaken { resource_id, effect, version };
            Ok(Json(ReportAnswer::Taken(taken)).into_response())
        }
        Reported::Waits => {
            let waits = ReportWaits { resource_id, degraded: true };
            Ok((StatusCode::ACCEPTED, Json(waits)).into_response())
        }
    }
}

/// Shows how a resource stands.
///
/// One's own; with the scope `status:read` any.
#[utoipa::path(
    get,
    path = "/resources/{id}",
    operation_id = "showResourceStatus",
    tag = JOBS,
    params(("id" = String, Path, description = "The resource")),
    responses(
        (status = 200, body = Shown, description = "How it stands"),
        (status = 404, description = "Nothing is known of it, or it is somebody else's; or the token's user is gone"),
        (status = 422, description = "A name that no resource can have"),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn show(
    State(desk): State<Arc<Desk>>,
    State(board): State<Arc<Board>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Shown>, Refusal> {
    let asker = desk.asker(&bearer::required(&headers)?).await?;
    let seen = board.seen(&resource(&id)?, &Sight::of(&desk, &asker)).await.map_err(lost)?;
    let seen = seen.ok_or(Refusal::NotFound)?;
    Ok(Json(Shown::seen(&seen, board.plan())))
}

/// Lists resources, the one that was reported on last first.
///
/// One's own; with the scope `status:read` those of any `owner`.
#[utoipa::path(
    get,
    path = "/resources",
    operation_id = "listResourceStatus",
    tag = JOBS,
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "How many; 50 where it is not said. A page may have fewer, and another one after it"),
        ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
        ("owner" = Option<String>, Query, description = "The user whose they are; oneself where it is not said"),
    ),
    responses(
        (status = 200, body = ResourceStatusPage, description = "A page"),
        (status = 403, description = "Somebody else's, and a token without the scope `status:read`"),
        (status = 404, description = "The token's user is gone"),
        (status = 422, description = "Parameters that are wrong"),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn list(
    State(desk): State<Arc<Desk>>,
    State(board): State<Arc<Board>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<ResourceStatusPage>, Refusal> {
    let asker = desk.asker(&bearer::required(&headers)?).await?;
    let query = Selection::of(query.as_deref(), &["limit", "cursor", "owner"])?;
    let limit = query.limit(PAGE_ROWS, PAGE_ROWS_MAX)?;
    let after = query.parsed::<Place>("cursor", "be the `next_cursor` of a page")?;
    let owner = query.text("owner").unwrap_or(&asker.user.id);
    if owner != asker.user.id && Sight::of(&desk, &asker) != Sight::All {
        return Err(Refusal::Scope(STATUS_READ));
    }
    let after = after.map(|Place(cursor)| cursor);
    let page = board.list(owner, after.as_ref(), limit as usize).await.map_err(lost)?;
    let shown = page.records.iter().map(|record| Shown::record(record, board.plan()));
    Ok(Json(ResourceStatusPage {
        resources: shown.collect(),
        next_cursor: page.next.map(|cursor| Place(cursor).written()),
    }))
}

/// The resource called so.
///
/// # Errors
/// [`Refusal::Fields`].
pub(super) fn resource(id: &str) -> Result<ResourceId, Refusal> {
    resource_or_fault(id).map_err(|fault| Refusal::Fields(vec![fault]))
}

/// The store's silence, to a client.
pub(super) fn lost(error: StoreLost) -> Refusal {
    Refusal::StatusAway(match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })
}

fn not_taken(error: NotTaken) -> Refusal {
    match error {
        NotTaken::OtherOwner(_) => {
            Refusal::Conflict("The resource belongs to another owner".to_owned())
        }
        NotTaken::Lost(error) => lost(error),
    }
}

/// A place in a list, as clients carry it: `<milliseconds>-<name>`.
struct Place(Cursor);

impl Place {
    fn written(&self) -> String {
        format!("{}-{}", self.0.at.as_millis(), self.0.id)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (at, id) = text.split_once('-').ok_or(())?;
        let at = Timestamp::from_millis(at.parse().map_err(drop)?);
        Ok(Self(Cursor { at, id: ResourceId::parse(id).map_err(drop)? }))
    }
}

/// A report, or all of its faults at once.
fn read(
    id: &str,
    stage: &str,
    fields: &Fields,
    plan: &Plan,
) -> Result<(ResourceId, Update, Option<Arc<str>>), Refusal> {
    let id = resource_or_fault(id);
    let stage = plan.stage(stage).map_err(|error| of_path("stage", &error.to_string(), "enum"));
    let status = fields.required("status").and_then(|name| {
        plan.status(name)
            .map_err(|error| of_field("status", &capitalised(&error.to_string()), "enum"))
    });
    let attempt = fields.whole("attempt", u32::MAX.into());
    let completed = fields.whole("completed", COUNT_MAX);
    let total = fields.whole("total", COUNT_MAX);
    let message = text(fields, "message", MESSAGE_BYTES_MAX);
    let error_message = text(fields, "error_message", MESSAGE_BYTES_MAX);
    let owner = text(fields, "owner", OWNER_BYTES_MAX).and_then(visible);
    let unknown = fields.unknown(&FIELDS);
    match (id, stage, status, attempt, completed, total, message, error_message, owner) {
        (
            Ok(id),
            Ok(stage),
            Ok(status),
            Ok(attempt),
            Ok(completed),
            Ok(total),
            Ok(message),
            Ok(error_message),
            Ok(owner),
        ) if unknown.is_empty() => {
            // It fits: that is its bound.
            let attempt = attempt.map(|attempt| attempt as u32);
            let update =
                Update { stage, status, attempt, completed, total, message, error_message };
            Ok((id, update, owner))
        }
        (id, stage, status, attempt, completed, total, message, error_message, owner) => {
            let faults = [
                id.err(),
                stage.err(),
                status.err(),
                attempt.err(),
                completed.err(),
                total.err(),
                message.err(),
                error_message.err(),
                owner.err(),
            ];
            Err(Refusal::Fields(faults.into_iter().flatten().chain(unknown).collect()))
        }
    }
}

fn resource_or_fault(id: &str) -> Result<ResourceId, FieldFault> {
    ResourceId::parse(id).map_err(|error| of_path("id", &error.to_string(), "value_error"))
}

fn text(fields: &Fields, name: &str, bytes_max: usize) -> Result<Option<Arc<str>>, FieldFault> {
    match fields.optional(name)? {
        Some(text) if text.len() > bytes_max => {
            Err(of_field(name, &format!("At most {bytes_max} bytes"), "too_long"))
        }
        text => Ok(text.map(Arc::from)),
    }
}

fn visible(owner: Option<Arc<str>>) -> Result<Option<Arc<str>>, FieldFault> {
    match owner {
        Some(owner) if owner.chars().any(char::is_control) => {
            Err(of_field("owner", "Control characters are not allowed", "value_error"))
        }
        owner => Ok(owner),
    }
}

fn of_path(name: &str, msg: &str, kind: &str) -> FieldFault {
    FieldFault {
        loc: vec!["path".to_owned(), name.to_owned()],
        msg: capitalised(msg),
        kind: kind.to_owned(),
    }
}

/// A text of ours, as the messages of faults begin.
fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        for (at, id) in [(0, "42"), (1_700_000_000_123, "a-b"), (7, "-"), (7, "ä 1")] {
            let id = ResourceId::parse(id).unwrap();
            let cursor = Cursor { at: Timestamp::from_millis(at), id };
            let Place(read) = Place(cursor.clone()).written().parse().unwrap();
            assert_eq!(read, cursor);
        }
        for text in ["", "-", "7", "7-", "x-42", "7-042", "-7-42"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
