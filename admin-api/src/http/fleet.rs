//! What gateways that run apart ask for: the feed of revocations, the public keys, and all that
//! clients may ask for, on whose behalf they come.
//!
//! Whoever does not show the fleet's token is told nothing but that, whatever they ask for, and is
//! believed nothing of what they say of a client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
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
use http::header::CONTENT_TYPE;
use http::header::ETAG;
use http::header::IF_NONE_MATCH;
use kernel::fleet::KEYS_PATH;
use kernel::fleet::POSITION_PATH;
use kernel::fleet::PublicKeys;
use kernel::fleet::ROWS_PATH;
use kernel::fleet::WAIT_MAX;
use kernel::fleet::write_rows;
use kernel::front::CLIENT_ADDRESS;
use kernel::front::FLEET_TOKEN;
use kernel::front::REQUEST_ID;
use kernel::problem::FieldFault;
use kernel::revocation::feed::Position;
use kernel::secret::Secret;
use kernel::time::Timestamp;
use ring::digest::SHA256;
use ring::digest::digest;
use serde::Serialize;
use subtle::ConstantTimeEq;
use tokio::sync::watch;
use tower::ServiceExt;

use super::envelope::enclose;
use super::query::Query;
use super::query::of_query;
use super::refusal::Refusal;
use crate::store::database::Database;
use crate::store::lookout::Lookout;
use crate::store::revocations;

/// What gateways are told from.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) database: Database,
    pub(crate) lookout: Arc<Lookout>,
    pub(crate) keys: watch::Receiver<Arc<PublicKeys>>,
}

/// Who shows the token, and what the others are told.
#[derive(Clone)]
struct Gate {
    token: Secret,
    others: Router,
}

/// All that gateways may ask for: `for_clients`, and what `sources` tell; for nobody who does not
/// show `token`.
pub(crate) fn routes(for_clients: Router, sources: Sources, token: Secret) -> Router {
    let between = Router::new()
        .route(POSITION_PATH, get(position))
        .route(ROWS_PATH, get(rows))
        .route(KEYS_PATH, get(keys))
        .with_state(sources);
    let others = enclose(Router::new().fallback(async || Refusal::NotOfTheFleet));
    let gate = Gate { token, others };
    enclose(between).merge(for_clients).layer(from_fn_with_state(gate, guard))
}

async fn guard(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    if gate.opens_to(request.headers()) {
        request.headers_mut().remove(FLEET_TOKEN);
        return next.run(request).await;
    }
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|ConnectInfo(peer)| peer.ip().to_string());
    let headers = request.headers_mut();
    // Neither is believed of a stranger, in log lines as little as elsewhere.
    headers.remove(CLIENT_ADDRESS);
    headers.remove(REQUEST_ID);
    if let Some(peer) = peer.and_then(|peer| HeaderValue::try_from(peer).ok()) {
        headers.insert(CLIENT_ADDRESS, peer);
    }
    match gate.others.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

impl Gate {
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
    Ok(json(&here))
}

/// The rows after a number, as many as fit into one answer.
async fn rows(State(sources): State<Sources>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    let asked = || Ok((number(&query, "after")?, number(&query, "now_ms")?));
    let (after, now_ms) = asked().map_err(|fault: FieldFault| Refusal::Fields(vec![fault]))?;
    let now = Timestamp::from_millis(now_ms);
    let rows = sources.database.read(move |sql| revocations::rows_after(sql, after, now)).await?;
    Ok(of_json(write_rows(&rows)))
}

/// The public keys: at once, or as soon as they are others than those of `If-None-Match`.
async fn keys(
    State(mut sources): State<Sources>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refusal> {
    let wait = wait(&Query::of(&uri)).map_err(|fault| Refusal::Fields(vec![fault]))?;
    let known = headers.get(IF_NONE_MATCH);
    let others = sources.keys.wait_for(|keys| known != Some(&tag_of(keys)));
    let keys = tokio::select! {
        biased;
        keys = tokio::time::timeout(wait, others) => keys,
        () = sources.lookout.is_over() => return Err(Refusal::Busy),
    };
    match keys {
        Ok(Ok(keys)) => {
            let mut response = json(&**keys);
            response.headers_mut().insert(ETAG, tag_of(&keys));
            Ok(response)
        }
        Ok(Err(_)) => Err(Refusal::Busy),
        Err(_) => Ok(StatusCode::NOT_MODIFIED.into_response()),
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

/// The version of `keys` (RFC 9110 §8.8.3): the same wherever and whenever they are the same.
fn tag_of(keys: &PublicKeys) -> HeaderValue {
    let hash = digest(&SHA256, text_of(keys).as_bytes());
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::try_from(format!("\"{hex}\"")).expect("hexadecimal digits are plain ASCII")
}

fn json(body: &impl Serialize) -> Response {
    of_json(text_of(body))
}

fn text_of(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("texts and numbers alone")
}

fn of_json(body: String) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn the_token_is_shown_once_and_whole() {
        let gate = Gate { token: Secret::new("a-token"), others: Router::new() };
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
