//! Records and changes as Redis has them: JSON, part of it the replaced service's.

use std::collections::BTreeMap;
use std::time::Duration;

use kernel::status::Change;
use kernel::status::Owner;
use kernel::status::Phase;
use kernel::status::Plan;
use kernel::status::Record;
use kernel::status::ResourceId;
use kernel::status::StageState;
use kernel::status::Standing;
use kernel::status::Update;
use kernel::status::Whole;
use kernel::time::Timestamp;
use serde::Deserialize;
use serde::Serialize;
use serde_json::json;

/// A text that is none of ours.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotStored {
    #[error("it is no JSON of the shape that is expected")]
    Json(#[source] serde_json::Error),
    #[error("it names a standing, a phase or a resource that cannot be")]
    Name,
}

/// What the replaced service reads and writes; more may stand there.
#[derive(Deserialize)]
struct StoredRecord {
    stages: Option<BTreeMap<String, String>>,
    error_message: Option<String>,
    updated_at: Option<String>,
}

#[derive(Deserialize)]
struct StoredState {
    version: u64,
    owner: Option<String>,
    #[serde(default)]
    named: bool,
    reported_ms: u64,
    stages: BTreeMap<String, StoredStage>,
}

#[derive(Default, Deserialize)]
struct StoredStage {
    status: String,
    attempt: Option<u32>,
    completed: Option<u64>,
    total: Option<u64>,
    message: Option<String>,
    error_message: Option<String>,
    started_ms: Option<u64>,
    finished_ms: Option<u64>,
    updated_ms: u64,
}

#[derive(Deserialize)]
struct StoredChange {
    version: u64,
    previous: u64,
    owner: String,
    named: bool,
    stage: String,
    state: StoredStage,
    overall: String,
    phase: String,
    completed: u32,
    total: u32,
    error_message: Option<String>,
}

/// What is told at once, but for the change.
#[derive(Deserialize)]
struct Hinted {
    id: String,
}

/// All of it.
#[derive(Deserialize)]
struct Hint {
    id: String,
    change: StoredChange,
}

/// A report, for the script.
#[derive(Serialize)]
struct Said<'a> {
    stage: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
}

/// What the script is told of a report.
pub(super) fn said(update: &Update) -> String {
    let said = Said {
        stage: &update.stage,
        status: &update.status.name,
        attempt: update.attempt,
        completed: update.completed,
        total: update.total,
        message: update.message.as_deref(),
        error_message: update.error_message.as_deref(),
    };
    serde_json::to_string(&said).expect("it holds only texts and numbers")
}

/// What the script is told of a plan.
pub(super) fn planned(plan: &Plan) -> String {
    let stages: Vec<&str> = plan.stages().iter().map(|stage| &**stage).collect();
    let statuses: serde_json::Map<_, _> = plan
        .statuses()
        .iter()
        .map(|status| {
            let known = json!({ "standing": status.standing.as_str(), "rank": status.rank });
            (status.name.to_string(), known)
        })
        .collect();
    json!({ "stages": stages, "statuses": statuses }).to_string()
}

/// The record of `id` by what both keys hold `now`, where records are kept for `ttl`; the second may be
/// missing, where nobody but the replaced service has written.
pub(super) fn record(
    id: &ResourceId,
    record: &[u8],
    state: Option<&[u8]>,
    plan: &Plan,
    ttl: Duration,
    now: Timestamp,
) -> Result<Record, NotStored> {
    let written: StoredRecord = serde_json::from_slice(record).map_err(NotStored::Json)?;
    let state = state.map(serde_json::from_slice::<StoredState>).transpose();
    let state = state.map_err(NotStored::Json)?;
    let says_when = written.updated_at.as_deref().and_then(moment);
    let written_at = says_when.unwrap_or_default();
    let state = state.filter(|state| !state.is_former(&written, written_at, ttl));
    let mut known = Record::new(id.clone());
    known.updated_at = written_at;
    if let Some(state) = state {
        known.version = state.version;
        known.updated_at = written_at.max(Timestamp::from_millis(state.reported_ms));
        let owner = |id: String| Owner { id: id.into(), is_named: state.named };
        known.owner = state.owner.map(owner);
        for (name, stage) in state.stages {
            known.put(&name.into(), stage.read(plan), plan);
        }
    }
    for (name, status) in written.stages.unwrap_or_default() {
        if known.stage(&name).is_none_or(|stage| *stage.status.name != *status) {
            // As the script takes it in.
            let updated_ms = says_when.unwrap_or(now).min(now).as_millis();
            let stage = StoredStage { status, updated_ms, ..StoredStage::default() };
            let mut stage = stage.read(plan);
            // It has one message for all, which is then that of what has failed.
            if stage.status.standing == Standing::Failed {
                stage.error_message = written.error_message.as_deref().map(Into::into);
            }
            known.put(&name.into(), stage, plan);
        }
    }
    Ok(known)
}

/// A change, as an entry of the stream holds it.
pub(super) fn change(text: &[u8], plan: &Plan) -> Result<Change, NotStored> {
    let change: StoredChange = serde_json::from_slice(text).map_err(NotStored::Json)?;
    change.read(plan)
}

/// Of which resource a change is that is told at once; the change itself is passed over.
pub(super) fn hinted(text: &[u8]) -> Result<ResourceId, NotStored> {
    let hinted: Hinted = serde_json::from_slice(text).map_err(NotStored::Json)?;
    ResourceId::parse(&hinted.id).map_err(|_| NotStored::Name)
}

