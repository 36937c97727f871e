//! One request on its way: who sent it, where it goes, and what is to be said of it.
//!
//! Made when its head is read, carried through pingora's phases, and written down at the end.

use std::net::IpAddr;
use std::time::Instant;

use http::HeaderName;
use http::HeaderValue;
use kernel::front;
use kernel::time::Timestamp;
use pingora::http::ResponseHeader;
use pingora::prelude::Result;
use pingora::proxy::Session;

use crate::client;
use crate::client::Forwarded;
use crate::forward;
use crate::limit::standing::Standing;
use crate::request_id;
use crate::request_id::RequestId;
use crate::revocation::Visitor;
use crate::snapshot::Snapshot;
use crate::wire::Wire;

const X_REQUEST_ID: HeaderName = HeaderName::from_static(front::REQUEST_ID);

/// One request, from its head to its last byte.
pub struct Visit {
    pub(crate) at: Timestamp,
    pub(crate) began: Instant,
    pub(crate) id: VisitId,
    pub(crate) client: IpAddr,
    /// The client's address as text; `None` where it is the peer's.
    pub(crate) client_text: Option<String>,
    pub(crate) peer: HeaderValue,
    pub(crate) way: Way,
    pub(crate) standing: Option<Standing>,
    /// `X-Forwarded-For` as far as proxies of ours vouch for it.
    pub(crate) chain: Option<String>,
    pub(crate) is_https: bool,
    pub(crate) tries: usize,
    pub(crate) refusal: &'static str,
    pub(crate) level: &'static str,
}

/// What `X-Request-Id` says.
pub(crate) enum VisitId {
    Ours(RequestId),
    Theirs(HeaderValue),
}

/// Where a request goes.
pub(crate) enum Way {
    Nowhere,
    Mount,
    Route { index: usize, visitor: Visitor },
}

impl VisitId {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Ours(id) => id.as_str(),
            Self::Theirs(id) => id.to_str().unwrap_or_default(),
        }
    }

    pub(crate) fn new_traceparent(&self) -> HeaderValue {
        match self {
            Self::Ours(id) => request_id::new_traceparent(id),
            Self::Theirs(_) => request_id::new_traceparent(&RequestId::next()),
        }
    }

    pub(crate) fn to_header(&self) -> HeaderValue {
        match self {
            Self::Ours(id) => id.to_header(),
            Self::Theirs(id) => id.clone(),
        }
    }
}

impl Visit {
    /// A request whose head was read at `at`.
    pub(crate) fn new(at: Timestamp) -> Self {
        Self {
            at,
            began: Instant::now(),
            id: VisitId::Ours(RequestId::next()),
            client: client::UNKNOWN,
            client_text: None,
            peer: HeaderValue::from_static("unknown"),
            way: Way::Nowhere,
            standing: None,
            chain: None,
            is_https: false,
            tries: 0,
            refusal: "",
            level: "info",
        }
    }

    /// Reads off who is at the other end of the wire.
    pub(crate) fn recognise(&mut self, session: &Session, snapshot: &Snapshot) {
        let peer = session.client_addr().and_then(|addr| addr.as_inet());
        let peer = peer.map_or(client::UNKNOWN, |addr| addr.ip().to_canonical());
        self.client = peer;
        let wire = session.stream().and_then(|stream| stream.as_ref().as_any().downcast_ref());
        if let Some(wire) = wire {
            self.peer = Wire::peer(wire).clone();
        }
        let headers = &session.req_header().headers;
        let Some(forwarded) = Forwarded::read(peer, headers, &snapshot.trusted_proxies) else {
            return;
        };
        self.client = forwarded.client;
        self.client_text = (self.client != peer).then(|| self.client.to_string());
        self.chain = forwarded.chain;
        self.is_https = forwarded.is_https;
        if let Some(id) = headers.get(X_REQUEST_ID)
            && front::is_request_id(id.as_bytes())
        {
            self.id = VisitId::Theirs(id.clone());
        }
    }

    /// The client's address as text.
    pub(crate) fn client(&self) -> &str {
        self.client_text.as_deref().or(self.peer.to_str().ok()).unwrap_or_default()
    }

    /// Puts our own headers on an answer.
    pub(crate) fn sign(&mut self, response: &mut ResponseHeader) -> Result<()> {
        // An interim answer is about the request's body only.
        if response.status.is_informational() {
            return Ok(());
        }
        response.insert_header("X-Request-Id", self.id.to_header())?;
        match self.standing.take() {
            Some(standing) => forward::state_standing(response, standing),
            None => Ok(()),
        }
    }
}
