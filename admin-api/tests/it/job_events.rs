//! Changes of a resource as server-sent events.

use std::time::Duration;

use axum::body::BodyDataStream;
use futures_util::StreamExt;
use http::HeaderMap;
use kernel::status::CHANGES_KEPT_MAX;
use serde_json::Value;
use serde_json::json;
use tower::ServiceExt;

use crate::jobs::Yard;
use crate::support::*;

/// An open stream of events.
struct Stream {
    headers: HeaderMap,
    parts: BodyDataStream,
    text: String,
}

#[derive(Debug, PartialEq)]
struct Event {
    id: u64,
    kind: String,
    data: Value,
}

impl Stream {
    async fn open(yard: &Yard, id: &str, last: Option<u64>) -> Self {
        let mut request = bearer(get(&format!("/status/resources/{id}/events")), &yard.ann.access);
        if let Some(last) = last {
            request = with_header(request, "last-event-id", &last.to_string());
        }
        let response = yard.house.api.router().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let headers = response.headers().clone();
        Self { headers, parts: response.into_body().into_data_stream(), text: String::new() }
    }

    /// What is sent until an empty line; `None`: it is over.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let part = self.parts.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&part).unwrap());
        }
    }

    /// The next event, comments passed over.
    async fn event(&mut self) -> Event {
        loop {
            let block = self.block().await.expect("the stream goes on");
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            if let Some(id) = field("id: ") {
                return Event {
                    id: id.parse().unwrap(),
                    kind: field("event: ").unwrap().to_owned(),
                    data: serde_json::from_str(field("data: ").unwrap()).unwrap(),
                };
            }
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
async fn listeners_are_sent_away_when_it_ends() {
    let yard = Yard::new().await;
    yard.reports_for_ann("42", "graph", "pending").await;
    let mut stream = Stream::open(&yard, "42", None).await;
    stream.event().await;
    yard.house.api.send_listeners_away();
    assert_eq!(stream.block().await, None);
}
