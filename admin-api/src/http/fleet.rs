//! What gateways that run apart ask for: the feed of revocations, the public keys, and all that
//! clients may ask for, on whose behalf they come.
//!
//! Whoever does not show the fleet's token is told nothing but that, whatever they ask for, and is
//! believed nothing of what they say of a client.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::body::Bytes;
use axum::extract::ConnectInfo;
use axum::extract::Request;
use axum::extract::State;
use axum::middleware::Next;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use http::HeaderMap;
use http::HeaderValue;
use http::StatusCode;
use http::Uri;
use http::header::CACHE_CONTROL;
use http::header::CONNECTION;
use http::header::CONTENT_TYPE;
use http::header::ETAG;
use http::header::IF_NONE_MATCH;
use kernel::fleet::KEYS_PATH;
use kernel::fleet::POSITION_PATH;
use kernel::fleet::PublicKeys;
use kernel::fleet::ROWS_PATH;
use kernel::fleet::WAIT_MAX;
use kernel::fleet::write_rows;
use kernel::front::FLEET_TOKEN;
use kernel::front::REQUEST_ID;
use kernel::problem::FieldFault;
use kernel::revocation::feed::Position;
use kernel::secret::Secret;
use kernel::time::Timestamp;
use subtle::ConstantTimeEq;
use tokio::sync::watch;
use uuid::Uuid;

use super::entity_tag;
use super::envelope::enclose;
use super::query::Query;
use super::query::of_query;
use super::refusal::Refusal;
use super::seldom::Seldom;
use crate::store::database::Database;
use crate::store::lookout::Lookout;
use crate::store::revocations;

/// How long after a stranger the log names no other.
const QUIET: Duration = Duration::from_secs(1);

/// What gateways are told from.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) database: Database,
    pub(crate) lookout: Arc<Lookout>,
    pub(crate) keys: Keys,
}

/// The public keys, written anew only when there are others, however many gateways ask.
#[derive(Clone)]
pub(crate) struct Keys {
    now: watch::Receiver<Arc<PublicKeys>>,
    last: Arc<Last>,
}

/// The keys that were written last, and how.
type Last = Mutex<Option<(Arc<PublicKeys>, Written)>>;

/// Keys as an answer has them, and their version.
#[derive(Clone)]
struct Written {
    body: Bytes,
    tag: HeaderValue,
}

/// Who is let in, and when the log last spoke of somebody who is not.
struct Gate {
    token: Secret,
    warnings: Seldom,
}

/// All that gateways may ask for: `for_clients`, and what `sources` tell; for nobody who does not
/// show `token`.
pub(crate) fn routes(for_clients: Router, sources: Sources, token: Secret) -> Router {
    let between = Router::new()
        .route(POSITION_PATH, get(position))
        .route(ROWS_PATH, get(rows))
        .route(KEYS_PATH, get(keys))
        .with_state(sources);
    guarded(enclose(between).merge(for_clients), token)
}

/// `routes` for nobody who does not show `token`: a stranger gets no further than here.
fn guarded(routes: Router, token: Secret) -> Router {
    routes.layer(from_fn_with_state(Arc::new(Gate::new(token)), guard))
}

async fn guard(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    if gate.opens_to(request.headers()) {
        request.headers_mut().remove(FLEET_TOKEN);
        return next.run(request).await;
    }
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    gate.refuse(peer.map(|ConnectInfo(peer)| peer.ip()), Instant::now())
}

impl Gate {
    fn new(token: Secret) -> Self {
        Self { token, warnings: Seldom::once_in(QUIET) }
    }

    /// The answer to a stranger: the same whatever they ask for, and the last on their connection.
    fn refuse(&self, peer: Option<IpAddr>, now: Instant) -> Response {
        let request_id = Uuid::now_v7().to_string();
        if self.warnings.is_due(now) {
            let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
            tracing::warn!(
                request.id = request_id,
                client.address = peer,
                "{peer} was refused: {}; no other is named within a second",
                Refusal::NotOfTheFleet
            );
        }
        let mut response = Refusal::NotOfTheFleet.answer("", &request_id, None);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if let Ok(id) = HeaderValue::try_from(request_id) {
            headers.insert(REQUEST_ID, id);
        }
        response
    }

