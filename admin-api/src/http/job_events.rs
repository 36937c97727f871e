//! Changes of a resource as server-sent events, for as long as somebody listens.
//!
//! Two kinds of events: a `record` is all that is known; a `change` is the same of one stage alone, to
//! be put in the place of what is known of that. The id of both is the version that they come to.
//! Whoever comes back with the last id it saw is told what it missed; where that is not kept any more,
//! a `record`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Path;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::unfold;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use kernel::secret::Secret;
use kernel::status::Change;
use kernel::status::Owner;
use kernel::status::Record;
use kernel::status::ResourceId;
use kernel::status::Since;
use stores::listeners::Heard;
use stores::listeners::Listener;
use stores::listeners::TooManyListeners;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio::time::sleep_until;

use super::bearer;
use super::job_shapes::Shown;
use super::jobs::lost;
use super::jobs::resource;
use super::openapi::JOBS;
use super::refusal::Refusal;
use crate::people::asker::AskerError;
use crate::people::desk::Desk;
use crate::status::Board;
use crate::status::Sight;

/// How often something is sent where nothing happens: whatever lies between does not wait for longer.
/// As often it is looked whether the listener's token still holds.
pub(crate) const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// How long a store that gave no answer is not asked again by one listener.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// When somebody who has as many streams open as may be is to try again.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// What the client had heard when it was cut off.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What tells nginx not to gather what is sent.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Tells changes of a resource, as server-sent events.
///
/// A `record` event has all that is known; a `change` event the same, but of `stages` and `details` the
/// one stage that has changed. With `Last-Event-ID` the changes since come first; where they are not
/// kept any more, a `record`. The stream ends with the token, and where the resource is the caller's no
/// more.
#[utoipa::path(
    get,
    path = "/resources/{id}/events",
    operation_id = "followResourceStatus",
    tag = JOBS,
    params(
        ("id" = String, Path, description = "The resource"),
        ("Last-Event-ID" = Option<u64>, Header, description = "The id of the last event that was heard"),
    ),
    responses(
        (status = 200, body = String, content_type = "text/event-stream", description = "A stream without an end; the data of each event is a `ResourceStatus`"),
        (status = 404, description = "Nothing is known of it, or it is somebody else's; or the token's user is gone"),
        (status = 422, description = "A name that no resource can have"),
        (status = 429, description = "The token's user has 1,000 streams open at this process already"),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn events(
    State(desk): State<Arc<Desk>>,
    State(board): State<Arc<Board>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let access = bearer::required(&headers)?;
    let asker = desk.asker(&access).await?;
    let (id, sight) = (resource(&id)?, Sight::of(&desk, &asker));
    let listener = board.statuses().listeners().listen(&id, &asker.user.id).map_err(full)?;
    // What is read from here on and what is heard have no gap between them.
    let seen = board.seen(&id, &sight).await.map_err(lost)?.ok_or(Refusal::NotFound)?;
    if seen.is_degraded() {
        return Err(Refusal::StatusAway("what was known last is not followed".to_owned()));
    }
    let mut telling = Telling {
        closes: board.closes(),
        comment_at: Instant::now() + COMMENT_EVERY,
        ask_at: None,
        waiting: VecDeque::new(),
        owner: seen.record.owner.clone(),
        desk,
        board,
        id,
        access,
        sight,
        listener,
    };
    telling.begin(last_event_id(&headers), &seen.record).await?;
    let parts = unfold(telling, async |mut telling| {
        let part = telling.next().await?;
        Some((Ok::<_, Infallible>(part), telling))
    });
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (UNBUFFERED, HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(parts)).into_response())
}

/// There is no room for another listener.
fn full(error: TooManyListeners) -> Refusal {
    match error {
        TooManyListeners::InAll => {
            tracing::warn!("nobody more can listen to job status: {error}");
            Refusal::Busy
        }
        TooManyListeners::OfOne => {
            Refusal::Throttled { policy: "streams", wait: LISTEN_AGAIN_AFTER }
        }
    }
}

/// The version that the client knows, if it says so in a way that makes sense.
fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers.get(LAST_EVENT_ID)?.to_str().ok()?.parse().ok()
}

/// One listener, and what it is still to be told.
struct Telling {
    desk: Arc<Desk>,
    board: Arc<Board>,
    id: ResourceId,
    access: Secret,
    /// What the asker may see, looked at as often as the token.
    sight: Sight,
    /// To whom the resource belonged when something was told of it last.
    owner: Option<Owner>,
    listener: Listener,
    closes: watch::Receiver<bool>,
    waiting: VecDeque<Bytes>,
    comment_at: Instant,
    /// When the record is to be asked for, that stands in for what was missed.
    ask_at: Option<Instant>,
}

