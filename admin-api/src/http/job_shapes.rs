//! Job status as JSON: the record of the replaced service, and what is added to it.

use std::sync::Arc;

use kernel::status::Change;
use kernel::status::Plan;
use kernel::status::Record;
use kernel::status::StageState;
use kernel::status::Whole;
use kernel::time::Timestamp;
use serde::Serialize;
use serde::Serializer;
use serde::ser::SerializeMap;
use serde_json::Value;
use stores::status::Seen;
use utoipa::ToSchema;

use super::moments::written;

/// How a resource stands.
#[derive(Serialize, ToSchema)]
#[schema(as = ResourceStatus)]
pub(crate) struct Shown {
    /// A number where it is one, else a text.
    #[schema(value_type = Value)]
    resource_id: Value,
    /// `pending`, `processing`, `completed` or `failed`.
    overall_status: &'static str,
    /// How each stage stands of which something was said.
    #[serde(serialize_with = "in_order")]
    #[schema(value_type = BTreeMap<String, String>)]
    stages: Vec<(String, String)>,
    /// What went wrong, in the first stage that says so.
    error_message: Option<String>,
    #[schema(format = DateTime)]
    updated_at: String,
    /// For people: `queued`, `running`, `done` or `failed`.
    phase: &'static str,
    /// How many of the expected stages are completed.
    completed: u32,
    /// How many stages are expected.
    total: u32,
    /// The user to whom it belongs; absent in a `change`, and where only the replaced service has written.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// A number that every change makes greater; the id of the change in the stream of events. 0 where the
    /// store has taken in no report yet.
    version: u64,
    /// More of each stage.
    #[serde(serialize_with = "in_order")]
    #[schema(value_type = BTreeMap<String, StageShown>)]
    details: Vec<(String, StageShown)>,
    /// Only where the store is away, or reports wait for it still: this is what was known before, with what
    /// waits, and may be out of date.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    degraded: bool,
}

/// More of a stage.
#[derive(Serialize, ToSchema)]
#[schema(as = StageDetails)]
struct StageShown {
    /// Which attempt it is at; `null`: nobody counts.
    attempt: Option<u32>,
    /// How far it is.
    completed: Option<u64>,
    /// How far it has to go.
    total: Option<u64>,
    /// What is going on.
    message: Option<String>,
    /// What went wrong.
    error_message: Option<String>,
    /// When this attempt began.
    #[schema(format = DateTime)]
    started_at: Option<String>,
    /// When it ended.
    #[schema(format = DateTime)]
    finished_at: Option<String>,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// Part of a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct ResourceStatusPage {
    pub(crate) resources: Vec<Shown>,
    /// What to ask for to get those that were changed before; `null`: there are none.
    pub(crate) next_cursor: Option<String>,
}

/// What a report is answered with that was taken in.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ReportAnswer {
    /// To whoever may see the resource: how it stands now.
    Seen(Box<Shown>),
    /// To anybody else: what became of the report.
    Taken(ReportTaken),
}

/// What became of a report.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReportTaken {
    #[schema(value_type = Value)]
    pub(crate) resource_id: Value,
    /// `applied`; `known`: nothing new; `outdated`: something later was known, and stands.
    pub(crate) effect: &'static str,
    /// That of the resource now.
    pub(crate) version: u64,
}

/// A report that waits, since the store is away or what was said before it waits still.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReportWaits {
    #[schema(value_type = Value)]
    pub(crate) resource_id: Value,
    /// `true`: it is taken in once the store is back, unless the resource is another owner's then, this
    /// process ends before, or too many wait.
    pub(crate) degraded: bool,
}

impl Shown {
    /// A record, as it is seen.
    pub(crate) fn seen(seen: &Seen, plan: &Plan) -> Self {
        Self { degraded: seen.is_degraded(), ..Self::record(&seen.record, plan) }
    }

    /// A record.
    pub(crate) fn record(record: &Record, plan: &Plan) -> Self {
        let owner = record.owner.as_ref().map(|owner| owner.id.to_string());
        let Record { version, updated_at, .. } = *record;
        let shown = Self::of(record.id.to_json(), &record.whole(plan), &record.stages, version);
        Self { owner, updated_at: written(updated_at), ..shown }
    }

    /// A change of the resource that is called `id`: the record, with that stage alone.
    pub(crate) fn change(id: Value, change: &Change) -> Self {
        let stage = (Arc::clone(&change.stage), change.state.clone());
        let shown = Self::of(id, &change.whole, &[stage], change.version);
        Self { updated_at: written(change.state.updated_at), ..shown }
    }

    fn of(
        resource_id: Value,
        whole: &Whole,
        stages: &[(Arc<str>, StageState)],
        version: u64,
    ) -> Self {
        let status = |(name, state): &(Arc<str>, StageState)| {
            (name.to_string(), state.status.name.to_string())
        };
        let detail =
            |(name, state): &(Arc<str>, StageState)| (name.to_string(), StageShown::of(state));
        Self {
            resource_id,
            overall_status: whole.overall.as_str(),
            stages: stages.iter().map(status).collect(),
            error_message: text(&whole.error_message),
            updated_at: String::new(),
            phase: whole.phase.as_str(),
            completed: whole.completed,
            total: whole.total,
            owner: None,
            version,
            details: stages.iter().map(detail).collect(),
            degraded: false,
        }
    }
}

impl StageShown {
    fn of(state: &StageState) -> Self {
        let moment = |at: Option<Timestamp>| at.map(written);
        Self {
            attempt: state.attempt,
            completed: state.completed,
            total: state.total,
            message: text(&state.message),
            error_message: text(&state.error_message),
            started_at: moment(state.started_at),
            finished_at: moment(state.finished_at),
            updated_at: written(state.updated_at),
        }
    }
}

fn text(text: &Option<Arc<str>>) -> Option<String> {
    text.as_deref().map(str::to_owned)
}

/// Pairs as the object that they are, in their order.
fn in_order<K: Serialize, V: Serialize, S: Serializer>(
    pairs: &[(K, V)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut object = serializer.serialize_map(Some(pairs.len()))?;
    for (name, value) in pairs {
        object.serialize_entry(name, value)?;
    }
    object.end()
}