    /// Whether the token is shown, once; in a time that tells nothing of it but its length.
    fn opens_to(&self, headers: &HeaderMap) -> bool {
        let mut shown = headers.get_all(FLEET_TOKEN).iter();
        let (Some(shown), None) = (shown.next(), shown.next()) else { return false };
        shown.as_bytes().ct_eq(self.token.expose().as_bytes()).into()
    }
}

/// Where the log is: at once, or as soon as it is elsewhere than `after`.
async fn position(State(sources): State<Sources>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let asked = || -> Result<_, FieldFault> {
        let after = query.optional("after")?;
        let known = after.map(|text| Position::parse(text).ok_or_else(|| odd("after")));
        Ok((known.transpose()?, wait(&query)?))
    };
    let (known, wait) = asked().map_err(|fault| Refusal::Fields(vec![fault]))?;
    let here = match known {
        Some(known) => sources.lookout.moved(&sources.database, &known, wait).await?,
        None => sources.database.read(revocations::position).await?,
    };
    let body = serde_json::to_string(&here).expect("texts and numbers alone");
    Ok(json(body))
}

/// The rows after a number, as many as fit into one answer.
async fn rows(State(sources): State<Sources>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let asked = || Ok((number(&query, "after")?, number(&query, "now_ms")?));
    let (after, now_ms) = asked().map_err(|fault: FieldFault| Refusal::Fields(vec![fault]))?;
    let now = Timestamp::from_millis(now_ms);
    let rows = sources.database.read(move |sql| revocations::rows_after(sql, after, now)).await?;
    Ok(json(write_rows(&rows)))
}

/// The public keys: at once, or as soon as they are others than those of `If-None-Match`.
async fn keys(
    State(mut sources): State<Sources>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refusal> {
    let wait = wait(&Query::of(&uri)).map_err(|fault| Refusal::Fields(vec![fault]))?;
    let known = headers.get(IF_NONE_MATCH);
    let others = sources.keys.others_than(known);
    let keys = tokio::select! {
        biased;
        keys = tokio::time::timeout(wait, others) => keys,
        () = sources.lookout.is_over() => return Err(Refusal::Busy),
    };
    match keys {
        Ok(Some(Written { body, tag })) => {
            let mut response = json(body);
            response.headers_mut().insert(ETAG, tag);
            Ok(response)
        }
        Ok(None) => Err(Refusal::Busy),
        Err(_) => Ok(StatusCode::NOT_MODIFIED.into_response()),
    }
}

impl Keys {
    /// Those that `now` has at any time.
    pub(crate) fn of(now: watch::Receiver<Arc<PublicKeys>>) -> Self {
        Self { now, last: Arc::default() }
    }

    /// Waits until their version is not `known`; `None` where there will be no others.
    async fn others_than(&mut self, known: Option<&HeaderValue>) -> Option<Written> {
        let (mut found, last) = (None, &self.last);
        let others = self.now.wait_for(|keys| {
            let written = Self::written(last, keys);
            let is_other = known != Some(&written.tag);
            found = Some(written);
            is_other
        });
        others.await.is_ok().then_some(found).flatten()
    }

    /// `keys`, as they were written last if they are the same.
    fn written(last: &Last, keys: &Arc<PublicKeys>) -> Written {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((of, written)) if Arc::ptr_eq(of, keys) => written.clone(),
            _ => {
                let written = Written::of(keys);
                *last = Some((Arc::clone(keys), written.clone()));
                written
            }
        }
    }
}

impl Written {
    fn of(keys: &PublicKeys) -> Self {
        let body = serde_json::to_string(keys).expect("texts and numbers alone");
        Self { tag: entity_tag::of_text(&body), body: body.into() }
    }
}

/// How long to wait: as long as is asked for, but no longer than [`WAIT_MAX`].
fn wait(query: &Query) -> Result<Duration, FieldFault> {
    let asked = match query.optional("wait_ms")? {
        Some(_) => Duration::from_millis(number(query, "wait_ms")?),
        None => WAIT_MAX,
    };
    Ok(asked.min(WAIT_MAX))
}

fn number(query: &Query, name: &str) -> Result<u64, FieldFault> {
    let text = query.required(name)?;
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten().ok_or_else(|| odd(name))
}

