//! Job status: reported by services, seen by whoever it concerns.

use admin_api::NewUser;
use http::StatusCode;
use kernel::secret::Secret;
use kernel::status::ID_CHARS_MAX;
use kernel::status::MESSAGE_BYTES_MAX;
use kernel::status::OWNER_BYTES_MAX;
use kernel::status::TTL;
use serde_json::Value;
use serde_json::json;

use crate::support::*;

/// A house with ann, bob, a service that reports and a supervisor that sees everything.
pub(crate) struct Yard {
    pub(crate) house: House,
    pub(crate) service: String,
    pub(crate) supervisor: String,
    pub(crate) ann: Person,
    pub(crate) bob: Person,
}

pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) access: String,
}

impl Yard {
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    pub(crate) async fn with(more: &str) -> Self {
        let house = House::empty(more).await;
        Self {
            service: person(&house, "service", &["status:write"]).await.access,
            supervisor: person(&house, "supervisor", &["status:read"]).await.access,
            ann: person(&house, "ann", &[]).await,
            bob: person(&house, "bob", &[]).await,
            house,
        }
    }

    pub(crate) async fn reports(&self, id: &str, stage: &str, body: Value) -> Answer {
        let at = format!("/status/resources/{id}/stages/{stage}");
        self.house.ask(bearer(with_json("PUT", &at, &body), &self.service)).await
    }

    /// A report on what is ann's, and how it stands then.
    pub(crate) async fn reports_for_ann(&self, id: &str, stage: &str, status: &str) -> Value {
        let body = json!({ "status": status, "owner": self.ann.id });
        self.reports(id, stage, body).await.is_ok();
        let shown = self.shows(id, &self.ann.access).await;
        shown.is_ok();
        shown.json()
    }

    async fn shows(&self, id: &str, to: &str) -> Answer {
        self.house.ask(bearer(get(&format!("/status/resources/{id}")), to)).await
    }

    async fn lists(&self, query: &str, to: &str) -> Answer {
        self.house.ask(bearer(get(&format!("/status/resources{query}")), to)).await
    }
}

async fn person(house: &House, name: &str, scopes: &[&str]) -> Person {
    let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
    house.add(NewUser { scopes, ..NewUser::new(name, Secret::new(PASSWORD), tier("free")) }).await;
    let id = house.api.users().by_username(name).await.unwrap().unwrap().id;
    let pair = house.ask(login(&[("username", name), ("password", PASSWORD)])).await.pair();
    Person { id, access: pair.access }
}

#[tokio::test]
async fn what_is_reported_is_shown_with_what_the_replaced_service_says_and_more() {
    let yard = Yard::new().await;
    let body = json!({
        "status": "processing", "owner": yard.ann.id, "attempt": 1, "completed": 3, "total": 10,
        "message": "page 3 of 10",
    });
    yard.reports("42", "quality", body).await.is_ok();
    let at = "2027-01-15T08:00:00Z";
    let expected = json!({
        "resource_id": 42,
        "overall_status": "processing",
        "stages": { "quality": "processing" },
        "error_message": null,
        "updated_at": at,
        "phase": "running",
        "completed": 0,
        "total": 5,
        "owner": yard.ann.id,
        "version": yard.house.hand.now().as_millis(),
        "details": { "quality": {
            "attempt": 1, "completed": 3, "total": 10, "message": "page 3 of 10",
            "error_message": null, "started_at": at, "finished_at": null, "updated_at": at,
        } },
    });
    let shown = yard.shows("42", &yard.ann.access).await;
    shown.is_ok();
    assert_eq!(shown.json(), expected);
}

#[tokio::test]
async fn a_failure_is_told_and_stages_stand_in_their_order() {
    let yard = Yard::new().await;
    for stage in ["embedding", "ingestion", "graph"] {
        yard.reports_for_ann("a-1", stage, "completed").await;
    }
    let body = json!({ "status": "failed", "error_message": "no text" });
    yard.reports("a-1", "quality", body).await.is_ok();
    let shown = yard.shows("a-1", &yard.ann.access).await;
    let text = &shown.text;
    let places = ["ingestion", "quality", "graph", "embedding"].map(|stage| text.find(stage));
    assert!(places.is_sorted(), "{text}");
    let shown = shown.json();
    assert_eq!(shown["resource_id"], "a-1");
    assert_eq!([&shown["overall_status"], &shown["phase"]], ["failed", "failed"]);
    assert_eq!(shown["error_message"], "no text");
    assert_eq!([&shown["completed"], &shown["total"]], [3, 5]);
}

