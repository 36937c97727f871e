//! Changes of a resource as server-sent events.

use std::time::Duration;

use axum::body::Body;
use axum::body::BodyDataStream;
use futures_util::FutureExt;
use futures_util::StreamExt;
use http::HeaderMap;
use http::Request;
use http::StatusCode;
use kernel::status::CHANGES_KEPT_MAX;
use kernel::status::TTL;
use serde_json::json;
use stores::listeners::LISTENERS_OF_ONE_MAX;
use test_support::events::Event;
use test_support::events::Events;
use tower::ServiceExt;

use crate::jobs::Yard;
use crate::support::*;

/// An open stream of events.
struct Stream {
    headers: HeaderMap,
    parts: BodyDataStream,
    events: Events,
}

/// A question of whoever shows `access` for the events of a resource.
fn listen(access: &str, id: &str) -> Request<Body> {
    bearer(get(&format!("/status/resources/{id}/events")), access)
}

impl Stream {
    async fn open(yard: &Yard, id: &str, last: Option<u64>) -> Self {
        let mut request = listen(&yard.ann.access, id);
        if let Some(last) = last {
            request = with_header(request, "last-event-id", &last.to_string());
        }
        Self::of(yard, request).await
    }

    async fn of(yard: &Yard, request: Request<Body>) -> Self {
        let response = yard.house.api.router().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let headers = response.headers().clone();
        let parts = response.into_body().into_data_stream();
        Self { headers, parts, events: Events::default() }
    }

    /// What is sent until an empty line; `None`: it is over.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(block) = self.events.block() {
                return Some(block);
            }
            let part = self.parts.next().await?.unwrap();
            self.events.read(&part);
        }
    }

    /// The next event, comments passed over.
    async fn event(&mut self) -> Event {
        self.next().await.expect("the stream goes on")
    }

    /// The same; `None`: it is over.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.event() {
                return Some(event);
            }
            let part = self.parts.next().await?.unwrap();
            self.events.read(&part);
        }
    }
}

#[tokio::test]
async fn a_stream_begins_with_the_record_and_goes_on_with_each_change() {
    let yard = Yard::new().await;
    let record = yard.reports_for_ann("42", "graph", "processing").await;
    let mut stream = Stream::open(&yard, "42", None).await;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    assert_eq!(stream.headers["cache-control"], "no-store");
    assert_eq!(stream.headers["x-accel-buffering"], "no");
    let first = stream.event().await;
    assert_eq!((first.kind.as_str(), &first.data), ("record", &record));
    let version = first.id;
    assert_eq!(record["version"], version);

    let after = yard.reports_for_ann("42", "quality", "completed").await;
    let next = stream.event().await;
    assert_eq!((next.id, next.kind.as_str()), (version + 1, "change"));
    let mut expected = after.clone();
    expected["stages"] = json!({ "quality": "completed" });
    expected["details"] = json!({ "quality": after["details"]["quality"] });
    expected.as_object_mut().unwrap().remove("owner");
    assert_eq!(next.data, expected);
}

#[tokio::test]
async fn whoever_comes_back_is_told_what_was_missed_or_how_it_stands() {
    let yard = Yard::new().await;
    let version = yard.reports_for_ann("42", "graph", "pending").await["version"].as_u64().unwrap();
    for _ in 0..CHANGES_KEPT_MAX / 2 {
        yard.reports_for_ann("42", "graph", "processing").await;
        yard.reports_for_ann("42", "graph", "pending").await;
    }
    let last = version + CHANGES_KEPT_MAX as u64;
    // All that is kept.
    let mut stream = Stream::open(&yard, "42", Some(version)).await;
    for id in version + 1..=last {
        let event = stream.event().await;
        assert_eq!((event.id, event.kind.as_str()), (id, "change"));
    }
    // One more, what is to come, and what makes no sense.
    for unknown in [version - 1, last + 1, 0, u64::MAX] {
        let event = Stream::open(&yard, "42", Some(unknown)).await.event().await;
        assert_eq!((event.id, event.kind.as_str()), (last, "record"), "{unknown}");
    }
    // Nothing was missed: what comes first is what happens next.
    let mut stream = Stream::open(&yard, "42", Some(last)).await;
    yard.reports_for_ann("42", "graph", "completed").await;
    assert_eq!(stream.event().await.id, last + 1);
}