impl Telling {
    /// Tells what the client has missed, or all that is known, which is `record`.
    async fn begin(&mut self, last: Option<u64>, record: &Record) -> Result<(), Refusal> {
        // The head goes out at once, whether or not there is anything to tell.
        self.waiting.push_back(comment());
        let since = match last {
            None => Since::Missed,
            Some(version) if version == record.version => Since::Changes(Vec::new()),
            Some(version) => {
                let now = self.desk.clock.now();
                self.board.statuses().since(&self.id, version, now).await.map_err(lost)?
            }
        };
        match since {
            // It may be another's by now; that it was before is no matter.
            Since::Changes(changes)
                if changes
                    .last()
                    .is_some_and(|change| !self.sight.has_what_is_of(change.owner.as_ref())) =>
            {
                return Err(Refusal::NotFound);
            }
            Since::Changes(changes) => {
                self.listener.is_at(last.unwrap_or_default());
                changes.iter().for_each(|change| self.tell_change(change));
            }
            Since::Missed => self.tell_record(record),
        }
        Ok(())
    }

    /// The next part of the stream, once there is one; `None`: it is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(part) = self.waiting.pop_front() {
                return Some(part);
            }
            if !self.sight.has_what_is_of(self.owner.as_ref()) {
                return None;
            }
            let ask_at = self.ask_at;
            tokio::select! {
                biased;
                () = closed(&mut self.closes) => return None,
                () = sleep_until(self.comment_at) => {
                    self.comment_at = Instant::now() + COMMENT_EVERY;
                    // What is seldom asked is made when it is: kept in each stream, it would be most of
                    // what that weighs.
                    if !Box::pin(self.may_listen()).await {
                        return None;
                    }
                    self.waiting.push_back(comment());
                }
                () = sleep_until(ask_at.unwrap_or(self.comment_at)), if ask_at.is_some() => {
                    Box::pin(self.ask()).await;
                }
                heard = self.listener.next(), if ask_at.is_none() => match heard {
                    Heard::Change(change) if self.may_see(change.owner.as_ref()) => {
                        self.tell_change(&change);
                    }
                    Heard::Record(record) if self.may_see(record.owner.as_ref()) => {
                        self.tell_record(&record);
                    }
                    Heard::Change(_) | Heard::Record(_) => return None,
                    Heard::Missed => Box::pin(self.ask()).await,
                },
            }
        }
    }

    /// Asks for the record where changes were missed.
    async fn ask(&mut self) {
        let passed = self.listener.skip();
        match self.board.known(&self.id).await {
            Ok(Some(seen)) if !seen.is_degraded() => {
                self.ask_at = None;
                if self.may_see(seen.record.owner.as_ref()) {
                    self.tell_record(&seen.record);
                    // It may have come to less, where the store has lost what was heard.
                    self.listener.is_at(passed.max(seen.record.version));
                }
            }
            // Forgotten meanwhile: whatever is reported from now on is told.
            Ok(None) => self.ask_at = None,
            Ok(Some(_)) | Err(_) => self.ask_at = Some(Instant::now() + ASK_AGAIN_AFTER),
        }
    }

    /// Whether the resource, which now belongs to `owner`, is still in sight. If not, nothing more is
    /// told of it.
    fn may_see(&mut self, owner: Option<&Owner>) -> bool {
        self.owner = owner.cloned();
        self.sight.has_what_is_of(owner)
    }

    /// Whether the token still holds; and what its user may see now. A database that is away sends
    /// nobody away.
    async fn may_listen(&mut self) -> bool {
        match self.desk.asker(&self.access).await {
            Ok(asker) => {
                self.sight = Sight::of(&self.desk, &asker);
                self.sight.has_what_is_of(self.owner.as_ref())
            }
            Err(AskerError::OutOfOrder(_)) => true,
            Err(
                AskerError::Token | AskerError::Expired | AskerError::Revoked | AskerError::Gone,
            ) => false,
        }
    }

    fn tell_change(&mut self, change: &Change) {
        self.listener.is_at(change.version);
        let shown = Shown::change(self.id.to_json(), change);
        self.waiting.push_back(event("change", change.version, &shown));
    }

    fn tell_record(&mut self, record: &Record) {
        self.listener.is_at(record.version);
        let shown = Shown::record(record, self.board.plan());
        self.waiting.push_back(event("record", record.version, &shown));
    }
}

async fn closed(closes: &mut watch::Receiver<bool>) {
    // A board that is gone is closed.
    let _ = closes.wait_for(|closes| *closes).await;
}

/// What says nothing, but that we are here.
fn comment() -> Bytes {
    Bytes::from_static(b":\n\n")
}

fn event(kind: &str, version: u64, shown: &Shown) -> Bytes {
    // JSON has no line ends of its own.
    let data = serde_json::to_string(shown).expect("it holds only texts and numbers");
    Bytes::from(format!("id: {version}\nevent: {kind}\ndata: {data}\n\n"))
}