#[tokio::test]
async fn unknown_stages_and_statuses_are_answered_with_the_known_ones() {
    let yard = Yard::with(
        "[status]\nstages = [\"fetch\", \"parse\"]\nstatuses = { skipped = \"completed\" }",
    )
    .await;
    let answer = yard.reports("42", "graph", json!({ "status": "done" })).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let body = answer.json();
    assert_eq!(body["error_code"], "VALIDATION_ERROR");
    let faults: Vec<_> = body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| (&fault["loc"], &fault["msg"]))
        .collect();
    let stage = json!("Unknown stage; there are `fetch`, `parse`");
    let status = json!(
        "Unknown status; there are `pending`, `processing`, `completed`, `skipped`, `failed`"
    );
    assert_eq!(
        faults,
        [(&json!(["path", "stage"]), &stage), (&json!(["body", "status"]), &status)]
    );

    yard.reports("42", "fetch", json!({ "status": "skipped" })).await.is_ok();
    let done = yard.reports("42", "parse", json!({ "status": "completed" })).await.json();
    assert_eq!(done["stages"], json!({ "fetch": "skipped", "parse": "completed" }));
    assert_eq!([&done["overall_status"], &done["phase"]], ["completed", "done"]);
}

#[tokio::test]
async fn every_part_of_a_report_has_its_bound() {
    let yard = Yard::new().await;
    let takes = async |body: Value| yard.reports("42", "graph", body).await.status == 200;
    let with = |name: &str, value: Value| json!({ "status": "processing", name: value });
    for (name, fits, past) in [
        ("message", json!("m".repeat(MESSAGE_BYTES_MAX)), json!("m".repeat(MESSAGE_BYTES_MAX + 1))),
        ("error_message", json!("ä".repeat(2048)), json!("ä".repeat(2049))),
        ("attempt", json!(4_294_967_295_u64), json!(4_294_967_296_u64)),
        ("completed", json!(1_000_000_000_000_u64), json!(1_000_000_000_001_u64)),
        ("total", json!(0), json!(-1)),
        ("total", json!(null), json!(1.5)),
        ("completed", json!(1), json!("1")),
        ("message", json!(null), json!(7)),
        ("owner", json!("o".repeat(OWNER_BYTES_MAX)), json!("o".repeat(OWNER_BYTES_MAX + 1))),
    ] {
        assert!(takes(with(name, fits)).await, "{name}");
        let answer = yard.reports("42", "graph", with(name, past)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}: {}", answer.text);
        assert_eq!(answer.json()["errors"][0]["loc"], json!(["body", name]));
    }
    for wrong in [json!({}), with("owner", json!("a\nb")), with("stage", json!("graph")), json!([])]
    {
        let answer = yard.reports("42", "graph", wrong).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
    }
    for (id, status) in [
        ("9223372036854775807", 200),
        ("9223372036854775808", 422),
        ("007", 422),
        (&"x".repeat(ID_CHARS_MAX), 200),
        (&"x".repeat(ID_CHARS_MAX + 1), 422),
        ("a%0Ab", 422),
    ] {
        let answer = yard.reports(id, "graph", json!({ "status": "pending" })).await;
        assert_eq!(answer.status, status, "{id}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_caller_sees_its_own_and_a_strangers_is_as_one_that_is_not_there() {
    let yard = Yard::new().await;
    yard.reports_for_ann("42", "graph", "processing").await;
    let status = async |to: &str| yard.shows("42", to).await.status.as_u16();
    assert_eq!(status(&yard.ann.access).await, 200);
    assert_eq!(status(&yard.supervisor).await, 200);
    for stranger in [&yard.bob.access, &yard.service] {
        let of_ann = yard.shows("42", stranger).await;
        of_ann.is_problem(404, "Not Found", "NOT_FOUND");
        let unknown = yard.shows("43", stranger).await;
        let same = |answer: &Answer| {
            let mut body = answer.json();
            body["request_id"].take();
            body["instance"].take();
            body
        };
        assert_eq!(same(&of_ann), same(&unknown));
    }
    // Nobody but a service reports, be it on its own.
    let report =
        with_json("PUT", "/status/resources/42/stages/graph", &json!({ "status": "failed" }));
    let answer = yard.house.ask(bearer(report, &yard.ann.access)).await;
    let detail = "Insufficient permissions. Required scopes: status:write";
    answer.is_problem(403, detail, "FORBIDDEN");
}

#[tokio::test]
async fn whoever_may_not_see_what_it_reports_on_is_told_what_became_of_the_report_alone() {
    let yard = Yard::new().await;
    let both = person(&yard.house, "both", &["status:write", "status:read"]).await.access;
    let report = async |attempt: u32, message: &str, by: &str| {
        let body = json!({
            "status": "processing", "attempt": attempt, "message": message, "owner": yard.ann.id,
        });
        let request = with_json("PUT", "/status/resources/42/stages/graph", &body);
        let answer = yard.house.ask(bearer(request, by)).await;
        answer.is_ok();
        answer.json()
    };
    let whole = report(2, "secret", &both).await;
    assert_eq!(whole["details"]["graph"]["message"], "secret");
    let version = whole["version"].as_u64().unwrap();
    for (attempt, message, effect, version) in [
        (0, "", "outdated", version),
        (2, "secret", "known", version),
        (3, "own", "applied", version + 1),
    ] {
        let told = report(attempt, message, &yard.service).await;
        assert_eq!(told, json!({ "resource_id": 42, "effect": effect, "version": version }));
    }
    // What is its own it sees.
    let own = yard.reports("43", "graph", json!({ "status": "pending" })).await.json();
    assert_eq!(own, yard.shows("43", &yard.service).await.json());
}

#[tokio::test]
async fn an_owner_once_named_stays_and_without_one_it_is_whoever_reports() {
    let yard = Yard::new().await;
    yard.reports("42", "graph", json!({ "status": "pending" })).await.is_ok();
    assert_eq!(yard.shows("42", &yard.service).await.status, 200);
    yard.reports_for_ann("42", "graph", "processing").await;
    assert_eq!(yard.shows("42", &yard.service).await.status, 404);
    let other = json!({ "status": "failed", "owner": yard.bob.id });
    let answer = yard.reports("42", "graph", other).await;
    answer.is_problem(409, "The resource belongs to another owner", "CONFLICT");
    let shown = yard.shows("42", &yard.ann.access).await.json();
    assert_eq!(shown["stages"]["graph"], "processing");
}

#[tokio::test]
async fn a_list_has_what_is_ones_own_page_by_page() {
    let yard = Yard::new().await;
    for id in 1..=7 {
        yard.reports_for_ann(&id.to_string(), "graph", "pending").await;
        let body = json!({ "status": "pending", "owner": yard.bob.id });
        yard.reports(&format!("b{id}"), "graph", body).await.is_ok();
    }
    let (mut names, mut query) = (Vec::new(), "?limit=3".to_owned());
    loop {
        let page = yard.lists(&query, &yard.ann.access).await;
        page.is_ok();
        let page = page.json();
        let resources = page["resources"].as_array().unwrap();
        names.extend(resources.iter().map(|shown| shown["resource_id"].as_u64().unwrap()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=3&cursor={cursor}");
    }
    names.sort_unstable();
    assert_eq!(names, [1, 2, 3, 4, 5, 6, 7]);

    let of_bob = format!("?owner={}", yard.bob.id);
    let answer = yard.lists(&of_bob, &yard.ann.access).await;
    let detail = "Insufficient permissions. Required scopes: status:read";
    answer.is_problem(403, detail, "FORBIDDEN");
    let page = yard.lists(&of_bob, &yard.supervisor).await.json();
    assert_eq!(page["resources"].as_array().unwrap().len(), 7);
    let own = format!("?owner={}", yard.ann.id);
    assert_eq!(yard.lists(&own, &yard.ann.access).await.status, 200);
    for wrong in ["?cursor=x", "?limit=0", "?limit=201", "?page=2", "?limit=1&limit=2"] {
        let answer = yard.lists(wrong, &yard.ann.access).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
}

#[tokio::test]
async fn a_record_is_kept_for_a_day_after_the_last_report() {
    let yard = Yard::with("[auth]\naccess_ttl = \"2d\"\nlifetime_max = \"3d\"").await;
    yard.reports_for_ann("42", "graph", "pending").await;
    yard.house.hand.forward(TTL - std::time::Duration::from_millis(1));
    assert_eq!(yard.shows("42", &yard.ann.access).await.status, 200);
    yard.house.hand.forward(std::time::Duration::from_millis(1));
    assert_eq!(yard.shows("42", &yard.ann.access).await.status, 404);
}

#[tokio::test]
async fn what_is_reported_and_read_is_counted() {
    let yard = Yard::new().await;
    let body = json!({ "status": "pending", "owner": yard.ann.id });
    for _ in 0..2 {
        yard.reports("42", "graph", body.clone()).await.is_ok();
    }
    yard.shows("42", &yard.ann.access).await.is_ok();
    let metrics = yard.house.api.status_metrics();
    for line in [
        "doorward_status_reports_total{effect=\"applied\"} 1\n",
        "doorward_status_reports_total{effect=\"known\"} 1\n",
        "doorward_status_reports_total{effect=\"lost\"} 0\n",
        "doorward_status_reads_total 1\n",
        "doorward_status_resources 1\n",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}