#[tokio::test]
async fn a_listener_that_is_slower_than_what_is_kept_gets_the_newest_record() {
    let yard = Yard::new().await;
    yard.reports_for_ann("42", "graph", "pending").await;
    let mut stream = Stream::open(&yard, "42", None).await;
    assert_eq!(stream.event().await.kind, "record");
    for _ in 0..CHANGES_KEPT_MAX {
        yard.reports_for_ann("42", "graph", "processing").await;
        yard.reports_for_ann("42", "graph", "pending").await;
    }
    let newest = yard.reports_for_ann("42", "graph", "completed").await;
    let event = stream.event().await;
    assert_eq!((event.kind.as_str(), event.data), ("record", newest.clone()));
    yard.reports_for_ann("42", "quality", "completed").await;
    assert_eq!(stream.event().await.id, newest["version"].as_u64().unwrap() + 1);
}

#[tokio::test]
async fn somebody_elses_and_what_is_not_there_cannot_be_listened_to() {
    let yard = Yard::new().await;
    yard.reports_for_ann("42", "graph", "pending").await;
    for (id, access) in [("42", &yard.service), ("43", &yard.ann.access)] {
        let request = bearer(get(&format!("/status/resources/{id}/events")), access);
        yard.house.ask(request).await.is_problem(404, "Not Found", "NOT_FOUND");
    }
    assert!(yard.house.api.status_metrics().contains("doorward_status_listeners 0\n"));
}

#[tokio::test]
async fn a_quiet_stream_says_that_it_is_there_and_ends_with_its_token() {
    let yard = Yard::new().await;
    yard.reports_for_ann("42", "graph", "pending").await;
    let mut stream = Stream::open(&yard, "42", None).await;
    stream.event().await;
    tokio::time::pause();
    for _ in 0..3 {
        assert_eq!(stream.block().await.as_deref(), Some(":"));
    }
    yard.house.hand.forward(Duration::from_secs(1800));
    assert_eq!(stream.block().await, None);
}

#[tokio::test]
async fn a_stream_ends_when_its_token_is_revoked() {
    let yard = Yard::new().await;
    yard.reports_for_ann("42", "graph", "pending").await;
    let mut stream = Stream::open(&yard, "42", None).await;
    stream.event().await;
    yard.house.ask(bearer(post("/auth/logout"), &yard.ann.access)).await.is_ok();
    tokio::time::pause();
    assert_eq!(stream.block().await, None);
}