fn odd(name: &str) -> FieldFault {
    of_query(name, "Input is not as the kernel's `fleet` says", "value_error")
}

fn json(body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body.into()).into_response()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::routing::post;
    use futures_util::stream;
    use http::header::WWW_AUTHENTICATE;
    use kernel::front::FLEET_CHALLENGE;
    use kernel::keys::Stored;
    use tower::ServiceExt;

    use super::*;

    #[test]
    fn ten_seconds_are_the_longest_wait_and_what_is_waited_where_nothing_is_asked() {
        let of = |query: &str| wait(&Query::of(&format!("/x?{query}").parse().unwrap()));
        for (query, millis) in [
            ("", 10_000),
            ("wait_ms=0", 0),
            ("wait_ms=9999", 9_999),
            ("wait_ms=10000", 10_000),
            ("wait_ms=10001", 10_000),
            ("wait_ms=18446744073709551615", 10_000),
        ] {
            assert_eq!(of(query).unwrap(), Duration::from_millis(millis), "{query}");
        }
        for query in ["wait_ms=-1", "wait_ms=+1", "wait_ms=1.5", "wait_ms=18446744073709551616"] {
            assert!(of(query).is_err(), "{query}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_the_body_of_a_stranger() {
        let handler = post(async || "hello");
        let for_clients = enclose(Router::new().route("/", handler));
        let routes = guarded(for_clients, Secret::new("the fleet's"));
        let ask = async |token: &str| {
            let body = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
            let request = http::Request::post("/").header(FLEET_TOKEN, token);
            routes.clone().oneshot(request.body(body).unwrap()).await.unwrap().status()
        };
        let began = tokio::time::Instant::now();
        assert_eq!(ask("a guess").await, StatusCode::UNAUTHORIZED);
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(ask("the fleet's").await, StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn keys_are_written_once_for_all_who_ask_and_anew_when_there_are_others() {
        let (news, now) = watch::channel(Arc::new(PublicKeys::default()));
        let mut keys = Keys::of(now);
        let mut asked_again = keys.clone();
        let first = keys.others_than(None).await.unwrap();
        let second = asked_again.others_than(None).await.unwrap();
        assert_eq!(first.body.as_ptr(), second.body.as_ptr());
        // The same keys, told anew, are no others.
        news.send_replace(Arc::new(PublicKeys::default()));
        let stored = Stored { signing: None, verifying: vec![], distrusted: vec!["k1".into()] };
        let others = Arc::new(PublicKeys::of(&stored, |_| String::new()));
        let (found, ()) = tokio::join!(keys.others_than(Some(&first.tag)), async {
            news.send_replace(others);
        });
        let found = found.unwrap();
        assert_eq!(found.body, &br#"{"keys":[],"distrusted":["k1"]}"#[..]);
        assert_ne!(found.tag, first.tag);
        drop(news);
        assert!(keys.others_than(Some(&found.tag)).await.is_none());
    }

    #[tokio::test]
    async fn a_stranger_is_told_nothing_of_what_they_said_and_sent_away() {
        let response = Gate::new(Secret::new("a-token")).refuse(None, Instant::now());
        assert_eq!(response.headers()[CONNECTION], "close");
        assert_eq!(response.headers()[WWW_AUTHENTICATE], FLEET_CHALLENGE);
        let id = response.headers()[REQUEST_ID].to_str().unwrap().to_owned();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["instance"], &body["request_id"]), (&"".into(), &id.into()));
    }

    #[test]
    fn the_token_is_shown_once_and_whole() {
        let gate = Gate::new(Secret::new("a-token"));
        let shown = |tokens: &[&'static str]| {
            let headers = tokens.iter().map(|token| HeaderValue::from_static(token));
            let name = http::HeaderName::from_static(FLEET_TOKEN);
            headers.map(|token| (name.clone(), token)).collect::<HeaderMap>()
        };
        assert!(gate.opens_to(&shown(&["a-token"])));
        for tokens in [&[][..], &[""], &["a-toke"], &["a-token "], &["A-token"], &["b-token"]] {
            assert!(!gate.opens_to(&shown(tokens)), "{tokens:?}");
        }
        let mut twice = shown(&["a-token"]);
        twice.append(FLEET_TOKEN, HeaderValue::from_static("a-token"));
        assert!(!gate.opens_to(&twice));
    }
}
