//! A request's way through pingora's phases. Translates, and decides nothing by itself.
//!
//! `request_filter` asks the gatekeeper and answers what is refused; `upstream_request_filter` names
//! the caller to the back end; `response_filter` tells the client how it stands; `fail_to_proxy`
//! answers for a back end that did not; `logging` counts and writes down.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use config::Authorization;
use http::HeaderName;
use http::HeaderValue;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use http::header::CONTENT_TYPE;
use http::header::EXPECT;
use http::header::HOST;
use http::header::WWW_AUTHENTICATE;
use kernel::front;
use kernel::problem::MEDIA_TYPE;
use pingora::ErrorSource;
use pingora::ErrorType;
use pingora::http::RequestHeader;
use pingora::http::ResponseHeader;
use pingora::modules::http::HttpModules;
use pingora::prelude::Error;
use pingora::prelude::HttpPeer;
use pingora::prelude::Result;
use pingora::proxy::FailToProxy;
use pingora::proxy::ProxyHttp;
use pingora::proxy::ProxyWarnLogContext;
use pingora::proxy::Session;

use crate::access_log::Line;
use crate::admission::Admission;
use crate::admission::Request;
use crate::auth::header_text;
use crate::forward;
use crate::forward::Facts;
use crate::metrics::Counted;
use crate::refusal::Malformed;
use crate::refusal::Refusal;
use crate::refusal::UpstreamFault;
use crate::revocation::Visitor;
use crate::sample::Sample;
use crate::snapshot::Snapshot;
use crate::visit::Visit;
use crate::visit::Way;

/// How long the body of a refused request is read and thrown away to keep the connection.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// There is an admin API elsewhere, and its name has no address yet.
const ADMIN_UNRESOLVED: ErrorType = ErrorType::Custom("the admin API has no address yet");

/// The admin API was there, and does not know this gateway.
const GATEWAY_UNKNOWN: ErrorType = ErrorType::Custom("the admin API does not take our token");

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The proxy, as pingora asks it.
pub struct Proxy {
    snapshot: Arc<Snapshot>,
    over_quota: Sample,
}