#[tokio::test]
async fn a_stream_ends_when_the_resource_is_named_somebody_elses() {
    let yard = Yard::new().await;
    yard.reports("42", "graph", json!({ "status": "pending" })).await.is_ok();
    let mut stream = Stream::of(&yard, listen(&yard.service, "42")).await;
    assert_eq!(stream.event().await.kind, "record");
    yard.reports("42", "graph", json!({ "status": "processing" })).await.is_ok();
    assert_eq!(stream.event().await.kind, "change");
    yard.reports_for_ann("42", "quality", "processing").await;
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_stream_ends_when_the_resource_is_begun_anew_for_somebody_else() {
    let yard = Yard::with("[auth]\naccess_ttl = \"2d\"\nlifetime_max = \"3d\"").await;
    yard.reports_for_ann("42", "graph", "pending").await;
    let mut stream = Stream::open(&yard, "42", None).await;
    stream.event().await;
    yard.house.hand.forward(TTL);
    let body = json!({ "status": "processing", "owner": yard.bob.id });
    yard.reports("42", "graph", body).await.is_ok();
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn what_is_begun_anew_for_the_same_is_told_as_a_record() {
    let yard = Yard::with("[auth]\naccess_ttl = \"2d\"\nlifetime_max = \"3d\"").await;
    yard.reports_for_ann("42", "graph", "pending").await;
    let mut stream = Stream::open(&yard, "42", None).await;
    stream.event().await;
    yard.house.hand.forward(TTL);
    let record = yard.reports_for_ann("42", "quality", "processing").await;
    let event = stream.event().await;
    assert_eq!((event.kind.as_str(), event.data), ("record", record));
}

#[tokio::test]
async fn a_record_of_a_lower_version_than_was_heard_is_told_and_not_again_and_again() {
    let yard = Yard::with("[status]\nresources_max = 100").await;
    let version = yard.reports_for_ann("42", "graph", "pending").await["version"].as_u64().unwrap();
    for status in ["processing", "completed"] {
        yard.reports_for_ann("42", "graph", status).await;
    }
    let mut first = Stream::open(&yard, "42", None).await;
    assert_eq!(first.event().await.id, version + 2);
    yard.reports_for_ann("42", "graph", "failed").await;
    assert_eq!(first.event().await.id, version + 3);
    // It is forgotten, and begun anew within the same millisecond.
    for other in 100..200 {
        yard.reports_for_ann(&other.to_string(), "graph", "pending").await;
    }
    let record = yard.reports_for_ann("42", "quality", "pending").await;
    assert_eq!(record["version"], version);
    let mut second = Stream::open(&yard, "42", None).await;
    for _ in 0..2 {
        let event = second.event().await;
        assert_eq!((event.kind.as_str(), &event.data), ("record", &record));
    }
    assert!(second.event().now_or_never().is_none());
    yard.house.hand.forward(Duration::from_secs(1));
    let record = yard.reports_for_ann("42", "quality", "processing").await;
    for stream in [&mut first, &mut second] {
        let event = stream.event().await;
        assert_eq!((event.kind.as_str(), &event.data), ("record", &record));
    }
}

#[tokio::test]
async fn a_stream_of_somebody_elses_ends_when_status_read_is_taken_away() {
    let yard = Yard::new().await;
    yard.reports_for_ann("42", "graph", "pending").await;
    let mut streams = [Stream::of(&yard, listen(&yard.supervisor, "42")).await, {
        Stream::open(&yard, "42", None).await
    }];
    for stream in &mut streams {
        stream.event().await;
    }
    let change = admin_api::UserChange { scopes: Some(Vec::new()), ..Default::default() };
    let who = admin_api::Who::Name("supervisor".to_owned());
    yard.house.api.users().change(who, change, None).await.unwrap();
    tokio::time::pause();
    let [mut supervisors, mut anns] = streams;
    assert_eq!(supervisors.block().await, None);
    // One's own goes on.
    assert_eq!(anns.block().await.as_deref(), Some(":"));
}

#[tokio::test]
async fn one_user_has_so_many_streams_and_others_have_room() {
    let yard = Yard::new().await;
    yard.reports_for_ann("42", "graph", "pending").await;
    let mut streams = Vec::new();
    for _ in 0..LISTENERS_OF_ONE_MAX {
        streams.push(Stream::open(&yard, "42", None).await);
    }
    let answer = yard.house.ask(listen(&yard.ann.access, "42")).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.text);
    assert_eq!(answer.header("retry-after"), "10");
    assert_eq!(answer.json()["violated-policies"], json!(["streams"]));
    Stream::of(&yard, listen(&yard.supervisor, "42")).await;
    streams.pop();
    Stream::open(&yard, "42", None).await;
}

#[tokio::test]
async fn listeners_are_sent_away_when_it_ends() {
    let yard = Yard::new().await;
    yard.reports_for_ann("42", "graph", "pending").await;
    let mut stream = Stream::open(&yard, "42", None).await;
    stream.event().await;
    yard.house.api.send_listeners_away();
    assert_eq!(stream.block().await, None);
}