/// A change that is told at once, and of which resource.
pub(super) fn hint(text: &[u8], plan: &Plan) -> Result<(ResourceId, Change), NotStored> {
    let hint: Hint = serde_json::from_slice(text).map_err(NotStored::Json)?;
    let id = ResourceId::parse(&hint.id).map_err(|_| NotStored::Name)?;
    Ok((id, hint.change.read(plan)?))
}

impl StoredState {
    /// Whether it is of a record before this one: the replaced service wrote when ours was over, and not
    /// on from it, for then all of its stages would be there.
    fn is_former(&self, written: &StoredRecord, written_at: Timestamp, ttl: Duration) -> bool {
        let is_over = written_at >= Timestamp::from_millis(self.reported_ms).plus(ttl);
        let has = |stage: &String| {
            written.stages.as_ref().is_some_and(|stages| stages.contains_key(stage))
        };
        is_over && !self.stages.keys().all(has)
    }
}

impl StoredStage {
    fn read(self, plan: &Plan) -> StageState {
        StageState {
            status: plan.status_read(&self.status),
            attempt: self.attempt,
            completed: self.completed,
            total: self.total,
            message: self.message.map(Into::into),
            error_message: self.error_message.map(Into::into),
            started_at: self.started_ms.map(Timestamp::from_millis),
            finished_at: self.finished_ms.map(Timestamp::from_millis),
            updated_at: Timestamp::from_millis(self.updated_ms),
        }
    }
}

impl StoredChange {
    fn read(self, plan: &Plan) -> Result<Change, NotStored> {
        let whole = Whole {
            overall: Standing::of(&self.overall).ok_or(NotStored::Name)?,
            phase: Phase::of(&self.phase).ok_or(NotStored::Name)?,
            completed: self.completed,
            total: self.total,
            error_message: self.error_message.map(Into::into),
        };
        Ok(Change {
            version: self.version,
            previous: self.previous,
            owner: Some(Owner { id: self.owner.into(), is_named: self.named }),
            stage: self.stage.into(),
            state: self.state.read(plan),
            whole,
        })
    }
}

/// A moment as Python writes it: with an offset, or else in UTC.
fn moment(text: &str) -> Option<Timestamp> {
    let with_offset = text.parse::<jiff::Timestamp>();
    let at = with_offset.or_else(|_| format!("{text}Z").parse()).ok()?;
    Some(Timestamp::from_millis(u64::try_from(at.as_millisecond()).ok()?))
}

#[cfg(test)]
mod tests {
    use kernel::status::TTL;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn read(text: &[u8], state: Option<&[u8]>) -> Result<Record, NotStored> {
        record(&ResourceId::Number(42), text, state, &Plan::default(), TTL, NOW)
    }

    #[test]
    fn what_python_alone_has_written_is_read() {
        let text = br#"{"resource_id": 42, "overall_status": "processing", "stages": {"ingestion":
            "completed", "quality": "processing"}, "error_message": null,
            "updated_at": "2026-11-26T05:30:00.123456+00:00"}"#;
        let read = read(text, None).unwrap();
        assert_eq!((read.version, &read.owner), (0, &None));
        assert_eq!(read.updated_at, Timestamp::from_millis(1_795_671_000_123));
        let stages: Vec<_> =
            read.stages.iter().map(|(name, state)| (&**name, &*state.status.name)).collect();
        assert_eq!(stages, [("ingestion", "completed"), ("quality", "processing")]);
    }

    #[test]
    fn a_moment_is_read_with_an_offset_or_as_utc() {
        for text in [
            "2026-11-26T05:30:00.123+00:00",
            "2026-11-26T05:30:00.123Z",
            "2026-11-26T05:30:00.123",
            "2026-11-26T06:30:00.123456+01:00",
        ] {
            assert_eq!(moment(text), Some(Timestamp::from_millis(1_795_671_000_123)), "{text}");
        }
        for text in ["", "yesterday", "1960-01-01T00:00:00Z"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    #[test]
    fn a_stage_was_written_when_python_says_so_and_now_where_that_cannot_be() {
        let before = Timestamp::from_millis(1_795_671_000_123);
        for (updated_at, expected) in [
            ("2026-11-26T05:30:00.123Z", before),
            ("2027-01-15T07:59:59.999Z", NOW.minus(Duration::from_millis(1))),
            ("2027-01-15T08:00:00.001Z", NOW),
            ("2999-01-01T00:00:00Z", NOW),
            ("1960-01-01T00:00:00Z", NOW),
            ("yesterday", NOW),
            ("", NOW),
        ] {
            let text =
                format!(r#"{{"stages": {{"graph": "pending"}}, "updated_at": "{updated_at}"}}"#);
            let read = read(text.as_bytes(), None).unwrap();
            assert_eq!(read.stage("graph").unwrap().updated_at, expected, "{updated_at}");
        }
    }

    #[test]
    fn what_is_no_record_is_said_to_be_none() {
        for text in ["", "7", "[]", "{\"stages\": 7}", "{\"stages\": {\"a\": 7}}"] {
            assert!(read(text.as_bytes(), None).is_err(), "{text}");
        }
        assert!(read(b"{}", Some(b"{}")).is_err());
        assert!(read(b"{}", None).is_ok());
    }

    #[test]
    fn of_a_change_to_which_nobody_listens_only_the_resource_is_read() {
        let text = br#"{"id": "42", "change": {"version": "junk"}}"#;
        assert_eq!(hinted(text).unwrap(), ResourceId::Number(42));
        assert!(hint(text, &Plan::default()).is_err());
        for text in [&b"{}"[..], b"", br#"{"id": 42}"#, br#"{"id": "", "change": {}}"#] {
            assert!(hinted(text).is_err());
        }
    }
}