impl Proxy {
    /// A proxy by what `snapshot` says.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self { snapshot, over_quota: Sample::default() }
    }

    /// Asks the gatekeeper; `Ok(true)` where the answer was given right here.
    async fn admit(&self, session: &mut Session, visit: &mut Visit) -> Result<bool, Refusal> {
        let request = session.req_header();
        let request = Request {
            method: request.method.as_str(),
            target: request.raw_path(),
            host: header_str(request, &HOST),
            headers: &request.headers,
            client: visit.client,
        };
        match self.snapshot.gatekeeper.admit(&request, visit.at).await? {
            Admission::Route { route, visitor, grant } => {
                if grant.is_shadowed() {
                    self.snapshot.metrics.shadowed();
                }
                visit.standing = grant.standing(visit.at);
                let request = session.req_header_mut();
                forward::strip(request, route.allow_underscore_headers, route.authorization);
                visit.way = Way::Route { index: route.index, visitor };
                Ok(false)
            }
            Admission::Mount { grant } => {
                visit.standing = grant.standing(visit.at);
                forward::strip(session.req_header_mut(), false, Authorization::Original);
                visit.way = Way::Mount;
                Ok(false)
            }
            Admission::Quota { visitor, grant } => {
                visit.way = Way::Mount;
                visit.standing = grant.standing(visit.at);
                let report = grant.report(&self.tier_of(&visitor), visit.at);
                let body = serde_json::to_string(&report).map_err(|_| Refusal::Internal)?;
                let headers = [
                    (CONTENT_TYPE, HeaderValue::from_static("application/json")),
                    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
                ];
                let sent = respond(session, visit, StatusCode::OK, headers, body.into());
                sent.await.map_err(|_| Refusal::Internal)?;
                Ok(true)
            }
        }
    }

    fn tier_of(&self, visitor: &Visitor) -> String {
        match visitor {
            Visitor::Anonymous => String::new(),
            Visitor::Caller(caller, _) => {
                let limiter = &self.snapshot.gatekeeper.limiter;
                limiter.plan_of(caller.tier()).as_str().to_owned()
            }
        }
    }

    /// Answers with a refusal, and keeps the connection where that can be done.
    async fn refuse(
        &self,
        session: &mut Session,
        visit: &mut Visit,
        refusal: &Refusal,
    ) -> Result<()> {
        self.note(visit, refusal);
        let path = path_of(session.req_header());
        let answer = refusal.answer(&path, visit.id.as_str());
        let mut headers = answer.headers;
        headers.push((CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE)));
        if let Some(over) = refusal.over_quota() {
            visit.standing = Some(over.standing.clone());
            if self.over_quota.is_news(&over.subject, visit.at) {
                visit.level = "warn";
            }
        }
        // Who waits for `100 Continue` has sent no body yet, and will not send one now.
        if !session.req_header().headers.contains_key(EXPECT) {
            session.set_close_on_response_before_downstream_finish(false);
            session.set_total_drain_timeout(Some(DRAIN_TIMEOUT));
        }
        let body = answer.problem.to_json().into();
        respond(session, visit, answer.problem.status, headers, body).await
    }

    fn note(&self, visit: &mut Visit, refusal: &Refusal) {
        self.snapshot.metrics.refused(refusal);
        visit.refusal = refusal.code().as_str();
        if refusal.is_auth_failure() {
            visit.level = "warn";
        }
    }

    fn name_caller(&self, request: &mut RequestHeader, visitor: &Visitor) -> Result<()> {
        let Visitor::Caller(caller, known) = visitor else {
            return Ok(());
        };
        let limiter = &self.snapshot.gatekeeper.limiter;
        let plan = caller.tier().and_then(|tier| limiter.tier(tier));
        let plan = plan.unwrap_or_else(|| {
            self.snapshot.metrics.unknown_tier();
            limiter.default_tier()
        });
        // Only an administrator's word makes them other than what was made ready with the token.
        let scopes = caller.is_overridden().then(|| header_text(&caller.scopes().join(" ")));
        forward::name_caller(request, known, &plan.name, scopes)
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Box<Visit>;

    fn new_ctx(&self) -> Box<Visit> {
        Box::new(Visit::new(kernel::time::now()))
    }

    /// None: pingora's default would look into every answer for something to compress.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, visit: &mut Self::CTX) -> Result<bool> {
        visit.recognise(session, &self.snapshot);
        match self.admit(session, visit).await {
            Ok(answered) => Ok(answered),
            Err(refusal) => {
                self.refuse(session, visit, &refusal).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, _: &mut Session, visit: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        visit.tries += 1;
        let pool = match &visit.way {
            Way::Route { index, .. } => {
                let route = &self.snapshot.gatekeeper.routes.routes()[*index];
                self.snapshot.pools.get(route.upstream)
            }
            Way::Mount => {
                let peer = self.snapshot.admin.next();
                return peer.ok_or_else(|| Error::new_up(ADMIN_UNRESOLVED));
            }
            Way::Nowhere => None,
        };
        let peer = pool.and_then(|pool| pool.next());
        peer.ok_or_else(|| Error::explain(ErrorType::InternalError, "a way that leads nowhere"))
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        visit: &mut Self::CTX,
    ) -> Result<()> {
        match &visit.way {
            Way::Route { visitor, .. } => self.name_caller(request, visitor)?,
            Way::Mount => {
                let client = visit.client_text.as_deref().map(header_text);
                let client = client.unwrap_or_else(|| visit.peer.clone());
                request.insert_header(front::CLIENT_ADDRESS, client)?;
                if let Some(token) = &self.snapshot.fleet_token {
                    request.insert_header(front::FLEET_TOKEN, token.clone())?;
                }
            }
            Way::Nowhere => {}
        }
        let traced = request.headers.get(&TRACEPARENT);
        let is_traced = traced.is_some_and(|value| forward::is_traceparent(value.as_bytes()));
        let facts = Facts {
            request_id: visit.id.to_header(),
            traceparent: (!is_traced).then(|| visit.id.new_traceparent()),
            forwarded_for: forward::forwarded_for(visit.chain.as_deref(), &visit.peer),
            proto: HeaderValue::from_static(if visit.is_https { "https" } else { "http" }),
            host: request.headers.get(HOST).cloned(),
        };
        forward::state_facts(request, facts)
    }

    async fn response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        visit: &mut Self::CTX,
    ) -> Result<()> {
        // It is this gateway that is not known there, not the client.
        if matches!(visit.way, Way::Mount) && is_for_the_fleet(response) {
            return Err(Error::new_up(GATEWAY_UNKNOWN));
        }
        visit.sign(response)
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        visit: &mut Self::CTX,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let endpoints = match &visit.way {
            Way::Route { index, .. } => {
                let route = &self.snapshot.gatekeeper.routes.routes()[*index];
                self.snapshot.pools.get(route.upstream).map_or(0, |pool| pool.endpoints())
            }
            Way::Mount => self.snapshot.admin.endpoints(),
            Way::Nowhere => 1,
        };
        // Nothing was sent yet, so another endpoint may have it, whatever the method.
        if visit.tries < endpoints {
            error.set_retry(true);
            self.snapshot.metrics.upstream_retried();
        }
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        visit: &mut Self::CTX,
    ) -> FailToProxy {
        let refusal = match &visit.way {
            Way::Mount if is_admin_away(error) => Some(UpstreamFault::AdminAway.into()),
            _ => refusal_of(error),
        };
        let code = match refusal {
            Some(refusal) if session.response_written().is_none() => {
                session.set_keepalive(None);
                match self.refuse(session, visit, &refusal).await {
                    Ok(()) => refusal.status().as_u16(),
                    Err(_) => 0,
                }
            }
            // Half an answer is out: only the end of the connection can tell that it is no whole one.
            Some(refusal) => {
                self.note(visit, &refusal);
                0
            }
            None => 0,
        };
        FailToProxy { error_code: code, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, visit: &mut Self::CTX) {
        let took = visit.began.elapsed();
        let status = session.response_written().map_or(0, |response| response.status.as_u16());
        let (counted, route, user_id) = match &visit.way {
            Way::Route { index, visitor } => {
                let route = &self.snapshot.gatekeeper.routes.routes()[*index];
                let user_id = match visitor {
                    Visitor::Anonymous => "",
                    Visitor::Caller(caller, _) => caller.user_id(),
                };
                (Counted::Route(*index), &*route.name, user_id)
            }
            Way::Mount => (Counted::Mount, "(doorward)", ""),
            Way::Nowhere => (Counted::Nowhere, "", ""),
        };
        let metrics = &self.snapshot.metrics;
        // The admin API's own; a back end's 401 is its own business.
        if matches!(visit.way, Way::Mount) && status == 401 && visit.refusal.is_empty() {
            metrics.auth_failed();
            visit.level = "warn";
        }
        metrics.request_done(counted, status, took);
        let request = session.req_header();
        let kept = self.snapshot.access_log.write(&Line {
            at: visit.at,
            level: visit.level,
            request_id: visit.id.as_str(),
            method: request.method.as_str(),
            path: &path_of(request),
            status,
            took,
            route,
            user_id,
            client: visit.client(),
            bytes_sent: session.body_bytes_sent(),
            refusal: visit.refusal,
        });
        if !kept {
            metrics.log_lines_dropped.inc();
        }
    }

    /// pingora's own lines name the target with its query, which may hold what nobody should read.
    fn suppress_error_log(&self, _: &Session, _: &Self::CTX, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Self::CTX,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

/// Writes an answer of ours.
async fn respond(
    session: &mut Session,
    visit: &mut Visit,
    status: StatusCode,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    body: Bytes,
) -> Result<()> {
    let mut head = ResponseHeader::build(status, Some(16))?;
    for (name, value) in headers {
        head.insert_header(name, value)?;
    }
    head.set_content_length(body.len())?;
    visit.sign(&mut head)?;
    session.write_response_header(Box::new(head), false).await?;
    session.write_response_body(Some(body), true).await
}

/// What a client is told of an error; nothing where the client is the one who went away.
fn refusal_of(error: &Error) -> Option<Refusal> {
    use ErrorType::ConnectTimedout;
    use ErrorType::InvalidHTTPHeader;
    use ErrorType::ReadTimedout;
    use ErrorType::TLSHandshakeTimedout;
    use ErrorType::WriteTimedout;
    match (error.esource(), error.etype()) {
        (ErrorSource::Upstream, ConnectTimedout | TLSHandshakeTimedout) => {
            Some(UpstreamFault::Late.into())
        }
        (ErrorSource::Upstream, ReadTimedout | WriteTimedout) => Some(UpstreamFault::Late.into()),
        (ErrorSource::Upstream, kind) if is_about_connecting(kind) => {
            Some(UpstreamFault::Unreachable.into())
        }
        (ErrorSource::Upstream, _) => Some(UpstreamFault::Broken.into()),
        (ErrorSource::Downstream, InvalidHTTPHeader) => Some(Malformed::Syntax.into()),
        (ErrorSource::Downstream, ReadTimedout) => Some(Malformed::Slow.into()),
        (ErrorSource::Downstream, _) => None,
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(Refusal::Internal),
    }
}

/// Whether it is an admin API's answer to a gateway without its token.
fn is_for_the_fleet(response: &ResponseHeader) -> bool {
    response.status == StatusCode::UNAUTHORIZED
        && response.headers.get(WWW_AUTHENTICATE).is_some_and(|it| it == front::FLEET_CHALLENGE)
}

/// Whether the admin API was asked for nothing: there was no connection to it, or it does not know
/// this gateway.
fn is_admin_away(error: &Error) -> bool {
    use ErrorType::ConnectTimedout;
    use ErrorType::TLSHandshakeTimedout;
    let kind = error.etype();
    *error.esource() == ErrorSource::Upstream
        && (is_about_connecting(kind)
            || matches!(kind, ConnectTimedout | TLSHandshakeTimedout)
            || [ADMIN_UNRESOLVED, GATEWAY_UNKNOWN].contains(kind))
}

fn is_about_connecting(kind: &ErrorType) -> bool {
    use ErrorType::BindError;
    use ErrorType::ConnectError;
    use ErrorType::ConnectNoRoute;
    use ErrorType::ConnectRefused;
    use ErrorType::HandshakeError;
    use ErrorType::InvalidCert;
    use ErrorType::SocketError;
    use ErrorType::TLSHandshakeFailure;
    matches!(
        kind,
        ConnectRefused
            | ConnectNoRoute
            | ConnectError
            | BindError
            | SocketError
            | HandshakeError
            | TLSHandshakeFailure
            | InvalidCert
    )
}

fn header_str<'a>(request: &'a RequestHeader, name: &HeaderName) -> &'a str {
    request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The path as it was sent, without the query; what is no text is shown as such.
fn path_of(request: &RequestHeader) -> std::borrow::Cow<'_, str> {
    let raw = request.raw_path();
    let end = memchr::memchr(b'?', raw).unwrap_or(raw.len());
    String::from_utf8_lossy(&raw[..end])
}
